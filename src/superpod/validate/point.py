"""A published point: one measured number with everything that its source says about how it was measured."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from superpod.catalog.read import read_toml
from superpod.errors import MeasurementError

KINDS = ("training", "inference", "operator", "collective")
CASES = Path(__file__).parent / "cases"


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One line of a file of points.

    `chips` is None where the source does not say how many; `complete` says that a prediction needs no guess beyond what
    `notes` states, `missing` what is lacking otherwise. `model`, `config` and `also` hold the source's own keys.
    """

    id: str
    kind: str
    title: str
    url: str
    table: str
    hardware: str
    chips: float | None
    model: Mapping[str, Any]
    config: Mapping[str, Any]
    metric: str
    value: float
    unit: str
    evidence: str
    complete: bool
    also: Mapping[str, Any] = field(default_factory=dict)
    notes: str = ""
    missing: tuple[str, ...] = ()


def read_points(path: Path) -> tuple[Point, ...]:
    """Return the points of a file of JSON lines; raise MeasurementError for the first line that is none."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise MeasurementError(f"cannot be read: {reason}", where=str(path), hint="a file of JSON lines") from None
    found: list[Point] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        where = f"{path}:{number}"
        try:
            tree = json.loads(line)
        except json.JSONDecodeError as error:
            raise MeasurementError(f"not JSON: {error}", where=where, hint="one point a line") from None
        found.append(point_of(tree, where))
    return _distinct(found, str(path))


def shipped_points() -> tuple[Point, ...]:
    """Return the cases that come with the project, one file a source."""
    found: list[Point] = []
    for path in sorted(CASES.glob("*.toml")):
        tree = read_toml(path)
        source = {key: tree.get(key, "") for key in ("title", "url")}
        for number, case in enumerate(tree["cases"], 1):
            whole = {"evidence": tree.get("evidence", ""), "complete": True, **case}
            whole["source"] = {**source, "table": case.get("table", tree.get("table", ""))}
            whole.pop("table", None)
            found.append(point_of(whole, f"{path.name}:case {number}"))
    return _distinct(found, "validate/cases")


def point_of(tree: Any, where: str) -> Point:
    """Return the point of a parsed line; raise MeasurementError naming the key that is wrong."""
    if not isinstance(tree, Mapping):
        raise MeasurementError(f"found {type(tree).__name__}, expected an object", where=where)
    source, metric = _mapping(tree, "source", where), _mapping(tree, "metric", where)
    kind = _text(tree, "kind", where)
    if kind not in KINDS:
        raise MeasurementError(f"kind: found {kind!r}, expected one of {', '.join(KINDS)}", where=where)
    if "complete" in tree and not isinstance(tree["complete"], bool):
        raise MeasurementError(f"complete: found {tree['complete']!r}, expected true or false", where=where)
    return Point(
        id=_text(tree, "id", where),
        kind=kind,
        title=_text(source, "title", where),
        url=str(source.get("url", "")),
        table=str(source.get("table", "")),
        hardware=_text(tree, "hardware", where),
        chips=_count(tree, where),
        model=_mapping(tree, "model", where),
        config=_mapping(tree, "config", where),
        metric=_text(metric, "name", where),
        value=_positive(metric, where),
        unit=str(metric.get("unit", "")),
        evidence=str(tree.get("evidence", "")),
        complete=bool(tree.get("complete", True)),
        also=_mapping(tree, "also", where) if tree.get("also") is not None else {},
        notes=str(tree.get("notes", "")),
        missing=tuple(str(item) for item in tree.get("missing") or ()),
    )


def tree_of(point: Point) -> dict[str, Any]:
    """Return a point as the mapping that a line of a file holds."""
    tree: dict[str, Any] = {
        "id": point.id,
        "kind": point.kind,
        "source": {"title": point.title, "url": point.url, "table": point.table},
        "hardware": point.hardware,
        "chips": point.chips,
        "model": dict(point.model),
        "config": dict(point.config),
        "metric": {"name": point.metric, "value": point.value, "unit": point.unit},
        "also": dict(point.also),
        "evidence": point.evidence,
        "complete": point.complete,
        "notes": point.notes,
    }
    return tree


def _distinct(points: Iterable[Point], where: str) -> tuple[Point, ...]:
    found = tuple(points)
    seen: set[str] = set()
    for point in found:
        if point.id in seen:
            raise MeasurementError(f"two points are called {point.id!r}", where=where, hint="give each its own id")
        seen.add(point.id)
    return found


def _mapping(tree: Mapping[str, Any], key: str, where: str) -> Mapping[str, Any]:
    value = tree.get(key)
    if not isinstance(value, Mapping):
        raise MeasurementError(f"{key}: found {value!r}, expected an object", where=where)
    return value


def _text(tree: Mapping[str, Any], key: str, where: str) -> str:
    value = tree.get(key)
    if not isinstance(value, str) or not value:
        raise MeasurementError(f"{key}: found {value!r}, expected words", where=where)
    return value


def _positive(metric: Mapping[str, Any], where: str) -> float:
    value = metric.get("value")
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
        raise MeasurementError(f"metric.value: found {value!r}, expected a number above 0", where=where)
    return float(value)


def _count(tree: Mapping[str, Any], where: str) -> float | None:
    """Return the chips; None where the source says in words that it does not tell."""
    value = tree.get("chips")
    if value is None or isinstance(value, str):
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
        raise MeasurementError(f"chips: found {value!r}, expected a number above 0", where=where)
    return float(value)
