"""One PyTorch device: CUDA (ROCm too), Ascend or CPU. What it is called, how its time is taken."""

import gc
import math
import os
import platform
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from superpod.errors import MeasurementError, SuperpodError
from superpod.measure.backend import Prepared
from superpod.measure.case import EAGER, GRAPH, Case
from superpod.measure.torch_module import require_torch, torch, torch_npu
from superpod.measure.torch_operators import Call, Kernel, Place, build

DEVICES = ("cuda", "npu", "cpu")
ROTATION_BYTES = 2**29  # operands are rotated among at least so many bytes: more than a last-level cache holds
MEMORY_SHARE = 0.5  # of the free memory, which the operands of a case may take
QUEUE_COUNT = 256  # launches that a device's queue takes without making the host wait
HEAD_START = 1.5  # how much longer the device is kept busy than the host needs to fill its queue
FASTEST_CYCLES_PER_S = 2.5e9  # an upper bound of device clocks; a slower one is kept busy for longer
PROBE_COUNT = 5
GRAPH_COUNT = 1024  # calls of a graph, unless there are more operand sets
GRAPH_S = 1e-3
DRIVER_FILES = ("/proc/driver/nvidia/version", "/sys/module/amdgpu/version")
CANN_FOLDERS = ("ASCEND_TOOLKIT_HOME", "ASCEND_HOME_PATH")
CANN_FILES = ("version.cfg", "version.info", "compiler/version.info")


