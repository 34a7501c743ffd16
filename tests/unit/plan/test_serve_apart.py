"""Which split of attention and feed-forward serves most: limits kept, pins, what it is compared with, its fleet."""

from dataclasses import replace

import numpy as np
import pytest

from superpod.catalog.load import Catalogue
from superpod.errors import InfeasibleError, ScenarioError
from superpod.plan.machine import Machine, machine
from superpod.plan.scenario import Scenario, Serving, Traffic
from superpod.plan.serving.attention_apart import searched
from superpod.plan.serving.candidates import candidates
from superpod.plan.serving.explain import answer, repriced
from superpod.plan.serving.fleet import Workshop
from superpod.plan.serving.search import decode_ranks, instance_ranks, search

WORK = Serving(mode="afd", prompt_tokens=2048, output_tokens=512)


def made(model: str = "qwen3-235b-a22b", pod: str = "gb200-nvl72", work: Serving = WORK, **size: int) -> Machine:
    return machine(Catalogue(), Scenario(model=model, pod=pod, work=work, **size))


RACK = made()


def test_the_split_keeps_ranks_memory_and_targets() -> None:
    found = searched(RACK, WORK, {})
    best = found.best
    assert best is not None
    assert best.decode.apart is not None
    assert best.mode == "afd"
    used = best.decode_instances * float(decode_ranks(best.decode))
    used += best.prefill_instances * float(instance_ranks(best.prefill.layout))
    assert used <= RACK.ranks_count
    assert best.tpot_s <= WORK.tpot_s
    assert best.ttft_s <= WORK.ttft_s
    for memory in (best.decode.memory, best.decode.apart.memory):
        assert memory.total_bytes < RACK.device.memory_bytes
    for share in (best.decode.apart.attention_busy_frac, best.decode.apart.feed_forward_busy_frac):
        assert 0.0 < share <= 1.0
    rate = best.decode_instances * float(decode_ranks(best.decode)) * best.decode.tokens_per_s_rank
    assert best.tokens_per_s <= rate * (1.0 + 1e-12)
    assert found.considered_count == found.feasible_count + found.too_big_count + found.too_slow_count


def test_other_modes_are_searched_as_before_and_stand_beside() -> None:
    plain = search(RACK, replace(WORK, mode="auto"), {}).best
    assert searched(RACK, replace(WORK, mode="auto"), {}).best == plain
    assert searched(RACK, WORK, {}).together == plain
    told, again = answer(RACK, WORK, {})
    assert f"{told.headline.value / plain.tokens_per_s:.2f}x the best deployment without it" in told.binding
    assert again(RACK) == pytest.approx(told.headline.value, rel=0.1)  # without rounding to whole instances


def test_pins_are_kept_and_foreign_ones_refused() -> None:
    best = searched(RACK, WORK, {"data": 12.0, "expert": 8.0, "batch": 64.0}).best
    assert best is not None
    assert best.decode.apart is not None
    assert (best.decode.layout.data, best.decode.apart.layout.expert, best.decode.sequences) == (12.0, 8.0, 64.0)
    with pytest.raises(ScenarioError, match="cannot pin 'pipeline'"):
        searched(RACK, WORK, {"pipeline": 2.0})
    with pytest.raises(ScenarioError, match="no split"):
        searched(RACK, WORK, {"expert": 7000.0})


def test_weights_that_fit_on_no_split_are_an_answer() -> None:
    small = made("deepseek-r1", "hgx-h100", cards=8)
    with pytest.raises(InfeasibleError, match="feed-forward rank"):
        searched(small, WORK, {})


def test_a_dense_model_splits_its_blocks() -> None:
    best = searched(made("llama-3.1-70b", "hgx-h100", pods=4), WORK, {}).best
    assert best is not None
    assert best.decode.apart is not None
    assert best.decode.apart.layout.expert == 1.0
    assert best.decode.apart.layout.tensor >= 1.0


def test_a_step_that_only_works_is_what_a_repricing_finds() -> None:
    best = searched(RACK, WORK, {}).best
    assert best is not None
    whole = 1.0 / best.decode.tokens_per_s_rank + 4.0 / best.prefill.tokens_per_s_rank
    assert repriced(RACK, WORK, best) == pytest.approx(RACK.ranks_count / whole, rel=1e-9)


def test_the_found_split_is_simulated_with_its_own_costs() -> None:
    shop = Workshop(machine=RACK, work=WORK, traffic=Traffic(rate="5", prompt="2048", output="512"))
    offered = candidates(shop, {})
    assert offered
    assert all(item.mode == "afd" for item in offered)
    first = offered[0]
    fleet = shop.fleet(first, whole=True)
    assert fleet.decode is not None
    assert fleet.decode.costs.ranks_count == float(decode_ranks(first.decode))
    assert fleet.decode.costs.groups_count == float(first.decode.layout.data)
    assert shop.can_hold(first, 3000)
    assert not shop.can_hold(first, 10**9)


def test_a_wider_machine_never_serves_less() -> None:
    rates = []
    for cards in (36, 72):
        best = searched(made(cards=cards), WORK, {}).best
        assert best is not None
        rates.append(best.tokens_per_s)
    assert np.diff(rates) > 0.0
