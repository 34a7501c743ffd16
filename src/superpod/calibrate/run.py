"""A file of measurements made into a calibration of one chip, and into a link of one pod."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from superpod.calibrate.fit import SHORTEST_S, Fitted, fit_curve
from superpod.calibrate.links import EXCHANGES, KindError, LinkFit, fit_link
from superpod.calibrate.measurements import COLLECTIVES, LATENT_DECODE, Measurement
from superpod.calibrate.samples import (
    Samples,
    believable,
    curve_of,
    from_measurements,
    narrow_experts,
    with_quantising,
    without_curve,
)
from superpod.catalog.calibration import Calibration
from superpod.catalog.load import Catalogue
from superpod.catalog.provenance import FactReader
from superpod.catalog.schema import Chip, Pod
from superpod.errors import MeasurementError
from superpod.fabric.tiers import Fabric, build, ranks_per_chip

WORST_MEDIAN_FRAC = 0.3  # of errors on held-out shapes: a fit that is further off says nothing of the chip
SHARES = ("peak_frac", "memory_frac")
LEAST_SHARE = 0.1  # of a link's rate, as of a chip's: less is another machine, or times in another unit
LEAST_ROWS = 4  # of a collective: fewer leave nothing to fit where every other size is held out


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """What the file calls a device, a `chip` or a `die`, and how many of them make a chip."""

    word: str = "chip"
    devices_count: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibrated:
    """The fits of a file by curve, the ranges of their rows, and what was left aside and why."""

    fitted: Mapping[str, Fitted]
    ranges: Mapping[str, str]
    left: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkCalibrated:
    """A fitted link, and what was left aside and why."""

    fit: LinkFit
    left: Sequence[str]


@dataclass(slots=True, kw_only=True)
class _Rates:
    """What shares are of, for one device, and the elementwise kernel that stands for quantising, where known."""

    flop_per_s: dict[str, float]
    bytes_per_s: float
    moved: tuple[float, float] | None
    whose: str
    left: list[str] = field(default_factory=list)


def calibrate(
    rows: Sequence[Measurement],
    chip: Chip,
    folds_count: int,
    unit: Unit | None = None,
    base: Calibration | None = None,
) -> Calibrated:
    """Fit every curve that the rows support to the rates of a device: a chip, or the `unit` of it.

    Grouped products in narrow formats come bare: their curves hold the quantising of the inputs, which the file's
    elementwise kernels or else those of `base` stand for. Collectives are left to link files. Raises MeasurementError
    where no curve can be fitted, and MissingFactError for a rate or bandwidth that nobody has published.
    """
    per_chip = (unit or Unit()).devices_count
    reader = FactReader(kind="chips", entry=chip)
    bandwidth = reader.number("memory.bandwidth_bytes_per_s", chip.memory.bandwidth_bytes_per_s)
    published = dict(chip.matrix_flop_per_s.items())
    rates = _Rates(
        flop_per_s={dtype: value / per_chip for dtype, value in published.items() if value},
        bytes_per_s=bandwidth / per_chip,
        moved=(base.memory_frac, base.kernel_s) if base is not None else None,
        whose=base.id if base is not None else "",
        left=aside(rows),
    )
    fitted: dict[str, Fitted] = {}
    ranges: dict[str, str] = {}
    groups = by_curve(rows)
    for curve in sorted(groups, key=lambda name: name != "elementwise"):  # others may stand on it
        made = _fitted(curve, groups[curve], chip, rates, folds_count)
        if made is None:
            continue
        fitted[curve], ranges[curve] = made
        if curve == "elementwise":
            rates.moved, rates.whose = (made[0].values["memory_frac"], made[0].values["kernel_s"]), "this file"
    if not fitted:
        raise MeasurementError(
            "\n  ".join(["no curve can be fitted:", *rates.left]),
            hint="check that times are in seconds and that --chip is the chip measured; or measure more shapes",
        )
    return Calibrated(
        fitted={curve: fitted[curve] for curve in groups if curve in fitted}, ranges=ranges, left=rates.left
    )


def _fitted(
    curve: str, members: Sequence[Measurement], chip: Chip, rates: _Rates, folds_count: int
) -> tuple[Fitted, str] | None:
    """Return the fit of one curve and the range of its rows; None, with the reason in `left`, where it has none."""
    dtype = curve.partition(".")[2].partition("_")[0] or "bf16"
    if dtype not in rates.flop_per_s:
        rates.left.append(f"{curve}: {len(members)} rows, but {chip.name} has no {dtype} rate")
        return None
    samples = from_measurements(members, curve, rates.flop_per_s, rates.bytes_per_s)
    said = extent(members)
    if narrow_experts(curve):
        if rates.moved is None:
            rates.left.append(f"{curve}: {len(members)} bare rows, and no elementwise kernels to quantise their inputs")
            return None
        samples = _quantised(samples, curve, rates.moved)
        said += f"; quantising the inputs, elementwise kernels of {rates.whose}, is added"
    try:
        fit = fit_curve(curve, samples, folds_count)
    except MeasurementError as error:
        rates.left.append(f"{error.message}; {error.hint}" if error.hint else error.message)
        return None
    if reasons := worthless(fit):
        rates.left.append(f"{curve}: {fit.rows_count} rows, not used: {', '.join(reasons)}")
        return None
    return fit, said


def _quantised(samples: Samples, curve: str, moved: tuple[float, float]) -> Samples:
    """Return the rows that are believable as they were measured, with the quantising of their inputs in their times."""
    return with_quantising(believable(samples, SHORTEST_S), curve, *moved)


def worthless(fit: Fitted) -> list[str]:
    """Return why a fit says nothing of a chip: it is far off on held-out shapes, or its share ran out of its search."""
    reasons = []
    if fit.median_frac > WORST_MEDIAN_FRAC:
        reasons.append(
            f"the median error on held-out shapes is {fit.median_frac:.0%}, expected {WORST_MEDIAN_FRAC:.0%} or less"
        )
    reasons += [
        f"{name} is at the low end of its search, {fit.values[name]:.2g}"
        for name, end in fit.on_bounds.items()
        if end == "low" and name in SHARES
    ]
    return reasons


def aside(rows: Sequence[Measurement]) -> list[str]:
    """Return how many rows of what no curve is fitted to, collectives left out."""
    counts: dict[str, int] = {}
    for row in rows:
        if row.kind not in COLLECTIVES and (what := without_curve(row)):
            counts[what] = counts.get(what, 0) + 1
    return [f"{count} rows of {what}: no operator's curve" for what, count in counts.items()]


def by_curve(rows: Sequence[Measurement]) -> dict[str, list[Measurement]]:
    """Return the rows of each curve, in the order of their first row; those without one are left out."""
    found: dict[str, list[Measurement]] = {}
    for row in rows:
        if not without_curve(row):
            found.setdefault(curve_of(row), []).append(row)
    return found


def extent(rows: Sequence[Measurement]) -> str:
    """Return between which sizes the rows lie, and over which caches, in words."""
    said = []
    for name in ("rows", "columns", "depth", "groups", "sequences", "query_tokens", "keys", "head_dim", "bytes"):
        values = [value for value in (getattr(row, name) for row in rows) if value is not None]
        if values:
            said.append(f"{name} {np.min(values):g} to {np.max(values):g}")
    caches = sorted({row.kv_dtype or "bf16" for row in rows if row.keys is not None or row.kind == LATENT_DECODE})
    if caches:
        said.append(f"caches of {' and '.join(caches)}")
    return ", ".join(said)


def of_chip(rows: Sequence[Measurement], chip: Chip, catalogue: Catalogue) -> tuple[list[Measurement], list[str]]:
    """Return the rows of one chip, and what to say of names: a file of one chip may call it what no other is called.

    Raises MeasurementError where the rows are of another chip, or of several and none by this chip's id, name or alias.
    """
    names = sorted({row.chip for row in rows})
    known = chip_names(catalogue)
    mine = [name for name in names if known.get(name.lower()) == chip.id]
    if mine:
        others = [name for name in names if name not in mine]
        count = sum(row.chip in others for row in rows)
        said = [f"{count} rows of {', '.join(map(repr, others))}: another chip"] if others else []
        return [row for row in rows if row.chip in mine], said
    if len(names) > 1:
        raise MeasurementError(
            f"column chip: found {', '.join(map(repr, names))}, expected {chip.id!r} in some rows",
            hint="a file of one chip may call it anything that no other chip is called",
        )
    other = known.get(names[0].lower())
    if other is not None:
        raise MeasurementError(
            f"column chip: found {names[0]!r}, another chip of the catalogue, expected {chip.id!r} or a free name",
            hint=f"fit it to {other}, or to a pod of it",
        )
    return list(rows), [f"the file calls its chip {names[0]!r}, as no chip of the catalogue is called: {chip.id}"]


def chip_names(catalogue: Catalogue) -> dict[str, str]:
    """Return the ids of all chips by what they are called, in lower case: id, name or alias."""
    found: dict[str, str] = {}
    for name in catalogue.names("chips"):
        tree = catalogue.tree("chips", name)
        aliases = tree.get("aliases", [])
        for word in (*(aliases if isinstance(aliases, list) else ()), tree.get("name", name), name):
            found[str(word).lower()] = name
    return found


def unit_of(catalogue: Catalogue, chip: Chip, asked: str) -> Unit:
    """Return what a device of this chip is: as asked, else a die where pods of the catalogue have it as their rank."""
    names = {chip.id.lower(), *(alias.lower() for alias in chip.aliases)}
    trees = (catalogue.tree("pods", name) for name in catalogue.names("pods"))
    word = asked or ("die" if any(_ranks_dies(tree, names) for tree in trees) else "chip")
    if word == "chip":
        return Unit()
    return Unit(word="die", devices_count=FactReader(kind="chips", entry=chip).number("dies_count", chip.dies_count))


def _ranks_dies(tree: Mapping[str, object], names: set[str]) -> bool:
    return tree.get("rank") == "die" and str(tree.get("chip", "")).lower() in names


def base_of(catalogue: Catalogue, chip: Chip, asked: str) -> str:
    """Return whose numbers stand in where nothing was measured: the asked calibration, else the chip's own."""
    return catalogue.calibration(asked or chip.calibration).id


