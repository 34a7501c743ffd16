"""Errors of predictions summed up: by group, in ladders, and against trivial models."""

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from superpod.validate.prediction import Prediction

LADDER_COUNT = 4  # steps from which on a ranking says something
WORST_COUNT = 10
SYSTEMS = frozenset({"training", "inference"})  # kinds that ask for a whole machine
TIED = 1.03  # a ratio of measured numbers below which there is no order


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """Errors of a group: |predicted / measured - 1| unless signed; None where nothing was predicted.

    `covered_frac` is the share of measured numbers inside the predicted band, of those that have one.
    """

    name: str
    kind: str
    count: int
    refused_count: int
    median: float | None = None
    p90: float | None = None
    signed_median: float | None = None
    within_10_frac: float | None = None
    within_20_frac: float | None = None
    covered_frac: float | None = None
    worst_point: str = ""
    worst_error: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """Kendall's tau-b between measured and predicted order of a ladder of `count` points."""

    ladder: str
    kind: str
    count: int
    tau: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """Two chips on the same work: how much faster the first is in the middle, and how often the order is kept.

    Pairs that measurements put less than 3 % apart have no order.
    """

    first: str
    second: str
    kind: str
    count: int
    kept_frac: float
    measured_ratio: float
    predicted_ratio: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Floor:
    """A trivial model on the points that it can predict, beside ours on the same points."""

    name: str
    what: str
    count: int
    median: float
    p90: float
    within_20_frac: float
    our_median: float
    our_p90: float
    our_within_20_frac: float


def summary(name: str, kind: str, rows: Sequence[Prediction]) -> Summary:
    """Return the errors of a group of predictions."""
    known = [row for row in rows if row.predicted is not None]
    refused = len({row.point for row in rows} - {row.point for row in known})
    if not known:
        return Summary(name=name, kind=kind, count=0, refused_count=refused)
    errors = np.array([row.error_frac for row in known])
    size = np.abs(errors)
    inside = [row.inside for row in known if row.inside is not None]
    worst = known[int(np.argmax(size))]
    return Summary(
        name=name,
        kind=kind,
        count=len(known),
        refused_count=refused,
        median=float(np.median(size)),
        p90=float(np.quantile(size, 0.9)),
        signed_median=float(np.median(errors)),
        within_10_frac=float(np.mean(size <= 0.1)),
        within_20_frac=float(np.mean(size <= 0.2)),
        covered_frac=float(np.mean(inside)) if inside else None,
        worst_point=f"{worst.point} ({worst.what})",
        worst_error=worst.error_frac,
    )


def grouped(rows: Iterable[Prediction], key: Callable[[Prediction], tuple[str, str]]) -> tuple[Summary, ...]:
    """Return a summary for each (name, kind) that `key` gives, in order of kind and name."""
    found: dict[tuple[str, str], list[Prediction]] = defaultdict(list)
    for row in rows:
        found[key(row)].append(row)
    return tuple(summary(name, kind, found[name, kind]) for name, kind in sorted(found, key=lambda item: item[::-1]))


def by_quantity(row: Prediction) -> tuple[str, str]:
    """Return the group of equal quantities: all times of operators and of collectives stand together."""
    return ("time" if row.kind in {"operator", "collective"} else row.what), row.kind


def by_source(row: Prediction) -> tuple[str, str]:
    """Return the group of one source and quantity."""
    return (row.source if row.kind in {"operator", "collective"} else f"{row.source}: {row.what}"), row.kind


def by_chip(row: Prediction) -> tuple[str, str]:
    """Return the group of one chip and quantity."""
    chip = row.chip or "unknown hardware"
    return (chip if row.kind in {"operator", "collective"} else f"{chip}: {row.what}"), row.kind


def rankings(rows: Iterable[Prediction]) -> tuple[Ranking, ...]:
    """Return Kendall's tau of every ladder with enough steps."""
    ladders: dict[tuple[str, str], list[Prediction]] = defaultdict(list)
    for row in rows:
        if row.ladder and row.predicted is not None:
            ladders[row.ladder, row.kind].append(row)
    found = []
    for (ladder, kind), steps in sorted(ladders.items()):
        measured = np.array([row.measured * row.ladder_scale for row in steps])
        predicted = np.array([(row.predicted or 0.0) * row.ladder_scale for row in steps])
        if len(steps) >= LADDER_COUNT and len(np.unique(measured)) > 1:
            found.append(Ranking(ladder=ladder, kind=kind, count=len(steps), tau=kendall_tau(measured, predicted)))
    return tuple(found)


