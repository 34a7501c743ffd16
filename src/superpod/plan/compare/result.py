"""The answer to `compare`: machines side by side, and each difference split into chip and system."""

from dataclasses import dataclass

from superpod.plan.report import Report


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """One machine of a comparison; what its power or its price is needed for is None without them: see `lacks`."""

    report: Report
    pods_count: float
    cards_count: float
    tokens_per_s: float
    per_card: float
    per_pod: float | None  # None where the cards fill less than a pod
    goodput_frac: float | None  # what failures leave
    site_w: float | None  # drawn at the work, the building included
    per_kw: float | None  # tokens/s per kW of site power
    usd_per_s: float | None  # machines, network, building, energy, upkeep
    mtoken_usd: float | None  # a million tokens that failures leave
    chip_factor: float  # per-card rate of the chip under a perfect fabric, over the baseline's
    system_factor: float  # share of that which the system keeps, over the baseline's
    ideal_per_card: float
    system_efficiency: float  # per_card / ideal_per_card
    lacks: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A machine that cannot be answered for, and why."""

    pod: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Contenders in the order asked, the first being the baseline of both factors."""

    question: str
    basis: str  # equal-cards, equal-flops, equal-power, equal-cost or as-built
    work: str
    contenders: tuple[Contender, ...]
    refusals: tuple[Refusal, ...]
    verdict: str  # one sentence: does the system beat the chip?
