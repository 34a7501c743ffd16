"""One formula for numbers and columns: every row of a batch equals the same layout priced alone."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from superpod.catalog.load import Catalogue
from superpod.parallel.engine import Engine
from superpod.parallel.layout import Layout
from superpod.plan.machine import Machine, machine
from superpod.plan.scenario import Scenario, Serving, Training
from superpod.plan.training.search import price
from superpod.result import at_row
from superpod.serve.batching import batching
from superpod.serve.steady import Requests, decode, prefill

CATALOGUE = Catalogue()
RTOL = 1e-12
POWERS = st.sampled_from([1.0, 2.0, 4.0, 8.0, 16.0])
DEGREES = ("tensor", "context", "pipeline", "virtual", "data", "expert", "micro_batch")
SYSTEMS = {
    (model, pod): machine(CATALOGUE, Scenario(model=model, pod=pod, work=Training(), cards=cards))
    for model, pod, cards in (
        ("deepseek-v3", "cloudmatrix384", 384),
        ("llama-3.1-70b", "hgx-h100", 64),
        ("gpt-oss-120b", "gb200-nvl72", 144),
        ("qwen3.5-397b-a17b", "tpu-v5p-8960", 512),
    )
}


@st.composite
def batches(draw: st.DrawFn) -> tuple[Layout, int]:
    rows = draw(st.integers(min_value=1, max_value=5))
    columns = {name: np.array([draw(POWERS) for _ in range(rows)]) for name in DEGREES}
    words = {
        "zero": draw(st.sampled_from(["0", "1", "2", "3"])),
        "recompute": draw(st.sampled_from(["none", "selective", "full"])),
        "overlap": draw(st.sampled_from(["none", "data", "data+expert"])),
        "order": draw(st.sampled_from(["tp-cp-dp-pp", "tp-cp-pp-dp"])),
    }
    fused = draw(st.booleans())
    return Layout(**columns, **words, fused_attention=fused), rows


@pytest.mark.parametrize("key", sorted(SYSTEMS), ids=lambda key: f"{key[0]}-{key[1]}")
@given(drawn=batches())
@settings(max_examples=25, deadline=None)
def test_training_rows_equal_scalars(key: tuple[str, str], drawn: tuple[Layout, int]) -> None:
    system, (batch, rows) = SYSTEMS[key], drawn
    work = Training(batch_sequences=512, sequence_tokens=8192)
    step, memory = price(system, work, batch)
    for row in range(rows):
        alone_step, alone_memory = price(system, work, at_row(batch, row))
        assert at_row(step.time_s, row) == pytest.approx(float(alone_step.time_s), rel=RTOL)
        assert at_row(memory.total_bytes, row) == pytest.approx(float(alone_memory.total_bytes), rel=RTOL)


@pytest.mark.parametrize("key", sorted(SYSTEMS), ids=lambda key: f"{key[0]}-{key[1]}")
@given(
    rows=st.lists(st.tuples(POWERS, POWERS, POWERS, st.sampled_from([1.0, 3.0, 48.0, 256.0])), min_size=1, max_size=5),
    drafts=st.integers(min_value=0, max_value=2),
)
@settings(max_examples=25, deadline=None)
def test_serving_rows_equal_scalars(key: tuple[str, str], rows: list[tuple[float, ...]], drafts: int) -> None:
    engine = engine_of(SYSTEMS[key])
    requests = Requests(prompt_tokens=2048, output_tokens=512, draft_tokens=drafts, acceptance_frac=0.6)
    tensor, data, pipeline, sequences = (np.array(column) for column in zip(*rows, strict=True))
    batch = Layout(tensor=tensor, data=data, pipeline=pipeline, expert=tensor * data)
    decoding, prefilling = decode(engine, batch, sequences, requests), prefill(engine, batch, sequences, requests)
    steady = batching(engine, batch, requests, sequences)
    for row in range(len(rows)):
        one = decode(engine, at_row(batch, row), float(sequences[row]), requests)
        two = prefill(engine, at_row(batch, row), float(sequences[row]), requests)
        assert at_row(decoding.tpot_s, row) == pytest.approx(float(one.tpot_s), rel=RTOL)
        assert at_row(prefilling.pass_s, row) == pytest.approx(float(two.pass_s), rel=RTOL)
        assert at_row(decoding.memory.total_bytes, row) == pytest.approx(float(one.memory.total_bytes), rel=RTOL)
        three = batching(engine, at_row(batch, row), requests, float(sequences[row]))
        assert at_row(steady.tokens_per_s, row) == pytest.approx(float(three.tokens_per_s), rel=RTOL)


def engine_of(system: Machine) -> Engine:
    return system.engine


def test_a_free_fabric_is_never_slower() -> None:
    system = SYSTEMS["deepseek-v3", "cloudmatrix384"]
    free = replace(system, fabric=replace(system.fabric, ideal=True))
    layout = Layout(
        tensor=np.array([1.0, 4.0]),
        data=np.array([64.0, 16.0]),
        expert=np.array([64.0, 32.0]),
        pipeline=np.array([4.0, 8.0]),
    )
    work = Training(batch_sequences=512)
    assert np.all(price(free, work, layout)[0].time_s <= price(system, work, layout)[0].time_s)
    requests = Requests(prompt_tokens=2048, output_tokens=512, draft_tokens=0, acceptance_frac=0.0)
    held = np.array([32.0, 32.0])
    assert np.all(
        decode(engine_of(free), layout, held, requests).tpot_s
        <= decode(engine_of(system), layout, held, requests).tpot_s
    )


def test_serving_defaults_are_a_scenario() -> None:
    assert Serving().prompt_tokens > 0
