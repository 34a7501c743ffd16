"""Sums of errors on numbers small enough to check by hand."""

import numpy as np
import pytest

from superpod.validate.floors import floors
from superpod.validate.prediction import Prediction
from superpod.validate.rankings import ALIKE, FORMAT, OWN, kendall_tau, orders, rankings
from superpod.validate.statistics import (
    COVERED_COUNT,
    INCOMPLETE,
    by_quantity,
    by_source,
    coverages,
    grouped,
    summary,
    tallies,
    worst,
)


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
    assert found.count == 3
    assert found.median == pytest.approx(0.15)
    assert found.signed_median == pytest.approx(0.05)
    assert found.factor_median == pytest.approx(1.0 / 0.85)
    assert found.within_10_frac == pytest.approx(1 / 3)
    assert found.within_20_frac == pytest.approx(2 / 3)
    assert found.covered_frac == 1.0
    assert found.worst_point == "c (step)"


def test_half_counts_as_twice() -> None:
    """As a share of what was measured half is off by 50 % only; as a factor it is as far off as twice."""
    half, twice = (summary("", "", [row("a", 2.0, made)]) for made in (1.0, 4.0))
    assert (half.p90, twice.p90) == (0.5, 1.0)
    assert half.factor_p90 == twice.factor_p90 == 2.0
    assert summary("", "", [row("near", 1.0, 1.8), row("low", 2.0, 1.0)]).worst_point == "low (step)"


def test_an_empty_group_has_no_numbers() -> None:
    assert summary("none", "training", [row("d", 1.0, None)]).median is None


def test_refused_points_are_counted_whatever_they_are_called() -> None:
    """A refused point may name another number than a predicted one; it counts with its source and kind all the same."""
    rows = [
        row("a", 1.0, 1.0),
        row("a", 1.0, None, what="memory"),
        row("b", 1.0, None, what="mfu"),
        row("c", 1.0, None, what="mfu", source="two", reason=f"{INCOMPLETE}tp"),
        row("d", 1.0, None, what="gain", source="two", kind="inference"),
    ]
    found = tallies(rows)
    assert [(item.kind, item.source, item.predicted_count, item.refused_count) for item in found] == [
        ("inference", "two", 0, 1),
        ("training", "one", 1, 1),
        ("training", "two", 0, 1),
    ]
    assert sum(item.points_count for item in found) == 4
    assert sum(item.incomplete_count for item in found) == 1
    assert [group.count for key in (by_quantity, by_source) for group in grouped(rows, key)] == [1, 1]


def test_coverage_is_by_quantity_and_of_enough_numbers() -> None:
    rows = [row(str(n), 1.0, 1.0, low=0.9 if n else 2.0, high=3.0) for n in range(COVERED_COUNT)]
    (found,) = coverages([*rows, row("x", 1.0, 1.0, what="memory", low=0.5, high=2.0)])
    assert (found.kind, found.what, found.count) == ("training", "step", COVERED_COUNT)
    assert found.covered_frac == pytest.approx(0.9)


@pytest.mark.parametrize(
    ("other", "tau"), [([1, 2, 3, 4], 1.0), ([4, 3, 2, 1], -1.0), ([1, 1, 2, 2], 0.8164965809), ([5, 5, 5, 5], 0.0)]
)
def test_kendalls_tau(other: list[float], tau: float) -> None:
    assert kendall_tau(np.arange(4.0), np.array(other, dtype=float)) == pytest.approx(tau)


def test_a_ladder_of_three_says_nothing() -> None:
    rows = [row(str(number), float(number), float(number), ladder="l") for number in range(1, 5)]
    assert [item.tau for item in rankings(rows)] == [1.0]
    assert not rankings(rows[:3])


def test_one_share_of_peak_is_that_of_other_sources_on_any_chip() -> None:
    """Shares of a, b and c are 0.5, 1 and 0.25 of their own chip's peak."""
    rows = [
        row("a", 2.0, 2.2, work_flop=10.0, family="f|bf16"),
        row("b", 1.0, 1.1, work_flop=10.0, family="f|bf16", source="two"),
        row("c", 1.0, 1.1, work_flop=10.0, family="g|fp8", source="two", chip="d"),
        row("x", 1.0, 1.1, work_flop=10.0, family="g|fp8", source="two", chip="no peak"),
    ]
    first, second = floors(rows, {("c", "bf16"): 10.0, ("d", "fp8"): 40.0})
    assert (first.count, first.fitted) == (3, False)
    # a at the median of 1 and 0.25; b and c at 0.5: off by 0.2, 1 and 0.5
    assert first.median == pytest.approx(0.5)
    assert first.our_median == pytest.approx(0.1)
    assert second.fitted
    assert second.median < first.median


def test_the_worst_are_off_by_the_largest_factor() -> None:
    rows = [row("double", 1.0, 2.0), row("third", 3.0, 1.0), row("near", 1.0, 1.1)]
    assert [item.point for item in worst(rows, 2)] == ["third", "double"]


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
    assert (found.first, found.second, found.count, found.formats) == ("new", "old", 2, ALIKE)
    assert found.kept_frac == 0.5
    assert found.measured_ratio == pytest.approx(1.5)
    assert found.predicted_ratio == pytest.approx(0.9)


def test_chips_without_a_common_format_stand_with_their_own_best() -> None:
    rows = [
        row("a", 1.0, 1.1, chip="new", twin=f"t{FORMAT}fp4"),
        row("b", 3.0, 3.0, chip="old", twin=f"t{FORMAT}bf16"),
        row("c", 2.0, 1.9, chip="old", twin=f"t{FORMAT}fp8"),
    ]
    (found,) = orders(rows)
    assert (found.first, found.second, found.formats) == ("new", "old", OWN)
    assert found.measured_ratio == 2.0
    (alike,) = orders([*rows, row("d", 1.5, 1.5, chip="new", twin=f"t{FORMAT}fp8")])
    assert (alike.formats, alike.measured_ratio) == (ALIKE, pytest.approx(2.0 / 1.5))
