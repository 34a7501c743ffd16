"""The timeline of a step: blocks are the replay's, streams sum to the breakdown."""

import numpy as np
import numpy.typing as npt
import pytest

from superpod.catalog.load import Catalogue
from superpod.parallel.layout import Layout
from superpod.plan.machine import Machine, machine
from superpod.plan.scenario import Scenario, Training
from superpod.train.replayed import replayed_step
from superpod.train.schedules import SCHEDULES
from superpod.train.timeline import (
    COMPUTE,
    DATA,
    EXPERT,
    HOST,
    OFFLOAD,
    OPTIMIZER,
    PIPELINE,
    REDUCE,
    TENSOR,
    Spans,
    step_timeline,
)

CATALOGUE = Catalogue()
DENSE = (("gpipe", 1.0), ("1f1b", 1.0), ("1f1b", 3.0), ("zb-h1", 1.0), ("zb-h2", 1.0), ("zb-v", 2.0), ("dualpipe", 1.0))


def made(model: str, pod: str) -> Machine:
    scenario = Scenario(model=model, pod=pod, work=Training(), cards=64 if pod == "hgx-a100" else None)
    return machine(CATALOGUE, scenario)


def gpt3(schedule: str, virtual: float) -> Layout:
    return Layout(tensor=8.0, pipeline=8.0, virtual=virtual, schedule=schedule)


