"""Tables of step costs against the formulas that they are made of, and against their own sums."""

import math
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from numba import njit
from numba.extending import register_jitable

from superpod.catalog.load import Catalogue
from superpod.parallel.engine import Engine
from superpod.parallel.layout import Layout
from superpod.plan.machine import machine
from superpod.plan.scenario import Scenario, Serving
from superpod.result import Num
from superpod.serve import step_tables
from superpod.serve.batching import mixed_time, slots
from superpod.serve.costs import Settings, StepCosts, step_costs
from superpod.serve.iteration import context_time, draft_time, mixed_pass_time, pass_time, token_pass
from superpod.serve.memory import redundant_bytes
from superpod.serve.steady import Requests, even_share
from superpod.serve.step_tables import (
    FUNCTIONS,
    Tables,
    decode_span,
    decode_step,
    listed,
    mixed_step,
    prompt_pass,
    read_chunk,
    reading,
    steps_within,
)
from superpod.workload.phase import Phase, chunk_phase, decode_phase, prefill_phase

CATALOGUE = Catalogue()
LLAMA = ("llama-3.1-70b", "hgx-h100", "vllm-1")
R1 = ("deepseek-r1", "cloudmatrix384", "cann-cloudmatrix")
DRAFTING = Settings(draft_tokens=1, acceptance_frac=0.7)
CASES = {
    "llama": (LLAMA, Layout(tensor=4.0), Settings()),
    "llama stages": (LLAMA, Layout(tensor=2.0, pipeline=3.0), Settings()),
    "llama in turns": (("llama-3.1-70b", "hgx-h100", "sglang-0.5"), Layout(tensor=8.0), Settings()),
    "r1 decode": (R1, Layout(data=320.0, expert=320.0), DRAFTING),
    "r1 prefill": (R1, Layout(data=32.0, expert=32.0, staged=32.0), Settings()),
    "r1 mixed": (("deepseek-r1", "hgx-h200", "vllm-1"), Layout(data=8.0, expert=8.0), DRAFTING),
    "windows": (("gpt-oss-120b", "hgx-h100", "vllm-1"), Layout(data=8.0, expert=8.0), Settings()),
}
EVERY_CASE = pytest.mark.parametrize("name", CASES)
MEDIAN, WORST = 0.01, 0.03


@cache
def engine(model: str, pod: str, software: str) -> Engine:
    return machine(CATALOGUE, Scenario(model=model, pod=pod, work=Serving(), software=software)).engine


@cache
def made(name: str) -> tuple[Engine, Layout, Settings, StepCosts, Tables]:
    words, layout, settings = CASES[name]
    found = step_costs(engine(*words), layout, settings)
    return engine(*words), layout, settings, found, listed(found.tables)


def spread(rng: np.random.Generator, low: float, high: float, count: int = 200) -> Num:
    return np.exp(rng.uniform(np.log(low), np.log(high), count))


def close(got: list[float], want: Num) -> None:
    error = np.abs(np.asarray(got) / np.asarray(want) - 1.0)
    assert np.median(error) < MEDIAN
    assert error.max() < WORST


def chunks(rng: np.random.Generator, costs: StepCosts) -> Phase:
    """Return passes over one to 32 chunks, a third of them with nothing behind."""
    tokens = spread(rng, 64.0, costs.step_max_tokens)
    prompts = np.floor(spread(rng, 1.0, 33.0))
    behind = np.where(rng.random(len(tokens)) < 0.3, 0.0, spread(rng, 1.0, 1e5))
    return chunk_phase(prompts, tokens / prompts, behind)


def chunked(tables: Tables, phase: Phase, row: int) -> tuple[float, float, float, float, float]:
    """Return (tokens, mean tokens, prompts, read, first) of a row."""
    prompts, tokens = float(phase.sequences[row]), float(phase.tokens[row])
    read, first = read_chunk(tables, tokens / prompts, float(phase.behind[row]))
    return tokens, tokens, prompts, prompts * read, first


