"""Searches against brute force, and what a larger or pinned space must not do."""

import itertools
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from superpod.catalog.load import Catalogue
from superpod.errors import InfeasibleError, ScenarioError
from superpod.parallel.layout import Layout, legal
from superpod.plan.machine import Machine, machine
from superpod.plan.scenario import Scenario, Serving, Training
from superpod.plan.serving import explain as explain_serve
from superpod.plan.serving import search as serve_search
from superpod.plan.training import explain as explain_train
from superpod.plan.training import search as train_search
from superpod.plan.training import space as train_space
from superpod.plan.training.levers import levers
from superpod.serve.batching import slots
from superpod.train.replayed import replayed_step

CATALOGUE = Catalogue()
WORK = Training(batch_sequences=128, sequence_tokens=2048)


def made(model: str, pod: str, cards: int, work: Training | Serving = WORK) -> Machine:
    return machine(CATALOGUE, Scenario(model=model, pod=pod, work=work, cards=cards))


def every_layout(system: Machine, work: Training, whole: train_space.Space) -> Iterator[Layout]:
    """Yield every layout that may run, one by one, from the shapes of the model and the size of the machine alone."""
    spec, cards = system.spec, system.ranks_count
    shapes = {"heads": train_space.heads(spec), "layers": spec.layers_count, "experts": train_space.experts(spec)}
    axes = {name: sorted(set(values.tolist())) for name, values in whole.degrees.items() if name in train_space.DEGREES}
    for values in itertools.product(*axes.values()):
        degrees = dict(zip(axes, values, strict=True))
        data = cards // int(degrees["tensor"] * degrees["context"] * degrees["pipeline"])
        for words in itertools.product(*whole.choices.values()):
            layout = Layout(**degrees, data=float(data), **dict(zip(whole.choices, words, strict=True)))
            passes = work.batch_sequences / (data * layout.micro_batch) if data else 0.0
            if passes >= 1.0 and bool(legal(layout, **shapes)) and bool(train_search.runnable(layout, np.ceil(passes))):
                yield layout


SMALL: list[tuple[str, int, str, dict[str, float | str]]] = [
    ("llama-2-7b", 8, "standard", {"micro_batch": 1.0}),
    ("mixtral-8x7b", 16, "standard", {"micro_batch": 1.0, "zero": "1", "pipeline": 4.0}),
    (
        "llama-2-7b",
        4,
        "deep",
        {"micro_batch": 1.0, "zero": "1", "recompute": "full", "order": "tp-cp-dp-pp", "offload": "none"},
    ),
]


@pytest.mark.parametrize(("model", "cards", "depth", "fixed"), SMALL)
def test_the_best_training_layout_is_that_of_brute_force(
    model: str, cards: int, depth: str, fixed: dict[str, float | str]
) -> None:
    work = Training(batch_sequences=32, sequence_tokens=2048)
    system = made(model, "hgx-h100", cards, work)
    whole = train_space.space(system, work, fixed, depth)
    priced = [
        (float(step.time_s), layout)
        for layout in every_layout(system, work, whole)
        for step, memory in [train_search.price(system, work, layout)]
        if memory.total_bytes <= system.device.memory_bytes
    ]
    found = train_search.search(system, work, fixed, depth)
    assert found.best is not None
    assert found.feasible_count <= len(priced)  # rows that kernels alone rule out are not priced
    least = min(time for time, _ in priced)
    assert train_search.screened_s(system, work, whole) == pytest.approx(least)
    near = [layout for time, layout in priced if time <= 1.15 * least]
    exact = min(float(replayed_step(system.engine, layout, (32.0, 2048.0))[0].time_s) for layout in near)
    assert found.best.time_s == pytest.approx(exact, rel=1e-9)


def test_more_cards_never_lower_training_throughput() -> None:
    times = []
    for cards in (64, 128, 256, 512):
        best = train_search.search(made("llama-3.1-70b", "hgx-h100", cards), WORK, {}).best
        assert best is not None
        times.append(float(best.step.time_s))
    assert times == sorted(times, reverse=True)


