"""DualPipe: micro-batches enter at both ends, a stage holds two parts of a model (arXiv 2412.19437, section 3.2.1)."""

from dataclasses import replace

import numpy as np

from superpod.result import Num
from superpod.train.schedules.dual_pipe_v import chunk_bubble_s, eight_steps
from superpod.train.schedules.schedule import Column, Events, Flag, Schedule, every


def legal(stages_count: Num, chunks_count: Num, micro_batches_count: Num) -> Flag:
    """Return where the schedule is defined: p and m even, m >= 2p, v = 1."""
    even = np.mod(stages_count, 2) + np.mod(micro_batches_count, 2) == 0
    return every(even, stages_count >= 2, chunks_count == 1, micro_batches_count >= 2 * stages_count)


def chains(stages_count: int, chunks_count: int) -> Column:
    """Return both ways: chunk 0 from the first stage to the last, chunk 1 from the last to the first."""
    stage = np.arange(stages_count)
    down = np.stack([stage, np.zeros_like(stage)], axis=-1)
    up = np.stack([stage[::-1], np.ones_like(stage)], axis=-1)
    return np.stack([down, up])


def order(stages_count: int, chunks_count: int, micro_batches_count: int, stage: int) -> Events:
    """Return the eight steps of DualPipeV on half of the stages; the other half is their mirror image.

    Even micro-batches go down, odd ones up.
    """
    half = stages_count // 2
    mirrored = stage >= half
    events = eight_steps(half, micro_batches_count // 2, stages_count - 1 - stage if mirrored else stage)
    chunk = 1 - events.chunk if mirrored else events.chunk
    return replace(events, chunk=chunk, micro_batch=2 * events.micro_batch + chunk)


def bubble_s(
    forward_s: Num, backward_s: Num, weight_s: Num, stages_count: Num, chunks_count: Num, micro_batches_count: Num
) -> Num:
    """Return p/2 - 1 times `chunk_bubble_s`."""
    return (0.5 * stages_count - 1.0) * chunk_bubble_s(forward_s, backward_s, weight_s)


def in_flight_count(stages_count: Num, chunks_count: Num, micro_batches_count: Num, stage: Num) -> Num:
    """Return p + 1."""
    return stages_count + 1.0 + 0.0 * (stage + micro_batches_count)


def hops_count(stages_count: Num, chunks_count: Num, micro_batches_count: Num) -> Num:
    """Return m (p - 1)/p + 3p/2 - 2, about half of 1F1B's; within 2 for F = B = W."""
    return micro_batches_count * (stages_count - 1.0) / stages_count + 1.5 * stages_count - 2.0


def paired_count(stages_count: Num, chunks_count: Num, micro_batches_count: Num) -> Num:
    """Return m - p/2 - 2, what the ramps leave: exact for equal stages."""
    return micro_batches_count - 0.5 * stages_count - 2.0


DUAL_PIPE = Schedule(
    name="dualpipe",
    legal=legal,
    chains=chains,
    order=order,
    bubble_s=bubble_s,
    in_flight_count=in_flight_count,
    hops_count=hops_count,
    paired_count=paired_count,
    period_count=lambda stages_count, chunks_count: 2,
    copies_count=2.0,
)