@EVERY_CASE
def test_steps_are_those_of_the_formulas(name: str) -> None:
    made_by, layout, settings, costs, tables = made(name)
    rng = np.random.default_rng(1)
    batch = spread(rng, 1.0, min(costs.sequences_max_count, 512.0))
    context = spread(rng, 20.0, 1.2e5)
    longer = 1.0 / float(even_share(made_by, layout))
    decoding = decode_phase(batch, context, 1.0 + settings.draft_tokens)
    draft = draft_time(made_by, layout, decoding, settings.draft_tokens).time_s
    plain = pass_time(made_by, layout, decoding).time_s + draft
    close([decode_step(tables, b, s) for b, s in zip(batch, context, strict=True)], plain * longer)
    phase = chunks(rng, costs)
    rows = range(len(batch))
    alone = context_time(made_by, layout, replace(phase, sequences=1.0, tokens=phase.tokens / phase.sequences))
    each = phase.tokens / phase.sequences
    lone = [read_chunk(tables, each[row], phase.behind[row]) for row in rows]
    close([reading(tables, *pair, 1.0) for pair in lone], alone * longer)
    together = [reading(tables, *chunked(tables, phase, row)[3:], 1.0) for row in rows]
    close(together, context_time(made_by, layout, phase) * longer)
    passes = pass_time(made_by, layout, phase).time_s
    close([prompt_pass(tables, *chunked(tables, phase, row)) for row in rows], passes * longer)
    mixed = mixed_time(made_by, layout, phase, decoding, plain, draft)
    got = [mixed_step(tables, batch[row], context[row], *chunked(tables, phase, row)) for row in rows]
    close(got, mixed * longer)


@EVERY_CASE
def test_knots_are_exact(name: str) -> None:
    made_by, layout, settings, costs, tables = made(name)
    longer = 1.0 / float(even_share(made_by, layout))
    batch, context = costs.tables.batch_count[1::7], costs.tables.context_tokens[1::9]
    phase = decode_phase(batch[:, None], context[None, :], 1.0 + settings.draft_tokens)
    want = pass_time(made_by, layout, phase).time_s + draft_time(made_by, layout, phase, settings.draft_tokens).time_s
    got = [[decode_step(tables, b, s) for s in context] for b in batch]
    assert np.asarray(got) == pytest.approx(want * longer, rel=1e-9)


@EVERY_CASE
def test_steps_never_fall_where_work_grows(name: str) -> None:
    tables = made(name)[-1]
    rng = np.random.default_rng(2)
    for _ in range(300):
        b, s = float(spread(rng, 0.02, 2000.0, 1)[0]), float(spread(rng, 1.0, 2e6, 1)[0])
        c, x = float(spread(rng, 2.0, 2e4, 1)[0]), float(spread(rng, 1.0, 2e6, 1)[0])
        grow = 1.0 + float(rng.random())
        enough = 1.0 - 1e-12
        assert decode_step(tables, b * grow, s) >= enough * decode_step(tables, b, s)
        assert decode_step(tables, b, s * grow) >= enough * decode_step(tables, b, s)
        read, first = read_chunk(tables, c, x)
        alone = reading(tables, read, first, 1.0)
        assert reading(tables, *read_chunk(tables, c * grow, x), 1.0) >= enough * alone
        assert reading(tables, *read_chunk(tables, c, x * grow), 1.0) >= enough * alone
        assert reading(tables, 2.0 * read, first, 1.0) >= alone
        assert reading(tables, read, first, 2.0) >= alone
        step = mixed_step(tables, b, s, c, c, 1.0, read, first)
        assert mixed_step(tables, b * grow, s, c, c, 1.0, read, first) >= enough * step
        assert mixed_step(tables, b, s * grow, c, c, 1.0, read, first) >= enough * step
        assert mixed_step(tables, b, s, c * grow, c * grow, 1.0, read, first) >= enough * step
        assert mixed_step(tables, b, s, c, c / grow, 1.0, read, first) <= step / enough
        assert step >= enough * decode_step(tables, b, s)


@EVERY_CASE
def test_a_span_is_the_sum_of_its_steps_and_has_an_inverse(name: str) -> None:
    _, _, _, costs, tables = made(name)
    rng = np.random.default_rng(3)
    for _ in range(60):
        b, s = float(spread(rng, 0.02, 2000.0, 1)[0]), float(spread(rng, 0.5, 1e6, 1)[0])
        count = int(spread(rng, 1.0, 3000.0, 1)[0])
        want = math.fsum(decode_step(tables, b, s + step * costs.emitted_tokens) for step in range(count))
        span = decode_span(tables, b, s, count)
        assert span == pytest.approx(want, rel=1e-9)
        assert steps_within(tables, b, s, span) == count
        assert steps_within(tables, b, s, span * (1.0 - 1e-9)) == count - 1
        assert steps_within(tables, b, s, span + 0.5 * decode_step(tables, b, s)) == count


