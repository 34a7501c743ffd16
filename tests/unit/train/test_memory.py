"""Memory of a training rank against numbers worked by hand, and what must hold for any layout."""

import itertools
from dataclasses import fields, replace

import numpy as np
import pytest

from superpod.catalog.load import Catalogue
from superpod.catalog.model_spec import GroupedQueryAttention, LatentAttention, MixtureOfExperts, ModelSpec
from superpod.parallel.layout import MODULES, Layout
from superpod.result import at_row
from superpod.train.activations import layer_activations, visits_per_token
from superpod.train.memory import (
    MemoryRecipe,
    TrainingMemory,
    in_flight_count,
    parameter_share,
    peak_bytes,
    stage_memory,
    training_memory,
)
from superpod.train.offload import offload_traffic
from superpod.train.stage_layers import stage_layers
from superpod.train.weights import stage_share
from superpod.workload.parameters import count_parameters

CATALOGUE = Catalogue()
MODELS = ("llama-3.1-70b", "deepseek-v3", "gpt-oss-120b", "qwen3-235b-a22b", "qwen3.5-397b-a17b", "deepseek-v3.2")
GPTS = {"gpt-22b": (64, 6144), "gpt3-175b": (96, 12288), "mt-nlg-530b": (128, 20480), "gpt-1t": (160, 25600)}


@pytest.mark.parametrize("model", GPTS)
def test_activations_of_a_gpt_layer_are_equations_1_to_4(model: str) -> None:
    """s b h (34 + 5 a s / h), s b h (10 + 24/t + 5 a s / h t), (s b h / t)(34 + 5 a s / h), 34 s b h / t, 2 s b h / t.

    arXiv 2205.05198, equations 1 to 4, and section 5.
    """
    spec, (heads, hidden) = CATALOGUE.model(model), GPTS[model]
    tokens = 2048.0
    size, square = tokens * hidden, 5 * heads * tokens / hidden

    def kept(**choices: object) -> float:
        layout = Layout(fused_attention=False, **choices)  # type: ignore[arg-type]
        return float(layer_activations(spec.layers[0], hidden, layout, tokens, tokens).kept_bytes)

    assert kept() == pytest.approx(size * (34 + square))
    assert kept(tensor=8.0, sequence_parallel=False) == pytest.approx(size * (10 + 24 / 8 + square / 8))
    assert kept(tensor=8.0) == pytest.approx(size / 8 * (34 + square))
    assert kept(tensor=8.0, recompute="selective") == pytest.approx(size / 8 * 34)
    assert kept(tensor=8.0, recompute="full") == pytest.approx(size / 8 * 2)
    assert kept(tensor=8.0, recompute="full", sequence_parallel=False) == pytest.approx(size * 2)


@pytest.mark.parametrize(("model", "saved_frac"), [("gpt3-175b", 0.70), ("mt-nlg-530b", 0.65)])
def test_selective_recompute_saves_what_is_published(model: str, saved_frac: float) -> None:
    """70 % for GPT-3 and 65 % for MT-NLG (arXiv 2205.05198, section 5)."""
    spec = CATALOGUE.model(model)
    layout = Layout(tensor=8.0, fused_attention=False)
    kept = [
        float(
            layer_activations(
                spec.layers[0], spec.hidden_count, replace(layout, recompute=word), 2048.0, 2048.0
            ).kept_bytes
        )
        for word in ("none", "selective")
    ]
    assert 1 - kept[1] / kept[0] == pytest.approx(saved_frac, abs=0.005)


