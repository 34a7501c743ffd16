"""Closed forms of repairable systems against known cases and draws."""

import numpy as np
import pytest

from superpod.errors import ScenarioError
from superpod.reliability.formulas import (
    Repair,
    availability,
    correlation,
    down_at_most,
    down_probabilities,
    quorum_failure_per_s,
)


def test_availability_of_a_series() -> None:
    assert availability(1.0 / 90.0, 10.0) == pytest.approx(0.9)


def test_a_quorum_of_all_fails_as_often_as_its_parts() -> None:
    assert quorum_failure_per_s(1e-9, 0.0, 4, 4) == pytest.approx(4e-9)


def test_one_of_two_fails_when_the_second_goes_during_the_repair() -> None:
    rate, repair = 1e-6, 1e4
    assert quorum_failure_per_s(rate, repair, 1, 2) == pytest.approx(2.0 * rate * rate * repair, rel=0.03)


def test_a_quorum_above_its_parts_is_refused() -> None:
    with pytest.raises(ScenarioError, match="quorum of 3 of 2"):
        quorum_failure_per_s(1e-9, 1.0, 3, 2)


def test_without_correlation_the_number_down_is_binomial() -> None:
    stats = pytest.importorskip("scipy.stats")
    found = [float(item) for item in down_probabilities(48, 0.02, 0.0)]
    assert found == pytest.approx(stats.binom.pmf(np.arange(49), 48, 0.02), abs=1e-12)


def test_with_correlation_it_is_beta_binomial_and_mean_stays() -> None:
    stats = pytest.importorskip("scipy.stats")
    rho, down = 0.0123, 0.0232
    found = np.array([float(item) for item in down_probabilities(400, down, rho)])
    a, b = down * (1.0 / rho - 1.0), (1.0 - down) * (1.0 / rho - 1.0)
    assert found == pytest.approx(stats.betabinom.pmf(np.arange(401), 400, a, b), abs=1e-9)
    assert found @ np.arange(401) == pytest.approx(400 * down)


def test_columns_are_their_rows() -> None:
    down = np.array([0.0, 0.01, 0.2])
    together = down_probabilities(18, down, 0.01)
    for place, share in enumerate(down):
        alone = [float(item) for item in down_probabilities(18, float(share), 0.01)]
        assert [float(item[place]) for item in together] == pytest.approx(alone)


def test_more_servers_need_a_smaller_share_of_spares() -> None:
    few, many = (down_at_most(count, 0.02, 5.9, 400.0, 0.999) / count for count in (400.0, 20_000.0))
    assert 0.02 < many < few


def test_independence_needs_fewer_spares() -> None:
    assert down_at_most(2048.0, 0.02, 1.0, 400.0, 0.999) < down_at_most(2048.0, 0.02, 5.9, 400.0, 0.999)


def test_correlation_of_independent_parts_is_none() -> None:
    assert correlation(1.0, 400.0) == 0.0


def test_repairs_have_the_median_and_the_mean_that_they_are_given() -> None:
    repair = Repair(median_s=0.85, mean_s=5.54)
    drawn = repair.drawn_s(np.random.default_rng(0), 400_000)
    assert np.median(drawn) == pytest.approx(0.85, rel=0.02)
    assert drawn.mean() == pytest.approx(5.54, rel=0.05)
    assert repair.quantile_s(0.9) == pytest.approx(13.0, rel=0.25)  # the trace that both are from
    assert repair.quantile_s(0.99) == pytest.approx(82.0, rel=0.1)


def test_a_repair_met_at_a_moment_has_more_to_go_than_an_exponential_one() -> None:
    repair = Repair(median_s=1.0, mean_s=1.5)
    left = repair.drawn_s(np.random.default_rng(0), 400_000, running=True)
    second = np.exp(2.0 * float(repair.sigma_factor) ** 2)  # E[R^2] of a median of 1
    assert left.mean() == pytest.approx(second / (2.0 * 1.5), rel=0.03)
