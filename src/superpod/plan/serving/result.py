"""What a fleet does with its traffic: times, rates, what was missed and why, and what happened over time."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from superpod.catalog.provenance import UsedFact
from superpod.plan.report import Metric, Station
from superpod.plan.serving.operations_result import Operated
from superpod.plan.whole.result import Whole
from superpod.traffic.describe import Description

Condition = Literal["stable", "backlogged", "overloaded"]
CONDITIONS: Mapping[Condition, str] = {
    "stable": "the fleet keeps up, and waiting is the lesser part of the time to a first token",
    "backlogged": "the fleet keeps up in the end, but waiting is the larger part of the time to a first token",
    "overloaded": "more comes than is served: percentiles grow with the length of the run and say nothing else",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """A time over requests: its mean, percentiles (to a part in five hundred) and greatest.

    `curve_s` are its percentiles from 1 to 99.
    """

    mean_s: float
    p50_s: float
    p90_s: float
    p99_s: float
    most_s: float
    curve_s: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """Times of the requests that finished.

    `ttft`: to the first token. `unloaded`: what that would be on an idle fleet; `waiting`: the rest of it. `tpot`: mean
    time between the tokens of a request; `itl`: the same over tokens, so that long outputs count as often as they are
    long. `latency`: from arrival to the last token.
    """

    ttft: Spread
    unloaded: Spread
    waiting: Spread
    tpot: Spread
    itl: Spread
    latency: Spread


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """A reason for which requests missed a target, and their share of all that came."""

    code: str
    what: str
    share_frac: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LengthClass:
    """Requests by length of prompt: how many, and how they fared."""

    most_tokens: float
    requests_count: int
    ttft_p50_s: float
    ttft_p90_s: float
    unloaded_p50_s: float
    met_frac: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolUse:
    """What a pool did: its size, and shares of the time in which its instances were busy, by kind of step.

    `held_count`: requests that it decodes at a time, in the mean; `room_count`: those that it decodes within the target
    in the steady state. Both 0 for a pool that only reads prompts. `up_frac`: the share of the time in which its
    instances are up.
    """

    name: str
    instances_count: int
    ranks_count: float
    decode_frac: float
    prompt_frac: float
    mixed_frac: float
    capacity_tokens: float
    held_count: float
    room_count: float
    up_frac: float = 1.0

    @property
    def busy_frac(self) -> float:
        """Share of the time in which an instance was busy."""
        return self.decode_frac + self.prompt_frac + self.mixed_frac

    @property
    def load_frac(self) -> float:
        """How full it is: requests that decode over those that could, or, where it only reads, the share of time.

        A pool that decodes is busy whenever anybody is there, however few.
        """
        return self.held_count / self.room_count if self.room_count else self.busy_frac


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One simulation: requests by how they ended, times, rates and shares.

    Rates are over the time from the first arrival to the last, or, where the fleet takes longer, to the last end.
    `met_frac` is of all that came; `goodput_per_s` those that met both targets. `series` are columns over bins of
    `bin_s`.
    """

    condition: Condition
    rate_factor: float
    offered_per_s: float
    served_per_s: float
    goodput_per_s: float
    goodput_tokens_per_s: float
    output_tokens_per_s: float
    prompt_tokens_per_s: float
    span_s: float
    arrived_count: int
    counts: Mapping[str, int]
    met_frac: float
    ttft_met_frac: float
    tpot_met_frac: float
    hit_frac: float
    preempted_count: int
    times: Times
    causes: tuple[Cause, ...]
    classes: tuple[LengthClass, ...]
    pools: tuple[PoolUse, ...]
    cache_peak_frac: float
    cache_mean_frac: float
    transfer_frac: float
    bin_s: float
    series: Mapping[str, tuple[float, ...]]
    interrupted: bool
    engine: str

    @property
    def finished_count(self) -> int:
        """Requests that got all their tokens."""
        return self.counts.get("finished", 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A deployment that was simulated on some of the requests, to choose one."""

    deployment: Mapping[str, float | str]
    met_frac: float
    ttft_p90_s: float
    tpot_p90_s: float
    steady_tokens_per_s: float
    condition: Condition


@dataclass(frozen=True, slots=True, kw_only=True)
class RatePoint:
    """The fleet at another rate of the same requests."""

    rate_factor: float
    offered_per_s: float
    met_frac: float
    ttft_p90_s: float
    tpot_p90_s: float
    output_tokens_card_per_s: float
    goodput_tokens_card_per_s: float
    condition: Condition


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """Rates from light to overload; `most_per_s` is the highest at which `wanted_frac` of the requests meet targets."""

    points: tuple[RatePoint, ...]
    wanted_frac: float
    most_per_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Harm:
    """What failures cost: the same requests without them, `missed_count` more of which meet both targets.

    `failures_count`: instances that fail or become slower.
    """

    failures_count: int
    met_frac: float
    ttft_p90_s: float
    tpot_p90_s: float
    finished_count: int
    missed_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TrafficReport:
    """How one machine serves one traffic.

    `slow` and `quick` are the outcome where every step takes as long as the upper and lower end of the band of
    predictions; None where the run was interrupted.
    """

    question: str
    model: str
    pod: str
    pod_name: str
    state: str
    cards_count: float
    cards_used_count: float
    pods_count: float
    precision: str
    software: str
    seed: int
    ttft_target_s: float
    tpot_target_s: float
    traffic: Description
    headline: Metric
    band: tuple[float, float]
    metrics: tuple[Metric, ...]
    outcome: Outcome
    slow: Outcome | None
    quick: Outcome | None
    binding: str
    advice: tuple[str, ...]
    deployment: Mapping[str, float | str]
    trials: tuple[Trial, ...]
    sweep: Sweep | None
    harm: Harm | None
    facts: tuple[UsedFact, ...]
    notes: tuple[str, ...]
    catalogue_hash: str
    version: str
    stations: tuple[Station, ...] = ()  # where prompts are read on one machine and decoded on another
    extras: Mapping[str, float] = field(default_factory=dict)
    operated: Operated | None = None  # what scaling, refusals, preemption and failures did
    whole: Whole | None = None  # what it draws, what failures leave of it, what it costs

    @property
    def estimates(self) -> tuple[UsedFact, ...]:
        """The facts that nobody published: estimates, assumptions and the user's own numbers."""
        return tuple(used for used in self.facts if used.fact.kind in {"estimate", "assumed", "user"})