def test_a_layer_with_fused_attention_by_hand() -> None:
    """8 h + 4 a d + 4 g d + 6 f + 4 a bytes a token: norms 4 x 2h, Q and result, K and V, gate up product, rows."""
    spec = CATALOGUE.model("llama-3.1-70b")
    heads, groups, dim, width, hidden = 64, 8, 128, 28672, 8192
    token = 8 * hidden + 4 * heads * dim + 4 * groups * dim + 6 * width + 4 * heads
    made = layer_activations(spec.layers[0], hidden, Layout(tensor=8.0), 4096.0, 4096.0)
    assert made.kept_bytes == pytest.approx(4096 * token / 8)
    whole = layer_activations(spec.layers[0], hidden, Layout(tensor=8.0, gather_again=False), 4096.0, 4096.0)
    assert whole.kept_bytes - made.kept_bytes == pytest.approx(4096 * 2 * 2 * hidden * 7 / 8)
    narrow = layer_activations(spec.layers[0], hidden, Layout(tensor=8.0), 4096.0, 4096.0, product_bytes=1.0)
    # Inputs of four products lose a byte a number; the projection reads another format than attention wrote.
    assert made.kept_bytes - narrow.kept_bytes == pytest.approx(4096 / 8 * (2 * hidden + width - heads * dim))


def test_a_layer_of_latent_attention_and_experts_by_hand() -> None:
    spec = CATALOGUE.model("deepseek-v3")
    group = spec.layers[1]
    assert isinstance(group.attention, LatentAttention)
    assert isinstance(group.ffn, MixtureOfExperts)
    hidden, heads, tokens = 7168, 128, 4096.0
    latents = 2 * (1536 + 512) + 64
    expanded = heads * (2 * (128 + 64) + 2 * 128)
    experts = 8 * (2 * hidden + 6 * 2048)
    token = 8 * hidden + 2 * (latents + expanded) + 4 * heads + 4 * 256 + experts + 6 * 2048
    layout = Layout()
    made = layer_activations(group, hidden, layout, tokens, tokens)
    assert made.kept_bytes == pytest.approx(tokens * token)
    dropped = {
        "core_attn": 4 * heads,
        "mla_up_proj": 2 * heads * (2 * (128 + 64) + 128),
        "layernorm": 4 * hidden,
        "mlp": 0,
        "moe_act": 8 * 2 * 2048,
        "moe": 4 * 256 + experts + 6 * 2048,
        "shared_experts": 6 * 2048,
    }
    assert set(dropped) == set(MODULES)
    for module, size in dropped.items():
        less = layer_activations(group, hidden, replace(layout, recompute=module), tokens, tokens)
        assert made.kept_bytes - less.kept_bytes == pytest.approx(tokens * size)
        assert less.again_bytes == pytest.approx(tokens * size)


def test_imbalance_of_experts_counts_in_memory() -> None:
    spec = CATALOGUE.model("deepseek-v3")
    ffn = spec.layers[1].ffn
    assert isinstance(ffn, MixtureOfExperts)
    even, uneven = Layout(expert=8.0, data=8.0), Layout(expert=8.0, data=8.0, imbalance_ratio=1.5)
    assert visits_per_token(ffn, uneven, 4096.0) == pytest.approx(1.5 * visits_per_token(ffn, even, 4096.0))
    more, less = (training_memory(spec, item, 4096.0, 8.0).activations_bytes for item in (uneven, even))
    assert more > less


def test_key_value_heads_are_never_split() -> None:
    spec = CATALOGUE.model("llama-3.1-70b")
    assert isinstance(spec.layers[0].attention, GroupedQueryAttention)
    shares = [parameter_share(spec, Layout(tensor=tensor)).common for tensor in (8.0, 16.0)]
    more = 80 * 8192 * 2 * 128 * 0.5 + 80 * 2 * 8192 / 2 + 8192 / 2  # half a head, and norms that are whole
    assert shares[1] == pytest.approx(float(shares[0]) / 2 + more, rel=1e-9)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("stage_count", [1.0, 2.0, 3.0])
def test_parameters_of_all_ranks_sum_to_the_model(model: str, stage_count: float) -> None:
    spec = CATALOGUE.model(model)
    layout = Layout(pipeline=stage_count, data=8.0, expert=8.0)
    first, middle, last = (stage_share(spec, layout, stage) for stage in stage_layers(spec, layout))
    held = [(first,), (first, last), (first, middle, last)][int(stage_count) - 1]
    whole = sum(float(share.common) + 8 * float(share.experts) for share in held)
    count = count_parameters(spec)
    again = spec.vocab_count * spec.hidden_count if spec.tied_embeddings and stage_count > 1 else 0
    assert whole == pytest.approx(count.total + count.mtp + again, rel=1e-9)


