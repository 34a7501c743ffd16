"""What the words of a serving point mean."""

import pytest

from superpod.catalog.load import Catalogue
from superpod.errors import NoBasisError
from superpod.validate.deployment import (
    deployment_of,
    drafts_of,
    imbalance_of,
    layout_of,
    precision_of,
)
from superpod.validate.formats import meaning
from superpod.validate.point import point_of
from superpod.validate.run import predict_one
from superpod.validate.software import software_of

CATALOGUE = Catalogue()
DENSE, MOE = CATALOGUE.model("llama-3.1-70b"), CATALOGUE.model("deepseek-v3")


@pytest.mark.parametrize(
    ("words", "matmul", "weights", "cache"),
    [
        ("FP4 weights, FP8 KV cache", "fp4", 0.5625, 1.0),
        ("FP8 weights, FP8 KV cache", "fp8", 1.0, 1.0),
        ("FP8", "fp8", 1.0, 2.0),
        ("BF16", "bf16", 2.0, 2.0),
        ("bfloat16", "bf16", 2.0, 2.0),
        ("FP16", "bf16", 2.0, 2.0),
        ("INT8 W8A8 (BF16 where sensitive)", "int8", 1.0, 2.0),
        ("w8a8-fp8", "fp8", 1.0, 2.0),
        ("W4A8", "int8", 0.53125, 2.0),
        ("mxfp4", "bf16", 0.53125, 2.0),
        ("NVFP4", "fp4", 0.5625, 2.0),
    ],
)
def test_number_formats(words: str, matmul: str, weights: float, cache: float) -> None:
    found = precision_of({"quantisation": words}, DENSE)
    assert (found.matmul, found.weight_bytes, found.kv_bytes) == (matmul, weights, cache)


def test_a_format_may_mean_another_thing_in_training() -> None:
    assert (meaning("mxfp4", "training"), meaning("mxfp4", "serving")) == (("fp4", "block"), ("4-bit weights", ""))
    assert meaning("int4", "training") is None


def test_fp8_is_scaled_by_blocks_in_mixtures_only() -> None:
    assert precision_of({"quantisation": "FP8"}, MOE).scaling == "block"
    assert precision_of({"quantisation": "FP8"}, DENSE).scaling == "tensor"


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(NoBasisError, match="not stated"):
        precision_of({}, DENSE)


@pytest.mark.parametrize(
    ("engine", "software", "guess"),
    [
        ("2023 vLLM/transformers stack", "eager-2023", ""),
        ("TGI 1.2", "eager-2023", ""),
        ("TensorRT-LLM v1.0, PyTorch backend", "tensorrt-llm-1", ""),
        ("trtllm 1.2", "tensorrt-llm-1", ""),
        ("TensorRT-LLM 0.9", "tensorrt-llm-1", "TensorRT-LLM 0.9 as tensorrt-llm-1"),
        ("TensorRT-LLM guide of 2023", "tensorrt-llm-1", "release of TensorRT-LLM not stated, as tensorrt-llm-1"),
        ("SGLang 0.5.9", "sglang-0.5", ""),
        ("SGLang 0.4.3", "sglang-0.5", "SGLang 0.4 as sglang-0.5"),
        ("SGLang on Ascend", "", "no entry of SGLang on Ascend"),
        ("vLLM 0.2.7", "eager-2023", ""),
        ("vLLM 0.5.3", "vllm-0.5", ""),
        ("vLLM 0.7", "vllm-1", "vLLM 0.7 as vllm-1"),
        ("vLLM 0.19.0", "vllm-1", ""),
        ("vLLM V1", "vllm-1", "vLLM 1.0 as vllm-1"),
        ("vLLM", "vllm-1", "release of vLLM not stated, as vllm-1"),
        ("vLLM on Ascend", "vllm-ascend", ""),
        ("LMDeploy", "", ""),
        ("", "", ""),
    ],
)
def test_releases_of_software(engine: str, software: str, guess: str) -> None:
    assert software_of({"engine": engine}, "H100") == (software, guess)
    if software:
        assert CATALOGUE.software(software).phase == "serving"


def test_a_release_may_stand_in_a_key_of_its_own() -> None:
    assert software_of({"engine": "vLLM", "engine_version": "v0.6.2"}, "H100") == ("vllm-0.5", "")


def test_a_machine_s_own_stack_where_no_engine_is_named() -> None:
    assert software_of({}, "CloudMatrix384 (Ascend 910C)") == ("cann-cloudmatrix", "")
    assert software_of({"engine": "vLLM 0.9"}, "CloudMatrix384 (Ascend 910C)") == ("vllm-1", "")


