"""Goodput of a job: what slow servers, planned work and the cards that it has while it runs take from it."""

from dataclasses import replace

import numpy as np
import pytest

from superpod.catalog.load import Catalogue
from superpod.catalog.provenance import FactReader
from superpod.plan.goodput.answer import GoodputQuestion, goodput_report
from superpod.reliability.checkpoint import Checkpoint
from superpod.reliability.goodput import Job, goodput, planned_share, slow_share
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


def test_slow_servers_cost_more_the_more_there_are_and_never_more_than_their_slowness() -> None:
    """2,048 servers: slow 0.55 % of the time, by a quarter. One of many slow servers is as bad as many."""
    shares = [float(slow_share(RATES, count)) for count in (0.0, 1.0, 48.0, 2048.0, 1e9)]
    assert shares[0] == 0.0
    assert shares == sorted(shares)
    assert shares[3] == pytest.approx(2048 * 6.28e-10 * 4320 * 0.257, rel=0.01)
    assert shares[4] == pytest.approx(0.257)


def test_slow_servers_against_draws() -> None:
    """Onsets by a Poisson process on each of 500 servers, each for an exponential time of that mean, in 40 years."""
    rng = np.random.default_rng(4)
    rates = replace(RATES, slow_per_s=2e-9)
    count, length = 500.0, 40.0 * 365.0 * DAY_S
    starts = rng.uniform(0.0, length, rng.poisson(count * 2e-9 * length))
    ends = starts + rng.exponential(4320.0, len(starts))
    times = rng.uniform(0.1 * length, length, 40_000)
    open_now = np.searchsorted(np.sort(starts), times) - np.searchsorted(np.sort(ends), times)
    assert float(slow_share(rates, count)) == pytest.approx(0.257 * float((open_now > 0).mean()), rel=0.25)


def test_slow_servers_of_a_fleet_are_of_the_size_that_bytedance_found() -> None:
    """Held out: 10.4 % of GPU hours straggle (arXiv 2505.05713), 1.7 % of such jobs by slow servers: about 0.18 %."""
    assert 0.104 * 0.017 / 3.0 < float(slow_share(RATES, 2048.0)) < 0.104 * 0.017 * 3.0


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