def test_a_folded_pipeline_has_both_edges_on_its_first_stage_and_dual_pipe_every_layer_twice() -> None:
    spec = CATALOGUE.model("llama-3.1-70b")
    count = count_parameters(spec)
    body = count.total - count.embedding - count.output_head
    folded = _first_share(spec, Layout(pipeline=4.0, virtual=2.0, schedule="zb-v"))
    assert folded == pytest.approx(body / 4 + count.embedding + count.output_head, rel=1e-6)
    twice = _first_share(spec, Layout(pipeline=4.0, schedule="dualpipe"))
    assert twice == pytest.approx(body / 2 + count.embedding + count.output_head, rel=1e-6)


def test_dual_pipe_shards_over_both_copies() -> None:
    spec = CATALOGUE.model("llama-3.1-70b")
    one, two = (
        stage_memory(spec, Layout(pipeline=4.0, data=8.0, schedule=name), 4096.0, 16.0)["middle"]
        for name in ("1f1b", "dualpipe")
    )
    assert float(two.weights_bytes) == pytest.approx(2 * float(one.weights_bytes))
    assert float(two.optimizer_bytes) == pytest.approx(float(one.optimizer_bytes))


def _first_share(spec: ModelSpec, layout: Layout) -> float:
    return float(stage_share(spec, layout, stage_layers(spec, layout)[0]).common)


def test_dense_layers_in_front_lie_on_the_first_stage() -> None:
    """DeepSeek-V3: 3 dense layers, then 58 with experts; so the second stage is fuller."""
    spec = CATALOGUE.model("deepseek-v3")
    first, middle, last = stage_layers(spec, Layout(pipeline=16.0))
    assert [float(count) for count in first.group_layers_count] == [3.0, 0.0]
    assert float(middle.group_layers_count[0]) == 0.0
    assert float(middle.group_layers_count[1]) == 4.0
    assert float(last.group_layers_count[0]) == 0.0
    assert float(last.group_layers_count[1]) == 3.0


@pytest.mark.parametrize(
    ("schedule", "virtual", "expected"),
    [
        ("1f1b", 1.0, (8.0, 7.0, 1.0)),
        ("1f1b", 2.0, (8 * (1 + 7 / 16), (2 * 6 + 8 + 1) / 2, (8 + 1) / 2)),
        ("gpipe", 1.0, (64.0, 64.0, 64.0)),
        ("zb-h1", 1.0, (8.0, 8.0, 8.0)),
        ("zb-h2", 1.0, (15.0, 15.0, 15.0)),
        ("zb-v", 2.0, (8.0, 8.0, 8.0)),
        ("dualpipe", 1.0, (9.0, 9.0, 9.0)),
        ("dualpipev", 2.0, (8.5, 8.5, 8.5)),
    ],
)
def test_micro_batches_in_flight_by_schedule(
    schedule: str, virtual: float, expected: tuple[float, float, float]
) -> None:
    """Stages 0, 1 and 7 of 8: arXiv 2205.05198, 2401.10241, 2405.15362; README of deepseek-ai/DualPipe."""
    layout = Layout(pipeline=8.0, virtual=virtual, schedule=schedule)
    assert tuple(float(in_flight_count(layout, 64.0, stage)) for stage in (0.0, 1.0, 7.0)) == pytest.approx(expected)


def test_few_micro_batches_are_all_that_is_in_flight() -> None:
    for virtual in (1.0, 2.0):
        assert float(in_flight_count(Layout(pipeline=8.0, virtual=virtual), 2.0, 0.0)) == pytest.approx(2.0)


@pytest.mark.parametrize(("zero", "bytes_each"), [("0", 18.0), ("1", 6 + 12 / 8), ("2", 2 + 16 / 8), ("3", 18 / 8)])
def test_model_state_follows_the_zero_level(zero: str, bytes_each: float) -> None:
    spec = CATALOGUE.model("llama-2-7b")
    memory = training_memory(spec, Layout(data=8.0, zero=zero), 2048.0, 1.0)
    state = memory.weights_bytes + memory.gradients_bytes + memory.optimizer_bytes
    assert float(state) == pytest.approx(bytes_each * float(count_parameters(spec).total), rel=1e-9)
    light = training_memory(spec, Layout(data=8.0, zero=zero), 2048.0, 1.0, MemoryRecipe(optimizer_bytes=8.0))
    assert light.optimizer_bytes == pytest.approx(memory.optimizer_bytes * 8 / 12)


