"""What the repository allows: limits of cases, sources, bands and orders, recorded beside the code that keeps them."""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from superpod.catalog.read import read_toml
from superpod.errors import CatalogueError, ScenarioError
from superpod.validate.prediction import Prediction
from superpod.validate.rankings import Order, Ranking, orders, rankings
from superpod.validate.statistics import Coverage, Summary, by_source, coverages, factor_of, grouped

RECORDED = Path(__file__).parent / "bands.toml"
SHIPPED, FULL = "shipped", "full"
COVERED = (0.70, 0.90)  # the target: what a band from P10 to P90 is to hold
CASE_SLACK, SOURCE_SLACK, ORDER_SLACK = 0.03, 0.02, 0.05
TABLES = ("coverage", "sources", "rankings", "orders", "cases")

Range = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceLimit:
    """Limits on the median and the P90 of a source's errors, and how many of its numbers are predicted."""

    median_frac: float
    p90_frac: float
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Bands:
    """What one set of points is held to.

    A limit e allows predictions to be off by a factor of 1 + e, either way, so that one above 100 % still catches what
    is too small. `coverage` are the exceptions from `COVERED`, by quantity. `rankings` and `orders` are the least tau
    of a ladder and the least share of pairs of chips in their order. `file` and `sha256` say which file it was.
    """

    cases: Mapping[str, float] = field(default_factory=dict)
    sources: Mapping[str, SourceLimit] = field(default_factory=dict)
    coverage: Mapping[str, Range] = field(default_factory=dict)
    rankings: Mapping[str, float] = field(default_factory=dict)
    orders: Mapping[str, float] = field(default_factory=dict)
    file: str = ""
    sha256: str = ""


def recorded(which: str, path: Path = RECORDED) -> Bands:
    """Return the recorded limits of a set: `shipped` cases, or a `full` file of points; none where none is recorded."""
    tree = read_toml(path) if path.exists() else {}
    table: dict[str, Any] = tree.get(which, {})
    try:
        return Bands(
            cases=_numbers(table, "cases"),
            sources={
                name: SourceLimit(median_frac=float(median), p90_frac=float(p90), count=int(count))
                for name, (median, p90, count) in table.get("sources", {}).items()
            },
            coverage={name: (float(low), float(high)) for name, (low, high) in table.get("coverage", {}).items()},
            rankings=_numbers(table, "rankings"),
            orders=_numbers(table, "orders"),
            file=str(table.get("file", "")),
            sha256=str(table.get("sha256", "")),
        )
    except (AttributeError, TypeError, ValueError) as error:
        raise CatalogueError(
            f"no table of limits: {error}", where=f"{path}:{which}", hint="written by superpod validate --record"
        ) from None


def _numbers(table: Mapping[str, Any], key: str) -> dict[str, float]:
    return {name: float(value) for name, value in table.get(key, {}).items()}


def bands_of(rows: Iterable[Prediction], *, with_cases: bool) -> Bands:
    """Return limits a little above today's errors and below today's orders, in whole per cent."""
    known = tuple(row for row in rows if row.predicted is not None)
    return Bands(
        cases={name_of(row): _up(factor_of(row) - 1.0, CASE_SLACK) for row in known} if with_cases else {},
        sources={
            key_of(group): SourceLimit(
                median_frac=_up((group.factor_median or 1.0) - 1.0, SOURCE_SLACK),
                p90_frac=_up((group.factor_p90 or 1.0) - 1.0, SOURCE_SLACK),
                count=group.count,
            )
            for group in grouped(known, by_source)
        },
        coverage={coverage_key(item): _exception(item) for item in coverages(known) if misses(item.covered_frac)},
        rankings={ranking_key(item): _down(item.tau) for item in rankings(known)},
        orders={order_key(item): _down(item.kept_frac) for item in orders(known)},
    )


def misses(covered_frac: float) -> str:
    """Return in which way bands miss the target; nothing where they do not.

    >>> misses(0.97), misses(0.8)
    ('too wide', '')
    """
    low, high = COVERED
    return "too narrow" if covered_frac < low else "too wide" if covered_frac > high else ""


def _exception(item: Coverage) -> Range:
    """Return a range that reaches from the target to what a quantity has today, and no further."""
    low, high = COVERED
    return min(low, math.floor(100.0 * item.covered_frac) / 100.0), max(high, _ceil(item.covered_frac))


