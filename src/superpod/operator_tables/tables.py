"""The object that answers for operators: the engines' tables of a chip, the analytic model between their bounds."""

from dataclasses import dataclass

import numpy as np

from superpod.compute.cost import roofline_time
from superpod.compute.device import Device
from superpod.operator_tables import attention, experts, gemm
from superpod.operator_tables.bounds import Measured, held
from superpod.operator_tables.locate import EVERY, System, system
from superpod.operator_tables.read import FloatArray
from superpod.result import Num
from superpod.workload.op import GEMM, Op


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredTables:
    """Measured times of one chip's kernels; an `OperatorTable` of `superpod.compute.device`."""

    system: System

    @property
    def name(self) -> str:
        """The package, the chip and the engines, for a report."""
        engines = [f"{backend.name} {release(self.system, backend.id)}" for backend in self.system.backends]
        many = "median of " if len(engines) > 1 else ""
        chip = self.system.folder.name.replace("_", " ").upper()
        return f"{self.system.package}, {chip}, {many}{', '.join(engines)}"

    def times(
        self, operators: tuple[Op, ...], analytic_s: tuple[Num, ...], device: Device
    ) -> tuple[tuple[Num, ...], tuple[Num, ...]]:
        """Return the seconds of each kernel, and those of them that measurements answer for.

        As measured where it was; elsewhere the analytic time, held between bounds that follow from the measured ones;
        the median over engines, never below the roofline. Up, activation and down of experts were timed as one: their
        time is shared out as the analytic model has it.
        """
        spent: list[Num] = []
        known: list[Num] = []
        place = 0
        while place < len(operators):
            count = 3 if experts.is_trio(operators[place : place + 3]) else 1
            part, analytic = operators[place : place + count], analytic_s[place : place + count]
            whole = sum(analytic[1:], analytic[0])
            factor, share = self._answer(part, whole, device)
            spent += [item * factor for item in analytic]
            known += [item * factor * share for item in analytic]
            place += count
        return tuple(spent), tuple(known)

    def _answer(self, part: tuple[Op, ...], analytic_s: Num, device: Device) -> tuple[Num, Num]:
        """Return (time over the analytic time, share that is measured) of one kernel, or of a trio of experts."""
        said = self._said(part, device)
        if not said:
            return 1.0, 0.0
        log_time, share_frac = held(said, analytic_s)
        least = sum(roofline_time(op, device) for op in part)
        there = np.asarray(analytic_s) > 0.0  # nothing to do takes no time, whatever else stands in its column
        factor = np.maximum(np.exp(log_time), least) / np.where(there, analytic_s, 1.0)
        by_table = there & (np.exp(log_time) >= least)
        return as_num(np.where(there, factor, 1.0)), as_num(np.where(by_table, share_frac, 0.0))

    def _said(self, part: tuple[Op, ...], device: Device) -> list[Measured]:
        tables = self.system
        if len(part) > 1:
            found = [experts.answer(part, tables, backend) for backend in tables.backends]
        elif part[0].kind == GEMM:
            found = [gemm.answer(part[0], tables, backend, device) for backend in tables.backends]
        else:
            found = [attention.answer(part[0], tables, backend) for backend in tables.backends]
        return [one for one in found if one is not None]


def as_num(value: FloatArray) -> Num:
    """Return a column, or the number where there is one only."""
    return value if np.ndim(value) else float(value)


def release(tables: System, backend: str) -> str:
    """Return the release of an engine whose products are read, or `?` where there are none."""
    engine = next(item for item in tables.backends if item.id == backend)
    path = tables.file(engine, "gemm", gemm.FILE)
    return path.parent.name if path else "?"


def load(chip: str, backend: str = EVERY) -> MeasuredTables:
    """Return the tables of a catalogue chip; raise NoBasisError where the package or the chip's tables are missing."""
    return MeasuredTables(system=system(chip, backend))
