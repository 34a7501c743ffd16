"""What is written is read back the same, for every framework, over random legal layouts."""

from dataclasses import fields, replace

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from superpod.catalog.load import Catalogue
from superpod.catalog.model_spec import MixtureOfExperts, ModelSpec
from superpod.errors import ScenarioError
from superpod.frameworks import FRAMEWORKS, exported, recognise
from superpod.frameworks.stage_layout import chunk_layers
from superpod.parallel.layout import MODULES, OFFLOAD, ORDERS, OVERLAP, RECOMPUTE, TENSOR_OVERLAP, Layout, legal
from superpod.plan.scenario import Training

SPECS = {name: Catalogue().model(name) for name in ("llama-3.1-405b", "deepseek-v3", "qwen3-235b-a22b")}
SUFFIX = {"torchtitan": ".toml", "bridge": ".yaml", "mindspeed": ".sh", "megatron": ".sh"}
SHAPES = [
    item.name
    for item in fields(ModelSpec)
    if item.name
    in {"hidden_count", "vocab_count", "context_max_count", "layers", "tied_embeddings", "learned_positions"}
]


def heads(spec: ModelSpec) -> float:
    return min(group.attention.heads_count for group in spec.layers)


def experts(spec: ModelSpec) -> float:
    return max((group.ffn.experts_count for group in spec.layers if isinstance(group.ffn, MixtureOfExperts)), default=1)


powers = st.sampled_from([1.0, 2.0, 4.0, 8.0])
modules = st.lists(st.sampled_from(MODULES), min_size=1, unique=True).map(
    lambda chosen: "+".join(module for module in MODULES if module in chosen)
)
moved = st.lists(st.sampled_from(OFFLOAD[1:]), unique=True).map(
    lambda chosen: "+".join(part for part in OFFLOAD if part in chosen) or "none"
)


@st.composite
def layouts(draw: st.DrawFn) -> tuple[ModelSpec, Layout, Training]:
    """Return a model, a legal layout in its plainest form (fields that make no difference are at their default)."""
    spec = SPECS[draw(st.sampled_from(sorted(SPECS)))]
    tensor, context, pipeline, data = (draw(powers) for _ in range(4))
    routed = experts(spec) > 1
    schedule = draw(st.sampled_from(["1f1b", "1f1b", "gpipe", "zb-v", "dualpipev"])) if pipeline > 1 else "1f1b"
    folded = schedule in {"zb-v", "dualpipev"}
    expert = draw(st.sampled_from([1.0, 8.0, 16.0])) if routed else 1.0
    shared = draw(st.booleans()) if tensor > 1 else True
    ranks = data * context
    layout = Layout(
        tensor=tensor,
        context=context,
        pipeline=pipeline,
        virtual=2.0 if folded else draw(st.sampled_from([1.0, 2.0, 3.0])) if pipeline > 1 else 1.0,
        data=data,
        expert=expert,
        expert_tensor=draw(st.sampled_from([1.0, tensor])) if routed else 1.0,
        micro_batch=draw(st.sampled_from([1.0, 2.0])),
        shard=draw(st.sampled_from([0.0, ranks / 2])) if ranks > 2 else 0.0,
        gradient_bytes=draw(st.sampled_from([4.0, 4.0, 2.0])),
        zero=draw(st.sampled_from(["0", "1", "2", "3"])),
        recompute=draw(st.sampled_from(RECOMPUTE) | modules),
        schedule=schedule,
        split=draw(st.sampled_from(["even", "counted"])) if pipeline > 1 else "even",
        overlap=draw(st.sampled_from(OVERLAP)),
        tensor_overlap=draw(st.sampled_from(TENSOR_OVERLAP)),
        context_kind=draw(st.sampled_from(["ring", "ulysses"])) if context > 1 else "ring",
        offload=draw(st.just("none") | moved),
        order=draw(st.sampled_from(ORDERS)),
        sequence_parallel=shared,
        scatter_gather=shared,
        fused_attention=draw(st.sampled_from([True, True, False])),
    )
    assume(legal(layout, heads=heads(spec), layers=spec.layers_count, experts=experts(spec)))
    batch = int(layout.micro_batch * data) * draw(st.sampled_from([1, 16, 64]))
    even, counted = (chunk_layers(spec.layers_count, replace(layout, split=split)) for split in ("even", "counted"))
    assume(even != counted or layout.split == "even")
    return (
        spec,
        layout,
        Training(
            batch_sequences=batch,
            sequence_tokens=draw(st.sampled_from([4096, 32768])),
            mtp_layers=draw(st.sampled_from([0, 0, 1])),
        ),
    )


