"""Predictions held against recorded limits: what exceeds them, and what they say nothing about."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from superpod.validate.bands import (
    COVERED,
    Bands,
    coverage_key,
    key_of,
    name_of,
    order_key,
    ranking_key,
)
from superpod.validate.prediction import Prediction
from superpod.validate.rankings import orders, rankings
from superpod.validate.statistics import Summary, by_source, coverages, factor_of, grouped

GONE, NO_LIMIT = "is not predicted any more", "has no recorded limit"
ERROR, MEDIAN, P90 = "error", "median error", "P90 of the error"  # judged as a factor
NUMBERS, COVERAGE, ORDER = "predicted numbers", "coverage of the bands", "order kept"


@dataclass(frozen=True, slots=True, kw_only=True)
class Excess:
    """A limit that is exceeded. Errors are factors less one; `found` is None where nothing is there to judge."""

    where: str
    what: str
    found: float | None = None
    limit: float | None = None


def exceeded(rows: Iterable[Prediction], bands: Bands, *, whole: bool = True) -> tuple[Excess, ...]:
    """Return every limit that predictions exceed; a case that is no longer predicted exceeds its limit too.

    `whole` is whether all of the recorded set is there: only then is what is absent judged, and coverage and orders.
    Of a part, a source is judged where as many of its numbers are predicted as were recorded.
    """
    known = tuple(rows)
    groups = {key_of(group): group for group in grouped(known, by_source)}
    return (
        *_cases(known, bands, whole=whole),
        *_sources(groups, bands, whole=whole),
        *(_coverage(known, bands) if whole else ()),
        *(_orders(known, bands) if whole else ()),
    )


def without_limit(rows: Iterable[Prediction], bands: Bands) -> tuple[str, ...]:
    """Return the predicted sources that have no limit."""
    return tuple(key_of(group) for group in grouped(rows, by_source) if key_of(group) not in bands.sources)


def in_part(rows: Iterable[Prediction], bands: Bands) -> tuple[str, ...]:
    """Return the sources that have a limit, but fewer predicted numbers than it was recorded on."""
    groups = {key_of(group): group.count for group in grouped(rows, by_source)}
    return tuple(key for key, count in groups.items() if key in bands.sources and count < bands.sources[key].count)


def _cases(rows: tuple[Prediction, ...], bands: Bands, *, whole: bool) -> tuple[Excess, ...]:
    sizes = {name_of(row): factor_of(row) - 1.0 for row in rows if row.predicted is not None}
    refused = {row.point for row in rows if row.predicted is None}
    found = []
    for name, limit in bands.cases.items():
        size = sizes.get(name)
        if size is None and (whole or name.split("|")[0] in refused):
            found.append(Excess(where=name, what=GONE, limit=limit))
        elif size is not None and not size <= limit:
            found.append(Excess(where=name, what=ERROR, found=size, limit=limit))
    if whole and bands.cases:
        found += [Excess(where=name, what=NO_LIMIT) for name in sizes if name not in bands.cases]
    return tuple(found)


def _sources(groups: Mapping[str, Summary], bands: Bands, *, whole: bool) -> tuple[Excess, ...]:
    found = []
    for key, limit in bands.sources.items():
        group = groups.get(key, Summary(name=key, kind="", count=0))
        if group.count < limit.count:
            if whole:
                found.append(Excess(where=key, what=NUMBERS, found=float(group.count), limit=float(limit.count)))
            continue
        for what, factor, most in (
            (MEDIAN, group.factor_median, limit.median_frac),
            (P90, group.factor_p90, limit.p90_frac),
        ):
            if factor is not None and not factor - 1.0 <= most:
                found.append(Excess(where=key, what=what, found=factor - 1.0, limit=most))
    if whole and bands.sources:
        found += [Excess(where=key, what=NO_LIMIT) for key in groups if key not in bands.sources]
    return tuple(found)


def _coverage(rows: tuple[Prediction, ...], bands: Bands) -> tuple[Excess, ...]:
    found = []
    for item in coverages(rows):
        low, high = bands.coverage.get(coverage_key(item), COVERED)
        if not low <= item.covered_frac <= high:
            limit = low if item.covered_frac < low else high
            found.append(Excess(where=coverage_key(item), what=COVERAGE, found=item.covered_frac, limit=limit))
    return tuple(found)


def _orders(rows: tuple[Prediction, ...], bands: Bands) -> tuple[Excess, ...]:
    """Return ladders and pairs of chips whose order is kept less well than recorded, or not there any more."""
    kept = {ranking_key(item): item.tau for item in rankings(rows)}
    pairs = {order_key(item): item.kept_frac for item in orders(rows)}
    return tuple(
        Excess(where=key, what=ORDER, found=found.get(key), limit=least)
        for found, limits in ((kept, bands.rankings), (pairs, bands.orders))
        for key, least in limits.items()
        if found.get(key, -2.0) < least
    )
