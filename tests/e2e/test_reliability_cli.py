"""`superpod reliability` and `superpod cost` from the command line: answers, options, refusals."""

import json
from typing import Any

import pytest

from superpod.cli import main

FEW = ["--histories", "20"]


def answered(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    assert main.run([*words, "--json"]) == 0
    report: dict[str, Any] = json.loads(capsys.readouterr().out)["report"]
    return report


def test_goodput_and_losses_are_all_time(capsys: pytest.CaptureFixture[str]) -> None:
    report = answered(capsys, "reliability", "cloudmatrix384", *FEW)
    assert report["goodput"]["goodput_frac"] + sum(report["losses"].values()) == pytest.approx(1.0)
    assert all(check["holds"] for check in report["checks"])
    assert [row["name"] for row in report["policies"]] == ["none", "in-pod", "one-more", "warm", "recabled", "shrink"]
    assert report["notes"] or report["spread"]["p10"] <= report["goodput"]["goodput_frac"] <= report["spread"]["p90"]


def test_more_spares_than_the_best_leave_less(capsys: pytest.CaptureFixture[str]) -> None:
    best = answered(capsys, "reliability", "cloudmatrix384", "--spares", "warm", *FEW)
    asked = answered(capsys, "reliability", "cloudmatrix384", "--spares", "warm", "--standby", "10", *FEW)
    assert asked["spares_count"] == 80.0
    assert asked["goodput"]["goodput_frac"] < best["goodput"]["goodput_frac"]


def test_storage_and_planned_outages_are_heard(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("reliability", "cloudmatrix384", "--model", "deepseek-v3", *FEW)
    slow, fast = (answered(capsys, *words, "--storage", rate)["saved"] for rate in ("50GB/s", "2TB/s"))
    assert slow["persist_s"] > 10.0 * fast["persist_s"]
    window = answered(capsys, *words, "--maintenance", "72h")
    assert window["losses"]["planned maintenance"] > 0.09


@pytest.mark.parametrize(
    "words",
    [
        ("reliability", "cloudmatrix384", "--standby", "4"),
        ("reliability", "cloudmatrix384", "--maintenance", "720h"),
        ("cost", "ironwood-9216"),
        ("cost", "gb200-nvl72", "--resale", "1.5"),
        ("cost", "gb200-nvl72", "--storage", "much"),
    ],
)
def test_what_cannot_be_answered_is_refused_in_words(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(list(words)) == 2
    said = capsys.readouterr().err
    assert "Traceback" not in said
    assert "rror" in said


def test_a_missing_price_is_asked_for_and_taken(capsys: pytest.CaptureFixture[str]) -> None:
    main.run(["cost", "ironwood-9216"])
    assert "--price" in capsys.readouterr().err
    sold = answered(capsys, "cost", "gb200-nvl72", "--price", "6.2M")
    assert sold["bill"][0]["each_usd"] == 6.2e6


def test_storage_and_resale_move_an_hour(capsys: pytest.CaptureFixture[str]) -> None:
    hours = [
        answered(capsys, "cost", "gb200-nvl72", *words)["card_hour_usd"]
        for words in (("--resale", "0.2"), (), ("--storage", "1PB"))
    ]
    assert hours == sorted(hours)
    assert hours[0] < hours[1] < hours[2]


def test_the_screen_names_what_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["cost", "gb200-nvl72"]) == 0
    text = capsys.readouterr().out
    assert "not counted: storage (--storage" in text
    assert "carbon of making it, a year" in text
