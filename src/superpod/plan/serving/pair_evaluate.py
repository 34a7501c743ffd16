"""Serving in the steady state on two machines, one for each phase: search, explain, report."""

from dataclasses import replace

from superpod.catalog.load import Catalogue
from superpod.catalog.provenance import UsedFact
from superpod.errors import InfeasibleError, ScenarioError
from superpod.plan.answer import binding_term
from superpod.plan.band import log_spread, shares
from superpod.plan.grounds import hash_of, no_tables, notes, package_version
from superpod.plan.machine import Machine
from superpod.plan.report import Candidate, Metric, Report, Station
from superpod.plan.scenario import Scenario, Serving
from superpod.plan.sensitivity import FITTED, leaning
from superpod.plan.serving.explain import (
    described,
    infeasible,
    memory_limit,
    memory_pools,
    rank_limit,
    requests_limit,
    stopping,
    time_limits,
    why_slower,
)
from superpod.plan.serving.pair import (
    Pair,
    Side,
    cards,
    links_frac,
    pair,
    pool_cards,
    pool_rates,
    repriced,
    search_pair,
)
from superpod.plan.serving.search import Deployment, ServeSearch, instance_ranks, requests_of, room
from superpod.plan.serving.whole import pair_whole
from superpod.plan.whole.answer import each_once
from superpod.plan.whole.words import whole_metrics, whole_notes
from superpod.result import Limit
from superpod.units import human

MOVABLE = ("chips/", "pods/", *FITTED)


def evaluate_pair(catalogue: Catalogue, scenario: Scenario) -> Report:
    """Answer a scenario whose prompts are read on another machine.

    Raises:
        SuperpodError: what is missing, contradictory or infeasible.
    """
    work = scenario.work
    if not isinstance(work, Serving):
        raise ScenarioError("requests are served, not trained", where="--prefill-pod")
    made = pair(catalogue, scenario)
    found = search_pair(made, work, scenario.fixed)
    if found.best is None:
        raise nothing(made, work, found)
    return report(catalogue, scenario, made, work, found, found.best)


def nothing(made: Pair, work: Serving, found: ServeSearch) -> InfeasibleError:
    """Return the error that says which of the machines is out of reach of the targets."""
    decodes = found.fastest is not None and float(found.fastest.tpot_s) <= work.tpot_s
    if not decodes:
        return infeasible(made.decode.machine, work, found)
    other = made.prefill.machine
    return InfeasibleError(
        f"no whole instance on {other.cards_count:,.0f} cards of {other.pod.name} reads prompts and sends their caches "
        f"within TTFT {human(work.ttft_s, 's')}; decoding on {made.decode.machine.pod.name} is in time",
        where=f"pods/{other.pod.id}",
        hint="more cards (--prefill-cards), a looser --ttft, or another --prefill-pod",
    )


def report(
    catalogue: Catalogue, scenario: Scenario, made: Pair, work: Serving, found: ServeSearch, best: Deployment
) -> Report:
    """Return the report."""
    one, two = made.decode.machine, made.prefill.machine
    facts = facts_of(made)

    def priced(used: UsedFact, value: float) -> float:
        moved = {used.where: value} if used.where.startswith(MOVABLE) else {}
        return repriced(pair(replace(catalogue, overrides={**catalogue.overrides, **moved}), scenario), work, best)

    spread = max(log_spread(one, shares(best.decode.term)), log_spread(two, shares(best.prefill.term)))
    lean = leaning(facts, spread, repriced(made, work, best), priced)
    whole, cited = pair_whole(catalogue, scenario.facility, made, work, best, lean.band)
    held = requests_limit(one, best)
    return Report(
        question=sentence(made, work),
        work="serve",
        model=f"{one.spec.id}@{one.spec.version}",
        pod=" + ".join(f"{item.pod.id}@{item.pod.version}" for item in (one, two)),
        pod_name=f"{one.pod.name}, prompts on {two.pod.name}",
        state=one.pod.state,
        cards_count=one.cards_count + two.cards_count,
        cards_used_count=cards(made, best),
        pods_count=one.pods_count + two.pods_count,
        precision=formats(made),
        software=f"{one.software.id}@{one.software.version}",
        headline=Metric(key="tokens_per_s", label="output throughput", value=best.tokens_per_s, unit="token/s"),
        band=(best.tokens_per_s * lean.band[0], best.tokens_per_s * lean.band[1]),
        metrics=(*metrics(made, work, best), *whole_metrics(whole, "serve")),
        breakdowns=(best.decode.term, best.prefill.term),
        memory=memory(made, best),
        limits=limits(made, work, best, held),
        binding=binding(made, work, best, held),
        layout=described(best),
        runners_up=tuple(
            Candidate(layout=described(item), value=item.tokens_per_s, why=why_slower(item, best))
            for item in found.others
        ),
        considered_count=found.considered_count,
        feasible_count=found.feasible_count,
        sensitivities=lean.ranked,
        facts=each_once((*facts, *cited)),
        notes=(*said(made, scenario), *whole_notes(whole)),
        catalogue_hash=hash_of(facts),
        version=package_version(),
        stations=stations(made, work, best),
        whole=whole,
    )