def test_hybrid_sharding_shards_over_fewer_ranks() -> None:
    spec = CATALOGUE.model("llama-2-7b")
    whole, hybrid = (training_memory(spec, Layout(data=64.0, shard=shard), 2048.0, 1.0) for shard in (0.0, 8.0))
    assert float(hybrid.optimizer_bytes) == pytest.approx(8 * float(whole.optimizer_bytes))


def test_the_last_stage_holds_the_loss_and_the_first_the_embedding() -> None:
    spec = CATALOGUE.model("llama-3.1-8b")
    stages = stage_memory(spec, Layout(pipeline=4.0, tensor=2.0, micro_batch=2.0), 8192.0, 16.0)
    assert float(stages["last"].logits_bytes) == pytest.approx(2 * 8192 * (6 * 128256 / 2 + 4 * 4096 / 2 + 4 * 4096))
    assert stages["first"].logits_bytes == 0.0
    assert stages["middle"].logits_bytes == 0.0
    table = 128256 * 4096 / 2
    assert float(stages["first"].weights_bytes - stages["middle"].weights_bytes) == pytest.approx(2 * table)
    assert float(stages["first"].activations_bytes) == pytest.approx(4 / 3 * float(stages["middle"].activations_bytes))


def test_one_stage_is_the_whole_model_and_each_of_its_stages() -> None:
    for model in MODELS:
        spec = CATALOGUE.model(model)
        stages = stage_memory(spec, Layout(data=4.0, expert=4.0), 4096.0, 8.0)
        totals = [float(memory.total_bytes) for memory in stages.values()]
        assert totals[0] == pytest.approx(totals[1], rel=1e-12) == pytest.approx(totals[2], rel=1e-12)


@pytest.mark.parametrize("model", MODELS)
def test_parts_sum_to_the_total_and_the_fullest_stage_is_returned(model: str) -> None:
    spec = CATALOGUE.model(model)
    layout = Layout(pipeline=4.0, data=16.0, expert=8.0, zero="3", offload="optimizer")
    memory = training_memory(spec, layout, 4096.0, 16.0)
    parts = [float(getattr(memory, item.name)) for item in fields(TrainingMemory) if item.name != "offloaded_bytes"]
    assert sum(parts) == pytest.approx(float(memory.total_bytes), rel=1e-12)
    stages = stage_memory(spec, layout, 4096.0, 16.0).values()
    assert float(memory.total_bytes) == pytest.approx(max(float(item.total_bytes) for item in stages))
    assert float(memory.total_bytes) == pytest.approx(float(peak_bytes(spec, layout, 4096.0, 16.0)))


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("axis", ["tensor", "context", "data"])
def test_more_shards_never_take_more(model: str, axis: str) -> None:
    spec = CATALOGUE.model(model)
    degrees = np.array([1.0, 2.0, 4.0, 8.0])
    for zero, recompute in itertools.product(("1", "2"), ("none", "selective", "full")):
        layout = Layout(zero=zero, recompute=recompute, **{axis: degrees})
        totals = training_memory(spec, layout, 8192.0, 8.0).total_bytes
        assert np.all(np.diff(totals) <= 0.0)


@pytest.mark.parametrize("model", MODELS)
def test_a_higher_zero_level_never_holds_more_state(model: str) -> None:
    spec = CATALOGUE.model(model)
    held = []
    for zero in ("0", "1", "2", "3"):
        memory = training_memory(spec, Layout(data=64.0, expert=8.0, zero=zero), 4096.0, 1.0)
        held.append(float(memory.total_bytes))
    assert held == sorted(held, reverse=True)


