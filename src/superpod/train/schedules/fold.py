"""Where a step repeats itself: what more micro-batches add to the order, and what decides the time from there on."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from superpod.train.schedules.program import Program, build
from superpod.train.schedules.schedule import KINDS, Column, Events, Schedule

KEPT_COUNT = 1e5  # chunks of all micro-batches up to which a program is worth its memory, about 10 MB


@dataclass(frozen=True, slots=True, kw_only=True)
class Fold:
    """Where periods are put in: what is live before them, and the first one's events, `length` a stage."""

    live: Column  # events
    body: Column  # events
    length: int


def prepared(schedule: Schedule, sizes: tuple[int, int, int], copies_count: int) -> tuple[Program, Fold | None]:
    """Return the program of m micro-batches and some periods, and its fold; kept where it is not large."""
    return (_prepared if np.prod(sizes) < KEPT_COUNT else _prepared.__wrapped__)(schedule, sizes, copies_count)


@lru_cache(maxsize=32)
def _prepared(schedule: Schedule, sizes: tuple[int, int, int], copies_count: int) -> tuple[Program, Fold | None]:
    """Return both; without periods there is nothing to fold."""
    more = build(schedule, *sizes[:2], sizes[2] + copies_count * schedule.period_count(*sizes[:2]))
    return more, fold(schedule, more, sizes, copies_count) if copies_count else None


def fold(schedule: Schedule, more: Program, sizes: tuple[int, int, int], copies_count: int) -> Fold | None:
    """Return where the order of m micro-batches and some periods differs from that of m by those periods alone.

    `more` is the program with them, `sizes` = (p, v, m). On each stage the order must be: what both have in common; the
    periods; the rest, moved by them. And each period must repeat the one before it. Then the ends of what later events
    need of earlier ones (`live`) decide the rest of the step, and the same a period later decide it with a period more.
    """
    stages_count, chunks_count, micro_batches_count = sizes
    period = schedule.period_count(stages_count, chunks_count)
    most = micro_batches_count + copies_count * period
    codes = [
        (
            _code(schedule.order(stages_count, chunks_count, micro_batches_count, stage), most),
            _code(more.of_stage(stage), most),
        )
        for stage in range(stages_count)
    ]
    added = len(codes[0][1]) - len(codes[0][0])
    length = added // copies_count
    event = np.empty(len(more.before), dtype=np.int64)
    event[more.slot[::-1]] = np.arange(len(more.slot))[::-1]  # the first event of each slot
    cut = _closed(more, event, np.array([_common(*pair) for pair in codes]))
    for stage, (ours, theirs) in enumerate(codes):
        same = int(cut[stage])
        if same < length or not np.array_equal(theirs[same + added :], ours[same:] + copies_count * period):
            return None
        if not np.array_equal(theirs[same : same + added], theirs[same - length : same + added - length] + period):
            return None
    return _live(more, event, cut, length)


def _code(events: Events, most: int) -> Column:
    """Return one number for each event of a stage; the same event of the next micro-batch is one more."""
    kind = (events.chunk.astype(np.int64) * len(KINDS) + events.kind) * 2 + events.joined
    return kind * 2 * most + events.micro_batch


def _common(ours: Column, theirs: Column) -> int:
    """Return how many events two orders have in common before they part."""
    differs = ours != theirs[: len(ours)]
    return int(np.argmax(differs)) if differs.any() else len(ours)


def _closed(made: Program, event: Column, cut: Column) -> Column:
    """Return the latest cut of each stage, at most `cut`, that nothing before it needs anything after it."""
    stage = made.stage[event]
    place = event - made.first[stage]
    cut = cut - made.events.joined[made.first[:-1] + cut]  # never inside a pair
    while True:
        after = np.append(place >= cut[stage], False)  # the number after the last slot is always there
        wrong = ~after[:-1] & np.any([after[need] for need in made.needs], axis=0)
        if not wrong.any():
            return cut
        cut = cut.copy()
        np.minimum.at(cut, stage[wrong], place[wrong])


def _live(made: Program, event: Column, cut: Column, length: int) -> Fold:
    """Return what is needed across the cut."""
    count = len(made.before)
    stage = made.stage[event]
    after = np.append(event - made.first[stage] >= cut[stage], False)
    crossing = [need[~after[need] & after[:-1]] for need in (made.before, *made.needs)]
    found = np.unique(np.concatenate(crossing))
    found = found[found < count]
    body = np.concatenate([np.arange(length) + start for start in made.first[:-1] + cut])
    return Fold(live=event[found], body=body, length=length)