def spent(spans: Spans, stages: int, rows: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """Return seconds of each stage."""
    found = np.zeros(stages)
    np.add.at(found, spans.stage[rows], (spans.end_s - spans.start_s)[rows])
    return found


@pytest.mark.parametrize(("schedule", "virtual"), DENSE)
def test_what_fills_a_stage_is_what_the_replay_says_it_is_busy(schedule: str, virtual: float) -> None:
    engine, layout, batch = made("gpt3-175b", "hgx-a100").engine, gpt3(schedule, virtual), (32.0, 2048.0)
    step, replay = replayed_step(engine, layout, batch)
    timeline = step_timeline(engine, layout, batch)
    spans = timeline.spans
    inside = spans.exposed & (spans.stream < DATA)
    assert spent(spans, 8, inside) == pytest.approx(np.asarray(replay.busy_s), rel=1e-9)
    kernels = (spans.stream == COMPUTE) & (spans.kind != HOST) | (spans.stream == OPTIMIZER)
    assert spent(spans, 8, kernels) == pytest.approx(timeline.kernels_s, rel=1e-9)
    after = float(step.time_s) - float(replay.time_s)
    assert timeline.end_s == pytest.approx(float(replay.makespan_s) + after, rel=1e-9)
    if not SCHEDULES[schedule].across_steps:
        assert timeline.end_s == pytest.approx(timeline.step_s, rel=1e-9)


@pytest.mark.parametrize(("schedule", "virtual"), DENSE)
def test_nothing_of_a_stage_overlaps_but_what_runs_beside_kernels(schedule: str, virtual: float) -> None:
    timeline = step_timeline(made("gpt3-175b", "hgx-a100").engine, gpt3(schedule, virtual), (32.0, 2048.0))
    for stage in range(8):
        mine = timeline.spans.keep((timeline.spans.stage == stage) & timeline.spans.exposed)
        mine = mine.keep(np.argsort(mine.start_s, kind="stable"))
        assert np.all(mine.start_s[1:] >= mine.end_s[:-1] - 1e-9 * timeline.end_s)


def test_streams_of_the_busiest_stage_sum_to_the_breakdown() -> None:
    engine, layout, batch = made("gpt3-175b", "hgx-a100").engine, gpt3("1f1b", 1.0), (32.0, 2048.0)
    step, replay = replayed_step(engine, layout, batch)
    spans = step_timeline(engine, layout, batch).spans
    busiest = int(np.argmax(replay.busy_s))
    leaves = {leaf.name: float(leaf.time_s) for leaf in step.term.leaves()}
    tensor = spent(spans, 8, spans.exposed & (spans.stream == TENSOR))[busiest]
    assert tensor == pytest.approx(leaves["tensor-parallel collectives"], rel=1e-9)
    assert spent(spans, 8, spans.stream == OPTIMIZER)[0] == pytest.approx(leaves["optimizer update"], rel=1e-9)


@pytest.mark.parametrize(("schedule", "virtual"), [("1f1b", 1.0), ("1f1b", 3.0), ("zb-v", 2.0), ("dualpipe", 1.0)])
def test_what_a_long_step_shows_is_where_the_whole_one_has_it(schedule: str, virtual: float) -> None:
    engine, layout, batch = made("gpt3-175b", "hgx-a100").engine, gpt3(schedule, virtual), (256.0, 2048.0)
    whole = step_timeline(engine, layout, batch, stage_events_count=10_000)
    short = step_timeline(engine, layout, batch, stage_events_count=200)
    assert whole.gap is None
    assert short.gap is not None
    assert len(short.spans) < 0.5 * len(whole.spans)
    assert short.end_s == pytest.approx(whole.end_s, rel=1e-9)
    known = dict(zip(keys(whole.spans), whole.spans.start_s.tolist(), strict=True))
    for key, start in zip(keys(short.spans), short.spans.start_s.tolist(), strict=True):
        assert start == pytest.approx(known[key], rel=1e-9, abs=1e-9)
    starts = short.spans.start_s[(short.spans.stream == COMPUTE) & (short.spans.kind != HOST)]
    assert not np.any((starts >= short.gap.start_s) & (starts < short.gap.end_s * (1 - 1e-9)))


def keys(spans: Spans) -> list[tuple[int, ...]]:
    """Return what tells spans apart."""
    columns = (spans.stage, spans.stream, spans.kind, spans.chunk, spans.micro_batch)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def test_transfers_arrive_before_what_waits_for_them_starts() -> None:
    timeline = step_timeline(made("gpt3-175b", "hgx-a100").engine, gpt3("1f1b", 1.0), (32.0, 2048.0))
    hops = timeline.spans.keep(timeline.spans.stream == PIPELINE)
    assert len(hops) == 2 * 7 * 32
    assert np.all(np.abs(hops.to - hops.stage) == 1)
    assert np.all(hops.awaited_s >= hops.end_s - 1e-9)


def test_tokens_that_travel_beside_kernels_are_shown_and_take_no_time() -> None:
    engine = made("deepseek-v3", "cloudmatrix384").engine
    layout = Layout(pipeline=8.0, data=16.0, expert=16.0, schedule="dualpipe", overlap="data+expert")
    timeline = step_timeline(engine, layout, (16.0 * 16.0, 4096.0))
    beside = timeline.spans.keep((timeline.spans.stream == EXPERT) & ~timeline.spans.exposed)
    assert len(beside) > 0
    assert timeline.end_s == pytest.approx(timeline.step_s, rel=1e-9)


def test_gradients_that_are_reduced_for_every_micro_batch_lie_beside_every_backward_pass() -> None:
    engine = made("deepseek-v3", "cloudmatrix384").engine
    common = {"pipeline": 4.0, "data": 32.0, "expert": 16.0}
    counts = []
    for zero in ("1", "2"):
        spans = step_timeline(engine, Layout(**common, zero=zero), (32.0 * 8.0, 4096.0)).spans
        counts.append(int(np.sum((spans.stream == DATA) & ~spans.exposed & (spans.kind == REDUCE))))
    assert counts == [4, 32]


def test_what_offloading_leaves_exposed_is_part_of_the_step() -> None:
    engine = made("deepseek-v3", "cloudmatrix384").engine
    layout = Layout(pipeline=4.0, data=32.0, expert=16.0, offload="optimizer")
    timeline = step_timeline(engine, layout, (32.0 * 8.0, 4096.0))
    assert np.any(timeline.spans.stream == OFFLOAD)
    assert timeline.end_s == pytest.approx(timeline.step_s, rel=1e-9)
