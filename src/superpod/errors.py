"""Everything superpod raises on purpose.

SuperpodError                 base: message, where, hint; the command line prints it and exits 2
├── CatalogueError            a catalogue, model or facility file is wrong
│   ├── UnknownNameError      no entry of that name (with did-you-mean)
│   └── MissingFactError      the entry exists, but nobody has published this number
├── NoBasisError              no calibration or rate to compute from (a dtype the chip lacks)
├── ScenarioError             the question contradicts itself (world size, degrees, batch)
├── MeasurementError          a file of measurements is wrong
├── TrafficError              a trace of requests or a description of traffic is wrong
├── UnreachableError          a transfer whose ends no path joins
└── InfeasibleError           nothing in the searched space fits; carries the closest misses
"""

import difflib
from collections.abc import Iterable


class SuperpodError(Exception):
    """One clear error: what happened, where, and what to do about it."""

    def __init__(self, message: str, *, where: str = "", hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        advice = f"\nhint: {self.hint}" if self.hint else ""
        return f"{place}{self.message}{advice}"


class CatalogueError(SuperpodError):
    """A catalogue, model or facility file is wrong."""


class UnknownNameError(CatalogueError):
    """No entry of that name."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        names = sorted(known)
        super().__init__(
            f"unknown {kind} {name!r}",
            hint=did_you_mean(name, names) or f"known: {', '.join(names)}",
        )


class MissingFactError(CatalogueError):
    """The entry exists, but nobody has published this number."""


class NoBasisError(SuperpodError):
    """There is no rate or calibration to compute this from."""


class ScenarioError(SuperpodError):
    """The question contradicts itself."""


class MeasurementError(SuperpodError):
    """A file of measurements is wrong."""


class TrafficError(SuperpodError):
    """A trace of requests or a description of traffic is wrong."""


class UnreachableError(SuperpodError):
    """No path joins the two ends of a transfer."""


class InfeasibleError(SuperpodError):
    """Nothing in the searched space fits."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return `did you mean …?` for the closest names, or an empty string."""
    close = difflib.get_close_matches(name.lower(), list(known), n=3, cutoff=0.6)
    return f"did you mean {' or '.join(repr(match) for match in close)}?" if close else ""
