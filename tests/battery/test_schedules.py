"""What must hold for every pipeline schedule, whatever its order, for any times of its chunks."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from superpod.train.schedules import SCHEDULES, Schedule
from superpod.train.schedules.replay import Replay, replay
from superpod.train.schedules.schedule import BACKWARD, FORWARD, FULL, WEIGHT
from superpod.train.schedules.times import ChunkTimes, even_times

EVERY_SCHEDULE = pytest.mark.parametrize("name", SCHEDULES)
STAGES = st.integers(1, 8)
CHUNKS = st.integers(1, 4)
SEEDS = st.integers(0, 2**32 - 1)


def legal_count(schedule: Schedule, stages: int, chunks: int, wanted: int) -> int | None:
    """Return the least legal number of micro-batches that is not below `wanted`, or None where there is none."""
    counts = range(wanted, max(wanted, 2 * stages) + 2)
    return next((count for count in counts if schedule.legal(stages, chunks, count)), None)


def drawn(schedule: Schedule, stages: int, chunks: int, seed: int, rows: int = 4) -> ChunkTimes:
    """Return uneven times with hops."""
    rng = np.random.default_rng(seed)
    shape = (*schedule.parts(stages, chunks).shape, rows)
    forward, backward, weight = (rng.uniform(0.0, 1.0, shape) ** 2 for _ in range(3))
    down, up = (rng.uniform(0.0, 0.4, (stages, rows)) for _ in range(2))
    return ChunkTimes(forward_s=forward, backward_s=backward, weight_s=weight, forward_hop_s=down, backward_hop_s=up)


def cases(counts: st.SearchStrategy[int]) -> st.SearchStrategy[tuple[int, int, int, int]]:
    """Return stages, chunks, micro-batches wanted and a seed."""
    return st.tuples(STAGES, CHUNKS, counts, SEEDS)


def resolve(name: str, case: tuple[int, int, int, int]) -> tuple[Schedule, ChunkTimes, int, int] | None:
    """Return schedule, times, chunks and micro-batches of a case, or None where it is not legal."""
    stages, chunks, wanted, seed = case
    schedule = SCHEDULES[name]
    chunks = chunks if name == "1f1b" else min(chunks, 2)
    count = legal_count(schedule, stages, chunks, wanted)
    return None if count is None else (schedule, drawn(schedule, stages, chunks, seed), chunks, count)


def spent_s(found: Replay, times: ChunkTimes) -> np.ndarray:
    """Return how long each event takes by the times given."""
    line = found.timeline
    table = np.stack([times.forward_s, times.backward_s, times.weight_s, times.backward_s + times.weight_s])
    alone = table[line.kind, line.stage, line.chunk]
    pair = joined(found)
    alone[pair] = alone[pair - 1] = times.together_s()[line.stage[pair], line.chunk[pair - 1]]
    return alone


def joined(found: Replay) -> np.ndarray:
    """Return the events that share the time of the one before."""
    line = found.timeline
    same = (np.diff(line.stage) == 0) & (line.kind[:-1] == FORWARD) & (line.kind[1:] == FULL)
    together = np.all(np.diff(line.start_s, axis=0) == 0.0, axis=-1) & np.all(
        line.end_s[1:] > line.start_s[1:], axis=-1
    )
    return np.flatnonzero(same & together) + 1


@EVERY_SCHEDULE
@settings(max_examples=25, deadline=None)
@given(case=cases(st.integers(1, 20)))
def test_every_stage_does_all_its_work_once(name: str, case: tuple[int, int, int, int]) -> None:
    if (found := resolve(name, case)) is None:
        return
    schedule, times, chunks, count = found
    line = replay(schedule, times, chunks, count, fold=False).timeline
    ways = schedule.chains(times.stages_count, chunks)
    wanted = {
        (int(stage), int(chunk), number, kind)
        for way, chain in enumerate(ways)
        for stage, chunk in chain
        for number in range(way, count, len(ways))
        for kind in (FORWARD, BACKWARD, WEIGHT)
    }
    done = []
    for stage, chunk, number, kind in zip(line.stage, line.chunk, line.micro_batch, line.kind, strict=True):
        done += [(stage, chunk, number, part) for part in ((BACKWARD, WEIGHT) if kind == FULL else (kind,))]
    assert len(done) == len(wanted)
    assert set(done) == wanted


@EVERY_SCHEDULE
@settings(max_examples=25, deadline=None)
@given(case=cases(st.integers(1, 20)))
def test_a_stage_does_one_thing_at_a_time(name: str, case: tuple[int, int, int, int]) -> None:
    if (found := resolve(name, case)) is None:
        return
    schedule, times, chunks, count = found
    result = replay(schedule, times, chunks, count, fold=False)
    line = result.timeline
    assert np.allclose(line.end_s - line.start_s, spent_s(result, times), rtol=0.0, atol=1e-12)
    after = np.setdiff1d(np.flatnonzero(np.diff(line.stage) == 0) + 1, joined(result))
    assert np.all(line.start_s[after] >= line.end_s[after - 1])
    assert np.all(result.idle_s >= -1e-12)


@EVERY_SCHEDULE
@settings(max_examples=25, deadline=None)
@given(case=cases(st.integers(1, 20)))
def test_nothing_starts_before_what_it_needs(name: str, case: tuple[int, int, int, int]) -> None:
    if (found := resolve(name, case)) is None:
        return
    schedule, times, chunks, count = found
    line = replay(schedule, times, chunks, count, fold=False).timeline
    at = {
        (int(stage), int(chunk), int(number), int(kind) % FULL if kind != FULL else BACKWARD): (start, end)
        for stage, chunk, number, kind, start, end in zip(
            line.stage, line.chunk, line.micro_batch, line.kind, line.start_s, line.end_s, strict=True
        )
    }
    stages = times.stages_count
    ways = schedule.chains(stages, chunks)
    for way, chain in enumerate(ways.tolist()):
        for number in range(way, count, len(ways)):
            for here in chain:
                own = at[*here, number, BACKWARD][0] - at[*here, number, FORWARD][1]
                assert np.all(own >= -1e-12)
                if (late := at.get((*here, number, WEIGHT))) is not None:
                    assert np.all(late[0] - at[*here, number, BACKWARD][1] >= -1e-12)
            for before, after in pairwise(chain):
                forward = at[*after, number, FORWARD][0] - at[*before, number, FORWARD][1]
                backward = at[*before, number, BACKWARD][0] - at[*after, number, BACKWARD][1]
                down, up = hops(times, before[0], after[0])
                assert np.all(forward >= down - 1e-12)
                assert np.all(backward >= up - 1e-12)


def hops(times: ChunkTimes, before: int, after: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the hops forward and backward between two stages that are neighbours, or the same."""
    down, up = np.asarray(times.forward_hop_s), np.asarray(times.backward_hop_s)
    if before == after:
        return 0.0 * down[0], 0.0 * up[0]
    edge = before if (before + 1) % times.stages_count == after else after
    return down[edge], up[edge]


