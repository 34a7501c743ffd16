"""From a question to a file of measurements: one device first, then groups of ranks, within one budget."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from superpod.calibrate.measurements import COLLECTIVES
from superpod.catalog.load import Catalogue
from superpod.errors import MeasurementError
from superpod.measure.backend import Backend
from superpod.measure.case import KINDS, Case
from superpod.measure.collectives import Group, place_among_ranks, run_here, run_ranks, started_by_torchrun
from superpod.measure.grid import GRIDS, cases, collective_cases, spread
from superpod.measure.journal import Journal
from superpod.measure.outcome import Outcome, refusals, tallies
from superpod.measure.run import Event, run_cases
from superpod.measure.timing import Rule
from superpod.measure.torch_backend import TorchBackend, default_device, device_count
from superpod.measure.torch_module import require_torch

Told = Callable[[Event, int, int], None]
Opened = Callable[[str, int], Backend]
Run = Callable[[float, Sequence[Case]], Iterator[Event]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What to measure: file, device (empty: the best there is), kinds, formats, preset, budget, groups of ranks.

    `chip` replaces the device's own name in the file.
    """

    path: Path
    device: str = ""
    kinds: tuple[str, ...] = KINDS
    dtypes: tuple[str, ...] = ("bf16", "fp8", "int8")
    grid: str = "quick"
    budget_s: float = 300.0
    ranks: tuple[int, ...] = ()
    chip: str = ""
    seed: int = 0
    resume: bool = False
    rule: Rule = field(default_factory=Rule)


def open_device(device: str, seed: int) -> Backend:
    """Return the first device of a kind; MeasurementError where there is none."""
    if not device_count(device):
        raise MeasurementError(
            f"PyTorch finds no {device} device",
            where=f"--device {device}",
            hint="install the torch that fits the driver (torch_npu for Ascend), or name another device",
        )
    return TorchBackend(device, 0, seed=seed)


def measure(question: Question, catalogue: Catalogue, told: Told, opened: Opened = open_device) -> Outcome | None:
    """Measure, write the file, and return what came of it; None on a rank of torchrun other than the first.

    `told(event, place, total)` hears of every case. Ctrl-C ends the run early; what was measured is in the file.
    Raises MeasurementError without PyTorch or the device, and where the file holds what nobody said to go on with.
    """
    require_torch()
    device = question.device or default_device()
    if started_by_torchrun():
        return measure_as_rank(question, device, told)
    check_ranks(question.ranks, device)
    backend = opened(device, question.seed)
    chip = question.chip or backend.chip
    journal = Journal(question.path, chip=chip, resume=question.resume)
    preset = GRIDS[question.grid]
    alone = cases(preset, question.kinds, question.dtypes, backend.modes, catalogue)
    parts: list[tuple[tuple[Case, ...], Run]] = [
        (alone, lambda budget_s, chosen: run_cases(backend, chosen, question.rule, budget_s))
    ]
    for ranks_count in question.ranks:
        group = Group(ranks_count=ranks_count, device=device, seed=question.seed)
        parts.append((collective_cases(preset, question.kinds, ranks_count), ranks_run(group, question.rule)))
    todo = [(spread(journal.missing(chosen), question.seed), run) for chosen, run in parts]
    events, interrupted = recorded(todo, question, chip, journal, told)
    return outcome(journal, chip, backend.software, events, interrupted=interrupted)


def check_ranks(ranks: Sequence[int], device: str) -> None:
    """Raise MeasurementError where a group has more ranks than there are devices; a processor takes any number."""
    if ranks and device != "cpu" and max(ranks) > device_count(device):
        raise MeasurementError(
            f"{max(ranks)} ranks need as many {device} devices, {device_count(device)} are here",
            where="--ranks",
            hint="over several nodes, start one process a device with torchrun",
        )


def ranks_run(group: Group, rule: Rule) -> Run:
    """Return what measures cases on a group of ranks."""
    return lambda budget_s, chosen: run_ranks(group, chosen, rule, budget_s)


def recorded(
    todo: Sequence[tuple[tuple[Case, ...], Run]], question: Question, chip: str, journal: Journal, told: Told
) -> tuple[list[Event], bool]:
    """Run the parts, each within its share of the time that is left; return the events and whether Ctrl-C came.

    The file gets its name in any case.
    """
    events: list[Event] = []
    total = left = sum(len(chosen) for chosen, _ in todo)
    begun_s = time.perf_counter()
    try:
        for chosen, run in todo:
            if not chosen:
                continue
            budget_s = (question.budget_s - (time.perf_counter() - begun_s)) * len(chosen) / left
            left -= len(chosen)
            for event in run(budget_s, chosen):
                if event.row is not None:
                    journal.add(replace(event.row, chip=chip))
                events.append(event)
                told(event, len(events), total)
    except KeyboardInterrupt:
        return events, True
    finally:
        journal.finish()
    return events, False


def measure_as_rank(question: Question, device: str, told: Told) -> Outcome | None:
    """Measure collectives as one rank of those that torchrun started; the first rank writes the file."""
    rank, ranks_count = place_among_ranks()
    kinds = tuple(kind for kind in question.kinds if kind in COLLECTIVES)
    if not kinds:
        raise MeasurementError("no kind is a collective", where="torchrun", hint="others are measured on one device")
    group = Group(ranks_count=ranks_count, device=device, seed=question.seed)
    chosen = collective_cases(GRIDS[question.grid], kinds, ranks_count)
    if rank != 0:
        for _ in run_here(group, rank, (), question.rule, question.budget_s):
            pass
        return None
    backend = open_device(device, question.seed)
    chip = question.chip or backend.chip
    journal = Journal(question.path, chip=chip, resume=question.resume)
    todo = spread(journal.missing(chosen), question.seed)

    def run(budget_s: float, part: Sequence[Case]) -> Iterator[Event]:
        return run_here(group, rank, part, question.rule, budget_s)

    events, interrupted = recorded([(todo, run)], question, chip, journal, told)
    return outcome(journal, chip, backend.software, events, interrupted=interrupted)


def outcome(journal: Journal, chip: str, software: str, events: Sequence[Event], *, interrupted: bool) -> Outcome:
    """Return what a run came to."""
    return Outcome(
        path=journal.path,
        chip=chip,
        software=software,
        rows_count=journal.rows_count,
        tallies=tallies(events),
        refusals=refusals(events),
        interrupted=interrupted,
    )
