"""ZB-V: zero bubble on two chunks a stage that go down the stages and back up (arXiv 2401.10241, section 6)."""

import numpy as np

from superpod.result import Num
from superpod.train.schedules.schedule import (
    BACKWARD,
    FORWARD,
    WEIGHT,
    Column,
    Events,
    Flag,
    Schedule,
    by_key,
    every,
    folded,
)
from superpod.train.schedules.zb_h1 import few_s


def legal(stages_count: Num, chunks_count: Num, micro_batches_count: Num) -> Flag:
    """Return where the schedule is defined: two chunks a stage."""
    return every(stages_count >= 1, chunks_count == 2, micro_batches_count >= 1)


def order(stages_count: int, chunks_count: int, micro_batches_count: int, stage: int) -> Events:
    """Return rounds of F0 B0 W0 F1 B1 W1, ramps as the paper draws them for F = B = W.

    With p stages, stage i starts its round r with F0 of micro-batch r + 2p - 1 - i, B0 of r, F1 of r + p and B1 of
    r + p - i. Before: 2(p - i) - 1 times F0; i times F1 F0; p - i times F1 B1 W1. After: i times B0 B1; p - i times B0
    W0; the weight gradients left of chunk 1, then of chunk 0. Fewer than 2p - 1 micro-batches leave places empty.
    """
    whole = max(micro_batches_count, 2 * stages_count - 1)
    first, second = np.zeros(1, dtype=np.int64), np.ones(1, dtype=np.int64)
    number: Column = np.arange(whole)
    back = stages_count - stage
    ramp = number - (2.0 * stages_count - 1.0 - stage)
    late = number >= whole - stages_count  # weight gradients that fill the drain
    events = by_key(
        (FORWARD, first, number, np.where(ramp < 0.0, ramp - back + 0.55, ramp)),
        (BACKWARD, first, number, number + 0.1),
        (WEIGHT, first, number, number + 0.2 + stage * late),
        (FORWARD, second, number, number - stages_count + 0.5),
        (BACKWARD, second, number, number - back + 0.6),
        (WEIGHT, second, number, np.where(number >= whole - stage, whole - 0.5, number - back + 0.7)),
    )
    return events.keep(events.micro_batch < micro_batches_count)


def bubble_s(
    forward_s: Num, backward_s: Num, weight_s: Num, stages_count: Num, chunks_count: Num, micro_batches_count: Num
) -> Num:
    """Return 0 for F = B = W, as the paper; else the bubble of this order, a form that was read off its replay.

    (p - 1) max(B - W, F - W, (B - F)/2, F - (B + W)/2, 0) + (p/2 - 1) max(W - max(F, B), 0), mostly exact for equal
    stages without hops, never below the replay, and above by at most a tenth of (p - 1)(F + B + W). Below 2p - 1
    micro-batches at least `few_s`, exact for F = B = W, else within half of (p - 1)(F + B + W).
    """
    ramp = np.maximum(backward_s, forward_s) - weight_s
    mixed = np.maximum(0.5 * (backward_s - forward_s), forward_s - 0.5 * (backward_s + weight_s))
    drain = np.maximum(0.5 * stages_count - 1.0, 0.0) * np.maximum(-ramp, 0.0)
    many = (stages_count - 1.0) * np.maximum(np.maximum(ramp, mixed), 0.0) + drain
    few = few_s(forward_s, backward_s, weight_s, stages_count, micro_batches_count)
    short = np.asarray(micro_batches_count) < 2.0 * stages_count - 1.0
    bubble: Num = np.where(short, np.maximum(many, few), many)
    return bubble


def in_flight_count(stages_count: Num, chunks_count: Num, micro_batches_count: Num, stage: Num) -> Num:
    """Return p on every stage, as 1F1B's first stage; of few micro-batches min(m, (m + 1 + i)/2)."""
    few = np.minimum(micro_batches_count, 0.5 * (micro_batches_count + 1.0 + stage))
    return np.minimum(stages_count, few)


def hops_count(stages_count: Num, chunks_count: Num, micro_batches_count: Num) -> Num:
    """Return 4(p - 1), and up to 2(p - 2) in the drain."""
    drain = np.minimum(np.maximum(micro_batches_count - stages_count - 1.0, 0.0), np.maximum(stages_count - 2.0, 0.0))
    return 4.0 * (stages_count - 1.0) + 2.0 * drain


ZB_V = Schedule(
    name="zb-v",
    legal=legal,
    chains=folded,
    order=order,
    bubble_s=bubble_s,
    in_flight_count=in_flight_count,
    hops_count=hops_count,
    period_count=lambda stages_count, chunks_count: 1,
    across_steps=True,
)
