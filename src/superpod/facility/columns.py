"""Records whose numbers are columns: one row as catalogued, others with facts at their ends or drawn from their ranges.

Formulas treat numbers and columns alike, so that a whole table of what-ifs is one evaluation.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, TypeVar

import numpy as np

from superpod.catalog.provenance import Fact
from superpod.result import Num

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """What-ifs as rows: the first as catalogued, then each fact at its low and at its high, then draws.

    `columns` maps the address of a fact (`kind/id:path`) to its value in every row; `ends` to the rows of its low and
    its high. Where a range has one end only, the other is the value itself.
    """

    rows_count: int
    draws_count: int
    columns: Mapping[str, Num]
    ends: Mapping[str, tuple[int, int]]

    def of(self, entry: str) -> dict[str, Num]:
        """Return the columns of one entry (`kind/id`) by path."""
        head = f"{entry}:"
        return {where.removeprefix(head): column for where, column in self.columns.items() if where.startswith(head)}


def table(ranged: Mapping[str, Fact], draws_count: int, seed: int = 0) -> Table:
    """Return the table of facts that have a range; draws are independent and triangular with the value as mode.

    A fact without a range stays as it is and has no column.
    """
    random = np.random.default_rng(seed)
    spread = {where: fact for where, fact in ranged.items() if _has_range(fact)}
    rows = 1 + 2 * len(spread) + draws_count
    columns: dict[str, Num] = {}
    ends: dict[str, tuple[int, int]] = {}
    for place, (where, fact) in enumerate(spread.items()):
        mode = float(fact.value or 0.0)
        low = mode if fact.low is None else fact.low
        high = mode if fact.high is None else fact.high
        column = np.full(rows, mode)
        ends[where] = (1 + 2 * place, 2 + 2 * place)
        column[ends[where][0]], column[ends[where][1]] = low, high
        column[rows - draws_count :] = random.triangular(low, mode, high, draws_count)
        columns[where] = column
    return Table(rows_count=rows, draws_count=draws_count, columns=columns, ends=ends)


def _has_range(fact: Fact) -> bool:
    ends = [end for end in (fact.low, fact.high) if end is not None]
    return fact.value is not None and any(end != fact.value for end in ends)


def filled(entry: T, values: Mapping[str, Num]) -> T:
    """Return a record with columns in place of its numbers, by path as facts are filed (`plates.700 W.chip_w`)."""
    return _filled(entry, values, "") if values else entry


def _filled(item: Any, values: Mapping[str, Num], where: str) -> Any:
    if is_dataclass(item) and not isinstance(item, type):
        found = {
            part.name: _filled(getattr(item, part.name), values, f"{where}.{part.name}" if where else part.name)
            for part in fields(item)
            if part.name != "facts"
        }
        return replace(item, **found)
    if isinstance(item, tuple):
        return tuple(_filled(one, values, f"{where}.{getattr(one, 'name', place)}") for place, one in enumerate(item))
    return values.get(where, item)
