"""Requests served one by one on two machines: what is resolved for both, and what a report says of both."""

from dataclasses import replace

from superpod.catalog.load import Catalogue
from superpod.errors import ScenarioError
from superpod.plan.evaluate_pair import cost_of, facts_of, formats, hash_of, machine_notes, places, stations
from superpod.plan.money import card_rates
from superpod.plan.report import Metric
from superpod.plan.scenario import Scenario, Serving, Traffic
from superpod.plan.serve_pair import Pair, cards, pair
from superpod.plan.serve_result import Outcome, TrafficReport
from superpod.plan.serve_search import Deployment

OF_ONE = {"usd_per_mtoken", "energy_usd_per_mtoken", "energy_j_per_token"}
"""Metrics that were made of the machine that decodes alone."""


def pair_of(catalogue: Catalogue, scenario: Scenario, traffic: Traffic) -> Pair:
    """Resolve both machines of a question with traffic.

    Raises:
        ScenarioError: pools that a machine has no room for, cards that fail.
        SuperpodError: as `serve_pair.pair`.
    """
    made = pair(catalogue, scenario)
    if traffic.failures:
        raise ScenarioError(
            "cards that fail are numbered on one machine", where="--fail", hint="leave out --fail or --prefill-pod"
        )
    for side, wanted in zip((made.prefill, made.decode), traffic.pools_cards or (0, 0), strict=True):
        if wanted > side.machine.cards_count:
            raise ScenarioError(
                f"a pool of {wanted:,} cards on {places(side.machine)}",
                where="--disaggregate",
                hint="a smaller pool, or more cards (--prefill-cards, --cards)",
            )
    return made


def of_pair(
    report: TrafficReport, catalogue: Catalogue, scenario: Scenario, made: Pair, found: Deployment
) -> TrafficReport:
    """Return a report that was made as if there were one machine, with what it must say of two."""
    one, two = made.decode.machine, made.prefill.machine
    work, outcome = scenario.work, report.outcome
    if not isinstance(work, Serving):
        return report
    rate = max(outcome.output_tokens_per_s, 1e-12)
    money = cost_of(catalogue, scenario.facility, made, (one.cards_count, two.cards_count), rate)
    facts = facts_of(made)
    own = [line for side in (made.decode, made.prefill) for line in machine_notes(side, scenario)]
    kept = [line for line in report.notes if not line.startswith("no cost")]
    return replace(
        report,
        question=f"{report.question.rsplit(', on ', 1)[0]}: {places(two)} read prompts, {places(one)} decode",
        pod=" + ".join(f"{item.pod.id}@{item.pod.version}" for item in (one, two)),
        pod_name=f"{one.pod.name}, prompts on {two.pod.name}",
        cards_count=one.cards_count + two.cards_count,
        cards_used_count=cards(made, found),
        pods_count=one.pods_count + two.pods_count,
        precision=formats(made),
        metrics=(
            *(metric for metric in report.metrics if metric.key not in OF_ONE),
            *energy(catalogue, scenario.facility, made, outcome),
            *money.metrics,
        ),
        facts=(*facts, *money.facts),
        notes=(*dict.fromkeys((*kept, *own)), *((money.note,) if money.note else ())),
        catalogue_hash=hash_of(facts),
        stations=stations(made, work, replace(found, tokens_per_s=rate)),
    )


def energy(catalogue: Catalogue, facility: str, made: Pair, outcome: Outcome) -> tuple[Metric, ...]:
    """Return an estimate of the energy of an output token, both machines at maximum power while instances are busy.

    Nothing where the power of one of them is not published.
    """
    joules = 0.0
    for use in outcome.pools:
        machine = made.side(use.name).machine
        rates = card_rates(catalogue, facility, machine)
        if rates is None or not outcome.output_tokens_per_s:
            return ()
        busy = use.busy_frac * use.instances_count * use.ranks_count / machine.fabric.ranks_per_chip
        joules += rates.power_w * busy / outcome.output_tokens_per_s
    return (Metric(key="energy_j_per_token", label="energy of an output token (estimate)", value=joules, unit="J"),)
