"""A serving search put into an Answer."""

from collections.abc import Mapping

from superpod.errors import InfeasibleError
from superpod.parallel.layout import Layout
from superpod.plan.answer import Answer, Repricer, binding_term
from superpod.plan.machine import Machine
from superpod.plan.measured import measured_note
from superpod.plan.report import Candidate, Metric, Share
from superpod.plan.scenario import Serving
from superpod.plan.serving.attention_apart import searched
from superpod.plan.serving.explain_apart import gain_words, split_degrees, split_metrics, split_words, without
from superpod.plan.serving.explain_experts import experts_metrics, of_experts
from superpod.plan.serving.search import Deployment, ServeSearch, continuous, decode_ranks, instance_ranks, requests_of
from superpod.result import Limit
from superpod.serve.apart import Side, decode_apart
from superpod.serve.memory import ServingMemory, usable_bytes
from superpod.serve.steady import Decode, Requests, decode, prefill
from superpod.units import human, percent
from superpod.workload.phase import Phase, decode_phase, prefill_phase


def answer(machine: Machine, work: Serving, fixed: Mapping[str, float | str]) -> tuple[Answer, Repricer]:
    """Search and explain; raise InfeasibleError with the nearest misses where nothing meets memory and targets."""
    found = searched(machine, work, fixed)
    if found.best is None:
        raise infeasible(machine, work, found)
    best = found.best

    def again(other: Machine) -> float:
        return repriced(other, work, best)

    return explained(machine, work, found, best), again


def repriced(other: Machine, work: Serving, best: Deployment) -> float:
    """Return what the same instances would serve on another machine, without rounding to whole ones.

    Pools are rebalanced; an instance that does both phases holds as many requests as it did.
    """
    requests = requests_of(work)
    if best.mode == "aggregated":
        held = best.decode.sequences
        near = held / (1.0 + best.ttft_s / (work.output_tokens * best.tpot_s))  # Little's law
        _, rate = continuous(other.engine, best.decode.layout, requests, held, near=near)
        return other.ranks_count * float(rate)
    one = redone(other, best.decode, requests)
    two = prefill(other.engine, best.prefill.layout, best.prefill.sequences, requests)
    # Rank-seconds that one output token costs in both phases; the rate is its reciprocal whichever way ranks are
    # shared.
    cost = 1.0 / float(one.tokens_per_s_rank) + requests.prompt_tokens / requests.output_tokens / float(
        two.tokens_per_s_rank
    )
    return other.ranks_count / cost


def redone(other: Machine, one: Decode, requests: Requests) -> Decode:
    """Return the same decode instance on another machine."""
    if one.apart is None:
        return decode(other.engine, one.layout, one.sequences, requests)
    near, far = (Side(engine=other.engine, layout=layout) for layout in (one.layout, one.apart.layout))
    return decode_apart(near, far, one.sequences, one.apart.parts_count, requests)


def explained(machine: Machine, work: Serving, found: ServeSearch, best: Deployment) -> Answer:
    """Return the answer for the best deployment."""
    memory, held = memory_limit(machine, best), requests_limit(machine, best)
    used = used_ranks(best) / machine.fabric.ranks_per_chip
    return Answer(
        plan=best,
        headline=Metric(key="tokens_per_s", label="output throughput", value=best.tokens_per_s, unit="token/s"),
        metrics=metrics(machine, work, best),
        breakdowns=(best.decode.term, best.prefill.term),
        memory=memory_pools(machine, best),
        limits=(
            memory,
            *feed_forward_limits(machine, best),
            held,
            *time_limits(work, best),
            Limit(
                code="cards",
                what="cards that whole instances can use",
                needed=used,
                available=machine.cards_count,
                unit="cards",
                cure="another card count",
            ),
        ),
        binding=binding(best, work, memory, held, found.together),
        layout=described(best),
        runners_up=(
            *(() if found.together is None else without(best, found.together, described(found.together))),
            *(
                Candidate(layout=described(item), value=item.tokens_per_s, why=why_slower(item, best))
                for item in found.others
            ),
        ),
        considered_count=found.considered_count,
        feasible_count=found.feasible_count,
        cards_used_count=used,
        notes=(
            "rates at saturation, latencies without queueing; " + of_experts(machine.spec, work)
            if of_experts(machine.spec, work)
            else "rates at saturation, latencies without queueing",
            f"{found.too_big_count:,} of {found.considered_count:,} decode plans do not fit memory or hold more than "
            f"the {machine.software.sequences_count:,.0f} requests of the software, "
            f"{found.too_slow_count:,} miss the TPOT target",
            *measured_note(machine.engine, passes(work, best)),
        ),
    )


