"""Pipeline schedules: their published bubbles and memory, how they compare, and what is refused."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import superpod.train.schedules
from superpod.errors import ScenarioError
from superpod.train.schedules import SCHEDULES
from superpod.train.schedules.one_forward_one_backward import warm_up_count
from superpod.train.schedules.program import build
from superpod.train.schedules.replay import Replay, replay
from superpod.train.schedules.schedule import FORWARD, FULL, KINDS, Events, by_key
from superpod.train.schedules.times import ChunkTimes, even_times

SECONDS = st.tuples(*[st.floats(0.05, 1.0)] * 3)
Sizes = tuple[int, int, int]
Seconds = tuple[float, float, float]


def even(name: str, sizes: Sizes, seconds: Seconds, hop_s: float = 0.0) -> Replay:
    """Return the replay on equal stages."""
    times = even_times(SCHEDULES[name], sizes[:2], seconds, hop_s)
    return replay(SCHEDULES[name], times, sizes[1], sizes[2])


def words(name: str, sizes: Sizes, stage: int) -> str:
    """Return what a stage does, as published figures write it."""
    events = SCHEDULES[name].order(*sizes, stage)
    rows = zip(events.kind, events.micro_batch, events.joined, strict=True)
    return "".join(("&" if together else " ") + f"{KINDS[kind]}{number}" for kind, number, together in rows).strip()


def test_every_schedule_has_its_row() -> None:
    shared = {"__init__", "fold", "program", "replay", "schedule", "times"}
    folder = Path(superpod.train.schedules.__file__).parent
    assert len({path.stem for path in folder.glob("*.py")} - shared) == len(SCHEDULES)
    assert all(name == item.name for name, item in SCHEDULES.items())


def test_orders_are_the_published_ones() -> None:
    assert words("gpipe", (2, 1, 2), 0) == "F0 F1 BW0 BW1"
    assert words("1f1b", (3, 1, 4), 0) == "F0 F1 F2 BW0 F3 BW1 BW2 BW3"
    assert words("1f1b", (3, 1, 4), 2) == "F0 BW0 F1 BW1 F2 BW2 F3 BW3"
    assert words("1f1b", (2, 2, 2), 0) == "F0 F1 F0 F1 BW0 BW1 BW0 BW1"
    assert words("zb-h1", (3, 1, 4), 0) == "F0 F1 F2 B0 W0 F3 B1 W1 B2 W2 B3 W3"
    assert words("zb-h1", (3, 1, 4), 2) == "F0 B0 F1 B1 F2 B2 W0 F3 B3 W1 W2 W3"
    assert words("zb-h2", (2, 1, 4), 0) == "F0 F1 F2 B0 W0 F3 B1 W1 B2 W2 B3 W3"
    assert words("zb-h2", (2, 1, 4), 1) == "F0 B0 F1 B1 F2 B2 W0 F3 B3 W1 W2 W3"
    assert words("zb-v", (1, 2, 2), 0) == "F0 F0 B0 W0 F1 B0 W0 F1 B1 W1 B1 W1"
    assert words("dualpipev", (1, 2, 2), 0) == "F0 F0 F1 BW0 F1&BW0 BW1 B1 W1"


@pytest.mark.parametrize(
    ("name", "sizes", "bubble_s"),
    [
        # F = 1, B = 1.5, W = 0.8 on four stages (DualPipe: eight), by the formulas of the papers.
        ("gpipe", (4, 1, 12), 3 * 3.3),  # (p - 1)(F + B + W)
        ("1f1b", (4, 1, 12), 3 * 3.3),
        ("1f1b", (4, 2, 12), 3 * 3.3 / 2),  # over v
        ("1f1b", (4, 4, 12), 3 * 3.3 / 4),
        ("zb-h1", (4, 1, 12), 3 * (1.0 + 1.5 - 0.8)),
        ("zb-h2", (4, 1, 12), 3 * (1.0 + 1.5 - 1.6)),
    ],
)
def test_published_bubbles(name: str, sizes: Sizes, bubble_s: float) -> None:
    seconds = (1.0, 1.5, 0.8)
    assert float(SCHEDULES[name].bubble_s(*seconds, *sizes)) == pytest.approx(bubble_s)
    assert even(name, sizes, seconds).time_s == pytest.approx(sizes[2] * 3.3 + bubble_s)


@settings(max_examples=60, deadline=None)
@given(SECONDS, st.integers(1, 8), st.integers(0, 40))
def test_closed_forms_are_exact_where_they_say(seconds: Seconds, stages: int, more: int) -> None:
    whole = sum(seconds)
    cases = [
        ("gpipe", 1, 1 + more),
        ("1f1b", 1, 1 + more),
        ("1f1b", 4, stages * (1 + more % 5)),
        ("zb-h1", 1, stages + more),
        ("zb-h2", 1, 2 * stages - 1 + more),
    ]
    if seconds[0] <= seconds[1] + seconds[2]:
        cases += [("1f1b", 2, 1 + more)]
    if seconds[0] >= seconds[1]:
        cases += [("dualpipev", 2, 2 * stages + more), ("dualpipe", 1, 2 * stages + 2 * more)]
    for name, chunks, count in cases:
        sizes = (stages, chunks, count)
        if SCHEDULES[name].legal(*sizes):
            closed = SCHEDULES[name].step_s(seconds, sizes)
            assert closed == pytest.approx(even(name, sizes, seconds).time_s, rel=1e-9), (name, sizes)
            assert closed >= count * whole * (1.0 - 1e-12)


@settings(max_examples=60, deadline=None)
@given(SECONDS, st.integers(1, 8), st.integers(0, 40))
def test_closed_forms_are_bounds_where_they_say(seconds: Seconds, stages: int, more: int) -> None:
    ramp = max(stages - 1, 1) * sum(seconds)
    for name, chunks, count, below, above in (
        ("1f1b", 2, 1 + more, 0.0, 0.25),
        ("1f1b", 4, 1 + more, 0.1, 0.25),
        ("zb-h1", 1, 1 + more, 0.15, 0.0),
        ("zb-h2", 1, 1 + more, 0.3, 0.0),
        ("zb-v", 2, 2 * stages - 1 + more, 0.0, 0.1),
        ("zb-v", 2, 1 + more, 0.5, 0.5),
        ("dualpipev", 2, 2 * stages + more, 0.0, 0.16),
        ("dualpipe", 1, 2 * stages + 2 * more, 0.0, 0.16),
    ):
        sizes = (stages, chunks, count)
        if SCHEDULES[name].legal(*sizes):
            off = float(SCHEDULES[name].step_s(seconds, sizes)) - float(even(name, sizes, seconds).time_s)
            assert -below - 1e-9 <= off / ramp <= above + 1e-9, (name, sizes)


@settings(max_examples=60, deadline=None)
@given(SECONDS, st.floats(0.0, 0.3), st.integers(1, 8), st.integers(1, 40))
def test_zero_bubble_schedules_are_no_slower(seconds: Seconds, hop_s: float, stages: int, count: int) -> None:
    """On equal stages; on uneven ones weight gradients put off can end a step late."""
    plain, first, second = (even(name, (stages, 1, count), seconds, hop_s) for name in ("1f1b", "zb-h1", "zb-h2"))
    assert first.time_s <= plain.time_s * (1.0 + 1e-12)
    assert second.time_s <= first.time_s * (1.0 + 1e-12)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 8), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_uneven_stages_take_at_least_the_way_to_each(stages: int, count: int, seed: int) -> None:
    """A micro-batch passes the stages up to i and back; stage i has m - 1 more. Stages beyond i can hide behind it."""
    forward, backward, weight = np.random.default_rng(seed).uniform(0.0, 1.0, (3, stages, 1))
    each = (forward + backward + weight)[:, 0]
    times = ChunkTimes(forward_s=forward, backward_s=backward, weight_s=weight)
    found = float(replay(SCHEDULES["1f1b"], times, 1, count).time_s)
    assert found >= np.max(np.cumsum(each) + (count - 1) * each) * (1.0 - 1e-12)


@pytest.mark.parametrize("name", ["dualpipe", "dualpipev"])
@settings(max_examples=40, deadline=None)
@given(stages=st.integers(1, 8), more=st.integers(0, 20), gain=st.floats(0.75, 1.0))
def test_overlapped_pairs_gain_as_counted(name: str, stages: int, more: int, gain: float) -> None:
    schedule, chunks = SCHEDULES[name], 2 if name == "dualpipev" else 1
    sizes = (stages, chunks, 2 * stages + 2 * more)
    if not schedule.legal(*sizes):
        return
    times = even_times(schedule, sizes[:2], (1.0, 1.0, 1.0))
    part = np.full(times.forward_s.shape, 3.0 * gain / chunks)
    paired = ChunkTimes(forward_s=times.forward_s, backward_s=times.backward_s, weight_s=times.weight_s, pair_s=part)
    closed = schedule.step_s((1.0, 1.0, 1.0), sizes, pair_s=3.0 * gain)
    assert replay(schedule, paired, chunks, sizes[2]).time_s == pytest.approx(closed, rel=1e-9)


def test_published_memory() -> None:
    stage = np.arange(8)
    count = {name: item.in_flight_count for name, item in SCHEDULES.items()}
    assert count["1f1b"](8, 1, 100, stage).tolist() == [8, 7, 6, 5, 4, 3, 2, 1]
    assert count["1f1b"](8, 2, 96, 0) == 8 * (1 + 7 / 16)  # p (1 + (p - 1)/(p v))
    assert set(np.broadcast_to(count["zb-h1"](8, 1, 100, stage), 8)) == {8}
    assert set(np.broadcast_to(count["zb-h2"](8, 1, 100, stage), 8)) == {15}
    assert set(np.broadcast_to(count["zb-v"](8, 2, 100, stage), 8)) == {8}
    assert set(np.broadcast_to(count["dualpipe"](8, 1, 100, stage), 8)) == {9}
    assert set(np.broadcast_to(count["gpipe"](8, 1, 100, stage), 8)) == {100}
    assert SCHEDULES["dualpipe"].copies_count == 2


def test_parts_say_where_the_model_lies() -> None:
    assert SCHEDULES["1f1b"].parts(2, 2).tolist() == [[0, 2], [1, 3]]
    assert SCHEDULES["zb-v"].parts(2, 2).tolist() == [[0, 3], [1, 2]]
    assert SCHEDULES["dualpipe"].parts(4, 1).tolist() == [[0, 3], [1, 2], [2, 1], [3, 0]]


def test_a_last_stage_that_is_slow_sets_the_pace() -> None:
    """By hand: stages of (1, 1, 1) and (2, 2, 2), m = 3: F0 on the first, 3 x 6 on the second, then BW on the first."""
    each = np.array([[1.0], [2.0]])
    found = replay(SCHEDULES["1f1b"], ChunkTimes(forward_s=each, backward_s=each, weight_s=each), 1, 3)
    assert found.time_s == 1.0 + 18.0 + 2.0
    assert found.busy_s.tolist() == [9.0, 18.0]
    assert found.idle_s.tolist() == [12.0, 3.0]


def test_an_optimizer_that_waits_takes_away_what_zb_h2_gains() -> None:
    first, second = (even(name, (4, 1, 20), (1.0, 1.0, 1.0)) for name in ("zb-h1", "zb-h2"))
    assert second.period_s == 60.0
    assert second.makespan_s == first.makespan_s == 63.0


def test_rows_are_replayed_side_by_side() -> None:
    seconds = tuple(np.array([1.0, 2.0, 3.0]) * scale for scale in (1.0, 1.5, 0.7))
    hop_s = np.array([[0.0, 0.1, 0.2]])
    both = replay(SCHEDULES["1f1b"], even_times(SCHEDULES["1f1b"], (4, 2), seconds, hop_s), 2, 203)
    alone = [even("1f1b", (4, 2, 203), tuple(float(item[row]) for item in seconds), hop_s[0, row]) for row in range(3)]
    np.testing.assert_allclose(both.time_s, [item.time_s for item in alone], rtol=1e-12)


def test_the_timeline_holds_what_was_replayed() -> None:
    found = even("1f1b", (4, 1, 10_000), (1.0, 1.0, 1.0))
    assert found.replayed_count < 30
    assert int(found.timeline.micro_batch.max()) + 1 == found.replayed_count
    assert set(found.timeline.kind) == {FORWARD, FULL}


@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("gpipe", (4, 2, 8)),
        ("1f1b", (1, 2, 8)),
        ("zb-v", (4, 1, 8)),
        ("dualpipe", (3, 1, 8)),
        ("dualpipe", (4, 1, 6)),
        ("dualpipe", (4, 1, 9)),
        ("dualpipev", (4, 2, 7)),
    ],
)
def test_what_is_not_defined_is_refused(name: str, sizes: Sizes) -> None:
    with pytest.raises(ScenarioError, match="not defined"):
        even(name, sizes, (1.0, 1.0, 1.0))


def test_times_of_another_shape_are_refused() -> None:
    times = even_times(SCHEDULES["1f1b"], (4, 2), (1.0, 1.0, 1.0))
    with pytest.raises(ScenarioError, match="expected 1"):
        replay(SCHEDULES["1f1b"], times, 1, 8)
    with pytest.raises(ScenarioError, match="one shape"):
        ChunkTimes(forward_s=np.ones((4, 1)), backward_s=np.ones((4, 2)), weight_s=np.ones((4, 1)))


def test_an_order_that_waits_for_itself_is_refused() -> None:
    """Interleaved with the last group of micro-batches packed, without the empty places of those that it lacks."""
    schedule = SCHEDULES["1f1b"]

    def packed(stages: int, chunks: int, count: int, stage: int) -> Events:
        groups = [range(start, min(start + stages, count)) for start in range(0, count, stages)]
        visits = np.array([(part, number) for group in groups for part in range(chunks) for number in group])
        ahead = float(warm_up_count(stages, chunks, stage))
        place = np.arange(len(visits))
        return by_key(
            (FORWARD, visits[:, 0], visits[:, 1], place - ahead),
            (FULL, chunks - 1 - visits[:, 0], visits[:, 1], place + 0.5),
        )

    assert build(replace(schedule, order=packed), 8, 2, 16).levels
    with pytest.raises(ScenarioError, match="wait for each other"):
        build(replace(schedule, order=packed), 8, 2, 10)
    assert build(schedule, 8, 2, 10).levels
