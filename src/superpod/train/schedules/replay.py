"""Exact replay of a schedule: every event starts when its stage is free and what it needs has arrived."""

from dataclasses import dataclass

import numpy as np

from superpod.errors import ScenarioError
from superpod.result import Num
from superpod.train.schedules.fold import Fold, prepared
from superpod.train.schedules.program import Program, build
from superpod.train.schedules.schedule import Column, Schedule
from superpod.train.schedules.times import ChunkTimes, Seconds

RAMP_FACTOR = 3  # micro-batches a stage that are replayed before the first try to fold
CYCLE_FACTOR = 2  # micro-batches a stage among which a cycle is looked for
SAME_FRAC = 1e-11  # of a period: steady to rounding; each period left out errs by no more


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """Every event that was replayed, as columns; `kind` counts into `schedule.KINDS`. A joined pair shares its time."""

    stage: Column
    chunk: Column
    micro_batch: Column
    kind: Column
    start_s: Seconds  # (events, *rows)
    end_s: Seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """The time of all micro-batches of a step. Columns of stages have shape (stages, *rows).

    `makespan_s` runs from the first start to the last end, `period_s` is the longest from a stage's own first start to
    its own last end: the time between steps where no stage's optimizer waits for another stage. `time_s` is `period_s`
    for schedules that count on that (`across_steps`), else `makespan_s`. `peak_count` is the most micro-batches whose
    activations of a whole stage are held, from the start of F to the end of W. `timeline` holds `replayed_count`
    micro-batches; the rest repeats the steady state.
    """

    time_s: Num
    makespan_s: Num
    period_s: Num
    busy_s: Seconds
    idle_s: Seconds
    peak_count: Seconds
    replayed_count: int
    timeline: Timeline


