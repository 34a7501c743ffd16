"""Runs on a device whose clock is the test's: budget, skips, the file, Ctrl-C, resume."""

import csv
from pathlib import Path

import pytest

from superpod.calibrate.measurements import COLUMNS, read_measurements
from superpod.catalog.load import Catalogue
from superpod.errors import MeasurementError, SuperpodError
from superpod.measure import session
from superpod.measure.case import KINDS, Case
from superpod.measure.collectives import place_among_ranks
from superpod.measure.grid import GRIDS, cases, spread
from superpod.measure.journal import PART, Journal
from superpod.measure.outcome import Outcome
from superpod.measure.run import DROPPED, MEASURED, SKIPPED, Event, run_cases
from superpod.measure.session import Question, measure
from superpod.measure.timing import Rule
from unit.measure.fake import FakeBackend

ALONE = tuple(kind for kind in KINDS if kind in {"gemm", "copy", "launch", "attention_decode"})
CHOSEN = spread(cases(GRIDS["quick"], ALONE, ("bf16",), ("eager", "graph"), Catalogue()), 0)


@pytest.fixture(autouse=True)
def no_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fake needs no PyTorch; no torchrun has started this."""
    monkeypatch.setattr(session, "require_torch", lambda: None)
    monkeypatch.setattr(session, "started_by_torchrun", lambda: False)


def ask(path: Path, backend: FakeBackend, *, stop_after: int = 10**9, **options: object) -> Outcome:
    """Measure on the fake; Ctrl-C after some cases."""

    def told(_event: Event, place: int, _total: int) -> None:
        if place >= stop_after:
            raise KeyboardInterrupt

    asked = Question(**({"path": path, "device": "cpu", "kinds": ALONE, "dtypes": ("bf16",)} | options))  # type: ignore[arg-type]
    outcome = measure(asked, Catalogue(), told, lambda _device, _seed: backend)
    assert outcome is not None
    return outcome


def test_every_case_is_measured_where_there_is_time() -> None:
    events = list(run_cases(FakeBackend(), CHOSEN, Rule(), 1e9))
    assert [event.case for event in events] == list(CHOSEN)
    assert {event.state for event in events} == {MEASURED}
    for event in events:
        assert event.row is not None
        assert event.row.time_s == pytest.approx(FakeBackend().seconds(event.case))


def test_a_budget_drops_evenly() -> None:
    backend = FakeBackend(host_s=1.0)
    events = list(run_cases(backend, CHOSEN, Rule(), 80.0))
    kept = [event for event in events if event.state == MEASURED]
    assert len(events) == len(CHOSEN)
    assert 40 <= len(kept) <= 81
    assert backend.clock_s < 90.0
    assert {event.case.stratum for event in kept} == {case.stratum for case in CHOSEN}
    rows = [event.case.rows for event in kept if event.case.kind == "gemm"]
    assert {1, 16384} <= set(rows)


def test_cases_that_would_eat_the_budget_wait_and_are_dropped() -> None:
    slow = FakeBackend(seconds=lambda case: 1e-6 + case.work_flop / 1e9 + case.moved_bytes / 1e9)
    events = list(run_cases(slow, CHOSEN, Rule(), 300.0))
    assert len(events) == len(CHOSEN)
    assert slow.clock_s < 1.3 * 300.0
    large = max(CHOSEN, key=lambda case: case.work_flop)
    assert next(event.state for event in events if event.case == large) == DROPPED


def test_a_slow_start_does_not_drop_what_is_fast() -> None:
    """Small cases run at a small rate; large ones wait until the rate is known, and are then measured."""
    latency = FakeBackend(seconds=lambda case: 1e-3 + case.work_flop / 1e15)
    events = list(run_cases(latency, CHOSEN, Rule(), 300.0))
    assert {event.state for event in events} == {MEASURED}


def test_what_the_device_refuses_is_skipped_with_the_reason() -> None:
    backend = FakeBackend(refuses=lambda case: "out of memory" if case.rows == 4096 else "")
    events = list(run_cases(backend, CHOSEN, Rule(), 1e9))
    skipped = [event for event in events if event.state == SKIPPED]
    assert skipped
    assert all(event.case.rows == 4096 and event.reason == "out of memory" for event in skipped)


def test_the_file_is_what_the_reader_reads(tmp_path: Path) -> None:
    outcome = ask(tmp_path / "m.csv", FakeBackend(jitter=(1.0, 1.01)), chip="my chip")
    rows = read_measurements(tmp_path / "m.csv")
    assert len(rows) == outcome.rows_count == len(CHOSEN)
    assert {row.chip for row in rows} == {"my chip"}
    assert all(row.software.startswith("fake 1; kernel") for row in rows)
    assert {row.software.rpartition("; ")[2] for row in rows if row.kind == "launch"} == {"eager", "graph"}
    header, *lines = csv.reader((tmp_path / "m.csv").read_text(encoding="utf-8").splitlines())
    assert tuple(header) == COLUMNS
    assert all(len(line) == len(COLUMNS) for line in lines)
    assert not (tmp_path / f"m.csv{PART}").exists()


def test_ctrl_c_keeps_what_was_measured_and_resume_adds_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    first = ask(path, FakeBackend(), stop_after=20)
    assert first.interrupted
    assert len(read_measurements(path)) == first.rows_count == 20
    second = FakeBackend()
    outcome = ask(path, second, resume=True)
    assert not outcome.interrupted
    assert len(second.prepared) == len(CHOSEN) - 20
    assert len(read_measurements(path)) == len(CHOSEN)
    third = FakeBackend()
    assert ask(path, third, resume=True).rows_count == len(CHOSEN)
    assert not third.prepared


def test_a_killed_run_goes_on_from_its_part(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    ask(path, FakeBackend(), stop_after=20)
    text = path.read_text(encoding="utf-8")
    path.unlink()
    (tmp_path / f"m.csv{PART}").write_text(text + "gemm,bf16,1,12", encoding="utf-8")
    with pytest.raises(MeasurementError, match="exists already"):
        ask(path, FakeBackend())
    backend = FakeBackend()
    ask(path, backend, resume=True)
    assert len(backend.prepared) == len(CHOSEN) - 20
    assert len(read_measurements(path)) == len(CHOSEN)


@pytest.mark.parametrize("content", [b"my notes\n", b"my notes", b"\xff\xfe\n1,2\n", b'"kind'])
def test_a_foreign_file_is_not_resumed(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "m.csv"
    path.write_bytes(content)
    with pytest.raises(MeasurementError, match=r"header|cannot be read|no CSV"):
        ask(path, FakeBackend(), resume=True)
    assert path.read_bytes() == content
    assert [item.name for item in tmp_path.iterdir()] == ["m.csv"]


def test_a_finished_file_without_a_last_line_end_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    ask(path, FakeBackend(), stop_after=20)
    path.write_bytes(path.read_bytes().rstrip())
    backend = FakeBackend()
    ask(path, backend, resume=True)
    assert len(backend.prepared) == len(CHOSEN) - 20


def test_a_run_killed_in_its_header_begins_anew(tmp_path: Path) -> None:
    (tmp_path / f"m.csv{PART}").write_text("kind,dty", encoding="utf-8")
    assert ask(tmp_path / "m.csv", FakeBackend(), resume=True).rows_count == len(CHOSEN)


@pytest.mark.parametrize(("rank", "size"), [("abc", "2"), ("0", "-2"), ("0", "1"), ("2", "2")])
def test_a_place_that_torchrun_cannot_have_given_is_one_error(
    monkeypatch: pytest.MonkeyPatch, rank: str, size: str
) -> None:
    monkeypatch.setenv("RANK", rank)
    monkeypatch.setenv("WORLD_SIZE", size)
    with pytest.raises(MeasurementError, match="found") as caught:
        place_among_ranks()
    assert "torchrun" in caught.value.hint


def test_measurements_are_not_overwritten_nor_mixed(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    ask(path, FakeBackend(), stop_after=5)
    before = path.read_bytes()
    with pytest.raises(MeasurementError, match="exists already"):
        ask(path, FakeBackend())
    with pytest.raises(MeasurementError, match="another"):
        ask(path, FakeBackend(chip="another"), resume=True)
    assert path.read_bytes() == before
    assert [item.name for item in tmp_path.iterdir()] == ["m.csv"]


def test_a_device_that_fails_keeps_what_was_measured(tmp_path: Path) -> None:
    class Failing(FakeBackend):
        def prepare(self, case: Case) -> object:  # type: ignore[override]
            if len(self.prepared) == 12:
                raise SuperpodError("the device failed")
            return super().prepare(case)

    with pytest.raises(SuperpodError, match="the device failed"):
        ask(tmp_path / "m.csv", Failing())
    assert len(read_measurements(tmp_path / "m.csv")) == 12


def test_nothing_measured_leaves_no_file(tmp_path: Path) -> None:
    outcome = ask(tmp_path / "m.csv", FakeBackend(refuses=lambda _case: "no"))
    assert outcome.rows_count == 0
    assert {refusal.reason for refusal in outcome.refusals} == {"no"}
    assert not list(tmp_path.iterdir())


def test_a_file_that_cannot_be_written_is_one_error(tmp_path: Path) -> None:
    with pytest.raises(MeasurementError, match="cannot be written"):
        Journal(tmp_path / "no" / "m.csv", chip="c", resume=False)


def test_the_outcome_tells_rates(tmp_path: Path) -> None:
    outcome = ask(tmp_path / "m.csv", FakeBackend())
    product = next(tally for tally in outcome.tallies if tally.kind == "gemm")
    assert product.best_flop_per_s is not None
    assert 0.5e14 < product.best_flop_per_s < 1e14
    assert sum(tally.measured_count for tally in outcome.tallies) == len(CHOSEN)
