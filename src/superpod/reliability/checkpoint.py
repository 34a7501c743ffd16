"""Checkpoints: how large, how long training stands still, how often, and what is lost between them."""

from dataclasses import dataclass

import numpy as np

from superpod.errors import NoBasisError
from superpod.result import Num

NEWTON_STEPS = 40
EXPONENT_MAX, TINY = 300.0, 1e-300  # where e to a number is still one
FIRST_ORDER_MAX = 0.25
"""Largest lambda (u + dt/2) up to which the first-order form is within a point of the exponential one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """One checkpoint: training stands still for `stall_s`, and it counts once it is stored, `persist_s` later.

    A checkpoint written with training stopped has no `persist_s`: it is stored when training goes on.
    """

    size_bytes: Num
    stall_s: Num
    persist_s: Num


def checkpoint_bytes(parameters_count: Num, parameter_bytes: Num) -> Num:
    """Return the size: 16-bit weights with fp32 master and moments are 14 bytes a parameter (arXiv 1910.02054)."""
    return parameters_count * parameter_bytes


def written_s(size_bytes: Num, storage_bytes_per_s: Num, cards_count: Num, card_bytes_per_s: Num) -> Num:
    """Return the time to store a checkpoint: the slower of the storage and the cards' own way to it."""
    return np.maximum(size_bytes / storage_bytes_per_s, size_bytes / (cards_count * card_bytes_per_s))


def young_s(stall_s: Num, failure_per_s: Num) -> Num:
    """Return Young's interval sqrt(2 w M), right where w is far below M (Young 1974)."""
    return np.sqrt(2.0 * stall_s / failure_per_s)


def best_interval_s(stall_s: Num, failure_per_s: Num) -> Num:
    """Return the interval that `effective_frac` is largest at, for any w and M.

    x = lambda dt solves x = 1 - e^-(x + lambda w), the stationary point of Daly's exponential form (Daly 2006, eq. 13
    to 20). The right side is concave, so Newton's method falls from x = 1 to the root.
    """
    load = np.asarray(failure_per_s * stall_s, dtype=float)
    x = np.ones_like(load)
    for _ in range(NEWTON_STEPS):
        left = np.exp(-(x + load))
        x = x - (x - 1.0 + left) / np.maximum(1.0 - left, TINY)
    best: Num = np.maximum(x, TINY) / failure_per_s
    return best


def effective_frac(failure_per_s: Num, lost_s: Num, interval_s: Num, stall_s: Num) -> Num:
    """Return the share of time that is work which stays (ETTR), at any scale.

    lambda dt e^(-lambda u) / (e^(lambda (dt + w)) - 1): failures are Poisson, may strike while restarting, and each
    costs u and the work since the last checkpoint (Daly 2006, eq. 13). `lost_s` is u: detection, restart, and the time
    until a checkpoint counts.
    """
    grown = np.expm1(np.minimum(failure_per_s * (interval_s + stall_s), EXPONENT_MAX))
    survived = np.exp(-np.minimum(failure_per_s * lost_s, EXPONENT_MAX))
    return failure_per_s * interval_s * survived / np.maximum(grown, TINY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """Shares of the time of a job that holds its cards; they add up to 1."""

    effective_frac: Num
    stall_frac: Num
    recovery_frac: Num
    rework_frac: Num


def time_shares(failure_per_s: Num, lost_s: Num, interval_s: Num, stall_s: Num) -> Shares:
    """Return where time goes between failures: work that stays, stalls, recovery E[min(gap, u)] lambda, and rework."""
    stays = effective_frac(failure_per_s, lost_s, interval_s, stall_s)
    stall = stays * stall_s / interval_s
    recovery = -np.expm1(-failure_per_s * lost_s)
    rework = np.maximum(1.0 - stays - stall - recovery, 0.0)
    return Shares(effective_frac=stays, stall_frac=stall, recovery_frac=recovery, rework_frac=rework)


def first_order_frac(failure_per_s: Num, lost_s: Num, interval_s: Num, stall_s: Num) -> Num:
    """Return (1 - lambda (u + dt/2)) / (1 + w/dt), Meta's closed form (arXiv 2410.21680, eq. 2).

    Raises NoBasisError where lambda (u + dt/2) exceeds 0.25: there it is points low, and above 1 it is negative.
    """
    load = failure_per_s * (lost_s + interval_s / 2.0)
    if np.any(np.asarray(load) > FIRST_ORDER_MAX):
        raise NoBasisError(
            f"lambda (u + dt/2) is {float(np.max(load)):.2f}, expected at most {FIRST_ORDER_MAX:g}",
            where="first-order effective time",
            hint="at this scale failures meet restarts: the exponential form (effective_frac) holds",
        )
    return (1.0 - load) / (1.0 + stall_s / interval_s)
