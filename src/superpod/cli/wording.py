"""Numbers in the reader's units: the display side of `superpod.units`."""

import math
from collections.abc import Callable

from superpod.units import DAY_S, HOUR_S, KWH_J, YEAR_S, human, percent, significant

DASH = "—"
DURATIONS = ((YEAR_S, 2.0, "years"), (DAY_S, 2.0, "days"), (HOUR_S, 2.0, "h"), (60.0, 2.0, "min"))
PLAIN_TOKENS_MAX = 1e7
SHARE_MAX = 2.0
YEARLY = "a year, compounded"
RATE = "a year"
RATE_SHARE = "of the price a year"
# The ends of field names, the longer ones first, and the unit they stand for.
SUFFIXES = (
    ("usd_per_j", "USD/J"),
    ("usd_per_byte", "USD/B"),
    ("usd_per_w", "USD/W"),
    ("carbon_kg_per_j", "kg/J"),
    ("water_m3_per_j", "m3/J"),
    ("upkeep_per_s", RATE_SHARE),
    ("bytes_per_s", "B/s"),
    ("flop_per_s", "FLOP/s"),
    ("discount_rate_per_s", YEARLY),
    ("failure_per_s", RATE),
    ("corruption_per_s", RATE),
    ("planned_per_s", RATE),
    ("slow_per_s", RATE),
    ("_bytes", "B"),
    ("usd", "USD"),
    ("_count", "count"),
    ("_frac", ""),
    ("pue", "count"),
    ("_w", "W"),
    ("_s", "s"),
)


def quantity(value: float | None, unit: str) -> str:
    """Return an SI number as people write it; a share where the unit is empty.

    >>> quantity(0.0493, "s"), quantity(1943.4, "token/s"), quantity(0.417, ""), quantity(None, "W")
    ('49.3 ms', '1,943 token/s', '41.7 %', '—')
    """
    if value is None or math.isnan(value):
        return DASH
    if unit == "" and abs(value) > SHARE_MAX:
        return count(value)  # no share is that large: a bare number
    if unit in WRITERS:
        return WRITERS[unit](value)
    if unit.startswith(("token", "request", "sequence")) and 0.1 <= abs(value) < PLAIN_TOKENS_MAX:
        return f"{significant(value)} {unit}"
    return human(value, unit)


def duration(value: float) -> str:
    """Return seconds, or minutes to years where they are many.

    >>> duration(0.002), duration(7200.0)
    ('2.00 ms', '2.00 h')
    """
    for scale, least, name in DURATIONS:
        if abs(value) >= scale * least:
            return f"{significant(value / scale)} {name}"
    return human(value, "s")


def dollars(value: float) -> str:
    """Return US dollars, with a prefix where they are many.

    >>> dollars(0.4321), dollars(2.5e7)
    ('0.432 USD', '25.0 million USD')
    """
    for scale, name in ((1e9, "billion "), (1e6, "million ")):
        if abs(value) >= scale:
            return f"{significant(value / scale)} {name}USD"
    return f"{significant(value)} USD"


def count(value: float | None) -> str:
    """Return a count without needless decimals.

    >>> count(384.0), count(1.5)
    ('384', '1.50')
    """
    if value is None or math.isnan(value):
        return DASH
    return f"{value:,.0f}" if math.isfinite(value) and value == round(value) else significant(value)


WRITERS: dict[str, Callable[[float], str]] = {
    "": percent,
    "s": duration,
    "USD": dollars,
    "count": count,
    "cards": lambda value: f"{count(value)} cards",
    "requests": lambda value: f"{value:,.0f} requests",
    "USD/J": lambda value: f"{significant(value * KWH_J)} USD/kWh",
    "USD/token": lambda value: f"{significant(value * 1e6)} USD/M tokens",
    "1/s": lambda value: f"{significant(value)} /s",
    RATE_SHARE: lambda value: f"{percent(value * YEAR_S)} a year",
    "USD/B": lambda value: f"{significant(value * 1e12)} USD/TB",
    "m3/J": lambda value: f"{significant(value * KWH_J * 1e3)} L/kWh",
    "kg/J": lambda value: f"{significant(value * KWH_J)} kg/kWh",
    RATE: lambda value: f"{significant(value * YEAR_S)} a year",
    YEARLY: lambda value: f"{percent(math.expm1(value * YEAR_S))} a year",
}


def unit_of(path: str) -> str:
    """Return the unit of a fact from its path: the last part of it that ends in a unit.

    >>> unit_of("tiers.pod.bandwidth_bytes_per_s"), unit_of("matrix_flop_per_s.bf16")
    ('B/s', 'FLOP/s')
    """
    for part in reversed(path.rpartition(":")[2].split(".")):
        for suffix, unit in SUFFIXES:
            if part.endswith(suffix):
                return unit
    return "count"


def fact_text(path: str, value: float | None) -> str:
    """Return a fact's number in human units."""
    return quantity(value, unit_of(path))


def span(path: str, low: float | None, high: float | None) -> str:
    """Return `low to high`, or a dash where no range is known."""
    if low is None and high is None:
        return DASH
    return f"{fact_text(path, low)} to {fact_text(path, high)}"


def scaled(value: float | None, scale: float) -> str:
    """Return a number in units of `scale`, for a column that names its unit; a dash where nobody published it."""
    return DASH if value is None else significant(value / scale)


def factor(value: float) -> str:
    """Return a ratio.

    >>> factor(1.234)
    '× 1.23'
    """
    return f"× {significant(value)}"
