"""GPipe: all micro-batches forward, then all backward (arXiv 1811.06965)."""

import numpy as np

from superpod.result import Num
from superpod.train.schedules.schedule import FORWARD, FULL, Events, Schedule, by_key, looped, one_chunk, ramp_hops


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


GPIPE = Schedule(
    name="gpipe",
    legal=one_chunk,
    chains=looped,
    order=order,
    bubble_s=bubble_s,
    in_flight_count=in_flight_count,
    hops_count=ramp_hops,
    period_count=lambda stages_count, chunks_count: 1,
    affine=True,
)
