"""1F1B, and its interleaved form with v chunks a stage (arXiv 2104.04473, section 2.2), for any m."""

import numpy as np

from superpod.result import Num
from superpod.train.schedules.schedule import FORWARD, FULL, Column, Events, Flag, Schedule, by_key, looped


def legal(stages_count: Num, chunks_count: Num, micro_batches_count: Num) -> Flag:
    """Return where the schedule is defined: everywhere; with one stage there is nothing to interleave."""
    one = (np.asarray(stages_count) > 1) | (np.asarray(chunks_count) == 1)
    return one & (np.asarray(chunks_count) >= 1) & (np.asarray(micro_batches_count) >= 1)


def warm_up_count(stages_count: Num, chunks_count: Num, stage: Num) -> Num:
    """Return the forward chunks before the first backward one: p - i - 1, or 2(p - i - 1) + (v - 1)p interleaved."""
    after = stages_count - stage - 1.0
    return np.where(np.asarray(chunks_count) > 1, 2.0 * after + (chunks_count - 1.0) * stages_count, after)


def sequence(stages_count: int, chunks_count: int, micro_batches_count: int) -> tuple[Column, Column, Column]:
    """Return (place, chunk, micro-batch) of all forward chunks: p micro-batches through a chunk, then the next chunk.

    A last group of fewer than p leaves the places of those it lacks empty: without them the order is that of a whole
    group, which cannot deadlock.
    """
    group = stages_count if chunks_count > 1 else 1
    place = np.arange(-(-micro_batches_count // group) * group * chunks_count)
    chunk = place // group % chunks_count
    micro_batch = place // (group * chunks_count) * group + place % group
    there = micro_batch < micro_batches_count
    return place[there], chunk[there], micro_batch[there]


def order(stages_count: int, chunks_count: int, micro_batches_count: int, stage: int) -> Events:
    """Return warm-up forwards, then one forward and one backward in turn; backward visits chunks in reverse."""
    place, chunk, micro_batch = sequence(stages_count, chunks_count, micro_batches_count)
    ahead = float(warm_up_count(stages_count, chunks_count, stage))
    return by_key(
        (FORWARD, chunk, micro_batch, place - ahead),
        (FULL, chunks_count - 1 - chunk, micro_batch, place + 0.5),
    )


def bubble_s(
    forward_s: Num, backward_s: Num, weight_s: Num, stages_count: Num, chunks_count: Num, micro_batches_count: Num
) -> Num:
    """Return (p - 1)(F + B + W)/v, and (v - 1)(p - m mod p)/v of F + B + W more where a group is not full.

    Exact for equal stages without hops, where v = 1 or m mod p = 0 (arXiv 2104.04473, section 2.2).
    """
    each = (forward_s + backward_s + weight_s) / chunks_count
    lacking = np.mod(-np.asarray(micro_batches_count), stages_count)
    return ((stages_count - 1.0) + (chunks_count - 1.0) * lacking) * each


def in_flight_count(stages_count: Num, chunks_count: Num, micro_batches_count: Num, stage: Num) -> Num:
    """Return the warm-up and one more, at most all: p - i; interleaved on the first stage p + (p - 1)/v."""
    held = warm_up_count(stages_count, chunks_count, stage) + 1.0
    return np.minimum(held, micro_batches_count * chunks_count) / chunks_count


ONE_FORWARD_ONE_BACKWARD = Schedule(
    name="1f1b",
    legal=legal,
    chains=looped,
    order=order,
    bubble_s=bubble_s,
    in_flight_count=in_flight_count,
    period_count=lambda stages_count, chunks_count: stages_count if chunks_count > 1 else 1,
)
