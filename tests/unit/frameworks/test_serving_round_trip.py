"""What is written is read back the same, for every engine, over random pools and over what a search finds."""

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from superpod.catalog.load import Catalogue
from superpod.errors import ScenarioError, UnknownNameError
from superpod.frameworks.serving import ENGINES, Launch, Pool, exported_engine, imported_engine
from superpod.frameworks.serving.launch import experts_count
from superpod.plan.machine import machine
from superpod.plan.scenario import Scenario, Serving
from superpod.plan.serving.search import Deployment, search

powers = st.sampled_from([1, 2, 4, 8])
limits = st.none() | st.integers(1, 4096)


@st.composite
def pools(draw: st.DrawFn, mode: str) -> Pool:
    """Return a pool; what makes no difference is at its default."""
    tensor, data, pipeline = draw(powers), draw(powers), draw(powers)
    context = draw(powers) if mode == "prefill" else 1
    block = draw(st.sampled_from([None, 16, 64]))
    chunked = draw(st.booleans())
    sequences = draw(limits)
    return Pool(
        mode=mode,
        instances=draw(st.integers(1, 5)),
        tensor=tensor,
        context=context,
        data=data,
        pipeline=pipeline,
        expert=draw(st.sampled_from([1, tensor * context * data, 2])),
        redundant_experts=draw(st.sampled_from([0, 0, 32])),
        sequences_max=None if sequences is None else sequences * pipeline,
        step_tokens_max=draw(limits),
        context_tokens_max=draw(limits),
        scheduling=draw(st.sampled_from(["mixed", "alternate"])) if mode == "aggregated" else "",
        chunked=chunked,
        block_tokens=block,
        capacity_tokens=draw(st.none() | st.integers(1, 1000).map(lambda count: count * 64)),
        memory_frac=draw(st.none() | st.sampled_from([0.5, 0.85, 1.0])),
        cache_bytes=draw(st.sampled_from([2.0, 1.0, 0.5625])),
        draft_tokens=draw(st.integers(0, 3)),
        prefix_caching=draw(st.booleans()),
        graphs=draw(st.booleans()),
        own_collectives=draw(st.booleans()),
    )


kinds = st.sampled_from([("aggregated",), ("decode", "prefill"), ("decode",), ("prefill",)])
deployments = kinds.flatmap(lambda modes: st.tuples(*(pools(mode) for mode in modes)))
EASY: dict[str, object] = {
    "expert": 1,
    "tensor": 1,
    "context": 1,
    "scheduling": "mixed",
    "precision": "bf16",
    "redundant_experts": 0,
}


def written(launch: Launch) -> tuple[str, Launch]:
    """Return the text, and what of the question had to give way: each refusal names one field and what is supported."""
    for _ in range(6):
        try:
            return ENGINES[launch.engine].write(launch), launch
        except ScenarioError as error:
            refusal = error
        assert "supports" in refusal.message
        assert refusal.where == f"export to {launch.engine}"
        assert refusal.hint
        field = refusal.message.split()[0]
        if field == "precision":
            launch = replace(launch, precision="bf16")
        else:
            eased = tuple(replace(pool, **{field: EASY[field]}) for pool in launch.pools)
            launch = replace(launch, pools=tuple(replace(pool, expert=1) for pool in eased))
    assume(False)
    raise AssertionError


@pytest.mark.parametrize("name", ENGINES)
@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    found=deployments,
    precision=st.sampled_from([None, "bf16", "fp16", "fp8", "fp4", "int8"]),
    experts=st.sampled_from([0, 256]),
    cards=st.sampled_from([4, 8]),
    policy=st.sampled_from(["", "cache_aware"]),
)
def test_what_is_written_is_read_back(
    name: str, found: tuple[Pool, ...], precision: str | None, experts: int, cards: int, policy: str
) -> None:
    asked = Launch(
        engine=name,
        pools=found,
        model="deepseek-ai/DeepSeek-V3",
        precision=precision,
        experts_count=experts,
        cards_per_node=cards,
        router=policy,
    )
    text, launch = written(asked)
    back = imported_engine(text)
    assert back.engine == name
    assert back.pools == launch.pools
    narrow = name == "trtllm" and launch.precision in {"fp8", "fp4"}  # the checkpoint's, written as a remark
    assert back.precision == (None if narrow else launch.precision)
    assert (back.model, back.model_id) == ("deepseek-ai/DeepSeek-V3", "deepseek-v3")
    assert back.router in {"", policy}
    assert all("eplb" in note for note in back.unread)


def answers(model: str, pod: str, mode: str, cards: int, software: str) -> tuple[Deployment, Serving, Scenario]:
    """Return the best deployment of a mode."""
    work = Serving(mode=mode, prompt_tokens=2048, output_tokens=512)
    question = Scenario(model=model, pod=pod, cards=cards, work=work, software=software, precision="bf16")
    best = search(machine(Catalogue(), question), work, {}).best
    assert best is not None
    return best, work, question


@pytest.mark.parametrize("mode", ["aggregated", "disaggregated"])
@pytest.mark.parametrize(("name", "software"), [("vllm", "vllm-1"), ("sglang", "sglang-0.5"), ("trtllm", "trtllm")])
@pytest.mark.parametrize("model", ["qwen3-30b-a3b", "llama-3.1-8b"])
def test_a_found_deployment_is_written_and_read_back(name: str, software: str, mode: str, model: str) -> None:
    best, work, _ = answers(model, "hgx-h200", mode, 16, software)
    catalogue = Catalogue()
    spec, release = catalogue.model(model), catalogue.software(software)
    text = exported_engine(name, best, work, model=f"org/{model}", software=release, spec=spec)
    back = imported_engine(text)
    experts = experts_count(spec) > 0
    assert (back.mode, back.model_id, back.precision) == (mode, model, "bf16")
    decode = back.pools[0]
    assert decode.layout(experts=experts) == replace(
        best.decode.layout, **{field: float(getattr(best.decode.layout, field)) for field in LAID}
    )
    assert decode.instances == best.decode_instances
    assert decode.sequences_max == float(best.decode.sequences * best.decode.layout.pipeline)
    assert decode.context_tokens_max == 2560
    if mode == "disaggregated":
        prefill = back.pool("prefill")
        assert prefill is not None
        assert prefill.instances == best.prefill_instances
        assert prefill.step_tokens_max == float(best.prefill.sequences) * 2048


LAID = ("tensor", "pipeline", "data", "expert", "expert_tensor", "imbalance_ratio")


def test_experts_that_ranks_do_not_divide_are_held_twice() -> None:
    best, work, _ = answers("qwen3-30b-a3b", "hgx-h200", "disaggregated", 16, "vllm-1")
    layout = replace(best.decode.layout, tensor=1.0, data=12.0, expert=12.0, expert_tensor=1.0)
    found = replace(best, decode=replace(best.decode, layout=layout))
    catalogue = Catalogue()
    text = exported_engine(
        "vllm",
        found,
        work,
        model="Qwen/Qwen3-30B-A3B",
        software=catalogue.software("vllm-1"),
        spec=catalogue.model("qwen3-30b-a3b"),
    )
    assert imported_engine(text).pools[0].redundant_experts == 4  # 128 experts on 12 ranks: 11 each


def test_an_engine_that_is_not_known() -> None:
    best, work, _ = answers("llama-3.1-8b", "hgx-h200", "aggregated", 8, "")
    with pytest.raises(UnknownNameError, match="serving engine"):
        exported_engine("vlm", best, work, model="x", software=Catalogue().software("vllm-1"))