def test_pinned_degrees_are_kept() -> None:
    best = train_search.search(made("llama-3.1-70b", "hgx-h100", 64), WORK, {"tensor": 8.0, "zero": "1"}).best
    assert best is not None
    assert (best.layout.tensor, best.layout.zero) == (8.0, "1")


@pytest.mark.parametrize("fixed", [{"tensors": 8.0}, {"batch": 8.0}])
def test_unknown_pins_are_refused(fixed: dict[str, float | str]) -> None:
    with pytest.raises(ScenarioError, match="cannot pin"):
        train_search.search(made("llama-3.1-70b", "hgx-h100", 64), WORK, fixed)


def test_degrees_that_fit_nothing_are_refused() -> None:
    with pytest.raises(ScenarioError, match="no combination of degrees"):
        train_search.search(made("llama-3.1-70b", "hgx-h100", 64), WORK, {"tensor": 3.0})


def test_an_infeasible_training_run_names_its_nearest_misses() -> None:
    with pytest.raises(InfeasibleError, match=r"nearest: tp8 .* needs .* of 85.9 GB a rank \(-"):
        explain_train.answer(made("llama-3.1-405b", "hgx-h100", 8), WORK, {})


def test_a_deployment_uses_whole_instances_and_meets_its_targets() -> None:
    work = Serving()
    system = made("deepseek-v3", "cloudmatrix384", 384, work)
    found = serve_search.search(system, work, {})
    best = found.best
    assert best is not None
    used = best.decode_instances * serve_search.instance_ranks(best.decode.layout)
    used += best.prefill_instances * serve_search.instance_ranks(best.prefill.layout)
    assert used <= system.ranks_count
    assert all(best.tokens_per_s >= item.tokens_per_s for item in found.others)
    # What the prefill pool reads is at least what the decode pool answers.
    prompts = best.prefill_instances * serve_search.instance_ranks(best.prefill.layout) * best.prefill.tokens_per_s_rank
    assert prompts / work.prompt_tokens >= best.tokens_per_s / work.output_tokens * (1 - 1e-9)


def test_a_looser_target_never_serves_less() -> None:
    rates = []
    for tpot_s in (0.02, 0.03, 0.05, 0.1):
        work = Serving(tpot_s=tpot_s)
        best = serve_search.search(made("qwen3-235b-a22b", "gb200-nvl72", 72, work), work, {}).best
        assert best is not None
        rates.append(best.tokens_per_s)
    assert rates == sorted(rates)


def test_the_mode_can_be_asked_for_and_auto_takes_the_better() -> None:
    rates = {}
    for mode in ("aggregated", "disaggregated", "auto"):
        work = Serving(mode=mode)
        best = serve_search.search(made("qwen3-235b-a22b", "gb200-nvl72", 72, work), work, {}).best
        assert best is not None
        rates[mode] = best.tokens_per_s
    assert rates["auto"] == max(rates["aggregated"], rates["disaggregated"])


def test_impossible_targets_and_memory_are_told_apart() -> None:
    quick = Serving(tpot_s=1e-6)
    with pytest.raises(InfeasibleError, match="fastest decode that fits has TPOT"):
        explain_serve.answer(made("llama-3.1-8b", "hgx-h100", 8, quick), quick, {})
    work = Serving()
    with pytest.raises(InfeasibleError, match=r"smallest plan needs .* a rank of .* usable"):
        explain_serve.answer(made("deepseek-v3", "hgx-h100", 8, work), work, {})


