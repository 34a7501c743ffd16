"""Does the catalogue agree with itself? Totals against parts, units and ranges, sources, tiers that nest."""

from collections.abc import Callable, Iterator
from itertools import pairwise

from superpod.catalog.load import Catalogue
from superpod.catalog.provenance import Fact
from superpod.catalog.schema import DTYPES, Chip, Pod
from superpod.errors import SuperpodError

TOLERANCE_FRAC = 0.02

# What believable hardware can be, in SI units: a slip of a prefix or of bits for bytes falls outside.
RANGES = {
    "capacity_bytes": (1e8, 2e12),
    "memory.bandwidth_bytes_per_s": (1e11, 2e14),
    "bandwidth_bytes_per_s": (1e9, 1e14),
    "latency_s": (1e-8, 1e-3),
    "matrix_flop_per_s": (1e13, 1e17),
    "bisection_frac": (1e-3, 1.0),
    "power.max_w": (50.0, 1e9),
    "power.typical_w": (50.0, 1e9),
    "price.usd": (1e3, 1e11),
    "_frac": (0.0, 1.0),
}


def problems(catalogue: Catalogue) -> list[str]:
    """Return every contradiction in the catalogue, as sentences that name the entry."""
    found: list[str] = []
    known = set(catalogue.sources())
    for kind, read in readers(catalogue).items():
        for name in catalogue.names(kind):
            try:
                entry = read(name)
            except SuperpodError as error:
                found.append(f"{kind}/{name}: {error}")
                continue
            facts: dict[str, Fact] = dict(getattr(entry, "facts", {}))
            found += [f"{kind}/{name}:{text}" for text in fact_problems(facts, known)]
            try:
                found += [f"{kind}/{name}:{text}" for text in entry_problems(catalogue, entry)]
            except SuperpodError as error:  # it names a chip or a calibration that does not exist
                found.append(f"{kind}/{name}: {error}")
    return found


def entry_problems(catalogue: Catalogue, entry: object) -> list[str]:
    """Return what is wrong with a pod or a chip beyond its facts; raise where it names what does not exist."""
    if isinstance(entry, Pod):
        for tier in (*entry.tiers, *((entry.scale_out,) if entry.scale_out else ())):
            catalogue.link(tier.calibration)
        return list(pod_problems(entry, catalogue.chip(entry.chip)))
    if isinstance(entry, Chip):
        catalogue.calibration(entry.calibration)
        return list(chip_problems(entry))
    return []


def readers(catalogue: Catalogue) -> dict[str, Callable[[str], object]]:
    """Return how to read each kind of entry that carries facts."""
    return {
        "chips": catalogue.chip,
        "pods": catalogue.pod,
        "facilities": catalogue.facility,
        "calibration": catalogue.calibration,
        "links": catalogue.link,
        "cables": catalogue.cable,
        "models": catalogue.model,
        "claims": catalogue.claim,
    }


def fact_problems(facts: dict[str, Fact], known: set[str]) -> Iterator[str]:
    """Yield facts without a known source, outside their own range, or outside what hardware can be."""
    for path, fact in facts.items():
        cited = [fact.source, fact.estimate.source if fact.estimate else ""]
        yield from (
            f"{path}: source {source!r} is not in sources/" for source in cited if source and source not in known
        )
        if fact.value is None:
            if not (fact.missing or fact.unsupported):
                yield f"{path}: neither a value, nor missing, nor unsupported"
            if fact.missing and not fact.note:
                yield f"{path}: missing without a note"
            continue
        if (fact.low is not None and fact.low > fact.value) or (fact.high is not None and fact.high < fact.value):
            yield f"{path}: value {fact.value:g} lies outside its own range {fact.low} to {fact.high}"
        bounds = next((RANGES[key] for key in RANGES if key in path), None)
        if bounds and not path.startswith("published") and not bounds[0] <= fact.value <= bounds[1]:
            yield f"{path}: {fact.value:g} is not believable, expected {bounds[0]:g} to {bounds[1]:g} in SI units"


def chip_problems(chip: Chip) -> Iterator[str]:
    """Yield dtypes that a chip says nothing about."""
    for dtype in DTYPES:
        if f"matrix_flop_per_s.{dtype}" not in chip.facts:
            yield f"matrix_flop_per_s: says nothing about {dtype}; give a value, missing or unsupported"


def pod_problems(pod: Pod, chip: Chip) -> Iterator[str]:
    """Yield tiers that do not nest, dims that do not multiply, and printed totals that are not the sum of the parts."""
    counts = [tier.chips_count for tier in pod.tiers]
    if any(inner > outer for inner, outer in pairwise(counts)) or counts[-1] != pod.chips_count:
        yield f"tiers: hold {counts} chips, expected to grow to {pod.chips_count:g}"
    for tier, below in zip(pod.tiers, (1, *counts), strict=False):
        product = 1
        for dim in tier.dims:
            product *= dim
        if tier.dims and product not in {tier.chips_count, tier.chips_count // below}:
            yield f"tiers.{tier.name}.dims: {tier.dims} multiply to neither its chips nor the instances inside it"
    for path, (printed, parts) in totals(pod, chip).items():
        yield from total_problems(path, pod.facts[f"published.{path}"], printed, parts)


def total_problems(path: str, fact: Fact, printed: float, parts: float) -> Iterator[str]:
    """Yield a printed total that misses its parts without saying so, or says so without need."""
    off = abs(parts / printed - 1.0)
    if off > TOLERANCE_FRAC and not fact.conflict:
        yield f"published.{path}: {printed:g} printed, {parts:g} from the parts ({off:.1%} apart)"
    if off <= TOLERANCE_FRAC and fact.conflict:
        yield f"published.{path}: agrees within {off:.1%}, so its conflict note is stale"


def totals(pod: Pod, chip: Chip) -> dict[str, tuple[float, float]]:
    """Return (printed, sum of parts) for every printed total whose parts are known."""
    chips = pod.chips_count * pod.pods_count
    parts: dict[str, float | None] = {
        "memory_bytes": chip.memory.capacity_bytes,
        "memory_bandwidth_bytes_per_s": chip.memory.bandwidth_bytes_per_s,
        "fabric_bytes_per_s": injection(pod),
    }
    for dtype in DTYPES:
        printed = pod.facts.get(f"published.{dtype}_flop_per_s")
        rates = chip.headline_flop_per_s if printed and printed.basis == "headline" else chip.matrix_flop_per_s
        parts[f"{dtype}_flop_per_s"] = rates.get(dtype)
    found: dict[str, tuple[float, float]] = {}
    for path, part in parts.items():
        total: float | None = getattr(pod.published, path)
        if total is not None and part is not None:
            found[path] = (total, chips * part)
    return found


def injection(pod: Pod) -> float | None:
    """Return what one chip can send and receive over all its scale-up ports, dies' own links left out.

    Tiers on the same ports count once, at the fastest; ports of their own add.
    """
    sets: list[float] = []
    for tier in pod.tiers:
        if tier.medium == "package":
            continue
        if tier.bandwidth_bytes_per_s is None:
            return None
        if sets and tier.shares_inner_ports:
            sets[-1] = max(sets[-1], tier.bandwidth_bytes_per_s)
        else:
            sets.append(tier.bandwidth_bytes_per_s)
    return 2.0 * sum(sets) if sets else None
