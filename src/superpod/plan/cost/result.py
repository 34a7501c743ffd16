"""The answer to a question about cost: by part, by hour, by token, by run; energy, carbon and water."""

from dataclasses import dataclass

from superpod.catalog.provenance import UsedFact
from superpod.facility.cost_parts import Footprint, Running
from superpod.plan.goodput.result import SelfCheck
from superpod.plan.spread import Spread


@dataclass(frozen=True, slots=True, kw_only=True)
class Bought:
    """A line of the bill of materials; of an `inside` one the price is within another's."""

    name: str
    amount_count: float | None
    each_usd: float | None
    whole_usd: float | None
    inside: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenCost:
    """What work costs on the machine, losses to failures included; `spread` is of `out_mtoken_usd`."""

    work: str
    tokens_per_s: float
    out_mtoken_usd: float
    in_mtoken_usd: float | None
    both_mtoken_usd: float | None
    energy_mtoken_usd: float
    token_energy_j: float
    mtoken_carbon_kg: float
    how: str
    spread: Spread


@dataclass(frozen=True, slots=True, kw_only=True)
class RunCost:
    """A training run of so many tokens; P10 and P90 over the ranges of the facts, at the rate that was found."""

    run_tokens: float
    time_s: float
    whole_usd: float
    p10_usd: float
    p90_usd: float
    lost_usd: float
    energy_j: float
    carbon_kg: float
    water_m3: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CostReport:
    """What a machine costs. All money is US dollars; `usd_ratio` is what one unit of `currency` is worth."""

    question: str
    pod: str
    pod_name: str
    state: str
    facility: str
    book: str
    currency: str
    usd_ratio: float
    cards_count: float
    pods_count: float
    card_hour_usd: float
    productive_hour_usd: float
    goodput_frac: float
    spread: Spread
    running: Running
    bill: tuple[Bought, ...]
    provisioned_w: float
    drawn_w: float
    footprint: Footprint
    water_known: bool
    failures_usd_per_s: float
    spares_usd_per_s: float
    parts_usd_per_s: float
    tokens: TokenCost | None
    run: RunCost | None
    checks: tuple[SelfCheck, ...]
    facts: tuple[UsedFact, ...]
    notes: tuple[str, ...]
    catalogue_hash: str
    version: str
