"""When requests come: renewal processes whose rate may change through a cycle."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from superpod.errors import TrafficError
from superpod.traffic.requests import PIECE, Reals
from superpod.units import DAY_S, HOUR_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrivals:
    """A renewal process: `rates_per_s[i]` holds for `spans_s[i]`, then the next, then again from the first.

    Intervals are gamma distributed on the clock that the rate drives (time rescaling: an interval that spans two
    rates passes through each at its own pace); `cv_ratio` is their standard deviation over their mean: 1 is Poisson,
    0 is evenly spaced, above 1 is bursty.

    Raises:
        TrafficError: no rate above 0, a rate or span that is negative or not finite, a negative CV.
    """

    rates_per_s: tuple[float, ...]
    spans_s: tuple[float, ...] = (1.0,)
    cv_ratio: float = 1.0

    def __post_init__(self) -> None:
        good_rates = all(math.isfinite(rate) and rate >= 0 for rate in self.rates_per_s) and any(self.rates_per_s)
        if not good_rates:
            raise TrafficError(
                f"rates {self.rates_per_s} requests/s; expected finite ones, one above 0", where="arrivals"
            )
        if len(self.spans_s) != len(self.rates_per_s) or not all(
            math.isfinite(span) and span > 0 for span in self.spans_s
        ):
            raise TrafficError(f"spans {self.spans_s} s; expected one above 0 for each rate", where="arrivals")
        if not (math.isfinite(self.cv_ratio) and self.cv_ratio >= 0):
            raise TrafficError(f"CV of intervals {self.cv_ratio}; expected 0 or more", where="arrivals")

    @property
    def rate_per_s(self) -> float:
        """Mean rate over a cycle."""
        return sum(rate * span for rate, span in zip(self.rates_per_s, self.spans_s, strict=True)) / sum(self.spans_s)

    def scaled(self, factor: float) -> "Arrivals":
        """Return the same arrivals at `factor` times the rate."""
        return Arrivals(
            rates_per_s=tuple(rate * factor for rate in self.rates_per_s), spans_s=self.spans_s, cv_ratio=self.cv_ratio
        )

    def times(self, rng: np.random.Generator) -> Iterator[Reals]:
        """Yield arrival times without end, `PIECE` at a time."""
        reached = 0.0
        while True:
            passed = np.cumsum(self.intervals(rng, PIECE))
            passed += reached
            reached = float(passed[-1])
            yield self.on_the_clock(passed)

    def intervals(self, rng: np.random.Generator, count: int) -> Reals:
        """Return intervals of mean 1 between `count` requests."""
        if self.cv_ratio == 0:
            return np.ones(count)
        if self.cv_ratio == 1:
            return rng.standard_exponential(count)
        shape = self.cv_ratio**-2
        return rng.standard_gamma(shape, count) / shape

    def on_the_clock(self, passed: Reals) -> Reals:
        """Return when so many requests (real numbers, rising) are expected to have come.

        With rate r(t) of period T, the inverse of the integral of r: whole cycles first, then a straight line within
        the span reached.
        """
        if len(self.rates_per_s) == 1:
            return passed / self.rates_per_s[0]
        rates, spans = np.array(self.rates_per_s), np.array(self.spans_s)
        busy = rates > 0
        opens = np.concatenate([[0.0], np.cumsum(spans)])[:-1][busy]
        counts = np.concatenate([[0.0], np.cumsum((rates * spans)[busy])])
        cycles = np.floor(passed / counts[-1])
        rest = passed - cycles * counts[-1]
        place = np.clip(np.searchsorted(counts, rest, side="right") - 1, 0, len(opens) - 1)
        times: Reals = cycles * float(spans.sum()) + opens[place] + (rest - counts[place]) / rates[busy][place]
        return times


def poisson(rate_per_s: float) -> Arrivals:
    """Return requests that know nothing of each other."""
    return Arrivals(rates_per_s=(rate_per_s,))


def gamma(rate_per_s: float, cv_ratio: float) -> Arrivals:
    """Return requests with gamma distributed intervals."""
    return Arrivals(rates_per_s=(rate_per_s,), cv_ratio=cv_ratio)


def uniform(rate_per_s: float) -> Arrivals:
    """Return evenly spaced requests."""
    return Arrivals(rates_per_s=(rate_per_s,), cv_ratio=0.0)


def profile(rate_per_s: float, weights: Sequence[float], *, period_s: float = DAY_S, cv_ratio: float = 1.0) -> Arrivals:
    """Return arrivals of mean `rate_per_s` whose rate follows `weights`, equal parts of a day (24: one an hour)."""
    mean = sum(weights) / len(weights) if weights else 0.0
    if not (mean > 0 and math.isfinite(mean)):
        raise TrafficError(f"weights {list(weights)}; expected some above 0", where="arrivals")
    return Arrivals(
        rates_per_s=tuple(rate_per_s * weight / mean for weight in weights),
        spans_s=(period_s / len(weights),) * len(weights),
        cv_ratio=cv_ratio,
    )


def diurnal(rate_per_s: float, peak_factor: float, *, peak_s: float = DAY_S / 2, cv_ratio: float = 1.0) -> Arrivals:
    """Return a day whose hourly rate is a sine: `rate_per_s` in the mean, `peak_factor` times that at `peak_s`.

    A drawing of a day, not a measurement; `profile` takes a measured one. The peak is at most twice the mean.
    """
    if not 1 <= peak_factor <= 2:
        raise TrafficError(
            f"peak {peak_factor} times the mean; expected 1 to 2 for a sine",
            where="arrivals",
            hint="give the hours' own weights: diurnal:RATE,hours=1/2/3...",
        )
    hours = (np.arange(24) + 0.5) * HOUR_S
    swing = 1 + (peak_factor - 1) * np.cos(2 * np.pi * (hours - peak_s) / DAY_S)
    return profile(rate_per_s, swing.tolist(), cv_ratio=cv_ratio)


def bursts(rate_per_s: float, on_s: float, off_s: float, *, cv_ratio: float = 1.0) -> Arrivals:
    """Return arrivals at `rate_per_s` for `on_s`, then none for `off_s`, and so on."""
    return Arrivals(rates_per_s=(rate_per_s, 0.0), spans_s=(on_s, off_s), cv_ratio=cv_ratio)