def chips_of(catalogue: Catalogue, calibration: str) -> list[str]:
    """Return the chips whose calibration is of this id."""
    chips = {name: catalogue.tree("chips", name) for name in catalogue.names("chips")}
    return [name for name, tree in chips.items() if str(tree.get("calibration", "")).lower() == calibration]


def pods_of(catalogue: Catalogue, link: str) -> list[str]:
    """Return the pods with a tier or a scale-out network whose link is of this id."""
    return [name for name in catalogue.names("pods") if link in _links(catalogue.tree("pods", name))]


def _links(tree: Mapping[str, object]) -> set[str]:
    tiers = tree.get("tiers")
    places = [*(tiers if isinstance(tiers, list) else ()), tree.get("scale_out")]
    return {str(place.get("calibration", "")).lower() for place in places if isinstance(place, Mapping)}


def pod_fabric(catalogue: Catalogue, pod: Pod, chip: Chip) -> Fabric:
    """Return the fabric of one pod."""
    per_chip = ranks_per_chip(FactReader(kind="chips", entry=chip), chip.dies_count, pod)
    return build(catalogue, FactReader(kind="pods", entry=pod), pod, 1.0, per_chip)


def far_off(error: KindError, fit: LinkFit) -> list[str]:
    """Return why a collective's rows say nothing of a link: far off on rows left out, or hardly a share of the rate."""
    reasons = []
    if error.median_frac > WORST_MEDIAN_FRAC:
        reasons.append(
            f"the median error on {error.rows_count} rows left out is {error.median_frac:.0%}, "
            f"expected {WORST_MEDIAN_FRAC:.0%} or less"
        )
    share = "exchange.everyone_frac" if error.kind in EXCHANGES else "efficiency_frac"
    value = fit.values.get(share, 1.0)
    if value < LEAST_SHARE:
        reasons.append(f"{share} would be {value:.2g}, expected {LEAST_SHARE:g} or more")
    return reasons


