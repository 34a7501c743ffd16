"""Hugging Face configs: those of the shipped models give the shipped specs, and bad ones give one clear error."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from superpod.catalog.huggingface import FAMILIES, read_config, spec_from_config
from superpod.catalog.load import Catalogue
from superpod.catalog.model_spec import (
    DenseFeedForward,
    GroupedQueryAttention,
    LatentAttention,
    LinearAttention,
    MixtureOfExperts,
    ModelSpec,
    PublishedSize,
)
from superpod.errors import CatalogueError
from superpod.workload.parameters import count_parameters

LLAMA: dict[str, Any] = {
    "model_type": "llama",
    "attention_bias": False,
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "max_position_embeddings": 131072,
    "mlp_bias": False,
    "num_attention_heads": 32,
    "num_hidden_layers": 32,
    "num_key_value_heads": 8,
    "tie_word_embeddings": False,
    "vocab_size": 128256,
}
LLAMA4: dict[str, Any] = {
    "model_type": "llama4",
    "vision_config": {"hidden_size": 1408},
    "text_config": {
        "model_type": "llama4_text",
        "attention_bias": False,
        "attention_chunk_size": 8192,
        "head_dim": 128,
        "hidden_size": 5120,
        "interleave_moe_layer_step": 2,
        "intermediate_size": 8192,
        "intermediate_size_mlp": 16384,
        "max_position_embeddings": 1048576,
        "num_attention_heads": 40,
        "num_experts_per_tok": 1,
        "num_hidden_layers": 48,
        "num_key_value_heads": 8,
        "num_local_experts": 128,
        "use_qk_norm": False,
        "vocab_size": 202048,
    },
}
QWEN3: dict[str, Any] = {
    "model_type": "qwen3",
    "attention_bias": False,
    "head_dim": 128,
    "hidden_size": 5120,
    "intermediate_size": 25600,
    "max_position_embeddings": 40960,
    "max_window_layers": 64,
    "num_attention_heads": 64,
    "num_hidden_layers": 64,
    "num_key_value_heads": 8,
    "sliding_window": None,
    "use_sliding_window": False,
    "vocab_size": 151936,
}
QWEN3_MOE: dict[str, Any] = {
    "model_type": "qwen3_moe",
    "attention_bias": False,
    "decoder_sparse_step": 1,
    "head_dim": 128,
    "hidden_size": 4096,
    "intermediate_size": 12288,
    "max_position_embeddings": 40960,
    "mlp_only_layers": [],
    "moe_intermediate_size": 1536,
    "num_attention_heads": 64,
    "num_experts": 128,
    "num_experts_per_tok": 8,
    "num_hidden_layers": 94,
    "num_key_value_heads": 4,
    "vocab_size": 151936,
}
QWEN3_5_MOE: dict[str, Any] = {
    "model_type": "qwen3_5_moe",
    "tie_word_embeddings": False,
    "text_config": {
        "model_type": "qwen3_5_moe_text",
        "attn_output_gate": True,
        "head_dim": 256,
        "hidden_size": 4096,
        "layer_types": (["linear_attention"] * 3 + ["full_attention"]) * 15,
        "linear_conv_kernel_dim": 4,
        "linear_key_head_dim": 128,
        "linear_num_key_heads": 16,
        "linear_num_value_heads": 64,
        "linear_value_head_dim": 128,
        "max_position_embeddings": 262144,
        "moe_intermediate_size": 1024,
        "mtp_num_hidden_layers": 1,
        "num_attention_heads": 32,
        "num_experts": 512,
        "num_experts_per_tok": 10,
        "num_hidden_layers": 60,
        "num_key_value_heads": 2,
        "shared_expert_intermediate_size": 1024,
        "vocab_size": 248320,
    },
}
MIXTRAL: dict[str, Any] = {
    "model_type": "mixtral",
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "max_position_embeddings": 32768,
    "num_attention_heads": 32,
    "num_experts_per_tok": 2,
    "num_hidden_layers": 32,
    "num_key_value_heads": 8,
    "num_local_experts": 8,
    "sliding_window": None,
    "vocab_size": 32000,
}
DEEPSEEK_V3: dict[str, Any] = {
    "model_type": "deepseek_v3",
    "attention_bias": False,
    "first_k_dense_replace": 3,
    "hidden_size": 7168,
    "intermediate_size": 18432,
    "kv_lora_rank": 512,
    "max_position_embeddings": 163840,
    "moe_intermediate_size": 2048,
    "moe_layer_freq": 1,
    "n_group": 8,
    "n_routed_experts": 256,
    "n_shared_experts": 1,
    "num_attention_heads": 128,
    "num_experts_per_tok": 8,
    "num_hidden_layers": 61,
    "num_key_value_heads": 128,
    "num_nextn_predict_layers": 1,
    "q_lora_rank": 1536,
    "qk_nope_head_dim": 128,
    "qk_rope_head_dim": 64,
    "tie_word_embeddings": False,
    "topk_group": 4,
    "v_head_dim": 128,
    "vocab_size": 129280,
}
DEEPSEEK_V32: dict[str, Any] = {
    **DEEPSEEK_V3,
    "model_type": "deepseek_v32",
    "index_head_dim": 128,
    "index_n_heads": 64,
    "index_topk": 2048,
}
KIMI_K2: dict[str, Any] = {
    **DEEPSEEK_V3,
    "model_type": "kimi_k2",
    "first_k_dense_replace": 1,
    "max_position_embeddings": 131072,
    "n_group": 1,
    "n_routed_experts": 384,
    "num_attention_heads": 64,
    "num_key_value_heads": 64,
    "num_nextn_predict_layers": 0,
    "topk_group": 1,
    "vocab_size": 163840,
}
KIMI_K25: dict[str, Any] = {"model_type": "kimi_k25", "text_config": {**KIMI_K2, "max_position_embeddings": 262144}}
GLM4_MOE: dict[str, Any] = {
    "model_type": "glm4_moe",
    "attention_bias": True,
    "first_k_dense_replace": 1,
    "head_dim": 128,
    "hidden_size": 4096,
    "intermediate_size": 10944,
    "max_position_embeddings": 131072,
    "moe_intermediate_size": 1408,
    "n_group": 1,
    "n_routed_experts": 128,
    "n_shared_experts": 1,
    "num_attention_heads": 96,
    "num_experts_per_tok": 8,
    "num_hidden_layers": 46,
    "num_key_value_heads": 8,
    "num_nextn_predict_layers": 1,
    "topk_group": 1,
    "use_qk_norm": False,
    "vocab_size": 151552,
}
GLM45: dict[str, Any] = {
    **GLM4_MOE,
    "first_k_dense_replace": 3,
    "hidden_size": 5120,
    "intermediate_size": 12288,
    "moe_intermediate_size": 1536,
    "n_routed_experts": 160,
    "num_hidden_layers": 92,
    "use_qk_norm": True,
}
GLM_DSA: dict[str, Any] = {
    "model_type": "glm_moe_dsa",
    "first_k_dense_replace": 3,
    "head_dim": 64,
    "hidden_size": 6144,
    "index_head_dim": 128,
    "index_n_heads": 32,
    "index_topk": 2048,
    "intermediate_size": 12288,
    "kv_lora_rank": 512,
    "max_position_embeddings": 202752,
    "moe_intermediate_size": 2048,
    "moe_layer_freq": 1,
    "n_group": 1,
    "n_routed_experts": 256,
    "n_shared_experts": 1,
    "num_attention_heads": 64,
    "num_experts_per_tok": 8,
    "num_hidden_layers": 78,
    "num_key_value_heads": 64,
    "num_nextn_predict_layers": 1,
    "q_lora_rank": 2048,
    "qk_nope_head_dim": 192,
    "qk_rope_head_dim": 64,
    "topk_group": 1,
    "v_head_dim": 256,
    "vocab_size": 154880,
}
GPT_OSS: dict[str, Any] = {
    "model_type": "gpt_oss",
    "attention_bias": True,
    "experts_per_token": 4,
    "head_dim": 64,
    "hidden_size": 2880,
    "intermediate_size": 2880,
    "layer_types": ["sliding_attention", "full_attention"] * 18,
    "max_position_embeddings": 131072,
    "num_attention_heads": 64,
    "num_experts_per_tok": 4,
    "num_hidden_layers": 36,
    "num_key_value_heads": 8,
    "num_local_experts": 128,
    "sliding_window": 128,
    "vocab_size": 201088,
}
MINIMAX_M2: dict[str, Any] = {
    "model_type": "minimax_m2",
    "head_dim": 128,
    "hidden_size": 3072,
    "intermediate_size": 1536,
    "max_position_embeddings": 196608,
    "mtp_transformer_layers": 1,
    "num_attention_heads": 48,
    "num_experts_per_tok": 8,
    "num_hidden_layers": 62,
    "num_key_value_heads": 8,
    "num_local_experts": 256,
    "num_mtp_modules": 3,
    "shared_intermediate_size": 0,
    "use_mtp": True,
    "use_qk_norm": True,
    "vocab_size": 200064,
}
MIMO: dict[str, Any] = {
    "model_type": "mimo_v2_flash",
    "add_full_attention_sink_bias": False,
    "add_swa_attention_sink_bias": True,
    "head_dim": 192,
    "hidden_size": 4096,
    "hybrid_layer_pattern": [0, 1, 1, 1, 1] + [0, 1, 1, 1, 1, 1] * 7 + [0],
    "intermediate_size": 16384,
    "max_position_embeddings": 262144,
    "moe_intermediate_size": 2048,
    "moe_layer_freq": [0] + [1] * 47,
    "n_group": 1,
    "n_routed_experts": 256,
    "n_shared_experts": None,
    "num_attention_heads": 64,
    "num_experts_per_tok": 8,
    "num_hidden_layers": 48,
    "num_key_value_heads": 4,
    "sliding_window": 128,
    "swa_head_dim": 192,
    "swa_num_attention_heads": 64,
    "swa_num_key_value_heads": 8,
    "swa_v_head_dim": 128,
    "topk_group": 1,
    "v_head_dim": 128,
    "vocab_size": 152576,
}
PANGU_ULTRA: dict[str, Any] = {
    "model_type": "pangu_ultra_moe",
    "attention_kv_lora_dim": 512,
    "attention_q_lora_dim": 1536,
    "attention_qk_dim": 128,
    "attention_qk_rope_dim": 64,
    "attention_v_dim": 128,
    "hidden_size": 7680,
    "intermediate_size": 18432,
    "max_position_embeddings": 131072,
    "moe_intermediate_size": 2048,
    "num_attention_heads": 128,
    "num_dense_layers": 3,
    "num_experts_per_tok": 8,
    "num_hidden_layers": 61,
    "num_mtp_layers": 1,
    "num_routed_experts": 256,
    "num_shared_experts": 1,
    "sandwich_norm": True,
    "vocab_size": 153600,
}
PANGU_PRO: dict[str, Any] = {
    "model_type": "PanguProMoE",
    "hidden_size": 5120,
    "max_position_embeddings": 131072,
    "moe_intermediate_size": 1344,
    "num_attention_heads": 40,
    "num_experts": 64,
    "num_experts_per_tok": 8,
    "num_hidden_layers": 48,
    "num_key_value_heads": 8,
    "shared_expert_intermediate_size": 5376,
    "vocab_size": 153376,
}
GPT2: dict[str, Any] = {
    "model_type": "gpt2",
    "n_embd": 12288,
    "n_head": 96,
    "n_inner": None,
    "n_layer": 96,
    "n_positions": 2048,
    "vocab_size": 51200,
}

SAME = {
    "deepseek-v3": DEEPSEEK_V3,
    "deepseek-v3.2": DEEPSEEK_V32,
    "glm-4.5": GLM45,
    "glm-4.5-air": GLM4_MOE,
    "glm-5": GLM_DSA,
    "gpt-oss-120b": GPT_OSS,
    "gpt3-175b": GPT2,
    "kimi-k2": KIMI_K2,
    "kimi-k2.5": KIMI_K25,
    "llama-3.1-8b": LLAMA,
    "llama-4-maverick": LLAMA4,
    "mimo-v2-flash": MIMO,
    "minimax-m2.5": MINIMAX_M2,
    "mixtral-8x7b": MIXTRAL,
    "pangu-pro-moe-72b": PANGU_PRO,
    "pangu-ultra-moe-718b": PANGU_ULTRA,
    "qwen3-235b-a22b": QWEN3_MOE,
    "qwen3-32b": QWEN3,
    "qwen3.5-397b-a17b": QWEN3_5_MOE,
}


def shapes(spec: ModelSpec) -> ModelSpec:
    """Leave out what is no shape."""
    return replace(
        spec, id="", version="", name="", org="", published=PublishedSize(), aliases=(), note="", source="", kind=""
    )


def without(config: dict[str, Any], *names: str) -> dict[str, Any]:
    return {key: value for key, value in config.items() if key not in names}


@pytest.mark.parametrize("name", sorted(SAME))
def test_a_config_gives_the_shipped_model(name: str) -> None:
    assert shapes(spec_from_config(SAME[name], f"org/{name}")) == shapes(Catalogue().model(name))


def test_names_come_from_the_repository() -> None:
    spec = spec_from_config(LLAMA, "meta-llama/Llama-3.1-8B")
    assert (spec.id, spec.name, spec.org) == ("llama-3.1-8b", "Llama-3.1-8B", "meta-llama")


def test_head_dim_is_hidden_over_heads_where_it_is_absent_and_itself_where_it_is_not() -> None:
    absent, present = spec_from_config(LLAMA, "llama"), spec_from_config(QWEN3, "qwen")
    heads = [spec.layers[0].attention for spec in (absent, present)]
    assert [attention.head_dim for attention in heads if isinstance(attention, GroupedQueryAttention)] == [128, 128]


@pytest.mark.parametrize("name", ["n_routed_experts", "num_experts", "num_local_experts", "num_routed_experts"])
def test_every_name_of_the_expert_count(name: str) -> None:
    ffn = spec_from_config({**without(QWEN3_MOE, "num_experts"), name: 64}, "moe").layers[0].ffn
    assert isinstance(ffn, MixtureOfExperts)
    assert ffn.experts_count == 64


def test_dense_layers_of_a_qwen_mixture() -> None:
    spec = spec_from_config({**QWEN3_MOE, "mlp_only_layers": [0, 5]}, "moe")
    assert {type(group.ffn): group.count for group in spec.layers} == {DenseFeedForward: 2, MixtureOfExperts: 92}


def test_dense_layers_by_kind_and_shared_indexers() -> None:
    """GLM-5.2: of 78 layers the first three are dense, and 57 reuse the keys that an earlier one selected."""
    indexers = ["full"] * 3 + ["shared"] * 3 + (["full"] + ["shared"] * 3) * 18
    config = {
        **without(GLM_DSA, "first_k_dense_replace"),
        "mlp_layer_types": ["dense"] * 3 + ["sparse"] * 75,
        "indexer_types": indexers,
    }
    spec = spec_from_config(config, "glm-5.2")
    reused = [
        group
        for group in spec.layers
        if isinstance(group.attention, LatentAttention) and not group.attention.indexer_heads_count
    ]
    assert sum(group.count for group in reused) == 57
    assert spec.layers[0].count == 3
    assert count_parameters(spec).total / 1e9 == pytest.approx(743.38, abs=0.006)


def test_latent_attention_without_query_compression() -> None:
    attention = spec_from_config({**DEEPSEEK_V3, "q_lora_rank": None}, "lite").layers[0].attention
    assert isinstance(attention, LatentAttention)
    assert attention.q_lora_rank == 0


def test_windows_are_used_only_where_the_file_says_so() -> None:
    unused = {**QWEN3, "sliding_window": 4096, "use_sliding_window": False}
    used = {**QWEN3, "sliding_window": 4096, "use_sliding_window": True, "max_window_layers": 60}
    assert len(spec_from_config(unused, "qwen").layers) == 1
    assert [group.count for group in spec_from_config(used, "qwen").layers] == [60, 4]
    mistral = (
        spec_from_config({**LLAMA, "model_type": "mistral", "sliding_window": 4096}, "mistral").layers[0].attention
    )
    assert isinstance(mistral, GroupedQueryAttention)
    assert mistral.window_count == 4096


def test_gpt_oss_takes_turns_without_being_told() -> None:
    spec = spec_from_config(without(GPT_OSS, "layer_types"), "gpt-oss")
    assert shapes(spec) == shapes(spec_from_config(GPT_OSS, "gpt-oss"))


def test_linear_layers_without_a_list_of_kinds() -> None:
    text = without(QWEN3_5_MOE["text_config"], "layer_types")
    spec = spec_from_config({**QWEN3_5_MOE, "text_config": text}, "qwen")
    assert [group.count for group in spec.layers if isinstance(group.attention, LinearAttention)] == [45]


def test_a_dense_qwen3_5_and_a_qwen2_with_experts() -> None:
    text = {
        **without(QWEN3_5_MOE["text_config"], "num_experts"),
        "model_type": "qwen3_5_text",
        "intermediate_size": 9216,
    }
    dense = spec_from_config(text, "qwen")
    assert all(isinstance(group.ffn, DenseFeedForward) for group in dense.layers)
    moe = spec_from_config(
        {**QWEN3_MOE, "model_type": "qwen2_moe", "shared_expert_intermediate_size": 20480}, "qwen"
    ).layers[0]
    assert isinstance(moe.ffn, MixtureOfExperts)
    assert moe.ffn.shared_gate
    assert isinstance(moe.attention, GroupedQueryAttention)
    assert moe.attention.qkv_bias


def test_qwen2_and_gpt_neox() -> None:
    qwen = spec_from_config({**LLAMA, "model_type": "qwen2"}, "qwen").layers[0].attention
    assert isinstance(qwen, GroupedQueryAttention)
    assert (qwen.qkv_bias, qwen.out_bias) == (True, False)
    # EleutherAI/gpt-neox-20b: 20.55e9 weights (arXiv 2204.06745, table 1)
    neox = {
        "model_type": "gpt_neox",
        "hidden_size": 6144,
        "intermediate_size": 24576,
        "max_position_embeddings": 2048,
        "num_attention_heads": 64,
        "num_hidden_layers": 44,
        "tie_word_embeddings": False,
        "vocab_size": 50432,
    }
    assert count_parameters(spec_from_config(neox, "gpt-neox-20b")).total == pytest.approx(20.55e9, rel=1e-3)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({}, ["model_type: found None", "supported: deepseek_v2"]),
        ({"model_type": "deepseek_v9"}, ["found 'deepseek_v9'", "did you mean 'deepseek_v"]),
        ({"model_type": 3}, ["model_type: found 3"]),
        ({"text_config": 3}, ["text_config: found 3, expected an object"]),
        (without(LLAMA, "hidden_size"), ["hidden_size: found nothing, expected an integer"]),
        ({**without(LLAMA, "vocab_size"), "vocabsize": 1}, ["vocab_size: found nothing", "did you mean 'vocabsize'"]),
        ({**LLAMA, "hidden_size": "4096"}, ["hidden_size: found '4096', expected an integer"]),
        ({**LLAMA, "hidden_size": True}, ["hidden_size: found True"]),
        ({**LLAMA, "num_hidden_layers": -1}, ["num_hidden_layers: found -1"]),
        ({**LLAMA, "num_hidden_layers": 0}, ["expected at least one layer"]),
        ({**LLAMA, "num_attention_heads": 33}, ["head_dim: found nothing, and 33 heads do not divide 4096"]),
        ({**LLAMA, "num_attention_heads": 0}, ["head_dim"]),
        ({**LLAMA, "attention_bias": 1}, ["attention_bias: found 1, expected true or false"]),
        ({**GPT_OSS, "layer_types": ["full_attention"] * 3}, ["layer_types: found 3 items, expected 36 items"]),
        (
            {**GPT_OSS, "layer_types": ["mamba"] * 36},
            ["layer_types: found 'mamba', expected sliding_attention or full_attention"],
        ),
        ({**GPT_OSS, "layer_types": "full"}, ["layer_types: found 'full'"]),
        (without(MIMO, "hybrid_layer_pattern"), ["hybrid_layer_pattern: found nothing, expected 48 items"]),
        (without(DEEPSEEK_V32, "index_topk"), ["index_topk: found nothing"]),
    ],
)
def test_a_bad_config_gives_one_clear_error(config: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(CatalogueError) as caught:
        spec_from_config(config, "org/model")
    assert str(caught.value).startswith("org/model: ")
    assert caught.value.hint or "text_config" in config
    for word in words:
        assert word in str(caught.value)


def test_every_family_is_listed_in_the_hint() -> None:
    with pytest.raises(CatalogueError) as caught:
        spec_from_config({"model_type": "mamba"}, "org/model")
    assert all(name in caught.value.hint for name in FAMILIES)


def test_reading_a_file_or_its_folder(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_text(json.dumps(LLAMA), encoding="utf-8")
    assert read_config(file) == read_config(tmp_path) == LLAMA


@pytest.mark.parametrize(
    ("text", "words"), [("{", "malformed JSON"), ("[]", "found a list, expected a JSON object"), (None, "cannot read")]
)
def test_a_file_that_is_no_config(tmp_path: Path, text: str | None, words: str) -> None:
    file = tmp_path / "config.json"
    if text is not None:
        file.write_text(text, encoding="utf-8")
    with pytest.raises(CatalogueError, match=words) as caught:
        read_config(file)
    assert caught.value.where == str(file)
