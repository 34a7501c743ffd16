"""The fullest expert rank from visits, copies and width; what copies take."""

from dataclasses import replace

import numpy as np
import pytest

from superpod.catalog.load import Catalogue
from superpod.errors import ScenarioError
from superpod.frameworks.serving.launch import degrees
from superpod.parallel.layout import Layout
from superpod.plan.machine import Machine, machine
from superpod.plan.scenario import Scenario, Serving
from superpod.plan.serving.expert_balance import drawn, imbalance_of, visits_of
from superpod.plan.serving.explain import answer
from superpod.plan.serving.search import search
from superpod.serve.expert_load import filled, in_order_ratio
from superpod.serve.memory import redundant_bytes

DRAWN = Serving(expert_draw_ratio=(1.2, 30.0))


def made(work: Serving = DRAWN, model: str = "deepseek-r1") -> Machine:
    return machine(Catalogue(), Scenario(model=model, pod="cloudmatrix384", work=work))


R1 = made()


def test_without_visits_the_given_ratio_stands() -> None:
    assert imbalance_of(R1.spec, Serving(imbalance_ratio=1.3), np.array([1.0, 64.0])) == 1.3


def test_experts_in_order() -> None:
    """4 3 2 1: two ranks 7 of 5; four 4 of 2.5; eight share each expert; one holds all."""
    loads = np.array([4.0, 3.0, 2.0, 1.0])
    assert [in_order_ratio(loads, ranks) for ranks in (1, 2, 4, 8)] == pytest.approx([1.0, 1.4, 1.6, 1.6])


def test_places_fill_ranks() -> None:
    assert [filled(256, ranks, 32) for ranks in (1, 32, 64, 288, 320)] == [0, 32, 64, 32, 64]


def test_wider_ranks_are_less_even_and_copies_help_ever_more() -> None:
    widths = np.array([1.0, 8.0, 32.0, 128.0, 256.0])
    ratios = np.asarray(imbalance_of(R1.spec, DRAWN, widths))
    assert ratios[0] == 1.0
    assert (np.diff(ratios) > 0.0).all()
    copies = [float(imbalance_of(R1.spec, replace(DRAWN, redundant_count=n), 64.0)) for n in (0, 64, 128, 192, 256)]
    assert (np.diff(copies) < 0.005).all()  # placement is greedy, so a little more is possible
    assert copies[-1] < 1.05 < copies[0]


def test_copies_take_memory_in_proportion() -> None:
    layout = Layout(data=64.0, expert=64.0)
    held = [float(redundant_bytes(replace(R1.engine, redundant_count=n), layout)) for n in (0.0, 64.0, 128.0, 192.0)]
    assert held[0] == 0.0
    assert np.diff(held) == pytest.approx([held[1]] * 3)
    assert redundant_bytes(replace(R1.engine, redundant_count=64.0), Layout(expert_tensor=8.0, tensor=8.0)) == 0.0


def test_an_answer_says_what_copies_cost_and_gain() -> None:
    plain, more = (answer(made(work), work, {})[0] for work in (DRAWN, replace(DRAWN, redundant_count=32)))
    told = {metric.key: metric.value for metric in more.metrics}
    assert told["fullest_after"] < told["fullest_before"]
    assert told["redundant_bytes"] > 0.0
    assert told["cache_lost_tokens"] > 0.0
    assert more.headline.value > plain.headline.value  # here memory is not what binds
    assert "redundant_bytes" not in {metric.key for metric in plain.metrics}


def test_copies_alone_change_memory_and_nothing_else() -> None:
    """Without visits the ratio is as given: the same step, and less room."""
    works = Serving(), replace(Serving(), redundant_count=256)
    plain, more = (search(made(work), work, {"expert": 128.0, "batch": 16.0}).best for work in works)
    assert plain is not None
    assert more is not None
    assert more.decode.tpot_s == plain.decode.tpot_s
    assert more.decode.memory.weights_bytes > plain.decode.memory.weights_bytes


def test_visits_of_another_model_are_refused() -> None:
    with pytest.raises(ScenarioError, match="found visits of 3 experts, expected 256"):
        visits_of(R1.spec, Serving(expert_visits_count=((1.0, 2.0, 3.0),)))
    dense = made(Serving(), "llama-3.1-70b")
    with pytest.raises(ScenarioError, match="no experts"):
        imbalance_of(dense.spec, DRAWN, 8.0)


def test_drawn_visits_repeat() -> None:
    assert drawn(64, 1.2, 30.0) == drawn(64, 1.2, 30.0)
    assert len(drawn(64, 1.2, 30.0)[0]) == 64


def test_launch_commands_fill_the_ranks_with_copies() -> None:
    """256 experts and 32 more on 64 ranks: five places each, 64 copies."""
    layout = Layout(data=64.0, expert=64.0)
    assert degrees("vllm", layout, R1.spec, 32)["redundant_experts"] == filled(256, 64, 32) == 64
    assert degrees("vllm", layout, R1.spec)["redundant_experts"] == 0
