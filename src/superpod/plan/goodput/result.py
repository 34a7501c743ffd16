"""The answer to a question about failures: goodput, where the rest goes, what fails, and on whose word."""

from collections.abc import Mapping
from dataclasses import dataclass

from superpod.catalog.provenance import UsedFact
from superpod.plan.spread import Spread
from superpod.reliability.goodput import Goodput
from superpod.reliability.serving import ServingAvailability


@dataclass(frozen=True, slots=True, kw_only=True)
class DomainRow:
    """A failure domain of the machine: instances, cards that one takes along, and its failures, all and stopping."""

    name: str
    inside: str
    cause: str
    crossing: bool
    quorum: str
    instances_count: float
    cards_count: float
    mtbf_s: float
    all_per_s: float
    stopping_per_s: float
    masked_frac: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyRow:
    """What a spare policy leaves."""

    name: str
    meaning: str
    reserved_frac: float
    stranded_frac: float
    goodput_frac: float
    spares_count: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaleRow:
    """The same job on another number of cards."""

    cards_count: float
    mtbf_s: float
    effective_frac: float
    goodput_frac: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """Histories drawn at random: how many, how long, and percentiles over them."""

    histories_count: int
    length_s: float
    goodput_p10_frac: float
    goodput_p50_frac: float
    goodput_p90_frac: float
    effective_frac: float
    stops_count: float
    down_mean_count: float
    down_p99_count: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfCheck:
    """Something that must hold of the answer: the number, and what it is held to."""

    what: str
    holds: bool
    found: float
    expected: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Optics:
    """Optical modules of the scale-up fabric by count, and how often links of them fail."""

    modules_count: float
    failures_per_s: float
    stopping_per_s: float
    uncounted: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """A checkpoint of the job."""

    size_bytes: float | None
    stall_s: float
    persist_s: float
    interval_s: float
    how: str


@dataclass(frozen=True, slots=True, kw_only=True)
class QuorumRow:
    """The share of the time at which so many servers of a serving instance are up; failures cluster."""

    needed_count: int
    nodes_count: int
    up_frac: float


@dataclass(frozen=True, slots=True, kw_only=True)
class GoodputReport:
    """What failures leave of a machine; see `superpod.reliability.goodput.Goodput` for the shares."""

    question: str
    pod: str  # id@version
    pod_name: str
    state: str
    model: str
    book: str  # id@version of the failure book
    cards_count: float
    pods_count: float
    node_cards_count: float
    policy: str
    goodput: Goodput
    losses: Mapping[str, float]
    spread: Spread
    mtbf_s: float
    down_frac: float
    spares_count: float
    saved: Saved
    domains: tuple[DomainRow, ...]
    policies: tuple[PolicyRow, ...]
    scale: tuple[ScaleRow, ...]
    optics: Optics
    serving: ServingAvailability
    instance_cards_count: float
    quorums: tuple[QuorumRow, ...]
    played: Played | None
    checks: tuple[SelfCheck, ...]
    facts: tuple[UsedFact, ...]
    notes: tuple[str, ...]
    catalogue_hash: str
    version: str
