"""What formulas return: numbers that may be columns, named breakdowns, and limits with their margins."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Num = float | npt.NDArray[np.float64]
"""A number or a column of numbers; formulas treat both alike."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """A time with its name and its parts; where there are parts, the time is their sum."""

    name: str
    time_s: Num
    parts: tuple["Term", ...] = ()

    def at(self, row: int) -> "Term":
        """Return the same breakdown for one row of its columns."""
        return Term(name=self.name, time_s=pick(self.time_s, row), parts=tuple(part.at(row) for part in self.parts))

    def scaled(self, factor: Num) -> "Term":
        """Return the same breakdown, every time multiplied by `factor`."""
        return Term(
            name=self.name, time_s=self.time_s * factor, parts=tuple(part.scaled(factor) for part in self.parts)
        )

    def leaves(self) -> Iterator["Term"]:
        """Yield the terms without parts."""
        if not self.parts:
            yield self
        for part in self.parts:
            yield from part.leaves()


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """One thing that can stop a plan: what is needed, what there is, and what would cure it."""

    code: str
    what: str
    needed: Num
    available: Num
    unit: str
    cure: str

    @property
    def margin_frac(self) -> Num:
        """Share of what is available that stays free; negative where the limit is broken."""
        return 1.0 - self.needed / self.available

    def at(self, row: int) -> "Limit":
        """Return the same limit for one row of its columns."""
        return Limit(
            code=self.code,
            what=self.what,
            needed=pick(self.needed, row),
            available=pick(self.available, row),
            unit=self.unit,
            cure=self.cure,
        )


def total(name: str, *parts: Term) -> Term:
    """Return the sum of `parts` as a term of that name."""
    return Term(name=name, time_s=sum((part.time_s for part in parts), 0.0), parts=parts)


def pick(value: Num, row: int) -> float:
    """Return one row of a column, or the number itself."""
    return float(value[row]) if isinstance(value, np.ndarray) and value.ndim else float(value)


def at_row(value: Any, row: int) -> Any:
    """Return `value` with each column in it replaced by one row: arrays, dataclasses and tuples of them."""
    if isinstance(value, np.ndarray):
        return pick(value, row)
    if hasattr(value, "__dataclass_fields__"):
        picked = {name: at_row(getattr(value, name), row) for name in value.__dataclass_fields__}
        return type(value)(**picked)
    if isinstance(value, tuple):
        return tuple(at_row(item, row) for item in value)
    return value
