"""The ways to run a collective over a group that may span tiers, each with its latency and its time on the wires."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from superpod.catalog.calibration import Regime
from superpod.fabric.collectives import (
    bidirectional,
    direct,
    double_tree,
    full_mesh,
    halving_doubling,
    hierarchical,
    in_network,
    one_shot,
    ring,
    torus,
)
from superpod.fabric.collectives.levels import Level, slowest
from superpod.fabric.collectives.step import Cost
from superpod.result import Num

SWITCHED: dict[str, Callable[[str, Num, Num], Cost]] = {
    "ring": ring.cost,
    "bidirectional": bidirectional.cost,
    "halving_doubling": halving_doubling.cost,
    "double_tree": double_tree.cost,
    "direct": direct.cost,
}
RUNS = {
    "ring": ring.KINDS,
    "bidirectional": bidirectional.KINDS,
    "halving_doubling": halving_doubling.KINDS,
    "double_tree": double_tree.KINDS,
    "direct": direct.KINDS,
}
WHOLE = ("double_tree", "in_network", "one_shot")
"""Algorithms that leave every member the whole sum, so that no tier outside can take a share of it."""
PIPELINED = ("all_reduce", "all_gather", "reduce_scatter", "broadcast")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wire:
    """The time on the wires of one tier."""

    tier: str
    time_s: Num


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One way: its latency, and the time on each tier's wires, which add up or run at once."""

    name: str
    latency_s: Num
    wires: tuple[Wire, ...]
    in_turn: bool = False

    @property
    def wire_s(self) -> Num:
        """The sum over tiers that work in turn, or the slowest of those that work at once."""
        times = [wire.time_s for wire in self.wires]
        return sum(times[1:], times[0]) if self.in_turn else slowest(times)

    @property
    def time_s(self) -> Num:
        """Latency and wires."""
        return self.latency_s + self.wire_s


def best(candidates: list[Candidate]) -> Num:
    """Return the shortest time."""
    shortest = candidates[0].time_s
    for candidate in candidates[1:]:
        shortest = np.minimum(shortest, candidate.time_s)
    return shortest


def fastest(candidates: list[Candidate], found: list[Level]) -> Num:
    """Return the shortest time; tier by tier counts where one tier is used, or where the library runs that way."""
    if found[0].nested or len(candidates) == 1:
        return best(candidates)
    used: Num = sum((level.where_used(np.ones_like(level.arity_count * 1.0)) for level in found), 0.0)
    flat = best(candidates[:-1])
    return np.where(used > 1.0, flat, np.minimum(flat, candidates[-1].time_s))


def pipelined(kind: str, found: list[Level], size: Num, message_bytes: Num) -> list[Candidate]:
    """Return the candidates of a reduction, gather or broadcast: flat over all tiers, and last the tier by tier one."""
    made = [flat_ring(kind, found, size, message_bytes, name) for name in found[0].regimes]
    if kind in double_tree.KINDS and any("double_tree" in level.tier.link.algorithms for level in found):
        made += [flat_tree(kind, found, size, message_bytes, name) for name in found[0].regimes]
    return [*made, tier_by_tier(kind, found, message_bytes)]


def flat_ring(kind: str, found: list[Level], size: Num, message_bytes: Num, name: str) -> Candidate:
    """Return one ring through all members, drawn once over every rail.

    T = base + sum_l steps_l step_l + bytes / min_l (m_l B_l) + own copy: of the ring's n edges n/m_l - n/h_l cross tier
    l, whose instances hold h_l members in instances of m_l, and each of those m_l members' ports carries a part of the
    ring.
    """
    cost = ring.cost(kind, size, message_bytes)
    passes = 2.0 if kind == "all_reduce" else 1.0
    latency = slowest([level.where_used(level.regime(name).base_s) for level in found])
    latency = latency + found[0].own_s(cost.own_bytes)  # no port is busy with it
    wires: list[Wire] = []
    for level in found:
        regime = level.regime(name)
        edges = size / level.below_count - size / level.held_count
        latency = latency + passes * edges * level.step_s(regime)
        rate = level.below_count * level.neighbour_bytes_per_s * regime.rate_frac
        wires.append(Wire(tier=level.tier.name, time_s=level.where_used(cost.wire_bytes / rate)))
    return Candidate(name=f"ring {name}", latency_s=latency, wires=tuple(wires))


def flat_tree(kind: str, found: list[Level], size: Num, message_bytes: Num, name: str) -> Candidate:
    """Return two trees across the outer tiers, a tree or a chain inside: few steps, and 2 S through each rail's share.

    T = base + passes sum_l depth_l step_l + bytes / min_l (m_l B_l); depth_l is ceil(log2) of the members that the tier
    joins, or one less than them where its library has chains only.
    """
    cost = double_tree.cost(kind, np.maximum(size, 4.0), message_bytes)
    passes = 2.0 if kind == "all_reduce" else 1.0
    latency = slowest([level.where_used(level.regime(name).base_s) for level in found])
    wires: list[Wire] = []
    for level in found:
        regime = level.regime(name)
        deep: Num = np.ceil(np.log2(level.arity_count))
        if "double_tree" not in level.tier.link.algorithms:
            deep = level.arity_count - 1.0
        latency = latency + passes * deep * level.step_s(regime)
        rate = level.below_count * level.neighbour_bytes_per_s * regime.rate_frac
        wires.append(Wire(tier=level.tier.name, time_s=level.where_used(cost.wire_bytes / rate)))
    return Candidate(name=f"double_tree {name}", latency_s=latency, wires=tuple(wires))


