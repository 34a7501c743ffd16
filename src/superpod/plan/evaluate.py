"""Scenario to Report: resolve, search, explain. Nothing is computed here that a layer below could compute."""

from dataclasses import dataclass, replace

from superpod.catalog.load import Catalogue
from superpod.catalog.provenance import UsedFact
from superpod.errors import InfeasibleError, SuperpodError
from superpod.plan.answer import Answer, Repricer
from superpod.plan.goodput.work import failing_of
from superpod.plan.grounds import facts_hash, no_tables, notes, package_version, question
from superpod.plan.machine import Machine, machine
from superpod.plan.power.phases import loads_of
from superpod.plan.report import Report, Searched
from superpod.plan.scenario import Scenario, Training
from superpod.plan.sensitivity import sensitivities
from superpod.plan.serving import explain as explain_serve
from superpod.plan.serving.pair_evaluate import evaluate_pair
from superpod.plan.training import explain as explain_train
from superpod.plan.training.screen import Progress
from superpod.plan.whole.answer import Done, Part, each_once, whole_of
from superpod.plan.whole.front import front_in_a_building
from superpod.plan.whole.result import Whole
from superpod.plan.whole.words import whole_metrics, whole_notes

DOUBLINGS = 7


def evaluate(catalogue: Catalogue, scenario: Scenario, progress: Progress | None = None) -> Report:
    """Answer a scenario; raise a SuperpodError that says what is missing, contradictory or infeasible.

    `progress` is called with the layouts done and all of them while a training search goes on.
    """
    if scenario.prefill_pod:
        return evaluate_pair(catalogue, scenario)
    return report_of(catalogue, planned(catalogue, scenario, progress))


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A scenario on its machine with the plan that was found."""

    scenario: Scenario
    made: Machine
    answer: Answer
    reprice: Repricer


def planned(catalogue: Catalogue, scenario: Scenario, progress: Progress | None = None) -> Planned:
    """Search a scenario's plan; raise as `evaluate`, with a number of cards that would do where memory is short."""
    made = machine(catalogue, scenario)
    try:
        answer, price = solve(made, scenario, progress)
    except InfeasibleError as error:
        raise advised(catalogue, scenario, made, error) from None
    return Planned(scenario=scenario, made=made, answer=answer, reprice=price)


def report_of(catalogue: Catalogue, found: Planned) -> Report:
    """Return the report on a plan that was found."""
    scenario, made, answer, price = found.scenario, found.made, found.answer, found.reprice
    lean = sensitivities(catalogue, scenario, made, price, answer.breakdowns)
    low, high = lean.band
    value = answer.headline.value
    work = "train" if isinstance(scenario.work, Training) else "serve"
    whole, facts = whole_answer(catalogue, scenario, made, answer, lean.band)
    return Report(
        question=question(made, scenario),
        work=work,
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
        metrics=(*answer.metrics, *whole_metrics(whole, work)),
        breakdowns=answer.breakdowns,
        memory=answer.memory,
        limits=answer.limits,
        binding=answer.binding,
        layout=answer.layout,
        runners_up=answer.runners_up,
        considered_count=answer.considered_count,
        feasible_count=answer.feasible_count,
        sensitivities=lean.ranked,
        facts=each_once((*made.facts, *facts)),
        notes=(*answer.notes, *notes(made), *no_tables(made, scenario), *whole_notes(whole)),
        catalogue_hash=facts_hash(made),
        version=package_version(),
        searched=completed(catalogue, scenario, made, answer),
        whole=whole,
    )


def whole_answer(
    catalogue: Catalogue, scenario: Scenario, made: Machine, answer: Answer, band: tuple[float, float] = (1.0, 1.0)
) -> tuple[Whole, tuple[UsedFact, ...]]:
    """Return what a plan that was found draws, keeps and costs, and the facts of that; `band` is that of its rate."""
    parts = (Part(machine=made, loads=loads_of(made, scenario.work, answer.plan)),)
    done = Done(tokens_per_s=answer.headline.value, band=band)
    return whole_of(catalogue, scenario.facility, parts, done, failing_of(catalogue, made, answer.plan))


def completed(catalogue: Catalogue, scenario: Scenario, made: Machine, answer: Answer) -> Searched | None:
    """Return a search with its levers, and energy and cost at each point of its front where they are known."""
    if answer.searched is None or not isinstance(scenario.work, Training):
        return None
    front = front_in_a_building(catalogue, scenario.facility, made, scenario.work, answer)
    return replace(answer.searched, levers=answer.levers(), front=front)


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