# What to fall back on where a framework names a field that it cannot express.
EASY: dict[str, dict[str, object]] = {
    "torchtitan": {"zero": "3", "overlap": "data", "expert": 8.0},
    "megatron": {},
    "bridge": {},
    "mindspeed": {"overlap": "none"},
}


def written(
    name: str, spec: ModelSpec, layout: Layout, work: Training, precision: str
) -> tuple[str, Layout, Training, str]:
    """Return the text, and what of the question had to give way: each refusal names one field and what is supported."""
    for _ in range(20):
        try:
            return exported(name, layout, work, precision=precision, model=spec), layout, work, precision
        except ScenarioError as error:
            refusal = error
        assert "supports" in refusal.message
        assert refusal.where == f"export to {name}"
        assert refusal.hint
        field = refusal.message.split()[0].rstrip(":")
        easy = EASY[name].get(field, getattr(Layout(), field, None))
        if field == "precision":
            precision = "bf16"
        elif field == "batch":
            work = replace(work, batch_sequences=int(layout.data * layout.micro_batch) * 16)
        elif field == "mtp_layers":
            work = replace(work, mtp_layers=0)
        elif field == "gradient_bytes":
            layout = replace(layout, gradient_bytes=2.0 if precision == "fp16" else 4.0)
        elif getattr(layout, field) == easy:
            layout = replace(layout, schedule="1f1b", zero="1" if name != "torchtitan" else "3")
            layout = layout if field not in {"zero", "schedule"} else replace(layout, data=2.0, pipeline=1.0)
        else:
            layout = replace(layout, **{field: easy})
        layout = plainest(layout, spec)
    assume(False)
    raise AssertionError


def plainest(layout: Layout, spec: ModelSpec) -> Layout:
    """Return a layout with fields at their default that make no difference, such as chunks of a single stage."""
    if layout.pipeline == 1.0:
        layout = replace(layout, virtual=1.0, schedule="1f1b", split="even")
    if layout.schedule in {"zb-v", "dualpipev"}:
        layout = replace(layout, virtual=2.0)
    even, counted = (chunk_layers(spec.layers_count, replace(layout, split=split)) for split in ("even", "counted"))
    split = "even" if even == counted else layout.split
    shared = layout.sequence_parallel if layout.tensor > 1.0 else True
    ranks = layout.data * layout.context
    return replace(
        layout,
        split=split,
        shard=layout.shard if ranks % max(layout.shard, 1.0) == 0 and layout.shard < ranks else 0.0,
        context_kind=layout.context_kind if layout.context > 1.0 else "ring",
        sequence_parallel=shared,
        scatter_gather=shared,
    )


@pytest.mark.parametrize("name", FRAMEWORKS)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(case=layouts(), precision=st.sampled_from(["bf16", "bf16", "fp8", "fp16", "fp4", "int8"]))
def test_what_is_written_is_read_back(name: str, case: tuple[ModelSpec, Layout, Training], precision: str) -> None:
    spec = case[0]
    text, layout, work, precision = written(name, *case, precision)
    assert recognise(text, SUFFIX[name]) == name
    found = FRAMEWORKS[name].read(text, "file")
    assert Layout(**found.fixed) == layout
    assert (found.batch_sequences, found.sequence_tokens) == (work.batch_sequences, work.sequence_tokens)
    assert (found.mtp_layers or 0) == work.mtp_layers
    assert found.precision == precision
    assert found.cards_count == int(layout.ranks_count)
    assert found.model is not None
    assert not found.missing
    for shape in SHAPES:
        assert getattr(found.model, shape) == getattr(spec, shape)
    assert not [note for note in found.unread if not note.startswith("--no-gradient-accum")]


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_the_plainest_search_result_can_be_written(name: str) -> None:
    """What each framework is mostly used for goes through: the property above holds of something."""
    work = Training(batch_sequences=512, sequence_tokens=4096)
    for spec in SPECS.values():
        routed = experts(spec) > 1
        layout = Layout(tensor=4.0, pipeline=4.0, data=16.0, zero="1", recompute="full")
        layout = replace(layout, expert=8.0, expert_tensor=1.0) if routed else layout
        layout = replace(layout, zero="3") if name == "torchtitan" else layout
        text = exported(name, layout, work, precision="bf16", model=spec)
        assert Layout(**FRAMEWORKS[name].read(text, "file").fixed) == layout
        assert "256 processes" in text
