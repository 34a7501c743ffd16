"""A file of measurements made into a calibration of one chip."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from superpod.calibrate.fit import Fitted, fit_curve
from superpod.calibrate.measurements import LAUNCH, Measurement
from superpod.calibrate.samples import curve_of, from_measurements
from superpod.catalog.load import Catalogue
from superpod.catalog.provenance import FactReader
from superpod.catalog.schema import Chip
from superpod.errors import MeasurementError


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibrated:
    """The fits of a file by curve, the ranges of their rows, and what was left aside and why."""

    fitted: Mapping[str, Fitted]
    ranges: Mapping[str, str]
    left: Sequence[str]


def calibrate(rows: Sequence[Measurement], chip: Chip, folds_count: int) -> Calibrated:
    """Fit every curve that the rows support to the chip's rates.

    Collectives are left to link files. Raises MeasurementError where no curve has rows enough, and MissingFactError for
    a rate or bandwidth of the chip that nobody has published.
    """
    reader = FactReader(kind="chips", entry=chip)
    bandwidth = reader.number("memory.bandwidth_bytes_per_s", chip.memory.bandwidth_bytes_per_s)
    published = dict(chip.matrix_flop_per_s.items())
    rates = {dtype: value for dtype, value in published.items() if value}
    fitted: dict[str, Fitted] = {}
    ranges: dict[str, str] = {}
    left: list[str] = []
    for curve, members in by_curve(rows).items():
        if not curve or curve == LAUNCH:
            left.append(
                f"{len(members)} rows of {', '.join(sorted({row.kind for row in members}))}: no operator's curve"
            )
            continue
        dtype = curve.partition(".")[2].partition("_")[0] or "bf16"
        if dtype not in rates:
            left.append(f"{curve}: {len(members)} rows, but {chip.name} has no {dtype} rate")
            continue
        samples = from_measurements(members, curve, rates, bandwidth)  # type: ignore[arg-type]
        try:
            fitted[curve] = fit_curve(curve, samples, folds_count)
        except MeasurementError as error:
            left.append(error.message)
            continue
        ranges[curve] = extent(members)
    if not fitted:
        raise MeasurementError(f"no curve has rows enough: {'; '.join(left)}", hint="measure more shapes")
    return Calibrated(fitted=fitted, ranges=ranges, left=left)


def by_curve(rows: Sequence[Measurement]) -> dict[str, list[Measurement]]:
    """Return the rows of each curve, in the order of their first row."""
    found: dict[str, list[Measurement]] = {}
    for row in rows:
        found.setdefault(curve_of(row), []).append(row)
    return found


def extent(rows: Sequence[Measurement]) -> str:
    """Return between which sizes the rows lie, in words."""
    said = []
    for name in ("rows", "columns", "depth", "groups", "sequences", "query_tokens", "keys", "head_dim", "bytes"):
        values = [value for value in (getattr(row, name) for row in rows) if value is not None]
        if values:
            said.append(f"{name} {np.min(values):g} to {np.max(values):g}")
    return ", ".join(said)


def of_chip(rows: Sequence[Measurement], chip: Chip) -> list[Measurement]:
    """Return the rows of one chip: all where the file knows one, else those under the chip's id, name or alias.

    Raises MeasurementError where the file has several chips and none of that name.
    """
    names = sorted({row.chip for row in rows})
    if len(names) == 1:
        return list(rows)
    known = {name.lower() for name in (chip.id, chip.name, *chip.aliases)}
    found = [row for row in rows if row.chip.lower() in known]
    if not found:
        raise MeasurementError(
            f"column chip: found {', '.join(map(repr, names))}, expected {chip.id!r} in some rows",
            hint="a file of one chip may call it anything",
        )
    return found


def base_of(catalogue: Catalogue, chip: Chip, asked: str) -> str:
    """Return whose numbers stand in where nothing was measured: the asked calibration, else the chip's own."""
    return catalogue.calibration(asked or chip.calibration).id