def text_of(sets: Mapping[str, Bands]) -> str:
    """Return limits as TOML, in an order that keeps changes visible."""
    lines = [
        "# What `superpod validate` holds predictions to; written by its `--record`, which a change that moves",
        "# predictions is to run and to explain. A limit e allows a factor of 1 + e either way. `full` holds for the",
        "# file of that SHA-256. A quantity under `coverage` misses the target of 70 to 90 % and may not get worse.",
    ]
    for which, bands in sorted(sets.items()):
        lines += ["", f"[{which}]"]
        if bands.file:
            lines += [f"file = {json.dumps(bands.file)}", f"sha256 = {json.dumps(bands.sha256)}"]
        for name in TABLES:
            table = getattr(bands, name)
            if table:
                lines += ["", f"[{which}.{name}]{REMARKS[name]}"]
                lines += [f"{json.dumps(key, ensure_ascii=False)} = {_value(table[key])}" for key in sorted(table)]
    return "\n".join(lines) + "\n"


REMARKS = {
    "coverage": "  # least and most share inside the bands",
    "sources": "  # median, P90, predicted numbers",
    "rankings": "  # least Kendall's tau",
    "orders": "  # least share of pairs in their order",
    "cases": "",
}


def _value(value: float | Range | SourceLimit) -> str:
    if isinstance(value, SourceLimit):
        return f"[{value.median_frac:.2f}, {value.p90_frac:.2f}, {value.count}]"
    return f"[{value[0]:.2f}, {value[1]:.2f}]" if isinstance(value, tuple) else f"{value:.2f}"


def anew(old: Bands, new: Bands, *, file: str = "", sha256: str = "") -> Bands:
    """Return new limits in place of old ones; raise ScenarioError where a source would lose its limit."""
    lost = sorted(set(old.sources) - set(new.sources))
    if lost:
        raise ScenarioError(
            f"nothing is predicted any more of {'; '.join(lost)}",
            where="--record",
            hint="where that is meant, take their lines out of the file of limits by hand first",
        )
    return replace(new, file=file, sha256=sha256)


def eased(old: Bands, new: Bands) -> tuple[str, ...]:
    """Return, in words, every limit that new ones set wider than old ones, or no longer have."""
    found = [f"{name}: has no limit any more" for name in sorted(set(old.cases) - set(new.cases))]
    found += [
        f"{name}: {old.cases[name]:.2f} -> {new.cases[name]:.2f}"
        for name in sorted(set(old.cases) & set(new.cases))
        if new.cases[name] > old.cases[name]
    ]
    for name in sorted(set(old.sources) & set(new.sources)):
        before, after = old.sources[name], new.sources[name]
        if after.median_frac > before.median_frac or after.p90_frac > before.p90_frac or after.count < before.count:
            found.append(f"{name}: {_value(before)} -> {_value(after)}")
    for name in sorted(new.coverage):
        before_low, before_high = old.coverage.get(name, COVERED)
        low, high = new.coverage[name]
        if low < before_low or high > before_high:
            found.append(f"coverage of {name}: {_value((before_low, before_high))} -> {_value((low, high))}")
    for before_order, after_order in ((old.rankings, new.rankings), (old.orders, new.orders)):
        found += [
            f"order of {name}: {least:.2f} -> {after_order.get(name, -1.0):.2f}"
            for name, least in sorted(before_order.items())
            if after_order.get(name, -1.0) < least
        ]
    return tuple(found)


def name_of(row: Prediction) -> str:
    """Return how limits call one predicted number."""
    return f"{row.point}|{row.what}"


def key_of(group: Summary) -> str:
    """Return how limits call a source."""
    return f"{group.kind}|{group.name}"


def coverage_key(item: Coverage) -> str:
    """Return how limits call a quantity."""
    return f"{item.kind}|{item.what}"


def ranking_key(item: Ranking) -> str:
    """Return how limits call a ladder."""
    return f"{item.kind}|{item.ladder}"


def order_key(item: Order) -> str:
    """Return how limits call a pair of chips, whichever is the faster one."""
    first, second = sorted((item.first, item.second))
    return f"{item.kind}|{first}|{second}|{item.formats}"


def _up(size: float, slack: float) -> float:
    """Return an error with slack: a tenth of itself or the least slack, up to whole per cent."""
    return _ceil(size + max(slack, size / 10.0))


def _ceil(size: float) -> float:
    return math.ceil(round(100.0 * size, 6)) / 100.0


def _down(size: float) -> float:
    """Return a share or a tau less its slack, down to whole per cent."""
    return math.floor(round(100.0 * (size - ORDER_SLACK), 6)) / 100.0
