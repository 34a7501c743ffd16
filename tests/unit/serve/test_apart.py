"""Attention apart from feed-forward: the pipe of parts, and the tables that come of it."""

from dataclasses import replace

import numpy as np
import pytest

from superpod.catalog.load import Catalogue
from superpod.errors import ScenarioError
from superpod.parallel.engine import Engine
from superpod.parallel.layout import Layout
from superpod.plan.machine import machine
from superpod.plan.scenario import Scenario, Serving
from superpod.result import at_row
from superpod.serve.apart import Side, decode_apart, disaggregated_costs, pipe, pipe_time, turn
from superpod.serve.costs import Settings, step_costs
from superpod.serve.host import host_time
from superpod.serve.iteration import projection
from superpod.serve.steady import Requests, decode
from superpod.serve.step_tables import decode_step, listed, mixed_step, prompt_pass, read_chunk
from superpod.workload.phase import decode_phase


def engine(model: str = "deepseek-r1", pod: str = "cloudmatrix384") -> Engine:
    return machine(Catalogue(), Scenario(model=model, pod=pod, work=Serving())).engine


R1 = engine()
ATTENTION = Side(engine=R1, layout=Layout(data=192.0))
EXPERTS = Side(engine=R1, layout=Layout(data=128.0, expert=128.0))
DRAFTING = Settings(draft_tokens=1, acceptance_frac=0.7)


@pytest.mark.parametrize("batch", [2.0, 16.0, 128.0])
def test_one_part_is_a_chain(batch: float) -> None:
    phase = decode_phase(batch, 2000.0, 1.0)
    chain = sum(group.count * turn(ATTENTION, EXPERTS, group, phase).chain_s for group in R1.spec.layers)
    assert pipe_time(ATTENTION, EXPERTS, phase, 1) == pytest.approx(chain, rel=1e-12)


def test_a_full_pipe_runs_at_its_slowest_place_and_a_fill() -> None:
    """60 parts: every layer is full, and the last part comes out a chain less a turn after the rest."""
    parts = 60
    phase = decode_phase(64.0 * parts, 2000.0, 1.0)
    one = decode_phase(64.0, 2000.0, 1.0)
    turns = [(group.count, turn(ATTENTION, EXPERTS, group, one)) for group in R1.spec.layers]
    full = sum(count * parts * item.slowest_s for count, item in turns)
    fill = turns[-1][1].chain_s - turns[-1][1].slowest_s
    assert pipe_time(ATTENTION, EXPERTS, phase, parts) == pytest.approx(full + fill, rel=1e-12)


def test_two_or_three_parts_hide_what_one_waits_for() -> None:
    phase = decode_phase(128.0, 4000.0, 2.0)
    one, three = (float(pipe_time(ATTENTION, EXPERTS, phase, parts)) for parts in (1, 3))
    slowest = sum(group.count * turn(ATTENTION, EXPERTS, group, phase).slowest_s for group in R1.spec.layers)
    assert slowest < three < one


def test_tables_hold_the_pipe_projection_drafts_and_host() -> None:
    costs = disaggregated_costs(ATTENTION, EXPERTS, 3, DRAFTING)
    tables = listed(costs.tables)
    b, s = tables.batch_count[20], tables.context_tokens[30]
    phase = decode_phase(b, s, 2.0)
    device = pipe_time(ATTENTION, EXPERTS, phase, 3) + projection(R1, ATTENTION.layout, phase)
    single = replace(phase, tokens=phase.sequences)
    draft = turn(ATTENTION, EXPERTS, R1.spec.layers[-1], single).chain_s + projection(R1, ATTENTION.layout, single)
    host = host_time(R1.software, device, 61.0, b, captured=R1.software.graphs)
    assert decode_step(tables, b, s) == pytest.approx(float(device + draft + host), rel=1e-9)
    assert costs.ranks_count == 320.0
    assert costs.groups_count == 192.0


def test_caches_have_the_room_that_experts_leave() -> None:
    together = step_costs(R1, Layout(data=320.0, expert=320.0))
    apart = disaggregated_costs(ATTENTION, EXPERTS, 3)
    assert apart.capacity_tokens > together.capacity_tokens
    assert disaggregated_costs(ATTENTION, EXPERTS, 3, Settings(capacity_tokens=5e5)).capacity_tokens == 5e5


def test_steps_never_fall_where_work_grows() -> None:
    tables = listed(disaggregated_costs(ATTENTION, EXPERTS, 3, DRAFTING).tables)
    batches, contexts = np.geomspace(0.1, 300.0, 40), np.geomspace(1.0, 1e5, 40)
    steps = np.array([[decode_step(tables, b, s) for s in contexts] for b in batches])
    assert (np.diff(steps, axis=0) >= 0.0).all()
    assert (np.diff(steps, axis=1) >= 0.0).all()
    read, first = read_chunk(tables, 2048.0, 0.0)
    alone = prompt_pass(tables, 2048.0, 2048.0, 1.0, read, first)
    assert mixed_step(tables, 16.0, 2000.0, 2048.0, 2048.0, 1.0, read, first) > alone > 0.0


