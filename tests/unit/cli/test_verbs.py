"""The command line from the outside: what a verb asks, prints, writes and refuses."""

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from superpod.catalog.load import Catalogue
from superpod.cli import deliver, main
from superpod.cli.options import question_words
from superpod.errors import SuperpodError
from superpod.plan import evaluate as evaluate_plan
from superpod.plan.compare import answer as compare_plan
from superpod.plan.scenario import Scenario, Serving, Training
from unit.cli import samples

HEAVY = {"numpy", "pydantic", "rich"}
HELP_SECONDS = 0.35


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Answer every question with the samples; return the questions."""
    questions: list[Any] = []

    def evaluate(catalogue: Catalogue, scenario: Scenario, progress: Any = None) -> Any:
        questions.append((catalogue, scenario))
        return samples.REPORT

    def compare(catalogue: Catalogue, scenarios: Sequence[Scenario], basis: str) -> Any:
        questions.append((catalogue, tuple(scenarios), basis))
        return samples.COMPARISON

    monkeypatch.setattr(evaluate_plan, "evaluate", evaluate)
    monkeypatch.setattr(compare_plan, "compare", compare)
    return questions


def command(*words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run `python -m superpod` as a user does."""
    return subprocess.run(
        [sys.executable, "-m", "superpod", *words],
        capture_output=True,
        text=True,
        check=False,
        encoding="utf-8",
        cwd=cwd,
    )


def test_train_asks_what_its_options_say(asked: list[Any]) -> None:
    words = "train gpt3-175b --pod hgx-h100 --pods 16 --batch 1536 --seq 2048 --precision bf16 --facility cn-large"
    pins = "--tp 8 --pp 8 --vp 2 --micro-batch 1 --zero 1 --recompute selective"
    assert main.run([*words.split(), *pins.split()]) == 0
    _, scenario = asked[0]
    assert scenario == Scenario(
        model="gpt3-175b",
        pod="hgx-h100",
        work=Training(batch_sequences=1536, sequence_tokens=2048),
        pods=16,
        precision="bf16",
        facility="cn-large",
        fixed={
            "tensor": 8,
            "pipeline": 8,
            "virtual": 2,
            "micro_batch": 1,
            "zero": "1",
            "recompute": "selective",
        },
    )


def test_serve_asks_what_its_options_say(asked: list[Any]) -> None:
    words = "serve deepseek-r1 --pod cloudmatrix384 --cards 256 --prompt 2000 --output 100 --ttft 2s --tpot 15ms"
    assert main.run([*words.split(), "--mode", "aggregated", "--mtp", "1", "--acceptance", "0.8"]) == 0
    _, scenario = asked[0]
    assert scenario.cards == 256
    assert scenario.fixed == {}
    assert scenario.work == Serving(
        prompt_tokens=2000,
        output_tokens=100,
        ttft_s=2.0,
        tpot_s=0.015,
        draft_tokens=1,
        acceptance_frac=0.8,
        mode="aggregated",
    )


@pytest.mark.parametrize(("verb", "work"), [("train", Training()), ("serve", Serving())])
def test_defaults_are_those_of_the_scenario(asked: list[Any], verb: str, work: Training | Serving) -> None:
    assert main.run([verb, "m", "--pod", "p"]) == 0
    assert asked[0][1] == Scenario(model="m", pod="p", work=work)


def test_compare_asks_one_scenario_a_machine(asked: list[Any]) -> None:
    words = "compare deepseek-v3 --pods a,b, c --phase train --at equal-power --cards 64 --tp 4 --batch 8"
    assert main.run([word.strip() for word in words.replace(", c", ",c").split()]) == 0
    _, scenarios, basis = asked[0]
    assert basis == "equal-power"
    assert [scenario.pod for scenario in scenarios] == ["a", "b", "c"]
    assert {scenario.cards for scenario in scenarios} == {64}
    assert scenarios[0].fixed == {"tensor": 4}
    assert scenarios[0].work == Training(batch_sequences=8)