def passes(work: Serving, best: Deployment) -> tuple[tuple[str, Layout, Phase], ...]:
    """Return the named passes of a deployment: a decode step half way through an output, and a prefill pass."""
    context = work.prompt_tokens + work.output_tokens / 2.0
    step = decode_phase(best.decode.sequences, context, 1.0 + work.draft_tokens)
    return (
        ("a decode step", best.decode.layout, step),
        (
            "a prefill pass",
            best.prefill.layout,
            prefill_phase(best.prefill.sequences, float(work.prompt_tokens), best.prefill.layout.context),
        ),
    )


def metrics(machine: Machine, work: Serving, best: Deployment) -> tuple[Metric, ...]:
    """Return rates and latencies."""
    requests = best.tokens_per_s / work.output_tokens
    cards = machine.cards_count
    made = [
        Metric(key="tokens_per_s_per_card", label="per card", value=best.tokens_per_s / cards, unit="token/s"),
        Metric(
            key="total_tokens_per_s",
            label="input and output",
            value=requests * (work.prompt_tokens + work.output_tokens),
            unit="token/s",
        ),
        Metric(key="requests_per_s", label="requests", value=requests, unit="1/s"),
        Metric(key="tpot_s", label="TPOT", value=best.tpot_s, unit="s"),
        Metric(key="ttft_s", label="TTFT (no queue)", value=best.ttft_s, unit="s"),
        Metric(key="sequences", label="requests in decode", value=best.tokens_per_s * best.tpot_s, unit="requests"),
    ]
    pools = () if best.mode == "aggregated" else pool_metrics(machine, best)
    return (*made, *pools, *experts_metrics(machine, work, best))


def pool_metrics(machine: Machine, best: Deployment) -> tuple[Metric, ...]:
    """Return the rates of each pool and the cards that decode."""
    each = machine.fabric.ranks_per_chip
    decode_cards = best.decode_instances * float(decode_ranks(best.decode)) / each
    apart = best.decode.apart
    return (
        Metric(
            key="decode_tokens_per_s_per_card",
            label="decode pool, per card",
            value=float(best.decode.tokens_per_s_rank) * each,
            unit="token/s",
        ),
        Metric(
            key="prefill_tokens_per_s_per_card",
            label="prefill pool, per card",
            value=float(best.prefill.tokens_per_s_rank) * each,
            unit="token/s",
        ),
        Metric(key="decode_cards", label="decoding", value=decode_cards, unit="cards"),
        *(() if apart is None else split_metrics(machine, best, apart)),
    )


def memory_pools(machine: Machine, best: Deployment) -> tuple[tuple[str, tuple[Share, ...]], ...]:
    """Return what fills a rank of each pool."""

    def parts(memory: ServingMemory) -> tuple[Share, ...]:
        return (
            Share(name="weights", amount_bytes=float(memory.weights_bytes)),
            Share(name="KV cache", amount_bytes=float(memory.cache_bytes)),
            Share(name="reserve", amount_bytes=reserve_bytes(machine, memory)),
        )

    if best.mode == "aggregated":
        return (("each rank", parts(best.decode.memory)),)
    if best.decode.apart is not None:
        named = {
            "attention rank": best.decode.memory,
            "feed-forward rank": best.decode.apart.memory,
            "prefill rank": best.prefill.memory,
        }
        return tuple((name, parts(memory)) for name, memory in named.items())
    return (("decode rank", parts(best.decode.memory)), ("prefill rank", parts(best.prefill.memory)))


