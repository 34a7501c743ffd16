"""Weights counted from shapes, against numbers worked out by hand."""

import pytest

from superpod.catalog.model_spec import (
    DenseFeedForward,
    GroupedQueryAttention,
    LatentAttention,
    LayerGroup,
    LinearAttention,
    MixtureOfExperts,
    ModelSpec,
)
from superpod.workload.parameters import (
    attention_params,
    count_parameters,
    expert_params,
    ffn_params,
    layer_params,
    mtp_layer_params,
    routed_active_params,
    routed_params,
    router_params,
    shared_ffn_params,
)

LLAMA_ATTENTION = GroupedQueryAttention(kind="gqa", heads_count=32, kv_heads_count=8, head_dim=128)
LLAMA_FFN = DenseFeedForward(kind="dense", width_count=14336)
DEEPSEEK_ATTENTION = LatentAttention(
    kind="mla", heads_count=128, q_lora_rank=1536, kv_lora_rank=512, qk_nope_dim=128, qk_rope_dim=64, v_dim=128
)
DEEPSEEK_EXPERTS = MixtureOfExperts(kind="moe", experts_count=256, top_k=8, width_count=2048, shared_width_count=2048)


def tiny(**changes: object) -> GroupedQueryAttention:
    shape: dict[str, object] = {"kind": "gqa", "heads_count": 4, "kv_heads_count": 2, "head_dim": 8}
    return GroupedQueryAttention(**{**shape, **changes})  # type: ignore[arg-type]


def spec(group: LayerGroup, **changes: object) -> ModelSpec:
    shape: dict[str, object] = {
        "id": "tiny",
        "version": "2025-01",
        "name": "Tiny",
        "org": "test",
        "hidden_count": 16,
        "vocab_count": 100,
        "context_max_count": 50,
        "layers": (group,),
    }
    return ModelSpec(**{**shape, **changes})  # type: ignore[arg-type]


def test_one_llama_3_1_8b_layer() -> None:
    # queries and output 4096 x 4096 each, keys and values 4096 x 1024 each; three 4096 x 14336 matrices; two norms
    assert attention_params(LLAMA_ATTENTION, 4096) == 2 * 16_777_216 + 2 * 4_194_304 == 41_943_040
    assert ffn_params(LLAMA_FFN, 4096) == 176_160_768
    assert layer_params(LayerGroup(count=32, attention=LLAMA_ATTENTION, ffn=LLAMA_FFN), 4096) == 218_112_000


def test_one_deepseek_v3_attention() -> None:
    down, up = 7168 * 1536 + 1536, 1536 * 128 * 192  # 11,011,584 and 37,748,736
    latent, expansion = 7168 * 576 + 512, 512 * 128 * 256  # 4,129,280 and 16,777,216
    output = 128 * 128 * 7168  # 117,440,512
    assert down + up + latent + expansion + output == 187_107_328
    assert attention_params(DEEPSEEK_ATTENTION, 7168) == 187_107_328


def test_one_deepseek_v3_expert_layer() -> None:
    assert expert_params(DEEPSEEK_EXPERTS, 7168) == 3 * 7168 * 2048 == 44_040_192
    assert routed_params(DEEPSEEK_EXPERTS, 7168) == 256 * 44_040_192 == 11_274_289_152
    assert routed_active_params(DEEPSEEK_EXPERTS, 7168) == 8 * 44_040_192
    assert shared_ffn_params(DEEPSEEK_EXPERTS, 7168) == 44_040_192
    assert router_params(DEEPSEEK_EXPERTS, 7168) == 256 * 7168
    assert ffn_params(DEEPSEEK_EXPERTS, 7168) == 11_274_289_152 + 44_040_192 + 1_835_008


def test_a_gpt3_layer_follows_megatron_s_formula() -> None:
    """12 h^2 + 13 h weights a layer: arXiv 2104.04473, equation 2."""
    hidden = 12288
    attention = GroupedQueryAttention(
        kind="gqa", heads_count=96, kv_heads_count=96, head_dim=128, qkv_bias=True, out_bias=True
    )
    ffn = DenseFeedForward(kind="dense", width_count=4 * hidden, gated=False, bias=True)
    group = LayerGroup(count=96, attention=attention, ffn=ffn, norm_bias=True)
    assert layer_params(group, hidden) == 12 * hidden**2 + 13 * hidden


def test_the_sparse_indexer_of_deepseek_v3_2() -> None:
    sparse = LatentAttention(
        kind="mla",
        heads_count=128,
        q_lora_rank=1536,
        kv_lora_rank=512,
        qk_nope_dim=128,
        qk_rope_dim=64,
        v_dim=128,
        sparse_top_k_count=2048,
        indexer_heads_count=64,
        indexer_dim=128,
    )
    queries, key, head_weights = 1536 * 64 * 128, 7168 * 128 + 2 * 128, 7168 * 64
    assert (
        attention_params(sparse, 7168) - attention_params(DEEPSEEK_ATTENTION, 7168)
        == queries + key + head_weights
        == 13_959_424
    )


