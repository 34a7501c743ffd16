"""Checkpoints: sizes, intervals, and the share of time that becomes work which stays."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from superpod.errors import NoBasisError
from superpod.reliability.checkpoint import (
    best_interval_s,
    effective_frac,
    first_order_frac,
    time_shares,
    written_s,
    young_s,
)
from superpod.reliability.montecarlo import effective_drawn_frac

RATES = st.floats(1e-8, 1e-2)
TIMES = st.floats(1.0, 3600.0)


def test_writing_is_as_slow_as_the_slower_of_storage_and_cards() -> None:
    assert written_s(2e12, 1e12, 100.0, 1e12) == 2.0
    assert written_s(2e12, 1e13, 2.0, 1e11) == 10.0


def test_young_is_right_where_failures_are_rare() -> None:
    assert best_interval_s(10.0, 1e-8) == pytest.approx(young_s(10.0, 1e-8), rel=1e-3)


@given(stall=TIMES, rate=RATES)
def test_no_interval_beats_the_best(stall: float, rate: float) -> None:
    best = float(best_interval_s(stall, rate))
    reached = effective_frac(rate, 60.0, best, stall)
    assert all(
        effective_frac(rate, 60.0, best * factor, stall) <= reached * (1 + 1e-9) for factor in (0.8, 0.95, 1.05, 1.3)
    )


@given(stall=TIMES, rate=RATES, lost=TIMES, interval=TIMES)
def test_shares_of_time_add_up(stall: float, rate: float, lost: float, interval: float) -> None:
    found = time_shares(rate, lost, interval, stall)
    parts = (found.effective_frac, found.stall_frac, found.recovery_frac, found.rework_frac)
    assert sum(float(part) for part in parts) == pytest.approx(1.0, abs=1e-9)
    assert all(0.0 <= float(part) <= 1.0 for part in parts)


@given(stall=TIMES, rate=RATES, lost=TIMES)
def test_more_failures_and_longer_restarts_leave_less(stall: float, rate: float, lost: float) -> None:
    interval = float(best_interval_s(stall, rate))
    base = effective_frac(rate, lost, interval, stall)
    assert effective_frac(2.0 * rate, lost, interval, stall) <= base
    assert effective_frac(rate, 2.0 * lost, interval, stall) <= base


@pytest.mark.parametrize(
    ("rate", "lost", "stall"), [(9e-5, 600.0, 10.0), (5.5e-4, 600.0, 10.0), (1.2e-3, 600.0, 300.0)]
)
def test_the_closed_form_is_what_draws_give(rate: float, lost: float, stall: float) -> None:
    interval = float(best_interval_s(stall, rate))
    drawn = effective_drawn_frac(rate, lost, interval, stall, 300_000, 0)
    assert effective_frac(rate, lost, interval, stall) == pytest.approx(drawn, abs=0.003)


def test_the_first_order_form_agrees_where_it_holds_and_is_refused_elsewhere() -> None:
    assert first_order_frac(1e-5, 600.0, 1000.0, 10.0) == pytest.approx(
        effective_frac(1e-5, 600.0, 1000.0, 10.0), abs=0.01
    )
    with pytest.raises(NoBasisError, match="expected at most"):
        first_order_frac(5.5e-4, 600.0, 191.0, 10.0)


def test_columns_are_their_rows() -> None:
    rates = np.array([1e-6, 1e-4, 1e-3])
    best = best_interval_s(10.0, rates)
    assert best == pytest.approx([float(best_interval_s(10.0, float(rate))) for rate in rates])
