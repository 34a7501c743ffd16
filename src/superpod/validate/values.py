"""Numbers of a point's own mappings, by whichever of several keys a source uses."""

import math
from collections.abc import Mapping

SECONDS = {"s": 1.0, "ms": 1e-3, "us": 1e-6}


def finite(value: object) -> float | None:
    """Return a value as a number, None where it is none: a truth value, infinite, or too big for one."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        made = float(value)
    except OverflowError:
        return None
    return made if math.isfinite(made) else None


def positive(value: object) -> float | None:
    """Return a value as a number above 0, None where it is none."""
    made = finite(value)
    return made if made is not None and made > 0.0 else None


def number(values: Mapping[str, object], *names: str) -> float | None:
    """Return the first of the named values that is a number."""
    return next((made for name in names if (made := finite(values.get(name))) is not None), None)