class TorchBackend:
    """A device of PyTorch, `cuda`, `npu` or `cpu`, by its number."""

    def __init__(self, device: str, number: int = 0, *, seed: int = 0) -> None:
        require_torch()
        self.kind = device
        self.device = torch.device(device) if device == "cpu" else torch.device(device, number)
        self.api: Any = None if device == "cpu" else getattr(torch, device)
        if self.api is not None:
            self.api.set_device(self.device)
        torch.manual_seed(seed)
        if GRAPH in self.modes:
            gc.freeze()  # each capture of a graph collects garbage: what is loaded by now need not be looked at
        self.chip = processor_name() if self.api is None else str(self.api.get_device_name(self.device))
        self.software = SoftwareText(self).text
        self._busy: tuple[Any, float] | None = None

    @property
    def modes(self) -> tuple[str, ...]:
        """Return how this device can launch kernels."""
        return (EAGER, GRAPH) if self.kind == "cuda" else (EAGER,)

    def now_s(self) -> float:
        """Return the host's clock."""
        return time.perf_counter()

    def prepare(self, case: Case) -> Prepared:
        """Put the operands in place and choose the fastest of the kernels that PyTorch offers for the case."""
        if self.api is not None:
            self.api.empty_cache()
        place = Place(
            device=self.device,
            kind=self.kind,
            rotation_bytes=ROTATION_BYTES,
            memory_bytes=MEMORY_SHARE * self.free_bytes(),
        )
        with torch.no_grad(), self.refusals():
            how, calls = self.fastest(list(build(case, place)))
            if case.mode == EAGER:
                return Prepared(burst_s=self.host_burst(calls))
            return self.recorded(calls, how, case) if self.kind == "cuda" else self.queued(calls, how)

    def fastest(self, kernels: Sequence[Kernel]) -> Kernel:
        """Return the kernel that is fastest on the case; raise what the first one said where none can run."""
        able: list[Kernel] = []
        refused: Exception | None = None
        for how, calls in kernels:
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # attention says at length why a kernel cannot run
                    calls[0]()
                self.wait()
                able.append((how, calls))
            except (RuntimeError, TypeError, ValueError) as error:
                self.reraise_fatal(error)
                refused = refused or error
        if refused is not None and not able:
            raise refused
        if len(able) == 1:
            return able[0]
        times = [self.eager_s(calls, PROBE_COUNT) for _, calls in able]
        return able[times.index(min(times))]

    def queued(self, calls: Sequence[Call], how: str) -> Prepared:
        """Return a case whose bursts are launched by the host, going round the operand sets."""
        place = 0

        def burst(count: int) -> float:
            nonlocal place
            ordered = [calls[(place + index) % len(calls)] for index in range(count)]
            place = (place + count) % len(calls)
            with torch.no_grad(), self.refusals():
                if self.api is None:
                    return host_seconds(ordered)
                # What does not fit the queue at once is timed in pieces, each with a head start.
                pieces = [ordered[first : first + QUEUE_COUNT] for first in range(0, count, QUEUE_COUNT)]
                return sum(self.eager_s(piece, len(piece)) for piece in pieces)

        return Prepared(burst_s=burst, how=how)

    def recorded(self, calls: Sequence[Call], how: str, case: Case) -> Prepared:
        """Return a case whose bursts replay a CUDA graph: no launch from the host between kernels.

        The graph goes round all operand sets, or a replay would find its own few in the cache, and lasts about as long
        as a burst, so that the gap between replays does not count. What cannot be captured is queued.
        """
        once_s = max(self.eager_s(calls, PROBE_COUNT) / PROBE_COUNT, 1e-9)
        rounds = math.ceil(min(GRAPH_COUNT, GRAPH_S / once_s) / len(calls))
        unit = len(calls) * max(1, rounds)
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph):
                for index in range(unit):
                    calls[index % len(calls)]()
        except RuntimeError as error:
            self.reraise_fatal(error)
            if case.mode == GRAPH:
                raise
            return self.queued(calls, f"{how}, queued")

        def burst(count: int) -> float:
            with self.refusals():
                return self.event_s(lambda: [graph.replay() for _ in range(count // unit)])

        return Prepared(burst_s=burst, whole_count=unit, how=how)

    def host_burst(self, calls: Sequence[Call]) -> Callable[[int], float]:
        """Return bursts timed from the host: what a launch costs where nothing hides it."""

        def burst(count: int) -> float:
            with torch.no_grad(), self.refusals():
                self.wait()
                begun = time.perf_counter()
                for index in range(count):
                    calls[index % len(calls)]()
                self.wait()
                return time.perf_counter() - begun

        return burst

    def eager_s(self, calls: Sequence[Call], count: int) -> float:
        """Return the device seconds of `count` calls, the device being kept busy until all of them are queued."""
        ordered = [calls[index % len(calls)] for index in range(count)]
        if self.api is None:
            return host_seconds(ordered)
        self.wait()
        begun = time.perf_counter()
        ordered[0]()
        host_s = (time.perf_counter() - begun) * count
        self.keep_busy(HEAD_START * host_s)

        def run() -> None:
            for call in ordered:
                call()

        return self.event_s(run)

    def event_s(self, run: Callable[[], object]) -> float:
        """Return the device seconds between two events around `run`."""
        first, last = (self.api.Event(enable_timing=True) for _ in range(2))
        first.record()
        run()
        last.record()
        self.wait()
        return float(first.elapsed_time(last)) * 1e-3

    def keep_busy(self, seconds: float) -> None:
        """Give the device work for some time, so that the host gets ahead of it."""
        if self.kind == "cuda":
            torch.cuda._sleep(int(seconds * FASTEST_CYCLES_PER_S))
            return
        if self._busy is None:
            square = torch.ones((4096, 4096), dtype=torch.bfloat16, device=self.device)
            torch.mm(square, square)
            self.wait()
            self._busy = (square, self.event_s(lambda: torch.mm(square, square)))
        square, once_s = self._busy
        for _ in range(math.ceil(seconds / once_s)):
            torch.mm(square, square)

    def wait(self) -> None:
        """Wait until the device has done all that was queued."""
        if self.api is not None:
            self.api.synchronize(self.device)

    def free_bytes(self) -> float:
        """Return the memory that is free now."""
        if self.api is not None:
            return float(self.api.mem_get_info(self.device)[0])
        pages = "SC_AVPHYS_PAGES" if "SC_AVPHYS_PAGES" in os.sysconf_names else "SC_PHYS_PAGES"
        return float(os.sysconf(pages) * os.sysconf("SC_PAGE_SIZE"))

    def refusals(self) -> "Refusals":
        """Return a context in which what the device refuses becomes a MeasurementError."""
        return Refusals(self)

    def reraise_fatal(self, error: Exception) -> None:
        """Raise where the device itself has failed, so that no further case can run on it."""
        broken = getattr(torch, "AcceleratorError", None)
        if broken is not None and isinstance(error, broken):
            raise SuperpodError(
                f"the device failed: {first_line(error)}",
                where=self.chip,
                hint="what was measured is kept; --resume goes on, --kinds leaves out what fails",
            ) from error


class Refusals:
    """Turns what a device refuses into a MeasurementError with its first line."""

    def __init__(self, backend: TorchBackend) -> None:
        self._backend = backend

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        """Turn the error, if there is one that a case can cause."""
        if isinstance(error, RuntimeError | TypeError | ValueError):
            self._backend.reraise_fatal(error)
            out_of_memory = isinstance(error, torch.OutOfMemoryError)
            raise MeasurementError("out of memory" if out_of_memory else first_line(error)) from error


class SoftwareText:
    """What ran, in one line: libraries, driver, clock."""

    def __init__(self, backend: TorchBackend) -> None:
        words = [f"torch {torch.__version__}"]
        if backend.kind == "cuda":
            words += [f"{name} {version}" for name, version in versions() if version]
        if backend.kind == "npu":
            words += [f"torch_npu {torch_npu.__version__}", cann_version()]
        if backend.kind == "cpu":
            words.append(f"{torch.get_num_threads()} threads")
        else:
            words += [driver_version(), clock_text(backend)]
        self.text = ", ".join(word for word in words if word)


def versions() -> tuple[tuple[str, str | None], ...]:
    """Return the versions of the vendor's libraries."""
    cudnn = torch.backends.cudnn.version() if torch.version.hip is None else None
    return (
        ("cuda", torch.version.cuda),
        ("hip", torch.version.hip),
        ("cudnn", str(cudnn) if cudnn else None),
    )


def driver_version() -> str:
    """Return the driver's version where the system tells it."""
    for name in DRIVER_FILES:
        path = Path(name)
        if path.is_file():
            words = path.read_text(encoding="utf-8", errors="replace").split()
            number = next((word for word in words if word[0].isdigit() and "." in word), "")
            return f"driver {number}" if number else ""
    return ""


def cann_version() -> str:
    """Return the version of Ascend's CANN where its folder tells it."""
    folders = [Path(os.environ[name]) for name in CANN_FOLDERS if name in os.environ]
    for path in (folder / name for folder in folders for name in CANN_FILES):
        if path.is_file():
            for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
                name, _, value = line.partition("=")
                if "version" in name.lower() and value:
                    return f"cann {value.strip(' []')}"
    return ""


def clock_text(backend: TorchBackend) -> str:
    """Return the clock at the start, which shows whether it is locked; nothing where the library does not tell."""
    try:
        return f"clock {backend.api.clock_rate(backend.device)} MHz at start"
    except (AttributeError, RuntimeError, ImportError, OSError):
        return "clock unknown"
    except Exception as error:  # the monitoring libraries raise classes of their own
        return f"clock unknown ({type(error).__name__})"


def processor_name() -> str:
    """Return the name of the host's processor."""
    path = Path("/proc/cpuinfo")
    if path.is_file():
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name" and value.strip():
                return value.strip()
    return platform.processor() or platform.machine() or "cpu"


def host_seconds(calls: Sequence[Call]) -> float:
    """Return the host's seconds of calls that end when they return."""
    begun = time.perf_counter()
    for call in calls:
        call()
    return time.perf_counter() - begun


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text, or its class."""
    lines = str(error).strip().splitlines()
    return lines[0].strip() if lines else type(error).__name__


def default_device() -> str:
    """Return the best device at hand: `cuda`, `npu` or `cpu`."""
    require_torch()
    return next(name for name in DEVICES if device_count(name))


def device_count(device: str) -> int:
    """Return how many devices of a kind there are; the processor counts as one."""
    require_torch()
    if device == "cpu":
        return 1
    api = getattr(torch, device, None)
    return int(api.device_count()) if api is not None and api.is_available() else 0
