"""Requests served one by one on two machines: what is resolved for both, and what a report says of both."""

from dataclasses import replace

from superpod.catalog.load import Catalogue
from superpod.errors import ScenarioError
from superpod.plan.grounds import hash_of
from superpod.plan.scenario import Scenario, Serving, Traffic
from superpod.plan.serving.pair import Pair, cards, pair
from superpod.plan.serving.pair_evaluate import facts_of, formats, machine_notes, places, stations
from superpod.plan.serving.result import TrafficReport
from superpod.plan.serving.search import Deployment
from superpod.plan.whole.answer import each_once


def pair_of(catalogue: Catalogue, scenario: Scenario, traffic: Traffic) -> Pair:
    """Resolve both machines of a question with traffic.

    Raises:
        ScenarioError: pools that a machine has no room for; what is told of one machine only.
        SuperpodError: as `pair`.
    """
    made = pair(catalogue, scenario)
    operations = traffic.operations
    for asked, option in (
        (traffic.failures, "--fail"),
        (operations.autoscale, "--autoscale"),
        (operations.preemption == "swap", "--preemption swap"),
    ):
        if asked:
            raise ScenarioError("is of pools on one machine", where=option, hint=f"leave out {option} or --prefill-pod")
    for side, wanted in zip((made.prefill, made.decode), traffic.pools_cards or (0, 0), strict=True):
        if wanted > side.machine.cards_count:
            raise ScenarioError(
                f"a pool of {wanted:,} cards on {places(side.machine)}",
                where="--disaggregate",
                hint="a smaller pool, or more cards (--prefill-cards, --cards)",
            )
    return made


def of_pair(report: TrafficReport, scenario: Scenario, made: Pair, found: Deployment) -> TrafficReport:
    """Return a report that was made as if there were one machine, with what it must say of two."""
    one, two = made.decode.machine, made.prefill.machine
    work, outcome = scenario.work, report.outcome
    if not isinstance(work, Serving):
        return report
    rate = max(outcome.output_tokens_per_s, 1e-12)
    facts = facts_of(made)
    own = [line for side in (made.decode, made.prefill) for line in machine_notes(side, scenario)]
    return replace(
        report,
        question=f"{report.question.rsplit(', on ', 1)[0]}: {places(two)} read prompts, {places(one)} decode",
        pod=" + ".join(f"{item.pod.id}@{item.pod.version}" for item in (one, two)),
        pod_name=f"{one.pod.name}, prompts on {two.pod.name}",
        cards_count=one.cards_count + two.cards_count,
        cards_used_count=cards(made, found),
        pods_count=one.pods_count + two.pods_count,
        precision=formats(made),
        facts=each_once((*facts, *report.facts)),
        notes=tuple(dict.fromkeys((*report.notes, *own))),
        catalogue_hash=hash_of(facts),
        stations=stations(made, work, replace(found, tokens_per_s=rate)),
    )