def orders(rows: Iterable[Prediction]) -> tuple[Order, ...]:
    """Return every pair of chips that some source ran the same work on."""
    twins: dict[tuple[str, str], list[Prediction]] = defaultdict(list)
    for row in rows:
        if row.kind in SYSTEMS and row.twin and row.predicted is not None and row.what != "memory":
            twins[row.twin, row.kind].append(row)
    ratios: dict[tuple[str, str, str], list[tuple[float, float]]] = defaultdict(list)
    for (_, kind), same in twins.items():
        for one, other in itertools.combinations(sorted(same, key=lambda row: row.chip), 2):
            if one.chip != other.chip:
                ratios[kind, one.chip, other.chip].append((_speed_up(one, other, False), _speed_up(one, other, True)))
    return tuple(_order(names, pairs) for names, pairs in sorted(ratios.items()) if any(map(_apart, pairs)))


def _speed_up(one: Prediction, other: Prediction, predicted: bool) -> float:
    """Return how much faster the first is than the second."""
    pair = [(row.predicted or 1.0) if predicted else row.measured for row in (one, other)]
    return pair[0] / pair[1] if one.more_is_better else pair[1] / pair[0]


def _apart(pair: tuple[float, float]) -> bool:
    return not 1.0 / TIED <= pair[0] <= TIED


def _order(names: tuple[str, str, str], pairs: list[tuple[float, float]]) -> Order:
    """Return a pair of chips, the faster one first."""
    kind, first, second = names
    if np.median([measured for measured, _ in pairs]) < 1.0:
        first, second = second, first
        pairs = [(1.0 / measured, 1.0 / predicted) for measured, predicted in pairs]
    ordered = [pair for pair in pairs if _apart(pair)]
    return Order(
        first=first,
        second=second,
        kind=kind,
        count=len(ordered),
        kept_frac=float(np.mean([(measured > 1.0) == (predicted > 1.0) for measured, predicted in ordered])),
        measured_ratio=float(np.median([measured for measured, _ in pairs])),
        predicted_ratio=float(np.median([predicted for _, predicted in pairs])),
    )


def kendall_tau(one: npt.NDArray[np.float64], other: npt.NDArray[np.float64]) -> float:
    """Return tau-b = (concordant - discordant) / sqrt((n0 - ties) (n0 - ties')) (Kendall 1945, Biometrika 33).

    >>> round(kendall_tau(np.array([1.0, 2.0, 3.0]), np.array([1.0, 3.0, 2.0])), 3)
    0.333
    """
    rows, columns = np.triu_indices(len(one), 1)
    first, second = np.sign(one[rows] - one[columns]), np.sign(other[rows] - other[columns])
    pairs = float(np.sqrt(np.sum(first != 0) * np.sum(second != 0)))
    return float(np.sum(first * second)) / pairs if pairs else 0.0


def floors(rows: Sequence[Prediction]) -> tuple[Floor, ...]:
    """Return what trivial models reach: the constant share of peak for training, the memory bound for decoding."""
    bound = [(row, row.floor) for row in rows if row.floor is not None and row.predicted is not None]
    made = (
        _floor("constant share of peak, from other sources", "training step", _constant_rates(rows)),
        _floor("weights and caches over memory bandwidth", "time of a token", bound),
    )
    return tuple(floor for floor in made if floor is not None)


def worst(rows: Sequence[Prediction], count: int = WORST_COUNT) -> tuple[Prediction, ...]:
    """Return the predictions that are off most, by the factor that they are off."""
    known = [row for row in rows if row.predicted]
    return tuple(sorted(known, key=lambda row: -abs(np.log((row.predicted or 1.0) / row.measured)))[:count])


def _constant_rates(rows: Sequence[Prediction]) -> list[tuple[Prediction, float]]:
    """Return steps with the time they take at the median FLOP/s of other sources' steps of the same family."""
    steps = [row for row in rows if row.work_flop and row.predicted is not None]
    found = []
    for row in steps:
        others = [
            (other.work_flop or 0.0) / other.measured
            for other in steps
            if other.family == row.family and other.source != row.source
        ]
        if others:
            found.append((row, (row.work_flop or 0.0) / float(np.median(others))))
    return found


def _floor(name: str, what: str, pairs: list[tuple[Prediction, float]]) -> Floor | None:
    if not pairs:
        return None
    theirs = np.abs([value / row.measured - 1.0 for row, value in pairs])
    ours = np.abs([row.error_frac for row, _ in pairs])
    return Floor(
        name=name,
        what=what,
        count=len(pairs),
        median=float(np.median(theirs)),
        p90=float(np.quantile(theirs, 0.9)),
        within_20_frac=float(np.mean(theirs <= 0.2)),
        our_median=float(np.median(ours)),
        our_p90=float(np.quantile(ours, 0.9)),
        our_within_20_frac=float(np.mean(ours <= 0.2)),
    )