def test_a_dense_model_sends_tokens_once() -> None:
    dense = engine("llama-3.1-70b", "hgx-h100")
    near, far = Side(engine=dense, layout=Layout(tensor=4.0)), Side(engine=dense, layout=Layout(tensor=4.0))
    costs = disaggregated_costs(near, far, 2)
    assert costs.ranks_count == 8.0
    assert decode_step(listed(costs.tables), 32.0, 2000.0) > 0.0


def test_what_cannot_be_is_refused() -> None:
    other = Side(engine=engine("llama-3.1-70b"), layout=Layout(data=8.0))
    with pytest.raises(ScenarioError, match="two models"):
        disaggregated_costs(ATTENTION, other, 2)
    with pytest.raises(ScenarioError, match="pipeline stages"):
        disaggregated_costs(Side(engine=R1, layout=Layout(data=8.0, pipeline=2.0)), EXPERTS, 2)
    with pytest.raises(ScenarioError, match="0 parts"):
        disaggregated_costs(ATTENTION, EXPERTS, 0)


@pytest.mark.parametrize("batch", [8.0, 96.0])
@pytest.mark.parametrize("parts", [1, 2, 4])
def test_a_step_is_never_shorter_than_what_either_side_works(batch: float, parts: int) -> None:
    found = pipe(ATTENTION, EXPERTS, decode_phase(batch, 4000.0, 2.0), parts)
    works = found.works
    assert found.time_s >= max(works.attention_s, works.feed_forward_s, works.there_s, works.back_s)
    waits = found.waits
    shares = waits.attention_s + waits.feed_forward_s + waits.there_s + waits.back_s + found.fill_s
    assert found.time_s == pytest.approx(shares, rel=1e-12)


def test_equal_sides_on_links_without_cost_make_the_ideal_pipe() -> None:
    """No transfers and F ranks for which A = F: two parts keep both sides busy, but for the last part's fill."""
    free = replace(R1, fabric=replace(R1.fabric, ideal=True))
    groups, group = np.arange(1.0, 1025.0), R1.spec.layers[-1]
    far = Side(engine=free, layout=Layout(data=256.0, expert=256.0))
    phase = decode_phase(64.0, 2000.0, 1.0)
    half = replace(phase, sequences=32.0, tokens=32.0)
    one = turn(Side(engine=free, layout=Layout(data=groups)), far, group, half)
    equal = groups[np.argmin(np.abs(one.attention_s / one.feed_forward_s - 1.0))]
    near = Side(engine=free, layout=Layout(data=float(equal)))
    found = pipe(near, far, phase, 2)
    sides = turn(near, far, group, half)
    assert sides.there_s == sides.back_s == 0.0
    assert sides.attention_s == pytest.approx(sides.feed_forward_s, rel=0.02)
    assert found.works.attention_s / found.time_s > 0.95
    assert found.works.feed_forward_s / found.time_s > 0.9  # the first layers are dense and shorter


def test_weights_lie_on_one_side_or_the_other() -> None:
    """At one rank an attention group both sides together hold what a rank of both holds; caches lie with attention."""
    requests = Requests(prompt_tokens=4000.0, output_tokens=1000.0, draft_tokens=0, acceptance_frac=0.0)
    split = decode_apart(ATTENTION, EXPERTS, 32.0, 2.0, requests)
    whole = decode(R1, Layout(data=128.0, expert=128.0), 32.0, requests)
    assert split.apart is not None
    held = split.memory.weights_bytes + split.apart.memory.weights_bytes
    assert held == pytest.approx(whole.memory.weights_bytes, rel=1e-12)
    assert split.apart.memory.cache_bytes == 0.0
    assert split.memory.cache_bytes == pytest.approx(whole.memory.cache_bytes, rel=1e-12)


def test_columns_are_priced_like_single_splits() -> None:
    requests = Requests(prompt_tokens=4000.0, output_tokens=1000.0, draft_tokens=1, acceptance_frac=0.7)
    near = Side(engine=R1, layout=Layout(data=np.array([96.0, 192.0])[:, None, None]))
    far = np.array([64.0, 128.0])[:, None, None]
    columns = decode_apart(
        near,
        Side(engine=R1, layout=Layout(data=far, expert=far)),
        np.array([16.0, 64.0])[:, None],
        np.array([1.0, 3.0]),
        requests,
    )
    one = decode_apart(ATTENTION, EXPERTS, 64.0, 3.0, requests)
    found = at_row(columns, (1, 1, 1))
    assert found.tpot_s == pytest.approx(one.tpot_s, rel=1e-12)
    assert found.tokens_per_s_rank == pytest.approx(64.0 * 192.0 / (320.0 * one.tpot_s), rel=1e-12)
    assert found.term.time_s == pytest.approx(sum(leaf.time_s for leaf in found.term.leaves()), rel=1e-12)
    assert found.apart.attention_busy_frac == pytest.approx(one.apart.attention_busy_frac, rel=1e-12)
