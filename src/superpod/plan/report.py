"""The answer to a scenario: numbers, where the time goes, what binds, and on whose word it all rests."""

from collections.abc import Mapping
from dataclasses import dataclass

from superpod.catalog.provenance import UsedFact
from superpod.plan.whole.result import Whole
from superpod.result import Limit, Term


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One number of the answer. `key` is its name in JSON; `unit` is SI, or what is counted, or '' for a share.

    `band` is its P10 and P90, where they are known.
    """

    key: str
    label: str
    value: float
    unit: str
    band: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A named part of memory, in bytes."""

    name: str
    amount_bytes: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A layout that was considered: what it would have reached, and why it was not chosen."""

    layout: Mapping[str, float | str]
    value: float
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Lever:
    """What a tenth more of one quantity (or less, of a latency) does to the headline, with the layout free to move."""

    name: str
    gain_frac: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontPoint:
    """A layout that none beats in step time, memory and cards together, and what its step draws and costs.

    Energy and cost are those of the cards it uses, by the layout's own phases; None where they are not published.
    """

    layout: Mapping[str, float | str]
    step_s: float
    memory_bytes: float
    cards_count: float
    energy_j: float | None = None
    cost_usd: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Searched:
    """How a training search went beside its best: what was never priced, the front, and what a better machine buys."""

    pruned_count: int
    interrupted: bool
    front: tuple[FrontPoint, ...]
    levers: tuple[Lever, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sensitivity:
    """How the headline answers to a fact: its relative change per relative change of the fact."""

    where: str
    elasticity: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Station:
    """One of two machines between which requests move: what it does, its size, and the network that caches travel on.

    `network_frac` is the share of what that network could carry from, or to, the cards in use.
    """

    phase: str  # "prefill" or "decode"
    pod: str  # id@version
    pod_name: str
    chip: str
    state: str
    precision: str
    cards_count: float
    cards_used_count: float
    network: str
    network_bytes_per_s: float  # of a card
    network_frac: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What one machine does with one workload."""

    question: str  # one sentence
    work: str  # "train" or "serve"
    model: str  # id@version
    pod: str  # id@version
    pod_name: str
    state: str
    cards_count: float
    cards_used_count: float
    pods_count: float
    precision: str
    software: str  # id@version of the release that is assumed
    headline: Metric
    band: tuple[float, float]  # the headline's low and high
    metrics: tuple[Metric, ...]
    breakdowns: tuple[Term, ...]  # one per step kind: a train step, or a prefill and a decode step
    memory: tuple[tuple[str, tuple[Share, ...]], ...]  # (pool, parts); parts sum to what one rank holds
    limits: tuple[Limit, ...]
    binding: str  # one sentence: what limits the answer, and by how much
    layout: Mapping[str, float | str]
    runners_up: tuple[Candidate, ...]
    considered_count: int
    feasible_count: int
    sensitivities: tuple[Sensitivity, ...]
    facts: tuple[UsedFact, ...]
    notes: tuple[str, ...]
    catalogue_hash: str
    version: str
    searched: Searched | None = None  # of training
    whole: Whole | None = None  # what it draws, what failures leave of it, what it costs
    stations: tuple[Station, ...] = ()  # where prompts are read on one machine and decoded on another

    @property
    def estimates(self) -> tuple[UsedFact, ...]:
        """The facts that nobody published: estimates, assumptions and the user's own numbers."""
        return tuple(used for used in self.facts if used.fact.kind in {"estimate", "assumed", "user"})

    def metric(self, key: str) -> Metric:
        """Return a metric by its key; raise KeyError where the answer has none."""
        return next(item for item in (self.headline, *self.metrics) if item.key == key)
