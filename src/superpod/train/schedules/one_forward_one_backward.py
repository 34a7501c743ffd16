"""1F1B, and its interleaved form with v chunks a stage (arXiv 2104.04473, section 2.2), for any m."""

import numpy as np

from superpod.result import Num
from superpod.train.schedules.schedule import FORWARD, FULL, Column, Events, Flag, Schedule, by_key, every, looped


def legal(stages_count: Num, chunks_count: Num, micro_batches_count: Num) -> Flag:
    """Return where the schedule is defined: everywhere; with one stage there is nothing to interleave."""
    spread = np.logical_or(stages_count > 1, chunks_count == 1)
    return every(spread, stages_count >= 1, chunks_count >= 1, micro_batches_count >= 1)


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
    """Return (p - 1)(F + B + W)/v (arXiv 2104.04473, section 2.2), more where the last group of micro-batches is short.

    Each one that it lacks leaves v - 1 places empty, of max(F, B + W)/v each: the groups before fill the shorter ones,
    unless there are none (m < p): then of (F + B + W)/v. Exact for equal stages without hops where m mod p = 0, m <= p,
    or v <= 2 and F <= B + W; else within a quarter of (p - 1)(F + B + W).
    """
    lacking = np.where(np.asarray(chunks_count) > 1, np.mod(-np.asarray(micro_batches_count), stages_count), 0.0)
    filled = np.asarray(micro_batches_count) >= stages_count
    back = backward_s + weight_s
    empty = np.where(filled, np.maximum(forward_s, back), forward_s + back)
    ramp = (stages_count - 1.0) * (forward_s + back)
    return (ramp + (chunks_count - 1.0) * lacking * empty) / chunks_count


def in_flight_count(stages_count: Num, chunks_count: Num, micro_batches_count: Num, stage: Num) -> Num:
    """Return the warm-up and one more, at most all: p - i; interleaved on the first stage p + (p - 1)/v.

    Places of a last group that are empty do not count.
    """
    group = np.where(np.asarray(chunks_count) > 1, stages_count, 1.0)
    places = warm_up_count(stages_count, chunks_count, stage) + 1.0
    whole = np.floor(micro_batches_count / group)
    left = micro_batches_count - whole * group
    beyond = np.minimum(np.maximum(places - whole * group * chunks_count, 0.0), group * chunks_count)
    partly = np.floor(beyond / group) * left + np.minimum(np.mod(beyond, group), left)
    return (np.minimum(places, whole * group * chunks_count) + partly) / chunks_count


def hops_count(stages_count: Num, chunks_count: Num, micro_batches_count: Num) -> Num:
    """Return 2(p - 1) + 2(m - 1 - ceil((m - 1)/p)), interleaved 2(p v - 1).

    Plain 1F1B has no slack: a micro-batch starts when one comes back, so each p micro-batches pay for p - 1 hops each
    way. Interleaved, each stage is two chunks further ahead than the next one, which hides hops up to that length.
    """
    later = micro_batches_count - 1.0
    plain = 2.0 * (stages_count - 1.0) + 2.0 * (later - np.ceil(later / stages_count))
    return np.where(np.asarray(chunks_count) > 1, 2.0 * (stages_count * chunks_count - 1.0), plain)


ONE_FORWARD_ONE_BACKWARD = Schedule(
    name="1f1b",
    legal=legal,
    chains=looped,
    order=order,
    bubble_s=bubble_s,
    in_flight_count=in_flight_count,
    hops_count=hops_count,
    period_count=lambda stages_count, chunks_count: stages_count if chunks_count > 1 else 1,
)