@pytest.mark.parametrize("model", MODELS)
def test_more_recompute_never_takes_more(model: str) -> None:
    spec = CATALOGUE.model(model)

    def total(word: str) -> float:
        layout = Layout(recompute=word, pipeline=4.0, data=8.0, expert=8.0)
        return float(training_memory(spec, layout, 8192.0, 16.0).total_bytes)

    words = ["none", *("+".join(MODULES[:count]) for count in range(1, len(MODULES) + 1)), "full"]
    totals = [total(word) for word in words]
    assert all(after <= before * (1 + 1e-12) for before, after in itertools.pairwise(totals))
    assert totals[-1] < totals[0]
    assert all(total(module) <= totals[0] * (1 + 1e-12) for module in MODULES)


@pytest.mark.parametrize("model", MODELS)
def test_offload_takes_less_of_the_device_and_what_it_moves_lies_on_the_host(model: str) -> None:
    spec = CATALOGUE.model(model)
    layout = Layout(pipeline=2.0, data=8.0, expert=8.0)
    plain = training_memory(spec, layout, 4096.0, 16.0)
    assert plain.offloaded_bytes == 0.0
    for word in ("weights", "activations", "optimizer", "weights+optimizer", "weights+activations+optimizer"):
        moved = training_memory(spec, replace(layout, offload=word), 4096.0, 16.0)
        assert moved.total_bytes < plain.total_bytes
        assert moved.offloaded_bytes > 0.0


def test_offload_traffic_by_hand() -> None:
    """Weights twice a micro-batch in and once a step out, activations out and in, optimizer in and out once a step."""
    spec = CATALOGUE.model("llama-3.1-8b")
    layout = Layout(data=8.0, offload="weights+activations+optimizer")
    memory = training_memory(spec, Layout(data=8.0), 8192.0, 4.0)
    traffic = offload_traffic(spec, layout, 8192.0)
    weights, kept = float(memory.weights_bytes), float(memory.activations_bytes)
    assert traffic.in_micro_bytes == pytest.approx(2 * weights + kept)
    assert traffic.out_micro_bytes == pytest.approx(kept)
    assert traffic.in_step_bytes == pytest.approx(float(memory.optimizer_bytes))
    assert traffic.out_step_bytes == pytest.approx(float(memory.optimizer_bytes) + weights)
    none = offload_traffic(spec, Layout(data=8.0), 8192.0)
    assert none.in_micro_bytes == none.out_step_bytes == 0.0


def test_zero_3_gathers_two_layers_and_the_gradients_of_the_largest_block() -> None:
    spec = CATALOGUE.model("llama-2-7b")
    layer = (count_parameters(spec).total - 2 * 32000 * 4096 - 4096) / 32
    memory = training_memory(spec, Layout(data=8.0, zero="3"), 2048.0, 1.0)
    assert float(memory.gathered_bytes) == pytest.approx((2 + 2 + 4) * layer)
    assert training_memory(spec, Layout(zero="3"), 2048.0, 1.0).gathered_bytes == 0.0


@pytest.mark.parametrize("model", ["llama-3.1-70b", "deepseek-v3"])
def test_a_lattice_equals_its_layouts_one_by_one(model: str) -> None:
    spec = CATALOGUE.model(model)
    lattice = Layout(
        tensor=np.array([1.0, 2.0]).reshape(2, 1, 1, 1, 1, 1),
        pipeline=np.array([1.0, 4.0]).reshape(2, 1, 1, 1, 1),
        zero=np.array(["1", "3"]).reshape(2, 1, 1, 1),
        recompute=np.array(["none", "layernorm+moe_act", "full"]).reshape(3, 1, 1),
        schedule=np.array(["1f1b", "zb-h1", "dualpipe"]).reshape(3, 1),
        offload=np.array(["none", "weights+optimizer"]),
        data=8.0,
        expert=8.0,
    )
    shape = (2, 2, 2, 3, 3, 2)
    whole = training_memory(spec, lattice, 4096.0, 16.0)
    totals = np.broadcast_to(whole.total_bytes, shape)
    for place in itertools.product(*(range(size) for size in shape)):
        single = training_memory(spec, at_row(lattice, place), 4096.0, 16.0)
        assert float(single.total_bytes) == pytest.approx(float(totals[place]), rel=1e-12)
