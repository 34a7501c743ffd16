"""Attention and feed-forward on ranks of their own (`--mode afd`): which split of the ranks serves most."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from superpod.errors import InfeasibleError, ScenarioError
from superpod.parallel.engine import Engine
from superpod.parallel.layout import Layout
from superpod.plan.machine import Machine
from superpod.plan.scenario import Serving
from superpod.plan.serving.expert_balance import imbalance_of
from superpod.plan.serving.search import (
    BATCHES,
    Deployment,
    ServeSearch,
    check_imbalance,
    decode_ranks,
    prefill_columns,
    readers,
    requests_of,
    result,
    search,
    split,
)
from superpod.plan.training.space import Columns, experts, heads, keep
from superpod.result import Num, at_row
from superpod.serve.apart import Side, decode_apart
from superpod.serve.memory import attention_bytes, cache_budget, deeper, feed_forward_bytes, sequence_cache_bytes
from superpod.serve.steady import Decode, Prefill, Requests, held_tokens
from superpod.units import human

PARTS = (1.0, 2.0, 3.0, 4.0)
"""Micro-batches: one hides nothing, and beyond four kernels only become smaller."""
OF_EXPERTS = (0.25, 0.5, 1.0, 1.125, 1.25)
"""Feed-forward ranks over experts, beside powers of two: whole experts each, and ranks for copies."""
MOST_TENSOR = 8.0
"""Ranks that split one attention group, or the feed-forward blocks of a dense model."""
PINS = ("tensor", "data", "expert", "batch")


def searched(machine: Machine, work: Serving, fixed: Mapping[str, float | str]) -> ServeSearch:
    """Search the mode that is asked for: with attention apart, the best deployment without stands beside it."""
    if work.mode != "afd":
        return search(machine, work, fixed)
    check_imbalance(machine, work)
    requests = requests_of(work)
    columns = apart_columns(machine, machine.engine, requests, work, fixed)
    found = apart(machine, work, requests, columns, prefill_columns(machine, machine.engine, requests, work))
    found.sort(key=lambda item: -item.tokens_per_s)
    fits, quick = held(machine, requests, columns), np.asarray(columns.tpot_s <= work.tpot_s)
    together = search(machine, replace(work, mode="auto"), {}).best
    return result(found, columns, fits, quick, together)


def apart_columns(
    machine: Machine, engine: Engine, requests: Requests, work: Serving, fixed: Mapping[str, float | str]
) -> Decode:
    """Return every split that the machine can hold: along the first axis ranks, then batches, then micro-batches.

    Raises:
        ScenarioError: no split is as pinned; InfeasibleError: the weights fit on no split.
    """
    rows = _fitting(machine, engine, requests, _splits(machine, fixed))
    columns = {name: values[:, None, None] for name, values in rows.items()}
    attention, feed_forward = (Side(engine=engine, layout=layout) for layout in sides(machine, work, columns))
    most = float(np.max(_room(engine, attention.layout, requests)))
    batch = [float(fixed["batch"])] if "batch" in fixed else [count for count in BATCHES if count <= most]
    return decode_apart(attention, feed_forward, np.asarray(batch)[:, None], np.asarray(PARTS), requests)


def sides(machine: Machine, work: Serving, columns: Columns) -> tuple[Layout, Layout]:
    """Return the layouts of both sides: experts over all feed-forward ranks, dense blocks split over them."""
    far = columns["far"]
    attention = Layout(tensor=columns["tensor"], data=columns["data"])
    if experts(machine.spec) <= 1:
        return attention, Layout(tensor=far)
    return attention, Layout(data=far, expert=far, imbalance_ratio=imbalance_of(machine.spec, work, far))


def _splits(machine: Machine, fixed: Mapping[str, float | str]) -> Columns:
    """Return attention groups and feed-forward ranks, both in whole cards, that fit the machine together."""
    for name in fixed:
        if name not in PINS:
            raise ScenarioError(
                f"cannot pin {name!r} with --mode afd", where="layout", hint=f"known: {', '.join(PINS)}"
            )
    ranks, count, whole = machine.ranks_count, experts(machine.spec), machine.fabric.ranks_per_chip
    powers = [float(2**power) for power in range(13) if 2**power <= ranks]
    wide = {count * factor for factor in OF_EXPERTS} if count > 1 else set()
    axes = {
        "tensor": [value for value in powers if value <= min(heads(machine.spec), MOST_TENSOR)],
        "near": _steps(float(ranks)),
        "far": sorted({*powers, *wide}) if count > 1 else [value for value in powers if value <= MOST_TENSOR],
    }
    for name, axis in (("tensor", "tensor"), ("expert", "far")):
        if name in fixed:
            axes[axis] = [float(fixed[name])]
    if "data" in fixed:
        axes["near"] = [float(fixed["data"]) * value for value in axes["tensor"]]
    grid = np.meshgrid(*[np.asarray(values, dtype=float) for values in axes.values()], indexing="ij")
    columns: Columns = {name: values.ravel() for name, values in zip(axes, grid, strict=True)}
    near = columns.pop("near")
    columns["data"] = near / columns["tensor"]
    good = (np.mod(near, columns["tensor"]) == 0) & (np.mod(heads(machine.spec), columns["tensor"]) == 0)
    good &= (near + columns["far"] <= ranks) & (columns["far"] == np.floor(columns["far"]))
    good &= (np.mod(near, whole) == 0) & (np.mod(columns["far"], whole) == 0)
    if "data" in fixed:
        good &= columns["data"] == float(fixed["data"])
    kept = keep(columns, np.asarray(good))
    if not len(kept["tensor"]):
        raise ScenarioError(
            f"no split of {ranks} ranks matches {dict(fixed)}",
            where=f"pods/{machine.pod.id}",
            hint="whole cards for attention and for feed-forward; tensor must divide the heads",
        )
    return kept


def _steps(most: float) -> list[float]:
    """Return 1 to 16, then eight steps an octave, up to `most`."""
    fine = [float(count) for count in range(1, 17)]
    wide = [2.0**octave * (1.0 + eighth / 8.0) for octave in range(4, 13) for eighth in range(1, 9)]
    return [count for count in (*fine, *wide) if count <= most]


def _room(engine: Engine, layout: Layout, requests: Requests) -> Num:
    """Return how many requests an attention group can hold; less than 1 where none fits."""
    drafts = requests.draft_tokens > 0
    held = attention_bytes(engine, layout) * deeper(engine.spec, drafts=drafts)
    one = sequence_cache_bytes(engine, layout, held_tokens(engine, requests), drafts=drafts)
    return np.minimum(cache_budget(engine, held) / one, engine.software.sequences_count)


def _fitting(machine: Machine, engine: Engine, requests: Requests, columns: Columns) -> Columns:
    """Return the splits whose weights fit on both sides and leave room for a request."""
    attention, feed_forward = sides(machine, Serving(), columns)
    held = feed_forward_bytes(engine, feed_forward) * deeper(engine.spec, drafts=requests.draft_tokens > 0)
    free = np.asarray(cache_budget(engine, held))
    good = np.asarray(_room(engine, attention, requests) >= 1.0) & (free >= 0.0)
    if good.any():
        return keep(columns, good)
    raise InfeasibleError(
        f"{machine.spec.name} in {machine.precision.name} does not fit with attention and feed-forward apart: the "
        f"fullest split lacks {human(-float(free.max()), 'B')} on a feed-forward rank"
        if free.max() < 0.0
        else f"no split of {machine.spec.name} leaves room for a request of this length on an attention rank",
        where=f"pods/{machine.pod.id}",
        hint="more cards, or a smaller number format (--precision)",
    )


def apart(
    machine: Machine, work: Serving, requests: Requests, columns: Decode, prefilling: Prefill
) -> list[Deployment]:
    """Return the best deployments: for splits that no smaller one beats a rank, the best pool that reads prompts."""
    good = held(machine, requests, columns) & np.asarray(columns.tpot_s <= work.tpot_s)
    score = np.where(good, columns.tokens_per_s_rank, -np.inf)
    best = score.reshape(len(score), -1).max(axis=1)
    size = np.asarray(decode_ranks(columns)).reshape(-1)
    found: list[Deployment] = []
    reading = readers(machine, work, requests, prefilling)
    top = -np.inf
    for row in np.lexsort((-best, size)):
        if best[row] <= top:
            continue
        top = best[row]
        place = (int(row), *(int(axis) for axis in np.unravel_index(int(np.argmax(score[row])), score.shape[1:])))
        one = at_row(columns, place)
        for two, transfer_s in reading:
            found += split(machine, requests, one, two, transfer_s)
    return [replace(item, mode="afd") for item in found]


def held(machine: Machine, requests: Requests, columns: Decode) -> Any:
    """Return which splits can hold their batch and cut it into parts of a request or more."""
    room = _room(machine.engine, columns.layout, requests)
    parts = 1.0 if columns.apart is None else columns.apart.parts_count
    fits = (columns.sequences <= room) & (columns.sequences >= parts)
    return np.broadcast_to(fits, np.shape(columns.tpot_s))
