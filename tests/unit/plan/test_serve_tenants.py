"""Several models on one pod: all cards to one is one model, totals add up, and what is given or shared stays so."""

from dataclasses import replace

import pytest

from superpod.catalog.load import SHIPPED, Catalogue
from superpod.errors import InfeasibleError, ScenarioError
from superpod.plan.machine import machine
from superpod.plan.scenario import Scenario, Serving, Traffic
from superpod.plan.serving.tenants import Score, Tenant, Trials, crossings, divided, evaluate_tenants
from superpod.plan.serving.tenants_result import TenantsReport
from superpod.plan.serving.traffic_answer import evaluate_traffic

CHAT = Scenario(
    model="llama-3.1-8b",
    pod="hgx-h100",
    cards=8,
    work=Serving(ttft_s=0.5, tpot_s=0.03),
    traffic=Traffic(rate="poisson:20", prompt="uniform:100-2000", output="fixed:50", requests_count=120, seed=1),
)
CODE = replace(
    CHAT,
    model="qwen3-8b",
    traffic=Traffic(rate="poisson:3", prompt="uniform:1000-4000", output="fixed:40", requests_count=60, seed=2),
)


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return Catalogue(folders=(SHIPPED,), overrides={}, estimates=False)


@pytest.fixture(scope="module")
def report(catalogue: Catalogue) -> TenantsReport:
    tenants = (Tenant(name="chat", scenario=CHAT, cards_count=4), Tenant(name="code", scenario=CODE, cards_count=3))
    return evaluate_tenants(catalogue, tenants)


def test_one_tenant_with_all_cards_is_the_answer_of_one_model(catalogue: Catalogue) -> None:
    found = evaluate_tenants(catalogue, (Tenant(name="chat", scenario=CHAT),))
    alone = evaluate_traffic(catalogue, CHAT).report
    assert found.tenants[0].report == alone
    assert found.headline.value == alone.outcome.met_frac
    assert not found.splits


def test_totals_add_up(report: TenantsReport) -> None:
    values = {metric.key: metric.value for metric in report.metrics}
    outcomes = [item.report.outcome for item in report.tenants]
    for name in ("offered_per_s", "goodput_per_s", "output_tokens_per_s", "prompt_tokens_per_s"):
        assert values[name] == pytest.approx(sum(getattr(item, name) for item in outcomes))
    assert report.cards_used_count == sum(item.report.cards_used_count for item in report.tenants)
    assert report.cards_used_count + report.cards_idle_count == report.cards_count
    assert report.cards_idle_count >= 1.0  # nobody was given the eighth card
    assert report.headline.value == min(item.met_frac for item in outcomes)


def test_a_tenant_is_served_as_on_a_machine_of_its_own(catalogue: Catalogue, report: TenantsReport) -> None:
    alone = evaluate_traffic(catalogue, replace(CODE, cards=3)).report
    assert report.tenants[1].report.outcome == alone.outcome


class Known(Trials):
    """Trials whose outcome is a formula: a tenant needs so many cards for all of its requests."""

    def of(self, place: int, cards: int) -> Score:
        share = min(cards / (5.0, 2.0)[place], 1.0)
        return Score(met_frac=share, goodput_tokens_per_s=100.0 * share)


def test_cards_go_to_whom_fewest_requests_are_in_time(catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    tenants = (Tenant(name="chat", scenario=CHAT), Tenant(name="code", scenario=CODE))
    monkeypatch.setattr("superpod.plan.serving.tenants.by_need", lambda *_: [3, 4])
    cards, splits = divided(Known(catalogue=catalogue, tenants=tenants), 7)
    assert cards == [5, 2]
    assert splits[0].met_frac == 1.0
    assert all(sum(item.cards.values()) == 7 for item in splits)
    assert len(splits) > 1


def test_what_is_given_stays_and_the_rest_is_divided(catalogue: Catalogue) -> None:
    tenants = (Tenant(name="chat", scenario=CHAT, cards_count=2), Tenant(name="code", scenario=CODE))
    assert divided(Known(catalogue=catalogue, tenants=tenants), 8) == ([2, 6], ())


def test_more_cards_than_the_pod_has_are_refused(catalogue: Catalogue) -> None:
    tenants = (Tenant(name="chat", scenario=CHAT, cards_count=8), Tenant(name="code", scenario=CODE))
    with pytest.raises(ScenarioError, match="the pod has 8"):
        evaluate_tenants(catalogue, tenants)


def test_a_tenant_that_its_cards_cannot_serve_is_named(catalogue: Catalogue) -> None:
    big = replace(CODE, model="deepseek-r1")
    tenants = (Tenant(name="chat", scenario=CHAT, cards_count=4), Tenant(name="big", scenario=big, cards_count=4))
    with pytest.raises(InfeasibleError, match="tenant big"):
        evaluate_tenants(catalogue, tenants)


def test_an_oversubscribed_tier_says_how_much_caches_take_of_it(catalogue: Catalogue) -> None:
    apart = replace(CHAT, work=replace(CHAT.work, mode="disaggregated"))
    found = evaluate_traffic(catalogue, apart)
    made = machine(catalogue, apart)
    assert crossings([found], made) == ()
    tiers = tuple(replace(tier, bisection_frac=0.25) for tier in made.fabric.tiers)
    tapered = replace(made, fabric=replace(made.fabric, tiers=tiers))
    lines = crossings([found, found], tapered)
    assert len(lines) == len(tiers)
    assert "oversubscribed and shared" in lines[0]
    slow = tuple(replace(tier, bytes_per_s=tier.bytes_per_s / 1e6) for tier in tiers)
    assert "more than it carries" in crossings([found], replace(made, fabric=replace(made.fabric, tiers=slow)))[0]
