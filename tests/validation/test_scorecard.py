"""The shipped cases keep their recorded limits, and the limits can be broken."""

import hashlib
import json
import time
from dataclasses import replace
from pathlib import Path

import pytest

from superpod.catalog.load import Catalogue
from superpod.cli.main import run as superpod
from superpod.validate.bands import FULL, SHIPPED, bands_of, recorded, text_of
from superpod.validate.excess import exceeded
from superpod.validate.point import KINDS, Point, read_points, shipped_points, tree_of
from superpod.validate.prediction import Prediction
from superpod.validate.run import predict
from superpod.validate.scorecard import Scorecard, scorecard
from superpod.validate.training import run_of

SECONDS_MAX = 60.0


@pytest.fixture(scope="module")
def timed() -> tuple[tuple[Prediction, ...], float]:
    start = time.process_time()
    rows = predict(Catalogue(), shipped_points())
    return rows, time.process_time() - start


@pytest.fixture(scope="module")
def rows(timed: tuple[tuple[Prediction, ...], float]) -> tuple[Prediction, ...]:
    return timed[0]


@pytest.fixture(scope="module")
def card(rows: tuple[Prediction, ...]) -> Scorecard:
    return scorecard(rows, recorded(SHIPPED), whole=True)


def test_it_takes_less_than_a_minute(timed: tuple[tuple[Prediction, ...], float]) -> None:
    assert timed[1] < SECONDS_MAX


def test_no_recorded_limit_is_exceeded(card: Scorecard) -> None:
    assert not [f"{item.where}: {item.what} {item.found} > {item.limit}" for item in card.exceeded]


def test_every_refused_point_is_shown(card: Scorecard) -> None:
    assert sum(item.refused_count for item in card.tallies) == card.points_count - card.predicted_count
    assert {(item.kind, item.source) for item in card.tallies} == {(row.kind, row.source) for row in card.predictions}


def test_every_predicted_case_has_a_limit(rows: tuple[Prediction, ...]) -> None:
    named = {f"{row.point}|{row.what}" for row in rows if row.predicted is not None}
    assert named == set(recorded(SHIPPED).cases), "run: superpod validate --record"


def test_every_kind_is_predicted_and_every_refusal_has_a_reason(rows: tuple[Prediction, ...]) -> None:
    assert {row.kind for row in rows if row.predicted is not None} == set(KINDS)
    assert all(row.reason for row in rows if row.predicted is None)
    assert not [row for row in rows if row.reason.startswith("not read")]


def test_every_prediction_has_a_band_around_it(rows: tuple[Prediction, ...]) -> None:
    for row in rows:
        if row.predicted is not None:
            assert row.low is not None
            assert row.high is not None
            assert row.low <= row.predicted <= row.high


def test_trivial_models_are_beaten_on_the_same_points(card: Scorecard) -> None:
    """The best constant of each family too, which was fitted to these very points."""
    assert {floor.what for floor in card.floors} == {"training step", "time of a token"}
    assert {floor.fitted for floor in card.floors} == {False, True}
    assert all(floor.our_median < floor.median and floor.our_p90 < floor.p90 for floor in card.floors)


def test_a_wrong_prediction_exceeds_its_limits(rows: tuple[Prediction, ...]) -> None:
    """One case doubled breaks its own limit, whatever the mean does."""
    wrong = tuple(
        replace(row, predicted=2.0 * row.measured) if row.point == "seqsel-175b-full" else row for row in rows
    )
    assert "seqsel-175b-full|step" in {item.where for item in exceeded(wrong, recorded(SHIPPED))}


def test_a_prediction_that_is_gone_exceeds_its_limit(rows: tuple[Prediction, ...]) -> None:
    gone = tuple(row for row in rows if row.point != "seqsel-175b-full")
    assert "seqsel-175b-full|step" in {item.where for item in exceeded(gone, recorded(SHIPPED))}


