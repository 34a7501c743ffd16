"""Errors of predictions summed up by group, what has no prediction, and how often the truth lies in the band."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from superpod.validate.prediction import Prediction

WORST_COUNT = 10
INCOMPLETE = "incomplete: "  # how the reason begins of a point whose source leaves something out
PLAIN = frozenset({"operator", "collective"})  # kinds whose every number is a time
COVERED_COUNT = 10  # numbers from which on a share inside the bands says something


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """Errors of `count` predicted numbers: |predicted / measured - 1| unless signed; None where nothing was predicted.

    Factors are the larger of predicted / measured and measured / predicted, so that twice and half count alike.
    `covered_frac` is the share of measured numbers inside the predicted band, of those that have one.
    """

    name: str
    kind: str
    count: int
    median: float | None = None
    p90: float | None = None
    signed_median: float | None = None
    factor_median: float | None = None
    factor_p90: float | None = None
    within_10_frac: float | None = None
    within_20_frac: float | None = None
    covered_frac: float | None = None
    worst_point: str = ""
    worst_error: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """Points of a source: of those `refused_count` without any prediction, `incomplete_count` leave something out."""

    kind: str
    source: str
    points_count: int
    predicted_count: int
    refused_count: int
    incomplete_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """How many measured numbers of one quantity lie inside their predicted bands."""

    kind: str
    what: str
    count: int
    covered_frac: float


def summary(name: str, kind: str, rows: Iterable[Prediction]) -> Summary:
    """Return the errors of those of a group's numbers that are predicted."""
    known = [row for row in rows if row.predicted is not None]
    with np.errstate(invalid="ignore"):  # what is no number stays none, and exceeds every limit
        return _summary(name, kind, known) if known else Summary(name=name, kind=kind, count=0)


def _summary(name: str, kind: str, known: list[Prediction]) -> Summary:
    errors = np.array([row.error_frac for row in known])
    factors = np.array([factor_of(row) for row in known])
    size = np.abs(errors)
    inside = [row.inside for row in known if row.inside is not None]
    worst_row = known[int(np.argmax(factors))]
    return Summary(
        name=name,
        kind=kind,
        count=len(known),
        median=float(np.median(size)),
        p90=float(np.quantile(size, 0.9)),
        signed_median=float(np.median(errors)),
        factor_median=float(np.median(factors)),
        factor_p90=float(np.quantile(factors, 0.9)),
        within_10_frac=float(np.mean(size <= 0.1)),
        within_20_frac=float(np.mean(size <= 0.2)),
        covered_frac=float(np.mean(inside)) if inside else None,
        worst_point=f"{worst_row.point} ({worst_row.what})",
        worst_error=worst_row.error_frac,
    )


def factor_of(row: Prediction) -> float:
    """Return by what factor a prediction is off, from one up; more than any limit where it is not above zero.

    >>> [factor_of(Prediction(point="", kind="", what="", source="", hardware="", chip="", measured=2.0, predicted=p))
    ...  for p in (1.0, 4.0, 0.0)]
    [2.0, 2.0, inf]
    """
    if row.predicted is None or not row.predicted > 0.0:  # nan is not above zero either
        return float("inf")
    return max(row.predicted / row.measured, row.measured / row.predicted)


def grouped(rows: Iterable[Prediction], key: Callable[[Prediction], tuple[str, str]]) -> tuple[Summary, ...]:
    """Return a summary for each (name, kind) that `key` gives of predicted numbers, in order of kind and name."""
    found: dict[tuple[str, str], list[Prediction]] = defaultdict(list)
    for row in rows:
        if row.predicted is not None:
            found[key(row)].append(row)
    return tuple(summary(name, kind, found[name, kind]) for name, kind in sorted(found, key=lambda item: item[::-1]))


def by_quantity(row: Prediction) -> tuple[str, str]:
    """Return the group of equal quantities: all times of operators and of collectives stand together."""
    return ("time" if row.kind in PLAIN else row.what), row.kind


def by_source(row: Prediction) -> tuple[str, str]:
    """Return the group of one source and quantity."""
    return (row.source if row.kind in PLAIN else f"{row.source}: {row.what}"), row.kind


def by_chip(row: Prediction) -> tuple[str, str]:
    """Return the group of one chip and quantity."""
    chip = row.chip or "unknown hardware"
    return (chip if row.kind in PLAIN else f"{chip}: {row.what}"), row.kind


def tallies(rows: Iterable[Prediction]) -> tuple[Tally, ...]:
    """Return how many points of each kind and source are predicted, whatever numbers they hold."""
    points: dict[tuple[str, str], dict[str, list[Prediction]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        points[row.kind, row.source][row.point].append(row)
    found = []
    for (kind, source), members in sorted(points.items()):
        refused = [some for some in members.values() if all(row.predicted is None for row in some)]
        lacking = sum(some[0].reason.startswith(INCOMPLETE) for some in refused)
        found.append(
            Tally(
                kind=kind,
                source=source,
                points_count=len(members),
                predicted_count=len(members) - len(refused),
                refused_count=len(refused),
                incomplete_count=lacking,
            )
        )
    return tuple(found)


def coverages(rows: Iterable[Prediction]) -> tuple[Coverage, ...]:
    """Return the share inside the bands of every kind and quantity that has enough numbers with one."""
    found: dict[tuple[str, str], list[bool]] = defaultdict(list)
    for row in rows:
        if row.predicted is not None and row.inside is not None:
            found[row.kind, row.what].append(row.inside)
    return tuple(
        Coverage(kind=kind, what=what, count=len(inside), covered_frac=float(np.mean(inside)))
        for (kind, what), inside in sorted(found.items())
        if len(inside) >= COVERED_COUNT
    )


def worst(rows: Sequence[Prediction], count: int = WORST_COUNT) -> tuple[Prediction, ...]:
    """Return the predictions that are off most, by the factor that they are off."""
    known = [row for row in rows if row.predicted is not None]
    return tuple(sorted(known, key=lambda row: -factor_of(row))[:count])
