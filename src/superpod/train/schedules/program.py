"""A schedule as a graph: what waits for what, in levels that are computed side by side."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from superpod.errors import ScenarioError
from superpod.train.schedules.schedule import BACKWARD, FORWARD, FULL, WEIGHT, Column, Events, Schedule

HOLDS = {FORWARD: 1, BACKWARD: 0, WEIGHT: -1, FULL: -1}  # activations wait for the gradient of the weights


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """All events of a step, stage after stage, and the slots that they run in (a joined pair shares one).

    Slots are numbered by level. A slot waits for `before`, the one before it on its stage, and for `needs`, whose
    results travel `hops`; a second column of both where there are pairs. The number after the last slot stands for
    nothing.
    """

    stage: Column
    events: Events
    slot: Column  # of each event
    first: Column  # the first event of each stage, and one past the last
    before: Column
    needs: tuple[Column, ...]
    hops: tuple[Column, ...]
    work: Column  # which entry of the table of durations each slot takes
    levels: tuple[tuple[int, int], ...]
    peak_count: npt.NDArray[np.float64]  # of each stage, in micro-batches of a whole stage

    def of_stage(self, stage: int) -> Events:
        """Return the events of a stage in their order."""
        return self.events.keep(np.arange(self.first[stage], self.first[stage + 1]))


def build(schedule: Schedule, stages_count: int, chunks_count: int, micro_batches_count: int) -> Program:
    """Return the program of a step.

    Raises:
        ScenarioError: the order waits for itself.
    """
    chains = schedule.chains(stages_count, chunks_count)
    orders = [schedule.order(stages_count, chunks_count, micro_batches_count, stage) for stage in range(stages_count)]
    first = np.concatenate([[0], np.cumsum([len(item.kind) for item in orders])])
    events = Events(
        kind=np.concatenate([item.kind for item in orders]).astype(np.int8),
        chunk=np.concatenate([item.chunk for item in orders]).astype(np.int32),
        micro_batch=np.concatenate([item.micro_batch for item in orders]).astype(np.int32),
        joined=np.concatenate([item.joined for item in orders]),
    )
    stage = np.repeat(np.arange(stages_count, dtype=np.int32), np.diff(first))
    slot = np.cumsum(~events.joined) - 1
    held = int(chains[..., 1].max()) + 1
    needed, hop = _needs(chains, (stages_count, held, micro_batches_count), stage, events, slot)
    alone = ~events.joined
    before = np.arange(-1, slot[-1])
    before[slot[first[:-1]]] = -1
    second = np.full((2, len(before)), -1)
    second[1] = 2 * stages_count
    second[:, slot[events.joined]] = needed[events.joined], hop[events.joined]
    level = _levels(before, needed[alone], second[0], slot[first[:-1]])
    place = np.argsort(level, kind="stable")
    rank = np.append(np.empty_like(place), len(place))  # index -1 is what stands for nothing
    rank[place] = np.arange(len(place))
    cuts = np.concatenate([[0], np.cumsum(np.bincount(level))]).tolist()
    pairs = bool(events.joined.any())
    kind = np.where(np.append(events.joined[1:], False), FULL + 1, events.kind)
    return Program(
        stage=stage,
        events=events,
        slot=rank[slot],
        first=first,
        before=rank[before][place],
        needs=tuple(rank[item][place] for item in (needed[alone], *([second[0]] if pairs else []))),
        hops=tuple(item[place].astype(np.int32) for item in (hop[alone], *([second[1]] if pairs else []))),
        work=((kind.astype(np.int32) * stages_count + stage) * held + events.chunk)[alone][place],
        levels=tuple((start, end) for start, end in pairwise(cuts) if end > start),
        peak_count=np.array([_peak(item) for item in orders]) * (len(chains) / held),
    )


def _needs(
    chains: Column, sizes: tuple[int, int, int], stage: Column, events: Events, slot: Column
) -> tuple[Column, Column]:
    """Return for each event the slot on another chunk that it waits for (-1: none), and its hop.

    Hop b is boundary b forward, hop p + b boundary b backward, hop 2p none.
    """
    stages, held, count = sizes
    ahead = np.full((2, stages * held), -1)  # the chunk whose event comes before: forward, backward
    hop = np.full((2, stages * held), 2 * stages)
    for chain in chains:
        place = chain[:, 0] * held + chain[:, 1]
        ahead[0, place[1:]], ahead[1, place[:-1]] = place[:-1], place[1:]
        down = (chain[:-1, 0] + 1) % stages == chain[1:, 0]
        edge = np.where(down, chain[:-1, 0], chain[1:, 0])
        far = chain[:-1, 0] != chain[1:, 0]
        hop[0, place[1:]] = np.where(far, edge, 2 * stages)
        hop[1, place[:-1]] = np.where(far, edge + stages, 2 * stages)
    done = np.full((2, stages * held, count), -1)
    here = stage * held + events.chunk
    way = np.where(events.kind == FORWARD, 0, 1)
    travels = events.kind != WEIGHT
    done[way[travels], here[travels], events.micro_batch[travels]] = slot[travels]
    from_ = ahead[way, here]
    waits = travels & (from_ >= 0)
    return np.where(waits, done[way, from_, events.micro_batch], -1), np.where(waits, hop[way, here], 2 * stages)


def _levels(before: Column, needed: Column, second: Column, starts: Column) -> Column:
    """Return the longest way to each slot, in slots."""
    count = len(before)
    ends = [*starts[1:].tolist(), count]
    at = starts.tolist()
    level = [-1] * count + [0]  # index -1 stands for nothing
    one, two = needed.tolist(), second.tolist()
    left = count
    while left:
        before_pass = left
        for stage, end in enumerate(ends):
            place = at[stage]
            last = level[place - 1] if place > starts[stage] else 0
            while place < end and (near := level[one[place]]) >= 0 and (other := level[two[place]]) >= 0:
                last = max(last, near, other) + 1
                level[place] = last
                place += 1
            left -= place - at[stage]
            at[stage] = place
        if left == before_pass:
            raise ScenarioError(
                f"{left} of {count} events wait for each other",
                where="pipeline schedule",
                hint="see Schedule.legal for the degrees that the schedule is defined for",
            )
    return np.array(level[:-1])


def _peak(events: Events) -> float:
    """Return the most chunks of activations held at once: from the start of F to the end of W."""
    change = np.array([HOLDS[kind] for kind in range(FULL + 1)])[events.kind]
    return float(np.max(np.cumsum(change), initial=0))