def facts_of(made: Pair) -> tuple[UsedFact, ...]:
    """Return the facts of both machines, each once."""
    return each_once((*made.decode.machine.facts, *made.prefill.machine.facts))


def formats(made: Pair) -> str:
    """Return the number formats of both machines, one where they agree."""
    return " and ".join(dict.fromkeys(side.machine.precision.name for side in (made.decode, made.prefill)))


def sentence(made: Pair, work: Serving) -> str:
    """Return the question as a sentence."""
    one, two = made.decode.machine, made.prefill.machine
    return (
        f"serve {one.spec.name}, {work.prompt_tokens:,} tokens in and {work.output_tokens:,} out, TTFT up to "
        f"{work.ttft_s:g} s and TPOT up to {work.tpot_s * 1e3:g} ms: {places(two)} read prompts, {places(one)} decode"
    )


def places(item: Machine) -> str:
    """Return the size of a machine."""
    many = f"{item.pods_count:g} x {item.pod.name}" if item.pods_count > 1 else item.pod.name
    return f"{many} ({item.cards_count:,.0f} cards)"


def said(made: Pair, scenario: Scenario) -> tuple[str, ...]:
    """Return what a reader must know of both machines, each thing once."""
    own = [line for side in (made.decode, made.prefill) for line in machine_notes(side, scenario)]
    first = (
        "rates at saturation, latencies without queueing; each machine runs the fewest whole instances that keep this "
        "rate up, and its other cards are free",
        "caches leave one machine and enter the other over their scale-out networks: a scale-up fabric joins the "
        "cards of one pod",
    )
    return (*first, *dict.fromkeys(own))


def machine_notes(side: Side, scenario: Scenario) -> tuple[str, ...]:
    """Return what a reader must know of one machine."""
    network = side.machine.pod.scale_out
    shared = (f"{side.network} takes ports of its scale-up fabric, and carries caches while those are free",)
    return (
        *notes(side.machine),
        *no_tables(side.machine, scenario),
        *(shared if network is not None and network.shares_scale_up_ports else ()),
    )


def metrics(made: Pair, work: Serving, best: Deployment) -> tuple[Metric, ...]:
    """Return rates and latencies; rates per card are over cards in use, as the sizes given are but room."""
    requests = best.tokens_per_s / work.output_tokens
    decode_cards, read_cards = pool_cards(made, best)
    each = made.decode.machine.fabric.ranks_per_chip, made.prefill.machine.fabric.ranks_per_chip
    named = (
        ("tokens_per_s_per_card_used", "per card in use", best.tokens_per_s / cards(made, best), "token/s"),
        ("total_tokens_per_s", "input and output", requests * (work.prompt_tokens + work.output_tokens), "token/s"),
        ("requests_per_s", "requests", requests, "1/s"),
        ("tpot_s", "TPOT", best.tpot_s, "s"),
        ("ttft_s", "TTFT (no queue)", best.ttft_s, "s"),
        ("transfer_s", "of it caches travel", best.transfer_s, "s"),
        ("decode_tokens_per_s_per_card", "decode, a card", float(best.decode.tokens_per_s_rank) * each[0], "token/s"),
        (
            "prefill_tokens_per_s_per_card",
            "prefill, a card",
            float(best.prefill.tokens_per_s_rank) * each[1],
            "token/s",
        ),
        ("prefill_cards_frac", "prefill cards over decode cards", read_cards / decode_cards, ""),
    )
    return tuple(Metric(key=key, label=label, value=value, unit=unit) for key, label, value, unit in named)


def memory(made: Pair, best: Deployment) -> tuple:  # type: ignore[type-arg]  # as Report.memory
    """Return what fills a rank of each machine."""
    return (memory_pools(made.decode.machine, best)[0], memory_pools(made.prefill.machine, best)[1])


