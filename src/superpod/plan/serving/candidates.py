"""Deployments to simulate: those that the steady state finds around its optimum, or the one that is given."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from superpod.errors import ScenarioError
from superpod.parallel.layout import Layout
from superpod.plan.scenario import GivenPool, Serving
from superpod.plan.serving.attention_apart import apart as split_pools
from superpod.plan.serving.attention_apart import apart_columns
from superpod.plan.serving.expert_balance import imbalance_of
from superpod.plan.serving.fleet import Workshop
from superpod.plan.serving.pair import apart, columns_of, filled
from superpod.plan.serving.pair_fleet import PairShop
from superpod.plan.serving.search import (
    BATCHES,
    Deployment,
    aggregated,
    check_fixed,
    check_imbalance,
    continuous,
    decode_columns,
    decode_ranks,
    disaggregated,
    instance_ranks,
    prefill_columns,
    requests_of,
)
from superpod.result import at_row
from superpod.serve.batching import Batching, slots
from superpod.serve.steady import Decode, Prefill, decode, prefill

# Around the targets, as factors: prompts longer than the mean need quicker readers, and a decode pool that is never
# full may be slower when it is. The first is the steady-state optimum itself.
AROUND = ((1.0, 1.0), (0.5, 1.0), (0.25, 1.0), (0.1, 1.0), (4.0, 1.0), (1.0, 0.7), (0.25, 0.7))
OF_EACH = 2
"""Deployments of each layout that reads, for each pair of factors: those of the highest steady rates."""
LAYOUTS = 8
"""Layouts that read, for each pair of factors."""


def candidates(shop: Workshop, fixed: dict[str, float | str]) -> list[Deployment]:
    """Return deployments around the steady-state optimum, the optimum first; empty where nothing fits or is in time.

    The steady state is asked for the traffic's mean request under targets that are tighter and looser than those given.
    """
    machine, work = shop.machine, shop.work
    if shop.traffic.pools:
        return [given(shop)]
    if isinstance(shop, PairShop):
        return on_two(shop, fixed)
    if work.mode == "afd":
        return split_sides(shop, fixed)
    check_fixed(fixed)
    check_imbalance(machine, work)
    requests = requests_of(work)
    decoding = decode_columns(machine, machine.engine, requests, fixed, work)
    prefilling = prefill_columns(machine, machine.engine, requests, work)
    fits = np.asarray(decoding.sequences <= slots(machine.engine, decoding.layout, requests))
    apart_only = work.mode == "disaggregated" or shop.traffic.pools_cards is not None
    priced = None if apart_only else continuous(machine.engine, decoding.layout, requests, decoding.sequences)
    priced_columns = Columns(decode=decoding, fits=fits, prefill=prefilling, batching=priced)
    found: list[Deployment] = []
    for first, each in AROUND:
        asked = replace(work, ttft_s=work.ttft_s * first, tpot_s=work.tpot_s * each)
        offered = pinned if shop.traffic.pools_cards else deployments
        found += varied(sorted(offered(shop, asked, priced_columns), key=lambda item: -item.tokens_per_s))
    return distinct(found)


def on_two(shop: PairShop, fixed: dict[str, float | str]) -> list[Deployment]:
    """Return deployments on two machines around their optimum: as many instances as each, or its pool, has room for."""
    check_fixed(fixed)
    check_imbalance(shop.machine, shop.work)
    pair, work, columns = shop.pair, shop.work, columns_of(shop.pair, shop.work, fixed)
    found: list[Deployment] = []
    for first, each in AROUND:
        asked = replace(work, ttft_s=work.ttft_s * first, tpot_s=work.tpot_s * each)
        offered = sorted(apart(pair, asked, requests_of(work), columns), key=lambda item: -item.tokens_per_s)
        whole = (filled(pair, item, shop.traffic.pools_cards) for item in offered)
        found += varied([item for item in whole if item is not None])
    return distinct(found)


def split_sides(shop: Workshop, fixed: dict[str, float | str]) -> list[Deployment]:
    """Return deployments with attention and feed-forward on ranks of their own, around their optimum."""
    machine, work = shop.machine, shop.work
    check_imbalance(machine, work)
    requests = requests_of(work)
    columns = apart_columns(machine, machine.engine, requests, work, fixed)
    reading = prefill_columns(machine, machine.engine, requests, work)
    found: list[Deployment] = []
    for first, each in AROUND:
        asked = replace(work, ttft_s=work.ttft_s * first, tpot_s=work.tpot_s * each)
        offered = split_pools(machine, asked, requests, columns, reading)
        if shop.traffic.pools_cards:
            offered = list(in_pools(shop, offered))
        found += varied(sorted(offered, key=lambda item: -item.tokens_per_s))
    return distinct(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Every instance that the machine can hold, priced: those that decode, whether they fit, those that read, and both.

    `batching` is None where no instance does both.
    """

    decode: Decode
    fits: Any
    prefill: Prefill
    batching: tuple[Batching, Any] | None


def deployments(shop: Workshop, work: Serving, priced: Columns) -> Iterator[Deployment]:
    """Yield what the steady state offers under the targets of `work`."""
    machine, requests = shop.machine, requests_of(work)
    if work.mode in {"auto", "disaggregated"}:
        quick = np.asarray(priced.decode.tpot_s <= work.tpot_s)
        yield from disaggregated(machine, work, requests, (priced.decode, priced.fits & quick), priced.prefill)
    if work.mode in {"auto", "aggregated"}:
        yield from aggregated(machine, work, requests, (priced.decode, priced.fits), priced.batching)


def pinned(shop: Workshop, work: Serving, priced: Columns) -> Iterator[Deployment]:
    """Yield the deployments of the steady state with as many instances as the pinned pools have room for."""
    yield from in_pools(shop, deployments(shop, replace(work, mode="disaggregated"), priced))


