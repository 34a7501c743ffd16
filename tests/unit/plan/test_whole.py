"""Power, goodput and cost of an answer: what they add up to, what they agree with, what is refused."""

from dataclasses import fields, replace

import pytest

from superpod.catalog.load import Catalogue
from superpod.plan.cost.answer import CostQuestion, cost_report
from superpod.plan.evaluate import evaluate, planned, whole_answer
from superpod.plan.power.answer import PowerQuestion, power
from superpod.plan.power.work import PHASES, TYPICAL
from superpod.plan.report import Report
from superpod.plan.scenario import Scenario, Serving, Training
from superpod.plan.serving.result import PoolUse
from superpod.plan.serving.search import Deployment
from superpod.plan.serving.whole import traffic_whole
from superpod.plan.whole.result import Whole
from superpod.plan.whole.words import lost

CATALOGUE = Catalogue()
TRAIN = Scenario(model="qwen3-30b-a3b", pod="hgx-h100", cards=64, work=Training(batch_sequences=512))
SERVE = Scenario(model="qwen3-30b-a3b", pod="hgx-h100", cards=16, work=Serving())


@pytest.fixture(scope="module", params=[TRAIN, SERVE], ids=["train", "serve"])
def report(request: pytest.FixtureRequest) -> Report:
    return evaluate(CATALOGUE, request.param)


def whole_of(report: Report) -> Whole:
    assert report.whole is not None
    return report.whole


def test_energy_of_a_token_times_the_rate_is_the_sites_power(report: Report) -> None:
    found = whole_of(report).power
    assert found is not None
    assert found.token_energy_j * report.headline.value == pytest.approx(found.site_w, rel=1e-12)
    assert found.site_w == pytest.approx(found.it_w * found.pue_ratio, rel=1e-12)
    assert found.card_w * report.cards_count == pytest.approx(found.site_w, rel=1e-12)
    assert found.p10_w < found.site_w < found.p90_w
    assert found.basis == PHASES


def test_parts_of_cost_are_its_total_and_its_tokens(report: Report) -> None:
    whole = whole_of(report)
    money = whole.money
    assert money is not None
    parts = sum(float(getattr(money.running, item.name)) for item in fields(money.running))
    assert parts == pytest.approx(money.total_usd_per_s, rel=1e-12)
    assert money.card_hour_usd * report.cards_count / 3600 == pytest.approx(money.total_usd_per_s, rel=1e-12)
    assert money.mtoken_usd * whole.kept_per_s / 1e6 == pytest.approx(money.total_usd_per_s, rel=1e-12)
    assert 0.0 < money.p10_usd < money.p90_usd


def test_goodput_and_losses_are_all_time(report: Report) -> None:
    left = whole_of(report).failures
    assert left.goodput_frac + sum(left.losses.values()) == pytest.approx(1.0, rel=1e-9)
    assert 0.5 < left.goodput_frac < 1.0
    assert "of 30 days are lost" in lost(whole_of(report))


def test_every_fact_of_power_failures_and_cost_is_cited(report: Report) -> None:
    cited = {used.where.partition("/")[0] for used in report.facts}
    assert {"chip_power", "facility_parts", "failures", "costs", "facilities"} <= cited
    assert len({used.where for used in report.facts}) == len(report.facts)
    assert not any(used.where.startswith("climates/") for used in report.facts)


@pytest.mark.parametrize("scenario", [TRAIN, SERVE], ids=["train", "serve"])
def test_the_verbs_power_and_cost_say_the_same(scenario: Scenario) -> None:
    whole = whole_of(evaluate(CATALOGUE, scenario))
    assert whole.power is not None
    assert whole.money is not None
    drawn = next(item for item in power(CATALOGUE, PowerQuestion(scenario=scenario)).metrics if item.key == "it_w")
    assert drawn.value == pytest.approx(whole.power.it_w, rel=1e-9)
    spent = cost_report(CATALOGUE, CostQuestion(pod=scenario.pod, cards=scenario.cards, scenario=scenario))
    assert spent.card_hour_usd == pytest.approx(whole.money.card_hour_usd, rel=1e-9)
    assert spent.goodput_frac == pytest.approx(whole.failures.goodput_frac, rel=1e-9)
    assert spent.drawn_w == pytest.approx(whole.power.it_w, rel=1e-9)


def test_a_pod_stands_for_a_chip_whose_power_is_unpublished() -> None:
    scenario = replace(TRAIN, pod="cloudmatrix384", cards=384)
    for catalogue, basis in ((CATALOGUE, TYPICAL), (Catalogue(estimates=True), PHASES)):
        found = planned(catalogue, scenario)
        power_of = whole_answer(catalogue, scenario, found.made, found.answer)[0].power
        assert power_of is not None
        assert power_of.basis == basis
        assert (power_of.chip_w is None) == (basis == TYPICAL)
        assert power_of.it_w == pytest.approx(559e3, rel=1e-9 if basis == TYPICAL else 0.25)


def test_nothing_is_said_of_power_and_cost_where_nothing_is_published() -> None:
    whole = whole_of(evaluate(CATALOGUE, replace(SERVE, pod="atlas950-1024", cards=64)))
    assert whole.power is None
    assert whole.money is None
    assert any("power.max_w" in lack for lack in whole.lacks)
    assert 0.5 < whole.failures.goodput_frac < 1.0


def test_without_a_price_power_stands_alone() -> None:
    whole = whole_of(evaluate(CATALOGUE, replace(SERVE, pod="hgx-h200")))
    assert whole.power is not None
    assert whole.money is None
    assert any("price.usd" in lack for lack in whole.lacks)


def test_points_of_a_front_draw_what_their_own_phases_do() -> None:
    report = evaluate(CATALOGUE, TRAIN)
    assert report.searched is not None
    whole, best = whole_of(report), report.searched.front[0]
    assert whole.power is not None
    assert whole.money is not None
    assert best.energy_j == pytest.approx(whole.power.site_w * best.step_s, rel=1e-6)
    assert best.cost_usd == pytest.approx(whole.money.total_usd_per_s * best.step_s, rel=1e-6)


def used(report: Report, plan: Deployment, busy_frac: float) -> PoolUse:
    """Return a pool of all instances that decodes so much of the time, full while it does."""
    ranks = float(report.cards_used_count) / plan.decode_instances
    room = 64.0
    return PoolUse(
        name="all",
        instances_count=round(plan.decode_instances),
        ranks_count=ranks,
        decode_frac=busy_frac,
        prompt_frac=0.0,
        mixed_frac=0.0,
        capacity_tokens=1e6,
        held_count=room * busy_frac,
        room_count=room,
    )


def test_an_idle_fleet_draws_less_than_a_busy_one() -> None:
    scenario = replace(SERVE, work=Serving(mode="aggregated"))
    report, found = evaluate(CATALOGUE, scenario), planned(CATALOGUE, scenario)
    plan = found.answer.plan
    assert isinstance(plan, Deployment)
    drawn = []
    for busy in (0.0, 0.5, 1.0):
        pools = (used(report, plan, busy),)
        whole, _ = traffic_whole(CATALOGUE, "us-large", found.made, scenario.work, plan, (pools, 1000.0))  # type: ignore[arg-type]
        assert whole.power is not None
        drawn.append(whole.power.it_w)
    assert drawn[0] < drawn[1] < drawn[2]
    assert drawn[1] == pytest.approx((drawn[0] + drawn[2]) / 2.0, rel=0.02)
