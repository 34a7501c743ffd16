"""Several models on one pod, each with its own requests: how cards are divided, what is shared, and what all serve."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from superpod.catalog.load import Catalogue
from superpod.errors import InfeasibleError, ScenarioError
from superpod.plan.grounds import hash_of, package_version
from superpod.plan.machine import Machine, machine
from superpod.plan.report import Metric
from superpod.plan.scenario import Scenario
from superpod.plan.serving.choice import Told
from superpod.plan.serving.search import requests_of as mean_request
from superpod.plan.serving.search import search
from superpod.plan.serving.tenants_result import Split, TenantAnswer, TenantsReport
from superpod.plan.serving.traffic import requests_of
from superpod.plan.serving.traffic_answer import Answered, Question, answer_of, pick, question_of, shop_of
from superpod.traffic.requests import ClosedLoop
from superpod.traffic.working_set import reuse_of, shared_bytes
from superpod.units import percent
from superpod.workload.build import kv_cache_bytes
from superpod.workload.phase import Partition

Made = TypeVar("Made")
SAMPLE = 1_000
"""Requests of each tenant by which splits are compared."""
STEPS = (8, 16, 32)
"""Cards change hands in these parts of those that are divided."""
EXCHANGES = 6
"""At most so many of each size."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    """A model with its requests, on the cards that it is given or on what the search gives it."""

    name: str
    scenario: Scenario
    cards_count: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """What a tenant does with some of its requests: their share within targets, and its goodput."""

    met_frac: float
    goodput_tokens_per_s: float


@dataclass(slots=True, kw_only=True)
class Trials:
    """What each tenant does on so many cards, simulated once."""

    catalogue: Catalogue
    tenants: Sequence[Tenant]
    told: Told | None = None
    known: dict[tuple[int, int], Score] = field(default_factory=dict)

    def of(self, place: int, cards: int) -> Score:
        """Return what a tenant does on so many cards; nothing where no deployment is in reach."""
        if (place, cards) not in self.known:
            if self.told is not None:
                self.told("splits", len(self.known), len(self.tenants) * (1 + len(STEPS) * EXCHANGES))
            try:
                asked = sized(self.catalogue, self.tenants[place], cards)
                made = pick(asked, shop_of(asked), SAMPLE, None)[0].outcome
                self.known[place, cards] = Score(met_frac=made.met_frac, goodput_tokens_per_s=made.goodput_tokens_per_s)
            except InfeasibleError:
                self.known[place, cards] = Score(met_frac=0.0, goodput_tokens_per_s=0.0)
        return self.known[place, cards]

    def rank(self, cards: Sequence[int]) -> tuple[float, float]:
        """Return how good a split is: the smallest share within targets, to a thousandth, then goodput of all."""
        found = [self.of(place, count) for place, count in enumerate(cards)]
        return round(min(item.met_frac for item in found), 3), sum(item.goodput_tokens_per_s for item in found)


def sized(catalogue: Catalogue, tenant: Tenant, cards: int) -> Question:
    """Return the question of a tenant that has so many cards."""
    return question_of(catalogue, replace(tenant.scenario, pods=None, cards=cards))


def evaluate_tenants(catalogue: Catalogue, tenants: Sequence[Tenant], told: Told | None = None) -> TenantsReport:
    """Divide the pod among its tenants, simulate each on its cards, and report on all.

    Raises:
        SuperpodError: cards beyond the pod's, nothing left to divide, a tenant that its cards cannot serve.
    """
    whole = machine(catalogue, tenants[0].scenario)
    trials = Trials(catalogue=catalogue, tenants=tenants, told=told)
    cards, splits = divided(trials, round(whole.cards_count))
    asked = [named(item, sized, catalogue, item, count) for item, count in zip(tenants, cards, strict=True)]
    parts = host_parts(asked, whole)
    found = []
    for tenant, question, part in zip(tenants, asked, parts, strict=True):
        mine = replace(question, made=with_host(question.made, part)) if part else question
        found.append(named(tenant, answer_of, mine, told))
    return report(tenants, cards, found, parts, splits, whole)


def named(tenant: Tenant, call: Callable[..., Made], *given: object) -> Made:
    """Return what a call returns; an error that nothing is in reach names the tenant."""
    try:
        return call(*given)
    except InfeasibleError as error:
        raise InfeasibleError(
            f"tenant {tenant.name}: {error.message}", where=error.where, hint=f"more cards for it; or {error.hint}"
        ) from None


def divided(trials: Trials, whole: int) -> tuple[list[int], tuple[Split, ...]]:
    """Return the cards of each tenant, and the splits that were tried.

    Raises:
        ScenarioError: more cards are given than there are, or none is left for those that have none.
    """
    tenants = trials.tenants
    free = [place for place, item in enumerate(tenants) if item.cards_count is None]
    given = sum(item.cards_count or 0 for item in tenants)
    left = whole - given
    if left < len(free):
        raise ScenarioError(
            f"tenants take {given:,} cards and {len(free)} more want some; the pod has {whole:,}",
            where="tenants",
            hint="smaller cards or share of a tenant, or more cards (--cards, --pods)",
        )
    cards = [item.cards_count or 0 for item in tenants]
    for place, count in zip(free, by_need(trials, free, left), strict=True):
        cards[place] = count
    if len(free) < 2:
        return cards, ()
    tried: dict[tuple[int, ...], tuple[float, float]] = {}
    best = exchanged(trials, cards, free, left, tried)
    names = [item.name for item in tenants]
    made = [
        Split(cards=dict(zip(names, item, strict=True)), met_frac=rank[0], goodput_tokens_per_s=rank[1])
        for item, rank in sorted(tried.items(), key=lambda item: (-item[1][0], -item[1][1]))
    ]
    return best, tuple(made)


def by_need(trials: Trials, free: Sequence[int], left: int) -> list[int]:
    """Return a first split: in proportion to the cards that each tenant's mean requests take in the steady state."""
    if len(free) < 2:
        return [left] * len(free)
    even = left // len(free)
    needs = []
    for place in free:
        asked = sized(trials.catalogue, trials.tenants[place], even)
        best = search(asked.made, asked.work, asked.scenario.fixed).best
        served = best.tokens_per_s / mean_request(asked.work).output_tokens if best is not None else 0.0
        needs.append(asked.description.rate_per_s / served if served else 1.0)
    total = sum(needs) or 1.0
    counts = [max(int(left * need / total), 1) for need in needs]
    counts[counts.index(max(counts))] += left - sum(counts)
    return counts


