"""Files of points: what is malformed is named in one error, what is odd but whole is read."""

import json
from pathlib import Path
from typing import Any

import pytest

from superpod.catalog.load import Catalogue
from superpod.errors import MeasurementError
from superpod.validate.point import read_points
from superpod.validate.run import predict_one
from superpod.validate.values import finite, number, positive

CATALOGUE = Catalogue()


def tree(**changes: Any) -> dict[str, Any]:
    return {
        "id": "x-1",
        "kind": "inference",
        "source": {"title": "A note of nobody"},
        "hardware": "HGX H100",
        "chips": 8,
        "model": {"name": "Llama-3.1-70B"},
        "config": {"tp": 8, "quantisation": "bf16", "isl": 1024, "osl": 128, "batch": 8, "deployment": "static batch"},
        "metric": {"name": "tpot_ms", "value": 12.0, "unit": "ms"},
        **changes,
    }


def written(tmp_path: Path, *lines: str, mark: str = "") -> Path:
    path = tmp_path / "points.jsonl"
    path.write_bytes((mark + "\n".join(lines)).encode())
    return path


def line(**changes: Any) -> str:
    return json.dumps(tree(**changes))


def metric(value: Any) -> dict[str, Any]:
    return {"name": "tpot_ms", "value": value, "unit": "ms"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (line(metric=metric(10**400)), "metric.value: found 1000"),
        (line(metric=metric(0)), "metric.value: found 0, expected a number above 0"),
        (line(metric=metric(True)), "metric.value: found True"),
        (line(chips=10**400), "chips: found 1000"),
        (line(chips=-1), "chips: found -1, expected a number above 0"),
        (line().replace("12.0", "1" * 5000), "an integer of thousands of digits, expected a number"),
        ("[" * 100_000, "brackets within brackets"),
        (line(missing=3), "missing: found 3, expected a list of words"),
        (line(missing="gbs"), "missing: found 'gbs', expected a list of words"),
        (line(missing=["gbs", 3]), "expected a list of words"),
        (line(id="\ud800"), "half of a surrogate pair"),
        ("{", "not JSON"),
    ],
)
def test_a_malformed_line_is_one_error_that_names_it(tmp_path: Path, text: str, said: str) -> None:
    path = written(tmp_path, line(id="x-0"), "", text)
    with pytest.raises(MeasurementError) as raised:
        read_points(path)
    assert raised.value.where == f"{path}:3"
    assert said in raised.value.message
    assert len(raised.value.message) < 200


def test_other_ends_of_lines_stay_in_strings(tmp_path: Path) -> None:
    notes = "one\u2028two\u0085three\x0bfour"
    text = json.dumps(tree(notes=notes), ensure_ascii=False)
    (point,) = read_points(written(tmp_path, text + "\r", ""))
    assert point.notes == notes


def test_a_byte_order_mark_is_no_character(tmp_path: Path) -> None:
    (point,) = read_points(written(tmp_path, line(missing=["gbs"]), mark="\ufeff"))
    assert point.missing == ("gbs",)


@pytest.mark.parametrize("value", [0, 0.0, -3, True, "12", float("nan"), float("inf"), 10**400])
def test_numbers_beside_the_metric_that_are_none_are_not_scored(tmp_path: Path, value: Any) -> None:
    also = {"itl_mean_ms": value, "ttft_ms": 200.0}
    (point,) = read_points(written(tmp_path, line(also=also)))
    rows = predict_one(CATALOGUE, point)
    assert [row.what for row in rows] == ["tpot", "ttft"]
    assert all(row.predicted for row in rows)


@pytest.mark.parametrize("value", [0, -3, True, "12", float("nan"), 10**400])
def test_memory_that_is_no_number_is_not_scored(tmp_path: Path, value: Any) -> None:
    config = {"seq": 2048, "gbs": 4, "mbs": 4, "precision": "bf16", "tp": 8, "dp": 1, "recompute": "full"}
    changes = {"kind": "training", "config": config, "metric": {"name": "step_time", "value": 2.0, "unit": "s"}}
    (point,) = read_points(written(tmp_path, line(**changes, also={"memory_gib": value})))
    assert [row.what for row in predict_one(CATALOGUE, point)] == ["step"]


def test_numbers() -> None:
    assert [finite(value) for value in (3, 2.5, True, "3", None, float("inf"), 10**400)] == [3.0, 2.5] + [None] * 5
    assert [positive(value) for value in (3, 0, -1)] == [3.0, None, None]
    assert number({"a": True, "b": float("nan"), "c": 4}, "a", "b", "c") == 4.0
    assert number({}, "a") is None