def test_common_options_make_the_catalogue(asked: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    assert (
        main.run(
            ["serve", "m", "--pod", "p", "--catalog", str(mine), "--set", "pods/p:power.max_w=1.5e6", "--estimates"]
        )
        == 0
    )
    monkeypatch.setenv("SUPERPOD_CATALOG", str(tmp_path))
    assert main.run(["serve", "m", "--pod", "p"]) == 0
    first, second = (catalogue for catalogue, _ in asked)
    assert first.folders[-1] == mine
    assert first.overrides == {"pods/p:power.max_w": 1.5e6}
    assert first.estimates
    assert second.folders[-1] == tmp_path
    assert not second.estimates


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("train m --pod p --pods 2 --cards 8", "--pods or --cards"),
        ("compare m --pods a,b --phase serve --tp 8", "--tp does not belong to --phase serve"),
        ("compare m --pods a,b --phase train --ttft 2s", "--ttft does not belong to --phase train"),
        ("compare m --pods a,a", "more than once"),
        ("compare m --pods ,", "at least one machine"),
        ("serve m --pod p --ttft 4parsecs", "no duration"),
        ("serve m --pod p --tpot 0", "no duration"),
        ("serve m --pod p --acceptance 2", "acceptance"),
        ("catalog models --state shipping", "--state applies to pods and chips"),
        ("trian m", "did you mean 'train'"),
        ("train m", "--pod"),
        ("show clodmatrix384", "did you mean 'cloudmatrix384'"),
        ("show x --set nonsense", "cannot read 'nonsense'"),
        ("show x --set pods/a:b=c", "is not a number"),
        ("catalog --catalog not-there", "not-there"),
        ("show not-there.json", "not-there.json"),
    ],
)
def test_bad_input_ends_in_one_clear_message(capsys: pytest.CaptureFixture[str], words: str, message: str) -> None:
    assert main.run(words.split()) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert message in captured.err
    assert "Traceback" not in captured.err


