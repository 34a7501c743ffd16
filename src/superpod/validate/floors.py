"""What trivial models reach: one share of peak for all training, and the memory bound of decoding."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from superpod.catalog.load import Catalogue
from superpod.errors import SuperpodError
from superpod.validate.prediction import Prediction

SHARES_COUNT = 400  # shares that are tried for the best one of a family
Peaks = Mapping[tuple[str, str], float]  # FLOP/s by chip and number format


@dataclass(frozen=True, slots=True, kw_only=True)
class Floor:
    """A trivial model on the points that it can predict, beside ours on the same points.

    `fitted` is whether it was fitted to these very points, which ours is not.
    """

    name: str
    what: str
    count: int
    fitted: bool
    median: float
    p90: float
    within_20_frac: float
    our_median: float
    our_p90: float
    our_within_20_frac: float


def floors(rows: Sequence[Prediction], peaks: Peaks) -> tuple[Floor, ...]:
    """Return trivial models on their points; `peaks` are those of the chips."""
    steps = [row for row in rows if row.work_flop and row.predicted is not None and peak_key(row) in peaks]
    shares = [(row.work_flop or 0.0) / row.measured / peaks[peak_key(row)] for row in steps]
    bound = [(row, row.floor) for row in rows if row.floor is not None and row.predicted is not None]
    made = (
        _floor("one share of peak, from other sources", "training step", other_sources(steps, shares)),
        _floor("the best share of peak of each chip family and format", "training step", best(steps, shares), True),
        _floor("weights and caches over memory bandwidth", "time of a token", bound),
    )
    return tuple(floor for floor in made if floor is not None)


def peaks_of(rows: Iterable[Prediction], catalogue: Catalogue) -> Peaks:
    """Return the peak of every chip and format that a training step ran on; a peak that is unknown is left out."""
    found = {}
    for key in {peak_key(row) for row in rows if row.work_flop}:
        chip, dtype = key
        try:
            peak = {str(name): rate for name, rate in catalogue.chip(chip).matrix_flop_per_s.items()}.get(dtype)
        except SuperpodError:
            peak = None
        if peak is not None:
            found[key] = peak
    return found


def peak_key(row: Prediction) -> tuple[str, str]:
    """Return the chip and the format of its matrix products; `family` is a calibration and a format."""
    return row.chip, row.family.rpartition("|")[2]


def other_sources(steps: Sequence[Prediction], shares: Sequence[float]) -> list[tuple[Prediction, float]]:
    """Return steps with the time they take at the median share of peak of all other sources' steps."""
    found = []
    for row, share in zip(steps, shares, strict=True):
        others = [value for other, value in zip(steps, shares, strict=True) if other.source != row.source]
        if others:
            found.append((row, row.measured * share / float(np.median(others))))
    return found


def best(steps: Sequence[Prediction], shares: Sequence[float]) -> list[tuple[Prediction, float]]:
    """Return steps with the time they take at that share of their family's peak that leaves the least median error."""
    families: dict[str, list[tuple[Prediction, float]]] = defaultdict(list)
    for row, share in zip(steps, shares, strict=True):
        families[row.family].append((row, share))
    return [
        (row, row.measured * share / kept)
        for members in families.values()
        for kept in (best_share(np.array([share for _, share in members])),)
        for row, share in members
    ]


def best_share(shares: npt.NDArray[np.float64]) -> float:
    """Return the constant whose predictions have the least median error.

    >>> round(best_share(np.array([0.3, 0.3, 0.6])), 3)
    0.3
    """
    tried = np.geomspace(shares.min(), shares.max(), SHARES_COUNT)
    errors = np.median(np.abs(shares[None, :] / tried[:, None] - 1.0), axis=1)
    return float(tried[int(np.argmin(errors))])


def _floor(name: str, what: str, pairs: list[tuple[Prediction, float]], fitted: bool = False) -> Floor | None:
    if not pairs:
        return None
    theirs = np.abs([value / row.measured - 1.0 for row, value in pairs])
    ours = np.abs([row.error_frac for row, _ in pairs])
    return Floor(
        name=name,
        what=what,
        count=len(pairs),
        fitted=fitted,
        median=float(np.median(theirs)),
        p90=float(np.quantile(theirs, 0.9)),
        within_20_frac=float(np.mean(theirs <= 0.2)),
        our_median=float(np.median(ours)),
        our_p90=float(np.quantile(ours, 0.9)),
        our_within_20_frac=float(np.mean(ours <= 0.2)),
    )
