"""ZB-V: zero bubble on two chunks a stage that go down the stages and back up (arXiv 2401.10241, section 6)."""

import numpy as np

from superpod.result import Num
from superpod.train.schedules.schedule import (
    BACKWARD,
    FORWARD,
    WEIGHT,
    Events,
    Flag,
    Schedule,
    by_key,
    folded,
)


def legal(stages_count: Num, chunks_count: Num, micro_batches_count: Num) -> Flag:
    """Return where the schedule is defined: two chunks a stage."""
    return (np.asarray(stages_count) >= 1) & (np.asarray(chunks_count) == 2) & (np.asarray(micro_batches_count) >= 1)


def order(stages_count: int, chunks_count: int, micro_batches_count: int, stage: int) -> Events:
    """Return rounds of F0 B0 W0 F1 B1 W1, ramps as the paper draws them for F = B = W.

    With p stages, stage i starts its round r with F0 of micro-batch r + 2p - 1 - i, B0 of r, F1 of r + p and B1 of
    r + p - i. Before: 2(p - i) - 1 times F0; i times F1 F0; p - i times F1 B1 W1. After: i times B0 B1; p - i times B0 W0;
    the weight gradients left of chunk 1, then of chunk 0. Fewer than 2p - 1 micro-batches leave their places empty.
    """
    whole = max(micro_batches_count, 2 * stages_count - 1)
    number, first, second = np.arange(whole), np.zeros(1, dtype=np.int64), np.ones(1, dtype=np.int64)
    back = stages_count - stage
    ramp = number - (2.0 * stages_count - 1.0 - stage)
    late = number >= whole - stages_count  # weight gradients that fill the drain
    events = by_key(
        (FORWARD, first, number, np.where(ramp < 0.0, ramp - back + 0.55, ramp)),
        (BACKWARD, first, number, number + 0.1),
        (WEIGHT, first, number, number + np.where(late, stage + 0.2, 0.2)),
        (FORWARD, second, number, number - stages_count + 0.5),
        (BACKWARD, second, number, number - back + 0.6),
        (WEIGHT, second, number, np.where(number >= whole - stage, whole - 0.5, number - back + 0.7)),
    )
    return events.keep(events.micro_batch < micro_batches_count)


def bubble_s(
    forward_s: Num, backward_s: Num, weight_s: Num, stages_count: Num, chunks_count: Num, micro_batches_count: Num
) -> Num:
    """Return 0 for F = B = W."""
    return 0.0 * (forward_s + backward_s + weight_s + stages_count)


def in_flight_count(stages_count: Num, chunks_count: Num, micro_batches_count: Num, stage: Num) -> Num:
    """Return min(m, p) on every stage, as 1F1B's first stage."""
    return np.minimum(stages_count + 0.0 * stage, micro_batches_count)


ZB_V = Schedule(
    name="zb-v",
    legal=legal,
    chains=folded,
    order=order,
    bubble_s=bubble_s,
    in_flight_count=in_flight_count,
    period_count=lambda stages_count, chunks_count: 1,
    across_steps=True,
)
