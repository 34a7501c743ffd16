"""Machines side by side on one workload, each difference split into what the chip and what the system brings."""

from collections.abc import Sequence
from dataclasses import replace

from superpod.catalog.load import Catalogue
from superpod.errors import InfeasibleError, MissingFactError, NoBasisError, ScenarioError
from superpod.plan.compare.result import Comparison, Contender, Refusal
from superpod.plan.compare.size import WORKED, matched, quantity
from superpod.plan.evaluate import Planned, planned, report_of, solve
from superpod.plan.machine import machine
from superpod.plan.machine import size as sized
from superpod.plan.report import Report
from superpod.plan.scenario import Scenario, Training
from superpod.plan.whole.words import whole_notes

BASES = ("as-built", "equal-cards", "equal-flops", "equal-power", "equal-cost")
HELD = {"equal-power": "equal site power", "equal-cost": "equal cost a second"}
WATT_PER_KW = 1e3


def compare(catalogue: Catalogue, scenarios: Sequence[Scenario], basis: str) -> Comparison:
    """Return all scenarios answered at the size that `basis` gives them; the first one is the baseline.

    Per-card rate = (rate of the chip with a fabric that costs nothing) x (share of it that the system keeps); the ratio
    of two machines is the product of both ratios, so nothing is left over. The chip's part also holds what its memory
    allows at this size. A machine that lacks a fact or does not fit is refused with its reason; a baseline that is
    refused is an error.
    """
    if basis not in BASES:
        raise ScenarioError(f"unknown basis {basis!r}", where="--at", hint=f"one of {', '.join(BASES)}")
    if len(scenarios) < 1:
        raise ScenarioError("no pods to compare", where="--pods", hint="--pods A,B")
    contenders: list[Contender] = []
    refusals: list[Refusal] = []
    baseline = planned(catalogue, reference(catalogue, scenarios, basis))
    if basis in WORKED:
        quantity(catalogue, baseline, basis)
    for number, scenario in enumerate(scenarios):
        try:
            found = baseline if number == 0 else matched(catalogue, baseline, scenario, basis)
            contenders.append(contender(catalogue, found, contenders[0] if contenders else None))
        except (MissingFactError, NoBasisError, InfeasibleError) as error:
            if number == 0:
                raise
            refusals.append(Refusal(pod=scenario.pod, reason=str(error)))
    return Comparison(
        question=question(contenders[0].report, basis),
        basis=basis,
        work="train" if isinstance(scenarios[0].work, Training) else "serve",
        contenders=tuple(contenders),
        refusals=tuple(refusals),
        verdict=verdict(contenders, basis),
    )


def question(report: Report, basis: str) -> str:
    """Return the comparison as a sentence."""
    what = report.question.rpartition(", on ")[0]
    how = {"as-built": "each machine as built", "equal-cards": f"{report.cards_count:,.0f} cards each"}
    held = f"{HELD.get(basis, basis.replace('-', ' '))} to {report.cards_count:,.0f} cards of {report.pod_name}"
    return f"{what}: {how.get(basis, held)}"


def reference(catalogue: Catalogue, scenarios: Sequence[Scenario], basis: str) -> Scenario:
    """Return the baseline at its size; where none is given, as many cards as the largest machine named.

    A cluster of small pods is thus as large as the supernode that it stands beside.
    """
    first = scenarios[0]
    if basis == "as-built" or first.cards is not None or first.pods is not None:
        return first
    largest = max(sized(catalogue.pod(item.pod), item)[1] for item in scenarios)
    return replace(first, cards=round(largest))


def contender(catalogue: Catalogue, found: Planned, baseline: Contender | None) -> Contender:
    """Return one machine's answer with its rates and, against the baseline, its two factors."""
    scenario = found.scenario
    report = report_of(catalogue, found)
    whole = report.whole
    rate = report.headline.value
    per_card = rate / report.cards_count
    ideal, _ = solve(machine(catalogue, replace(scenario, ideal_fabric=True)), scenario)
    # A free fabric can only help; searches on a grid may differ by a rounding of instances.
    ideal_per_card = max(ideal.headline.value / report.cards_count, per_card)
    efficiency = per_card / ideal_per_card
    pod = catalogue.pod(scenario.pod)
    pods = report.cards_count / pod.chips_count
    power, money = (whole.power, whole.money) if whole is not None else (None, None)
    return Contender(
        report=report,
        pods_count=pods,
        cards_count=report.cards_count,
        tokens_per_s=rate,
        per_card=per_card,
        per_pod=per_card * pod.chips_count if pods >= 1 else None,
        goodput_frac=whole.failures.goodput_frac if whole is not None else None,
        site_w=power.site_w if power is not None else None,
        per_kw=rate / (power.site_w / WATT_PER_KW) if power is not None else None,
        usd_per_s=money.total_usd_per_s if money is not None else None,
        mtoken_usd=money.mtoken_usd if money is not None else None,
        chip_factor=ideal_per_card / baseline.ideal_per_card if baseline else 1.0,
        system_factor=efficiency / baseline.system_efficiency if baseline else 1.0,
        ideal_per_card=ideal_per_card,
        system_efficiency=efficiency,
        lacks=whole_notes(whole) if whole is not None else (),
    )


def verdict(contenders: Sequence[Contender], basis: str) -> str:
    """Return whether any system makes up for a slower chip, or squanders a faster one; in all, where bases say so."""
    first, *others = contenders
    if not others:
        return f"only {pod_id(first)} could be answered for"
    told = [sentence(first, item) + in_all(first, item, basis) for item in others]
    return "; ".join(told)


def in_all(first: Contender, item: Contender, basis: str) -> str:
    """Return what a machine does in all that draws, or costs, as much as the baseline."""
    if basis not in WORKED:
        return ""
    held = "site power" if basis == "equal-power" else "cost"
    return f", and {item.tokens_per_s / first.tokens_per_s:.2f}x the tokens at equal {held}"


def pod_id(item: Contender) -> str:
    """Return a contender's id without its version, which is what commands take."""
    return item.report.pod.partition("@")[0]


def sentence(first: Contender, item: Contender) -> str:
    """Return one contender against the baseline in words."""
    ratio = item.per_card / first.per_card
    parts = f"chip {item.chip_factor:.2f}x, system {item.system_factor:.2f}x"
    name, base = pod_id(item), pod_id(first)
    if ratio >= 1.0 and item.chip_factor < 1.0:
        return f"{name} beats {base} per card {ratio:.2f}x by its system, not by its chip ({parts})"
    if ratio < 1.0 and item.chip_factor >= 1.0:
        return f"{name} has the better chip but loses per card, {ratio:.2f}x, by its system ({parts})"
    if ratio >= 1.0 and item.system_factor >= 1.0:
        return f"{name} is {ratio:.2f}x {base} per card, by chip and system ({parts})"
    if ratio >= 1.0:
        return f"{name} is {ratio:.2f}x {base} per card, by its chip alone ({parts})"
    if item.system_factor >= 1.0:
        return f"{name} is {ratio:.2f}x {base} per card: a better system does not make up for the chip ({parts})"
    return f"{name} is {ratio:.2f}x {base} per card, behind in chip and system ({parts})"
