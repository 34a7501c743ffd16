"""How often a call is repeated, and what its repeats say. Pure: the clock is the caller's."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from superpod.errors import MeasurementError

LOW, HIGH = 0.1, 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """What repeats of one call say: their median, (P90 - P10) / median (None of a single one), and their number."""

    median_s: float
    spread_frac: float | None
    repeats_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """When to stop repeating.

    Not before `least_count` repeats, unless they take longer than `time_s` together and `few_count` are there; then as
    soon as the spread is at most `spread_frac` over `least_s`, `time_s` is spent, or `most_count` is reached. A repeat
    is a burst of calls that lasts at least `burst_s`, `calls_most_count` at most, so that the clock's own step does not
    count. A call longer than `long_s` is not repeated.
    """

    few_count: int = 3
    least_count: int = 10
    most_count: int = 100
    spread_frac: float = 0.02
    least_s: float = 0.05
    time_s: float = 0.2
    burst_s: float = 1e-3
    calls_most_count: int = 1024
    warm_s: float = 0.02
    long_s: float = 10.0


def quantile(ordered: Sequence[float], share: float) -> float:
    """Return a quantile of ascending numbers, linear between neighbours (Hyndman & Fan 1996, type 7).

    >>> quantile([1.0, 2.0, 3.0, 4.0], 0.5)
    2.5
    """
    place = share * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def summarise(samples_s: Sequence[float]) -> Timing:
    """Return the median and spread of repeats; raise MeasurementError where the clock did not move."""
    ordered = sorted(samples_s)
    median_s = quantile(ordered, 0.5) if ordered else 0.0
    if not median_s > 0.0 or not math.isfinite(median_s):
        raise MeasurementError("the clock did not move during the call")
    several = len(ordered) > 1
    spread = (quantile(ordered, HIGH) - quantile(ordered, LOW)) / median_s if several else None
    return Timing(median_s=median_s, spread_frac=spread, repeats_count=len(ordered))


def settled(samples_s: Sequence[float], spent_s: float, rule: Rule) -> bool:
    """Return whether the repeats are enough under the rule."""
    count = len(samples_s)
    if count >= rule.most_count:
        return True
    if spent_s >= rule.time_s:
        return count >= rule.few_count
    enough = count >= rule.least_count and spent_s >= rule.least_s
    spread = summarise(samples_s).spread_frac if enough else None
    return spread is not None and spread <= rule.spread_frac


def burst_count(call_s: float, whole_count: int, rule: Rule) -> int:
    """Return the calls of one burst: enough for `burst_s`, within `calls_most_count`, a multiple of `whole_count`."""
    wanted = min(rule.calls_most_count, max(1.0, rule.burst_s / call_s))
    return math.ceil(wanted / whole_count) * whole_count


def repeat(burst: Callable[[int], float], whole_count: int, rule: Rule) -> Timing:
    """Return the timing of one call; `burst(n)` runs n calls and returns the seconds of all of them.

    Warm-up comes first and is not counted: at least one burst, and `warm_s` of them. Nothing but the returned seconds
    decides, so that ranks that return the same seconds stop together.
    """
    once_s = positive(burst(whole_count)) / whole_count
    if once_s > rule.long_s:
        return summarise([once_s])
    count = burst_count(positive(burst(whole_count)) / whole_count, whole_count, rule)
    warm_s = took_s = 0.0
    while warm_s < rule.warm_s:
        took_s = positive(burst(count))
        warm_s += took_s
    # A warm call is faster than the first ones: a burst may need more of them.
    count = max(count, burst_count(took_s / count, whole_count, rule)) if took_s else count
    samples_s: list[float] = []
    spent_s = 0.0
    while not settled(samples_s, spent_s, rule):
        took_s = burst(count)
        spent_s += took_s
        samples_s.append(took_s / count)
    return summarise(samples_s)


def positive(seconds: float) -> float:
    """Return seconds that are more than none; MeasurementError where the clock did not move."""
    if not seconds > 0.0 or not math.isfinite(seconds):
        raise MeasurementError("the clock did not move during the call")
    return seconds