@pytest.mark.parametrize("drafts", [0, 1])
@pytest.mark.parametrize("pipeline", [1.0, 2.0])
@pytest.mark.parametrize("software", ["vllm-0.5", "vllm-1", "tensorrt-llm-1"])
def test_a_plan_holds_what_the_software_admits_and_no_more(software: str, pipeline: float, drafts: int) -> None:
    """By its requests at once, its share of all or of free memory, and its reserve for outputs: one rule."""
    work = Serving(
        mode="aggregated", prompt_tokens=1024, output_tokens=2048, ttft_s=1e4, tpot_s=1e4, draft_tokens=drafts
    )
    system = machine(CATALOGUE, Scenario(model="deepseek-r1", pod="hgx-h200", cards=32, work=work, software=software))
    degrees = {"tensor": 8.0, "pipeline": pipeline, "expert": 8.0, "data": 1.0}
    most = float(slots(system.engine, Layout(**degrees), serve_search.requests_of(work)))
    best = serve_search.search(system, work, degrees | {"batch": float(np.floor(most))}).best
    assert best is not None
    assert serve_search.search(system, work, degrees | {"batch": float(np.floor(most)) + 1.0}).best is None


def test_pools_hold_no_more_than_their_software_admits() -> None:
    work = Serving(mode="disaggregated", prompt_tokens=256, output_tokens=256)
    for software in ("vllm-0.5", "tensorrt-llm-1"):
        system = machine(CATALOGUE, Scenario(model="llama-3.1-8b", pod="hgx-h100", work=work, software=software))
        best = serve_search.search(system, work, {}).best
        assert best is not None
        asked = serve_search.requests_of(work)
        assert best.decode.sequences <= slots(system.engine, best.decode.layout, asked)
        assert best.prefill.sequences <= slots(system.engine, best.prefill.layout, replace(asked, output_tokens=0.0))


def test_too_many_requests_for_the_software_are_told_from_too_little_memory() -> None:
    work = Serving(prompt_tokens=64, output_tokens=64)
    system = machine(CATALOGUE, Scenario(model="llama-3.1-8b", pod="hgx-h100", work=work, software="vllm-0.5"))
    with pytest.raises(InfeasibleError, match=r"admits 256 requests at once, and every plan .* 300 or more"):
        explain_serve.answer(system, work, {"batch": 300.0})


@pytest.mark.parametrize("mode", ["aggregated", "disaggregated"])
@pytest.mark.parametrize("software", ["vllm-1", "tensorrt-llm-1"])
def test_what_fills_a_rank_adds_up_to_its_memory(software: str, mode: str) -> None:
    work = Serving(mode=mode)
    system = machine(CATALOGUE, Scenario(model="llama-3.1-70b", pod="hgx-h200", work=work, software=software))
    answer, _ = explain_serve.answer(system, work, {})
    assert len(answer.memory) == (1 if mode == "aggregated" else 2)
    for _, shares in answer.memory:
        weights, cache, reserve = (share.amount_bytes for share in shares)
        assert weights + cache + reserve <= system.device.memory_bytes
        free = system.device.memory_bytes - (weights if software == "tensorrt-llm-1" else 0.0)
        assert reserve == pytest.approx(0.1 * free)
    limit = next(item for item in answer.limits if item.code == "memory")
    assert limit.needed == pytest.approx(sum(share.amount_bytes for share in answer.memory[0][1]))


def test_pools_are_shown_only_where_there_are_pools() -> None:
    for mode, shown in (("aggregated", False), ("disaggregated", True)):
        work = Serving(mode=mode)
        answer, _ = explain_serve.answer(made("llama-3.1-70b", "hgx-h200", 8, work), work, {})
        assert any("pool" in item.label for item in answer.metrics) == shown


@pytest.mark.parametrize(("software", "batch"), [("vllm-1", 768.0), ("eager-2023", 256.0)])
def test_a_shared_instance_is_priced_again_with_its_budget_of_tokens(software: str, batch: float) -> None:
    """Where the budget of tokens a step bounds the requests that decode, a larger one serves more."""
    work = Serving(mode="aggregated", prompt_tokens=1024, output_tokens=64, ttft_s=1e4, tpot_s=10.0)
    system = machine(CATALOGUE, Scenario(model="llama-3.1-8b", pod="hgx-h200", work=work, software=software))
    answer, again = explain_serve.answer(system, work, {"tensor": 1.0, "pipeline": 1.0, "batch": batch})
    rates = []
    for factor in (0.99, 1.0, 1.01):
        tokens = system.software.step_tokens_count * factor
        rates.append(again(replace(system, software=replace(system.software, step_tokens_count=tokens))))
    assert rates[0] < rates[1] < rates[2]
    assert rates[1] == pytest.approx(answer.headline.value, rel=1e-3)  # all cards are in use


