"""Machines under a feed: closed forms, bounds, and the law of large numbers."""

from math import comb

import numpy as np
import pytest

from superpod.facility.power.provisioning import EXACT_COUNT, Levels, apart, exceeded, together

COIN = Levels(power_w=np.array([1.0, 3.0]), share_frac=np.array([0.6, 0.4]))
FLAT = Levels(power_w=np.array([2.0]), share_frac=np.array([1.0]))


def binomial_tail(machines: int, most_high: int, share: float = 0.4) -> float:
    """Return Pr(more than so many are high)."""
    return sum(comb(machines, k) * share**k * (1 - share) ** (machines - k) for k in range(most_high + 1, machines + 1))


@pytest.mark.parametrize("machines", [1, 5, 40, 200])
def test_two_levels_are_a_binomial(machines: int) -> None:
    for high in (0, machines // 3, machines // 2):
        feed = machines * 1.0 + 2.0 * high
        assert exceeded(COIN, machines, feed) == pytest.approx(binomial_tail(machines, high), abs=1e-9)


def test_mean_spread_and_quantiles_by_hand() -> None:
    assert COIN.mean_w == pytest.approx(1.8)
    assert COIN.spread_w == pytest.approx(np.sqrt(0.24) * 2.0)
    assert [COIN.quantile_w(x) for x in (0.0, 0.39, 0.4, 0.9)] == [3.0, 3.0, 1.0, 1.0]


def test_machines_in_step_gain_nothing_but_the_quantile() -> None:
    assert together(COIN, 30.0, 0.01) == 10
    assert together(COIN, 30.0, 0.5) == 30


@pytest.mark.parametrize("feed", [30.0, 300.0, 3000.0, 30_000.0])
def test_independent_machines_lie_between_their_peak_and_their_mean(feed: float) -> None:
    found = apart(COIN, feed, 0.01)
    assert feed / 3.0 <= found <= feed / COIN.mean_w
    assert exceeded(COIN, found, feed) <= 0.01 < exceeded(COIN, found + 1, feed)


def test_the_gain_grows_with_the_feed_and_nears_the_mean() -> None:
    gains = [apart(COIN, feed, 0.01) * 1.8 / feed for feed in (10.0, 100.0, 1000.0, 1e5)]
    assert gains == sorted(gains)
    assert gains[-1] > 0.99


def test_more_time_above_the_feed_never_means_fewer_machines() -> None:
    counts = [apart(COIN, 100.0, share) for share in (0.0, 0.001, 0.01, 0.1)]
    assert counts == sorted(counts)
    assert counts[0] == 33


def test_an_even_load_has_no_diversity() -> None:
    assert apart(FLAT, 100.0, 0.01) == together(FLAT, 100.0, 0.01) == 50


def test_the_normal_sum_joins_the_exact_one() -> None:
    feed = 1.85 * EXACT_COUNT
    exact, normal = exceeded(COIN, EXACT_COUNT, feed), exceeded(COIN, EXACT_COUNT + 1, feed * (1 + 1 / EXACT_COUNT))
    assert normal == pytest.approx(exact, abs=0.02)


def test_a_simulation_agrees() -> None:
    drawn = np.random.default_rng(1)
    levels = Levels(power_w=np.array([1.0, 2.5, 4.0]), share_frac=np.array([0.5, 0.3, 0.2]))
    totals = drawn.choice(levels.power_w, p=levels.share_frac, size=(40_000, 20)).sum(axis=1)
    assert exceeded(levels, 20, 50.0) == pytest.approx(float(np.mean(totals > 50.0)), abs=0.01)