def test_errors_say_where_and_what_to_do(
    asked: list[Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def refuse(*_: Any) -> None:
        raise SuperpodError("nothing fits", where="pods/p", hint="try more cards")

    monkeypatch.setattr(evaluate_plan, "evaluate", refuse)
    target = tmp_path / "out.html"
    assert main.run(["train", "m", "--pod", "p", "--html", str(target)]) == 2
    captured = capsys.readouterr()
    assert captured.err == "error: pods/p: nothing fits\nhint: try more cards\n"
    assert captured.out == ""
    assert not list(tmp_path.iterdir())


def test_interrupts_are_quiet(
    asked: list[Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(evaluate_plan, "evaluate", interrupt)
    assert main.run(["train", "m", "--pod", "p"]) == 130
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(
    "words", [["serve", "m", "--pod", "p"], ["compare", "m", "--pods", "a,b"], ["catalog"], ["show", "h100-sxm"]]
)
def test_files_hold_what_was_asked_and_stdout_the_answer(
    asked: list[Any], capsys: pytest.CaptureFixture[str], tmp_path: Path, words: list[str]
) -> None:
    page, picture = tmp_path / "a.html", tmp_path / "a.svg"
    assert main.run([*words, "--json", "--html", str(page), "--svg", str(picture)]) == 0
    captured = capsys.readouterr()
    document = json.loads(captured.out)
    assert document["schema"] == 1
    assert document["verb"] == words[0]
    assert f"wrote {page}" in captured.err
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert picture.read_text(encoding="utf-8").startswith("<svg")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.html", "a.svg"]


def test_files_are_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target, other = tmp_path / "report.html", tmp_path / "none" / "links.svg"
    target.write_text("the old one", encoding="utf-8")
    with pytest.raises(SuperpodError, match=r"links\.svg: cannot write"):
        deliver.write_atomically([(target, "a new one"), (other, b"another")])
    assert target.read_text(encoding="utf-8") == "the old one"
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]

    def fail(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(SuperpodError, match="No space left"):
        deliver.write_atomically([(target, "a new one")])
    assert target.read_text(encoding="utf-8") == "the old one"
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_devices_are_not_replaced() -> None:
    with pytest.raises(SuperpodError, match="no plain file"):
        deliver.check_places({"--html": Path("/dev/null"), "--svg": None})


def test_a_folder_that_does_not_exist_is_an_error(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main.run(["catalog", "--html", str(tmp_path / "none" / "a.html")]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "cannot write the file" in captured.err


@pytest.mark.parametrize("kind", ["pods", "chips", "models", "software", "facilities", "sources"])
def test_catalog_lists_every_entry(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert main.run(["catalog", kind]) == 0
    text = capsys.readouterr().out
    catalogue = Catalogue()
    names = catalogue.names(kind) if kind != "sources" else catalogue.sources()
    assert names
    assert all(name in text for name in names)


def test_catalog_shows_no_number_that_nobody_published(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "180")
    assert main.run(["catalog", "--state", "listed"]) == 0
    plain = capsys.readouterr().out
    row = next(line for line in plain.splitlines() if "metax-yaolong-3dmesh" in line)
    assert "— / —" in row
    assert "bandwidth" in row
    assert "shipping" not in plain
    assert main.run(["catalog", "--state", "listed", "--estimates"]) == 0
    assert "~128" in next(line for line in capsys.readouterr().out.splitlines() if "metax-yaolong-3dmesh" in line)


@pytest.mark.parametrize("kind", ["pods", "chips", "models", "software", "facilities"])
def test_show_prints_every_entry(capsys: pytest.CaptureFixture[str], kind: str) -> None:
    catalogue = Catalogue()
    for name in catalogue.names(kind):
        assert main.run(["show", f"{kind}/{name}"]) == 0
        assert name in capsys.readouterr().out


def test_show_names_missing_facts_with_their_estimate(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["show", "kunlun-32"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "not published" in text
    assert "estimate 200 GB/s (100 GB/s to 800 GB/s)" in text


def test_show_compares_a_model_with_what_its_authors_print(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["show", "deepseek-r1"]) == 0
    text = capsys.readouterr().out
    assert "DeepSeek-V3" in text
    assert "experts: 8 of 256" in text
    assert "Derived against published" in text


def test_where_an_answer_goes_is_no_part_of_the_question() -> None:
    words = ["serve", "m", "--html", "x.html", "--json", "--pod", "p", "--svg=y.svg"]
    assert question_words(words) == ["serve", "m", "--pod", "p"]


@pytest.mark.parametrize("verb", [[], *([name] for name in main.VERBS)])
def test_help_imports_nothing_heavy(verb: list[str]) -> None:
    code = (
        "import sys; from superpod.cli.main import run; code = run(sys.argv[1:]); "
        "print(sorted({name.partition('.')[0] for name in sys.modules}), file=sys.stderr); sys.exit(code)"
    )
    words = [sys.executable, "-c", code, *verb, "--help"]
    done = subprocess.run(words, capture_output=True, text=True, check=True, encoding="utf-8")
    assert "Usage: superpod" in done.stdout
    assert not [name for name in HEAVY if f"'{name}'" in done.stderr]


def test_help_takes_little_time() -> None:
    """CPU time, the best of five: what else the machine does is not the question."""

    def spent_s() -> float:
        before = os.times()
        assert command("--help").returncode == 0
        after = os.times()
        return after.children_user + after.children_system - before.children_user - before.children_system

    assert min(spent_s() for _ in range(5)) < HELP_SECONDS


@pytest.mark.skipif(os.name != "posix", reason="pipes of a POSIX shell")
def test_a_broken_pipe_is_quiet() -> None:
    script = f"{shlex.quote(sys.executable)} -m superpod catalog sources --json | head -n 1"
    done = subprocess.run(["/bin/sh", "-c", script], capture_output=True, text=True, check=False, encoding="utf-8")
    assert done.stdout == "{\n"
    assert done.stderr == ""


def test_a_terminal_without_unicode_still_gets_an_answer() -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    words = [sys.executable, "-m", "superpod", "catalog"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment, encoding="ascii")
    assert done.returncode == 0
    assert "cloudmatrix384" in done.stdout


def test_piped_text_has_no_escape_codes() -> None:
    done = command("show", "h100-sxm")
    assert "\x1b" not in done.stdout