def test_uneven_experts_of_a_dense_model_are_refused() -> None:
    work = Serving(imbalance_ratio=3.0)
    with pytest.raises(ScenarioError, match="has no experts"):
        explain_serve.answer(made("llama-3.1-8b", "hgx-h100", 8, work), work, {})
    uneven, _ = explain_serve.answer(made("gpt-oss-120b", "hgx-h100", 8, work), work, {})
    assert any("3 times the mean" in note for note in uneven.notes)


def test_an_interrupted_search_keeps_what_it_found(monkeypatch: pytest.MonkeyPatch) -> None:
    system, pieces = made("llama-3.1-70b", "hgx-h100", 64), train_space.Space.pieces
    monkeypatch.setattr(train_space.Space, "pieces", lambda self: pieces(self, 2000))

    def stop(done: int, whole: int) -> None:
        if done < whole:
            raise KeyboardInterrupt

    found = train_search.search(system, WORK, {}, progress=stop)
    assert found.interrupted
    assert found.best is not None
    assert found.feasible_count < train_search.search(system, WORK, {}).feasible_count


def test_a_tenth_more_of_anything_never_hurts() -> None:
    system = made("deepseek-v3", "cloudmatrix384", 384)
    found = train_search.search(system, WORK, {})
    assert found.near.rows_count
    assert all(lever.gain_frac >= -1e-9 for lever in levers(system, WORK, found.near))


def test_the_front_holds_the_best_and_nothing_that_another_beats() -> None:
    found = train_search.search(made("mixtral-8x7b", "hgx-h100", 32), WORK, {})
    assert found.best is not None
    assert found.front[0].time_s == found.best.time_s
    points = [(item.time_s, float(item.memory.total_bytes), item.ranks_used) for item in found.front]
    for one, other in itertools.permutations(points, 2):
        assert not all(a <= b for a, b in zip(one, other, strict=True)), (one, other)


def test_uneven_experts_cost_time_and_memory() -> None:
    """Visits of which one rank draws twice its share: slower and fuller than balanced ones, by time and memory both."""
    even = made("mixtral-8x7b", "hgx-h100", 32)
    skewed = replace(WORK, expert_visits_count=(2.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.5, 0.5))
    pins: dict[str, float | str] = {"expert": 8.0, "recompute": "none", "pipeline": 1.0}
    one, other = (train_search.search(even, work, pins).best for work in (WORK, skewed))
    assert one is not None
    assert other is not None
    assert other.layout.imbalance_ratio == 2.0
    assert other.time_s > one.time_s
    layouts = [replace(one.layout, imbalance_ratio=ratio) for ratio in (1.0, 2.0)]
    held = [float(train_search.price(even, WORK, layout)[1].total_bytes) for layout in layouts]
    assert held[1] > held[0]


@pytest.mark.parametrize(
    ("pins", "said"),
    [
        ({"schedule": "interleaved"}, "schedule: found 'interleaved', expected one of gpipe, 1f1b"),
        ({"order": "tp-pp"}, "order: found 'tp-pp'"),
        ({"recompute": "attention"}, "recompute: found 'attention', expected none, selective, full"),
        ({"offload": "weights+all"}, "offload: found 'weights[+]all'"),
    ],
)
def test_words_that_a_choice_has_not_are_refused(pins: dict[str, float | str], said: str) -> None:
    with pytest.raises(ScenarioError, match=said):
        train_search.search(made("llama-3.1-70b", "hgx-h100", 64), WORK, pins)


def test_visits_of_another_number_of_experts_are_refused() -> None:
    with pytest.raises(ScenarioError, match="found visits of 3 experts, expected 8"):
        train_search.search(
            made("mixtral-8x7b", "hgx-h100", 32), replace(WORK, expert_visits_count=(1.0, 1.0, 1.0)), {}
        )
