"""What a run of measurements came to: how many cases of each kind, the best rates, what was left out and why."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from superpod.measure.run import DROPPED, MEASURED, SKIPPED, Event
from superpod.measure.timing import quantile


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """The cases of one kind, number format and number of ranks: counts, best rates, shortest call, median spread."""

    kind: str
    dtype: str
    mode: str
    ranks_count: int
    measured_count: int
    skipped_count: int
    dropped_count: int
    best_flop_per_s: float | None
    best_bytes_per_s: float | None
    shortest_s: float | None
    spread_frac: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Cases of one kind and number format that were skipped for one reason."""

    kind: str
    dtype: str
    reason: str
    cases_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The file, the machine it describes, what was measured and what was not; `rows_count` is the file's."""

    path: Path
    chip: str
    software: str
    rows_count: int
    tallies: tuple[Tally, ...]
    refusals: tuple[Refusal, ...]
    interrupted: bool

    @property
    def dropped_count(self) -> int:
        """Return how many cases the budget left no time for."""
        return sum(tally.dropped_count for tally in self.tallies)


def tallies(events: Iterable[Event]) -> tuple[Tally, ...]:
    """Return one tally a stratum, in the order in which they first came."""
    strata: dict[tuple[str, str, str, int], list[Event]] = {}
    for event in events:
        strata.setdefault(event.case.stratum, []).append(event)
    return tuple(tally(members) for members in strata.values())


def tally(members: Sequence[Event]) -> Tally:
    """Return the tally of the events of one stratum."""
    states = [event.state for event in members]
    case = members[0].case
    pairs = [(event.case, event.row) for event in members if event.row is not None]
    spreads = sorted(row.spread_frac for _, row in pairs if row.spread_frac is not None)
    flop_rates = [item.work_flop / row.time_s for item, row in pairs if item.work_flop]
    byte_rates = [item.moved_bytes / row.time_s for item, row in pairs if item.moved_bytes]
    return Tally(
        kind=case.kind,
        dtype=case.dtype,
        mode=case.mode,
        ranks_count=case.ranks,
        measured_count=states.count(MEASURED),
        skipped_count=states.count(SKIPPED),
        dropped_count=states.count(DROPPED),
        best_flop_per_s=max(flop_rates, default=None),
        best_bytes_per_s=max(byte_rates, default=None),
        shortest_s=min((row.time_s for _, row in pairs), default=None),
        spread_frac=quantile(spreads, 0.5) if spreads else None,
    )


def refusals(events: Iterable[Event]) -> tuple[Refusal, ...]:
    """Return the reasons of skipped cases, each with how many it stopped."""
    counts: dict[tuple[str, str, str], int] = {}
    for event in events:
        if event.state == SKIPPED:
            key = (event.case.kind, event.case.dtype, event.reason)
            counts[key] = counts.get(key, 0) + 1
    return tuple(
        Refusal(kind=kind, dtype=dtype, reason=reason, cases_count=count)
        for (kind, dtype, reason), count in counts.items()
    )
