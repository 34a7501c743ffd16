"""What errors the repository allows: a limit a case, a source and a set, recorded beside the code that keeps them."""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from superpod.catalog.read import read_toml
from superpod.validate.prediction import Prediction
from superpod.validate.statistics import Summary, by_source, grouped, summary

RECORDED = Path(__file__).parent / "bands.toml"
SHIPPED, FULL = "shipped", "full"
CASE_SLACK, SOURCE_SLACK, COVERAGE_SLACK = 0.03, 0.02, 0.05
FEW = 4  # a source of fewer rows is held by its cases alone


@dataclass(frozen=True, slots=True, kw_only=True)
class Bands:
    """Limits on |predicted / measured - 1| of cases, and on medians and P90 of sources; a range for the coverage."""

    cases: Mapping[str, float] = field(default_factory=dict)
    sources: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    coverage: tuple[float, float] = (0.0, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Excess:
    """A limit that is exceeded."""

    where: str
    what: str
    found: float
    limit: float


def recorded(which: str, path: Path = RECORDED) -> Bands:
    """Return the recorded limits of a set: `shipped` cases, or a `full` file of points; none where none is recorded."""
    tree = read_toml(path) if path.exists() else {}
    table: dict[str, Any] = tree.get(which, {})
    coverage = table.get("coverage", [0.0, 1.0])
    return Bands(
        cases={name: float(limit) for name, limit in table.get("cases", {}).items()},
        sources={name: (float(pair[0]), float(pair[1])) for name, pair in table.get("sources", {}).items()},
        coverage=(float(coverage[0]), float(coverage[1])),
    )


def exceeded(rows: Iterable[Prediction], bands: Bands, *, whole: bool = True) -> tuple[Excess, ...]:
    """Return every limit that predictions exceed; a case that is no longer predicted exceeds its limit too.

    `whole` is whether all of the recorded set is there: only then is what is absent, and the coverage, judged.
    """
    known = tuple(rows)
    return (
        *_cases(known, bands, whole=whole),
        *_sources(grouped(known, by_source), bands),
        *(_coverage(known, bands) if whole else ()),
    )


def _cases(rows: tuple[Prediction, ...], bands: Bands, *, whole: bool) -> tuple[Excess, ...]:
    sizes = {name_of(row): abs(row.error_frac) for row in rows if row.predicted is not None}
    refused = {row.point for row in rows if row.predicted is None}
    found = []
    for name, limit in bands.cases.items():
        size = sizes.get(name)
        if size is None and (whole or name.split("|")[0] in refused):
            found.append(Excess(where=name, what="is not predicted", found=math.inf, limit=limit))
        elif size is not None and size > limit:
            found.append(Excess(where=name, what="error", found=size, limit=limit))
    return tuple(found)


def _sources(groups: Iterable[Summary], bands: Bands) -> tuple[Excess, ...]:
    found = []
    for group in groups:
        limits = bands.sources.get(key_of(group))
        if limits is None or group.median is None or group.p90 is None:
            continue
        pairs = (("median error", group.median, limits[0]), ("P90 of the error", group.p90, limits[1]))
        found += [
            Excess(where=key_of(group), what=what, found=size, limit=limit)
            for what, size, limit in pairs
            if size > limit
        ]
    return tuple(found)


def _coverage(rows: tuple[Prediction, ...], bands: Bands) -> tuple[Excess, ...]:
    covered = summary("all", "", rows).covered_frac
    low, high = bands.coverage
    if covered is None or low <= covered <= high:
        return ()
    return (
        Excess(where="all points", what="coverage of the bands", found=covered, limit=low if covered < low else high),
    )


def bands_of(rows: Iterable[Prediction], *, with_cases: bool) -> Bands:
    """Return limits a little above today's errors, rounded up to whole per cent."""
    known = tuple(row for row in rows if row.predicted is not None)
    groups = [group for group in grouped(known, by_source) if group.count >= FEW]
    covered = summary("all", "", known).covered_frac
    return Bands(
        cases={name_of(row): _up(abs(row.error_frac), CASE_SLACK) for row in known} if with_cases else {},
        sources={
            key_of(group): (_up(group.median or 0.0, SOURCE_SLACK), _up(group.p90 or 0.0, SOURCE_SLACK))
            for group in groups
        },
        coverage=(0.0, 1.0)
        if covered is None
        else (max(covered - COVERAGE_SLACK, 0.0), min(covered + COVERAGE_SLACK, 1.0)),
    )


def text_of(sets: Mapping[str, Bands]) -> str:
    """Return limits as TOML, in an order that keeps changes visible."""
    lines = [
        "# Limits on |predicted / measured - 1|; written by `superpod validate --record`, which a change that moves",
        "# predictions is to run and to explain. `full` holds for the file of points named on the scorecard's page.",
    ]
    for which, bands in sorted(sets.items()):
        low, high = bands.coverage
        lines += ["", f"[{which}]", f"coverage = [{low:.2f}, {high:.2f}]", "", f"[{which}.sources]  # median, P90"]
        lines += [f"{json.dumps(key)} = [{pair[0]:.2f}, {pair[1]:.2f}]" for key, pair in sorted(bands.sources.items())]
        if bands.cases:
            lines += ["", f"[{which}.cases]"]
            lines += [f"{json.dumps(key)} = {limit:.2f}" for key, limit in sorted(bands.cases.items())]
    return "\n".join(lines) + "\n"


def name_of(row: Prediction) -> str:
    """Return how limits call one predicted number."""
    return f"{row.point}|{row.what}"


def key_of(group: Summary) -> str:
    """Return how limits call a source."""
    return f"{group.kind}|{group.name}"


def _up(size: float, slack: float) -> float:
    """Return an error with slack: a tenth of itself or the least slack, up to whole per cent."""
    return math.ceil(100.0 * (size + max(slack, size / 10.0))) / 100.0