def test_experts_spread_over_attention_groups() -> None:
    found = layout_of({"tp": 8, "attn_dp": 8, "ep": 8}, MOE, 8.0)
    assert (found.tensor, found.data, found.expert, found.expert_tensor) == (1.0, 8.0, 8.0, 1.0)


def test_experts_split_like_dense_layers() -> None:
    found = layout_of({"tp": 4, "moe_tp": 4, "moe_ep": 1}, MOE, 4.0)
    assert (found.tensor, found.data, found.expert, found.expert_tensor) == (4.0, 1.0, 1.0, 4.0)


def test_experts_partly_spread_partly_split() -> None:
    found = layout_of({"tp": 8, "moe_tp": 2, "moe_ep": 4}, MOE, 8.0)
    assert (found.tensor, found.expert, found.expert_tensor) == (8.0, 4.0, 2.0)


def test_degrees_in_words() -> None:
    found = layout_of({"deployment": "decode pool; 160 NPUs, EP320 (one expert per die)"}, MOE, 320.0)
    assert (found.tensor, found.data, found.expert) == (1.0, 320.0, 320.0)


def test_replicas_of_dense_models_are_instances_of_their_own() -> None:
    found = deployment_of({"tp": 2, "dp": 4, "isl": 100, "osl": 10, "concurrency": 64}, DENSE, 8.0, 1.0)
    assert found.instances_count == 4.0
    assert found.held_count == 16.0


def test_a_missing_degree_or_length_is_refused() -> None:
    with pytest.raises(NoBasisError, match="tensor"):
        layout_of({}, DENSE, 8.0)
    with pytest.raises(NoBasisError, match="prompt"):
        deployment_of({"tp": 8}, DENSE, 8.0, 1.0)


def test_batch_of_a_package_of_two_dies() -> None:
    config = {"deployment": "decode pool, EP320", "isl": 4096, "osl": 256, "batch_per_npu": 96}
    assert deployment_of(config, MOE, 320.0, 2.0).held_count == 48.0


def test_drafts() -> None:
    assert drafts_of({"mtp": "1 draft token, 70% acceptance assumed"}) == (1, 0.7)
    assert drafts_of({"mtp": "none"}) == (0, 0.7)
    with pytest.raises(NoBasisError, match="acceptance"):
        drafts_of({"speculative": True})


@pytest.mark.parametrize(
    ("words", "ratio", "source"),
    [
        ("", 1.0, ""),
        ("perfect EPLB", 1.0, ""),
        ("forced balance", 1.0, ""),
        ("default EPLB", 1.18, "trtllm-large-ep"),
        ("EPLB, in-distribution", 1.18, "trtllm-large-ep"),
        ("no EPLB", 2.16, "trtllm-large-ep"),
        ("none", 2.16, "trtllm-large-ep"),
        ("not balanced", 2.16, "trtllm-large-ep"),
    ],
)
def test_balance(words: str, ratio: float, source: str) -> None:
    found, borrowed = imbalance_of({"balance": words})
    assert found == pytest.approx(ratio)
    assert borrowed.endswith(f"borrowed from {source}") if source else not borrowed


def test_balance_in_other_words_is_refused() -> None:
    with pytest.raises(NoBasisError, match="good enough"):
        imbalance_of({"balance": "good enough"})


def test_a_prediction_says_what_it_borrows_and_guesses() -> None:
    config = {"deployment": "decode pool, EP32", "isl": 4096, "osl": 256, "batch_per_gpu": 32, "quantisation": "FP8"}
    tree = {
        "id": "x",
        "kind": "inference",
        "source": {"title": "A note of nobody"},
        "hardware": "HGX H800",
        "chips": 32,
        "model": {"name": "DeepSeek-V3"},
        "metric": {"name": "tpot_ms", "value": 50.0, "unit": "ms"},
    }
    plain, uneven = (
        predict_one(
            CATALOGUE, point_of({**tree, "config": {**config, **more}, "notes": "no skew, not unbalanced"}, "x")
        )
        for more in ({}, {"balance": "default EPLB", "engine": "SGLang 0.4"})
    )
    assert plain[0].basis == "hgx-h800, fp8, nvidia-hopper"
    assert uneven[0].basis.endswith("rank 1.18 borrowed from trtllm-large-ep, SGLang 0.4 as sglang-0.5")
    assert uneven[0].predicted is not None
    assert plain[0].predicted is not None