def prefill_memory(made: Pair, best: Deployment) -> Limit:
    """Return the memory limit of a rank that reads prompts, the engine's reserve counted as needed."""
    said = ("prefill_memory", "a prefill rank", "more ranks an instance, or fewer prompts a pass")
    return rank_limit(made.prefill.machine, best.prefill.memory, said)


def limits(made: Pair, work: Serving, best: Deployment, held: Limit) -> tuple[Limit, ...]:
    """Return every limit of both machines and of the way between them."""
    doing = ("decode", "read prompts")
    sides = zip(("decode", "prefill"), doing, (made.decode, made.prefill), pool_cards(made, best), strict=True)
    sizes = [
        Limit(
            code=f"{name}_cards",
            what=f"cards of {side.machine.pod.name} that {does}",
            needed=used,
            available=side.machine.cards_count,
            unit="cards",
            cure="more of them",
        )
        for name, does, side, used in sides
    ]
    ends = zip((made.decode, made.prefill), links_frac(made, requests_of(work), best), strict=True)
    ways = [
        Limit(
            code="network",
            what=f"{side.network}, cards in use",
            needed=frac * side.rank_bytes_per_s * side.machine.fabric.ranks_per_chip,
            available=side.rank_bytes_per_s * side.machine.fabric.ranks_per_chip,
            unit="B/s",
            cure="a wider network, or a smaller number format of the caches (--kv fp8)",
        )
        for side, frac in ends
    ]
    return (
        memory_limit(made.decode.machine, best),
        prefill_memory(made, best),
        held,
        *time_limits(work, best),
        *sizes,
        *ways,
    )


def binding(made: Pair, work: Serving, best: Deployment, held: Limit) -> str:
    """Return which pool or network sets the rate, then where the time of its pass goes."""
    rates = pool_rates(made, requests_of(work), best)
    first = min(rates, key=lambda name: rates[name])
    if first in {"sent", "taken"}:
        side, does = (made.prefill, "send") if first == "sent" else (made.decode, "take")
        return f"{side.network} sets the rate: it carries all the caches that the cards in use can {does}"
    phase, other, does = ("decode", "prefill", "decode") if first == "decode" else ("prefill", "decode", "read prompts")
    machine, used = made.side(phase).machine, pool_cards(made, best)[phase == "prefill"]
    spare = free_cards(made, best, other)
    rest = f" and leave {spare:,.0f} cards of {made.side(other).machine.pod.name} free" if spare else ""
    start = f"{used:,.0f} cards of {machine.pod.name} that {does} set the rate{rest}"
    if phase == "decode":
        return f"{start}; {stop(made, work, best, held)}{binding_term(best.decode.term, memory_limit(machine, best))}"
    return f"{start}; {binding_term(best.prefill.term, prefill_memory(made, best))}"


def free_cards(made: Pair, best: Deployment, phase: str) -> float:
    """Return the cards that a machine has left for whole instances."""
    machine = made.side(phase).machine
    layout, count = (best.decode.layout, best.decode_instances)
    if phase == "prefill":
        layout, count = best.prefill.layout, best.prefill_instances
    size = float(instance_ranks(layout))
    return float(room(machine, size) // size - count) * size / machine.fabric.ranks_per_chip


def stop(made: Pair, work: Serving, best: Deployment, held: Limit) -> str:
    """Return what stops a larger decode batch."""
    found = stopping(best, work, memory_limit(made.decode.machine, best), held)
    return f"{found}; " if found else ""


def stations(made: Pair, work: Serving, best: Deployment) -> tuple[Station, ...]:
    """Return both machines, the one that comes first first."""
    used, shares_used = pool_cards(made, best), links_frac(made, requests_of(work), best)
    both = zip(("decode", "prefill"), (made.decode, made.prefill), used, shares_used, strict=True)
    return tuple(station(*item) for item in both)[::-1]


def station(phase: str, side: Side, used: float, network_frac: float) -> Station:
    """Return one machine."""
    made = side.machine
    return Station(
        phase=phase,
        pod=f"{made.pod.id}@{made.pod.version}",
        pod_name=made.pod.name,
        chip=made.chip.name,
        state=made.pod.state,
        precision=made.precision.name,
        cards_count=made.cards_count,
        cards_used_count=used,
        network=side.outward.tiers[-1].name,
        network_bytes_per_s=side.rank_bytes_per_s * made.fabric.ranks_per_chip,
        network_frac=network_frac,
    )