def exchanged(
    trials: Trials, cards: list[int], free: Sequence[int], left: int, tried: dict[tuple[int, ...], tuple[float, float]]
) -> list[int]:
    """Return the best split in reach: cards go to whom fewest requests are in time, while that helps; ever fewer."""

    def rank(item: Sequence[int]) -> tuple[float, float]:
        return tried.setdefault(tuple(item), trials.rank(item))

    best = list(cards)
    for parts in STEPS:
        step = max(left // parts, 1)
        for _ in range(EXCHANGES):
            poor = min(free, key=lambda place: trials.of(place, best[place]).met_frac)
            if trials.of(poor, best[poor]).met_frac == 1.0:
                break
            offers = []
            for rich in free:
                if rich != poor and best[rich] > step:
                    moved = list(best)
                    moved[rich], moved[poor] = moved[rich] - step, moved[poor] + step
                    offers.append(moved)
            better = max(offers, key=rank, default=None)
            if better is None or rank(better) <= rank(best):
                break
            best = better
    rank(best)
    return best


def host_parts(asked: Sequence[Question], whole: Machine) -> list[float]:
    """Return the bytes that each tenant comes to hold of the memory of the pod's hosts; 0 where it keeps none there.

    Those that keep prefixes there share the memory of all hosts, as one cache that drops what was used least recently.
    """
    keeps = [item.traffic.prefix_cache in {"host", "disk"} and item.description.block_tokens > 0 for item in asked]
    if not any(keeps):
        return [0.0] * len(asked)
    streams, sizes = [], []
    for item in (item for item, is_kept in zip(asked, keeps, strict=True) if is_kept):
        stream = requests_of(item.traffic)
        streams.append(reuse_of(iter(stream.requests) if isinstance(stream, ClosedLoop) else stream))
        made = item.made
        block = float(item.description.block_tokens)
        sizes.append(float(kv_cache_bytes(made.spec, block, Partition(), made.precision)))
    held = iter(shared_bytes(streams, sizes, whole.host.memory_bytes * whole.ranks_count))
    return [next(held) if is_kept else 0.0 for is_kept in keeps]


def with_host(made: Machine, part_bytes: float) -> Machine:
    """Return a machine whose hosts hold so much in all."""
    return replace(made, host=replace(made.host, memory_bytes=part_bytes / made.ranks_count))


def report(
    tenants: Sequence[Tenant],
    cards: Sequence[int],
    found: Sequence[Answered],
    parts: Sequence[float],
    splits: tuple[Split, ...],
    whole: Machine,
) -> TenantsReport:
    """Return the report on all."""
    answers = tuple(
        TenantAnswer(
            name=tenant.name,
            cards_count=count,
            is_given=tenant.cards_count is not None,
            host_bytes=part,
            report=item.report,
        )
        for tenant, count, item, part in zip(tenants, cards, found, parts, strict=True)
    )
    used = sum(item.report.cards_used_count for item in answers)
    facts = {used.where: used for item in answers for used in item.report.facts}
    worst = min(answers, key=lambda item: item.report.outcome.met_frac)
    return TenantsReport(
        question=f"serve {len(answers)} models on {whole.pod.name} ({whole.cards_count:,.0f} cards): "
        + ", ".join(f"{item.name} on {item.cards_count:,}" for item in answers),
        pod=f"{whole.pod.id}@{whole.pod.version}",
        pod_name=whole.pod.name,
        state=whole.pod.state,
        cards_count=whole.cards_count,
        cards_used_count=used,
        cards_idle_count=whole.cards_count - used,
        headline=Metric(
            key="least_met_frac",
            label="requests within both targets, of the tenant with fewest",
            value=worst.report.outcome.met_frac,
            unit="",
        ),
        metrics=totals(answers, used),
        tenants=answers,
        splits=splits,
        binding=f"{worst.name}: {worst.report.binding}",
        facts=tuple(facts.values()),
        notes=(*said(answers, found, whole), *dict.fromkeys(line for item in answers for line in item.report.notes)),
        catalogue_hash=hash_of(tuple(facts.values())),
        version=package_version(),
    )


def totals(answers: Sequence[TenantAnswer], used: float) -> tuple[Metric, ...]:
    """Return what all tenants do together."""
    made = [item.report.outcome for item in answers]
    arrived = sum(item.arrived_count for item in made)
    loads = sum(
        item.report.cards_used_count * max(use.load_frac for use in item.report.outcome.pools) for item in answers
    )
    named_values = (
        ("offered_per_s", "requests come", sum(item.offered_per_s for item in made), "1/s"),
        ("met_frac", "of all requests within targets", sum(item.met_frac * item.arrived_count for item in made), ""),
        ("goodput_per_s", "goodput", sum(item.goodput_per_s for item in made), "1/s"),
        ("output_tokens_per_s", "output", sum(item.output_tokens_per_s for item in made), "token/s"),
        ("prompt_tokens_per_s", "input", sum(item.prompt_tokens_per_s for item in made), "token/s"),
        ("cards_used_count", "in instances", used, "cards"),
        ("load_frac", "load of them, fullest pools", loads / max(used, 1.0), ""),
    )
    return tuple(
        Metric(key=key, label=label, value=value / max(arrived, 1) if key == "met_frac" else value, unit=unit)
        for key, label, value, unit in named_values
    )


def said(answers: Sequence[TenantAnswer], found: Sequence[Answered], whole: Machine) -> tuple[str, ...]:
    """Return what a reader must know of the division: what is shared, and what is not."""
    kept = [item for item in answers if item.host_bytes]
    lines = [
        "each tenant has cards of its own and is simulated alone on them; cards, chip memory and links are not shared"
    ]
    if kept:
        parts = ", ".join(f"{item.name} {item.host_bytes / 1e12:.3g} TB" for item in kept)
        lines.append(f"host memory is shared as one cache, least recently used first out: {parts}")
    return (*lines, *crossings(found, whole))


def crossings(found: Sequence[Answered], whole: Machine) -> tuple[str, ...]:
    """Return how much of each oversubscribed tier the caches of all tenants take.

    Every cache is counted as if it crossed the middle of the tier: the most that tenants can be in each other's way.
    """
    moved = sum(
        item.report.outcome.transfer_frac * link.bytes_per_s * fleet.decode.instances_count
        for item in found
        for fleet in (item.chosen.fleet,)
        for link in (fleet.transfer,)
        if link is not None and fleet.decode is not None
    )
    lines = []
    for tier in whole.fabric.tiers:
        if tier.bisection_frac >= 1.0 or not moved:
            continue
        room = min(tier.ranks_count, whole.ranks_count) * tier.bytes_per_s * tier.bisection_frac
        share = moved / room
        slow = "; more than it carries: times to a first token are too short" if share > 1.0 else ""
        lines.append(
            f"tier {tier.name} is oversubscribed and shared: caches of all tenants take at most {percent(share)} of "
            f"what crosses it{slow}"
        )
    return tuple(lines)
