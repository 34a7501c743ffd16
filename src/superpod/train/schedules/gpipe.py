"""GPipe: all micro-batches forward, then all backward (arXiv 1811.06965)."""

import numpy as np

from superpod.result import Num
from superpod.train.schedules.schedule import FORWARD, FULL, Events, Flag, Schedule, by_key, every, looped


def legal(stages_count: Num, chunks_count: Num, micro_batches_count: Num) -> Flag:
    """Return where the schedule is defined: one chunk a stage."""
    return every(stages_count >= 1, chunks_count == 1, micro_batches_count >= 1)


def order(stages_count: int, chunks_count: int, micro_batches_count: int, stage: int) -> Events:
    """Return what every stage does."""
    number, chunk = np.arange(micro_batches_count), np.zeros(1, dtype=np.int64)
    return by_key((FORWARD, chunk, number, number + 0.0), (FULL, chunk, number, number + float(micro_batches_count)))


def bubble_s(
    forward_s: Num, backward_s: Num, weight_s: Num, stages_count: Num, chunks_count: Num, micro_batches_count: Num
) -> Num:
    """Return (p - 1)(F + B + W): exact for equal stages without hops (arXiv 1811.06965, section 2)."""
    return (stages_count - 1.0) * (forward_s + backward_s + weight_s)


def in_flight_count(stages_count: Num, chunks_count: Num, micro_batches_count: Num, stage: Num) -> Num:
    """Return m: no backward starts before the last forward."""
    return micro_batches_count + 0.0 * (stages_count + stage)


def hops_count(stages_count: Num, chunks_count: Num, micro_batches_count: Num) -> Num:
    """Return 2(p - 1): once down and once up."""
    return 2.0 * (stages_count - 1.0) + 0.0 * micro_batches_count


GPIPE = Schedule(
    name="gpipe",
    legal=legal,
    chains=looped,
    order=order,
    bubble_s=bubble_s,
    in_flight_count=in_flight_count,
    hops_count=hops_count,
    period_count=lambda stages_count, chunks_count: 1,
    affine=True,
)
