"""Caps and throttling: the power that every level leaves to a chip, and the performance that is left at it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from superpod.catalog.facility_parts import ChipPower
from superpod.facility.power.chip import Powered, highest_w, limited, time_s
from superpod.result import Num

DAMPING_FRAC = 0.5
CLOSE_FRAC = 1e-6
ROUNDS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Cap:
    """A limit and what it leaves to one chip, given the power of the chip in its busiest activity."""

    name: str
    allowed_w: Callable[[Num], Num]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What all caps together leave to one chip; numbers, or columns of what-ifs.

    `bound` names the cap that binds in the first row, empty where none is reached there; `slowdown_ratio` is the time
    over that without caps, the largest of all loads.
    """

    limit_w: Num
    bound: str
    slowdown_ratio: Num
    rounds_count: int
    settled: bool


def settle(shares: ChipPower, max_w: Num, loads: Sequence[Sequence[Powered]], caps: Sequence[Cap]) -> Settled:
    """Return the fixed point of performance -> power -> temperature and feeds -> cap -> performance, damped.

    L <- L + d (min over caps of allowed(P(L)) - L) with d = 1/2, until it moves by less than a millionth of the chip's
    limit. No cap allows more where the chip draws more, so that the iteration cannot run away, and the damping keeps it
    from swinging. P is the busiest activity of the busiest load: a feed must bear it.
    """
    limit, rounds, moved = 1.0 * max_w, 0, np.inf
    while moved > CLOSE_FRAC and rounds < ROUNDS:
        drawn = _highest(shares, max_w, loads, limit)
        target = 1.0 * max_w
        for cap in caps:
            target = np.minimum(target, cap.allowed_w(drawn))
        new = limit + DAMPING_FRAC * (target - limit)
        moved = float(np.max(np.abs(new - limit) / max_w))
        limit, rounds = new, rounds + 1
    free = max((float(np.ravel(highest_w(items))[0]) for items in loads), default=0.0)
    first = float(np.ravel(limit)[0])
    bound = ""
    if caps and first < free * (1.0 - 10.0 * CLOSE_FRAC):
        drawn = _highest(shares, max_w, loads, limit)
        bound = min(caps, key=lambda cap: float(np.ravel(cap.allowed_w(drawn))[0])).name
    slowest: Num = 1.0
    for items in loads:
        slowest = np.maximum(slowest, time_s(limited(shares, max_w, items, limit)) / time_s(items))
    return Settled(limit_w=limit, bound=bound, slowdown_ratio=slowest, rounds_count=rounds, settled=moved <= CLOSE_FRAC)


def _highest(shares: ChipPower, max_w: Num, loads: Sequence[Sequence[Powered]], limit_w: Num) -> Num:
    most: Num = 0.0
    for items in loads:
        most = np.maximum(most, highest_w(limited(shares, max_w, items, limit_w)))
    return most
