"""ZB-H1: 1F1B whose weight gradients wait until they fill the drain (arXiv 2401.10241, section 2.3)."""

import numpy as np

from superpod.result import Num
from superpod.train.schedules.schedule import BACKWARD, FORWARD, WEIGHT, Events, Flag, Schedule, by_key, looped


def legal(stages_count: Num, chunks_count: Num, micro_batches_count: Num) -> Flag:
    """Return where the schedule is defined: one chunk a stage."""
    return (np.asarray(stages_count) >= 1) & (np.asarray(chunks_count) == 1) & (np.asarray(micro_batches_count) >= 1)


def delayed(micro_batches_count: int, ahead: float, behind: float) -> Events:
    """Return `ahead` forwards, then one forward and one backward in turn, each weight gradient `behind` of them late."""
    number, chunk = np.arange(micro_batches_count), np.zeros(1, dtype=np.int64)
    return by_key(
        (FORWARD, chunk, number, number - ahead),
        (BACKWARD, chunk, number, number + 0.25),
        (WEIGHT, chunk, number, number + behind + 0.5),
    )


def order(stages_count: int, chunks_count: int, micro_batches_count: int, stage: int) -> Events:
    """Return 1F1B's order, weight gradients i micro-batches late on stage i."""
    return delayed(micro_batches_count, stages_count - 1.0 - stage, float(stage))


def bubble_s(
    forward_s: Num, backward_s: Num, weight_s: Num, stages_count: Num, chunks_count: Num, micro_batches_count: Num
) -> Num:
    """Return (p - 1)(F + max(B - W, 0)).

    The paper has (p - 1)(F + B - W), B >= W; the last stage never starts before (p - 1)F. Exact for equal stages without
    hops where m >= p and W <= B.
    """
    return (stages_count - 1.0) * (forward_s + np.maximum(backward_s - weight_s, 0.0))


def in_flight_count(stages_count: Num, chunks_count: Num, micro_batches_count: Num, stage: Num) -> Num:
    """Return min(m, p) on every stage: p - i wait for their backward, i for their weight gradient."""
    return np.minimum(stages_count + 0.0 * stage, micro_batches_count)


ZB_H1 = Schedule(
    name="zb-h1",
    legal=legal,
    chains=looped,
    order=order,
    bubble_s=bubble_s,
    in_flight_count=in_flight_count,
    period_count=lambda stages_count, chunks_count: 1,
)
