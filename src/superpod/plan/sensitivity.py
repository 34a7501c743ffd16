"""Which facts drive the answer, and how wide they leave it: the chosen plan is priced again with each fact moved."""

import math
from dataclasses import dataclass, replace

from superpod.catalog.load import Catalogue
from superpod.catalog.provenance import UsedFact
from superpod.plan.answer import Repricer
from superpod.plan.machine import Machine, machine
from superpod.plan.report import Sensitivity
from superpod.plan.scenario import Scenario

NUDGE = 1.01
WORTH_SAYING = 0.005
STRUCTURAL = ("dies_count", "band_frac")  # not quantities that can move by a percent


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaning:
    """Facts by elasticity, and the headline's low and high as factors of its value."""

    ranked: tuple[Sensitivity, ...]
    band: tuple[float, float]


def sensitivities(catalogue: Catalogue, scenario: Scenario, made: Machine, price: Repricer) -> Leaning:
    """Return elasticities by +1 % moves, and a band from the facts' own ranges and the calibrations' errors.

    Each fact with a range moves to its low and its high alone; the effects, as logarithms, add in quadrature, as do the
    bands of operators and links weighed by their share of the elasticity, and how far releases of the software lie
    apart. The plan itself is not searched again.
    """
    base = price(made)
    ranked: list[Sensitivity] = []
    down = up = 0.0
    for used in made.facts:
        if used.fact.value is None or used.where.endswith(STRUCTURAL):
            continue
        effects = _moved(catalogue, scenario, price, used, base)
        if abs(effects.elasticity) >= WORTH_SAYING:
            ranked.append(Sensitivity(where=used.where, elasticity=effects.elasticity))
        down += min(effects.low, 0.0) ** 2
        up += max(effects.high, 0.0) ** 2
    fits = _fit_errors(made, ranked)
    ranked.sort(key=lambda item: -abs(item.elasticity))
    return Leaning(ranked=tuple(ranked), band=(math.exp(-math.sqrt(down + fits)), math.exp(math.sqrt(up + fits))))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Effects:
    elasticity: float
    low: float
    high: float


def _moved(catalogue: Catalogue, scenario: Scenario, price: Repricer, used: UsedFact, base: float) -> _Effects:
    value = used.fact.value or 0.0
    nudged = math.log(_priced(catalogue, scenario, price, used, value * NUDGE) / base) if value else 0.0
    ends = [
        math.log(_priced(catalogue, scenario, price, used, end) / base)
        for end in (used.fact.low, used.fact.high)
        if end is not None and end > 0 and end != value
    ]
    return _Effects(elasticity=nudged / math.log(NUDGE), low=min(ends, default=0.0), high=max(ends, default=0.0))


def _priced(catalogue: Catalogue, scenario: Scenario, price: Repricer, used: UsedFact, value: float) -> float:
    if not used.where.startswith(("chips/", "pods/", "calibration/", "links/", "software/")):
        return price(machine(catalogue, scenario))
    moved = replace(catalogue, overrides={**catalogue.overrides, used.where: value})
    return price(machine(moved, scenario))


def _fit_errors(made: Machine, ranked: list[Sensitivity]) -> float:
    """Return the squared log error of calibrations, band times elasticity of what they scale, and of releases."""
    weight = {"calibration": 0.0, "links": 0.0}
    for item in ranked:
        kind = item.where.partition("/")[0]
        if kind in weight and item.where.endswith("_frac"):
            weight[kind] += abs(item.elasticity)
    bands = {
        "calibration": made.device.calibration.band_frac,
        "links": max(tier.link.band_frac for tier in made.fabric.tiers),
    }
    fits = sum((min(weight[kind], 1.0) * math.log1p(bands[kind])) ** 2 for kind in weight)
    return fits + math.log1p(made.software.band_frac) ** 2