def test_a_chain_of_spans_is_one_span() -> None:
    _, _, _, costs, tables = made("r1 decode")
    whole = decode_span(tables, 40.0, 900.0, 1000)
    parts = decode_span(tables, 40.0, 900.0, 313)
    parts += decode_span(tables, 40.0, 900.0 + 313 * costs.emitted_tokens, 687)
    assert parts == pytest.approx(whole, rel=1e-12)


def test_nothing_to_do_takes_no_time() -> None:
    tables = made("llama")[-1]
    assert decode_step(tables, 0.0, 100.0) == 0.0
    assert decode_span(tables, 0.0, 100.0, 5) == 0.0
    assert decode_span(tables, 3.0, 100.0, 0) == 0.0
    assert steps_within(tables, 3.0, 100.0, 0.0) == 0
    assert read_chunk(tables, 0.0, 10.0) == (0.0, 0.0)
    assert prompt_pass(tables, 0.0, 0.0, 0.0, 0.0, 0.0) == 0.0
    assert mixed_step(tables, 3.0, 100.0, 0.0, 0.0, 0.0, 0.0, 0.0) == decode_step(tables, 3.0, 100.0)


@EVERY_CASE
def test_compiled_and_not_give_the_same_numbers(name: str) -> None:
    for function in FUNCTIONS:
        register_jitable(_nrt=False)(function)

    @njit(_nrt=False)
    def everything(tables, sizes, found):  # type: ignore[no-untyped-def]
        for row in range(len(sizes)):
            b, s, c, x = sizes[row]
            read, first = step_tables.read_chunk(tables, c, x)
            found[row, 0] = step_tables.decode_step(tables, b, s)
            found[row, 1] = step_tables.decode_span(tables, b, s, int(c))
            found[row, 2] = step_tables.steps_within(tables, b, s, c * 0.01)
            found[row, 3] = step_tables.mixed_step(tables, b, s, c, c / 2.0, 1.0, read, first)
            found[row, 4] = step_tables.prompt_pass(tables, c, c / 2.0, 1.0, read, first)

    _, _, _, costs, tables = made(name)
    rng = np.random.default_rng(4)
    limits = ((0.02, 2000.0), (0.5, 2e6), (1.0, 2e4), (0.5, 2e6))
    sizes = np.stack([spread(rng, low, high) for low, high in limits], axis=1)
    compiled, plain = np.empty((len(sizes), 5)), np.empty((len(sizes), 5))
    everything(costs.tables, sizes, compiled)
    everything.py_func(tables, sizes.tolist(), plain)
    assert (compiled == plain).all()


def test_tokens_and_context_make_up_a_pass_of_a_dense_model() -> None:
    made_by, layout = engine(*LLAMA), Layout(tensor=4.0)
    phase = chunk_phase(1.0, 700.0, 3000.0)
    whole = pass_time(made_by, layout, phase)
    spent = token_pass(made_by, layout, phase).own_s + context_time(made_by, layout, phase)
    parts = {part.name: part.time_s for part in whole.parts}
    assert spent == pytest.approx(whole.time_s - parts["vocabulary projection"] - parts["host"], rel=1e-12)


@pytest.mark.parametrize("words", [LLAMA, R1])
def test_a_chunk_with_nothing_behind_is_a_prompt(words: tuple[str, str, str]) -> None:
    made_by, layout = engine(*words), Layout(tensor=4.0)
    chunk, prompt = chunk_phase(3.0, 700.0, 0.0), prefill_phase(3.0, 700.0)
    assert pass_time(made_by, layout, chunk).time_s == pass_time(made_by, layout, prompt).time_s


