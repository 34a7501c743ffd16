"""Does the catalogue agree with itself? Totals against parts, units and ranges, sources, tiers that nest, wiring."""

import math
from collections.abc import Callable, Iterator
from itertools import pairwise

from superpod.catalog.load import Catalogue
from superpod.catalog.provenance import Fact
from superpod.catalog.schema import DTYPES, Cable, Chip, Pod, ScaleOut, Tier, Wiring
from superpod.errors import SuperpodError

TOLERANCE_FRAC = 0.02
SWITCHED = ("switch", "clos")
LINES = ("mesh", "torus")

# What believable hardware can be, in SI units: a slip of a prefix or of bits for bytes falls outside.
RANGES = {
    "capacity_bytes": (1e8, 2e12),
    "memory.bandwidth_bytes_per_s": (1e11, 2e14),
    "bandwidth_bytes_per_s": (1e9, 1e14),
    "cable_bytes_per_s": (1e9, 1e13),
    ".power_w": (0.1, 500.0),
    "modules.": (1e9, 1e13),
    "failure_per_s": (1e-13, 1e-6),
    "reach_m": (1e-3, 1e5),
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
        for place in (*entry.tiers, *((entry.scale_out,) if entry.scale_out else ()), *entry.side_networks):
            catalogue.cable(place.medium)
        chip = catalogue.chip(entry.chip)
        return [*pod_problems(entry, chip), *place_problems(entry), *wiring_problems(entry, chip)]
    if isinstance(entry, Cable):
        return list(cable_problems(entry))
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
        "software": catalogue.software,
        "chip_power": catalogue.chip_power,
        "facility_parts": catalogue.facility_parts,
        "cooling": catalogue.cooling,
        "climates": catalogue.climate,
        "failures": catalogue.failures,
        "costs": catalogue.costs,
        "currencies": catalogue.currency,
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


def place_problems(pod: Pod) -> Iterator[str]:
    """Yield CPUs and side networks that hang on a tier that the pod does not have, or CPUs without a number or rate."""
    names = [tier.name for tier in pod.tiers]
    wanted = {"host.tier": pod.host.tier} if pod.host.tier else {}
    wanted |= {f"side_networks.{side.name}.tier": side.tier for side in pod.side_networks}
    for path, name in wanted.items():
        if name not in names:
            yield f"{path}: found {name!r}, expected one of {', '.join(names)}"
    for key in ("cpus_count", "bandwidth_bytes_per_s"):
        if pod.host.tier and f"host.{key}" not in pod.facts:
            yield f"host.tier: CPUs on the fabric need host.{key}, as a value or missing"


def wiring_problems(pod: Pod, chip: Chip) -> Iterator[str]:
    """Yield wiring that does not add up: parts of a switch, planes that do not pair, cables that do not fit links."""
    inside: Tier | None = None
    for tier in (*pod.tiers, *((pod.scale_out,) if pod.scale_out else ())):
        where = f"tiers.{tier.name}.wiring" if isinstance(tier, Tier) else "scale_out.wiring"
        yield from count_problems(where, tier.wiring)
        inner = inside.wiring.planes_count if inside is not None and not ends_at_ranks(tier, inside) else None
        if tier.structure in SWITCHED and inner is not None and inner not in {1.0, tier.wiring.planes_count}:
            yield f"{where}.planes_count: found {tier.wiring.planes_count} planes over {inner:g}"
        if tier.wiring.attach == "inside" and (inside is None or inside.structure not in SWITCHED):
            yield f"{where}.attach: found 'inside', but there are no switches inside"
        yield from bundle_problems(where, tier.wiring, link_bytes_per_s(pod, chip, tier, inside))
        inside = tier if isinstance(tier, Tier) else inside


def count_problems(where: str, wiring: Wiring) -> Iterator[str]:
    """Yield counts that are not whole numbers from 1 up."""
    for name in wiring.__dataclass_fields__:
        value = getattr(wiring, name)
        if name.endswith("_count") and value is not None and (value < 1 or value != round(value)):
            yield f"{where}.{name}: found {value:g}, expected a whole number from 1 up"


def bundle_problems(where: str, wiring: Wiring, link: float | None) -> Iterator[str]:
    """Yield cables that are neither as wide as the links that they hold nor whole parts of one link."""
    cable, lanes = wiring.cable_bytes_per_s, wiring.lanes_per_cable_count
    if not cable or lanes is None or link is None:
        return
    bundle = lanes * link / cable
    fits = max(1.0, round(bundle)) if lanes == 1 else 1.0
    if abs(bundle / fits - 1.0) > TOLERANCE_FRAC:
        yield f"{where}.cable_bytes_per_s: {cable:g} a cable, but {lanes:g} link(s) of {link:g} in it"


def link_bytes_per_s(pod: Pod, chip: Chip, tier: Tier | ScaleOut, inside: Tier | None) -> float | None:
    """Return what one link of a tier carries: B x chips of a unit / (its ports); None where that is not known.

    A unit is a rank, or an instance of the tier inside whose switches the cables start from. It has a port on each
    switch of each plane; on an axis of d, d - 1 ports of a full mesh and two of a line or ring.
    """
    rate, ranks = tier.bandwidth_bytes_per_s, chip.dies_count if pod.rank == "die" else 1.0
    if not rate or not ranks or not tier.wiring.planes_count or tier.structure == "dragonfly":
        return None
    at_ranks = ends_at_ranks(tier, inside)
    unit = rate / ranks if at_ranks or inside is None else rate * inside.chips_count
    if isinstance(tier, ScaleOut) and at_ranks:
        return unit / tier.wiring.planes_count
    if tier.structure in SWITCHED:
        own = 1.0 if at_ranks or inside is None else inside.wiring.switches_count or 1.0
        each = tier.wiring.switches_count
        return unit / (tier.wiring.planes_count * own * each) if each else None
    if (
        inside is not None
        and inside.structure == "mesh"
        and tier.structure in LINES
        and len(tier.dims) == len(inside.dims)
    ):
        # The faces of the meshes inside: two on each axis.
        faces = sum(2.0 * math.prod(inside.dims) / side for side in inside.dims)
        return rate * inside.chips_count / faces
    ports = 2.0 * len(tier.dims) if tier.structure in LINES else sum(dim - 1.0 for dim in tier.dims)
    return unit / ports if ports else None


def ends_at_ranks(tier: Tier | ScaleOut, inside: Tier | None) -> bool:
    """Return whether a tier's cables end at the ranks' own ports rather than at the switches inside."""
    if tier.wiring.attach is not None or inside is None or inside.structure not in SWITCHED:
        return tier.wiring.attach != "inside"
    return not (tier.shares_inner_ports if isinstance(tier, Tier) else tier.shares_scale_up_ports)


def cable_problems(cable: Cable) -> Iterator[str]:
    """Yield modules that cannot be told apart by their rate, or stand out of order."""
    rates = [module.bytes_per_s for module in cable.modules]
    if any(slower >= faster for slower, faster in pairwise(rates)):
        yield f"modules: rates {rates}, expected each once and rising"


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
