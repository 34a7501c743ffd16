"""Traffic in words: `poisson:20`, `gamma:20,cv=2`, `lognormal:median=800,sigma=1.2`."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from superpod.errors import TrafficError, did_you_mean
from superpod.traffic.arrivals import Arrivals, bursts, diurnal, gamma, poisson, profile, uniform
from superpod.traffic.lengths import LONGEST, Distribution, Lognormal, Uniform, fixed, lognormal_of_mean
from superpod.units import DAY_S, HOUR_S

T = TypeVar("T")

ARRIVALS_EXAMPLES = (
    "20 or poisson:20, gamma:20,cv=2, uniform:20, diurnal:20,peak=1.6,at=14, diurnal:20,hours=1/2/3,"
    " bursts:50,on=10,off=50"
)
LENGTHS_EXAMPLES = (
    "1024 or fixed:1024, uniform:100-2000, lognormal:median=800,sigma=1.2,max=8192, lognormal:mean=1155,p95=3000"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """A word with its values: `name:first,key=value,...`."""

    where: str
    examples: str
    name: str
    first: str
    named: Mapping[str, str]

    def fault(self, message: str) -> TrafficError:
        """Return the error that shows what could be said."""
        return TrafficError(message, where=self.where, hint=f"examples: {self.examples}")

    def number(self, key: str = "", default: float | None = None) -> float:
        """Return a value as a finite number; `key` is empty for the first."""
        text = self.named.get(key) if key else self.first
        if not text:
            if default is None:
                raise self.fault(f"{self.name} lacks {key or 'its number'}")
            return default
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise self.fault(f"{key or self.name} {text!r}; expected a number")
        return value

    def whole(self, key: str = "", default: int | None = None) -> int:
        """Return a value as a whole number."""
        value = self.number(key, default)
        if value != int(value):
            raise self.fault(f"{key or self.name} {value}; expected a whole number")
        return int(value)

    def only(self, *keys: str) -> None:
        """Raise for a key that the word does not know."""
        for key in self.named:
            if key not in keys:
                known = ", ".join(keys) or "none"
                raise self.fault(f"{self.name} knows no {key!r}; expected {known}")


def said(text: str, where: str, examples: str, plain: str) -> Said:
    """Return a text taken apart; a bare number is said of `plain`."""
    name, colon, rest = text.strip().partition(":")
    if not colon and name[:1].isdigit():
        name, rest = plain, name
    first, named = "", {}
    for place, item in enumerate(rest.split(",") if rest else []):
        key, equals, value = item.partition("=")
        if equals and key.strip() not in named:
            named[key.strip()] = value.strip()
        elif not equals and place == 0:
            first = item.strip()
        else:
            raise TrafficError(
                f"found {item!r} in {text!r}; expected key=value", where=where, hint=f"examples: {examples}"
            )
    return Said(where=where, examples=examples, name=name.strip().lower(), first=first, named=named)


def arrivals_of(text: str, where: str = "arrivals") -> Arrivals:
    """Return arrivals as said.

    Raises:
        TrafficError: a word that is not known, a value that is missing or impossible.
    """
    words: Mapping[str, Callable[[Said], Arrivals]] = {
        "poisson": said_poisson,
        "gamma": said_gamma,
        "uniform": said_uniform,
        "diurnal": said_diurnal,
        "bursts": said_bursts,
    }
    spoken = said(text, where, ARRIVALS_EXAMPLES, "poisson")
    return chosen(words, spoken)(spoken)


def distribution_of(text: str, where: str = "lengths") -> Distribution:
    """Return a distribution of lengths as said.

    Raises:
        TrafficError: a word that is not known, a value that is missing or impossible.
    """
    words: Mapping[str, Callable[[Said], Distribution]] = {
        "fixed": said_fixed,
        "uniform": said_range,
        "lognormal": said_lognormal,
    }
    spoken = said(text, where, LENGTHS_EXAMPLES, "fixed")
    return chosen(words, spoken)(spoken)


def chosen(words: Mapping[str, T], spoken: Said) -> T:
    """Return what a word stands for."""
    if spoken.name not in words:
        near = did_you_mean(spoken.name, words)
        raise spoken.fault(f"{spoken.name!r} is none of {', '.join(words)}{'; ' + near if near else ''}")
    return words[spoken.name]


def said_poisson(spoken: Said) -> Arrivals:
    """Return `poisson:RATE`."""
    spoken.only()
    return poisson(spoken.number())


def said_gamma(spoken: Said) -> Arrivals:
    """Return `gamma:RATE,cv=CV`."""
    spoken.only("cv")
    return gamma(spoken.number(), spoken.number("cv"))


def said_uniform(spoken: Said) -> Arrivals:
    """Return `uniform:RATE`."""
    spoken.only()
    return uniform(spoken.number())


def said_diurnal(spoken: Said) -> Arrivals:
    """Return `diurnal:RATE,peak=FACTOR[,at=HOUR][,cv=CV]` or `diurnal:RATE,hours=W/W/...[,cv=CV]`."""
    cv = spoken.number("cv", 1.0)
    if "hours" not in spoken.named:
        spoken.only("peak", "at", "cv")
        hour = spoken.number("at", DAY_S / 2 / HOUR_S)
        return diurnal(spoken.number(), spoken.number("peak"), peak_s=hour * HOUR_S, cv_ratio=cv)
    spoken.only("hours", "cv")
    try:
        weights = [float(weight) for weight in spoken.named["hours"].split("/")]
    except ValueError:
        raise spoken.fault(f"hours {spoken.named['hours']!r}; expected numbers joined by /") from None
    return profile(spoken.number(), weights, cv_ratio=cv)


def said_bursts(spoken: Said) -> Arrivals:
    """Return `bursts:RATE,on=S,off=S[,cv=CV]`."""
    spoken.only("on", "off", "cv")
    return bursts(spoken.number(), spoken.number("on"), spoken.number("off"), cv_ratio=spoken.number("cv", 1.0))


def said_fixed(spoken: Said) -> Distribution:
    """Return `fixed:TOKENS`."""
    spoken.only()
    return fixed(spoken.whole())


def said_range(spoken: Said) -> Distribution:
    """Return `uniform:LOW-HIGH`."""
    spoken.only()
    low, dash, high = spoken.first.partition("-")
    if not (dash and low.isdigit() and high.isdigit()):
        raise spoken.fault(f"uniform {spoken.first!r}; expected LOW-HIGH")
    return Uniform(low_tokens=int(low), high_tokens=int(high))


def said_lognormal(spoken: Said) -> Distribution:
    """Return `lognormal:median=T,sigma=S[,max=T]` or `lognormal:mean=T,p95=T[,max=T]`."""
    most = spoken.whole("max", LONGEST)
    if "mean" in spoken.named:
        spoken.only("mean", "p95", "max")
        return lognormal_of_mean(spoken.number("mean"), spoken.number("p95"), most)
    spoken.only("median", "sigma", "max")
    return Lognormal(median_tokens=spoken.number("median"), sigma=spoken.number("sigma"), most_tokens=most)
