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


def test_the_site_s_feed_holds_the_site_in_its_worst_hour(capsys: pytest.CaptureFixture[str]) -> None:
    report = answered(capsys, "--site-cap", "7kW", "--cards", "8")
    assert "the feed of the site" in report["binding"]
    site = next(level for level in report["levels"] if level["name"] == "IT with scale-out")
    assert site["mean_w"] * metric(report, "pue_worst") <= 7000.0 * (1.0 + 1e-6)
    found = {check["name"]: check["verdict"] for check in report["checks"]}
    assert found["peak against the site's feed"] == "stop"
    assert {name for name, verdict in found.items() if verdict == "stop"} == {"peak against the site's feed"}


def test_the_least_of_all_caps_is_the_one_that_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--cards", "8", "--site-cap", "7kW", "--machine-cap", "5.9kW"]
    assert "the feed of the site" in answered(capsys, *words)["binding"]
    assert "the feed of the machine" in answered(capsys, *words, "--machine-cap", "4.5kW")["binding"]
    hot = answered(capsys, "--cards", "8", "--set", "facility_parts/standard:junction.memory_limit_c=70")
    assert "the temperature of the memory" in hot["binding"]
    assert metric(hot, "memory_c") == pytest.approx(70.0, abs=0.01)


def test_a_feed_bears_more_machines_the_less_they_move_together(capsys: pytest.CaptureFixture[str]) -> None:
    report = answered(capsys, "--cards", "8", "--feed", "1MW")["feed"]
    counts = {fit["basis"]: fit["machines_count"] for fit in report["fits"]}
    assert list(counts) == ["nameplate", "provisioned peak", "in step", "each in its own time"]
    assert list(counts.values()) == sorted(counts.values())
    assert all(fit["mean_frac"] <= 1.0 for fit in report["fits"])
    assert "Machines under a feed" not in capsys.readouterr().out


def test_serving_machines_share_a_feed_by_their_phases(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["power", "llama-3.1-8b", "--pod", "hgx-h100", "--phase", "serve", "--feed", "1MW", "--exceed", "2%"]
    assert main.run(words) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "Machines under a feed of 1.00 MW" in said
    assert "2.0 % of the time" in said


def test_a_rack_without_boards_of_a_tier_has_no_node(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["power", "llama-3.1-8b", "--pod", "gb200-nvl72", "--batch", "144", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)["report"]
    names = [level["name"] for level in report["levels"]]
    assert names == ["chip", "cabinet, mean of all", "pod", "IT with scale-out", "site"]


def test_rules_of_the_answer_pass(capsys: pytest.CaptureFixture[str]) -> None:
    checks = {check["name"]: check["verdict"] for check in answered(capsys)["checks"]}
    for name in ("energy balance", "heat balance", "phases against mean", "hours against year", "twice the machine"):
        assert checks[name] == "ok", name
    assert checks["timeline against mean"] == "ok"


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
    assert "100 hours of weather are no year" in text
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
        (["--site-cap", "1kW"], "the feed of the site leaves"),
        (["--feed", "3kW"], "bears no such machine"),
        (["--exceed", "1%"], "belongs to --feed"),
        (["--feed", "1MW", "--exceed", "150%"], "is no share of the time"),
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
