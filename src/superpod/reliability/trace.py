"""Faults that a fleet has had: when servers went and came back, and what domains of cards would have lost by it."""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from superpod.errors import MeasurementError
from superpod.units import DAY_S

Column = npt.NDArray[np.float64]
BIN_S = DAY_S / 4.0
COLUMNS = ("server", "start", "end", "level")


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultTrace:
    """Faults row by row: the server, and when it went and came back; `nodes_count` servers were watched."""

    server: npt.NDArray[np.int64]
    start_s: Column
    end_s: Column
    nodes_count: int
    length_s: float

    @property
    def failure_per_s(self) -> float:
        """Faults of one server."""
        return len(self.server) / self.nodes_count / self.length_s

    @property
    def down_frac(self) -> float:
        """Share of the servers' time that faults took."""
        return float((self.end_s - self.start_s).sum()) / self.nodes_count / self.length_s


def read_faults(path: Path, nodes_count: int, length_s: float) -> FaultTrace:
    """Return a trace from a CSV of server, start and end in days, level; lines that begin with # are skipped.

    Raises MeasurementError with the line of a fault that cannot be read, or ends before it begins.
    """
    servers: list[int] = []
    times: list[tuple[float, float]] = []
    lines = path.read_text(encoding="utf-8").splitlines()
    numbered = [(number, line) for number, line in enumerate(lines, start=1) if line and not line.startswith("#")]
    if not numbered or tuple(numbered[0][1].split(",")) != COLUMNS:
        raise MeasurementError("found no columns", where=str(path), hint=f"the first line is {','.join(COLUMNS)}")
    for (number, _), row in zip(numbered[1:], csv.reader(line for _, line in numbered[1:]), strict=True):
        try:
            server, start, end = int(row[0]), float(row[1]), float(row[2])
        except (ValueError, IndexError):
            raise MeasurementError(f"cannot read {','.join(row)!r}", where=f"{path}:{number}") from None
        if not 0.0 <= start <= end:
            raise MeasurementError(
                f"a fault from {start:g} to {end:g}", where=f"{path}:{number}", hint="start before end"
            )
        servers.append(server)
        times.append((start * DAY_S, end * DAY_S))
    columns = np.array(times, dtype=float).reshape(-1, 2)
    return FaultTrace(
        server=np.array(servers, dtype=np.int64),
        start_s=columns[:, 0],
        end_s=columns[:, 1],
        nodes_count=nodes_count,
        length_s=length_s,
    )


def down_over_time(trace: FaultTrace) -> npt.NDArray[np.bool_]:
    """Return which servers are down at each quarter of a day; overlapping faults of a server count once."""
    moments = np.arange(0.0, trace.length_s, BIN_S)
    down = np.zeros((len(moments), trace.nodes_count), dtype=bool)
    for server, start, end in zip(trace.server, trace.start_s, trace.end_s, strict=True):
        down[(moments >= start) & (moments < end), server] = True
    return down


def down_ratio(trace: FaultTrace) -> float:
    """Return the variance of servers down at once over that of a binomial of the same mean."""
    counts = down_over_time(trace).sum(axis=1)
    share = counts.mean() / trace.nodes_count
    return float(counts.var() / (trace.nodes_count * share * (1.0 - share)))


def stranded_frac(
    trace: FaultTrace, domain_cards: int, group_cards: int, unit_cards: int, node_cards: int, repeats: int, seed: int
) -> float:
    """Return the healthy cards that no whole group fills, as a share of all, over a replay of a trace.

    Servers lie at random in domains of `domain_cards`, groups of `group_cards` inside one; a fault takes one of the
    server's units of `unit_cards`, the same one each time. Domains that are not filled are left out.
    """
    rng = np.random.default_rng(seed)
    down = down_over_time(trace)
    units = node_cards // unit_cards
    places = domain_cards // unit_cards
    whole = trace.nodes_count * units // places * places
    lost = 0.0
    for _ in range(repeats):
        broken = np.zeros((len(down), trace.nodes_count, units), dtype=bool)
        which = rng.integers(units, size=trace.nodes_count)
        broken[:, np.arange(trace.nodes_count), which] = down
        order = rng.permutation(trace.nodes_count)
        laid = broken[:, order, :].reshape(len(down), -1)[:, :whole].reshape(len(down), -1, places)
        healthy = domain_cards - unit_cards * laid.sum(axis=2)
        lost += float((healthy % group_cards).mean()) / domain_cards
    return lost / repeats
