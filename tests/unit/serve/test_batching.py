"""Continuous batching against identities, limits and hand-worked numbers."""

from dataclasses import replace

import numpy as np
import pytest

from superpod.catalog.load import Catalogue
from superpod.parallel.engine import Engine
from superpod.parallel.layout import Layout
from superpod.plan.machine import machine
from superpod.plan.scenario import Scenario, Serving
from superpod.serve.batching import batching, first_wave_wait, mixed_time, most_decoding, offline_time, slots
from superpod.serve.iteration import draft_time, mixed_pass_time, pass_time
from superpod.serve.memory import cache_budget, serving_memory, usable_bytes, weights_bytes
from superpod.serve.steady import Requests, decode, held_tokens
from superpod.workload.build import kv_cache_bytes
from superpod.workload.phase import decode_phase, prefill_phase

CATALOGUE = Catalogue()
REQUESTS = Requests(prompt_tokens=1000.0, output_tokens=500.0, draft_tokens=0, acceptance_frac=0.7)
LAYOUT = Layout(tensor=2.0)


LENGTHS = [(1024.0, 64.0), (4096.0, 1024.0), (16.0, 2000.0), (32000.0, 16.0), (8000.0, 2.0)]
ENGINES = ["vllm-1", "vllm-0.5", "sglang-0.5", "tensorrt-llm-1", "eager-2023"]
SMALL = "llama-3.1-8b"


def engine(software: str = "vllm-1", model: str = "llama-3.1-70b") -> Engine:
    scenario = Scenario(model=model, pod="hgx-h200", work=Serving(), precision="fp8", software=software)
    return machine(CATALOGUE, scenario).engine


def requests(prompt: float, output: float, drafts: int = 0) -> Requests:
    return Requests(prompt_tokens=prompt, output_tokens=output, draft_tokens=drafts, acceptance_frac=0.7)


@pytest.mark.parametrize("software", ["vllm-1", "sglang-0.5"])
def test_requests_flow_in_as_fast_as_they_flow_out(software: str) -> None:
    """Prompt tokens read a step = decoding requests x prompt / output: what finishes is replaced."""
    found = batching(engine(software), LAYOUT, REQUESTS, 32.0)
    read = float(found.mixed_frac) * float(found.chunk_tokens)
    assert read == pytest.approx(float(found.decoding_count) * 1000.0 / 500.0, rel=1e-6)


@pytest.mark.parametrize("drafts", [0, 2])
@pytest.mark.parametrize(("prompt", "output"), LENGTHS)
@pytest.mark.parametrize("software", ENGINES)
def test_littles_law(software: str, prompt: float, output: float, drafts: int) -> None:
    """Requests held = rate of requests x time each spends until its first token and decoding, budget bound or not."""
    held = np.geomspace(1.0, 16384.0, 30)
    found = batching(engine(software, SMALL), Layout(), requests(prompt, output, drafts), held)
    per_s = found.tokens_per_s / output
    assert per_s * (found.ttft_s + output * found.tpot_s) == pytest.approx(held, rel=1e-9)


@pytest.mark.parametrize("drafts", [0, 2])
@pytest.mark.parametrize(("prompt", "output"), LENGTHS)
@pytest.mark.parametrize("software", ENGINES)
def test_more_held_requests_never_serve_less(software: str, prompt: float, output: float, drafts: int) -> None:
    """Requests beyond what the budget of tokens a step can read wait: they cost time to a first token, no rate."""
    found = batching(
        engine(software, SMALL), Layout(), requests(prompt, output, drafts), np.geomspace(1.0, 16384.0, 60)
    )
    for name in ("tokens_per_s", "tpot_s", "ttft_s"):
        assert np.all(np.diff(getattr(found, name)) >= -1e-6 * getattr(found, name)[1:]), name


def test_the_budget_of_a_step_bounds_the_requests_that_decode() -> None:
    """8,192 tokens a step, 1,024 in and 64 out: 8,192 / (1 + 16) requests beside prompts, 8,192 / 16 in turns.

    With two drafts of which 0.7 and 0.49 are accepted a request has 64 / 2.19 steps of 3 query tokens.
    """
    mixed, turns, plain = engine("vllm-1"), engine("sglang-0.5"), requests(1024.0, 64.0)
    assert float(batching(mixed, LAYOUT, plain, 4096.0).decoding_count) == pytest.approx(8192.0 / 17.0)
    assert float(batching(turns, LAYOUT, plain, 4096.0).decoding_count) == pytest.approx(8192.0 / 16.0)
    drafting = requests(1024.0, 64.0, drafts=2)
    assert most_decoding(mixed, drafting) == pytest.approx(8192.0 / (3.0 + 1024.0 * 2.19 / 64.0))


@pytest.mark.parametrize("software", ["vllm-1", "sglang-0.5"])
@pytest.mark.parametrize(("prompt", "output"), LENGTHS)
def test_a_first_token_takes_its_reading_where_the_budget_suffices(software: str, prompt: float, output: float) -> None:
    made, asked = engine(software), requests(prompt, output)
    found = batching(made, LAYOUT, asked, 4.0)
    if float(found.decoding_count) == most_decoding(made, asked):
        pytest.skip("the budget binds")
    passes = max(prompt / float(found.chunk_tokens), 1.0)
    reading = float(found.step_s) / 2.0 + passes * float(found.mixed_s)
    assert float(found.ttft_s) == pytest.approx(reading, rel=1e-3)


