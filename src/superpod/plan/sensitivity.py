"""Which facts drive the answer, and how wide they leave it: the chosen plan is priced again with each fact moved."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from superpod.catalog.load import Catalogue
from superpod.catalog.provenance import UsedFact
from superpod.plan.answer import Repricer
from superpod.plan.band import log_spread, shares
from superpod.plan.machine import Machine, machine
from superpod.plan.report import Sensitivity
from superpod.plan.scenario import Scenario
from superpod.result import Term

NUDGE = 0.99  # down: a share of 1 has no up
WORTH_SAYING = 0.005
STRUCTURAL = ("dies_count", "band_frac")  # not quantities that can move by a percent
FITTED = ("calibration/", "links/", "software/")  # their ranges are what the spread of a prediction holds


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaning:
    """Facts by elasticity, and the headline's low and high as factors of its value."""

    ranked: tuple[Sensitivity, ...]
    band: tuple[float, float]


def sensitivities(
    catalogue: Catalogue, scenario: Scenario, made: Machine, price: Repricer, passes: tuple[Term, ...]
) -> Leaning:
    """Return elasticities by -1 % moves, and a band: the spread of such predictions and the facts' own ranges.

    The spread is `band.log_spread` of the pass where it is widest, as the scorecard has it. Each fact of the machine
    with a range moves to its low and its high alone. As logarithms, all add in quadrature. The plan itself is not
    searched again.
    """
    spread = max(log_spread(made, shares(term)) for term in passes)
    return leaning(
        made.facts, spread, price(made), lambda used, value: _priced(catalogue, scenario, price, used, value)
    )


def leaning(
    facts: Iterable[UsedFact], spread: float, base: float, priced: Callable[[UsedFact, float], float]
) -> Leaning:
    """Return elasticities and band of a `base` that `priced` gives again with one fact at another value."""
    ranked: list[Sensitivity] = []
    down = up = spread**2
    for used in facts:
        if used.fact.value is None or used.where.endswith(STRUCTURAL):
            continue
        effects = _moved(priced, used, base)
        if abs(effects.elasticity) >= WORTH_SAYING:
            ranked.append(Sensitivity(where=used.where, elasticity=effects.elasticity))
        down += min(effects.low, 0.0) ** 2
        up += max(effects.high, 0.0) ** 2
    ranked.sort(key=lambda item: -abs(item.elasticity))
    return Leaning(ranked=tuple(ranked), band=(math.exp(-math.sqrt(down)), math.exp(math.sqrt(up))))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Effects:
    elasticity: float
    low: float
    high: float


def _moved(priced: Callable[[UsedFact, float], float], used: UsedFact, base: float) -> _Effects:
    value = used.fact.value or 0.0
    nudged = math.log(priced(used, value * NUDGE) / base) if value else 0.0
    ranges = () if used.where.startswith(FITTED) else (used.fact.low, used.fact.high)
    ends = [math.log(priced(used, end) / base) for end in ranges if end is not None and end > 0 and end != value]
    return _Effects(elasticity=nudged / math.log(NUDGE), low=min(ends, default=0.0), high=max(ends, default=0.0))


def _priced(catalogue: Catalogue, scenario: Scenario, price: Repricer, used: UsedFact, value: float) -> float:
    if not used.where.startswith(("chips/", "pods/", "calibration/", "links/", "software/")):
        return price(machine(catalogue, scenario))
    moved = replace(catalogue, overrides={**catalogue.overrides, used.where: value})
    return price(machine(moved, scenario))
