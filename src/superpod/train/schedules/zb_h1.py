"""ZB-H1: 1F1B whose weight gradients wait until they fill the drain (arXiv 2401.10241, section 2)."""

import numpy as np

from superpod.result import Num
from superpod.train.schedules.schedule import BACKWARD, FORWARD, WEIGHT, Events, Schedule, by_key, looped, one_chunk


def delayed(micro_batches_count: int, ahead: float, behind: float) -> Events:
    """Return `ahead` forwards, then one forward and one backward in turn, weight gradients `behind` turns late."""
    number, chunk = np.arange(micro_batches_count), np.zeros(1, dtype=np.int64)
    return by_key(
        (FORWARD, chunk, number, number - ahead),
        (BACKWARD, chunk, number, number + 0.25),
        (WEIGHT, chunk, number, number + behind + 0.5),
    )


def order(stages_count: int, chunks_count: int, micro_batches_count: int, stage: int) -> Events:
    """Return 1F1B's order, weight gradients i micro-batches late on stage i."""
    return delayed(micro_batches_count, stages_count - 1.0 - stage, float(stage))


def few_s(forward_s: Num, backward_s: Num, weight_s: Num, stages_count: Num, micro_batches_count: Num) -> Num:
    """Return (p - 1)(F + B) - (m - 1)W: the ramps with all weight gradients but one in them."""
    return (stages_count - 1.0) * (forward_s + backward_s) - (micro_batches_count - 1.0) * weight_s


def bubble_s(
    forward_s: Num, backward_s: Num, weight_s: Num, stages_count: Num, chunks_count: Num, micro_batches_count: Num
) -> Num:
    """Return (p - 1) max(F + B - W, F, B), exact for equal stages without hops where m >= p, or F = B = W.

    The paper has (p - 1)(F + B - W), W being the shortest. A longer W does not help: the last stage starts (p - 1)F
    late, and the last micro-batch goes back through p - 1 stages. Of m < p micro-batches at least `few_s`, a bound from
    below.
    """
    ramp = np.maximum(forward_s + np.maximum(backward_s - weight_s, 0.0), backward_s)
    few = few_s(forward_s, backward_s, weight_s, stages_count, micro_batches_count)
    return np.maximum((stages_count - 1.0) * ramp, few)


def in_flight_count(stages_count: Num, chunks_count: Num, micro_batches_count: Num, stage: Num) -> Num:
    """Return min(m, p) on every stage: p - i wait for their backward, i for their weight gradient."""
    return np.minimum(stages_count + 0.0 * stage, micro_batches_count)


def hops_count(stages_count: Num, chunks_count: Num, micro_batches_count: Num) -> Num:
    """Return 2(p - 1) + 2(n - ceil(n/p)), n = min(m - 1, p): weight gradients that wait hide the hops that follow."""
    later = np.minimum(micro_batches_count - 1.0, stages_count)
    return 2.0 * (stages_count - 1.0) + 2.0 * (later - np.ceil(later / stages_count))


ZB_H1 = Schedule(
    name="zb-h1",
    legal=one_chunk,
    chains=looped,
    order=order,
    bubble_s=bubble_s,
    in_flight_count=in_flight_count,
    hops_count=hops_count,
    period_count=lambda stages_count, chunks_count: 1,
)
