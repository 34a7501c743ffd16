"""Comparisons: the split leaves nothing over, bases hold equal what they say, refusals carry reasons."""

from dataclasses import replace

import pytest

from superpod.catalog.load import Catalogue
from superpod.errors import InfeasibleError, MissingFactError, ScenarioError
from superpod.plan.compare.answer import compare
from superpod.plan.compare.size import matched
from superpod.plan.evaluate import planned
from superpod.plan.scenario import Scenario, Serving, Training

CATALOGUE = Catalogue()
MODEL = "qwen3-235b-a22b"


def scenarios(*pods: str, cards: int | None = 64) -> list[Scenario]:
    return [Scenario(model=MODEL, pod=pod, work=Serving(), cards=cards) for pod in pods]


def test_chip_times_system_is_the_whole_difference() -> None:
    found = compare(CATALOGUE, scenarios("hgx-h100", "gb200-nvl72", "cloudmatrix384"), "equal-cards")
    first, *others = found.contenders
    assert (first.chip_factor, first.system_factor) == (1.0, 1.0)
    for item in others:
        assert item.chip_factor * item.system_factor == pytest.approx(item.per_card / first.per_card, rel=1e-12)
        assert 0 < item.system_efficiency <= 1


def test_the_same_machine_twice_differs_in_nothing() -> None:
    found = compare(CATALOGUE, scenarios("hgx-h200", "hgx-h200"), "equal-cards")
    assert found.contenders[1].chip_factor == pytest.approx(1.0)
    assert found.contenders[1].system_factor == pytest.approx(1.0)


@pytest.mark.parametrize(("basis", "expected"), [("equal-cards", 64), ("equal-flops", round(64 * 989e12 / 2500e12))])
def test_each_basis_holds_its_quantity(basis: str, expected: int) -> None:
    one, two = scenarios("hgx-h100", "gb200-nvl72")
    assert matched(CATALOGUE, planned(CATALOGUE, one), two, basis).made.cards_count == expected


def test_equal_power_is_equal_site_power_at_the_work() -> None:
    found = compare(CATALOGUE, scenarios("hgx-h100", "gb200-nvl72", "cloudmatrix384", cards=384), "equal-power")
    first, *others = found.contenders
    assert first.site_w is not None
    for item in others:
        assert item.site_w == pytest.approx(first.site_w, rel=0.01)
    assert "at equal site power" in found.verdict


def test_equal_cost_is_equal_dollars_a_second() -> None:
    found = compare(CATALOGUE, scenarios("hgx-h100", "gb200-nvl72", cards=384), "equal-cost")
    first, other = found.contenders
    assert other.usd_per_s == pytest.approx(first.usd_per_s, rel=0.01)
    assert "at equal cost" in found.verdict


@pytest.mark.parametrize(("basis", "reason"), [("equal-power", "power.max_w"), ("equal-cost", "power.max_w")])
def test_a_machine_of_which_no_power_is_published_has_no_equal(basis: str, reason: str) -> None:
    found = compare(CATALOGUE, scenarios("hgx-h100", "atlas950-8192"), basis)
    assert [item.pod for item in found.refusals] == ["atlas950-8192"]
    assert reason in found.refusals[0].reason
    with pytest.raises(MissingFactError):
        compare(CATALOGUE, scenarios("atlas950-8192", "hgx-h100"), basis)


def test_a_machine_without_a_price_has_no_equal_in_cost() -> None:
    found = compare(CATALOGUE, scenarios("hgx-h100", "hgx-h200"), "equal-cost")
    assert "price.usd" in found.refusals[0].reason


def test_as_built_leaves_sizes_alone() -> None:
    one, two = scenarios("hgx-h100", "gb200-nvl72", cards=None)
    assert matched(CATALOGUE, planned(CATALOGUE, replace(one, cards=64)), two, "as-built").scenario == two


def test_what_is_not_published_is_a_dash_with_a_reason() -> None:
    item = compare(CATALOGUE, scenarios("hgx-h100", "atlas950-8192"), "equal-cards").contenders[1]
    assert item.per_kw is None
    assert item.site_w is None
    assert item.mtoken_usd is None
    assert item.goodput_frac is not None
    assert item.per_pod is None  # 64 cards are no pod of 8,192
    assert any("power.max_w" in lack for lack in item.lacks)


def test_a_machine_without_its_facts_is_refused_and_the_others_stand() -> None:
    found = compare(CATALOGUE, scenarios("hgx-h100", "panjiu-al128", "gb200-nvl72"), "equal-cards")
    assert [refusal.pod for refusal in found.refusals] == ["panjiu-al128"]
    assert "chips/zhenwu-m890" in found.refusals[0].reason
    assert len(found.contenders) == 2


def test_a_baseline_that_cannot_answer_is_an_error() -> None:
    with pytest.raises(MissingFactError):
        compare(CATALOGUE, scenarios("panjiu-al128", "hgx-h100"), "equal-cards")
    with pytest.raises(InfeasibleError):
        compare(CATALOGUE, [Scenario(model="llama-3.1-405b", pod="hgx-h100", work=Training())], "as-built")


def test_an_unknown_basis_is_refused() -> None:
    with pytest.raises(ScenarioError, match="unknown basis"):
        compare(CATALOGUE, scenarios("hgx-h100"), "equal-luck")
