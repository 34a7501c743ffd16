"""Continuous batching against identities, limits and hand-worked numbers."""

from dataclasses import replace

import numpy as np
import pytest

from superpod.catalog.load import Catalogue
from superpod.parallel.engine import Engine
from superpod.parallel.layout import Layout
from superpod.plan.machine import machine
from superpod.plan.scenario import Scenario, Serving
from superpod.serve.batching import batching, first_wave_wait, offline_time, slots
from superpod.serve.memory import weights_bytes
from superpod.serve.steady import Requests, decode
from superpod.workload.build import kv_cache_bytes

CATALOGUE = Catalogue()
REQUESTS = Requests(prompt_tokens=1000.0, output_tokens=500.0, draft_tokens=0, acceptance_frac=0.7)
LAYOUT = Layout(tensor=2.0)


def engine(software: str = "vllm-1") -> Engine:
    scenario = Scenario(model="llama-3.1-70b", pod="hgx-h200", work=Serving(), precision="fp8", software=software)
    return machine(CATALOGUE, scenario).engine


@pytest.mark.parametrize("software", ["vllm-1", "sglang-0.5"])
def test_requests_flow_in_as_fast_as_they_flow_out(software: str) -> None:
    """Prompt tokens read a step = decoding requests x prompt / output: what finishes is replaced."""
    found = batching(engine(software), LAYOUT, REQUESTS, 32.0)
    read = float(found.mixed_frac) * float(found.chunk_tokens)
    assert read == pytest.approx(float(found.decoding_count) * 1000.0 / 500.0, rel=1e-6)


@pytest.mark.parametrize("software", ["vllm-1", "sglang-0.5"])
def test_littles_law(software: str) -> None:
    """Requests held = rate of requests x time each spends being read and decoding."""
    found = batching(engine(software), LAYOUT, REQUESTS, 32.0)
    per_s = float(found.tokens_per_s) / 500.0
    spent = float(found.ttft_s) + 500.0 * float(found.step_s)
    assert per_s * spent == pytest.approx(32.0, rel=0.01)


def test_a_lone_short_prompt_leaves_a_decode_step_as_it_is() -> None:
    long = replace(REQUESTS, prompt_tokens=16.0, output_tokens=4000.0)
    found = batching(engine(), LAYOUT, long, 4.0)
    plain = decode(engine(), LAYOUT, 4.0, long)
    assert float(found.tpot_s) == pytest.approx(float(plain.tpot_s), rel=0.01)


def test_reading_prompts_never_speeds_decoding_up() -> None:
    held = np.array([1.0, 4.0, 16.0, 64.0, 128.0])
    found = batching(engine(), LAYOUT, REQUESTS, held)
    assert np.all(found.mixed_s >= found.plain_s)
    assert np.all(found.step_s >= found.plain_s)
    assert np.all(np.diff(found.tokens_per_s) > 0.0)
    assert np.all(found.decoding_count <= held)


def test_columns_are_their_rows() -> None:
    held = np.array([1.0, 7.0, 64.0])
    columns = batching(engine(), LAYOUT, REQUESTS, held)
    for row, value in enumerate(held):
        alone = batching(engine(), LAYOUT, REQUESTS, float(value))
        assert float(columns.tpot_s[row]) == pytest.approx(float(alone.tpot_s), rel=1e-12)  # type: ignore[index]
        assert float(columns.ttft_s[row]) == pytest.approx(float(alone.ttft_s), rel=1e-12)  # type: ignore[index]


def test_groups_that_wait_for_each_other_are_slower() -> None:
    alone, together = (batching(engine(), LAYOUT, REQUESTS, 32.0, groups_in_step=count) for count in (1.0, 8.0))
    assert float(together.step_s) > float(alone.step_s)


def test_slots_fill_the_memory() -> None:
    """A request of 1,000 + 500 tokens where the whole output is reserved, 1,000 + 250 where not."""
    made = engine("tensorrt-llm-1")
    held = float(weights_bytes(made.spec, LAYOUT, made.precision))
    free = 0.9 * (made.device.memory_bytes - held)
    one = float(kv_cache_bytes(made.spec, 1500.0, LAYOUT.partition, made.precision))
    assert float(slots(made, LAYOUT, REQUESTS)) == pytest.approx(min(free / one, 2048.0))
    trusting = engine("vllm-1")
    free = 0.9 * trusting.device.memory_bytes - held
    one = float(kv_cache_bytes(made.spec, 1250.0, LAYOUT.partition, made.precision))
    assert float(slots(trusting, LAYOUT, REQUESTS)) == pytest.approx(min(free / one, 1024.0))


def test_an_offline_run_tends_to_the_steady_rate() -> None:
    made = engine("tensorrt-llm-1")
    spent, held = offline_time(made, LAYOUT, REQUESTS, 20_000.0)
    steady = float(batching(made, LAYOUT, REQUESTS, held).tokens_per_s)
    assert 20_000 * 500.0 / spent == pytest.approx(steady, rel=0.03)


def test_half_a_wave_takes_less_than_a_whole_one() -> None:
    made = engine("tensorrt-llm-1")
    _, held = offline_time(made, LAYOUT, REQUESTS, 20_000.0)
    half, whole, more = (offline_time(made, LAYOUT, REQUESTS, held * share)[0] for share in (0.5, 1.0, 1.5))
    assert half < whole < more < half + whole * 1.001


def test_what_does_not_fit_is_not_run() -> None:
    made = engine("tensorrt-llm-1")
    huge = replace(REQUESTS, prompt_tokens=5e7)
    spent, held = offline_time(made, LAYOUT, huge, 10.0)
    assert spent == 0.0
    assert held < 1.0


def test_the_first_wave_waits_for_half_of_its_reading() -> None:
    one, two = (float(first_wave_wait(engine(), LAYOUT, REQUESTS, held)) for held in (64.0, 128.0))
    assert two == pytest.approx(2.0 * one)  # both fill the budget of a pass
