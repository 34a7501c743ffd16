"""The real thing on the processor, where PyTorch is installed (the extra `measure`)."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from superpod.calibrate.measurements import COLLECTIVES, read_measurements
from superpod.catalog.load import Catalogue
from superpod.cli import main
from superpod.errors import MeasurementError, SuperpodError
from superpod.measure import torch_backend
from superpod.measure.case import EAGER, GRAPH, Case
from superpod.measure.run import DROPPED, MEASURED, SKIPPED, Event, run_cases
from superpod.measure.session import Question, measure, open_device
from superpod.measure.timing import Rule
from superpod.measure.torch_backend import ROTATION_BYTES
from superpod.measure.torch_operators import Place, build

torch = pytest.importorskip("torch")
SHORT = Rule(least_count=3, most_count=3, warm_s=0.0, burst_s=1e-4, calls_most_count=4)
ATTENTION = {"dtype": "bf16", "kv_dtype": "bf16", "head_dim": 64, "value_dim": 64, "heads": 8, "kv_heads": 2}
SMALL = (
    *(
        Case(kind="gemm", dtype=dtype, groups=1, rows=32, columns=64, depth=128)
        for dtype in ("bf16", "fp16", "fp8", "int8")
    ),
    Case(kind="gemm", dtype="bf16", groups=4, rows=8, columns=64, depth=128),
    Case(kind="attention_prefill", sequences=2, query_tokens=32, keys=32, causal=True, **ATTENTION),
    Case(kind="attention_prefill", sequences=1, query_tokens=16, keys=64, causal=False, **ATTENTION),
    Case(kind="attention_decode", sequences=2, query_tokens=1, keys=64, causal=False, **ATTENTION),
    Case(kind="elementwise", dtype="bf16", bytes=6144),
    Case(kind="softmax", dtype="bf16", rows=16, columns=64, bytes=4096),
    Case(kind="copy", dtype="bf16", bytes=4096),
    Case(kind="launch", mode=EAGER),
)


@pytest.mark.parametrize("case", SMALL, ids=str)
def test_each_kind_runs_on_the_processor(case: Case) -> None:
    (event,) = run_cases(open_device("cpu", 0), [case], SHORT, 60.0)
    assert event.state == MEASURED, event.reason
    assert event.row is not None
    assert 0.0 < event.row.time_s < 1.0


def test_what_pytorch_refuses_is_skipped() -> None:
    """Grouped int8 has no kernel; the last would need an exabyte."""
    refused = (
        Case(kind="gemm", dtype="int8", groups=4, rows=8, columns=64, depth=128),
        Case(kind="gemm", dtype="bf16", groups=1, rows=1, columns=2**30, depth=2**29),
    )
    events = list(run_cases(open_device("cpu", 0), refused, SHORT, 1e12))
    assert [event.state for event in events] == [SKIPPED, SKIPPED]
    assert all(event.reason for event in events)


def test_weights_rotate_among_more_than_a_cache() -> None:
    place = Place(device=torch.device("cpu"), kind="cpu", rotation_bytes=ROTATION_BYTES, memory_bytes=2e9)
    case = Case(kind="gemm", dtype="bf16", groups=1, rows=1, columns=4096, depth=4096)
    ((_, calls),) = build(case, place)
    weights = {call.args[1].data_ptr() for call in calls}  # type: ignore[attr-defined]
    assert len(weights) == len(calls)
    assert len(weights) * 4096 * 4096 * 2 >= ROTATION_BYTES
    assert len({call.args[0].data_ptr() for call in calls}) == 1  # type: ignore[attr-defined]


def test_products_and_attention_are_right() -> None:
    """What is timed is the operator that the row describes."""
    place = Place(device=torch.device("cpu"), kind="cpu", rotation_bytes=1.0, memory_bytes=2e9)
    product = Case(kind="gemm", dtype="bf16", groups=1, rows=8, columns=16, depth=32)
    ((_, (call,)),) = build(product, place)
    x, w = call.args  # type: ignore[attr-defined]
    assert (x.shape, w.shape) == ((8, 32), (32, 16))
    torch.testing.assert_close(call(), x @ w)
    decode = Case(kind="attention_decode", sequences=2, query_tokens=1, keys=64, causal=False, **ATTENTION)
    ((_, (attend,)),) = build(decode, place)
    keys, values = attend.args[1]  # type: ignore[attr-defined]
    assert keys.shape == values.shape == (2, 2, 64, 64)
    assert attend().shape == (2, 8, 1, 64)  # type: ignore[attr-defined]


def test_two_ranks_run_collectives(tmp_path: Path) -> None:
    events: list[Event] = []
    asked = Question(
        path=tmp_path / "c.csv",
        device="cpu",
        kinds=COLLECTIVES,
        ranks=(2,),
        budget_s=20.0,
        chip="host",
        rule=SHORT,
    )
    outcome = measure(asked, Catalogue(), lambda event, _place, _total: events.append(event))
    assert outcome is not None
    assert {event.state for event in events} <= {MEASURED, DROPPED}
    rows = read_measurements(tmp_path / "c.csv")
    assert {row.kind for row in rows} == set(COLLECTIVES)
    assert {row.ranks for row in rows} == {2.0}
    assert all(row.software.endswith("gloo") for row in rows)


def test_a_device_that_is_not_there_is_one_error() -> None:
    if torch.cuda.is_available():
        pytest.skip("there is one")
    with pytest.raises(MeasurementError, match="finds no cuda device"):
        open_device("cuda", 0)


def test_the_processor_has_no_graphs() -> None:
    backend = open_device("cpu", 0)
    assert GRAPH not in backend.modes
    assert backend.chip


def test_the_command_writes_what_calibrate_reads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "m.csv"
    words = f"measure --out {path} --device cpu --kinds launch,copy --budget 3s --json"
    assert main.run(words.split()) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["outcome"]["rows_count"] == len(read_measurements(path))


@pytest.mark.slow
def test_torchrun_ranks_run_collectives(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    words = ["-m", "superpod", "measure", "--out", str(path), "--device", "cpu", "--kinds", "all_reduce"]
    run = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", *words, "--budget", "10s"]
    done = subprocess.run(run, capture_output=True, text=True, check=False, timeout=200)
    assert done.returncode == 0, done.stderr
    assert {row.ranks for row in read_measurements(path)} == {2.0}


class StubEvent:
    """An event of a device whose clock is the class's."""

    clock_s = 0.0

    def __init__(self, enable_timing: bool = False) -> None:
        self.at_s = 0.0

    def record(self) -> None:
        self.at_s = StubEvent.clock_s

    def elapsed_time(self, other: "StubEvent") -> float:
        return (other.at_s - self.at_s) * 1e3


