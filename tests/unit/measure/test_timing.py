"""Statistics of repeats, without any clock but the test's."""

from collections.abc import Callable

import numpy as np
import pytest

from superpod.errors import MeasurementError
from superpod.measure.timing import Rule, burst_count, quantile, repeat, settled, summarise


def recorder(seconds: Callable[[int], float]) -> tuple[Callable[[int], float], list[int]]:
    """Return bursts that take `seconds(turn)` a call, and the sizes of those that were asked for."""
    sizes: list[int] = []

    def burst(count: int) -> float:
        sizes.append(count)
        return seconds(len(sizes)) * count

    return burst, sizes


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_quantiles_are_numpys(share: float) -> None:
    numbers = sorted([3.0, 1.0, 4.0, 1.5, 9.0, 2.6])
    assert quantile(numbers, share) == pytest.approx(np.quantile(numbers, share))


def test_spread_is_between_tenth_and_ninetieth_percentile() -> None:
    timing = summarise([float(number) for number in range(1, 12)])
    assert (timing.median_s, timing.repeats_count) == (6.0, 11)
    assert timing.spread_frac == pytest.approx((10.0 - 2.0) / 6.0)


def test_a_single_repeat_has_no_spread() -> None:
    assert summarise([2.0]).spread_frac is None


@pytest.mark.parametrize("samples", [[], [0.0, 0.0, 0.0], [float("nan")], [float("inf")]])
def test_a_clock_that_stands_still_is_an_error(samples: list[float]) -> None:
    with pytest.raises(MeasurementError, match="clock"):
        summarise(samples)


def test_steady_calls_stop_at_the_least_count() -> None:
    burst, _ = recorder(lambda _turn: 1e-4)
    assert repeat(burst, 1, Rule(least_s=0.0)).repeats_count == Rule().least_count


def test_steady_calls_are_looked_at_for_a_while() -> None:
    """A clock that has yet to rise, or a neighbour's time slice, is steady for some milliseconds too."""
    burst, _ = recorder(lambda _turn: 1e-4)
    assert repeat(burst, 1, Rule(burst_s=1e-3, least_s=0.05)).repeats_count == pytest.approx(50, abs=1)


def test_unsteady_calls_stop_at_the_most_count_or_the_time() -> None:
    burst, _ = recorder(lambda turn: 1e-4 * (1 + turn % 2))
    assert repeat(burst, 1, Rule(time_s=1e9, most_count=40)).repeats_count == 40
    burst, _ = recorder(lambda turn: 0.05 * (1 + turn % 2))
    assert Rule().few_count <= repeat(burst, 1, Rule(time_s=0.3)).repeats_count < Rule().least_count


def test_long_calls_are_taken_once() -> None:
    burst, sizes = recorder(lambda _turn: 11.0)
    timing = repeat(burst, 1, Rule(long_s=10.0))
    assert (timing.median_s, timing.repeats_count, sizes) == (11.0, 1, [1])


def test_slow_first_calls_do_not_count() -> None:
    burst, _ = recorder(lambda turn: 1.0 if turn <= 2 else 1e-3)
    timing = repeat(burst, 1, Rule())
    assert timing.median_s == pytest.approx(1e-3)
    assert timing.spread_frac == pytest.approx(0.0)


def test_bursts_last_long_enough_and_go_round_all_sets() -> None:
    rule = Rule(burst_s=1e-3, calls_most_count=1000)
    assert burst_count(1e-5, 1, rule) == 100
    assert burst_count(1e-9, 1, rule) == 1000
    assert burst_count(1.0, 1, rule) == 1
    burst, sizes = recorder(lambda _turn: 3e-5)
    repeat(burst, 7, rule)
    assert all(size % 7 == 0 for size in sizes)
    assert max(sizes) * 3e-5 >= rule.burst_s


def test_few_repeats_are_not_called_settled() -> None:
    assert not settled([1.0] * 9, 0.0, Rule(least_count=10))
    assert not settled([1.0] * 2, 1e9, Rule(few_count=3))
    assert settled([1.0] * 10, 0.1, Rule(least_count=10, least_s=0.1))
    assert not settled([1.0] * 10, 0.09, Rule(least_count=10, least_s=0.1))
    assert not settled([1.0, 2.0] * 5, 0.1, Rule(least_count=10))