def test_a_start_near_the_answer_finds_it() -> None:
    made, asked = engine(), requests(4096.0, 64.0)
    for held in (8.0, 32.0, 512.0):
        found = batching(made, LAYOUT, asked, held)
        again = batching(made, LAYOUT, asked, held, near=0.97 * found.decoding_count)
        assert float(again.tokens_per_s) == pytest.approx(float(found.tokens_per_s), rel=2e-3)


@pytest.mark.parametrize("decoding", [1.0, 64.0, 256.0])
@pytest.mark.parametrize("software", ["vllm-1", "tensorrt-llm-1", "sglang-0.5"])
@pytest.mark.parametrize("model", ["llama-3.1-70b", "gpt-oss-120b", "deepseek-v3.2"])
def test_a_longer_chunk_never_makes_a_shorter_step(model: str, software: str, decoding: float) -> None:
    made, layout = engine(software, model), Layout(tensor=8.0)
    step = decode_phase(decoding, 8000.0, 1.0)
    plain = float(pass_time(made, layout, step).time_s)
    for prompt in (1000.0, 100_000.0):
        reading = prefill_phase(np.geomspace(1.0, 8192.0, 60) / prompt, prompt)
        spent = mixed_time(made, layout, reading, step, plain, 0.0)
        assert np.all(np.diff(spent) >= -1e-12)


def test_the_host_waits_once_for_a_step_of_both_kinds() -> None:
    """8 decode beside 100 tokens of a prompt: 80 layers x 0.26 ms of launches hide all kernels, then the gap."""
    made = engine()
    spent = mixed_pass_time(made, Layout(tensor=8.0), prefill_phase(0.1, 1000.0), decode_phase(8.0, 8000.0, 1.0))
    assert float(spent.time_s) == pytest.approx(80 * 0.26e-3 + made.software.gap_s, rel=1e-9)


@pytest.mark.parametrize("software", ["vllm-1", "sglang-0.5"])
def test_steps_that_read_prompts_draft_too(software: str) -> None:
    made, layout = engine(software, "deepseek-r1"), Layout(tensor=8.0)
    asked = requests(4096.0, 64.0, drafts=3)
    found = batching(made, layout, asked, 128.0)
    step = decode_phase(found.decoding_count, 4096.0 + 32.0, 4.0)
    reading = prefill_phase(found.chunk_tokens / 4096.0, 4096.0)
    draft = float(draft_time(made, layout, step, 3).time_s)
    without = (
        float(mixed_pass_time(made, layout, reading, step).time_s)
        if software == "vllm-1"
        else float(pass_time(made, layout, step).time_s + pass_time(made, layout, reading).time_s)
    )
    assert draft > 0.0
    assert float(found.mixed_s) == pytest.approx(without + draft)


def test_a_step_of_both_kinds_projects_every_query_token() -> None:
    """128 sequences with three drafts beside one prompt: 4 x 128 + 1 rows of the vocabulary projection."""
    made, layout = engine("vllm-1", "deepseek-r1"), Layout(tensor=8.0)
    both = mixed_pass_time(made, layout, prefill_phase(1.0, 4096.0), decode_phase(128.0, 4128.0, 4.0))
    alone = pass_time(made, layout, decode_phase(513.0, 4128.0, 1.0))
    rows = [next(float(part.time_s) for part in term.parts if "vocabulary" in part.name) for term in (both, alone)]
    assert rows[0] == pytest.approx(rows[1])


def test_attention_of_both_kinds_runs_apart() -> None:
    """Two halves of a batch of prompts cost what the batch does: all tokens in one product, attention half and half."""
    made, layout = engine(), Layout(tensor=8.0)
    half = prefill_phase(2.0, 2048.0)
    split, together = mixed_pass_time(made, layout, half, half), pass_time(made, layout, prefill_phase(4.0, 2048.0))
    for name in ("feed-forward and experts", "tensor-parallel collectives"):
        one, other = (next(part.time_s for part in term.parts if part.name == name) for term in (split, together))
        assert float(one) == pytest.approx(float(other)), name
    assert float(split.parts[0].time_s) == pytest.approx(float(together.parts[0].time_s), rel=0.1)


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


@pytest.mark.parametrize("software", ["vllm-1", "tensorrt-llm-1"])
@pytest.mark.parametrize("pipeline", [1.0, 2.0, 4.0, 8.0, 16.0])
def test_slots_fill_the_fullest_stage(pipeline: float, software: str) -> None:
    """61 layers on 2 stages are 31 and 30: the fuller one, with both batches in flight, takes what is usable."""
    made = engine(software, "deepseek-r1")
    made = replace(made, software=replace(made.software, sequences_count=1e9))
    layout, asked = Layout(tensor=8.0, pipeline=pipeline, expert=8.0), requests(4096.0, 1024.0, drafts=1)
    most = slots(made, layout, asked)
    memory = serving_memory(made, layout, most, held_tokens(made, asked), drafts=True)
    held = float(memory.weights_bytes)
    if float(cache_budget(made, held)) > 0.0:
        assert float(memory.total_bytes) == pytest.approx(float(usable_bytes(made, held)), rel=1e-9)


def test_batches_in_flight_share_the_requests_that_the_software_admits() -> None:
    made = engine("vllm-0.5", SMALL)
    short = requests(16.0, 16.0)
    one, four = (float(slots(made, Layout(pipeline=stages), short)) for stages in (1.0, 4.0))
    assert (one, four) == (256.0, 64.0)


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