class StubDevice:
    """What a backend asks of torch.cuda or torch.npu; the operators run on the processor."""

    Event = StubEvent

    def synchronize(self, _device: object) -> None:
        """Nothing is queued."""

    def empty_cache(self) -> None:
        """Nothing is kept."""

    def mem_get_info(self, _device: object) -> tuple[int, int]:
        return 2**30, 2**31


@pytest.fixture
def stubbed(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A processor that says that it is a CUDA device; a call takes 4 microseconds of its clock."""
    recorded: list[int] = []

    def ticking(case: Case, place: Place) -> Iterator[tuple[str, list[Callable[[], None]]]]:
        def call() -> None:
            StubEvent.clock_s += 4e-6
            recorded.append(1)

        yield "kernel", [call] * 3

    class Graph:
        calls_count = 0

        def replay(self) -> None:
            StubEvent.clock_s += 4e-6 * self.calls_count

    @contextmanager
    def graph(target: Graph) -> Iterator[None]:
        before = len(recorded)
        yield
        target.calls_count = len(recorded) - before
        StubEvent.clock_s -= 4e-6 * target.calls_count

    backend = open_device("cpu", 0)
    backend.kind, backend.api = "cuda", StubDevice()  # type: ignore[attr-defined]
    monkeypatch.setattr(torch_backend, "build", ticking)
    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(torch.cuda, "graph", graph)
    monkeypatch.setattr(torch.cuda, "_sleep", lambda _cycles: None)
    return backend


def test_a_cuda_device_replays_graphs_that_go_round_all_sets(stubbed: Any) -> None:
    prepared = stubbed.prepare(Case(kind="copy", dtype="bf16", bytes=4096))
    assert prepared.how == "kernel"
    assert prepared.whole_count % 3 == 0
    assert prepared.whole_count * 4e-6 >= torch_backend.GRAPH_S
    assert prepared.burst_s(2 * prepared.whole_count) == pytest.approx(2 * prepared.whole_count * 4e-6)
    (event,) = run_cases(stubbed, [Case(kind="copy", dtype="bf16", bytes=4096)], Rule(), 60.0)
    assert event.row is not None
    assert event.row.time_s == pytest.approx(4e-6)


def test_what_cannot_be_captured_is_queued(stubbed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_graph: object) -> None:
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(torch.cuda, "graph", refuse)
    prepared = stubbed.prepare(Case(kind="copy", dtype="bf16", bytes=4096))
    assert (prepared.how, prepared.whole_count) == ("kernel, queued", 1)
    assert prepared.burst_s(1000) == pytest.approx(1000 * 4e-6)
    with pytest.raises(MeasurementError, match="capturing"):
        stubbed.prepare(Case(kind="launch", mode=GRAPH))


def test_an_ascend_device_is_kept_busy_before_the_clock_runs(stubbed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    stubbed.kind = "npu"
    products: list[int] = []

    def product(*_operands: object) -> None:
        products.append(1)
        StubEvent.clock_s += 1e-3

    monkeypatch.setattr(torch, "mm", product)
    prepared = stubbed.prepare(Case(kind="copy", dtype="bf16", bytes=4096))
    assert prepared.burst_s(300) == pytest.approx(300 * 4e-6)
    assert products


def test_a_device_that_broke_ends_the_run(stubbed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class BrokenError(RuntimeError):
        """As torch.AcceleratorError, which cannot be made by hand."""

    def fail(_case: Case, _place: Place) -> Iterator[tuple[str, list[Callable[[], None]]]]:
        def call() -> None:
            raise BrokenError("illegal memory access")

        yield "kernel", [call]

    monkeypatch.setattr(torch, "AcceleratorError", BrokenError)
    monkeypatch.setattr(torch_backend, "build", fail)
    with pytest.raises(SuperpodError, match="the device failed: illegal memory access"):
        list(run_cases(stubbed, [Case(kind="copy", dtype="bf16", bytes=4096)], SHORT, 60.0))
