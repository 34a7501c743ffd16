"""How many cards of a machine match another: as many, as much compute, site power drawn at the work, or cost."""

from dataclasses import replace

from superpod.catalog.load import Catalogue
from superpod.catalog.provenance import FactReader
from superpod.catalog.schema import Pod
from superpod.facility.cost_parts import running
from superpod.plan.cost.site import estate_of, site_of
from superpod.plan.evaluate import Planned, planned, solve
from superpod.plan.machine import machine
from superpod.plan.machine import size as sized
from superpod.plan.power.phases import loads_of
from superpod.plan.power.work import Powering, powering_of
from superpod.plan.scenario import Scenario

WORKED = ("equal-power", "equal-cost")
"""Bases of which a machine has what its work makes of it."""
ROUNDS = 8
CLOSE_FRAC = 0.01


def matched(catalogue: Catalogue, baseline: Planned, scenario: Scenario, basis: str) -> Planned:
    """Return the scenario's plan on the cards that match the baseline's.

    Power and cost follow from the plan, and the plan from the cards: n <- n x target / found, from the ratio of
    nameplates or prices, until they agree within 1 % or no number of cards is nearer.

    Raises:
        MissingFactError: a machine whose power or price nobody has published.
        InfeasibleError: so many cards cannot do the work.
    """
    if basis == "as-built":
        return planned(catalogue, scenario)
    cards = first_guess(catalogue, baseline, scenario, basis)
    if basis not in WORKED:
        return planned(catalogue, replace(scenario, pods=None, cards=cards))
    target = quantity(catalogue, baseline, basis)
    best, apart, tried = None, float("inf"), set[int]()
    while cards not in tried and len(tried) < ROUNDS and apart > CLOSE_FRAC:
        tried.add(cards)
        found = attempt(catalogue, replace(scenario, pods=None, cards=cards))
        ratio = quantity(catalogue, found, basis) / target
        if abs(ratio - 1.0) < apart:
            best, apart = found, abs(ratio - 1.0)
        cards = max(1, round(cards / ratio))
    return best if best is not None else planned(catalogue, replace(scenario, pods=None, cards=cards))


def attempt(catalogue: Catalogue, scenario: Scenario) -> Planned:
    """Search a scenario's plan; raise InfeasibleError where there is none."""
    made = machine(catalogue, scenario)
    answer, price = solve(made, scenario)
    return Planned(scenario=scenario, made=made, answer=answer, reprice=price)


def quantity(catalogue: Catalogue, found: Planned, basis: str) -> float:
    """Return the site power that a plan draws, or what it costs a second; raise MissingFactError where unpublished."""
    place = found.scenario.facility
    drawn = powering(catalogue, found)
    if basis == "equal-power":
        facility = catalogue.facility(place)
        return drawn.drawn.it_w * FactReader(kind="facilities", entry=facility).number("pue", facility.pue)
    whole = site_of(catalogue, found.made.pod, found.made.cards_count, place, powering=drawn)
    return float(running(estate_of(whole, {}), whole.terms).total_usd_per_s)


def powering(catalogue: Catalogue, found: Planned) -> Powering:
    """Return what a plan draws."""
    return powering_of(catalogue, found.made, loads_of(found.made, found.scenario.work, found.answer.plan))


def first_guess(catalogue: Catalogue, baseline: Planned, scenario: Scenario, basis: str) -> int:
    """Return the cards of the baseline times the ratio of what one card of each has of the quantity, as published."""
    _, cards = sized(baseline.made.pod, baseline.scenario)
    one, two = (each(catalogue, pod, basis) for pod in (baseline.made.pod, catalogue.pod(scenario.pod)))
    return max(1, round(cards * one / two)) if one and two else round(cards)


def each(catalogue: Catalogue, pod: Pod, basis: str) -> float:
    """Return what one card has of a quantity as published; 0 where nobody says and no more than a guess is wanted."""
    if basis == "equal-cards":
        return 1.0
    if basis == "equal-flops":
        chip = catalogue.chip(pod.chip)
        rate: float | None = chip.matrix_flop_per_s.get("bf16")
        return FactReader(kind="chips", entry=chip).number("matrix_flop_per_s.bf16", rate)
    base = catalogue.pod(pod.base) if pod.base else pod
    whole = base.power.max_w if basis == "equal-power" else base.price.usd
    return (whole or 0.0) / base.chips_count
