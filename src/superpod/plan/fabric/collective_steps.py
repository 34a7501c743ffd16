"""A way to run a collective as steps between its members, whatever tiers they span, for the flow simulation.

Members are told apart by the instances that they share, so a group that has lost some is still laid out by place. Sizes
are bytes; `at_regime` makes them longer where the way's regime reaches only a share of the transport's efficiency.
"""

from dataclasses import dataclass, replace
from math import prod

import numpy as np

from superpod.errors import ScenarioError
from superpod.fabric.collectives import ALGORITHMS, Step
from superpod.fabric.collectives.choice import Way
from superpod.fabric.tiers import SWITCHED, Fabric, FabricTier
from superpod.fabric.topology import IntArray

EXCHANGES = ("all_to_all", "p2p", "dispatch", "combine")


@dataclass(frozen=True, slots=True, kw_only=True)
class Laid:
    """Members in order, and for each tier that joins them how many instances of the one below it joins; None: uneven.

    `ranks` are the places of the members in the fabric, `sizes` the ranks under one instance of each of those tiers.
    """

    ranks: IntArray
    tiers: tuple[int, ...]
    sizes: tuple[int, ...]
    arities: tuple[int, ...] | None


def laid_out(fabric: Fabric, ranks: IntArray) -> Laid:
    """Return the members sorted by place, by the tiers that join them."""
    ranks = np.sort(ranks)
    found: list[tuple[int, int, int]] = []
    below = np.arange(len(ranks))
    even = True
    for place, tier in enumerate(fabric.tiers):
        here = ranks // round(tier.ranks_count)
        parts = [len(np.unique(below[here == instance])) for instance in np.unique(here)]
        even = even and len(set(parts)) == 1
        if max(parts) > 1:
            found.append((place, round(tier.ranks_count), parts[0]))
        below = here
    return Laid(
        ranks=ranks,
        tiers=tuple(row[0] for row in found),
        sizes=tuple(row[1] for row in found),
        arities=tuple(row[2] for row in found) if even else None,
    )


def steps_of(kind: str, way: str, laid: Laid, fabric: Fabric, message_bytes: float) -> tuple[Step, ...] | None:
    """Return the steps of one of `choose`'s ways; None where there is no schedule for it.

    A flat ring becomes as many rings as there are ports side by side in the inner tiers; a hierarchical way goes tier
    by tier inwards, across, and back.
    """
    name, _, rest = way.partition(" ")
    count = len(laid.ranks)
    if count < 2:
        return ()
    made: tuple[Step, ...] | None
    if kind in EXCHANGES and name == "direct":
        made = _exchange(kind, count, message_bytes)
    elif name == "hierarchical":
        inside = rest.strip("()").split(", then ") if rest else ["direct"] * len(laid.tiers)
        made = _tier_by_tier(kind, inside, laid, fabric, message_bytes)
    elif len(laid.tiers) == 1:
        made = _local(kind, name, laid, fabric, 0, message_bytes)
    elif name == "ring" and all(_any_order(fabric.tiers[place]) for place in laid.tiers):
        made = _rings(kind, laid, message_bytes)
    else:
        made = None
    return made


def _any_order(tier: FabricTier) -> bool:
    """Return whether all orders of a ring's members are alike: over switches, and between two."""
    return tier.structure in SWITCHED or round(tier.arity_count) == 2


def _exchange(kind: str, count: int, message_bytes: float) -> tuple[Step, ...]:
    """Return each member's part for every other, or each member's message to the next."""
    here = np.arange(count)
    if kind == "p2p":
        return (Step(src=here, dst=(here + 1) % count, size_bytes=np.full(count, message_bytes)),)
    src, dst = np.repeat(here, count), np.tile(here, count)
    other = src != dst
    size = np.full(count * (count - 1), message_bytes / count)
    return (Step(src=src[other], dst=dst[other], size_bytes=size),)


def _local(
    kind: str, name: str, laid: Laid, fabric: Fabric, place: int, message_bytes: float
) -> tuple[Step, ...] | None:
    """Return the steps of one algorithm among the members of one instance of a tier."""
    tier = fabric.tiers[laid.tiers[place]]
    arity = laid.arities[place] if laid.arities is not None else len(laid.ranks)
    if arity < 2:
        return ()
    if name in {"direct", "full_mesh"}:
        return _direct(kind, tier, arity, message_bytes)
    if name == "ring" and tier.structure == "full_mesh":
        return _over_every_link(ALGORITHMS[name].steps(kind, [arity], message_bytes), tier.dims or (arity,), arity)
    if name != "torus":
        return ALGORITHMS[name].steps(kind, [arity], message_bytes)
    if tier.structure != "torus" or prod(tier.dims) != arity or kind == "broadcast":
        return None
    return ALGORITHMS[name].steps(kind, list(tier.dims), message_bytes)


