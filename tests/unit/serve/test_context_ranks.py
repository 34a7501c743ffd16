"""Context ranks share out the tokens of a prompt: what that saves, what it costs, and where the search uses it."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from superpod.catalog.load import Catalogue
from superpod.parallel.axes.context import gather_time
from superpod.parallel.engine import Engine
from superpod.parallel.layout import Layout
from superpod.parallel.place import groups
from superpod.plan.machine import Machine, machine
from superpod.plan.scenario import Scenario, Serving
from superpod.plan.serving import search as serve_search
from superpod.serve.costs import step_costs
from superpod.serve.iteration import context_time, pass_time, projection, token_pass
from superpod.serve.memory import serving_memory
from superpod.serve.steady import Requests, prefill
from superpod.serve.step_tables import listed, prompt_pass, read_chunk
from superpod.workload.build import layer
from superpod.workload.phase import prefill_phase

LONG = Serving(prompt_tokens=128_000, output_tokens=1024, ttft_s=5.0, tpot_s=0.05)
MODELS = ("deepseek-r1", "llama-3.1-405b", "qwen3.5-397b-a17b")
EVERY_MODEL = pytest.mark.parametrize("model", MODELS)


@cache
def made(model: str, *, ideal: bool = False) -> Machine:
    scenario = Scenario(model=model, pod="cloudmatrix384", work=LONG, ideal_fabric=ideal)
    return machine(Catalogue(), scenario)


def engine(model: str, *, ideal: bool = False) -> Engine:
    return made(model, ideal=ideal).engine


@EVERY_MODEL
def test_a_free_fabric_shares_out_work_but_not_more(model: str) -> None:
    ranks = np.array([1.0, 2.0, 4.0, 8.0])
    made_by = engine(model, ideal=True)
    phase = prefill_phase(1.0, 65536.0, ranks)
    spent = np.asarray(pass_time(made_by, Layout(tensor=2.0, context=ranks), phase).time_s)
    assert (np.diff(spent) < 0.0).all()
    assert (np.diff(spent * ranks) > 0.0).all()


@EVERY_MODEL
def test_each_rank_does_its_share_of_attention_over_all_keys(model: str) -> None:
    made_by = engine(model)
    for group in made_by.spec.layers:
        whole, part = (
            layer(made_by.spec, group, prefill_phase(2.0, 4096.0, ranks), Layout().partition, made_by.precision)
            for ranks in (1.0, 8.0)
        )
        for one, two in zip(whole.attention, part.attention, strict=True):
            if one.kind in {"attention", "decode attention"}:
                assert float(two.flop) == pytest.approx(float(one.flop) / 8.0)


def test_latents_of_others_are_expanded_anew() -> None:
    made_by = engine("deepseek-r1")
    part = layer(
        made_by.spec, made_by.spec.layers[-1], prefill_phase(1.0, 4096.0, 8.0), Layout().partition, made_by.precision
    )
    up = next(op for op in part.attention if op.name == "kv up")
    down = next(op for op in part.attention if op.name == "q and kv down")
    assert float(up.rows) == pytest.approx(4096.0)
    assert float(down.rows) == pytest.approx(512.0)


@EVERY_MODEL
def test_caches_are_shared_out_and_weights_are_not(model: str) -> None:
    made_by = engine(model)
    one, two = (
        serving_memory(made_by, Layout(tensor=2.0, context=ranks), 1.0, 1e6, drafts=False) for ranks in (1.0, 4.0)
    )
    assert float(two.weights_bytes) == float(one.weights_bytes)
    assert 0.25 <= float(two.cache_bytes) / float(one.cache_bytes) < 0.3


def test_keys_travel_no_faster_than_the_links() -> None:
    made_by = engine("llama-3.1-405b")
    layout = Layout(tensor=2.0, context=8.0)
    attention = made_by.spec.layers[0].attention
    keys = 1e5
    spent = float(gather_time(made_by.fabric, groups(layout).context, attention, keys, 2.0, 2.0))
    sent = keys * 2.0 * 4.0 * 128.0 * 2.0 * 7.0 / 8.0
    assert sent / spent <= max(tier.bytes_per_s for tier in made_by.fabric.tiers)


@EVERY_MODEL
def test_a_pass_is_its_tokens_and_what_they_look_at(model: str) -> None:
    made_by, layout = engine(model), Layout(tensor=2.0, context=4.0)
    free = replace(made_by, software=replace(made_by.software, layer_s=0.0, gap_s=0.0, sequence_s=0.0))
    phase = prefill_phase(1.0, 32768.0, 4.0)
    alone, looked = token_pass(free, layout, phase), context_time(free, layout, phase)
    parts = float(alone.own_s + alone.routed_s + looked + projection(free, layout, phase))
    assert parts == pytest.approx(float(pass_time(free, layout, phase).time_s), rel=0.02)


@EVERY_MODEL
def test_tables_of_a_simulation_give_the_pass_of_the_steady_state(model: str) -> None:
    made_by, layout = engine(model), Layout(tensor=4.0, context=4.0)
    costs = step_costs(made_by, layout)
    tables = listed(costs.tables)
    tokens = 4096.0
    one = prefill(
        made_by, layout, 1.0, Requests(prompt_tokens=tokens, output_tokens=1.0, draft_tokens=0, acceptance_frac=0.0)
    )
    spent = prompt_pass(tables, tokens, tokens, 1.0, *read_chunk(tables, tokens, 0.0))
    assert spent == pytest.approx(float(one.pass_s), rel=0.03)
    assert costs.ranks_count == 16.0


def test_long_prompts_are_read_in_time_by_context_ranks_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    found = serve_search.search(made("deepseek-r1"), LONG, {}).best
    assert found is not None
    assert float(found.prefill.layout.context) > 1.0
    assert found.ttft_s <= LONG.ttft_s
    monkeypatch.setattr(serve_search, "CONTEXTS", (1.0,))
    assert serve_search.search(made("deepseek-r1"), LONG, {}).best is None
