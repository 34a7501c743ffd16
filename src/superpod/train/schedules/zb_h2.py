"""ZB-H2: ZB-H1 with twice the forwards ahead (arXiv 2401.10241, section 2.3)."""

import numpy as np

from superpod.result import Num
from superpod.train.schedules.schedule import Events, Schedule, looped
from superpod.train.schedules.zb_h1 import delayed, legal


def order(stages_count: int, chunks_count: int, micro_batches_count: int, stage: int) -> Events:
    """Return 2(p - 1 - i) forwards ahead, weight gradients 2i micro-batches late on stage i."""
    return delayed(micro_batches_count, 2.0 * (stages_count - 1.0 - stage), 2.0 * stage)


def bubble_s(
    forward_s: Num, backward_s: Num, weight_s: Num, stages_count: Num, chunks_count: Num, micro_batches_count: Num
) -> Num:
    """Return (p - 1) max(F + B - 2W, 0), the last stage starting and ending (p - 1)F after the first.

    Exact for equal stages without hops where m >= 2p - 1 and F = B = W. With an optimizer that waits for all stages
    the makespan is longer, at least by (p - 1)F.
    """
    return (stages_count - 1.0) * np.maximum(forward_s + backward_s - 2.0 * weight_s, 0.0)


def in_flight_count(stages_count: Num, chunks_count: Num, micro_batches_count: Num, stage: Num) -> Num:
    """Return min(m, 2p - 1) on every stage."""
    return np.minimum(2.0 * stages_count - 1.0 + 0.0 * stage, micro_batches_count)


ZB_H2 = Schedule(
    name="zb-h2",
    legal=legal,
    chains=looped,
    order=order,
    bubble_s=bubble_s,
    in_flight_count=in_flight_count,
    period_count=lambda stages_count, chunks_count: 1,
    across_steps=True,
)
