"""Cost of a machine: storage, resale, what is given by the user, and ranges of tokens and runs."""

import pytest

from superpod.catalog.load import Catalogue
from superpod.errors import MissingFactError
from superpod.plan.cost.answer import CostQuestion, cost_report
from superpod.plan.scenario import Scenario, Training

CATALOGUE = Catalogue()


def test_storage_and_resale_are_counted_where_they_are_asked_for() -> None:
    plain = cost_report(CATALOGUE, CostQuestion(pod="gb200-nvl72"))
    assert "storage" in plain.notes[0]
    assert "resale" in plain.notes[0]
    asked = cost_report(CATALOGUE, CostQuestion(pod="gb200-nvl72", storage_bytes=1e15, resale_frac=0.2))
    assert "storage" not in asked.notes[0]
    assert "resale" not in asked.notes[0]
    line = next(line for line in asked.bill if "storage" in line.name)
    assert (line.amount_count, line.each_usd, line.whole_usd) == pytest.approx((1000.0, 220.0, 220e3))
    assert float(asked.running.machines_usd_per_s) < float(plain.running.machines_usd_per_s)
    assert all(check.holds for check in asked.checks)
    assert any(bar.where.endswith("storage_usd_per_byte") for bar in asked.spread.bars)


def test_a_missing_price_names_the_option_that_gives_it() -> None:
    with pytest.raises(MissingFactError, match="has not been published") as error:
        cost_report(CATALOGUE, CostQuestion(pod="ironwood-9216"))
    assert "--price" in error.value.hint


def test_making_the_machines_is_beside_the_grid_and_in_no_token() -> None:
    report = cost_report(CATALOGUE, CostQuestion(pod="gb200-nvl72"))
    years = float(report.footprint.embodied_kg_per_s) / float(report.footprint.carbon_kg_per_s)
    assert 0.002 < years < 0.1
    assert any(used.where.endswith("embodied_card_kg") for used in report.facts)


def test_tokens_and_runs_have_ranges_and_a_tornado() -> None:
    scenario = Scenario(model="llama-2-70b", pod="gb200-nvl72", work=Training(batch_sequences=256))
    report = cost_report(CATALOGUE, CostQuestion(pod="gb200-nvl72", scenario=scenario, run_tokens=1e12))
    assert report.tokens is not None
    assert report.run is not None
    wide = report.tokens.spread
    assert wide.p10 < wide.p50 < wide.p90
    assert any(bar.where.startswith("failures/") for bar in wide.bars)
    assert report.run.whole_usd == pytest.approx(report.tokens.out_mtoken_usd * 1e6)
    assert report.run.p10_usd == pytest.approx(wide.p10 * 1e6)
    total = float(report.running.total_usd_per_s)
    assert report.run.whole_usd == pytest.approx(total * report.run.time_s)
