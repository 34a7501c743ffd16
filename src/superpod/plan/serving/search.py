"""Which layout serves most: price decode and prefill instances as columns, then share the machine between them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from superpod.errors import ScenarioError
from superpod.fabric.collectives import collective_time
from superpod.fabric.tiers import Group
from superpod.parallel.engine import Engine
from superpod.parallel.layout import Layout
from superpod.parallel.place import packed_ranks
from superpod.plan.machine import Machine
from superpod.plan.scenario import Serving
from superpod.plan.serving.expert_balance import imbalance_of
from superpod.plan.training.space import Columns, experts, heads, keep
from superpod.result import Num, at_row
from superpod.serve.batching import Batching, batching, slots
from superpod.serve.steady import Decode, Prefill, Requests, decode, even_share, prefill
from superpod.workload.build import kv_cache_bytes
from superpod.workload.phase import Partition

# Sequences of one attention group: fine where plans usually end up, coarse beyond.
DOZENS = (*range(16, 128, 8), *range(128, 256, 16), *range(256, 512, 64), 512, 768, 1024)
BATCHES = tuple(float(count) for count in (1, 2, 3, 4, 6, 8, 12, *DOZENS))
PROMPTS = (1.0, 2.0, 4.0, 8.0, 16.0)
CONTEXTS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
SERVE_DEGREES = ("tensor", "data", "pipeline", "expert", "expert_tensor", "batch")


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """How a machine serves: the instances of each pool and what they deliver together.

    Aggregated serving has one pool that does both phases; `prefill_instances` is then 0 and `prompt_frac` the share of
    time it spends on prompts.
    """

    mode: str
    decode: Decode
    prefill: Prefill
    decode_instances: float
    prefill_instances: float
    prompt_frac: float
    tokens_per_s: float
    ttft_s: float
    tpot_s: float
    transfer_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeSearch:
    """The best deployment, the best of other kinds, and why the rest fell out."""

    best: Deployment | None
    others: tuple[Deployment, ...]
    considered_count: int
    feasible_count: int
    too_big_count: int
    too_slow_count: int
    smallest: Decode | None  # the decode layout that comes nearest to fitting in memory
    fastest: Decode | None  # the decode layout of the lowest TPOT that fits
    together: Deployment | None = None  # with attention apart: the best without


def search(machine: Machine, work: Serving, fixed: Mapping[str, float | str]) -> ServeSearch:
    """Search instance layouts and the split of the machine; `fixed` pins decode degrees or its batch."""
    check_fixed(fixed)
    check_imbalance(machine, work)
    requests = requests_of(work)
    engine = machine.engine
    decoding = decode_columns(machine, engine, requests, fixed, work)
    prefilling = prefill_columns(machine, engine, requests, work)
    fits = np.asarray(decoding.sequences <= slots(engine, decoding.layout, requests))
    quick = np.asarray(decoding.tpot_s <= work.tpot_s)
    found: list[Deployment] = []
    if work.mode in {"auto", "disaggregated"}:
        found += disaggregated(machine, work, requests, (decoding, fits & quick), prefilling)
    if work.mode in {"auto", "aggregated"}:
        found += aggregated(machine, work, requests, (decoding, fits))
    found.sort(key=lambda item: -item.tokens_per_s)
    return result(found, decoding, fits, quick)


def result(
    found: list[Deployment], columns: Decode, fits: Any, quick: Any, together: Deployment | None = None
) -> ServeSearch:
    """Return a search: what it found, best first, and of the columns of any shape why the rest fell out."""

    def least(score: Num) -> Decode:
        place = np.unravel_index(int(np.argmin(np.broadcast_to(score, fits.shape))), fits.shape)
        row: Decode = at_row(columns, tuple(int(axis) for axis in place))
        return row

    return ServeSearch(
        best=found[0] if found else None,
        others=other_kinds(found),
        considered_count=fits.size,
        feasible_count=int(np.sum(fits & quick)),
        too_big_count=int(np.sum(~fits)),
        too_slow_count=int(np.sum(fits & ~quick)),
        smallest=least(columns.memory.total_bytes),
        fastest=least(np.where(fits, columns.tpot_s, np.inf)) if fits.any() else None,
        together=together,
    )


def requests_of(work: Serving) -> Requests:
    """Return the requests that the work is made of."""
    return Requests(
        prompt_tokens=float(work.prompt_tokens),
        output_tokens=float(work.output_tokens),
        draft_tokens=work.draft_tokens,
        acceptance_frac=work.acceptance_frac,
    )


def decode_columns(
    machine: Machine, engine: Engine, requests: Requests, fixed: Mapping[str, float | str], work: Serving
) -> Decode:
    """Return every decode instance that the machine can hold, at every batch."""
    columns = instances(machine, BATCHES, fixed)
    batch, uneven = columns.pop("batch"), imbalance_of(machine.spec, work, columns["expert"])
    return decode(engine, Layout(**columns, imbalance_ratio=uneven), batch, requests)  # type: ignore[arg-type]


def prefill_columns(machine: Machine, engine: Engine, requests: Requests, work: Serving) -> Prefill:
    """Return every prefill instance, at one to sixteen prompts a pass."""
    columns = instances(machine, PROMPTS, {}, contexts=CONTEXTS)
    batch, uneven = columns.pop("batch"), imbalance_of(machine.spec, work, columns["expert"])
    return prefill(engine, Layout(**columns, imbalance_ratio=uneven), batch, requests)  # type: ignore[arg-type]


def instances(
    machine: Machine,
    batches: tuple[float, ...],
    fixed: Mapping[str, float | str],
    contexts: tuple[float, ...] = (1.0,),
) -> Columns:
    """Return legal instances as columns: tensor and data ranks of attention, expert ranks over both, pipeline stages.

    Experts are either spread over all ranks of the instance (wide EP) or, in small instances, split like dense layers.
    `contexts`: ranks that may share out the tokens of a prompt.
    """
    spec, ranks = machine.spec, machine.ranks_count
    powers = [float(2**power) for power in range(13) if 2**power <= ranks]
    sizes = sorted({*powers, *(float(ranks // parts) for parts in (1, 2, 3, 4, 6)), *wide_sizes(machine)})
    moe = experts(spec) > 1
    axes = {
        "tensor": [value for value in powers if value <= min(heads(spec), 64.0)],
        "context": list(contexts),
        "instance": sizes,
        "pipeline": [value for value in powers if value <= min(16.0, spec.layers_count)],
        "wide": [0.0, 1.0] if moe else [0.0],
        "batch": list(batches),
    }
    for name in ("tensor", "pipeline", "batch"):
        if name in fixed:
            axes[name] = [float(fixed[name])]
    grid = np.meshgrid(*[np.asarray(values, dtype=float) for values in axes.values()], indexing="ij")
    columns: Columns = {name: values.ravel() for name, values in zip(axes, grid, strict=True)}
    return _instances(machine, columns, fixed, moe=moe)


def _instances(machine: Machine, columns: Columns, fixed: Mapping[str, float | str], *, moe: bool) -> Columns:
    """Turn instance sizes into degrees and drop what is not legal or only repeats a smaller instance."""
    size, wide = columns.pop("instance"), columns.pop("wide")
    tensor = columns["tensor"]
    group = tensor * columns["context"]
    columns["data"] = np.floor(size / group)
    columns["expert"] = np.where(wide > 0, group * columns["data"], 1.0)
    columns["expert_tensor"] = np.where(wide > 0, 1.0, tensor if moe else 1.0)
    good = (columns["data"] >= 1) & (np.mod(size, group) == 0) & (np.mod(heads(machine.spec), tensor) == 0)
    good &= (wide > 0) | (columns["data"] == 1)  # without wide EP data ranks are instances of their own
    good &= size * columns["pipeline"] <= machine.ranks_count
    good &= (wide == 0) | (size > 1)
    for name in ("data", "expert", "expert_tensor"):
        if name in fixed:
            good &= columns[name] == float(fixed[name])
    kept = keep(columns, np.asarray(good))
    if not len(kept["tensor"]):
        raise ScenarioError(
            f"no serving instance matches {dict(fixed)} on {machine.ranks_count} ranks",
            where=f"pods/{machine.pod.id}",
            hint="tensor must divide the heads; expert is 1 or all ranks of an instance",
        )
    return kept


def wide_sizes(machine: Machine) -> set[float]:
    """Return instance sizes that give each rank whole experts: the expert count and simple multiples of it."""
    count = experts(machine.spec)
    return (
        {count * factor for factor in (0.25, 0.5, 1.0, 1.25) if 1 <= count * factor <= machine.ranks_count}
        if count > 1
        else set()
    )


def instance_ranks(layout: Layout) -> Num:
    """Return the ranks of one instance."""
    return layout.tensor * layout.context * layout.data * layout.pipeline


def group_ranks(layout: Layout) -> float:
    """Return the ranks of an attention group, each of which has its part of a cache."""
    return float(layout.tensor * layout.context)


def decode_ranks(one: Decode) -> Num:
    """Return the ranks of an instance that decodes, feed-forward ranks with them where those are apart."""
    more = 0.0 if one.apart is None else one.apart.layout.tensor * one.apart.layout.data
    return instance_ranks(one.layout) + more


def disaggregated(
    machine: Machine,
    work: Serving,
    requests: Requests,
    decoding: tuple[Decode, Any],
    prefilling: Prefill,
) -> list[Deployment]:
    """Return the best deployments with separate pools: for each pair of instance sizes, the best split of the ranks.

    Caches travel from the prefill to the decode instance; the transfer is part of TTFT. A prefill instance holds the
    prompts that it reads, no output.
    """
    decode_all, good = decoding
    reading = readers(machine, work, requests, prefilling)
    found: list[Deployment] = []
    for row in best_by_size(decode_all.layout, decode_all.tokens_per_s_rank, good):
        one = at_row(decode_all, row)
        for two, transfer_s in reading:
            found += split(machine, requests, one, two, transfer_s)
    return found


def readers(machine: Machine, work: Serving, requests: Requests, prefilling: Prefill) -> list[tuple[Prefill, float]]:
    """Return the best instance of each size that reads prompts in time, and how long its caches travel."""
    transfer = transfer_time(machine, prefilling, requests)
    fits = prefilling.sequences <= slots(machine.engine, prefilling.layout, replace(requests, output_tokens=0.0))
    first = np.asarray(fits & (prefilling.pass_s + transfer <= work.ttft_s))
    rows = best_by_size(prefilling.layout, prefilling.tokens_per_s_rank, first)
    return [(at_row(prefilling, row), float(np.asarray(transfer)[row])) for row in rows]


def best_by_size(layout: Layout, rate: Num, good: Any) -> list[int]:
    """Return the best good row of each instance size."""
    size = np.asarray(instance_ranks(layout))
    score = np.where(good, rate, -np.inf)
    rows = [int(np.argmax(np.where(size == value, score, -np.inf))) for value in np.unique(size)]
    return [row for row in rows if np.isfinite(score[row])]


def split(machine: Machine, requests: Requests, one: Decode, two: Prefill, transfer_s: float) -> list[Deployment]:
    """Return the deployment of whole instances whose slower pool is fastest, if both pools fit."""
    ranks = float(machine.ranks_count)
    decoders, prefill_ranks = float(decode_ranks(one)), float(instance_ranks(two.layout))
    most = int(min(ranks - decoders, room(machine, prefill_ranks)) // prefill_ranks)
    if most < 1:
        return []
    count = np.arange(1, most + 1, dtype=float)
    left = np.minimum(ranks - count * prefill_ranks, room(machine, decoders))
    decode_count = np.floor(left / decoders)
    decode_rate = decode_count * decoders * float(one.tokens_per_s_rank)
    prefill_rate = (
        count * prefill_ranks * float(two.tokens_per_s_rank) * requests.output_tokens / requests.prompt_tokens
    )
    served = np.minimum(decode_rate, prefill_rate)
    row = int(np.argmax(served))
    return [
        Deployment(
            mode="disaggregated",
            decode=one,
            prefill=two,
            decode_instances=float(decode_count[row]),
            prefill_instances=float(count[row]),
            prompt_frac=float(count[row] * prefill_ranks / ranks),
            tokens_per_s=float(served[row]),
            ttft_s=float(two.pass_s) + transfer_s,
            tpot_s=float(one.tpot_s),
            transfer_s=transfer_s,
        )
    ]


def room(machine: Machine, instance: float) -> float:
    """Return the ranks that instances of one size can use, none of them spanning two pods if it fits in one."""
    return float(packed_ranks(machine.fabric, float(machine.ranks_count), instance))


def transfer_time(machine: Machine, prefilling: Prefill, requests: Requests) -> Num:
    """Return the time to send the caches of one pass to another instance, each rank its own part, across the pod."""
    layout = prefilling.layout
    tokens = requests.prompt_tokens / layout.context
    one = kv_cache_bytes(machine.spec, tokens, Partition(tensor=layout.tensor), machine.precision) / layout.pipeline
    ranks = instance_ranks(layout)
    across = Group(size=np.where(2 * ranks <= machine.ranks_count, 2.0, 1.0), stride=ranks)
    return collective_time("p2p", machine.fabric, across, prefilling.sequences * one)


def aggregated(
    machine: Machine,
    work: Serving,
    requests: Requests,
    decoding: tuple[Decode, Any],
    priced: tuple[Batching, Num] | None = None,
) -> list[Deployment]:
    """Return the best deployments in which every instance reads prompts within or between its decode steps.

    The decode columns give the candidates; each holds as many requests as its decode batch has sequences, some of them
    still being read, and continuous batching prices them (`priced`, where that was done before).
    """
    decode_all, fits = decoding
    layout = decode_all.layout
    state, rate = priced or continuous(machine.engine, layout, requests, decode_all.sequences)
    good = np.asarray(fits & (state.tpot_s <= work.tpot_s) & (state.ttft_s <= work.ttft_s))
    found: list[Deployment] = []
    for row in best_by_size(layout, rate, good):
        one, size = at_row(state, row), float(np.asarray(instance_ranks(layout))[row])
        count = float(np.floor(room(machine, size) / size))
        found.append(
            Deployment(
                mode="aggregated",
                decode=at_row(decode_all, row),
                prefill=prefill(machine.engine, at_row(layout, row), 1.0, requests),
                decode_instances=count,
                prefill_instances=0.0,
                prompt_frac=1.0 - one.plain_s / one.step_s,
                tokens_per_s=count * size * float(np.asarray(rate)[row]),
                ttft_s=one.ttft_s,
                tpot_s=one.tpot_s,
                transfer_s=0.0,
            )
        )
    return found


def continuous(
    engine: Engine, layout: Layout, requests: Requests, held: Num, *, near: Num | None = None
) -> tuple[Batching, Num]:
    """Return the steady state of each attention group, and the rate of a rank; `near` as in `batching`.

    Groups that share experts wait for each other.
    """
    groups = np.where(np.asarray(layout.expert) > 1, layout.data, 1.0)
    state = batching(engine, layout, requests, held, groups_in_step=groups, near=near)
    return state, state.tokens_per_s / layout.tensor * even_share(engine, layout)


def other_kinds(found: list[Deployment]) -> tuple[Deployment, ...]:
    """Return up to five deployments that differ from those before them in mode, or in decode instance and in rate."""
    seen: set[tuple[Any, ...]] = set()
    kept: list[Deployment] = []
    for item in found:
        key = (item.mode, float(instance_ranks(item.decode.layout)))
        equal = any(one.mode == item.mode and one.tokens_per_s < 1.005 * item.tokens_per_s for one in kept)
        if key not in seen and not equal:
            seen.add(key)
            kept.append(item)
    return tuple(kept[1:6])


def check_imbalance(machine: Machine, work: Serving) -> None:
    """Raise ScenarioError for unevenly liked experts of a model that has none."""
    if work.imbalance_ratio != 1.0 and experts(machine.spec) <= 1:
        raise ScenarioError(
            f"{machine.spec.name} has no experts that could be loaded unevenly",
            where="--imbalance",
            hint="leave it out for a dense model",
        )


def check_fixed(fixed: Mapping[str, float | str]) -> None:
    """Raise ScenarioError for a pinned name that is no serving degree."""
    for name in fixed:
        if name not in SERVE_DEGREES:
            raise ScenarioError(
                f"cannot pin {name!r} while serving", where="layout", hint=f"known: {', '.join(SERVE_DEGREES)}"
            )