@EVERY_SCHEDULE
@settings(max_examples=25, deadline=None)
@given(case=cases(st.integers(20, 150)))
def test_a_folded_step_is_the_whole_step(name: str, case: tuple[int, int, int, int]) -> None:
    if (found := resolve(name, case)) is None:
        return
    short, whole = (replay(*found, fold=fold) for fold in (True, False))
    for field in ("time_s", "makespan_s", "period_s", "busy_s", "idle_s", "peak_count"):
        np.testing.assert_allclose(getattr(short, field), getattr(whole, field), rtol=1e-10, atol=1e-10)


@EVERY_SCHEDULE
@pytest.mark.parametrize("hop_s", [0.0, 0.07])
def test_a_long_step_is_not_replayed_whole(name: str, hop_s: float) -> None:
    """Equal stages with hops repeat after p micro-batches, not after one."""
    schedule = SCHEDULES[name]
    for stages, chunks in ((2, 1), (2, 2), (8, 1), (8, 2), (8, 4)):
        if schedule.legal(stages, chunks, 10_000):
            times = even_times(schedule, (stages, chunks), (1.0, 1.3, 0.9), hop_s)
            assert replay(schedule, times, chunks, 10_000).replayed_count <= 7 * stages + 2


@EVERY_SCHEDULE
@settings(max_examples=25, deadline=None)
@given(case=cases(st.integers(1, 40)))
def test_one_stage_never_waits(name: str, case: tuple[int, int, int, int]) -> None:
    if (found := resolve(name, (1, *case[1:]))) is None:
        return
    schedule, times, chunks, count = found
    work = np.sum(times.forward_s + times.backward_s + times.weight_s, axis=(0, 1))
    np.testing.assert_allclose(replay(schedule, times, chunks, count).time_s, count * work, rtol=1e-12)


