"""`superpod validate` from its command line."""

import csv
import json
from pathlib import Path

import pytest

from superpod.cli.main import run


def test_a_part_is_scored_and_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = tmp_path / "errors.csv"
    page = tmp_path / "report.html"
    arguments = ["--kind", "training", "--source", "korthikanti", "--csv", str(table), "--html", str(page)]
    assert run(["validate", *arguments]) == 0
    shown = capsys.readouterr().out
    assert "8 of 8 points predicted" in shown
    assert "By source" in shown
    with table.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 8
    assert all(abs(float(row["error_frac"])) < 0.2 for row in rows)
    assert "<svg" in page.read_text(encoding="utf-8")


def test_json_holds_every_number(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["validate", "--source", "korthikanti", "--json"]) == 0
    card = json.loads(capsys.readouterr().out)["scorecard"]
    assert card["points_count"] == card["predicted_count"] == 8
    assert {row["unit"] for row in card["predictions"]} == {"s"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--kind", "trainig"], "did you mean 'training'"),
        (["--source", "nobody at all"], "none of"),
        (["--points", "nowhere.jsonl"], "cannot be read"),
        (["--kind", "training", "--record"], "written from all points"),
    ],
)
def test_mistakes_are_said(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["validate", *arguments]) == 2
    assert said in capsys.readouterr().err