def tier_by_tier(kind: str, found: list[Level], message_bytes: Num) -> Candidate:
    """Return the best algorithm of each tier, one tier after the other."""
    latency: Num = 0.0
    wires: list[Wire] = []
    size = found[-1].held_count
    for level in found:
        options = one_tier(kind, level, hierarchical.buffer(kind, level.below_count, message_bytes))
        options.sort(key=lambda option: whole(kind, option.name))
        spent: Num = options[0].time_s
        waited: Num = options[0].latency_s
        for option in options[1:]:
            inner = whole(kind, option.name) and level.held_count < size
            better = (option.time_s < spent) & np.logical_not(inner)
            waited = np.where(better, option.latency_s, waited)
            spent = np.where(better, option.time_s, spent)
        latency = latency + level.where_used(waited)
        wires.append(Wire(tier=level.tier.name, time_s=level.where_used(spent - waited)))
    return Candidate(name="hierarchical", latency_s=latency, wires=tuple(wires), in_turn=True)


def whole(kind: str, name: str) -> bool:
    """Return whether an algorithm cannot be split into a reduce-scatter and an all-gather around outer tiers."""
    return kind == "all_reduce" and name.partition(" ")[0] in WHOLE


def one_tier(kind: str, level: Level, message_bytes: Num) -> list[Candidate]:
    """Return the algorithms of one tier: those of its shape, or those that its library runs over switches."""
    made = [
        candidate(f"{name} {regime.name}", level, regime, cost)
        for name, cost in costs(kind, level, message_bytes).items()
        for regime in level.tier.link.regimes
    ]
    adds = level.tier.link.in_network
    if adds is not None and level.tier.in_network_reduction and kind in in_network.KINDS:
        cost = in_network.cost(kind, level.arity_count, message_bytes)
        begun = adds.base_s + adds.member_s * level.arity_count
        regime = Regime(name="", base_s=0.0 * adds.base_s, step_s=0.0 * adds.base_s, rate_frac=adds.rate_frac)
        plain = candidate("in_network", level, regime, cost)
        made.append(replace(plain, latency_s=plain.latency_s + begun))
    return [*made, *peer_kernels(kind, level, message_bytes, made[0])]


def peer_kernels(kind: str, level: Level, message_bytes: Num, library: Candidate) -> list[Candidate]:
    """Return the kernels of a serving engine: one pass over whole messages, or two over parts of them.

    T = base + (n - 1) post + (n - 1) S / (B one-shot) or base + (n - 1) post + pass + 2 (n - 1)/n S / (B two-shot); in
    groups larger than the engine's limit what the library takes.
    """
    peers = level.peers
    if peers is None or kind not in one_shot.KINDS:
        return []
    begun = peers.base_s + peers.post_s * (level.arity_count - 1.0) + level.longer_hop_s
    later = peers.pass_s + level.longer_hop_s
    rate = level.everyone_bytes_per_s
    one = one_shot.cost(kind, level.arity_count, message_bytes).wire_bytes / (rate * peers.one_shot_frac)
    two = direct.cost(kind, level.arity_count, message_bytes).wire_bytes / (rate * peers.two_shot_frac)
    runs = level.arity_count <= peers.ranks_limit_count
    return [
        Candidate(
            name=name,
            latency_s=np.where(runs, waited, library.latency_s),
            wires=(Wire(tier=level.tier.name, time_s=np.where(runs, level.where_used(wire), library.wire_s)),),
        )
        for name, waited, wire in (("one_shot", begun, one), ("two_shot", begun + later, two))
    ]


def costs(kind: str, level: Level, message_bytes: Num) -> dict[str, Cost]:
    """Return the closed forms that apply in one tier, by algorithm; a ring wherever nothing else does."""
    structure, arity = level.tier.structure, level.arity_count
    if structure == "full_mesh":
        return {
            "full_mesh": full_mesh.cost(kind, level.axes, message_bytes),
            "ring": ring.cost(kind, arity, message_bytes),
        }
    if structure in {"torus", "mesh"} and kind == "broadcast":
        return {"bidirectional": bidirectional.cost(kind, arity, message_bytes)}
    if structure in {"torus", "mesh"}:
        return {"torus": torus.cost(kind, level.axes, message_bytes)}
    library = [name for name in level.tier.link.algorithms if kind in RUNS.get(name, ())]
    return {name: SWITCHED[name](kind, arity, message_bytes) for name in library or ["ring"]}


def candidate(name: str, level: Level, regime: Regime, cost: Cost) -> Candidate:
    """Return one algorithm in one regime over one tier."""
    latency = regime.base_s + cost.steps_count * level.step_s(regime) + level.own_s(cost.own_bytes)
    wire = cost.wire_bytes / (level.neighbour_bytes_per_s * regime.rate_frac)
    return Candidate(name=name, latency_s=latency, wires=(Wire(tier=level.tier.name, time_s=level.where_used(wire)),))