def reserve_bytes(machine: Machine, memory: ServingMemory) -> float:
    """Return what the engine allots neither to weights nor to caches."""
    return machine.device.memory_bytes - float(usable_bytes(machine.engine, memory.weights_bytes))


def memory_limit(machine: Machine, best: Deployment) -> Limit:
    """Return the memory limit of a rank that decodes, the engine's reserve counted as needed."""
    who = (
        "a rank" if best.mode == "aggregated" else "a decode rank" if best.decode.apart is None else "an attention rank"
    )
    cure = "more ranks an instance, a smaller batch, or a smaller number format"
    return rank_limit(machine, best.decode.memory, ("memory", who, cure))


def rank_limit(machine: Machine, memory: ServingMemory, said: tuple[str, str, str]) -> Limit:
    """Return the memory limit of a rank, the engine's reserve counted as needed; `said`: its code, whose, its cure."""
    code, who, cure = said
    return Limit(
        code=code,
        what=f"device memory of {who}",
        needed=float(memory.total_bytes) + reserve_bytes(machine, memory),
        available=machine.device.memory_bytes,
        unit="B",
        cure=cure,
    )


def feed_forward_limits(machine: Machine, best: Deployment) -> tuple[Limit, ...]:
    """Return the memory limit of a feed-forward rank, where those are apart."""
    if best.decode.apart is None:
        return ()
    said = ("feed_forward_memory", "a feed-forward rank", "more feed-forward ranks, or a smaller number format")
    return (rank_limit(machine, best.decode.apart.memory, said),)


def time_limits(work: Serving, best: Deployment) -> tuple[Limit, ...]:
    """Return the limits on latencies."""
    times = (
        ("tpot", "time per output token", best.tpot_s, work.tpot_s, "a smaller batch"),
        ("ttft", "time to first token, no queue", best.ttft_s, work.ttft_s, "fewer prompts a pass"),
    )
    return tuple(
        Limit(code=code, what=what, needed=needed, available=available, unit="s", cure=cure)
        for code, what, needed, available, cure in times
    )


def requests_limit(machine: Machine, best: Deployment) -> Limit:
    """Return the limit on requests that one attention group holds at once, in all batches in flight."""
    return Limit(
        code="requests",
        what="requests at once in a group",
        needed=float(best.decode.sequences * best.decode.layout.pipeline),
        available=machine.software.sequences_count,
        unit="requests",
        cure="software that admits more",
    )


def binding(best: Deployment, work: Serving, memory: Limit, held: Limit, together: Deployment | None = None) -> str:
    """Return what stops a larger batch, then where a decode step's time goes."""
    stop = stopping(best, work, memory, held)
    if not stop and best.ttft_s > 0.8 * work.ttft_s:
        stop = "the TTFT target stops a larger prefill batch"
    stop = stop or "no target binds: the balance of the pools and whole instances set the rate"
    if best.decode.apart is not None:
        return f"{stop}; {split_words(best.decode, best.decode.apart)}; {gain_words(best, together)}"
    return f"{stop}; {binding_term(best.decode.term, memory)}"


def stopping(best: Deployment, work: Serving, memory: Limit, held: Limit) -> str:
    """Return what stops a larger decode batch; empty where nothing does."""
    if float(memory.margin_frac) < 0.08:
        return "memory stops a larger batch"
    if float(held.margin_frac) < 0.08:
        return "the requests that the software admits stop a larger batch"
    return "the TPOT target stops a larger batch" if best.tpot_s > 0.8 * work.tpot_s else ""


def described(best: Deployment) -> Mapping[str, float | str]:
    """Return the deployment for people and JSON."""
    shown: dict[str, float | str] = {"mode": best.mode, "decode_instances": best.decode_instances}
    shown |= {f"decode_{name}": value for name, value in degrees(best.decode.layout).items()}
    if best.decode.apart is not None:
        shown |= split_degrees(best.decode, best.decode.apart)
    shown["decode_batch_per_group"] = float(best.decode.sequences)
    if best.mode != "aggregated":
        shown["prefill_instances"] = best.prefill_instances
        shown |= {f"prefill_{name}": value for name, value in degrees(best.prefill.layout).items()}
        shown["prefill_prompts_per_pass"] = float(best.prefill.sequences)
    else:
        shown["prompt_time_frac"] = best.prompt_frac
    return shown


