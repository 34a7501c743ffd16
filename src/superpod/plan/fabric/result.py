"""The answer to a question about a fabric: parts, distances, times at each level, what limits them, and faults."""

from dataclasses import dataclass

from superpod.catalog.provenance import UsedFact
from superpod.fabric.collectives.choice import Way
from superpod.fabric.inventory import Inventory, TierParts


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkUse:
    """A link, or a class or bundle of equal ones, and what share of its bytes it carried until the last one arrived."""

    name: str
    used_frac: float


@dataclass(frozen=True, slots=True, kw_only=True)
class UseRow:
    """The links of one tier (and axis, plane, direction) in the order of their places, the fullest of each few."""

    label: str
    links_count: int
    cells_frac: tuple[float, ...]
    least_frac: float
    middle_frac: float
    most_frac: float


@dataclass(frozen=True, slots=True, kw_only=True)
class UseMap:
    """How full the links are while something runs."""

    title: str
    rows: tuple[UseRow, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """One time at one level.

    `time_s` with the transport's efficiency and the library's cost, `wire_s` what ports at their full rate would take.
    `bus_bytes_per_s` is nccl-tests' bus bandwidth, `batch_frac` the share of the time within which events are one.
    """

    level: str
    way: str
    ranks_count: int
    time_s: float
    wire_s: float | None
    bus_bytes_per_s: float | None
    batch_frac: float
    limits: tuple[LinkUse, ...] = ()
    caution: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectiveAnswer:
    """One collective at every level that was to be had, before and after the faults."""

    kind: str
    message_bytes: float
    ranks_count: int
    stride: int
    ways: tuple[Way, ...]
    reason: str
    before: tuple[Timing, ...]
    after: tuple[Timing, ...]

    @property
    def slowdown_ratio(self) -> float | None:
        """Time after the faults over time before, at the finest level; None where one of them is missing."""
        if not self.before or not self.after:
            return None
        return self.after[-1].time_s / self.before[-1].time_s


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultAnswer:
    """What faults take away; the exchange is a uniform all-to-all of all members at port rates, without a library."""

    faults: tuple[str, ...]
    links_count: int
    links_lost_count: int
    isolated: tuple[int, ...]
    exchange_after: Timing | None
    findings: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrafficAnswer:
    """A traffic matrix; `matrix_bytes` is src x dst, neighbouring ranks taken together."""

    name: str
    flows_count: int
    size_bytes: float
    before: Timing | None
    after: Timing | None
    matrix_bytes: tuple[tuple[float, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class JobAnswer:
    """One of several collectives at once: its time alone and beside the others."""

    name: str
    kind: str
    message_bytes: float
    first: int
    ranks_count: int
    stride: int
    way: str
    level: str
    batch_frac: float
    alone_s: float
    together_s: float
    slowdown_ratio: float
    bus_bytes_per_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FabricReport:
    """Everything that was asked; parts that were not are None or empty."""

    question: str
    name: str
    subject: str  # id@version, or the graph's file
    routing: str
    state: str
    pods_count: float
    ranks_count: int
    inventory: Inventory | None
    parts: tuple[TierParts, ...]
    diameter_count: float | None
    exchange: Timing | None
    collective: CollectiveAnswer | None
    faults: FaultAnswer | None
    traffic: TrafficAnswer | None
    jobs: tuple[JobAnswer, ...]
    maps: tuple[UseMap, ...]
    facts: tuple[UsedFact, ...]
    notes: tuple[str, ...]
    catalogue_hash: str
    version: str
