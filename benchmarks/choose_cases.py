"""Choose the cases that ship with the project from a file of published points, and write them, one file a source.

    python benchmarks/choose_cases.py POINTS.jsonl

From each source and kind of number at most so many points, spread evenly over the order of the file, so that the
choice does not depend on what is predicted well; points named in `ALWAYS` come on top. Files kept by hand stay as they
are, and nothing is chosen of a source that one of them holds whole.
"""

import json
import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from superpod.catalog.read import read_toml
from superpod.validate.point import CASES, Point, read_points, tree_of

MOST = {"training": 6, "inference": 5, "operator": 3, "collective": 2}  # of one source, chip and metric
ALWAYS = re.compile(r"^cm384-(abl|decode|prefill|mla)")
BY_HAND = "# Kept by hand."


def chosen(points: Iterable[Point]) -> list[Point]:
    """Return an even choice of every source, chip and metric."""
    groups: dict[tuple[str, ...], list[Point]] = defaultdict(list)
    for point in points:
        if point.complete:
            words = str(point.config.get("op") or point.config.get("collective") or "")
            groups[point.kind, point.title, point.hardware[:12], point.metric, words].append(point)
    found: list[Point] = []
    for key, members in groups.items():
        most = MOST[key[0]]
        step = max(len(members) / most, 1.0)
        places = {int(number * step) for number in range(min(most, len(members)))}
        found += [point for place, point in enumerate(members) if place in places or ALWAYS.match(point.id)]
    return found


def main() -> None:
    """Write the cases."""
    CASES.mkdir(exist_ok=True)
    whole: set[str] = set()
    for path in CASES.glob("*.toml"):
        text = path.read_text(encoding="utf-8")
        if not text.startswith(BY_HAND):
            path.unlink()
        elif "holds its source whole" in text.splitlines()[0]:
            whole.add(read_toml(path)["title"])
    by_title: dict[str, list[Point]] = defaultdict(list)
    for point in chosen(read_points(Path(sys.argv[1]))):
        if point.title not in whole:
            by_title[point.title].append(point)
    for title, points in by_title.items():
        path = CASES / f"{file_name(title)}.toml"
        path.write_text(text_of(points), encoding="utf-8")
        print(f"{len(points):4d} {path.name}")


def file_name(title: str) -> str:
    """Return a short name for a source's file."""
    plain = re.sub(r"\(.*?\)|performance|data|profile|benchmarks?|results?|recipes", "", title.lower())
    return "-".join(re.findall(r"[a-z0-9]+", plain)[:4])


def text_of(points: list[Point]) -> str:
    """Return a source's cases as TOML."""
    first = points[0]
    lines = [f"title = {json.dumps(first.title, ensure_ascii=False)}", f"url = {json.dumps(first.url)}"]
    lines += [f"evidence = {json.dumps(first.evidence)}"]
    for point in points:
        tree = tree_of(point)
        tree["table"] = point.table
        lines += ["", "[[cases]]"]
        if point.evidence != first.evidence:
            lines.append(f"evidence = {json.dumps(point.evidence)}")
        for key in ("id", "kind", "table", "hardware", "chips", "model", "config", "metric", "also", "notes"):
            if tree[key] not in (None, "", {}):
                lines.append(f"{key} = {value_of(tree[key])}")
    return "\n".join(lines) + "\n"


def value_of(value: Any) -> str:
    """Return a value as TOML."""
    if isinstance(value, Mapping):
        inside = ", ".join(f"{key_of(key)} = {value_of(item)}" for key, item in value.items() if item is not None)
        return f"{{ {inside} }}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(value_of(item) for item in value)}]"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return json.dumps(value, ensure_ascii=False)


def key_of(key: str) -> str:
    """Return a key as TOML."""
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else json.dumps(key)


if __name__ == "__main__":
    main()
