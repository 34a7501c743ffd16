"""Collectives of torch.distributed: NCCL, RCCL, HCCL, Gloo, over ranks that this starts or that torchrun started.

All ranks run the same cases; each repeat counts the slowest of them.
"""

import os
import queue
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from superpod.errors import MeasurementError, SuperpodError
from superpod.measure.backend import Prepared
from superpod.measure.case import EAGER, Case
from superpod.measure.run import Event, run_cases
from superpod.measure.timing import Rule
from superpod.measure.torch_backend import TorchBackend, device_count, first_line
from superpod.measure.torch_module import require_torch, torch

LIBRARIES = {"cuda": "nccl", "npu": "hccl", "cpu": "gloo"}
LOOK_S = 0.5  # how often the parent looks whether its ranks live
END_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The ranks of a measurement: how many, on which device, where they meet (`env://` for torchrun)."""

    ranks_count: int
    device: str
    meeting: str = "env://"
    seed: int = 0


def started_by_torchrun() -> bool:
    """Return whether torchrun, or something like it, has started this process as one of several ranks."""
    return {"RANK", "WORLD_SIZE", "MASTER_ADDR"} <= os.environ.keys()


def place_among_ranks() -> tuple[int, int]:
    """Return the rank that torchrun made of this process, and how many; MeasurementError for no such place."""
    rank, ranks_count = number_of("RANK"), number_of("WORLD_SIZE")
    if ranks_count < 2 or rank >= ranks_count:
        raise MeasurementError(
            f"found rank {rank} of {ranks_count}, expected 2 ranks or more, counted from 0",
            where="RANK and WORLD_SIZE",
            hint="torchrun sets them; unset both to measure one device",
        )
    return rank, ranks_count


def number_of(name: str, default: int = 0) -> int:
    """Return a whole number from 0 up of the environment; MeasurementError for anything else."""
    text = os.environ.get(name, str(default))
    if not (text.isascii() and text.isdecimal()):
        raise MeasurementError(
            f"found {text!r}, expected a whole number from 0 up",
            where=f"environment variable {name}",
            hint="torchrun sets it; unset it to measure one device",
        )
    return int(text)


class CollectiveBackend:
    """One rank of a group; every number that it returns is the largest of all ranks."""

    def __init__(self, group: Group, rank: int) -> None:
        devices = device_count(group.device)
        local = number_of("LOCAL_RANK", rank)
        if group.device != "cpu" and local >= devices:
            raise MeasurementError(f"rank {rank} has no device of its own: {devices} are there", where="--ranks")
        self.device = TorchBackend(group.device, local if group.device != "cpu" else 0, seed=group.seed)
        self.ranks_count = group.ranks_count
        self.meet(group, rank)
        self.software = f"{self.device.software}, {library_text(group.device)}"
        self.chip = self.device.chip

    def meet(self, group: Group, rank: int) -> None:
        """Meet the other ranks; MeasurementError where they are not found."""
        try:
            torch.distributed.init_process_group(
                LIBRARIES[group.device], init_method=group.meeting, rank=rank, world_size=group.ranks_count
            )
        except (RuntimeError, ValueError, OSError) as error:
            raise MeasurementError(
                f"cannot meet the other ranks: {first_line(error)}",
                where=f"rank {rank}",
                hint="under torchrun, MASTER_ADDR and MASTER_PORT say where rank 0 is",
            ) from error

    @property
    def modes(self) -> tuple[str, ...]:
        """Return how collectives are launched."""
        return (EAGER,)

    def now_s(self) -> float:
        """Return the host's clock, as the rank furthest ahead has it."""
        return self.largest(time.perf_counter() - ORIGIN_S)

    def largest(self, value: float) -> float:
        """Return the largest of a number over all ranks."""
        kind = torch.float64 if self.device.kind == "cpu" else torch.float32
        held = torch.tensor([value], dtype=kind, device=self.device.device)
        torch.distributed.all_reduce(held, op=torch.distributed.ReduceOp.MAX)
        return float(held.item())

    def prepare(self, case: Case) -> Prepared:
        """Put the message in place and run the collective once; where one rank cannot, none does."""
        refused = ""
        call: Callable[[], object] | None = None
        try:
            with torch.no_grad(), self.device.refusals():
                call = self.call(case)
        except MeasurementError as error:
            refused = error.message
        if self.largest(float(call is None)) > 0.0 or call is None:
            raise MeasurementError(refused or "another rank has no room for it")
        # The library's own refusals come to all ranks alike: they depend on kind and number format only.
        with torch.no_grad(), self.device.refusals():
            call()
            self.device.wait()
        return Prepared(burst_s=self.bursts(call), how=LIBRARIES[self.device.kind])

    def bursts(self, call: Callable[[], object]) -> Callable[[int], float]:
        """Return bursts that begin together: the ranks meet before the clock runs, where there is a queue in it."""
        meet = torch.zeros(1, dtype=torch.float32, device=self.device.device)

        def many(count: int) -> None:
            for _ in range(count):
                call()

        def burst(count: int) -> float:
            with torch.no_grad(), self.device.refusals():
                if self.device.api is None:
                    torch.distributed.barrier()
                    begun = time.perf_counter()
                    many(count)
                    return self.largest(time.perf_counter() - begun)
                self.device.wait()
                begun = time.perf_counter()
                call()
                host_s = (time.perf_counter() - begun) * (count + 1)
                self.device.keep_busy(2.0 * host_s)
                torch.distributed.all_reduce(meet)
                return self.largest(self.device.event_s(lambda: many(count)))

        return burst

    def call(self, case: Case) -> Callable[[], object]:
        """Return the collective on a message of `case.bytes`: the whole buffer of a rank, as nccl-tests counts it."""
        kind = torch.float32 if self.device.kind == "cpu" else torch.bfloat16
        whole, part = (
            torch.zeros(size // kind.itemsize, dtype=kind, device=self.device.device)
            for size in (case.bytes, case.bytes // self.ranks_count)
        )
        run = torch.distributed
        if case.kind == "all_reduce":
            return partial(run.all_reduce, whole)
        if case.kind == "all_gather":
            return partial(newest("all_gather_single", "all_gather_into_tensor"), whole, part)
        if case.kind == "reduce_scatter":
            return partial(newest("reduce_scatter_single", "reduce_scatter_tensor"), part, whole)
        return partial(run.all_to_all_single, torch.empty_like(whole), whole)


def newest(*names: str) -> Any:
    """Return the first function of torch.distributed that exists: versions name them differently."""
    return next(getattr(torch.distributed, name) for name in names if hasattr(torch.distributed, name))


ORIGIN_S = time.perf_counter()


def library_text(device: str) -> str:
    """Return the collective library and its version where it tells it."""
    if device == "cuda":
        return f"nccl {'.'.join(map(str, torch.cuda.nccl.version()))}"
    return LIBRARIES[device]


@contextmanager
def joined(group: Group, rank: int) -> Iterator[CollectiveBackend]:
    """Join the group, and leave it at the end."""
    require_torch()
    try:
        yield CollectiveBackend(group, rank)
    finally:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()


def rank_main(group: Group, rank: int, chosen: Sequence[Case], rule: Rule, budget_s: float, events: Any) -> None:
    """Be one rank; rank 0 sends its events, then None. Any rank sends the error that ends it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends its ranks
    try:
        with joined(group, rank) as backend:
            for event in run_cases(backend, chosen, rule, budget_s):
                if rank == 0:
                    events.put(event)
        if rank == 0:
            events.put(None)
    except SuperpodError as error:
        events.put(f"rank {rank}: {error.message}")
    except Exception as error:  # whatever ends a rank, the parent must hear of it
        events.put(f"rank {rank}: {first_line(error)}")


def run_ranks(group: Group, chosen: Sequence[Case], rule: Rule, budget_s: float) -> Iterator[Event]:
    """Start the ranks, yield rank 0's events, and end the ranks, also when the caller stops early.

    Raises MeasurementError where a rank fails.
    """
    context = get_context("spawn")
    events = context.Queue()
    with tempfile.TemporaryDirectory(prefix="superpod-") as folder:
        meeting = f"file://{Path(folder) / 'meeting'}"
        placed = Group(ranks_count=group.ranks_count, device=group.device, meeting=meeting, seed=group.seed)
        ranks = [
            context.Process(target=rank_main, args=(placed, rank, chosen, rule, budget_s, events), daemon=True)
            for rank in range(group.ranks_count)
        ]
        try:
            for process in ranks:
                process.start()
            yield from received(events, ranks)
            for process in ranks:
                process.join(END_S)
        finally:
            for process in ranks:
                if process.is_alive():
                    process.terminate()
            for process in ranks:
                if process.pid is not None:
                    process.join(END_S)


def received(events: Any, ranks: Sequence[Any]) -> Iterator[Event]:
    """Yield events until rank 0 is done; MeasurementError where a rank says that it failed, or died silently."""
    while True:
        try:
            item = events.get(timeout=LOOK_S)
        except queue.Empty:
            dead = [number for number, process in enumerate(ranks) if process.exitcode not in {None, 0}]
            if dead:
                code = ranks[dead[0]].exitcode
                raise MeasurementError(f"rank {dead[0]} ended with code {code}", where="collectives") from None
            continue
        if item is None:
            return
        if isinstance(item, str):
            raise MeasurementError(item, where="collectives")
        yield item


def run_here(group: Group, rank: int, chosen: Sequence[Case], rule: Rule, budget_s: float) -> Iterator[Event]:
    """Be the rank that torchrun made of this process, with the cases of rank 0; yield its events."""
    with joined(group, rank) as backend:
        held = [tuple(chosen)]
        torch.distributed.broadcast_object_list(held, src=0, device=backend.device.device)
        yield from run_cases(backend, held[0], rule, budget_s)
