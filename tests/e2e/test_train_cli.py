"""`superpod train` as a user runs it: files in and out, and one clear error for each thing that is wrong."""

import json
from pathlib import Path

import pytest

from commands import report, superpod

WORDS = "train llama-3.1-8b --pod hgx-h100 --cards 16 --batch 64 --seq 4096 --precision bf16"


@pytest.mark.parametrize("framework", ["megatron", "mindspeed"])
def test_a_plan_written_for_a_framework_is_read_back_as_the_same_plan(framework: str, tmp_path: Path) -> None:
    script = tmp_path / "launch.sh"
    first = report(*WORDS.split(), "--zero", "1", "--export", framework, str(script))
    again = report(*WORDS.split()[:6], "--from", str(script))
    kept = ("tensor", "context", "pipeline", "virtual", "data", "micro_batch", "zero", "recompute", "split", "overlap")
    assert {name: again["layout"].get(name) for name in kept} == {name: first["layout"].get(name) for name in kept}
    assert again["headline"]["value"] == pytest.approx(first["headline"]["value"], rel=1e-9)


def test_a_trace_and_a_page_are_written_beside_the_answer(tmp_path: Path) -> None:
    trace, page = tmp_path / "step.json", tmp_path / "step.html"
    done = superpod(*WORDS.split(), "--pp", "2", "--trace", str(trace), "--html", str(page))
    assert done.returncode == 0, done.stderr
    events = json.loads(trace.read_text(encoding="utf-8"))["traceEvents"]
    assert {event["ph"] for event in events} >= {"M", "X"}
    assert "The step, stage by stage" in page.read_text(encoding="utf-8")
    assert "A tenth more buys" in done.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--schedule", "interleaved"), "expected one of gpipe, 1f1b"),
        (("--order", "tp"), "layout: order: found 'tp'"),
        (("--recompute", "attention"), "expected none, selective, full, or core_attn"),
        (("--schedule", "dualpipe", "--pp", "3"), "none of"),
        (("--visits", "pyproject.toml"), "pyproject.toml:1: found"),
        (("--from", "pyproject.toml"), "pyproject.toml: found no setting of"),
        (("--from", "nowhere.sh"), "does not exist"),
        (("--trace", "nowhere/step.json"), "is no folder"),
    ],
)
def test_each_mistake_is_one_error_without_a_traceback(words: tuple[str, ...], said: str) -> None:
    done = superpod(*WORDS.split(), *words)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not done.stdout
