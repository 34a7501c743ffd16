"""Closed forms of repairable systems: availability, quorums, failures that cluster, and the spares that they need."""

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from superpod.errors import ScenarioError
from superpod.result import Num

FIT_PER_S = 1e-9 / 3600.0
"""Failures in a billion hours, as a rate in 1/s."""
EXACT_MAX = 4096
LOG_LEAST = -700.0  # of a probability; e to it is still a number


def availability(failure_per_s: Num, repair_s: Num) -> Num:
    """Return MTBF / (MTBF + MTTR) = 1 / (1 + lambda R) of a repairable series (Barlow and Proschan 1975)."""
    return 1.0 / (1.0 + failure_per_s * repair_s)


def quorum_failure_per_s(failure_per_s: Num, repair_s: Num, needed: int, of: int) -> Num:
    """Return how often a group of `of` equal parts, repaired one by one, falls below `needed`.

    C(n, k) a^k (1 - a)^(n - k) x k lambda with the availability a: the frequency of leaving "k up" downwards
    (Barlow and Proschan 1975, chapter 7). Raises ScenarioError where needed > of.
    """
    if not 1 <= needed <= of:
        raise ScenarioError(
            f"a quorum of {needed} of {of}", where="quorum", hint="needed is from 1 up to the parts that there are"
        )
    up = availability(failure_per_s, repair_s)
    ways = 1.0
    for step in range(needed):
        ways *= (of - step) / (step + 1)
    return ways * up**needed * (1.0 - up) ** (of - needed) * needed * failure_per_s


def correlation(ratio: Num, observed_count: Num) -> Num:
    """Return the correlation of two members from variance over binomial variance: (ratio - 1) / (n - 1)."""
    return np.clip((ratio - 1.0) / np.maximum(observed_count - 1.0, 1.0), 0.0, 0.999)


def down_probabilities(count: int, down_frac: Num, rho: Num) -> list[Num]:
    """Return Pr(0 down), Pr(1 down), ... of `count` parts: beta-binomial, binomial where `rho` is 0.

    a = q (1/rho - 1), b = (1 - q)(1/rho - 1); Pr(k+1) = Pr(k) (n - k)(a + k) / ((k + 1)(b + n - k - 1)) (Johnson,
    Kemp and Kotz, Univariate Discrete Distributions, section 6.2). Written in rho so that rho = 0 needs no branch.
    """
    if count > EXACT_MAX:
        raise ScenarioError(
            f"{count} parts", where="down_probabilities", hint=f"at most {EXACT_MAX}: use `down_at_most`"
        )
    down = np.clip(down_frac, 1e-12, 1.0 - 1e-12)
    a, b, each = down * (1.0 - rho), (1.0 - down) * (1.0 - rho), rho
    place = np.arange(count)
    shape = np.broadcast_shapes(np.shape(down), np.shape(rho))
    steps = place.reshape((count,) + (1,) * len(shape))
    logs: list[Num] = [np.sum(np.log(b + steps * each) - np.log(1.0 - rho + steps * each), axis=0)]
    for k in range(count):
        grow = (count - k) * (a + k * each) / ((k + 1) * (b + (count - k - 1) * each))
        logs.append(logs[-1] + np.log(grow))
    return [np.exp(np.maximum(item, LOG_LEAST)) for item in logs]


def down_at_most(count: Num, down_frac: Num, ratio: Num, observed_count: Num, target_frac: float) -> Num:
    """Return how many of `count` parts are down at most, at a share `target_frac` of the time.

    Parts are correlated within blocks of the size on which the correlation was seen, and blocks are independent, so
    variance = n q (1 - q) x ratio. The sum is taken as a gamma of that mean and variance, and its quantile by Wilson
    and Hilferty (1931): m (1 - 1/(9 k) + z / (3 sqrt(k)))^3 with k = m^2 / variance. For fewer parts than a block the
    exact sum is `down_probabilities`: there the gamma's tail is too long.
    """
    mean, shape = _gamma(count, down_frac, ratio, observed_count)
    z = NormalDist().inv_cdf(target_frac)
    root = np.maximum(1.0 - 1.0 / (9.0 * shape) + z / (3.0 * np.sqrt(shape)), 0.0)
    return np.minimum(np.ceil(mean * root**3), count)


def enough_frac(count: Num, spares_count: Num, down_frac: Num, ratio: Num, observed_count: Num) -> Num:
    """Return the share of the time at which at most `spares_count` of `count` parts are down: that quantile's inverse.

    Phi(3 sqrt(k) ((s / m)^(1/3) - 1 + 1/(9 k))).
    """
    mean, shape = _gamma(count, down_frac, ratio, observed_count)
    z = 3.0 * np.sqrt(shape) * (np.cbrt(spares_count / mean) - 1.0 + 1.0 / (9.0 * shape))
    chance: Num = np.vectorize(NormalDist().cdf, otypes=[float])(z)
    return chance


def _gamma(count: Num, down_frac: Num, ratio: Num, observed_count: Num) -> tuple[Num, Num]:
    """Return mean and shape of the gamma that stands for the number of parts down."""
    mean = count * down_frac
    blocks = np.minimum(count, observed_count)
    wide = 1.0 + (blocks - 1.0) * correlation(ratio, observed_count)
    return mean, np.maximum(mean / ((1.0 - down_frac) * wide), 1e-9)


@dataclass(frozen=True, slots=True, kw_only=True)
class Repair:
    """A log-normal repair time by its median and mean: sigma^2 = 2 ln(mean / median)."""

    median_s: Num
    mean_s: Num

    @property
    def sigma_factor(self) -> Num:
        """Standard deviation of the logarithm; 0 where the mean is not above the median."""
        return np.sqrt(2.0 * np.log(np.maximum(self.mean_s / self.median_s, 1.0)))

    def quantile_s(self, share: float) -> Num:
        """Return the time within which a share of repairs is done."""
        return self.median_s * np.exp(self.sigma_factor * NormalDist().inv_cdf(share))

    def drawn_s(self, rng: np.random.Generator, count: int, *, running: bool = False) -> npt.NDArray[np.float64]:
        """Return `count` repair times; `running`: what is left of those that run at a moment.

        A repair met at a moment is longer: its density is weighed by its length (log-median + sigma^2), and the part
        still to come is uniform (renewal theory; Cox 1962, section 5.3).
        """
        sigma = float(self.sigma_factor)
        middle = np.log(float(self.median_s)) + (sigma**2 if running else 0.0)
        times: npt.NDArray[np.float64] = np.exp(middle + sigma * rng.standard_normal(count))
        return times * rng.random(count) if running else times
