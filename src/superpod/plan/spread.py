"""How wide the facts' own ranges leave an answer: draws for percentiles, and each fact alone from end to end."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from superpod.catalog.provenance import UsedFact
from superpod.result import Num

DRAWS = 2000
WORTH_SAYING = 1e-3
Moved = Mapping[str, Num]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranged:
    """A fact that may lie between `low` and `high`."""

    where: str
    low: float
    value: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """The headline with one fact at its low and at its high."""

    where: str
    kind: str
    at_low: float
    at_high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Percentiles of the headline, and what moves it, the widest first."""

    p10: float
    p50: float
    p90: float
    bars: tuple[Bar, ...]


def ranged(facts: Iterable[UsedFact]) -> tuple[Ranged, ...]:
    """Return the facts that have a value and a range."""
    found: list[Ranged] = []
    for used in facts:
        fact = used.fact
        if fact.value is None or (fact.low is None and fact.high is None):
            continue
        low, high = fact.low if fact.low is not None else fact.value, fact.high if fact.high is not None else fact.value
        if low < high:
            found.append(Ranged(where=used.where, low=low, value=fact.value, high=high))
    return tuple(found)


def spread(price: Callable[[Moved], Num], facts: Iterable[UsedFact], seed: int = 0) -> Spread:
    """Return percentiles of `price` over triangular draws (low, value, high) of all ranges, and its tornado.

    `price` takes the facts that are moved, by place. Draws are independent of each other, and of logarithms where the
    low is above 0: rates, times and prices are known up to a factor.
    """
    used = {item.where: item for item in facts}
    ranges = ranged(used.values())
    drawn = draws(ranges, DRAWS, seed)
    values = np.broadcast_to(np.asarray(price(drawn), dtype=float), (DRAWS,))
    base = float(np.asarray(price({})))
    bars = [
        Bar(
            where=item.where,
            kind=str(used[item.where].fact.kind),
            at_low=float(np.asarray(price({item.where: item.low}))),
            at_high=float(np.asarray(price({item.where: item.high}))),
        )
        for item in ranges
    ]
    wide = [bar for bar in bars if abs(bar.at_high - bar.at_low) > WORTH_SAYING * abs(base)]
    wide.sort(key=lambda bar: -abs(bar.at_high - bar.at_low))
    p10, p50, p90 = (float(value) for value in np.percentile(values, (10.0, 50.0, 90.0)))
    return Spread(p10=p10, p50=p50, p90=p90, bars=tuple(wide))


def draws(ranges: Iterable[Ranged], count: int, seed: int = 0) -> dict[str, Num]:
    """Return `count` draws of each range, by place; see `spread`."""
    rng = np.random.default_rng(seed)
    return {item.where: _drawn(rng, item, count) for item in ranges}


def _drawn(rng: np.random.Generator, item: Ranged, count: int) -> Num:
    if item.low <= 0.0:
        return rng.triangular(item.low, item.value, item.high, count)
    drawn: Num = np.exp(rng.triangular(np.log(item.low), np.log(item.value), np.log(item.high), count))
    return drawn
