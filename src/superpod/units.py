"""SI numbers for people: the only place where seconds become milliseconds and bytes become gigabytes."""

import math

PREFIXES = (
    (1e24, "Y"),
    (1e21, "Z"),
    (1e18, "E"),
    (1e15, "P"),
    (1e12, "T"),
    (1e9, "G"),
    (1e6, "M"),
    (1e3, "k"),
    (1.0, ""),
)
ALLOWED_SUFFIXES = (
    "_s",
    "_bytes",
    "_bytes_per_s",
    "_flop",
    "_flop_per_s",
    "_w",
    "_j",
    "_usd",
    "_usd_per_j",
    "_usd_per_byte",
    "_c",
    "_k",
    "_k_per_w",
    "_kg",
    "_kg_per_m3",
    "_j_per_kg_k",
    "_m3_per_j",
    "_m3",
    "_m",
    "_hz",
    "_per_s",
    "_frac",
    "_ratio",
    "_factor",
    "_count",
    "_tokens",
)
"""How the name of a number ends: its SI unit, or what makes it a pure number."""
HOUR_S, DAY_S = 3600.0, 86_400.0
YEAR_S = 31_557_600.0  # a Julian year
KWH_J = 3.6e6
SMALL = ((1.0, ""), (1e-3, "m"), (1e-6, "µ"), (1e-9, "n"))


def human(value: float, unit: str, digits: int = 3) -> str:
    """Return `value` with an SI prefix, e.g. `392 GB/s`.

    >>> human(3.92e11, "B/s")
    '392 GB/s'
    """
    if value == 0 or not math.isfinite(value):
        return f"{value:g} {unit}".strip()
    size = abs(value)
    for scale, prefix in PREFIXES if size >= 1 else SMALL:
        if size >= scale * (1 - 1e-12):
            return f"{significant(value / scale, digits)} {prefix}{unit}".strip()
    return f"{value:.2e} {unit}".strip()


def significant(value: float, digits: int = 3) -> str:
    """Return `value` with about `digits` significant digits and no exponent where it can be read without one.

    >>> significant(1943.4), significant(0.04942)
    ('1,943', '0.0494')
    """
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{value:,.{decimals}f}"


def percent(share: float) -> str:
    """Return a share as a percentage.

    >>> percent(0.4168)
    '41.7 %'
    """
    return f"{100 * share:.1f} %"
