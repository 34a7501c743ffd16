"""`superpod serve --prefill-pod` as a user runs it: prompts read on one machine and decoded on another."""

import json
from pathlib import Path

import pytest

from superpod.cli.main import run

PAIR = [
    "serve",
    "llama-3.1-8b",
    "--pod",
    "hgx-h200",
    "--cards",
    "4",
    "--prefill-pod",
    "hgx-h100",
    "--prefill-cards",
    "8",
]
DRAWN = ["--rate", "poisson:20", "--lengths", "uniform:100-2000", "fixed:60", "--requests", "120"]
TARGETS = ["--slo", "ttft=500ms,tpot=30ms"]


def test_the_steady_state_names_both_machines(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    page = tmp_path / "r.html"
    assert run([*PAIR, *TARGETS, "--html", str(page)]) == 0
    out = capsys.readouterr().out
    for word in ("HGX H200", "HGX H100", "reads prompts", "decodes", "its scale-out", "set the rate"):
        assert word in out
    assert "pods/hgx-h100:scale_out.bandwidth_bytes_per_s" in page.read_text(encoding="utf-8")


def test_traffic_runs_on_both_machines(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*PAIR, *TARGETS, *DRAWN, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)["report"]
    assert [item["phase"] for item in report["stations"]] == ["prefill", "decode"]
    assert [pool["name"] for pool in report["outcome"]["pools"]] == ["prefill", "decode"]
    assert report["cards_count"] == 12
    assert report["outcome"]["counts"]["finished"] == 120
    assert 0.0 < report["outcome"]["transfer_frac"] < 1.0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["serve", "llama-3.1-8b", "--pod", "hgx-h100", "--prefill-cards", "4"], "goes with --prefill-pod"),
        ([*PAIR, "--mode", "aggregated"], "one pool each"),
        ([*PAIR, *DRAWN, "--disaggregate", "9:4"], "a pool of 9 cards"),
        ([*PAIR, *DRAWN, "--fail", "1@10s"], "one machine"),
        ([*PAIR[:7], "nothing-of-this-name"], "unknown pod"),
    ],
)
def test_each_mistake_is_one_clear_error(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(words) == 2
    assert said in capsys.readouterr().err