def calibrate_link(rows: Sequence[Measurement], fabric: Fabric) -> LinkCalibrated:
    """Fit the link of a fabric's innermost tier to the collectives among the rows that run inside it.

    A collective with few rows, or that the fit misses by far on rows left out, is left aside. Raises MeasurementError
    where none is left.
    """
    tier, left = fabric.tiers[0], []
    kept = [row for row in rows if row.kind in COLLECTIVES]
    found = len(kept)
    kept = [row for row in kept if 1.0 < (row.ranks or 0.0) <= tier.ranks_count]
    if len(kept) < found:
        left.append(
            f"{found - len(kept)} rows of groups that are not 2 to {tier.ranks_count:g} ranks, the tier {tier.name!r}"
        )
    for kind in COLLECTIVES:
        count = sum(row.kind == kind for row in kept)
        if 0 < count < LEAST_ROWS:
            left.append(f"{kind}: {count} rows, expected {LEAST_ROWS} or more")
            kept = [row for row in kept if row.kind != kind]
    while kept:
        fit = fit_link(kept, fabric)
        far = {error.kind: reasons for error in fit.errors if (reasons := far_off(error, fit))}
        if not far:
            return LinkCalibrated(fit=fit, left=left)
        left += [f"{kind}: not used: {', '.join(reasons)}" for kind, reasons in far.items()]
        kept = [row for row in kept if row.kind not in far]
    raise MeasurementError(
        "\n  ".join(["no collective can be fitted:", *left]),
        hint="check that times are in seconds and that --pod is the machine measured; or measure more sizes",
    )
