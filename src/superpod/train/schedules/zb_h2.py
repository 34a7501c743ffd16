"""ZB-H2: ZB-H1 with twice the forwards ahead (arXiv 2401.10241, section 2)."""

import numpy as np

from superpod.result import Num
from superpod.train.schedules.schedule import Events, Schedule, looped, one_chunk, ramp_hops
from superpod.train.schedules.zb_h1 import delayed, few_s


def order(stages_count: int, chunks_count: int, micro_batches_count: int, stage: int) -> Events:
    """Return 2(p - 1 - i) forwards ahead, weight gradients 2i micro-batches late on stage i."""
    return delayed(micro_batches_count, 2.0 * (stages_count - 1.0 - stage), 2.0 * stage)


def bubble_s(
    forward_s: Num, backward_s: Num, weight_s: Num, stages_count: Num, chunks_count: Num, micro_batches_count: Num
) -> Num:
    """Return (p - 1) max(F + B - 2W, B - F, 0), exact for equal stages where m >= 2p - 1, or F = B = W.

    The paper has (p - 1)(F + B - 2W). The last stage starts and ends (p - 1)F after the first; where the optimizer
    waits for all stages the bubble is (p - 1) max(F + B - 2W, B - F, F), no better than ZB-H1's for F = B = W.
    Of fewer micro-batches at least `few_s`, a bound from below.
    """
    late = np.maximum(forward_s + backward_s - 2.0 * weight_s, backward_s - forward_s)
    few = few_s(forward_s, backward_s, weight_s, stages_count, micro_batches_count)
    return np.maximum((stages_count - 1.0) * np.maximum(late, 0.0), few)


def in_flight_count(stages_count: Num, chunks_count: Num, micro_batches_count: Num, stage: Num) -> Num:
    """Return min(m, 2p - 1) on every stage."""
    return np.minimum(2.0 * stages_count - 1.0 + 0.0 * stage, micro_batches_count)


ZB_H2 = Schedule(
    name="zb-h2",
    legal=one_chunk,
    chains=looped,
    order=order,
    bubble_s=bubble_s,
    in_flight_count=in_flight_count,
    hops_count=ramp_hops,
    period_count=lambda stages_count, chunks_count: 1,
    across_steps=True,
)
