"""What formulas return: numbers that may be columns, named breakdowns, and limits with their margins."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Num = float | npt.NDArray[np.float64]
"""A number or an array of numbers; formulas treat both alike, and arrays broadcast against each other."""

Word = str | npt.NDArray[np.str_]
"""A choice by name, or an array of such choices."""

Flag = bool | npt.NDArray[np.bool_]
"""A truth, or an array of them; as a number 1 or 0."""


Place = int | tuple[int, ...]
"""Where in an array: a row of a column, or an index along each axis that arrays are broadcast over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """A time with its name and its parts; where there are parts, the time is their sum."""

    name: str
    time_s: Num
    parts: tuple["Term", ...] = ()

    def at(self, row: Place) -> "Term":
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

    def at(self, row: Place) -> "Limit":
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


def pick(value: Num, place: Place) -> float:
    """Return one number of an array, or the number itself."""
    return float(element(value, place))


def element(value: Any, place: Place) -> Any:
    """Return one element of an array that may lack axes of `place` or have them with one entry; others unchanged."""
    if not isinstance(value, np.ndarray):
        return value
    whole = place if isinstance(place, tuple) else (place,)
    own = whole[len(whole) - value.ndim :]
    return value[tuple(0 if size == 1 else index for size, index in zip(value.shape, own, strict=True))].item()


def at_row(value: Any, place: Place) -> Any:
    """Return `value` with each array in it replaced by one element: arrays, dataclasses and tuples of them."""
    if isinstance(value, np.ndarray):
        return element(value, place)
    if hasattr(value, "__dataclass_fields__"):
        picked = {name: at_row(getattr(value, name), place) for name in value.__dataclass_fields__}
        return type(value)(**picked)
    if isinstance(value, tuple):
        return tuple(at_row(item, place) for item in value)
    return value


def chosen(word: Word, *values: str) -> Flag:
    """Return where a choice is one of `values`."""
    if isinstance(word, str):
        return word in values
    return np.isin(word, values)


def holds(word: Word, part: str) -> Flag:
    """Return where a choice that is a list joined by `+` names `part`."""
    if isinstance(word, str):
        return part in word.split("+")
    return np.array([part in item.split("+") for item in word.ravel().tolist()], dtype=bool).reshape(word.shape)
