"""Steady-state serving against identities and hand-worked numbers."""

import pytest

from superpod.catalog.load import Catalogue
from superpod.parallel.engine import Engine
from superpod.parallel.layout import Layout
from superpod.plan.machine import machine
from superpod.plan.scenario import Scenario, Serving
from superpod.serve.memory import weights_bytes
from superpod.serve.steady import Requests, decode, prefill
from superpod.workload.build import kv_cache_bytes
from superpod.workload.parameters import count_parameters
from superpod.workload.phase import Partition
from superpod.workload.precision import PRECISIONS

CATALOGUE = Catalogue()
REQUESTS = Requests(prompt_tokens=4096, output_tokens=1024, draft_tokens=0, acceptance_frac=0.7)


def engine(model: str = "deepseek-v3", pod: str = "cloudmatrix384") -> Engine:
    made = machine(CATALOGUE, Scenario(model=model, pod=pod, work=Serving()))
    return made.engine


def test_kv_cache_of_known_models() -> None:
    """DeepSeek-V3: (512 + 64) x 61 layers x 2 bytes = 70,272 a token. Llama-3.1-70B: 2 x 8 x 128 x 80 x 2 = 327,680."""
    whole = Partition()
    assert kv_cache_bytes(CATALOGUE.model("deepseek-v3"), 1.0, whole, PRECISIONS["bf16"]) == 70_272
    assert kv_cache_bytes(CATALOGUE.model("llama-3.1-70b"), 1.0, whole, PRECISIONS["bf16"]) == 327_680


def test_a_sliding_window_stops_the_cache_from_growing() -> None:
    spec = CATALOGUE.model("gpt-oss-120b")
    short, long = (kv_cache_bytes(spec, tokens, Partition(), PRECISIONS["bf16"]) for tokens in (1e5, 2e5))
    windowed = sum(group.count for group in spec.layers if getattr(group.attention, "window_count", 0))
    assert windowed > 0
    assert long / short < 2.0


def test_expected_tokens_a_step() -> None:
    assert REQUESTS.tokens_per_step == 1.0
    two = Requests(prompt_tokens=1, output_tokens=1, draft_tokens=2, acceptance_frac=0.7)
    assert two.tokens_per_step == pytest.approx(1 + 0.7 + 0.49)


def test_rate_times_tpot_is_the_batch() -> None:
    """Little's law: tokens in flight = rate x time per token."""
    layout = Layout(tensor=2.0, data=16.0, expert=32.0)
    found = decode(engine(), layout, 24.0, REQUESTS)
    assert found.tokens_per_s_rank * layout.tensor * found.tpot_s == pytest.approx(24.0)


def test_weights_of_all_ranks_hold_the_model_once() -> None:
    spec = CATALOGUE.model("deepseek-v3")
    layout = Layout(data=64.0, expert=64.0)
    count = count_parameters(spec)
    held = float(weights_bytes(spec, layout, PRECISIONS["bf16"]))
    experts = 2.0 * count.routed_experts / 64
    assert held == pytest.approx(2.0 * (count.total - count.routed_experts) + experts, rel=1e-9)


def test_more_ranks_than_experts_hold_replicas_not_halves() -> None:
    spec = CATALOGUE.model("deepseek-v3")
    one, more = (weights_bytes(spec, Layout(data=ranks, expert=ranks), PRECISIONS["int8"]) for ranks in (256.0, 320.0))
    assert one == more


def test_decode_is_bound_by_memory_at_batch_one_and_grows_slowly() -> None:
    small, large = (
        decode(engine("llama-3.1-70b", "hgx-h100"), Layout(tensor=8.0), batch, REQUESTS) for batch in (1.0, 8.0)
    )
    assert large.tpot_s < 1.5 * small.tpot_s
    read = weights_bytes(CATALOGUE.model("llama-3.1-70b"), Layout(tensor=8.0), PRECISIONS["fp8"])
    assert small.tpot_s > read / 3.35e12  # no faster than reading the weights once


def test_staged_attention_costs_its_exchanges() -> None:
    plain, staged = (
        prefill(engine(), Layout(data=32.0, expert=32.0, staged=ranks), 2.0, REQUESTS) for ranks in (1.0, 32.0)
    )
    assert staged.pass_s > plain.pass_s
