"""Machines side by side on one workload, each difference split into what the chip and what the system brings."""

from collections.abc import Sequence
from dataclasses import replace

from superpod.catalog.load import Catalogue
from superpod.catalog.provenance import FactReader
from superpod.catalog.schema import Pod
from superpod.errors import InfeasibleError, MissingFactError, NoBasisError, ScenarioError
from superpod.plan.compare_result import Comparison, Contender, Refusal
from superpod.plan.evaluate import evaluate, solve
from superpod.plan.machine import machine
from superpod.plan.machine import size as sized
from superpod.plan.report import Report
from superpod.plan.scenario import Scenario, Training

BASES = ("as-built", "equal-cards", "equal-flops", "equal-power", "equal-cost")
WATT_PER_KW = 1e3
USD_PER_MUSD = 1e6


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
    baseline = reference(catalogue, scenarios, basis)
    for number, scenario in enumerate(scenarios):
        try:
            at_size = baseline if number == 0 else resized(catalogue, baseline, scenario, basis)
            contenders.append(contender(catalogue, at_size, contenders[0] if contenders else None))
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
        verdict=verdict(contenders),
    )


def question(report: Report, basis: str) -> str:
    """Return the comparison as a sentence."""
    what = report.question.rpartition(", on ")[0]
    how = {"as-built": "each machine as built", "equal-cards": f"{report.cards_count:,.0f} cards each"}
    held = f"{basis.replace('-', ' ')} to {report.cards_count:,.0f} cards of {report.pod_name}"
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


def resized(catalogue: Catalogue, baseline: Scenario, scenario: Scenario, basis: str) -> Scenario:
    """Return the scenario with the cards that match the baseline's cards, BF16 rate, power or price."""
    if basis == "as-built":
        return scenario
    pod, other = catalogue.pod(baseline.pod), catalogue.pod(scenario.pod)
    _, cards = sized(pod, baseline)
    if basis != "equal-cards":
        cards *= each(catalogue, pod, basis) / each(catalogue, other, basis)
    return replace(scenario, pods=None, cards=max(1, round(cards)))


def each(catalogue: Catalogue, pod: Pod, basis: str) -> float:
    """Return what one card has or costs of the quantity that a basis holds equal."""
    if basis == "equal-flops":
        chip = catalogue.chip(pod.chip)
        rate: float | None = chip.matrix_flop_per_s.get("bf16")
        return FactReader(kind="chips", entry=chip).number("matrix_flop_per_s.bf16", rate)
    reader = FactReader(kind="pods", entry=pod)
    if basis == "equal-power":
        return power_w(reader, pod) / pod.chips_count
    return reader.number("price.usd", pod.price.usd) / pod.chips_count


def power_w(reader: FactReader, pod: Pod) -> float:
    """Return the power that a building must provide for the pod: its maximum, the same for every machine."""
    return reader.number("power.max_w", pod.power.max_w)


def contender(catalogue: Catalogue, scenario: Scenario, baseline: Contender | None) -> Contender:
    """Return one machine's answer with its rates and, against the baseline, its two factors."""
    report = evaluate(catalogue, scenario)
    rate = report.headline.value
    per_card = rate / report.cards_count
    ideal, _ = solve(machine(catalogue, replace(scenario, ideal_fabric=True)), scenario)
    # A free fabric can only help; searches on a grid may differ by a rounding of instances.
    ideal_per_card = max(ideal.headline.value / report.cards_count, per_card)
    efficiency = per_card / ideal_per_card
    pod = catalogue.pod(scenario.pod)
    pods = report.cards_count / pod.chips_count
    lacks: list[str] = []
    return Contender(
        report=report,
        pods_count=pods,
        cards_count=report.cards_count,
        tokens_per_s=rate,
        per_card=per_card,
        per_pod=per_card * pod.chips_count if pods >= 1 else None,
        per_kw=per(rate, pods, catalogue, pod, "power", lacks),
        per_musd=per(rate, pods, catalogue, pod, "price", lacks),
        chip_factor=ideal_per_card / baseline.ideal_per_card if baseline else 1.0,
        system_factor=efficiency / baseline.system_efficiency if baseline else 1.0,
        ideal_per_card=ideal_per_card,
        system_efficiency=efficiency,
        lacks=tuple(lacks),
    )


def per(rate: float, pods: float, catalogue: Catalogue, pod: Pod, what: str, lacks: list[str]) -> float | None:
    """Return the rate per kW or per million USD, or None with the reason added to `lacks`."""
    reader = FactReader(kind="pods", entry=pod)
    try:
        if what == "power":
            return rate / (pods * power_w(reader, pod) / WATT_PER_KW)
        return rate / (pods * reader.number("price.usd", pod.price.usd) / USD_PER_MUSD)
    except MissingFactError as error:
        lacks.append(f"{what} of {pod.name} is not published ({error.where})")
        return None


def verdict(contenders: Sequence[Contender]) -> str:
    """Return whether any system makes up for a slower chip, or squanders a faster one."""
    first, *others = contenders
    if not others:
        return f"only {pod_id(first)} could be answered for"
    told = [sentence(first, item) for item in others]
    return "; ".join(told)


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
