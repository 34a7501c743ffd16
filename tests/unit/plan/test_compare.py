"""Comparisons: the split leaves nothing over, bases hold equal what they say, refusals carry reasons."""

import pytest

from superpod.catalog.load import Catalogue
from superpod.errors import InfeasibleError, MissingFactError, ScenarioError
from superpod.plan.compare import compare, resized
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


@pytest.mark.parametrize(
    ("basis", "expected"),
    [
        ("equal-cards", 64),
        ("equal-flops", round(64 * 989e12 / 2500e12)),
        ("equal-power", round(64 * (10.2e3 / 8) / (132e3 / 72))),
        ("equal-cost", round(64 * (270e3 / 8) / (3.1e6 / 72))),
    ],
)
def test_each_basis_holds_its_quantity(basis: str, expected: int) -> None:
    one, two = scenarios("hgx-h100", "gb200-nvl72")
    assert resized(CATALOGUE, one, two, basis).cards == expected


def test_as_built_leaves_sizes_alone() -> None:
    one, two = scenarios("hgx-h100", "gb200-nvl72", cards=None)
    assert resized(CATALOGUE, one, two, "as-built") == two


def test_what_is_not_published_is_a_dash_with_a_reason() -> None:
    item = compare(CATALOGUE, scenarios("hgx-h100", "atlas950-8192"), "equal-cards").contenders[1]
    assert item.per_kw is None
    assert item.per_musd is None
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
