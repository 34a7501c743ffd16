"""The answer to `compare`: machines side by side, and each difference split into chip and system."""

from dataclasses import dataclass

from superpod.plan.report import Report


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """One machine of a comparison; a rate is None where its denominator is not published; `lacks` says why."""

    report: Report
    pods_count: float
    cards_count: float
    tokens_per_s: float
    per_card: float
    per_pod: float | None  # None where the cards fill less than a pod
    per_kw: float | None  # of the pods' maximum power
    per_musd: float | None  # tokens/s per million USD of purchase price
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
