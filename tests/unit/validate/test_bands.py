"""Limits: what exceeds them, what is too little to judge, and how they are written anew."""

from dataclasses import replace
from pathlib import Path

import pytest

from superpod.errors import CatalogueError, ScenarioError
from superpod.validate.bands import FULL, Bands, SourceLimit, anew, bands_of, eased, misses, recorded, text_of
from superpod.validate.excess import Excess, exceeded, in_part, without_limit
from superpod.validate.prediction import Prediction
from superpod.validate.rankings import FORMAT

SOURCE = "training|one: step"


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


def said(found: tuple[Excess, ...]) -> set[tuple[str, str]]:
    return {(item.where, item.what) for item in found}


def banded(count: int, inside: int) -> tuple[Prediction, ...]:
    return tuple(row(str(n), 1.0, 1.0, low=0.9 if n < inside else 1.05, high=1.1) for n in range(count))


def held(median: float, p90: float, count: int = 5) -> dict[str, SourceLimit]:
    return {SOURCE: SourceLimit(median_frac=median, p90_frac=p90, count=count)}


def test_limits_are_judged_case_by_case_and_by_source() -> None:
    rows = tuple(row(str(number), 1.0, 1.0 + number / 10) for number in range(5))
    cases = {"gone|step": 0.5, **{f"{number}|step": 0.35 for number in range(5)}}
    bands = Bands(cases=cases, sources=held(0.1, 0.5))
    assert said(exceeded(rows, bands)) == {
        ("4|step", "error"),
        ("gone|step", "is not predicted any more"),
        (SOURCE, "median error"),
    }
    assert said(exceeded(rows, bands, whole=False)) == {("4|step", "error"), (SOURCE, "median error")}


@pytest.mark.parametrize("predicted", [0.4, 0.0, -1.0, float("nan"), 2.5])
def test_a_limit_above_100_percent_catches_what_is_too_small_too(predicted: float) -> None:
    """1.31 allows a factor of 2.31 either way; as a share of what was measured nothing is ever 131 % too small."""
    bands = Bands(cases={"a|step": 1.31}, sources={SOURCE: SourceLimit(median_frac=1.31, p90_frac=1.31, count=1)})
    assert said(exceeded([row("a", 1.0, predicted)], bands)) >= {("a|step", "error"), (SOURCE, "median error")}
    assert not exceeded([row("a", 1.0, 0.45)], bands)


def test_a_source_that_is_refused_exceeds_its_limit() -> None:
    bands = Bands(sources=held(0.5, 0.5))
    all_refused = [row(str(number), 1.0, None) for number in range(5)]
    one_refused = [row(str(number), 1.0, 1.0 if number else None) for number in range(5)]
    for rows, found in ((all_refused, 0.0), (one_refused, 4.0)):
        assert exceeded(rows, bands) == (Excess(where=SOURCE, what="predicted numbers", found=found, limit=5.0),)


def test_a_part_of_a_source_is_not_judged_but_said() -> None:
    rows = [row("a", 1.0, 3.0), row("b", 1.0, 3.0)]
    assert not exceeded(rows, Bands(sources=held(0.1, 0.1)), whole=False)
    assert in_part(rows, Bands(sources=held(0.1, 0.1))) == (SOURCE,)
    assert exceeded(rows, Bands(sources=held(0.1, 0.1, count=2)), whole=False)


def test_a_new_source_or_case_without_a_limit_is_an_excess_of_the_whole_set_only() -> None:
    rows = [row("a", 1.0, 1.0), row("b", 1.0, 1.0, source="two")]
    bands = Bands(sources=held(0.1, 0.1, count=1), cases={"a|step": 0.1})
    assert said(exceeded(rows, bands)) == {
        ("training|two: step", "has no recorded limit"),
        ("b|step", "has no recorded limit"),
    }
    assert not exceeded(rows, bands, whole=False)
    assert without_limit(rows, bands) == ("training|two: step",)


def test_coverage_is_judged_by_quantity_and_has_two_sides() -> None:
    for inside in (6, 10):
        assert said(exceeded(banded(10, inside), Bands())) == {("training|step", "coverage of the bands")}
        assert not exceeded(banded(10, inside), Bands(), whole=False)
    assert not exceeded(banded(10, 8), Bands())
    assert not exceeded(banded(9, 9), Bands())  # too few to say something


def test_a_miss_of_the_target_may_not_get_worse() -> None:
    made = bands_of(banded(20, 12), with_cases=False)
    assert made.coverage == {"training|step": (0.6, 0.9)}
    assert not exceeded(banded(20, 12), made)
    assert not exceeded(banded(20, 16), made)
    assert said(exceeded(banded(20, 11), made)) == {("training|step", "coverage of the bands")}
    assert not bands_of(banded(20, 16), with_cases=False).coverage
    assert (misses(0.6), misses(0.95), misses(0.7), misses(0.9)) == ("too narrow", "too wide", "", "")


def test_orders_may_not_get_worse() -> None:
    ladder = [row(str(n), float(n), float(n), ladder="l") for n in range(1, 6)]
    pairs = [
        row("a", 1.0, 1.1, chip="new", twin=f"t{FORMAT}fp4"),
        row("b", 2.0, 1.9, chip="old", twin=f"t{FORMAT}fp8"),
    ]
    made = bands_of([*ladder, *pairs], with_cases=False)
    assert set(made.rankings) == {"training|l"}
    assert set(made.orders) == {"training|new|old|each chip's own"}
    assert not exceeded([*ladder, *pairs], made)
    turned = [replace(ladder[0], predicted=9.0), *ladder[1:], replace(pairs[0], predicted=2.5), pairs[1]]
    wrong = {item.where for item in exceeded(turned, made) if item.what == "order kept"}
    assert wrong == {"training|l", "training|new|old|each chip's own"}
    assert {item.found for item in exceeded([], made) if item.what == "order kept"} == {None}


def test_limits_read_back_as_written(tmp_path: Path) -> None:
    made = replace(bands_of(banded(20, 12), with_cases=True), file="points.jsonl", sha256="ab")
    (tmp_path / "bands.toml").write_text(text_of({FULL: made}), encoding="utf-8")
    assert recorded(FULL, tmp_path / "bands.toml") == made
    assert recorded(FULL, tmp_path / "none.toml") == Bands()


def test_a_broken_file_of_limits_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "bands.toml").write_text('[full.sources]\n"training|one: step" = [0.1, 0.2]\n', encoding="utf-8")
    with pytest.raises(CatalogueError, match="no table of limits"):
        recorded(FULL, tmp_path / "bands.toml")


def test_a_recorded_source_is_not_dropped_in_passing() -> None:
    with pytest.raises(ScenarioError, match="one: step"):
        anew(Bands(sources=held(0.1, 0.1)), Bands())


def test_every_wider_limit_is_said() -> None:
    old = Bands(
        cases={"a|step": 0.1, "b|step": 0.2},
        sources=held(0.1, 0.2),
        rankings={"training|l": 0.9},
        orders={"training|new|old|the same": 1.0},
    )
    new = Bands(
        cases={"a|step": 0.2},
        sources=held(0.1, 0.3),
        coverage={"training|step": (0.6, 0.9)},
        rankings={"training|l": 0.8},
    )
    assert [line.split(":")[0] for line in eased(old, new)] == [
        "b|step",
        "a|step",
        "training|one",
        "coverage of training|step",
        "order of training|l",
        "order of training|new|old|the same",
    ]
    assert not eased(old, old)
