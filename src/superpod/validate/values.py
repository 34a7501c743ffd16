"""Numbers of a point's own mappings, by whichever of several keys a source uses."""

import math
from collections.abc import Mapping


def number(values: Mapping[str, object], *names: str) -> float | None:
    """Return the first of the named values that is a number."""
    for name in names:
        value = values.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            return float(value)
    return None
