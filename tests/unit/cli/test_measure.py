"""`superpod measure` from the outside: what it refuses, and what it says without PyTorch."""

import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from superpod.cli import main
from superpod.cli import measure as verb
from superpod.cli.page import Table, Text
from superpod.measure import session, torch_module
from superpod.measure.outcome import Outcome, Refusal, Tally
from superpod.measure.session import Question

HELP_SECONDS = 0.5
TALLY = Tally(
    kind="gemm",
    dtype="fp8",
    mode="",
    ranks_count=0,
    measured_count=40,
    skipped_count=2,
    dropped_count=3,
    best_flop_per_s=1.3e15,
    best_bytes_per_s=2e12,
    shortest_s=4e-6,
    spread_frac=0.012,
)
OUTCOME = Outcome(
    path=Path("h100.csv"),
    chip="H100",
    software="torch 2",
    rows_count=40,
    tallies=(TALLY,),
    refusals=(Refusal(kind="gemm", dtype="fp8", reason="out of memory", cases_count=2),),
    interrupted=False,
)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Question]:
    """Answer every question with the sample; return the questions."""
    questions: list[Question] = []

    def measure(question: Question, *_rest: object) -> Outcome:
        questions.append(question)
        return OUTCOME

    monkeypatch.setattr(session, "measure", measure)
    return questions


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("--kinds gem", "knows no 'gem'"),
        ("--dtypes fp4", "knows no 'fp4'"),
        ("--dtypes bf16,fp16", "bf16 or fp16"),
        ("--ranks 1", "numbers from 2 up"),
        ("--ranks two", "numbers from 2 up"),
        ("--ranks 2 --kinds gemm", "--kinds leaves out"),
        ("--kinds collectives", "--ranks N, or torchrun"),
        ("--budget soon", "5min or 1h"),
        ("--kinds ,", "names none"),
        ("--dtypes ,", "names none"),
    ],
)
def test_contradictions_are_usage_errors(words: str, says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["measure", "--out", "m.csv", *words.split()]) == 2
    assert says in capsys.readouterr().err


def test_torchrun_measures_collectives_or_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in (("RANK", "0"), ("WORLD_SIZE", "2"), ("MASTER_ADDR", "localhost")):
        monkeypatch.setenv(name, value)
    assert main.run(["measure", "--out", "m.csv", "--kinds", "gemm"]) == 2
    assert "only collectives" in capsys.readouterr().err


def test_hours_are_a_budget(asked: list[Question], tmp_path: Path) -> None:
    assert main.run(["measure", "--out", str(tmp_path / "m.csv"), "--budget", "1h"]) == 0
    assert asked[0].budget_s == 3600.0


def test_options_become_a_question(asked: list[Question], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = (
        "--kinds attention,all_reduce --ranks 2,8 --grid full --budget 1min --dtypes FP8 --chip h100 --seed 3 --resume"
    )
    assert main.run(["measure", "--out", str(tmp_path / "m.csv"), *words.split()]) == 0
    (question,) = asked
    assert question.kinds == ("attention_prefill", "attention_decode", "all_reduce")
    assert (question.ranks, question.grid, question.budget_s, question.dtypes) == ((2, 8), "full", 60.0, ("fp8",))
    assert (question.chip, question.seed, question.resume) == ("h100", 3, True)
    assert "superpod calibrate" in capsys.readouterr().out


def test_without_pytorch_there_is_one_error_with_a_hint(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch_module, "torch", None)
    assert main.run(["measure", "--out", str(tmp_path / "m.csv")]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert "needs PyTorch" in told.err
    assert "superpod[measure]" in told.err
    assert "Traceback" not in told.err


def test_the_summary_says_what_was_left_out() -> None:
    page = verb.summary(OUTCOME)
    table, left_out, following = page.blocks
    assert isinstance(table, Table)
    assert table.rows == (("gemm", "fp8", "40", "2", "3", "1.30 PFLOP/s", "4.00 µs", "1.2 %"),)
    assert isinstance(left_out, Text)
    assert any("out of memory" in line for line in left_out.lines)
    assert any("--resume" in line for line in left_out.lines)
    assert isinstance(following, Text)
    assert following.lines == ("superpod calibrate h100.csv --chip CHIP --out FOLDER/calibration/ID.toml",)
    ranks = replace(TALLY, kind="all_reduce", ranks_count=8)
    assert verb.following(replace(OUTCOME, tallies=(ranks,))) == (
        "superpod calibrate h100.csv --pod POD --link FOLDER/links/ID.toml"
    )


def test_help_needs_no_pytorch() -> None:
    code = (
        "import sys; from superpod.cli import main; main.run(['measure', '--help']); sys.exit('torch' in sys.modules)"
    )
    begun = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "superpod calibrate" in done.stdout
    assert time.perf_counter() - begun < 4 * HELP_SECONDS  # the time that a loaded machine may take
