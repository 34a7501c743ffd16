"""How words of a training source become a layout and a framework."""

from dataclasses import replace

import pytest

from superpod.catalog.load import Catalogue
from superpod.validate.hardware import place_of
from superpod.validate.model import model_of
from superpod.validate.point import Point
from superpod.validate.software import trainer
from superpod.validate.training_layout import layout_of
from superpod.workload.build import layer
from superpod.workload.phase import Partition, training_phase
from superpod.workload.precision import PRECISIONS

CATALOGUE = Catalogue()
POINT = Point(
    id="p",
    kind="training",
    title="A paper",
    url="",
    table="",
    hardware="H100",
    chips=64.0,
    model={},
    config={"tp": 4, "pp": 2, "dp": 8, "mbs": 1, "overlap": "none"},
    metric="step_time",
    value=1.0,
    unit="s",
    evidence="",
    complete=True,
)
DENSE = CATALOGUE.model("llama-3.1-70b")
MOE = CATALOGUE.model("qwen3-235b-a22b")


def worded(overlap: str) -> Point:
    return replace(POINT, config={**POINT.config, "overlap": overlap})


@pytest.mark.parametrize(
    ("overlap", "kind"),
    [
        ("TP user-buffer overlap, DP grad/param overlap; bf16 grad reduce", "ring"),
        ("no recompute, TP/DP/PP overlap", "ring"),
        ("DP grad/param overlap, PP p2p overlap; no TP user-buffer overlap", "none"),
        ("none (all communication exposed)", "none"),
    ],
)
def test_tensor_overlap_is_what_a_source_states(overlap: str, kind: str) -> None:
    assert layout_of(worded(overlap), DENSE, 64.0, old_kernels=False).tensor_overlap == kind


def test_gradients_travel_in_the_stated_width() -> None:
    stated = worded("DP grad/param overlap; bf16 grad reduce")
    assert layout_of(stated, DENSE, 64.0, old_kernels=False).gradient_bytes == 2.0
    assert layout_of(POINT, DENSE, 64.0, old_kernels=False).gradient_bytes == 4.0


def test_experts_are_cut_by_tensor_ranks_where_nothing_else_is_said() -> None:
    config = {**POINT.config, "ep": 8}
    assert layout_of(replace(POINT, config=config), MOE, 64.0, old_kernels=False).expert_tensor == 4.0
    config["etp"] = 1
    assert layout_of(replace(POINT, config=config), MOE, 64.0, old_kernels=False).expert_tensor == 1.0


def test_frameworks_are_known_by_title_table_and_model() -> None:
    title = "MosaicML llm-foundry training benchmarks"
    assert trainer(title, "H100 80GB BF16 (Large Scale, >= 128 GPUs)", "MPT-7b").software == "llm-foundry-0.5"
    assert trainer(title, "H100 80GB BF16 (Large Scale, >= 128 GPUs)", "MPT-13b").software == "llm-foundry-0.3"
    assert trainer(title, "A100 40GB with 1600 Gbps", "MPT-13b").software == "llm-foundry-0.1"
    assert trainer("Some paper", "", "GPT").software == ""


def test_a_title_may_name_a_server_of_its_own() -> None:
    own = place_of(CATALOGUE, "HGX B200, one 8-GPU node", 8.0, "SimuMax v1.2 B200 release table")
    assert own.pod == "hgx-b200-simumax"
    assert place_of(CATALOGUE, "HGX B200, one 8-GPU node", 8.0).pod == "hgx-b200"


def test_no_rotary_embedding_runs_where_positions_are_learned() -> None:
    shapes = {"name": "GPT 22B", "layers": 2, "hidden": 1024, "heads": 16, "ffn": 4096, "act": "gelu", "vocab": 50304}
    assert model_of(CATALOGUE, shapes).learned_positions
    assert not model_of(CATALOGUE, {**shapes, "name": "gpt-oss-like", "act": "swiglu"}).learned_positions
    phase = training_phase(1.0, 2048.0, 1.0, fused_attention=True)
    for name, learned in (("GPT 22B", True), ("Falcon", False)):
        spec = model_of(CATALOGUE, {**shapes, "name": name})
        work = layer(spec, spec.layers[0], phase, Partition(), PRECISIONS["bf16"])
        assert ("rope" not in {op.name for op in work.operators}) == learned
