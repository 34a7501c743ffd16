"""What an algorithm sends, for the flow simulator, and what it costs, for its closed form."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from superpod.errors import ScenarioError
from superpod.result import Num

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Transfers that start together, between members 0 to n - 1; indices from n up are switches.

    `repeat_count` such steps follow one another, each when the one before has ended.
    """

    src: IntArray
    dst: IntArray
    size_bytes: FloatArray
    repeat_count: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """An algorithm's steps, one after another, and the bytes that the busiest member sends or receives in all.

    `own_bytes` never pass a port: what a member copies from its own input to its own output, None where nothing.
    """

    steps_count: Num
    wire_bytes: Num
    own_bytes: Num | None = None

    def time(self, base_s: Num, step_s: Num, bytes_per_s: Num) -> Num:
        """Return base + steps x step + wire bytes / rate (Hockney 1994, doi:10.1016/S0167-8191(06)80021-9)."""
        return base_s + self.steps_count * step_s + self.wire_bytes / bytes_per_s


class Schedule(Protocol):
    """Returns the steps of a collective for a shape of members: their count, sides of a torus, or (inside, groups)."""

    def __call__(self, kind: str, shape: Sequence[int], message_bytes: float) -> tuple[Step, ...]:
        """Return what is sent, in order."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Algorithm:
    """The kinds of collective that it runs, its closed form, and its steps."""

    kinds: tuple[str, ...]
    cost: Callable[..., Cost | tuple[Cost, ...]]
    steps: Schedule


def step(pairs: Sequence[tuple[int, int, float]], repeat_count: int = 1) -> Step:
    """Return a step of (source, destination, bytes)."""
    return Step(
        src=np.array([pair[0] for pair in pairs], dtype=np.int64),
        dst=np.array([pair[1] for pair in pairs], dtype=np.int64),
        size_bytes=np.array([pair[2] for pair in pairs], dtype=np.float64),
        repeat_count=repeat_count,
    )


def refuse(name: str, kind: str, kinds: Sequence[str]) -> ScenarioError:
    """Return the error for a collective that an algorithm does not run."""
    return ScenarioError(f"{name} does not run {kind}", where="fabric/collectives", hint=f"one of {', '.join(kinds)}")
