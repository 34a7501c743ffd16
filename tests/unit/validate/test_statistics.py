"""Sums of errors on numbers small enough to check by hand."""

import numpy as np
import pytest

from superpod.validate.bands import Bands, exceeded
from superpod.validate.prediction import Prediction
from superpod.validate.statistics import floors, kendall_tau, orders, rankings, summary, worst


def row(point: str, measured: float, predicted: float | None, **changes: object) -> Prediction:
    values: dict[str, object] = {
        "point": point,
        "kind": "training",
        "what": "step",
        "source": "one",
        "hardware": "h",
        "chip": "c",
        "measured": measured,
        "predicted": predicted,
        "reason": "" if predicted else "why not",
        **changes,
    }
    return Prediction(**values)  # type: ignore[arg-type]


def test_a_summary_counts_what_it_says() -> None:
    rows = [row("a", 1.0, 1.05), row("b", 1.0, 0.85), row("c", 1.0, 2.0, low=0.9, high=3.0), row("d", 1.0, None)]
    found = summary("all", "training", rows)
    assert (found.count, found.refused_count) == (3, 1)
    assert found.median == pytest.approx(0.15)
    assert found.signed_median == pytest.approx(0.05)
    assert found.within_10_frac == pytest.approx(1 / 3)
    assert found.within_20_frac == pytest.approx(2 / 3)
    assert found.covered_frac == 1.0
    assert found.worst_point == "c (step)"


def test_an_empty_group_has_no_numbers() -> None:
    assert summary("none", "training", [row("d", 1.0, None)]).median is None


@pytest.mark.parametrize(
    ("other", "tau"), [([1, 2, 3, 4], 1.0), ([4, 3, 2, 1], -1.0), ([1, 1, 2, 2], 0.8164965809), ([5, 5, 5, 5], 0.0)]
)
def test_kendalls_tau(other: list[float], tau: float) -> None:
    assert kendall_tau(np.arange(4.0), np.array(other, dtype=float)) == pytest.approx(tau)


def test_a_ladder_of_three_says_nothing() -> None:
    rows = [row(str(number), float(number), float(number), ladder="l") for number in range(1, 5)]
    assert [item.tau for item in rankings(rows)] == [1.0]
    assert not rankings(rows[:3])


def test_the_constant_share_is_that_of_other_sources() -> None:
    rows = [
        row("a", 2.0, 2.2, work_flop=10.0, family="f"),
        row("b", 1.0, 1.1, work_flop=10.0, family="f", source="two"),
        row("c", 1.0, 1.1, work_flop=10.0, family="g", source="two"),
    ]
    (floor,) = floors(rows)
    assert floor.count == 2
    assert floor.median == pytest.approx((0.5 + 1.0) / 2)  # a at b's rate: 1 s of 2; b at a's: 2 s of 1
    assert floor.our_median == pytest.approx(0.1)


def test_the_worst_are_off_by_the_largest_factor() -> None:
    rows = [row("double", 1.0, 2.0), row("third", 3.0, 1.0), row("near", 1.0, 1.1)]
    assert [item.point for item in worst(rows, 2)] == ["third", "double"]


def test_limits_are_judged_case_by_case_and_by_source() -> None:
    rows = tuple(row(str(number), 1.0, 1.0 + number / 10) for number in range(5))
    bands = Bands(cases={"4|step": 0.3, "gone|step": 0.5}, sources={"training|one: step": (0.1, 0.5)})
    found = {(item.where, item.what) for item in exceeded(rows, bands)}
    assert found == {
        ("4|step", "error"),
        ("gone|step", "is not predicted"),
        ("training|one: step", "median error"),
    }
    assert ("gone|step", "is not predicted") not in {
        (item.where, item.what) for item in exceeded(rows, bands, whole=False)
    }


def test_coverage_has_two_sides() -> None:
    rows = tuple(row(str(number), 1.0, 1.0, low=0.9, high=1.1) for number in range(5))
    assert [item.what for item in exceeded(rows, Bands(coverage=(0.7, 0.9)))] == ["coverage of the bands"]
    assert not exceeded(rows, Bands(coverage=(0.7, 0.9)), whole=False)


def test_chips_are_ordered_on_the_same_work_only() -> None:
    rows = [
        row("a", 1.0, 1.1, chip="new", twin="t"),
        row("b", 2.0, 1.9, chip="old", twin="t"),
        row("c", 1.0, 2.0, chip="new", twin="u"),
        row("d", 1.5, 1.0, chip="old", twin="u"),
        row("e", 1.0, 1.0, chip="new", twin="v"),
        row("f", 1.01, 0.9, chip="old", twin="v"),
        row("g", 9.0, 1.0, chip="old", twin="alone"),
    ]
    (found,) = orders(rows)
    assert (found.first, found.second, found.count) == ("new", "old", 2)
    assert found.kept_frac == 0.5
    assert found.measured_ratio == pytest.approx(1.5)
    assert found.predicted_ratio == pytest.approx(0.9)
