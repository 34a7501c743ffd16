"""Which release of software in the catalogue the words of a point mean: the rows of software.toml."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from superpod.catalog.read import Tree, read_toml

SOFTWARE = Path(__file__).parent / "software.toml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trainer:
    """The release of the catalogue that a training source ran, empty for a current one, and how gradients travel."""

    software: str = ""
    gradient_bytes: float = 4.0


def software_of(config: Mapping[str, Any], hardware: str) -> tuple[str, str]:
    """Return (release of the catalogue, what is guessed of it): that of the engine that a point names.

    Where it names none, the serving stack of the machine's own paper; no release where there is neither, or where
    nothing in the catalogue stands for the engine.
    """
    text = " ".join(str(config.get(key) or "") for key in ("engine", "engine_version", "backend")).lower()
    rows = [(size, row) for row in _tree()["engines"] if (size := _letters(row, text))]
    if not rows:
        machines = (row for row in _tree()["machines"] if any(word in hardware.lower() for word in row["words"]))
        return next((str(row["software"]) for row in machines), ""), ""
    _, engine = max(rows, key=lambda item: item[0])
    return nearest(engine, text)


def nearest(engine: Tree, text: str) -> tuple[str, str]:
    """Return the entry of the release that a text names, or the nearest one and that it is a guess.

    Of two releases as near the later one counts, and where none is named the last.
    """
    releases = engine.get("releases", ())
    if not releases:
        return "", f"no entry of {engine['name']}"
    if "from" not in releases[0]:  # one entry for all releases
        return str(releases[0]["software"]), ""
    release = _release(engine, text)
    if release is None:
        last = str(releases[-1]["software"])
        return last, f"release of {engine['name']} not stated, as {last}"
    away = [(_away(row, release), -place) for place, row in enumerate(releases)]
    distance, place = min(away)
    found = str(releases[-place]["software"])
    return found, "" if distance == 0.0 else f"{engine['name']} {release[0]}.{release[1]} as {found}"


def trainer(title: str, table: str, model: str) -> Trainer:
    """Return what rows say of a training source, by its title, table and model; the first that fits counts."""
    for row in _tree()["trainers"]:
        fits = row["title"].lower() in title.lower() and row.get("table", "") in table
        if fits and model in row.get("models", (model,)):
            return Trainer(software=row.get("software", ""), gradient_bytes=float(row.get("gradient_bytes", 4.0)))
    return Trainer()


def unfused(calibration: str) -> bool:
    """Return whether a calibration is of chips of the time before fused attention was common."""
    return calibration in _tree()["training"]["unfused_calibrations"]


def _letters(engine: Tree, text: str) -> int:
    """Return the letters of an engine's words in a text, 0 where it is not this engine."""
    also = engine.get("also", ())
    found = [len(word) for word in engine["words"] if word in text]
    return max(found) + sum(map(len, also)) if found and all(word in text for word in also) else 0


def _release(engine: Tree, text: str) -> tuple[int, int] | None:
    """Return the release after an engine's name, or None where there is none; `1` is 1.0."""
    word = max((word for word in engine["words"] if word in text), key=len)
    found = re.search(rf"{re.escape(word)}[ ,=v@-]*(\d+)(?:\.(\d+))?", text)
    return None if found is None else (int(found[1]), int(found[2] or 0))


def _away(row: Tree, release: tuple[int, int]) -> float:
    """Return how far a release lies outside a row's, a major one counting as a hundred minor ones."""
    low, high = (_order(*map(int, str(row[key]).split("."))) for key in ("from", "to"))
    wanted = _order(*release)
    return max(low - wanted, wanted - high, 0.0)


def _order(major: int, minor: int) -> float:
    return 100.0 * major + minor


@lru_cache(maxsize=1)
def _tree() -> Tree:
    return read_toml(SOFTWARE)
