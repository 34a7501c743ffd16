"""`superpod power` from the command line: answers, caps, refusals, files."""

import json
from pathlib import Path
from typing import Any

import pytest

from superpod.cli import main

SMALL = ["power", "llama-3.1-8b", "--pod", "hgx-h100", "--batch", "64"]


def answered(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    assert main.run([*SMALL, *words, "--json"]) == 0
    report: dict[str, Any] = json.loads(capsys.readouterr().out)["report"]
    return report


def metric(report: dict[str, Any], key: str) -> float:
    return next(float(item["value"]) for item in report["metrics"] if item["key"] == key)


def test_an_answer_adds_up(capsys: pytest.CaptureFixture[str]) -> None:
    report = answered(capsys)
    site = report["headline"]["value"]
    assert sum(part["power_w"] for part in report["parts"]) == pytest.approx(site, rel=1e-9)
    assert report["band"][0] <= report["median_w"] <= report["band"][1]
    assert len(report["months"]) == 12
    assert {check["name"]: check["verdict"] for check in report["checks"]}["heat balance"] == "ok"
    chips = next(level for level in report["levels"] if level["name"] == "chip")
    assert chips["mean_w"] <= 700.0 < chips["peak_w"]
    assert report["tornado"][0]["where"]


def test_the_trace_has_the_mean_of_the_phases(capsys: pytest.CaptureFixture[str]) -> None:
    report = answered(capsys)
    pod = next(level for level in report["levels"] if level["name"] == "pod")
    assert report["swings"]["mean_w"] == pytest.approx(pod["mean_w"], rel=0.03)


def test_twice_the_machine_draws_twice_as_much(capsys: pytest.CaptureFixture[str]) -> None:
    """The same work a card: 16 nodes with twice the batch of 8."""
    one = answered(capsys, "--tp", "1", "--pp", "1", "--cp", "1", "--cards", "8")
    two = answered(capsys, "--tp", "1", "--pp", "1", "--cp", "1", "--cards", "16", "--batch", "128")
    assert two["headline"]["value"] == pytest.approx(2.0 * one["headline"]["value"], rel=0.05)
    assert metric(two, "pue") == pytest.approx(metric(one, "pue"), rel=1e-9)


def test_a_cap_binds_and_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    free, held = answered(capsys), answered(capsys, "--chip-cap", "0.5kW")
    assert held["binding"].startswith("the cap of a chip leaves 500 W")
    assert held["headline"]["value"] < free["headline"]["value"]
    assert metric(held, "chip_mean_w") <= 500.0


def test_a_feed_below_the_overshoot_is_flagged(capsys: pytest.CaptureFixture[str]) -> None:
    report = answered(capsys, "--machine-cap", "5.5kW")
    found = {check["name"]: check["verdict"] for check in report["checks"]}
    assert found["peak against the feed"] == "stop"
    assert "the feed of the machine" in report["binding"]


def test_serving_has_no_timeline_and_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["power", "llama-3.1-8b", "--pod", "hgx-h100", "--phase", "serve", "--json"]
    assert main.run(words) == 0
    report = json.loads(capsys.readouterr().out)["report"]
    assert report["swings"] is None
    assert any("no timeline" in note for note in report["notes"])
    assert {phase["load"] for phase in report["phases"]}


def test_hours_of_a_file_and_a_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hours, page = tmp_path / "hours.csv", tmp_path / "out.html"
    rows = [f"{hour},{20 + hour % 10},50" for hour in range(100)]
    hours.write_text("\n".join(("hour,dry_bulb_c,relative_humidity", *rows)), encoding="utf-8")
    assert main.run([*SMALL, "--climate", str(hours), "--html", str(page)]) == 0
    text = page.read_text(encoding="utf-8")
    assert "What moves the answer" in text
    assert "hours.csv" in text
    assert "PUE of the year" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--cooling", "ice"], "unknown cooling"),
        (["--climate", "atlantis"], "unknown climate"),
        (["--climate", "missing.csv"], "cannot be read"),
        (["--chip-cap", "much"], "is no power"),
        (["--chip-cap", "100W"], "at no clock"),
        (["--rack-cap", "30kW"], "how many cabinets"),
        (["--phase", "train", "--tpot", "50ms"], "does not belong"),
    ],
)
def test_refusals_are_one_clear_error(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run([*SMALL, *words]) == 2
    assert said in capsys.readouterr().err


def test_a_pod_without_published_power_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["power", "deepseek-v3", "--pod", "cloudmatrix384"]) == 2
    said = capsys.readouterr().err
    assert "chips/ascend-910c:power.max_w" in said
    assert "--estimates" in said