def test_a_layer_that_reuses_selected_keys_has_no_indexer() -> None:
    reused = LatentAttention(
        kind="mla",
        heads_count=128,
        q_lora_rank=1536,
        kv_lora_rank=512,
        qk_nope_dim=128,
        qk_rope_dim=64,
        v_dim=128,
        sparse_top_k_count=2048,
    )
    assert attention_params(reused, 7168) == attention_params(DEEPSEEK_ATTENTION, 7168)


def test_latent_attention_without_query_compression() -> None:
    plain = LatentAttention(
        kind="mla", heads_count=16, q_lora_rank=0, kv_lora_rank=512, qk_nope_dim=128, qk_rope_dim=64, v_dim=128
    )
    queries, latent = 2048 * 16 * 192, 2048 * 576 + 512
    assert attention_params(plain, 2048) == queries + latent + 512 * 16 * 256 + 16 * 128 * 2048


@pytest.mark.parametrize(
    ("changes", "more"),
    [
        ({"qkv_bias": True}, 32 + 16 + 16),
        ({"out_bias": True}, 16),
        ({"qk_norm": True}, 16),
        ({"sinks": True}, 4),
        ({"output_gate": True}, 16 * 32),
        ({"window_count": 128}, 0),
        ({"value_dim": 4}, -(16 * 2 * 4) - 16 * 4 * 4),
    ],
)
def test_what_each_attention_option_adds(changes: dict[str, object], more: int) -> None:
    plain = 16 * 32 + 2 * 16 * 16 + 32 * 16  # hidden 16, four query heads and two key-value heads of 8
    assert attention_params(tiny(), 16) == plain
    assert attention_params(tiny(**changes), 16) == plain + more


def test_a_linear_attention_block_by_hand() -> None:
    linear = LinearAttention(
        kind="linear", heads_count=4, key_heads_count=2, key_dim=3, value_dim=5, conv_width_count=4
    )
    keys, values = 2 * 3, 4 * 5
    projections = 10 * (2 * keys + 2 * values + 2 * 4)  # q, k, v, output gate, and two gates for each head
    assert attention_params(linear, 10) == projections + 4 * (2 * keys + values) + 2 * 4 + 5 + values * 10 == 941


def test_biases_and_gates_of_experts() -> None:
    ffn = MixtureOfExperts(
        kind="moe",
        experts_count=4,
        top_k=1,
        width_count=6,
        bias=True,
        router_bias=True,
        shared_width_count=6,
        shared_gate=True,
    )
    one = 3 * 10 * 6 + 2 * 6 + 10
    assert expert_params(ffn, 10) == one
    assert shared_ffn_params(ffn, 10) == one + 10
    assert router_params(ffn, 10) == 4 * 10 + 4


def test_totals_of_a_model_are_the_sum_of_its_parts() -> None:
    moe = MixtureOfExperts(kind="moe", experts_count=8, top_k=2, width_count=4)
    group = LayerGroup(count=3, attention=tiny(), ffn=moe)
    counted = count_parameters(spec(group))
    assert counted.embedding == counted.output_head == 1600
    assert counted.attention == 3 * 1536
    assert counted.router == 3 * 8 * 16
    assert counted.routed_experts == 3 * 8 * 192
    assert counted.norms == 3 * 2 * 16 + 16
    assert counted.dense_ffn == counted.shared_ffn == counted.mtp == 0
    assert counted.total == 3200 + 4608 + 384 + 4608 + 112
    assert counted.active == counted.total - 3 * 6 * 192


def test_tied_and_learned_embeddings() -> None:
    group = LayerGroup(count=1, attention=tiny(), ffn=DenseFeedForward(kind="dense", width_count=4))
    counted = count_parameters(spec(group, tied_embeddings=True, learned_positions=True))
    assert counted.output_head == 0
    assert counted.embedding == (100 + 50) * 16


def test_mtp_layers_are_counted_apart() -> None:
    group = LayerGroup(count=1, attention=tiny(), ffn=DenseFeedForward(kind="dense", width_count=4))
    plain, predicting = count_parameters(spec(group)), count_parameters(spec(group, mtp_layers_count=2))
    assert plain.total == predicting.total
    assert plain.active == predicting.active
    assert predicting.mtp == 2 * mtp_layer_params(group, 16) == 2 * (layer_params(group, 16) + 2 * 16 * 16 + 3 * 16)


def test_deepseek_v3_s_mtp_layer_is_the_size_its_authors_print() -> None:
    """11.5e9 weights of its own beside embedding and head (the README of its weights)."""
    group = LayerGroup(count=58, attention=DEEPSEEK_ATTENTION, ffn=DEEPSEEK_EXPERTS)
    assert mtp_layer_params(group, 7168) == pytest.approx(11.5e9, rel=0.01)
