"""Histories: the same seed, the closed form as their mean, waves, spares that run out."""

from dataclasses import replace

import numpy as np
import pytest

from superpod.catalog.load import Catalogue
from superpod.catalog.provenance import FactReader
from superpod.reliability.checkpoint import best_interval_s, effective_frac
from superpod.reliability.montecarlo import DAY_S, Setting, histories
from superpod.reliability.rates import read_rates
from superpod.reliability.spares import Group

BOOK = Catalogue().failures("fleet")
RATES = read_rates(FactReader(kind="failures", entry=BOOK), BOOK)
RATE = 2048 * 4e-3 / DAY_S
SETTING = Setting(
    group=Group(cards_count=16384.0, pod_cards_count=8.0, node_cards_count=8.0, group_cards_count=8.0, down_frac=0.019),
    policy="warm",
    stopping_per_s=RATE,
    repaired_frac=0.85,
    lost_s=600.0,
    interval_s=float(best_interval_s(10.0, RATE)),
    stall_s=10.0,
    spares_count=100.0,
    rates=RATES,
)
LENGTH_S = 90.0 * DAY_S


def test_a_seed_gives_the_same_histories_on_any_number_of_threads() -> None:
    one, two = (histories(SETTING, 60, LENGTH_S, 7, threads=threads) for threads in (1, 2))
    assert np.array_equal(one.goodput_frac, two.goodput_frac)
    assert not np.array_equal(one.goodput_frac, histories(SETTING, 60, LENGTH_S, 8).goodput_frac)


def test_without_waves_the_mean_is_the_closed_form() -> None:
    calm = replace(SETTING, rates=replace(RATES, weekly_ratio=1.0))
    drawn = histories(calm, 400, LENGTH_S, 1)
    closed = float(effective_frac(RATE, 600.0, calm.interval_s, 10.0))
    assert drawn.effective_frac.mean() == pytest.approx(closed, abs=0.003)
    assert drawn.stops_count.mean() == pytest.approx(RATE * LENGTH_S, rel=0.01)
    assert drawn.stops_count.var() / drawn.stops_count.mean() == pytest.approx(1.0, abs=0.25)


def test_waves_spread_what_happens_and_keep_its_mean() -> None:
    block = replace(SETTING, group=replace(SETTING.group, cards_count=3200.0), stopping_per_s=400 * 4e-3 / DAY_S)
    week = histories(block, 4000, 7.0 * DAY_S, 1)
    assert week.stops_count.mean() == pytest.approx(11.2, rel=0.03)
    assert week.stops_count.var() / week.stops_count.mean() == pytest.approx(5.1, rel=0.12)


def test_servers_down_are_those_of_little() -> None:
    drawn = histories(SETTING, 300, LENGTH_S, 1)
    expected = RATE * 0.85 * float(RATES.repair_mean_s)
    assert drawn.down_mean_count.mean() == pytest.approx(expected, rel=0.03)


def test_too_few_spares_cost_time() -> None:
    few = histories(replace(SETTING, spares_count=40.0), 100, LENGTH_S, 1)
    assert few.used_frac.mean() < histories(SETTING, 100, LENGTH_S, 1).used_frac.mean()


def test_no_spares_wait_for_every_repair() -> None:
    assert histories(replace(SETTING, policy="none"), 20, LENGTH_S, 1).used_frac.max() == 0.0