def test_chunks_of_a_prompt_look_at_as_much_as_the_whole() -> None:
    """A prompt of 8 chunks: sum of c (x + c / 2) = P^2 / 2, so attention takes at least as long in chunks."""
    made_by, layout = engine(*LLAMA), Layout(tensor=4.0)
    whole = float(context_time(made_by, layout, chunk_phase(1.0, 16384.0, 0.0)))
    behind = np.arange(8) * 2048.0
    parts = float(np.sum(context_time(made_by, layout, chunk_phase(1.0, 2048.0, behind))))
    assert whole <= parts <= 1.2 * whole


def test_cached_latents_are_expanded_for_the_chunk_alone() -> None:
    """Riding along, a decoding batch does not multiply what is cached behind the chunk."""
    made_by, layout = engine(*R1), Layout(data=32.0, expert=32.0)
    chunk = chunk_phase(1.0, 512.0, 30000.0)
    few, many = (
        float(mixed_pass_time(made_by, layout, chunk, decode_phase(batch, 1000.0, 1.0)).time_s) for batch in (1.0, 64.0)
    )
    assert many < 2.0 * few


def test_capacity_is_that_of_the_slots_or_as_the_engine_says() -> None:
    made_by, layout = engine(*LLAMA), Layout(tensor=4.0)
    asked = Requests(prompt_tokens=8000.0, output_tokens=2000.0, draft_tokens=0, acceptance_frac=0.0)
    wide = replace(made_by, software=replace(made_by.software, sequences_count=1e9))
    assert step_costs(wide, layout).capacity_tokens == pytest.approx(9000.0 * float(slots(wide, layout, asked)))
    told = step_costs(made_by, layout, Settings(capacity_tokens=123456.0))
    assert told.capacity_tokens == 123456.0


def test_a_request_holds_what_its_model_caches() -> None:
    """Llama-3.1-70B: 80 layers x 8 heads x 256 values x 2 bytes; R1: 61 x 576 x 2."""
    assert made("llama")[3].token_bytes == 80 * 8 * 256 * 2
    assert made("r1 decode")[3].token_bytes == pytest.approx(61 * 576 * 2, rel=1e-12)
    assert made("r1 decode")[3].state_bytes == 0.0


def test_batches_in_flight_share_limits_and_wait_for_the_fullest_stage() -> None:
    """80 layers on 3 stages: 27 on the fullest, steps x 81 / 80; 1,024 sequences make 341 a batch."""
    made_by, layout, _, costs, tables = made("llama stages")
    assert (costs.groups_count, costs.ranks_count) == (3.0, 6.0)
    assert costs.sequences_max_count == pytest.approx(1024.0 / 3.0)
    one = float(pass_time(made_by, layout, decode_phase(8.0, 1024.0, 1.0)).time_s)
    assert decode_step(tables, 8.0, 1024.0) == pytest.approx(one * 81.0 / 80.0, rel=1e-9)


def test_groups_with_fewer_prompts_spare_the_experts_alone() -> None:
    """One group of many reads a prompt: its own kernels are those of its tokens, the experts' those of the mean."""
    tables = made("r1 mixed")[-1]
    read, first = read_chunk(tables, 4096.0, 0.0)
    full, one = (prompt_pass(tables, 4096.0, mean, 1.0, read, first) for mean in (4096.0, 512.0))
    assert read < one < 0.9 * full


def test_redundant_experts_take_room_from_caches() -> None:
    """256 experts on 32 ranks and 32 more: a ninth beside 8 on each, 58 layers of 3 x 7,168 x 2,048 bytes."""
    made_by, layout = engine(*R1), Layout(data=32.0, expert=32.0)
    assert redundant_bytes(made_by, layout) == 0.0
    some, many = (replace(made_by, redundant_count=count) for count in (32.0, 64.0))
    assert redundant_bytes(some, layout) == pytest.approx(58 * 3 * 7168 * 2048)
    assert redundant_bytes(many, replace(layout, data=320.0, expert=320.0)) == 0.0
    plain, more = (step_costs(one, layout) for one in (made_by, some))
    assert more.capacity_tokens < plain.capacity_tokens


def test_uneven_experts_lengthen_steps() -> None:
    made_by, layout = engine(*R1), Layout(data=32.0, expert=32.0)
    even, uneven = (listed(step_costs(made_by, replace(layout, imbalance_ratio=ratio)).tables) for ratio in (1.0, 1.5))
    assert decode_step(uneven, 64.0, 2000.0) > 1.02 * decode_step(even, 64.0, 2000.0)
