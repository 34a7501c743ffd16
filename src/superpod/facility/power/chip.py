"""The power of a chip by what it does, and what a lower limit costs in time."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from superpod.catalog.facility_parts import ChipPower
from superpod.result import Num

Kind = Literal["kernel", "wait", "idle"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """A stretch of time of one chip: how long, and how busy its parts are, as shares of their peak rates.

    A `wait` has work but no kernel that computes (a collective, a pipeline bubble, the host); `idle` has no job.
    `bound_frac` is the share of the time that follows the clock (arithmetic; transfers do not). `routed`: of serving a
    mixture of experts. `steady`: kernels follow each other for seconds, as in training.
    """

    name: str
    kind: Kind
    time_s: Num
    flop_frac: Num = 0.0
    memory_frac: Num = 0.0
    link_frac: Num = 0.0
    bound_frac: Num = 0.0
    routed: bool = False
    steady: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Powered:
    """An activity with the power of one chip in it."""

    activity: Activity
    power_w: Num

    @property
    def energy_j(self) -> Num:
        """Energy of one chip in it."""
        return self.power_w * self.activity.time_s


def chip_w(shares: ChipPower, max_w: Num, activity: Activity) -> Num:
    """Return the power of one chip in an activity, W.

    kernel: min(cap, active + memory u_m + compute u_c + link u_l) x limit; a steady kernel's cap is `steady_ratio`.
    wait: (waiting + link u_l) x limit; idle: idle x limit. Linear in utilisations: a fit, not physics (ML.ENERGY data,
    docs/theory/power.md); good to about 10 % for dense models, 20 % for mixtures of experts.
    """
    linked = shares.link_ratio * activity.link_frac
    if activity.kind == "idle":
        return shares.idle_ratio * max_w
    if activity.kind == "wait":
        return np.minimum(shares.waiting_ratio + linked, 1.0) * max_w
    fit = shares.routed if activity.routed else shares.dense
    cap = shares.steady_ratio if activity.steady else fit.cap_ratio
    busy = fit.active_ratio + fit.memory_ratio * activity.memory_frac + fit.compute_ratio * activity.flop_frac
    return np.minimum(busy + linked, cap) * max_w


def powered(shares: ChipPower, max_w: Num, activities: Sequence[Activity]) -> tuple[Powered, ...]:
    """Return each activity with its power under the chip's own limit."""
    return tuple(Powered(activity=item, power_w=chip_w(shares, max_w, item)) for item in activities)


def clock_share(limit_w: Num, power_w: Num, static_w: Num, exponent: Num) -> Num:
    """Return f / f0 = ((P_cap - P_s) / (P - P_s))^(1/a), 1 where the limit is not reached.

    Dynamic power follows f^a, a of 2 to 3 as the voltage falls with the clock (facts `throttle.*`). A limit at or below
    the static part leaves a clock of almost nothing.
    """
    room = np.maximum(limit_w - static_w, 1e-9 * power_w)
    wanted = np.maximum(power_w - static_w, 1e-9 * power_w)
    return np.minimum(room / wanted, 1.0) ** (1.0 / exponent)


def limited(shares: ChipPower, max_w: Num, items: Sequence[Powered], limit_w: Num) -> tuple[Powered, ...]:
    """Return activities under a limit for one chip: those above it run at a lower clock, and arithmetic takes longer.

    t' = t (b / f + 1 - b) for the share b that follows the clock. The times given are those under the chip's own limit,
    as kernels were measured, so that a limit at or above it changes nothing.
    """
    found: list[Powered] = []
    for item in items:
        share = clock_share(limit_w, item.power_w, shares.throttle.static_ratio * max_w, shares.throttle.clock_power)
        bound = item.activity.bound_frac
        time = item.activity.time_s * (bound / share + 1.0 - bound)
        slower = item.activity.time_s / np.maximum(time, 1e-300)
        activity = replace(
            item.activity,
            time_s=time,
            flop_frac=item.activity.flop_frac * slower,
            memory_frac=item.activity.memory_frac * slower,
            link_frac=item.activity.link_frac * slower,
        )
        found.append(Powered(activity=activity, power_w=np.minimum(item.power_w, limit_w)))
    return tuple(found)


def time_s(items: Sequence[Powered]) -> Num:
    """Return the length of all activities together."""
    return sum((item.activity.time_s for item in items), 0.0)


def mean_w(items: Sequence[Powered]) -> Num:
    """Return the energy of all activities over their time."""
    return sum((item.energy_j for item in items), 0.0) / time_s(items)


def highest_w(items: Sequence[Powered]) -> Num:
    """Return the power of the activity that draws most."""
    most: Num = 0.0
    for item in items:
        most = np.maximum(most, np.where(np.asarray(item.activity.time_s) > 0.0, item.power_w, 0.0))
    return most
