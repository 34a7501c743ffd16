"""Goodput of a job: what stragglers, planned work and the cards that it has while it runs take from it."""

from dataclasses import replace

import pytest

from superpod.catalog.load import Catalogue
from superpod.catalog.provenance import FactReader
from superpod.plan.goodput import GoodputQuestion, goodput_report
from superpod.reliability.checkpoint import Checkpoint
from superpod.reliability.goodput import Job, goodput, planned_share
from superpod.reliability.rates import read_rates
from superpod.reliability.spares import Usable

CATALOGUE = Catalogue()
BOOK = CATALOGUE.failures("fleet")
RATES = read_rates(FactReader(kind="failures", entry=BOOK), BOOK)
DAY_S = 86_400.0
JOB = Job(
    cards_count=384.0,
    nodes_count=48.0,
    stopping_per_s=0.2 / DAY_S,
    checkpoint=Checkpoint(size_bytes=1e13, stall_s=5.0, persist_s=100.0),
    usable=Usable(reserved_frac=0.1, stranded_frac=0.05),
)


def test_stragglers_take_what_a_fleet_measured_and_nothing_of_one_server() -> None:
    none = replace(RATES, straggler_frac=0.0)
    ratio = float(goodput(JOB, RATES).goodput_frac) / float(goodput(JOB, none).goodput_frac)
    assert ratio == pytest.approx(1.0 - 0.104)
    alone = goodput(replace(JOB, nodes_count=1.0), RATES)
    assert float(alone.straggler_frac) == 0.0


def test_planned_work_loses_windows_and_a_restart_each_but_no_work() -> None:
    """47 interruptions in 54 days of 490 s each are half a percent."""
    rates = replace(RATES, planned_per_s=47 / 54 / DAY_S)
    assert float(planned_share(rates, 480.0, 10.0)) == pytest.approx(47 * 490 / (54 * DAY_S + 47 * 490))
    assert float(planned_share(replace(rates, planned_per_s=0.0), 480.0, 10.0)) == 0.0
    window = replace(rates, planned_per_s=0.0, maintenance_frac=8.0 / 720.0)
    assert float(planned_share(window, 480.0, 10.0)) == pytest.approx(0.0111, abs=1e-4)


def test_goodput_and_its_losses_are_all_time() -> None:
    found = goodput(JOB, replace(RATES, maintenance_frac=0.02))
    assert float(found.goodput_frac) + sum(float(share) for share in found.losses().values()) == pytest.approx(1.0)
    assert float(found.planned_frac) > 0.02 * float(found.goodput_frac)


def test_a_job_that_waits_stops_as_often_while_it_runs() -> None:
    """Half of the time waiting: the job has all cards while it runs, so failures are as frequent as without waiting."""
    waits = replace(JOB, usable=Usable(reserved_frac=0.0, stranded_frac=0.5, waiting_frac=0.5))
    whole = replace(JOB, usable=Usable(reserved_frac=0.0, stranded_frac=0.0))
    half = replace(JOB, usable=Usable(reserved_frac=0.0, stranded_frac=0.5))
    assert float(goodput(waits, RATES).effective_frac) == pytest.approx(float(goodput(whole, RATES).effective_frac))
    assert float(goodput(half, RATES).effective_frac) > float(goodput(waits, RATES).effective_frac)


def test_checkpoints_follow_the_model_and_the_ways_of_the_pod() -> None:
    """14 bytes a parameter over 80 GB/s a card to host memory, and 122 MB/s a card of storage, beside a second each."""
    saved = goodput_report(CATALOGUE, "cloudmatrix384", GoodputQuestion(model="deepseek-v3")).saved
    assert saved.size_bytes == pytest.approx(14.0 * 682.6e9, rel=0.01)
    share = saved.size_bytes / 384
    assert saved.stall_s == pytest.approx(1.0 + share / 80e9)
    assert saved.persist_s == pytest.approx(1.0 + share / 1.22e8)
    asked = GoodputQuestion(model="deepseek-v3", storage_bytes_per_s=1e12)
    assert goodput_report(CATALOGUE, "cloudmatrix384", asked).saved.persist_s == pytest.approx(
        1.0 + saved.size_bytes / 1e12
    )


def test_a_pod_whose_host_link_is_not_published_keeps_the_assumed_stall() -> None:
    saved = goodput_report(CATALOGUE, "ironwood-9216", GoodputQuestion(model="deepseek-v3")).saved
    assert saved.stall_s == 10.0
    assert "assumed" in saved.how


def test_a_planned_outage_costs_its_share() -> None:
    none, month = (
        goodput_report(CATALOGUE, "cloudmatrix384", GoodputQuestion(maintenance_frac=share)) for share in (0.0, 0.01)
    )
    assert float(month.goodput.goodput_frac) == pytest.approx(0.99 * float(none.goodput.goodput_frac))


def test_software_failures_do_not_wait_for_a_repair() -> None:
    report = goodput_report(CATALOGUE, "cloudmatrix384", GoodputQuestion(instance_cards_count=160))
    alone = report.serving.failure_per_s * float(RATES.repair_mean_s)
    assert float(report.serving.waiting_frac) > 1.0 / (1.0 + alone)
    assert [row.needed_count for row in report.quorums] == [20, 19, 18]
    assert report.quorums[0].up_frac < report.quorums[1].up_frac < report.quorums[2].up_frac