def replay(
    schedule: Schedule, times: ChunkTimes, chunks_count: int, micro_batches_count: int, *, fold: bool = True
) -> Replay:
    """Return the replay of a step of m micro-batches of v chunks a stage; its cost does not grow with m once steady.

    An event starts at the latest of: the end of the event before it on its stage; for F the end of F on the part before
    plus the hop; for B the end of B on the part after plus the hop. Stages compute while they send. Folded: m mod
    period micro-batches and enough whole periods are replayed. Where all that is live at the end of a period is later
    by one and the same time than a period before, each further period adds that time: events are maxima of sums.

    Raises:
        ScenarioError: the schedule is not defined for these degrees, or the times are of other degrees.
    """
    sizes = (times.stages_count, chunks_count, micro_batches_count)
    _check(schedule, times, sizes)
    if fold and schedule.affine and micro_batches_count > RAMP_FACTOR:
        return _affine(schedule, times, sizes)
    period = schedule.period_count(*sizes[:2])
    short = RAMP_FACTOR * sizes[0] // period * period + micro_batches_count % period + period
    while fold and short + period < micro_batches_count:
        for copies in (1, max(CYCLE_FACTOR * sizes[0] // period, 1)):
            if short + copies * period < micro_batches_count:
                found = _folded(schedule, times, sizes, short, copies)
                if found is not None:
                    return found
        short += short // period * period
    made, _ = prepared(schedule, sizes, 0)
    return _result(schedule, made, _run(made, times), sizes[2])


def _check(schedule: Schedule, times: ChunkTimes, sizes: tuple[int, int, int]) -> None:
    stages, chunks, count = sizes
    if not bool(schedule.legal(*sizes)):
        raise ScenarioError(
            f"got {stages} stages of {chunks} chunks and {count} micro-batches, where it is not defined",
            where=f"schedule {schedule.name}",
            hint="docs/theory/pipeline-schedules.md says when each schedule is legal",
        )
    held = schedule.parts(stages, chunks).shape[1]
    if times.chunks_count != held:
        raise ScenarioError(
            f"got times of {times.chunks_count} chunks a stage, expected {held}",
            where=f"schedule {schedule.name}",
            hint="one column for each chunk that a stage holds, both copies counted",
        )


def _run(made: Program, times: ChunkTimes) -> tuple[Seconds, Seconds]:
    """Return start and end of every slot, level by level."""
    rows = times.rows
    backward, weight = times.backward_s, times.weight_s
    kinds = [times.forward_s, backward, weight, backward + weight]
    if len(made.needs) > 1:
        kinds.append(times.together_s())
    spent = np.stack(kinds).reshape(-1, *rows)[made.work]
    hops = _hops(times)
    end = np.zeros((len(spent) + 1, *rows))
    start = np.empty_like(spent)
    travel = [hops[item] for item in made.hops]
    for low, high in made.levels:
        here = end[made.before[low:high]]
        for need, hop in zip(made.needs, travel, strict=True):
            np.maximum(here, end[need[low:high]] + hop[low:high], out=here)
        start[low:high] = here
        np.add(here, spent[low:high], out=end[low:high])
    return start, end[:-1]


def _hops(times: ChunkTimes) -> Seconds:
    """Return the table of hops: boundaries forward, boundaries backward, none."""
    shape = (times.stages_count, *times.rows)
    sides = [
        np.broadcast_to(np.asarray(side, dtype=np.float64), shape)
        for side in (times.forward_hop_s, times.backward_hop_s)
    ]
    return np.concatenate([*sides, np.zeros((1, *times.rows))])


def _result(
    schedule: Schedule,
    made: Program,
    slots: tuple[Seconds, Seconds],
    replayed: int,
    *,
    later_s: Num = 0.0,
    more_busy_s: Num = 0.0,
    peak_count: Seconds | None = None,
) -> Replay:
    """Return the answer; `later_s` and `more_busy_s` are what folded micro-batches add."""
    start, end = (side[made.slot] for side in slots)
    begun, done = start[made.first[:-1]], end[made.first[1:] - 1] + later_s
    alone = ~made.events.joined
    spent = np.where(alone.reshape(-1, *[1] * (start.ndim - 1)), end - start, 0.0)
    busy = np.add.reduceat(spent, made.first[:-1], axis=0) + more_busy_s
    makespan, period = np.max(done, axis=0), np.max(done - begun, axis=0)
    time = period if schedule.across_steps else makespan
    events = made.events
    return Replay(
        time_s=time,
        makespan_s=makespan,
        period_s=period,
        busy_s=busy,
        idle_s=time - busy,
        peak_count=made.peak_count if peak_count is None else peak_count,
        replayed_count=replayed,
        timeline=Timeline(
            stage=made.stage,
            chunk=events.chunk,
            micro_batch=events.micro_batch,
            kind=events.kind,
            start_s=start,
            end_s=end,
        ),
    )


def _affine(schedule: Schedule, times: ChunkTimes, sizes: tuple[int, int, int]) -> Replay:
    """Return the step of a schedule whose times are affine in m."""
    stages, chunks, count = sizes
    two, three = (build(schedule, stages, chunks, few) for few in (2, 3))
    short, longer = (_result(schedule, made, _run(made, times), 3) for made in (two, three))
    more = count - 3
    return _result(
        schedule,
        three,
        _run(three, times),
        3,
        later_s=more * (longer.makespan_s - short.makespan_s),
        more_busy_s=more * (longer.busy_s - short.busy_s),
        peak_count=three.peak_count + more * (three.peak_count - two.peak_count),
    )


def _folded(
    schedule: Schedule, times: ChunkTimes, sizes: tuple[int, int, int], short: int, copies: int
) -> Replay | None:
    """Return the step from a replay of `short` micro-batches and some periods, or None where it is not yet steady."""
    stages, chunks, count = sizes
    made, place = prepared(schedule, (stages, chunks, short), copies)
    if place is None:
        return None
    period = schedule.period_count(stages, chunks)
    replayed = short + copies * period
    start, end = _run(made, times)
    cycle, step = _cycle(place, made, end, copies)
    if not cycle:
        return None
    more = (count - replayed) // period
    if more % cycle:  # what is left must be whole cycles
        return _folded(schedule, times, sizes, short + more % cycle * period, copies)
    body = place.body[~made.events.joined[place.body]]
    slot = made.slot[body]
    spent = np.zeros((stages, *times.rows))
    np.add.at(spent, made.stage[body], end[slot] - start[slot])
    return _result(schedule, made, (start, end), replayed, later_s=more // cycle * step, more_busy_s=more * spent)


def _cycle(place: Fold, made: Program, end: Seconds, copies: int) -> tuple[int, Seconds]:
    """Return the fewest periods by which all that is live is later by one time, and that time; 0 where there are none.

    One period is not always enough: where p micro-batches share the hops of a round trip, only p of them are alike.
    """
    last = end[made.slot[place.live + copies * place.length]]
    for cycle in range(1, copies + 1):
        shift = last - end[made.slot[place.live + (copies - cycle) * place.length]]
        step: Seconds = np.max(shift, axis=0)
        if np.all(step - np.min(shift, axis=0) <= SAME_FRAC * step):
            return cycle, step
    return 0, np.zeros(end.shape[1:])
