"""What a measurement needs of a device; `torch_backend` has one, tests another."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from superpod.measure.case import Case


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A case with its operands in place.

    `burst_s(n)` runs n calls one after another and returns the device seconds of all of them; n is a multiple of
    `whole_count`, the operand sets that one round passes through. `how` names the kernel.
    """

    burst_s: Callable[[int], float]
    whole_count: int = 1
    how: str = ""


class Backend(Protocol):
    """A device, or one rank of several, on which cases run."""

    @property
    def chip(self) -> str:
        """The device's name."""

    @property
    def software(self) -> str:
        """What ran: library, driver, clocks."""

    @property
    def modes(self) -> tuple[str, ...]:
        """How it can launch kernels: `eager`, `graph`."""

    def prepare(self, case: Case) -> Prepared:
        """Put the operands of a case in place; MeasurementError says why it cannot run here."""

    def now_s(self) -> float:
        """Return the seconds of a clock that all ranks agree on."""
