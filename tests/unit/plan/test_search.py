"""Searches against brute force, and what a larger or pinned space must not do."""

import itertools

import numpy as np
import pytest

from superpod.catalog.load import Catalogue
from superpod.errors import InfeasibleError, ScenarioError
from superpod.parallel.layout import Layout, legal
from superpod.plan import explain_serve, explain_train, serve_search, train_search
from superpod.plan.machine import Machine, machine
from superpod.plan.scenario import Scenario, Serving, Training

CATALOGUE = Catalogue()
WORK = Training(batch_sequences=128, sequence_tokens=2048)


def made(model: str, pod: str, cards: int, work: Training | Serving = WORK) -> Machine:
    return machine(CATALOGUE, Scenario(model=model, pod=pod, work=work, cards=cards))


@pytest.mark.parametrize(("model", "cards"), [("llama-2-7b", 8), ("mixtral-8x7b", 16)])
def test_the_best_training_layout_is_that_of_brute_force(model: str, cards: int) -> None:
    system = made(model, "hgx-h100", cards)
    found = train_search.search(system, WORK, {"context": 1.0})
    spec = system.spec
    axes = {
        "tensor": [1, 2, 4, 8, 16],
        "pipeline": sorted({1, 2, 4, 8, 16} | set(train_search.divisors(spec.layers_count, cards))),
        "virtual": [1, 2, 4],
        "expert": [1, 2, 4, 8] if model.startswith("mixtral") else [1],
        "micro_batch": [1, 2, 4],
    }
    best = np.inf
    for values in itertools.product(*axes.values()):
        degrees = dict(zip(axes, map(float, values), strict=True))
        data = cards // int(degrees["tensor"] * degrees["pipeline"])
        for choice in train_search.choices(spec, {}):
            layout = Layout(**degrees, data=float(data), **choice)
            fits = data >= 1 and bool(
                legal(
                    layout, heads=train_search.heads(spec), layers=spec.layers_count, experts=train_search.experts(spec)
                )
            )
            if not fits or layout.micro_batch * data > WORK.batch_sequences or layout.ranks_count < cards / 2:
                continue
            step, memory = train_search.price(system, WORK, layout)
            if memory.total_bytes <= system.device.memory_bytes:
                best = min(best, float(step.time_s))
    assert found.best is not None
    assert float(found.best.step.time_s) == pytest.approx(best, rel=1e-12)


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