def _direct(kind: str, tier: FabricTier, arity: int, message_bytes: float) -> tuple[Step, ...] | None:
    """Return every member's part for every other, once or twice; over several axes one axis after the other."""
    if kind == "broadcast":
        return None
    if len(tier.dims) > 1:
        return _every_axis(kind, tier.dims, message_bytes) if prod(tier.dims) == arity else None
    each = _exchange("all_to_all", arity, message_bytes)[0]
    return (replace(each, repeat_count=2 if kind == "all_reduce" else 1),)


def _over_every_link(steps: tuple[Step, ...], dims: tuple[int, ...], arity: int) -> tuple[Step, ...] | None:
    """Return a ring's steps over all links of a full mesh, as rings that together use each link once would run.

    What a member sends to the next goes to all its neighbours alike; a complete graph of 8 or more has such rings
    (Tillson 1980, J. Combin. Theory B 29, 68-74).
    """
    if prod(dims) != arity:
        return None
    place = np.indices(dims).reshape(len(dims), -1)
    src, dst = np.nonzero((place[:, :, None] != place[:, None, :]).sum(axis=0) == 1)
    ports = sum(dim - 1 for dim in dims)
    return tuple(
        Step(
            src=src,
            dst=dst,
            size_bytes=np.full(len(src), float(step.size_bytes.max()) / ports),
            repeat_count=step.repeat_count,
        )
        for step in steps
    )


def _every_axis(kind: str, dims: tuple[int, ...], message_bytes: float) -> tuple[Step, ...] | None:
    """Return the direct exchanges of a full mesh of several axes: one part an axis, each taking them in another order.

    In phase p part c runs along axis (c + p) mod D, so that all ports work at once, as rings on a torus do.
    """
    if kind not in {"all_reduce", "reduce_scatter", "all_gather"}:
        return None
    count, axes = prod(dims), len(dims)
    held = [message_bytes / axes] * axes
    scatter: list[Step] = []
    for phase in range(axes):
        parts: list[tuple[IntArray, IntArray, float]] = []
        for part in range(axes):
            axis = (part + phase) % axes
            held[part] /= dims[axis]
            lines = np.moveaxis(np.arange(count).reshape(dims), axis, -1).reshape(-1, dims[axis])
            src, dst = np.repeat(lines, dims[axis], axis=1).ravel(), np.tile(lines, (1, dims[axis])).ravel()
            parts.append((src[src != dst], dst[src != dst], held[part]))
        size = np.concatenate([np.full(len(src), each) for src, _, each in parts])
        ends = [np.concatenate([part[end] for part in parts]) for end in (0, 1)]
        scatter.append(Step(src=ends[0], dst=ends[1], size_bytes=size))
    gather = scatter[::-1]
    return tuple({"reduce_scatter": scatter, "all_gather": gather, "all_reduce": [*scatter, *gather]}[kind])


def _tier_by_tier(
    kind: str, names: list[str], laid: Laid, fabric: Fabric, message_bytes: float
) -> tuple[Step, ...] | None:
    """Return the algorithm of each tier over all rails of it: inwards to out, and back."""
    if laid.arities is None or len(names) != len(laid.arities) or kind in {"dispatch", "combine", "p2p"}:
        return None
    phases: list[tuple[str, int]] = []
    last = len(names) - 1
    if kind == "all_reduce":
        phases += [("reduce_scatter", place) for place in range(last)]
        phases += [("all_reduce", last)]
        phases += [("all_gather", place) for place in reversed(range(last))]
    elif kind in {"all_gather", "broadcast"}:
        phases += [(kind, place) for place in reversed(range(last + 1))]
    else:
        phases += [(kind, place) for place in range(last + 1)]
    made: list[Step] = []
    for part, place in phases:
        name = names[place].partition(" ")[0]
        below = prod(laid.arities[:place])
        held = message_bytes if kind in {"all_to_all", "broadcast"} else message_bytes / below
        if name == "in_network" or (part == "all_to_all" and name != "direct"):
            return None
        inside = _local(part, name, laid, fabric, place, held)
        if inside is None:
            return None
        rows = rails(laid.arities, place)
        # Whoever has the bytes already is the first of its instance.
        rows = rows[rows[:, 0] % below == 0] if kind == "broadcast" else rows
        made += [_over(rows, step) for step in inside]
    return tuple(made)


def rails(arities: tuple[int, ...], place: int) -> IntArray:
    """Return the members that a tier joins, one row a rail; member 0, 1, … lie in order, the innermost tier fastest.

    >>> rails((2, 2), 1).tolist()
    [[0, 2], [1, 3]]
    """
    whole = np.arange(prod(arities)).reshape(arities[::-1])
    return np.moveaxis(whole, len(arities) - 1 - place, -1).reshape(-1, arities[place])


def _over(rows: IntArray, step: Step) -> Step:
    """Return the same step run by every row of members at once."""
    return Step(
        src=rows[:, step.src].ravel(),
        dst=rows[:, step.dst].ravel(),
        size_bytes=np.tile(step.size_bytes, len(rows)),
        repeat_count=step.repeat_count,
    )