def degrees(layout: Layout) -> dict[str, float]:
    """Return the degrees that matter for an instance."""
    names = ("tensor", "context", "data", "pipeline", "expert", "expert_tensor")
    return {name: float(getattr(layout, name)) for name in names}


def used_ranks(best: Deployment) -> float:
    """Return the ranks that the instances of both pools occupy."""
    prefill_ranks = best.prefill_instances * float(instance_ranks(best.prefill.layout))
    return best.decode_instances * float(decode_ranks(best.decode)) + prefill_ranks


def why_slower(item: Deployment, best: Deployment) -> str:
    """Return what costs the other deployment its rate: idle ranks, a slower decode or a slower prefill."""
    lost = 1.0 - item.tokens_per_s / best.tokens_per_s
    if lost < 0.005:
        return "as fast: the same pool sets the rate"
    ratios = {
        "decode": float(item.decode.tokens_per_s_rank) / float(best.decode.tokens_per_s_rank),
        "prefill": float(item.prefill.tokens_per_s_rank) / float(best.prefill.tokens_per_s_rank),
        "ranks in use": used_ranks(item) / used_ranks(best),
    }
    worst = min(ratios, key=lambda name: ratios[name])
    if ratios[worst] > 1.0 - lost / 3.0:
        return f"{percent(lost)} less: whole instances balance the pools worse"
    return f"{percent(lost)} less: {worst} {percent(ratios[worst] - 1.0)}"


def infeasible(machine: Machine, work: Serving, found: ServeSearch) -> InfeasibleError:
    """Return the error that says whether memory or a target is out of reach, and by how much."""
    where = f"pods/{machine.pod.id}"
    if found.fastest is None and found.smallest is not None:
        return too_big(machine, found.smallest, where)
    tpot = float(found.fastest.tpot_s) if found.fastest is not None else 0.0
    targets = f"no plan meets TTFT {human(work.ttft_s, 's')} and TPOT {human(work.tpot_s, 's')}"
    if tpot <= work.tpot_s:
        return InfeasibleError(
            f"{targets}: decoding alone can (TPOT {human(tpot, 's')}), but no {work.mode} plan of whole instances on "
            f"{machine.ranks_count:,} ranks reads prompts in time",
            where=where,
            hint="a looser --ttft, another --mode, or more cards",
        )
    return InfeasibleError(
        f"{targets}: the fastest decode that fits has TPOT {human(tpot, 's')} "
        f"({percent(1.0 - tpot / work.tpot_s)} margin)",
        where=where,
        hint="a looser --ttft or --tpot, more cards, or drafts (--mtp 1)",
    )


def too_big(machine: Machine, smallest: Decode, where: str) -> InfeasibleError:
    """Return the error for a machine on which no decode plan fits: its memory, or the requests the software admits."""
    least = float(smallest.memory.total_bytes)
    budget = float(usable_bytes(machine.engine, smallest.memory.weights_bytes))
    if least <= budget:
        held = float(smallest.sequences * smallest.layout.pipeline)
        return InfeasibleError(
            f"{machine.software.name} admits {machine.software.sequences_count:,.0f} requests at once, and every plan "
            f"that fits memory holds {held:,.0f} or more in a group",
            where=where,
            hint="a smaller pinned batch, or other software (--software)",
        )
    return InfeasibleError(
        f"{machine.spec.name} in {machine.precision.name} does not fit {machine.cards_count:,.0f} cards: "
        f"the smallest plan needs {human(least, 'B')} a rank of {human(budget, 'B')} usable "
        f"({percent(1.0 - least / budget)} margin)",
        where=where,
        hint="more cards, or a smaller number format (--precision)",
    )
