"""Whether predictions keep an order: of the steps of a ladder, and of chips that ran the same work."""

import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from superpod.validate.prediction import Prediction

LADDER_COUNT = 4  # steps from which on a ranking says something
SYSTEMS = frozenset({"training", "inference"})  # kinds that ask for a whole machine
TIED = 1.03  # a ratio of measured numbers below which there is no order
FORMAT = "|format "  # what stands in `Prediction.twin` between the work and its number format
ALIKE, OWN = "the same", "each chip's own"

Pair = tuple[float, float]  # how much faster the first chip is: measured, predicted


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

    `formats` says whether both ran the same number format, or each its own best where they have none in common. Pairs
    that measurements put less than 3 % apart have no order.
    """

    first: str
    second: str
    kind: str
    formats: str
    count: int
    kept_frac: float
    measured_ratio: float
    predicted_ratio: float


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


def kendall_tau(one: npt.NDArray[np.float64], other: npt.NDArray[np.float64]) -> float:
    """Return tau-b = (concordant - discordant) / sqrt((n0 - ties) (n0 - ties')) (Kendall 1945, Biometrika 33).

    >>> round(kendall_tau(np.array([1.0, 2.0, 3.0]), np.array([1.0, 3.0, 2.0])), 3)
    0.333
    """
    rows, columns = np.triu_indices(len(one), 1)
    first, second = np.sign(one[rows] - one[columns]), np.sign(other[rows] - other[columns])
    pairs = float(np.sqrt(np.sum(first != 0) * np.sum(second != 0)))
    return float(np.sum(first * second)) / pairs if pairs else 0.0


def orders(rows: Iterable[Prediction]) -> tuple[Order, ...]:
    """Return every pair of chips that some source ran the same work on, in one format or in each chip's own best."""
    works: dict[tuple[str, str], list[Prediction]] = defaultdict(list)
    for row in rows:
        if row.kind in SYSTEMS and row.twin and row.predicted and row.what != "memory":
            works[row.kind, row.twin.partition(FORMAT)[0]].append(row)
    ratios: dict[tuple[str, str, str, str], list[Pair]] = defaultdict(list)
    for (kind, _), same in works.items():
        for formats, one, other in _pairs(same):
            ratios[kind, one.chip, other.chip, formats].append(
                (_speed_up(one, other, predicted=False), _speed_up(one, other, predicted=True))
            )
    return tuple(_order(names, pairs) for names, pairs in sorted(ratios.items()) if any(map(_apart, pairs)))


def _pairs(same: Sequence[Prediction]) -> Iterator[tuple[str, Prediction, Prediction]]:
    """Give pairs of different chips, in order of their names, that ran one piece of work."""
    chips: dict[str, list[Prediction]] = defaultdict(list)
    for row in same:
        chips[row.chip].append(row)
    for one, other in itertools.combinations(sorted(chips), 2):
        alike = [(a, b) for a, b in itertools.product(chips[one], chips[other]) if a.twin == b.twin]
        if alike:
            yield from ((ALIKE, a, b) for a, b in alike)
        else:
            yield OWN, _fastest(chips[one]), _fastest(chips[other])


def _fastest(rows: Sequence[Prediction]) -> Prediction:
    """Return the row that measurements put first."""
    return max(rows, key=lambda row: row.measured if row.more_is_better else -row.measured)


def _speed_up(one: Prediction, other: Prediction, *, predicted: bool) -> float:
    """Return how much faster the first is than the second."""
    pair = [(row.predicted or 1.0) if predicted else row.measured for row in (one, other)]
    return pair[0] / pair[1] if one.more_is_better else pair[1] / pair[0]


def _apart(pair: Pair) -> bool:
    return not 1.0 / TIED <= pair[0] <= TIED


def _order(names: tuple[str, str, str, str], pairs: list[Pair]) -> Order:
    """Return a pair of chips, the faster one first."""
    kind, first, second, formats = names
    if np.median([measured for measured, _ in pairs]) < 1.0:
        first, second = second, first
        pairs = [(1.0 / measured, 1.0 / predicted) for measured, predicted in pairs]
    ordered = [pair for pair in pairs if _apart(pair)]
    return Order(
        first=first,
        second=second,
        kind=kind,
        formats=formats,
        count=len(ordered),
        kept_frac=float(np.mean([(measured > 1.0) == (predicted > 1.0) for measured, predicted in ordered])),
        measured_ratio=float(np.median([measured for measured, _ in pairs])),
        predicted_ratio=float(np.median([predicted for _, predicted in pairs])),
    )
