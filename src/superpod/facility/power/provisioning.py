"""How many machines a feed bears: loads that rise together, and loads that rise each in its own time."""

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

Series = npt.NDArray[np.float64]

GRID_COUNT = 256
EXACT_COUNT = 400  # machines; sums of more are normal


@dataclass(frozen=True, slots=True, kw_only=True)
class Levels:
    """The power of one machine at a time drawn at random: what it may be, and for what share of the time."""

    power_w: Series
    share_frac: Series

    @property
    def mean_w(self) -> float:
        """Energy over time."""
        return float(self.power_w @ self.share_frac)

    @property
    def spread_w(self) -> float:
        """Standard deviation."""
        return math.sqrt(max(float((self.power_w - self.mean_w) ** 2 @ self.share_frac), 0.0))

    def quantile_w(self, exceed_frac: float) -> float:
        """Return the least power that is exceeded for no more than a share of the time."""
        order = np.argsort(self.power_w)
        over = 1.0 - np.cumsum(self.share_frac[order])
        place = int(np.argmax(over <= exceed_frac + 1e-12))
        return float(self.power_w[order][place])


def together(levels: Levels, feed_w: float, exceed_frac: float) -> int:
    """Return how many machines a feed bears that do the same at the same time: n q <= feed, q their quantile."""
    return math.floor(feed_w / levels.quantile_w(exceed_frac) * (1.0 + 1e-12))


def apart(levels: Levels, feed_w: float, exceed_frac: float) -> int:
    """Return how many machines a feed bears that rise independently: the most with Pr(sum > feed) <= exceed.

    The sum's distribution is the n-fold convolution of one machine's; above 400 machines it is normal. Loads of one
    training job are no such machines (64 nodes in GPT-3 training: 99th percentile of the sum 1.3 % under the sum of the
    nodes' own).
    """
    low, high = together(levels, feed_w, 0.0), math.floor(feed_w / levels.mean_w) + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if exceeded(levels, middle, feed_w) <= exceed_frac else (low, middle)
    return low


def exceeded(levels: Levels, machines: int, feed_w: float) -> float:
    """Return the share of the time in which so many independent machines draw more than a feed."""
    least, most = float(np.min(levels.power_w)), float(np.max(levels.power_w))
    if machines * most <= feed_w * (1.0 + 1e-12):
        return 0.0
    if machines > EXACT_COUNT:
        spread = levels.spread_w * math.sqrt(machines)
        return 1.0 - NormalDist(machines * levels.mean_w, max(spread, 1e-9 * feed_w)).cdf(feed_w)
    step = max((most - least) / GRID_COUNT, 1e-12 * most)
    place = np.rint((levels.power_w - least) / step).astype(int)
    one = np.bincount(place, weights=levels.share_frac, minlength=GRID_COUNT + 1)
    size = machines * GRID_COUNT + 1
    total = np.fft.irfft(np.fft.rfft(one, 2 * size) ** machines, 2 * size)[:size]
    reach = math.floor((feed_w - machines * least) / step + 1e-9)
    return float(np.clip(np.sum(total[max(reach + 1, 0) :]), 0.0, 1.0))