def _rings(kind: str, laid: Laid, message_bytes: float) -> tuple[Step, ...]:
    """Return one ring through all members for each port inside: in ring r every instance is entered r places later."""
    count = len(laid.ranks)
    inner = laid.sizes[:-1]
    _, held = np.unique(laid.ranks // inner[-1], return_counts=True)
    passes = 2 if kind == "all_reduce" else 1
    whole = kind == "broadcast"  # its pipeline in the steady state, a chain in which all bytes pass every member
    lanes = int(held.min())  # as many rings as every instance has ports for
    part = message_bytes / lanes / (1 if whole else count)
    orders = [_order(np.arange(count), laid.ranks, laid.sizes, lane) for lane in range(lanes)]
    src = np.concatenate([order[: count - whole] for order in orders])
    dst = np.concatenate([np.roll(order, -1)[: count - whole] for order in orders])
    pair, where = np.unique(src * count + dst, return_inverse=True)
    size = np.bincount(where.ravel(), minlength=len(pair)).astype(np.float64) * part
    return (
        Step(src=pair // count, dst=pair % count, size_bytes=size, repeat_count=1 if whole else passes * (count - 1)),
    )


def _order(members: IntArray, ranks: IntArray, sizes: tuple[int, ...], turn: int) -> IntArray:
    """Return members instance by instance, the parts of each turned: `turn` places, the inner tiers first."""
    if len(sizes) == 1:
        return members
    labels = ranks[members] // sizes[-2]
    parts = [members[labels == label] for label in np.unique(labels)]
    return np.concatenate([_turned(part, ranks, sizes[:-1], turn) for part in parts])


def _turned(members: IntArray, ranks: IntArray, sizes: tuple[int, ...], turn: int) -> IntArray:
    if len(sizes) == 1:
        return np.roll(members, -(turn % len(members)))
    labels = ranks[members] // sizes[-2]
    names = np.unique(labels)
    per_part = max(1, len(members) // len(names))
    inner, outer = turn % per_part, turn // per_part
    parts = [_turned(members[labels == name], ranks, sizes[:-1], inner) for name in np.roll(names, -outer)]
    return np.concatenate(parts)


def at_regime(step: Step, kind: str, way: str, laid: Laid, fabric: Fabric) -> Step:
    """Return the step with each flow's bytes over its regime's share of the transport's efficiency."""
    share = np.array([rate_frac(kind, way, laid, fabric, place) for place in range(len(laid.tiers))])
    count = len(laid.ranks)
    ends = [laid.ranks[np.minimum(end, count - 1)] for end in (step.src, step.dst)]
    inside = np.full(len(step.src), len(laid.tiers) - 1)
    for place in range(len(laid.tiers) - 2, -1, -1):
        inside[ends[0] // laid.sizes[place] == ends[1] // laid.sizes[place]] = place
    return replace(step, size_bytes=step.size_bytes / share[inside])


def rate_frac(kind: str, way: str, laid: Laid, fabric: Fabric, place: int) -> float:
    """Return the share of the transport's efficiency that a way reaches in the tier at `place` of those in use."""
    link = fabric.tiers[laid.tiers[place]].link
    if kind in {"dispatch", "combine"}:
        return float(link.expert_latency.rate_frac)
    if kind in EXCHANGES:
        return float(link.exchange.pair_frac if kind == "p2p" else link.exchange.everyone_frac)
    name, _, rest = way.partition(" ")
    if name == "hierarchical":
        names = rest.strip("()").split(", then ")
        name, _, rest = names[min(place, len(names) - 1)].partition(" ")
    if name == "in_network":
        return float(link.in_network.rate_frac) if link.in_network is not None else 1.0
    found = [regime.rate_frac for regime in link.regimes if regime.name == rest]
    return float(found[0]) if found else 1.0


def runnable(
    kind: str, ways: tuple[Way, ...], laid: Laid, fabric: Fabric, message_bytes: float, flows_max: int
) -> tuple[Way, tuple[Step, ...]] | None:
    """Return the fastest way that has a schedule of at most so many flows, with its steps; None where none has."""
    for way in ways:
        widest = max(laid.arities or (1,)) if way.name.startswith("hierarchical") else len(laid.ranks)
        pairs = any(name in way.name for name in ("direct", "full_mesh")) and kind != "p2p"
        if pairs and len(laid.ranks) * widest > flows_max:
            continue
        made = steps_of(kind, way.name, laid, fabric, message_bytes)
        if made is not None:
            return way, made
    return None


def named(ways: tuple[Way, ...], algorithm: str) -> tuple[Way, ...]:
    """Return the ways of an algorithm that was asked for; raise ScenarioError where none runs it."""
    if not algorithm:
        return ways
    found = tuple(way for way in ways if way.name.partition(" ")[0] == algorithm or way.name == algorithm)
    if not found:
        names = dict.fromkeys(way.name.partition(" ")[0] for way in ways)
        raise ScenarioError(
            f"no way of this collective runs {algorithm!r} here",
            where="--algorithm",
            hint=f"one of {', '.join(names)}",
        )
    return found
