"""`superpod serve --mode afd`, `--visits` and `--redundant-experts` as a user runs them."""

from pathlib import Path

import pytest

from commands import report, superpod

RACK = ("serve", "qwen3-235b-a22b", "--pod", "gb200-nvl72", "--prompt", "2048", "--output", "256")


def test_the_steady_state_names_the_split_and_what_it_gains(tmp_path: Path) -> None:
    page = tmp_path / "r.html"
    done = superpod(*RACK, "--mode", "afd", "--html", str(page))
    assert done.returncode == 0, done.stderr
    text = " ".join(done.stdout.split())
    for words in ("attention ranks,", "feed-forward ranks,", "micro-batch", "x the best deployment without it"):
        assert words in text
    assert "Memory, feed-forward rank" in done.stdout
    assert "feed-forward ranks busy" in page.read_text(encoding="utf-8")


def test_requests_are_simulated_with_the_split() -> None:
    found = report(
        *RACK[:4], "--mode", "afd", "--rate", "20", "--lengths", "fixed:2048", "fixed:64", "--requests", "60"
    )
    shown = found["deployment"]
    assert shown["mode"] == "afd"
    assert shown["attention_ranks"] * shown["feed_forward_ranks"] * shown["micro_batches"] > 0
    assert {pool["name"] for pool in found["outcome"]["pools"]} == {"prefill", "decode"}
    assert any("x the best deployment without it" in line for line in found["advice"])


def test_visits_from_a_file_and_copies(tmp_path: Path) -> None:
    visits = tmp_path / "visits.txt"
    visits.write_text("\n".join(str(100 + number) for number in range(128)), encoding="utf-8")
    found = report(*RACK, "--visits", str(visits), "--redundant-experts", "16")
    told = {metric["key"]: metric["value"] for metric in found["metrics"]}
    assert 1.0 <= told["fullest_after"] < told["fullest_before"] < 2.3
    assert told["redundant_bytes"] > 0.0
    assert any("visits of experts as measured, with 16 redundant experts a layer" in note for note in found["notes"])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--visits", "drawn:1.2"), "draws nothing"),
        (("--visits", "nowhere.txt"), "is no file"),
        (("--visits", "drawn:1.2,30", "--imbalance", "1.3"), "follows from --visits"),
        (("--mode", "afd", "--prefill-pod", "hgx-h100"), "one reads prompts"),
    ],
)
def test_one_clear_error_for_each_mistake(words: tuple[str, ...], said: str) -> None:
    done = superpod(*RACK, *words)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_dense_model_has_no_copies() -> None:
    done = superpod("serve", "llama-3.1-70b", "--pod", "hgx-h100", "--visits", "drawn:1.2,30")
    assert done.returncode == 2
    assert "no experts" in done.stderr
