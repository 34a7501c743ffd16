"""How long prompts and answers are."""

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Protocol

import numpy as np

from superpod.errors import TrafficError
from superpod.traffic.requests import Reals, Whole

LONGEST = 2**31 - 1
"""Tokens that a length may have: what a 32-bit count holds."""


class Distribution(Protocol):
    """A length that is drawn."""

    def draw(self, rng: np.random.Generator, count: int) -> Whole:
        """Return `count` lengths of 1 token or more."""


class Lengths(Protocol):
    """A prompt and an answer that are drawn together."""

    def pairs(self, rng: np.random.Generator, count: int) -> tuple[Whole, Whole]:
        """Return `count` prompts and their answers, in tokens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Uniform:
    """Every whole number from `low_tokens` to `high_tokens`, both counted, equally often; one where they are alike."""

    low_tokens: int
    high_tokens: int

    def __post_init__(self) -> None:
        if not 1 <= self.low_tokens <= self.high_tokens <= LONGEST:
            raise TrafficError(
                f"lengths from {self.low_tokens} to {self.high_tokens}; expected 1 or more, rising", where="lengths"
            )

    def draw(self, rng: np.random.Generator, count: int) -> Whole:
        """Return `count` lengths."""
        if self.low_tokens == self.high_tokens:
            return np.full(count, self.low_tokens, dtype=np.int64)
        return rng.integers(self.low_tokens, self.high_tokens, count, endpoint=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lognormal:
    """The exponential of a normal: half lie below `median_tokens`, `sigma` is the spread of the logarithm.

    Rounded, and cut to `least_tokens` and `most_tokens` (a longer one becomes the longest).
    """

    median_tokens: float
    sigma: float
    least_tokens: int = 1
    most_tokens: int = LONGEST

    def __post_init__(self) -> None:
        if not (self.median_tokens > 0 and math.isfinite(self.median_tokens)):
            raise TrafficError(f"median {self.median_tokens} tokens; expected above 0", where="lengths")
        if not (self.sigma >= 0 and math.isfinite(self.sigma)):
            raise TrafficError(f"sigma {self.sigma}; expected 0 or more", where="lengths")
        if not 1 <= self.least_tokens <= self.most_tokens <= LONGEST:
            raise TrafficError(f"cut to {self.least_tokens} and {self.most_tokens}; expected rising", where="lengths")

    def draw(self, rng: np.random.Generator, count: int) -> Whole:
        """Return `count` lengths."""
        logs: Reals = rng.standard_normal(count)
        logs *= self.sigma
        logs += math.log(self.median_tokens)
        np.minimum(logs, math.log(self.most_tokens), out=logs)
        return np.clip(np.rint(np.exp(logs)), self.least_tokens, self.most_tokens).astype(np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Empirical:
    """Published lengths with their probabilities, drawn by inverting the cumulated ones; one of 0 counts as 1."""

    tokens: Whole
    cumulated_frac: Reals

    def draw(self, rng: np.random.Generator, count: int) -> Whole:
        """Return `count` lengths."""
        return np.maximum(self.plain(rng, count), 1)

    def plain(self, rng: np.random.Generator, count: int) -> Whole:
        """Return `count` numbers, those of 0 too: parts of a prompt that may be missing."""
        place = np.searchsorted(self.cumulated_frac, rng.random(count) * self.cumulated_frac[-1], side="right")
        drawn: Whole = self.tokens[np.minimum(place, len(self.tokens) - 1)]
        return drawn


@dataclass(frozen=True, slots=True, kw_only=True)
class Independent:
    """Prompts and answers that know nothing of each other."""

    prompt: Distribution
    output: Distribution

    def pairs(self, rng: np.random.Generator, count: int) -> tuple[Whole, Whole]:
        """Return `count` prompts and their answers."""
        prompt_rng, output_rng = rng.spawn(2)
        return self.prompt.draw(prompt_rng, count), self.output.draw(output_rng, count)


@dataclass(frozen=True, slots=True, kw_only=True)
class Resampled:
    """Pairs of a trace, drawn with replacement, so that what joins a prompt to its answer is kept."""

    prompt_tokens: Whole
    output_tokens: Whole

    def pairs(self, rng: np.random.Generator, count: int) -> tuple[Whole, Whole]:
        """Return `count` prompts and their answers."""
        rows = rng.integers(0, len(self.prompt_tokens), count)
        return self.prompt_tokens[rows], self.output_tokens[rows]


def fixed(tokens: int) -> Uniform:
    """Return the same length always."""
    return Uniform(low_tokens=tokens, high_tokens=tokens)


def lognormal_of_mean(mean_tokens: float, p95_tokens: float, most_tokens: int = LONGEST) -> Lognormal:
    """Return the lognormal with that mean and 95th percentile (before rounding and cutting).

    With z the normal's 95th percentile, mean = exp(m + s^2/2) and p95 = exp(m + z s) give
    s = z - sqrt(z^2 - 2 ln(p95/mean)), the narrower of two solutions.

    Raises:
        TrafficError: p95 not above the mean, or so far above it (3.87 times) that no lognormal has both.
    """
    z = NormalDist().inv_cdf(0.95)
    if not (mean_tokens > 0 and mean_tokens < p95_tokens <= mean_tokens * math.exp(z * z / 2)):
        raise TrafficError(
            f"mean {mean_tokens} and 95th percentile {p95_tokens}; no lognormal has both",
            where="lengths",
            hint=f"the percentile lies between 1 and {math.exp(z * z / 2):.2f} times the mean",
        )
    sigma = z - math.sqrt(max(z * z - 2 * math.log(p95_tokens / mean_tokens), 0.0))
    return Lognormal(median_tokens=mean_tokens * math.exp(-sigma * sigma / 2), sigma=sigma, most_tokens=most_tokens)
