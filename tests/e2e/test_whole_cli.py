"""Power, goodput and cost in the answers of `train`, `serve` and `compare`, from the command line."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from superpod.cli import main

Said = Callable[..., str]

TRAIN = ["train", "qwen3-30b-a3b", "--pod", "hgx-h100", "--cards", "32", "--batch", "256"]
SERVE = ["serve", "qwen3-30b-a3b", "--pod", "hgx-h100", "--cards", "8"]
TRAFFIC = [*SERVE, "--rate", "poisson:2", "--lengths", "512", "64", "--requests", "200"]
COMPARE = ["compare", "qwen3-30b-a3b", "--pods", "hgx-h100,gb200-nvl72", "--cards", "128", "--at"]


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Said:
    def run(*words: str) -> str:
        assert main.run(list(words)) == 0
        return capsys.readouterr().out

    return run


def document(said: Said, *words: str) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(said(*words, "--json"))
    return read


@pytest.mark.parametrize(
    ("arguments", "token"), [(TRAIN, "million tokens"), (SERVE, "million output tokens"), (TRAFFIC, "million output")]
)
def test_an_answer_says_what_it_draws_keeps_and_costs(said: Said, arguments: list[str], token: str) -> None:
    text = said(*arguments)
    for words in ("site power", "energy of a", "an hour of a card", token, "of 30 days are lost"):
        assert words in text.replace("energy of an", "energy of a")
    whole = document(said, *arguments)["report"]["whole"]
    assert whole["power"]["token_energy_j"] * whole["tokens_per_s"] == pytest.approx(whole["power"]["site_w"])
    assert sum(whole["money"]["running"].values()) == pytest.approx(whole["money"]["total_usd_per_s"])
    assert whole["money"]["p10_usd"] < whole["money"]["p90_usd"]


def test_the_page_has_a_section_of_the_building(said: Said, tmp_path: Path) -> None:
    page = tmp_path / "t.html"
    said(*TRAIN, "--html", str(page))
    text = page.read_text(encoding="utf-8")
    for words in ("Power, failures and cost in", "Time of all cards", "PUE of the facility", "An hour of a card"):
        assert words in text


@pytest.mark.parametrize(("basis", "name"), [("equal-power", "site_w"), ("equal-cost", "usd_per_s")])
def test_machines_are_compared_at_what_is_held_equal(said: Said, basis: str, name: str) -> None:
    first, other = document(said, *COMPARE, basis)["comparison"]["contenders"]
    step = 1.0 / other["cards_count"]
    assert other[name] == pytest.approx(first[name], rel=max(0.01, step))
    assert {"goodput_frac", "per_kw", "mtoken_usd"} <= set(other)


def test_a_machine_of_unpublished_power_is_refused_with_the_fact(said: Said) -> None:
    text = said(*COMPARE[:2], "--pods", "hgx-h100,atlas950-8192", "--cards", "64", "--at", "equal-power")
    assert "No answer for" in text
    assert "power.max_w" in text