def in_pools(shop: Workshop, offered: Iterable[Deployment]) -> Iterator[Deployment]:
    """Yield deployments with as many instances as the pinned pools have room for."""
    each = shop.machine.fabric.ranks_per_chip
    cards = shop.traffic.pools_cards or (0, 0)
    for found in offered:
        read = cards[0] * each // float(instance_ranks(found.prefill.layout))
        decode = cards[1] * each // float(decode_ranks(found.decode))
        if read and decode:
            yield replace(found, prefill_instances=float(read), decode_instances=float(decode))


def varied(ranked: list[Deployment]) -> list[Deployment]:
    """Return the best few deployments of each of the best few layouts that read; what decodes varies less."""
    counts: dict[Layout, int] = {}
    kept = []
    for item in ranked:
        layout = item.prefill.layout
        if counts.get(layout, 0) < OF_EACH and (layout in counts or len(counts) < LAYOUTS):
            counts[layout] = counts.get(layout, 0) + 1
            kept.append(item)
    return kept


def distinct(found: list[Deployment]) -> list[Deployment]:
    """Return deployments without those that only repeat an earlier one."""
    seen: set[tuple[Any, ...]] = set()
    kept = []
    for item in found:
        key: tuple[Any, ...] = (item.mode, item.decode.layout, item.decode_instances, item.prefill_instances)
        key += (item.decode.apart and item.decode.apart.layout, item.decode.apart and item.decode.apart.parts_count)
        key += () if item.mode == "aggregated" else (item.prefill.layout,)
        if key not in seen:
            seen.add(key)
            kept.append(item)
    return kept


def given(shop: Workshop) -> Deployment:
    """Return the deployment that the question names, in the steady state of its mean request.

    Raises:
        ScenarioError: pools that do not belong together, or more ranks than the machine has.
    """
    pools = {pool.mode: pool for pool in shop.traffic.pools}
    if set(pools) not in ({"aggregated"}, {"prefill", "decode"}) or len(pools) != len(shop.traffic.pools):
        raise ScenarioError(
            f"pools that are {', '.join(pool.mode for pool in shop.traffic.pools)}",
            where="deployment",
            hint="one pool that does both, or one that reads prompts and one that decodes",
        )
    ranks = sum(pool.instances_count * float(instance_ranks(layout_of(shop, pool))) for pool in pools.values())
    if ranks > shop.machine.ranks_count:
        raise ScenarioError(
            f"instances of {ranks:,.0f} ranks; the machine has {shop.machine.ranks_count:,}",
            where="deployment",
            hint="more cards (--cards) or fewer instances",
        )
    if "aggregated" in pools:
        return given_together(shop, pools["aggregated"])
    return given_apart(shop, pools["decode"], pools["prefill"])


def layout_of(shop: Workshop, pool: GivenPool) -> Layout:
    """Return the layout of an instance."""
    uneven = imbalance_of(shop.machine.spec, shop.work, pool.layout.get("expert", 1.0))
    return Layout(**pool.layout, imbalance_ratio=float(uneven))  # type: ignore[arg-type]  # numbers by name


def batch_of(shop: Workshop, pool: GivenPool) -> Decode:
    """Return the decode step of the largest batch that fits and is in time; else of one sequence."""
    machine, requests = shop.machine, requests_of(shop.work)
    layout = layout_of(shop, pool)
    batches = np.asarray(BATCHES)
    made = decode(machine.engine, layout, batches, requests)
    most = np.inf if pool.sequences_max_count is None else pool.sequences_max_count / float(layout.pipeline)
    fits = batches <= np.minimum(slots(machine.engine, layout, requests), most)
    good = np.asarray(fits & (made.tpot_s <= shop.work.tpot_s))
    found: Decode = at_row(made, int(np.flatnonzero(good)[-1]) if good.any() else 0)
    return found


def given_together(shop: Workshop, pool: GivenPool) -> Deployment:
    """Return instances that do both."""
    machine, requests = shop.machine, requests_of(shop.work)
    one, layout = batch_of(shop, pool), layout_of(shop, pool)
    state, rate = continuous(machine.engine, layout, requests, one.sequences)
    return Deployment(
        mode="aggregated",
        decode=one,
        prefill=prefill(machine.engine, layout, 1.0, requests),
        decode_instances=float(pool.instances_count),
        prefill_instances=0.0,
        prompt_frac=1.0 - float(state.plain_s / state.step_s),
        tokens_per_s=pool.instances_count * float(instance_ranks(layout)) * float(rate),
        ttft_s=float(state.ttft_s),
        tpot_s=float(state.tpot_s),
        transfer_s=0.0,
    )


def given_apart(shop: Workshop, decoding: GivenPool, reading: GivenPool) -> Deployment:
    """Return pools that read prompts and decode apart."""
    requests = requests_of(shop.work)
    one = batch_of(shop, decoding)
    two = prefill(shop.machine.engine, layout_of(shop, reading), 1.0, requests)
    ranks = [pool.instances_count * float(instance_ranks(layout_of(shop, pool))) for pool in (decoding, reading)]
    per_prompt = requests.output_tokens / requests.prompt_tokens
    return Deployment(
        mode="disaggregated",
        decode=one,
        prefill=two,
        decode_instances=float(decoding.instances_count),
        prefill_instances=float(reading.instances_count),
        prompt_frac=ranks[1] / sum(ranks),
        tokens_per_s=min(ranks[0] * float(one.tokens_per_s_rank), ranks[1] * float(two.tokens_per_s_rank) * per_prompt),
        ttft_s=float(two.pass_s),
        tpot_s=float(one.tpot_s),
        transfer_s=0.0,
    )
