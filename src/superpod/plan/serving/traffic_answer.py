"""A question with traffic answered: choose a deployment, simulate it, say how sure and what limits."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import islice

from superpod.catalog.load import Catalogue
from superpod.errors import ScenarioError
from superpod.plan.band import log_spread, shares
from superpod.plan.grounds import facts_hash, no_tables, notes, package_version
from superpod.plan.machine import Machine, machine
from superpod.plan.report import Metric
from superpod.plan.scenario import Scenario, Serving, Traffic
from superpod.plan.serving.choice import LAST_COUNT, Told, Tried, chosen, trial
from superpod.plan.serving.explain import described, used_ranks
from superpod.plan.serving.explain_apart import split_notes
from superpod.plan.serving.explain_experts import experts_metrics, of_experts
from superpod.plan.serving.failures import hits
from superpod.plan.serving.fleet import Workshop
from superpod.plan.serving.operated import told as what_was_run
from superpod.plan.serving.operations import check_operations
from superpod.plan.serving.pair import Pair
from superpod.plan.serving.pair_fleet import pair_shop
from superpod.plan.serving.pair_report import of_pair, pair_of
from superpod.plan.serving.result import Outcome, Sweep, TrafficReport
from superpod.plan.serving.run import Sink, outcome, targets_of
from superpod.plan.serving.sweep import swept
from superpod.plan.serving.traffic import STRIDE, Stream, check_traffic, mean_work, requests_of
from superpod.plan.serving.traffic import described as description_of
from superpod.plan.serving.whole import traffic_whole
from superpod.plan.serving.words import advice, binding
from superpod.plan.whole.answer import each_once
from superpod.plan.whole.words import whole_metrics, whole_notes
from superpod.traffic.describe import Description
from superpod.traffic.requests import ClosedLoop, Trace, joined

FEW = 2_000
"""Requests that are served before a compiler has started."""
BANDED = 20_000
"""Requests by which the band of an outcome is told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A question with traffic, resolved; with a `pair` the machine `made` decodes only."""

    catalogue: Catalogue
    scenario: Scenario
    made: Machine
    work: Serving
    traffic: Traffic
    description: Description
    pair: Pair | None = None

    @property
    def reader(self) -> Machine:
        """The machine that reads prompts."""
        return self.made if self.pair is None else self.pair.prefill.machine

    @property
    def cards_count(self) -> float:
        """Cards in all."""
        return self.made.cards_count + (self.reader.cards_count if self.pair is not None else 0.0)


def question_of(catalogue: Catalogue, scenario: Scenario) -> Question:
    """Resolve a question; raise SuperpodError for what is missing or contradicts itself."""
    work, traffic = scenario.work, scenario.traffic
    if not isinstance(work, Serving) or traffic is None:
        raise ScenarioError("requests are served, not trained", where="traffic")
    check_traffic(traffic)
    check_operations(traffic.operations)
    description = description_of(traffic)
    work = mean_work(work, description)
    scenario = replace(scenario, work=work)
    two = pair_of(catalogue, scenario, traffic) if scenario.prefill_pod else None
    made = machine(catalogue, scenario) if two is None else two.decode.machine
    if two is None and traffic.pools_cards is not None and sum(traffic.pools_cards) > made.cards_count:
        raise ScenarioError(
            f"pools of {traffic.pools_cards[0]:,} and {traffic.pools_cards[1]:,} cards; the machine has "
            f"{made.cards_count:,.0f} in all",
            where="--disaggregate",
            hint="smaller pools, or more cards (--cards)",
        )
    if two is None:
        hits(made, traffic.failures)
    return Question(
        catalogue=catalogue,
        scenario=scenario,
        made=made,
        work=work,
        traffic=traffic,
        description=description,
        pair=two,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """A report, and the deployment that it is about on its machine."""

    report: TrafficReport
    question: Question
    chosen: Tried


def evaluate_traffic(
    catalogue: Catalogue, scenario: Scenario, told: Told | None = None, sink: Sink | None = None
) -> Answered:
    """Answer a question with traffic; `told` hears (stage, done, all), `sink` is handed the requests that ended.

    Raises:
        SuperpodError: what is missing, contradictory or infeasible; a request that cannot be read.
    """
    return answer_of(question_of(catalogue, scenario), told, sink)


def answer_of(asked: Question, told: Told | None = None, sink: Sink | None = None) -> Answered:
    """Answer a resolved question, as `evaluate_traffic` does."""
    shop = shop_of(asked)
    best, tried = pick(asked, shop, LAST_COUNT, told)
    best = replace(best, fleet=shop.fleet(best.found))
    found = outcome(
        best.fleet,
        requests_of(asked.traffic),
        best.targets,
        told=None if told is None else told_of(told, asked),
        sink=sink,
    )
    ends = None if found.interrupted else banded(shop, asked, best, found)
    rates = swept(asked.traffic, best, asked.cards_count, told) if asked.traffic.sweep and ends else None
    made = report(asked, best, tried, found, ends, rates)
    if ends:
        harm, operated = what_was_run(shop, best, found)
        made = replace(made, harm=harm, operated=operated)
    if asked.pair is not None:
        made = of_pair(made, asked.scenario, asked.pair, best.found)
    return Answered(report=made, question=asked, chosen=best)


def shop_of(asked: Question) -> Workshop:
    """Return the workshop of a question."""
    shop = Workshop(
        machine=asked.made,
        work=asked.work,
        traffic=asked.traffic,
        engine="python" if asked.description.requests_count <= FEW else "auto",
        has_prefixes=asked.description.block_tokens > 0,
    )
    return shop if asked.pair is None else pair_shop(asked.pair, shop)


def pick(asked: Question, shop: Workshop, count: int, told: Told | None) -> tuple[Tried, tuple[Tried, ...]]:
    """Return the best deployment by the first `count` requests, and all that were tried."""
    longest = asked.description.prompt.most_tokens + asked.description.output.most_tokens
    return chosen(shop, dict(asked.scenario.fixed), sample_of(asked.traffic).part(0, count), longest, told)


def sample_of(traffic: Traffic) -> Trace:
    """Return the first requests as one trace; those of a closed loop come evenly at no time at all."""
    stream = requests_of(traffic)
    pieces = iter(stream.requests) if isinstance(stream, ClosedLoop) else stream
    return joined(islice(pieces, LAST_COUNT // STRIDE))


def told_of(told: Told, asked: Question) -> Callable[[int], None]:
    """Return what hears how many requests have come."""
    whole = asked.traffic.requests_count or asked.description.requests_count

    def hear(done: int) -> None:
        told("requests", done, max(whole, done))

    return hear


def some(traffic: Traffic, count: int, rate_factor: float = 1.0) -> Stream:
    """Return the first requests."""
    whole = requests_of(traffic, rate_factor)
    if isinstance(whole, ClosedLoop):
        return replace(whole, requests=islice(iter(whole.requests), count // STRIDE))
    return islice(whole, count // STRIDE)


def banded(shop: Workshop, asked: Question, best: Tried, found: Outcome) -> tuple[Outcome, Outcome] | None:
    """Return the outcomes (slow, quick) where all steps take as long as the ends of the band of predictions.

    The spread is that of the steady state's passes (`plan.band`); None where interrupted.
    """
    passes = ((asked.made, best.found.decode.term), (asked.reader, best.found.prefill.term))
    spread = max(log_spread(made, shares(term)) for made, term in passes)
    ends = []
    for factor in (math.exp(spread), math.exp(-spread)):
        fleet = shop.fleet(best.found, slower=factor)
        made = outcome(fleet, some(asked.traffic, BANDED), targets_of(fleet, best.found, asked.work, shop.engine))
        if made.interrupted:
            return None
        ends.append(made)
    return ends[0], ends[1]


def report(
    asked: Question,
    best: Tried,
    tried: tuple[Tried, ...],
    found: Outcome,
    ends: tuple[Outcome, Outcome] | None,
    rates: Sweep | None,
) -> TrafficReport:
    """Return the report."""
    made, work, traffic = asked.made, asked.work, asked.traffic
    whole, cited = traffic_whole(
        asked.catalogue, asked.scenario.facility, asked.pair or made, work, best.found, (found.pools, rate_of(found))
    )
    used = used_ranks(best.found) / made.fabric.ranks_per_chip
    slow, quick = ends if ends is not None else (None, None)
    band = (slow.met_frac, quick.met_frac) if slow and quick else (found.met_frac, found.met_frac)
    return TrafficReport(
        question=sentence(asked),
        model=f"{made.spec.id}@{made.spec.version}",
        pod=f"{made.pod.id}@{made.pod.version}",
        pod_name=made.pod.name,
        state=made.pod.state,
        cards_count=made.cards_count,
        cards_used_count=used,
        pods_count=made.pods_count,
        precision=made.precision.name,
        software=f"{made.software.id}@{made.software.version}",
        seed=traffic.seed,
        ttft_target_s=work.ttft_s,
        tpot_target_s=work.tpot_s,
        traffic=asked.description,
        headline=Metric(key="met_frac", label="requests within both targets", value=found.met_frac, unit=""),
        band=(min(*band, found.met_frac), max(*band, found.met_frac)),
        metrics=(
            *rates_of(asked, found),
            *experts_metrics(made, work, best.found),
            *whole_metrics(whole, "serve"),
        ),
        outcome=found,
        slow=slow,
        quick=quick,
        binding=binding(found, work),
        advice=split_notes(made, work, best.found) + advice(found, work, rates, asked.cards_count),
        deployment=described(best.found),
        trials=tuple(trial(item) for item in tried),
        sweep=rates,
        harm=None,
        facts=each_once((*made.facts, *cited)),
        notes=(
            *said(asked, found),
            *notes(made),
            *no_tables(made, asked.scenario),
            *whole_notes(whole),
        ),
        catalogue_hash=facts_hash(made),
        version=package_version(),
        whole=whole,
    )


def sentence(asked: Question) -> str:
    """Return the question as a sentence."""
    made, traffic, work = asked.made, asked.traffic, asked.work
    many = f"{made.pods_count:g} x {made.pod.name}" if made.pods_count > 1 else made.pod.name
    what = traffic.trace or f"requests at {traffic.rate or f'a concurrency of {traffic.concurrency_count}'}"
    count = traffic.requests_count or asked.description.requests_count
    return (
        f"serve {count:,} requests of {what} with {made.spec.name}, TTFT up to {work.ttft_s:g} s and TPOT up to "
        f"{work.tpot_s * 1e3:g} ms, on {many} ({made.cards_count:,.0f} cards)"
    )


def rates_of(asked: Question, found: Outcome) -> tuple[Metric, ...]:
    """Return rates."""
    cards = asked.cards_count
    return (
        Metric(key="offered_per_s", label="requests come", value=found.offered_per_s, unit="1/s"),
        Metric(key="goodput_per_s", label="goodput", value=found.goodput_per_s, unit="1/s"),
        Metric(key="output_tokens_per_s", label="output", value=found.output_tokens_per_s, unit="token/s"),
        Metric(key="prompt_tokens_per_s", label="input", value=found.prompt_tokens_per_s, unit="token/s"),
        Metric(
            key="output_tokens_card_per_s",
            label="output, per card",
            value=found.output_tokens_per_s / cards,
            unit="token/s",
        ),
    )


def rate_of(found: Outcome) -> float:
    """Return output tokens a second, of a run that ended before the first of them almost none."""
    return max(found.output_tokens_per_s, 1e-12)


def said(asked: Question, found: Outcome) -> tuple[str, ...]:
    """Return what a reader must know of the simulation."""
    spoken = [
        *filter(None, (of_experts(asked.made.spec, asked.work),)),
        "power and cost: of the whole machine, busy or idle, over the tokens that this traffic has",
    ]
    if found.interrupted:
        spoken.insert(0, f"interrupted: {found.arrived_count:,} requests had ended; all numbers are theirs alone")
    return tuple(spoken)
