"""Scenario to Report: resolve, search, explain. Nothing is computed here that a layer below could compute."""

import hashlib
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version

from superpod.catalog.calibration import LinkCalibration
from superpod.catalog.load import Catalogue
from superpod.errors import InfeasibleError, SuperpodError
from superpod.plan import explain_serve, explain_train
from superpod.plan.answer import Answer, Repricer
from superpod.plan.machine import Machine, machine
from superpod.plan.money import CardRates, card_rates, costed
from superpod.plan.report import Report, Searched
from superpod.plan.scenario import Scenario, Training
from superpod.plan.sensitivity import sensitivities
from superpod.plan.train_screen import Progress

DOUBLINGS = 7


def evaluate(catalogue: Catalogue, scenario: Scenario, progress: Progress | None = None) -> Report:
    """Answer a scenario; raise a SuperpodError that says what is missing, contradictory or infeasible.

    `progress` is called with the layouts done and all of them while a training search goes on.
    """
    made = machine(catalogue, scenario)
    try:
        answer, price = solve(made, scenario, progress)
    except InfeasibleError as error:
        raise advised(catalogue, scenario, made, error) from None
    lean = sensitivities(catalogue, scenario, made, price, answer.breakdowns)
    money = costed(catalogue, scenario.facility, made, answer.headline.value)
    low, high = lean.band
    value = answer.headline.value
    return Report(
        question=question(made, scenario),
        work="train" if isinstance(scenario.work, Training) else "serve",
        model=f"{made.spec.id}@{made.spec.version}",
        pod=f"{made.pod.id}@{made.pod.version}",
        pod_name=made.pod.name,
        state=made.pod.state,
        cards_count=made.cards_count,
        cards_used_count=answer.cards_used_count,
        pods_count=made.pods_count,
        precision=made.precision.name,
        software=f"{made.software.id}@{made.software.version}",
        headline=answer.headline,
        band=(value * low, value * high),
        metrics=(*answer.metrics, *money.metrics),
        breakdowns=answer.breakdowns,
        memory=answer.memory,
        limits=answer.limits,
        binding=answer.binding,
        layout=answer.layout,
        runners_up=answer.runners_up,
        considered_count=answer.considered_count,
        feasible_count=answer.feasible_count,
        sensitivities=lean.ranked,
        facts=(*made.facts, *money.facts),
        notes=(*answer.notes, *notes(made), *no_tables(made, scenario), *((money.note,) if money.note else ())),
        catalogue_hash=facts_hash(made),
        version=package_version(),
        searched=completed(answer, card_rates(catalogue, scenario.facility, made)),
    )


def completed(answer: Answer, rates: CardRates | None) -> Searched | None:
    """Return a search with its levers, and energy and cost at each point of its front where they are known."""
    if answer.searched is None:
        return None
    searched = replace(answer.searched, levers=answer.levers())
    if rates is None:
        return searched
    priced = (
        replace(
            point,
            energy_j=rates.power_w * point.cards_count * point.step_s,
            cost_usd=rates.cost_usd_per_s * point.cards_count * point.step_s,
        )
        for point in searched.front
    )
    return replace(searched, front=tuple(priced))


def solve(made: Machine, scenario: Scenario, progress: Progress | None = None) -> tuple[Answer, Repricer]:
    """Search the machine for the best plan of the scenario's work."""
    if isinstance(scenario.work, Training):
        return explain_train.answer(made, scenario.work, scenario.fixed, scenario.search, progress)
    return explain_serve.answer(made, scenario.work, scenario.fixed)


def advised(catalogue: Catalogue, scenario: Scenario, made: Machine, error: InfeasibleError) -> InfeasibleError:
    """Return the error with a number of cards that would do, where doubling them a few times finds one."""
    for doubling in range(1, DOUBLINGS + 1):
        cards = round(made.cards_count) * 2**doubling
        try:
            solve(machine(catalogue, replace(scenario, pods=None, cards=cards)), scenario)
        except InfeasibleError:
            continue
        except SuperpodError:
            break
        return InfeasibleError(
            error.message, where=error.where, hint=f"try --cards {cards}, which is enough; or {error.hint}"
        )
    return error


def question(made: Machine, scenario: Scenario) -> str:
    """Return the scenario as a sentence."""
    many = f"{made.pods_count:g} x {made.pod.name}" if made.pods_count > 1 else made.pod.name
    work = scenario.work
    if isinstance(work, Training):
        what = (
            f"train {made.spec.name} with {work.batch_sequences:,} sequences of {work.sequence_tokens:,} tokens a step"
        )
    else:
        what = (
            f"serve {made.spec.name}, {work.prompt_tokens:,} tokens in and {work.output_tokens:,} out, "
            f"TTFT up to {work.ttft_s:g} s and TPOT up to {work.tpot_s * 1e3:g} ms"
        )
    return f"{what}, on {many} ({made.cards_count:,.0f} cards)"


def notes(made: Machine) -> tuple[str, ...]:
    """Return what a reader must know of the machine before trusting the numbers."""
    said: list[str] = []
    if made.pod.state in {"roadmap", "announced", "cancelled"}:
        said.append(
            f"{made.pod.name} is {made.pod.state}: no such machine can be bought, and its numbers are the vendor's word"
        )
    if made.pods_count > 1 and made.pod.scale_out is not None and made.pod.scale_out.shares_scale_up_ports:
        said.append("the scale-out network takes ports of the scale-up fabric: both at full rate cannot be had at once")
    skipped = unpublished_rates(made)
    if skipped:
        said.append(f"{', '.join(skipped)} of {made.chip.name} is not published, so this runs in {made.precision.name}")
    software = made.software
    said.append(f"assumes {software.name}" + (f": {software.note}" if software.note else ""))
    calibration = made.device.calibration
    if calibration.borrowed_from:
        said.append(f"operator efficiencies of {made.chip.name} are partly borrowed from {calibration.borrowed_from}")
    said += [
        f"link efficiencies of {link.name} are borrowed from {link.borrowed_from}"
        for link in links(made)
        if link.borrowed_from
    ]
    estimated = [used.where for used in made.facts if used.fact.kind == "estimate"]
    if estimated:
        said.append(f"rests on {len(estimated)} estimate(s) that nobody has published: {', '.join(estimated)}")
    return tuple(said)


def no_tables(made: Machine, scenario: Scenario) -> tuple[str, ...]:
    """Return a note where measured tables were wished for and the chip has none."""
    if scenario.tables == "none" or made.device.table is not None:
        return ()
    return (f"no measured operator tables of {made.chip.name}: all operators are analytic",)


def unpublished_rates(made: Machine) -> list[str]:
    """Return the 8-bit formats that the chip may have but nobody has published a rate for."""
    if made.precision.matmul != "bf16":
        return []
    rates = {name: made.chip.facts.get(f"matrix_flop_per_s.{name}") for name in ("fp8", "int8")}
    return [name for name, fact in rates.items() if fact is not None and fact.missing and fact.value is None]


def links(made: Machine) -> list[LinkCalibration]:
    """Return the link calibrations in use, each once."""
    return list({tier.link.id: tier.link for tier in made.fabric.tiers}.values())


def facts_hash(made: Machine) -> str:
    """Return a short content hash of every fact in use: two answers with the same hash rest on the same numbers."""
    lines = sorted(f"{used.where}={used.fact.value!r}" for used in made.facts)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:12]


def package_version() -> str:
    """Return the installed version, or `unknown` when run from a tree."""
    try:
        return version("superpod")
    except PackageNotFoundError:
        return "unknown"
