"""Points are read strictly, and what cannot be predicted says why."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from superpod.catalog.load import Catalogue
from superpod.catalog.model_spec import GroupedQueryAttention, LatentAttention, MixtureOfExperts
from superpod.errors import MeasurementError, NoBasisError
from superpod.validate.hardware import catalogue_at, place_of
from superpod.validate.model import model_of
from superpod.validate.point import Point, point_of, read_points
from superpod.validate.run import predict_one

CATALOGUE = Catalogue()
DENSE: Mapping[str, Any] = {
    "name": "nobody's 22B",
    "type": "dense",
    "layers": 48,
    "hidden": 6144,
    "heads": 64,
    "kv_heads": 64,
    "head_dim": 96,
    "ffn": 24576,
    "act": "gelu",
    "vocab": 51200,
}
CONFIG: Mapping[str, Any] = {
    "seq": 2048,
    "gbs": 4,
    "mbs": 4,
    "precision": "fp16",
    "tp": 8,
    "pp": 1,
    "dp": 1,
    "recompute": "full",
    "overlap": "none",
}


def tree(**changes: Any) -> dict[str, Any]:
    """A point of a source that no table of the project knows."""
    return {
        "id": "x-1",
        "kind": "training",
        "source": {"title": "A note of nobody", "url": "https://example.org", "table": "1"},
        "hardware": "8x A100-80GB",
        "chips": 8,
        "model": DENSE,
        "config": CONFIG,
        "metric": {"name": "step_time", "value": 1420, "unit": "ms"},
        "complete": True,
        **changes,
    }


def made(**changes: Any) -> Point:
    return point_of(tree(**changes), "test:1")


def config(**changes: Any) -> dict[str, Any]:
    return {key: value for key, value in {**CONFIG, **changes}.items() if value is not None}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "not JSON"),
        ("[1]", "expected an object"),
        (json.dumps({**tree(), "kind": "guess"}), "kind: found 'guess'"),
        (json.dumps({**tree(), "metric": {"name": "step_time", "value": -1}}), "metric.value: found -1"),
        (json.dumps({**tree(), "metric": {"name": "step_time", "value": "2"}}), "metric.value: found '2'"),
        (json.dumps({**tree(), "chips": 0}), "chips: found 0"),
        (json.dumps({**tree(), "complete": "yes"}), "complete: found 'yes'"),
        (json.dumps({key: value for key, value in tree().items() if key != "model"}), "model: found None"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str, said: str) -> None:
    path = tmp_path / "points.jsonl"
    path.write_text(json.dumps(tree()) + "\n" + line + "\n", encoding="utf-8")
    with pytest.raises(MeasurementError, match=said) as caught:
        read_points(path)
    assert caught.value.where == f"{path}:2"


def test_two_points_of_one_name_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "points.jsonl"
    path.write_text(f"{json.dumps(tree())}\n\n{json.dumps(tree())}\n", encoding="utf-8")
    with pytest.raises(MeasurementError, match="two points"):
        read_points(path)


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(MeasurementError, match="cannot be read"):
        read_points(tmp_path / "none.jsonl")


def test_an_unknown_source_is_predicted_from_its_own_words() -> None:
    (row,) = predict_one(CATALOGUE, made())
    assert row.predicted == pytest.approx(1.42, rel=0.1)
    assert row.measured == 1.42
    assert row.chip == "a100-sxm-80gb"


def test_keys_that_are_not_known_do_no_harm() -> None:
    extra = made(
        model={**DENSE, "colour": "blue"}, config=config(weather="fine", container=None), also={"mood": "good"}
    )
    assert predict_one(CATALOGUE, extra)[0].predicted == predict_one(CATALOGUE, made())[0].predicted


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"hardware": "abacus"}, "no pod of the catalogue for 'abacus'"),
        ({"chips": "not stated"}, "number of chips is not stated"),
        ({"model": {"name": "unheard-of"}}, "no shapes of the model"),
        ({"model": {**DENSE, "vocab": None}}, "vocab is None"),
        ({"model": {**DENSE, "act": "sine"}}, "activation 'sine'"),
        ({"config": config(mbs=None)}, "no micro-batch size"),
        ({"config": config(gbs=None, dp=None)}, "no global batch"),
        ({"config": config(seq=None)}, "no sequence length"),
        ({"config": config(precision=None)}, "number format 'not stated'"),
        ({"config": config(recompute="not stated")}, "recompute policy not stated"),
        ({"config": config(dp=3)}, "TP x CP x PP x DP is 24 on 8 ranks"),
        ({"config": config(tp=2, pp=4, schedule="interleaved 1F1B")}, "no interleaving degree"),
        ({"metric": {"name": "mfu", "value": 40, "unit": "%"}}, "without the source's peak"),
        ({"metric": {"name": "happiness", "value": 1, "unit": "s"}}, "no seconds of a step"),
        ({"complete": False, "missing": ["the batch"]}, "incomplete: the batch"),
        ({"kind": "operator", "config": {"op": "sorting"}}, "no model of the operator 'sorting'"),
        ({"kind": "operator", "config": {"op": "GEMM", "dtype": "BF16"}}, "shape not stated"),
        ({"kind": "collective", "config": {}}, "in its configuration"),
        ({"kind": "inference", "config": {}}, ""),
    ],
)
def test_what_is_not_predicted_says_why(changes: Mapping[str, Any], said: str) -> None:
    (row,) = predict_one(CATALOGUE, made(**changes))
    assert row.predicted is None
    assert row.reason
    assert said in row.reason


@pytest.mark.parametrize(
    ("metric", "value", "unit"),
    [
        ("iteration_time", 1.42, "s"),
        ("tokens_per_s_per_gpu", 4 * 2048 / (8 * 1.42), "tokens/s/GPU"),
        ("tokens_per_s", 4 * 2048 / 1.42, "tokens/s"),
        ("sequences_per_s", 4 / 1.42, "sequences/s"),
        ("samples_per_s_per_gpu", 4 / (8 * 1.42), "samples/s/GPU"),
    ],
)
def test_every_metric_becomes_seconds_of_a_step(metric: str, value: float, unit: str) -> None:
    (row,) = predict_one(CATALOGUE, made(metric={"name": metric, "value": value, "unit": unit}))
    assert row.measured == pytest.approx(1.42)


def test_the_batch_follows_from_micro_batches() -> None:
    (row,) = predict_one(CATALOGUE, made(config=config(gbs=None, dp=1, mbs=2, grad_accum=2)))
    (whole,) = predict_one(CATALOGUE, made(config=config(mbs=2)))
    assert row.predicted == whole.predicted


def test_shares_of_peak_go_through_the_sources_own_peak() -> None:
    (tera,) = predict_one(CATALOGUE, made(metric={"name": "model_tflops_per_gpu", "value": 156, "unit": "TFLOP/s/GPU"}))
    (share,) = predict_one(CATALOGUE, made(metric={"name": "mfu", "value": 50, "unit": "% of 312 TFLOP/s"}))
    assert tera.measured == pytest.approx(share.measured)


def test_hardware_flop_of_a_gpt_are_those_of_its_formula() -> None:
    """96 B s l h^2 (1 + s/6h + V/16lh) over chips, rate (arXiv 2104.04473)."""
    (row,) = predict_one(
        CATALOGUE, made(metric={"name": "hardware_tflops_per_gpu", "value": 140, "unit": "TFLOP/s/GPU"})
    )
    work = 96 * 4 * 2048 * 48 * 6144**2 * (1 + 2048 / (6 * 6144) + 51200 / (16 * 48 * 6144))
    assert row.measured == pytest.approx(work / (8 * 140e12))


def test_peak_memory_is_a_number_of_its_own() -> None:
    rows = predict_one(CATALOGUE, made(also={"peak_memory_gib": 60.0}))
    assert [row.what for row in rows] == ["step", "memory"]
    assert rows[1].measured == 60.0 * 2**30


@pytest.mark.parametrize(
    ("hardware", "chips", "pod", "cards", "network"),
    [
        ("A100-40GB, 1600 Gb/s RoCE per node", 16, "hgx-a100-40gb", 16, 25e9),
        ("A100-80GB, 8/node NVLink, 800 Gb/s IB per node", 64, "hgx-a100", 64, 12.5e9),
        ("DGX H100 (8x H100-80GB NVLink, 8x400 Gb/s IB per node)", 8, "hgx-h100", 8, 50e9),
        ("H800/H100 CX7", 8, "hgx-h100", 8, None),
        ("H100 96GB HBM2e, 500 W", 8, "hgx-h100-96gb", 8, None),
        ("H100 96 GB, HBM2e", 8, "hgx-h100-96gb", 8, None),
        ("A100-80GB, 4x100 Gb/s Omni-Path per node", 8, "hgx-a100", 8, 6.25e9),
        ("GB200 NVL72 (4 GPU/node)", 64, "gb200-nvl72", 64, None),
        ("gb300", 72, "gb300-nvl72", 72, None),
        ("b200_sxm", 8, "hgx-b200", 8, None),
        ("Atlas A3 (Ascend 910C; count is dies, 2 per NPU)", 16, "cloudmatrix384", 8, None),
        ("CloudMatrix384 (Ascend 910C, 2 dies per NPU, UB fabric)", 16, "cloudmatrix384", 16, None),
        ("Atlas A2 (Ascend 910B)", 8, "atlas-a2-8", 8, None),
        ("8xMI325X 2xEPYC", 8, "mi325x-8", 8, None),
        ("RTX PRO 6000 Blackwell 96GB", 1, "rtx-pro-6000-8", 1, None),
        ("NVIDIA L40S", 4, "l40s-8", 4, None),
    ],
)
def test_hardware_words_mean_pods(hardware: str, chips: float, pod: str, cards: float, network: float | None) -> None:
    place = place_of(CATALOGUE, hardware, chips)
    assert (place.pod, place.cards, place.network_bytes_per_s) == (pod, cards, network)


def test_a_printed_network_replaces_the_pods() -> None:
    place = place_of(CATALOGUE, "A100-80GB, 800 Gb/s IB per node", 64)
    scale_out = catalogue_at(CATALOGUE, place).pod(place.pod).scale_out
    assert scale_out is not None
    assert scale_out.bandwidth_bytes_per_s == 12.5e9


def test_mixtures_latent_attention_and_windows_are_read() -> None:
    moe = {
        **DENSE,
        "act": "swiglu",
        "experts": 64,
        "top_k": 4,
        "moe_ffn": 1024,
        "shared_experts": 2,
        "dense_layers": 1,
        "attention": "MLA",
        "mla": {"q_lora": 1536, "kv_lora": 512, "qk_nope": 128, "qk_rope": 64, "v_head": 128},
    }
    first, rest = model_of(CATALOGUE, moe).layers
    assert (first.count, rest.count) == (1, 47)
    assert isinstance(rest.attention, LatentAttention)
    assert isinstance(rest.ffn, MixtureOfExperts)
    assert rest.ffn.shared_width_count == 2048
    windowed, whole = model_of(CATALOGUE, {**DENSE, "attention": "alternating full / sliding-window 128"}).layers
    assert isinstance(windowed.attention, GroupedQueryAttention)
    assert isinstance(whole.attention, GroupedQueryAttention)
    assert (windowed.attention.window_count, whole.attention.window_count) == (128, 0)


def test_a_name_alone_is_looked_up() -> None:
    assert model_of(CATALOGUE, {"name": "Qwen/Qwen3-32B"}).id == "qwen3-32b"
    assert model_of(CATALOGUE, {"name": "DeepSeek-V3/R1"}).id == "deepseek-v3"
    with pytest.raises(NoBasisError):
        model_of(CATALOGUE, {"name": "unnamed"})
