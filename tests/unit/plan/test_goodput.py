"""Goodput and cost of machines: what each answer must hold, and what is refused."""

import json
from dataclasses import replace

import pytest

from superpod.catalog.load import Catalogue
from superpod.cli import html, tables
from superpod.cli.cost_page import cost_page
from superpod.cli.jsonform import dumps
from superpod.cli.reliability_page import reliability_page
from superpod.errors import ScenarioError
from superpod.plan.cost.answer import CostQuestion, cost_report
from superpod.plan.goodput.answer import GoodputQuestion, goodput_of, goodput_report
from superpod.plan.machine import machine
from superpod.plan.scenario import Scenario, Serving, Training

CATALOGUE = Catalogue()
PLAYED = GoodputQuestion(model="deepseek-v3", histories_count=50)


@pytest.mark.parametrize("pod", ["cloudmatrix384", "cloudmatrix384-x432", "gb200-nvl72", "hgx-h100", "ironwood-9216"])
def test_shares_add_up_and_checks_hold(pod: str) -> None:
    report = goodput_report(CATALOGUE, pod, GoodputQuestion())
    assert float(report.goodput.goodput_frac) + sum(report.losses.values()) == pytest.approx(1.0)
    assert all(check.holds for check in report.checks)
    assert 0.0 <= report.spread.p10 <= report.spread.p50 <= report.spread.p90 <= 1.0


def test_larger_machines_keep_less() -> None:
    rows = goodput_report(CATALOGUE, "cloudmatrix384", GoodputQuestion(spares="shrink")).scale
    effective = [row.effective_frac for row in rows]
    assert effective == sorted(effective, reverse=True)


def test_auto_takes_the_best_that_any_machine_can_do() -> None:
    report = goodput_report(CATALOGUE, "cloudmatrix384", GoodputQuestion())
    rows = {row.name: row.goodput_frac for row in report.policies}
    assert rows[report.policy] == max(rows[name] for name in ("none", "in-pod", "warm", "shrink"))


def test_a_seed_gives_the_same_document() -> None:
    one, two = (dumps("x", {"report": goodput_report(CATALOGUE, "gb200-nvl72", PLAYED)}) for _ in range(2))
    assert one == two
    assert json.loads(one)["report"]["played"]["histories_count"] == 50


def test_a_step_and_what_waits_in_it_come_from_training() -> None:
    scenario = Scenario(model="deepseek-v3", pod="cloudmatrix384", work=Training())
    made = machine(CATALOGUE, scenario)
    report = goodput_of(CATALOGUE, made, 4000.0, replace(PLAYED, histories_count=0))
    assert report.model == "deepseek-v3"
    assert report.saved.interval_s >= 4000.0


def test_synchronous_checkpoints_stall_for_the_whole_writing() -> None:
    beside = goodput_report(CATALOGUE, "cloudmatrix384", replace(PLAYED, histories_count=0))
    stopped = goodput_report(CATALOGUE, "cloudmatrix384", replace(PLAYED, histories_count=0, synchronous=True))
    assert stopped.saved.persist_s == 0.0
    assert stopped.saved.stall_s == pytest.approx(beside.saved.persist_s)


def test_both_sizes_are_refused() -> None:
    with pytest.raises(ScenarioError, match="both --pods and --cards"):
        goodput_report(CATALOGUE, "cloudmatrix384", GoodputQuestion(), pods=1, cards=8)


def test_tokens_in_and_out_pay_for_the_whole_machine() -> None:
    scenario = Scenario(model="deepseek-r1", pod="cloudmatrix384", work=Serving())
    report = cost_report(CATALOGUE, CostQuestion(pod="cloudmatrix384", scenario=scenario))
    tokens = report.tokens
    assert tokens is not None
    assert tokens.in_mtoken_usd is not None
    out = tokens.out_mtoken_usd * tokens.tokens_per_s
    spent = (out + tokens.in_mtoken_usd * tokens.tokens_per_s * 4.0) / 1e6 * report.goodput_frac
    assert spent == pytest.approx(float(report.running.total_usd_per_s), rel=1e-6)


@pytest.mark.parametrize("full", [False, True])
def test_pages_draw(full: bool) -> None:
    failures = reliability_page(goodput_report(CATALOGUE, "cloudmatrix384", PLAYED), CATALOGUE.sources(), full=full)
    money = cost_page(cost_report(CATALOGUE, CostQuestion(pod="cloudmatrix384")), CATALOGUE.sources(), full=full)
    for page in (failures, money):
        assert all(len(line) <= 100 for line in tables.plain(page, 100).splitlines()) or full
        assert "<html" in html.render(page)
    assert "rework since the last checkpoint" in tables.plain(failures, 120)