def test_recorded_limits_read_back_as_written(rows: tuple[Prediction, ...], tmp_path: Path) -> None:
    made = bands_of(rows, with_cases=True)
    (tmp_path / "bands.toml").write_text(text_of({SHIPPED: made}), encoding="utf-8")
    found = recorded(SHIPPED, tmp_path / "bands.toml")
    assert found.cases == pytest.approx(made.cases)
    assert set(found.sources) == set(made.sources)
    assert not exceeded(rows, found)


def test_a_whole_file_of_points_is_read(validation_points: Path) -> None:
    """Every line is a point; incomplete ones are not guessed, and none trips a reader over."""
    points = read_points(validation_points)
    few = [point for place, point in enumerate(points) if place % 40 == 0 or not point.complete]
    rows = predict(Catalogue(), few)
    assert not [row for row in rows if row.reason.startswith("not read")]
    assert all(row.predicted is None for row, point in _pairs(rows, points) if not point.complete)


def _pairs(rows: tuple[Prediction, ...], points: tuple[Point, ...]) -> list[tuple[Prediction, Point]]:
    by_id = {point.id: point for point in points}
    return [(row, by_id[row.point]) for row in rows]


@pytest.fixture(scope="module")
def full(validation_points: Path) -> Scorecard:
    """The whole file that the full limits were recorded on."""
    held = recorded(FULL)
    assert hashlib.sha256(validation_points.read_bytes()).hexdigest() == held.sha256, "run: superpod validate --record"
    return scorecard(predict(Catalogue(), read_points(validation_points)), held, whole=True)


@pytest.mark.slow
def test_no_limit_of_the_full_set_is_exceeded(full: Scorecard) -> None:
    assert not [f"{item.where}: {item.what} {item.found} > {item.limit}" for item in full.exceeded]
    assert not full.unlimited


@pytest.mark.slow
def test_refused_points_of_the_full_set_add_up(full: Scorecard) -> None:
    assert sum(item.refused_count for item in full.tallies) == full.points_count - full.predicted_count
    assert sum(item.incomplete_count for item in full.tallies) == full.points_count - full.complete_count


@pytest.mark.slow
def test_newer_chips_are_predicted_faster_in_every_pair(full: Scorecard) -> None:
    """H100 < H200 < B200 < GB200 on the same serving work, Blackwell in FP4 where Hopper has FP8."""
    kept = {(item.first, item.second): item for item in full.orders if item.kind == "inference"}
    for pair in (("h200-sxm", "h100-sxm"), ("b200-sxm", "h200-sxm"), ("gb200", "b200-sxm"), ("gb200", "h200-sxm")):
        assert kept[pair].kept_frac == 1.0
        assert kept[pair].predicted_ratio > 1.0
        assert kept[pair].count >= 4


def one_case(folder: Path, limit: str) -> list[str]:
    """Write a file of one point and its limit; return the command that holds it against that."""
    case = next(point for point in shipped_points() if point.id == "seqsel-22b-full")
    (folder / "points.jsonl").write_text(json.dumps(tree_of(case)) + "\n", encoding="utf-8")
    (folder / "bands.toml").write_text(f'[full.sources]\n"training|{case.title}: step" = {limit}\n', encoding="utf-8")
    return ["validate", "--points", str(folder / "points.jsonl"), "--limits", str(folder / "bands.toml")]


def test_a_file_that_is_far_off_fails_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A limit of nothing for the one source of a file: exit code 1, and the limit is named."""
    assert superpod(one_case(tmp_path, "[0.0, 0.0, 1]")) == 1
    shown = capsys.readouterr()
    assert "Limits exceeded" in shown.out
    assert "median error" in shown.err


def test_a_part_of_a_source_is_said_and_not_judged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert superpod(one_case(tmp_path, "[0.0, 0.0, 2]")) == 0
    assert "not judged" in capsys.readouterr().err


def test_steps_of_table_5_ran_and_so_fit() -> None:
    """arXiv 2205.05198, table 5: every layout fits in 80 GB in the model too."""
    cases = [point for point in shipped_points() if point.id.startswith("seqsel-")]
    runs = [run_of(Catalogue(), point) for point in cases]
    assert len(runs) == 8
    assert all(float(item.memory.total_bytes) < item.made.device.memory_bytes for item in runs)