@EVERY_SCHEDULE
@settings(max_examples=25, deadline=None)
@given(case=cases(st.integers(1, 60)))
def test_longer_chunks_never_shorten_the_step(name: str, case: tuple[int, int, int, int]) -> None:
    """Orders do not depend on times, so there are no anomalies of list scheduling: ends are maxima of sums."""
    if (found := resolve(name, case)) is None:
        return
    schedule, times, chunks, count = found
    grown = np.random.default_rng(case[3]).uniform(1.0, 2.0, times.forward_s.shape)
    longer = replace(
        times,
        forward_s=times.forward_s * grown,
        backward_s=times.backward_s * grown[::-1],
        weight_s=times.weight_s * grown[:, ::-1],
        forward_hop_s=2.0 * times.forward_hop_s,
    )
    before, after = (replay(schedule, item, chunks, count) for item in (times, longer))
    assert np.all(after.makespan_s >= before.makespan_s * (1.0 - 1e-12))


@EVERY_SCHEDULE
@settings(max_examples=25, deadline=None)
@given(case=cases(st.integers(1, 60)))
def test_more_micro_batches_never_take_less_time(name: str, case: tuple[int, int, int, int]) -> None:
    if (found := resolve(name, case)) is None:
        return
    schedule, times, chunks, count = found
    more = legal_count(schedule, times.stages_count, chunks, count + 1)
    assert more is not None
    assert np.all(replay(schedule, times, chunks, more).time_s >= replay(*found).time_s * (1.0 - 1e-12))


@EVERY_SCHEDULE
@settings(max_examples=40, deadline=None)
@given(case=cases(st.integers(1, 60)))
def test_activations_are_held_as_counted(name: str, case: tuple[int, int, int, int]) -> None:
    if (found := resolve(name, case)) is None:
        return
    schedule, times, chunks, count = found
    stage = np.arange(times.stages_count)
    counted = schedule.in_flight_count(times.stages_count, chunks, count, stage)
    np.testing.assert_allclose(np.broadcast_to(counted, stage.shape), replay(*found).peak_count, rtol=1e-12)


@EVERY_SCHEDULE
@settings(max_examples=40, deadline=None)
@given(case=cases(st.integers(1, 60)))
def test_the_closed_form_is_the_replay_where_f_b_and_w_are_equal(name: str, case: tuple[int, int, int, int]) -> None:
    """The papers' case; interleaved with a last group that is short and v > 2 the closed form is a bound from below."""
    if (found := resolve(name, case)) is None:
        return
    schedule, _, chunks, count = found
    sizes = (case[0], chunks, count)
    whole = replay(schedule, even_times(schedule, sizes[:2], (1.0, 1.0, 1.0)), chunks, count)
    closed = schedule.step_s((1.0, 1.0, 1.0), sizes)
    if chunks > 2 and count % case[0]:
        assert 0.9 * whole.time_s <= closed <= whole.time_s * (1.0 + 1e-12)
    else:
        assert closed == pytest.approx(whole.time_s, rel=1e-12)


@EVERY_SCHEDULE
def test_closed_forms_take_columns(name: str) -> None:
    schedule = SCHEDULES[name]
    stages, chunks, counts = np.array([[2.0], [4.0]]), 2.0, np.array([8.0, 10.0, 64.0])
    times = tuple(np.full((2, 1, 1), value) for value in (1.0, 1.2, 0.8))
    closed = np.broadcast_to(schedule.step_s(times, (stages, chunks, counts), 0.1, 2.5), (2, 2, 3))
    alone = schedule.step_s((1.0, 1.2, 0.8), (4.0, 2.0, 10.0), 0.1, 2.5)
    assert closed[1, 1, 1] == pytest.approx(float(alone), rel=1e-12)
    assert np.shape(schedule.legal(stages, chunks, counts)) == (2, 3)
    assert np.broadcast_to(schedule.in_flight_count(stages, chunks, counts, 1.0), (2, 3)).shape == (2, 3)


@EVERY_SCHEDULE
@pytest.mark.parametrize("hop_s", [1e-4, 1e-2])
def test_short_hops_cost_as_counted(name: str, hop_s: float) -> None:
    """Exact for all but the DualPipes, whose ramps pay for a few more or less."""
    schedule, off = SCHEDULES[name], 2.0 if name.startswith("dualpipe") else 0.0
    for stages, chunks in ((2, 1), (2, 2), (4, 1), (4, 2), (4, 4), (8, 1), (8, 2)):
        for count in (1, 2, stages, 2 * stages, 5 * stages):
            if schedule.legal(stages, chunks, count):
                with_hops, without = (
                    replay(schedule, even_times(schedule, (stages, chunks), (1.0, 1.0, 1.0), hop), chunks, count).time_s
                    for hop in (hop_s, 0.0)
                )
                counted = float(schedule.hops_count(stages, chunks, count))
                assert abs((with_hops - without) / hop_s - counted) <= off + 1e-6, (stages, chunks, count)
