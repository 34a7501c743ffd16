"""A published point: one measured number with everything that its source says about how it was measured."""

import json
import reprlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from superpod.catalog.read import read_toml
from superpod.errors import MeasurementError
from superpod.validate.values import positive

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
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise MeasurementError(f"cannot be read: {reason}", where=str(path), hint="a file of JSON lines") from None
    found: list[Point] = []
    for number, line in enumerate(text.split("\n"), 1):  # a string may hold other ends of lines
        if line.strip():
            where = f"{path}:{number}"
            found.append(point_of(_parsed(line, where), where))
    return _distinct(found, str(path))


def _parsed(line: str, where: str) -> Any:
    """Return what a line of JSON holds; raise MeasurementError where it cannot be read, or not be written again."""
    try:
        tree = json.loads(line)
        json.dumps(tree, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        reason = str(error)
    except UnicodeEncodeError as error:
        reason = f"found half of a surrogate pair, {error.object[error.start]!a}, expected whole characters"
    except RecursionError:
        reason = "found brackets within brackets without end, expected an object of a few levels"
    except ValueError:
        reason = "found an integer of thousands of digits, expected a number"
    else:
        return tree
    raise MeasurementError(f"not JSON: {reason}", where=where, hint="one point a line")


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
        raise MeasurementError(f"kind: found {reprlib.repr(kind)}, expected one of {', '.join(KINDS)}", where=where)
    if "complete" in tree and not isinstance(tree["complete"], bool):
        raise MeasurementError(f"complete: found {reprlib.repr(tree['complete'])}, expected true or false", where=where)
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
        value=_above_zero(metric, "value", where, "metric.value"),
        unit=str(metric.get("unit", "")),
        evidence=str(tree.get("evidence", "")),
        complete=bool(tree.get("complete", True)),
        also=_mapping(tree, "also", where) if tree.get("also") is not None else {},
        notes=str(tree.get("notes", "")),
        missing=_list(tree, "missing", where),
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
        raise MeasurementError(f"{key}: found {reprlib.repr(value)}, expected an object", where=where)
    return value


def _text(tree: Mapping[str, Any], key: str, where: str) -> str:
    value = tree.get(key)
    if not isinstance(value, str) or not value:
        raise MeasurementError(f"{key}: found {reprlib.repr(value)}, expected words", where=where)
    return value


def _list(tree: Mapping[str, Any], key: str, where: str) -> tuple[str, ...]:
    value = tree.get(key)
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise MeasurementError(f"{key}: found {reprlib.repr(value)}, expected a list of words", where=where)
    return tuple(value)


def _above_zero(tree: Mapping[str, Any], key: str, where: str, name: str) -> float:
    made = positive(tree.get(key))
    if made is None:
        raise MeasurementError(f"{name}: found {reprlib.repr(tree.get(key))}, expected a number above 0", where=where)
    return made


def _count(tree: Mapping[str, Any], where: str) -> float | None:
    """Return the chips; None where the source says in words that it does not tell."""
    value = tree.get("chips")
    if value is None or isinstance(value, str):
        return None
    return _above_zero(tree, "chips", where, "chips")
