"""`superpod serve` with traffic as a user runs it: files in and out, interrupts, one clear error for each mistake."""

import csv
import gzip
import json
import signal
from pathlib import Path

import pytest

from commands import report, superpod
from superpod.cli import requests_file
from superpod.cli.main import run
from superpod.plan.serving import traffic as serve_traffic
from superpod.serve.simulation.answer import Served

MACHINE = ["serve", "llama-3.1-8b", "--pod", "hgx-h100", "--cards", "8", "--slo", "ttft=500ms,tpot=30ms"]
DRAWN = [*MACHINE, *["--rate", "poisson:20", "--lengths", "uniform:100-2000", "fixed:100", "--requests", "120"]]


def mooncake(path: Path, *lines: str) -> Path:
    good = [
        json.dumps({"timestamp": 500 * row, "input_length": 600, "output_length": 20, "hash_ids": [0, row + 1]})
        for row in range(40)
    ]
    path.write_text("\n".join([*good, *lines]) + "\n", encoding="utf-8")
    return path


def test_a_trace_is_served_and_every_request_written(tmp_path: Path) -> None:
    trace, out, page = mooncake(tmp_path / "t.jsonl"), tmp_path / "r.csv.gz", tmp_path / "r.html"
    window = tmp_path / "w.json"
    words = ("--trace", str(trace), "--out", str(out), "--html", str(page), "--trace-window", str(window))
    done = superpod(*MACHINE, *words)
    assert done.returncode == 0, done.stderr
    assert "stable" in done.stdout
    with gzip.open(out, "rt", encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert sorted(int(row["number"]) for row in rows) == list(range(40))
    assert all(float(row["finish_s"]) > float(row["first_token_s"]) > float(row["arrival_s"]) for row in rows)
    text = page.read_text(encoding="utf-8")
    assert "Time to first token, by percentile" in text
    assert f"--trace {trace}" in text
    events = json.loads(window.read_text(encoding="utf-8"))["traceEvents"]
    assert {event["ph"] for event in events} == {"M", "C", "X"}
    assert {event["cat"] for event in events if event["ph"] == "X"} == {"instance", "request"}


def test_parquet_holds_the_same_requests(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    out = tmp_path / "r.parquet"
    assert superpod(*DRAWN, "--out", str(out)).returncode == 0
    table = parquet.read_table(out)
    assert table.num_rows == 120
    assert set(table.column("status").to_pylist()) == {"finished"}


@pytest.mark.parametrize("engine", ["vllm", "sglang"])
def test_what_was_simulated_is_written_as_launch_commands_and_read_back(engine: str, tmp_path: Path) -> None:
    script = tmp_path / "run.sh"
    first = report(*DRAWN, "--mode", "aggregated", "--export", engine, str(script))
    again = report(*DRAWN, "--from", str(script))
    names = ("instances_count", "ranks_count")
    kept = [[{name: pool[name] for name in names} for pool in one["outcome"]["pools"]] for one in (first, again)]
    assert kept[0] == kept[1]
    assert again["outcome"]["counts"]["finished"] == 120
    steady = superpod(*MACHINE, "--from", str(script))
    assert steady.returncode == 0, steady.stderr
    assert "output throughput" in steady.stdout


def test_failures_are_told_apart_from_the_rest() -> None:
    done = superpod(*DRAWN, "--fail", "0-1@2s+2s")
    assert done.returncode == 0, done.stderr
    assert "Failures: " in done.stdout


def test_the_same_seed_gives_the_same_answer() -> None:
    one, two, other = report(*DRAWN), report(*DRAWN), report(*DRAWN, "--seed", "7")
    assert one == two
    assert one["outcome"]["times"] != other["outcome"]["times"]


def test_lengths_may_be_those_of_the_steady_state() -> None:
    found = report(*MACHINE, "--rate", "20", "--prompt", "500", "--output", "50", "--requests", "100")
    assert found["traffic"]["prompt"]["mean_tokens"] == 500
    assert found["traffic"]["output"]["most_tokens"] == 50


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{nonsense", ":41: no JSON"),
        ('{"timestamp": 90000, "input_length": -5, "output_length": 2, "hash_ids": []}', ":41: input_length -5"),
        ('{"timestamp": 3, "input_length": 5, "output_length": 2, "hash_ids": []}', ":41: timestamp 3"),
    ],
)
def test_a_bad_line_is_one_error_with_its_number(tmp_path: Path, line: str, said: str) -> None:
    done = superpod(*MACHINE, "--trace", str(mooncake(tmp_path / "t.jsonl", line)))
    assert done.returncode == 2
    assert done.stdout == ""
    assert f"t.jsonl{said}" in done.stderr
    assert "Traceback" not in done.stderr


def test_compression_that_ends_early_is_one_error_with_its_line(tmp_path: Path) -> None:
    whole = gzip.compress(mooncake(tmp_path / "t.jsonl").read_bytes())
    cut, out = tmp_path / "t.jsonl.gz", tmp_path / "r.csv"
    cut.write_bytes(whole[: len(whole) // 2])
    done = superpod(*MACHINE, "--trace", str(cut), "--out", str(out))
    assert done.returncode == 2
    assert "t.jsonl.gz:" in done.stderr
    assert "compressed data cannot be read on" in done.stderr
    assert "Traceback" not in done.stderr
    assert [item.name for item in tmp_path.iterdir() if item.name.startswith((".r", "r"))] == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((*MACHINE, "--requests", "5"), "goes with --trace"),
        ((*MACHINE, "--rate", "poison:4"), "poison"),
        ((*MACHINE, "--rate", "4", "--disaggregate", "4"), "192:192"),
        ((*MACHINE, "--rate", "4", "--tpot", "20ms"), "is in --slo too"),
        ((*MACHINE, "--trace", "pyproject.toml"), "known forms"),
        ((*MACHINE, "--trace", "nowhere.csv"), "does not exist"),
        ((*MACHINE, "--trace", "pyproject.toml", "--prompt", "5"), "lengths of their own"),
        ((*DRAWN, "--out", "r.xls"), "ends in .parquet"),
        ((*DRAWN, "--out", "nowhere/r.csv"), "is no folder"),
        ((*DRAWN, "--window", "9s:3s"), "no window"),
        ((*DRAWN, "--fail", "17"), "16-23@10min+5min"),
        ((*DRAWN, "--fail", "17@3s"), "the machine has 8"),
        ((*DRAWN, "--from", "pyproject.toml"), "launch commands"),
        ((*DRAWN, "--disaggregate", "1:200"), "in all"),
    ],
)
def test_each_mistake_is_one_error_without_a_traceback(words: tuple[str, ...], said: str) -> None:
    done = superpod(*words)
    assert done.returncode == 2, done.stdout
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_an_interrupt_ends_with_what_was_simulated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ctrl-C comes while the third piece of results is written."""
    out, calls = tmp_path / "r.csv", []
    add = requests_file.RequestsFile.add

    def pressed(self: requests_file.RequestsFile, served: Served) -> None:
        add(self, served)
        calls.append(len(served.number))
        if len(calls) == 3:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(requests_file.RequestsFile, "add", pressed)
    monkeypatch.setattr(serve_traffic, "STRIDE", 20)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # jobs in the background ignore it
    try:
        assert run([*DRAWN, "--out", str(out)]) == 0
    finally:
        signal.signal(signal.SIGINT, before)
    said, told = capsys.readouterr()
    assert "[interrupted]" in said
    with out.open(encoding="utf-8", newline="") as stream:
        status = [row["status"] for row in csv.DictReader(stream)]
    assert len(status) == sum(calls) < 120
    assert set(status) == {"finished", "cut off"}
    assert f"interrupted: {status.count('finished')} requests had ended" in told
