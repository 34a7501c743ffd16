"""Paths: which links each flow uses, and what share of it each one carries.

Traffic stays inside the smallest tier that holds both ends, as fabrics do, and takes shortest paths there; ranks pass
on traffic in grids only. Where failures leave no such path, all tiers are tried. Modes:

spray     evenly over all links that lead closer, hop by hop (packet spraying)
weighted  evenly over all shortest paths, so that a part with fewer of them gets less (weighted multi-path)
dor       dimension order: the lowest axis first, both ways round where they tie
single    one path, chosen by the destination (d-mod-k)
ecmp      one path, chosen by a hash of both ends and a seed
detour    a first hop to any neighbour that is not farther, then shortest (all-path routing, arXiv 2503.20377)
"""

import importlib.util
import sys
from dataclasses import dataclass

import numpy as np

from superpod.errors import ScenarioError, UnreachableError
from superpod.fabric.paths import Scope
from superpod.fabric.topology import RANK, SWITCH, FloatArray, IntArray, Topology
from superpod.fabric.walk import MODES, Entries, Flows, Search

ENTRIES_MAX = 100_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Incidence:
    """Links of flows: those of flow f stand in `link[start[f]:start[f + 1]]`, each with its share of the flow."""

    start: IntArray
    link: IntArray
    share_frac: FloatArray
    latency_s: FloatArray
    links_count: int

    def __len__(self) -> int:
        return len(self.start) - 1

    @property
    def flow(self) -> IntArray:
        """The flow of each entry."""
        return np.repeat(np.arange(len(self)), np.diff(self.start))


@dataclass(frozen=True, slots=True, kw_only=True)
class _How:
    """How flows choose their paths, and whether compiled loops follow them."""

    mode: str
    seed: int
    compiled: bool


def has_compiler() -> bool:
    """Return whether the compiled loops can run: the extra `fast` is installed."""
    if "numba" in sys.modules:
        return sys.modules["numba"] is not None
    return importlib.util.find_spec("numba") is not None


def route(
    topology: Topology, src: IntArray, dst: IntArray, mode: str = "spray", seed: int = 0, engine: str = "auto"
) -> Incidence:
    """Return the links of each flow from node `src[f]` to node `dst[f]`.

    `engine` as in `flow.simulate`: both give the same paths. Raises UnreachableError for a flow without a path,
    ScenarioError for an unknown mode or a flow to itself.
    """
    if mode not in MODES:
        raise ScenarioError(f"unknown routing {mode!r}", where="routing", hint=f"one of {', '.join(MODES)}")
    if np.any(src == dst):
        raise ScenarioError("a flow from a node to itself", where=topology.node_name(int(src[src == dst][0])))
    flows = Flows(number=np.arange(len(src)), src=src, dst=dst)
    how = _How(mode=mode, seed=seed, compiled=engine == "compiled" or (engine == "auto" and has_compiler()))
    inside = common_tier(topology, src, dst)
    found: list[Entries] = []
    lost: list[IntArray] = []
    tiers = np.flatnonzero(np.bincount(inside))
    for tier in tiers:
        here = flows if len(tiers) == 1 else flows.where(inside == tier)
        entries, away = _searched(topology, here, int(tier), topology.kinds[tier].transit, how)
        found += entries
        lost.append(away)
    away = np.concatenate(lost) if lost else np.zeros(0, dtype=np.int64)
    if len(away):
        found += _over_all_tiers(topology, flows.where(away), how)
    return assembled(topology, found, len(src))


def _searched(topology: Topology, flows: Flows, tier: int, transit: bool, how: _How) -> tuple[list[Entries], IntArray]:
    """Return the entries of flows over the links of `tier` and inside it, and the numbers of those without a path."""
    found: list[Entries] = []
    lost: list[IntArray] = []
    to_switch = topology.nodes.kind[flows.dst] == SWITCH
    for ends_in_switch in (False, True):
        here = (
            flows if to_switch.all() == ends_in_switch == to_switch.any() else flows.where(to_switch == ends_in_switch)
        )
        if not len(here):
            continue
        scope = Scope(
            tier=tier,
            transit=transit,
            lowest_axis=how.mode == "dor",
            count_paths=how.mode == "weighted",
            to_switches=ends_in_switch and not transit,
        )
        search = Search(topology=topology, scope=scope, mode=how.mode, seed=how.seed, compiled=how.compiled)
        entries, away = search.paths(here)
        found += entries
        lost.append(away)
    return found, np.concatenate(lost) if lost else flows.number[:0]


def common_tier(topology: Topology, src: IntArray, dst: IntArray) -> IntArray:
    """Return the index of the smallest tier that holds both ends of each flow; the outermost one for switches."""
    last = len(topology.kinds) - 1
    if last == 0:
        return np.zeros(len(src), dtype=np.int64)
    home, kind, tier = topology.nodes.home, topology.nodes.kind, topology.nodes.tier
    found = np.full(len(src), last)
    for place in range(last - 1, -1, -1):
        size = int(topology.kinds[place].ranks_count)
        found[home[src] // size == home[dst] // size] = place
    for end in (src, dst):
        if not kind[end].any():  # RANK is 0
            continue
        guest = (kind[end] != RANK) & (kind[end] != SWITCH)
        found = np.where(guest, np.maximum(found, tier[end]), found)
        found[kind[end] == SWITCH] = last
    return found


def _over_all_tiers(topology: Topology, flows: Flows, how: _How) -> list[Entries]:
    """Route what failures have cut off inside its tier over all links, at last through ranks too."""
    found: list[Entries] = []
    for transit in (False, True):
        entries, away = _searched(topology, flows, len(topology.kinds) - 1, transit, how)
        found += entries
        flows = flows.where(np.isin(flows.number, away))
        if not len(flows):
            break
    if len(flows):
        src, dst = (topology.node_name(int(end[0])) for end in (flows.src, flows.dst))
        raise UnreachableError(
            f"no path from {src} to {dst}",
            where=topology.name,
            hint=f"{len(flows):,} of the transfers have none; leave out the cards that are cut off",
        )
    return found


def assembled(topology: Topology, found: list[Entries], flows_count: int) -> Incidence:
    """Return entries in the order of their flows."""
    count = sum(len(part.link) for part in found)
    if count > ENTRIES_MAX:
        raise ScenarioError(f"{count:,} pairs of flow and link are too many", where=topology.name, hint="use L1 or L0")
    counts, link, share = _in_order(found, flows_count)
    start = np.zeros(flows_count + 1, dtype=np.int64)
    np.cumsum(counts, out=start[1:])
    latency = share * topology.links.latency_s[link]
    return Incidence(
        start=start,
        link=link,
        share_frac=share,
        latency_s=np.add.reduceat(latency, start[:-1]) if len(link) else np.zeros(flows_count),
        links_count=len(topology.links),
    )


def _in_order(found: list[Entries], flows_count: int) -> tuple[IntArray, IntArray, FloatArray]:
    """Return (entries a flow, link, share) of all parts, by flow."""
    if not found:
        return np.zeros(flows_count, dtype=np.int64), np.zeros(0, dtype=np.int64), np.zeros(0)
    if len(found) == 1 and found[0].counts is not None and len(found[0].counts) == flows_count:
        return found[0].counts, found[0].link, found[0].share_frac
    flow = np.concatenate([part.flow if part.counts is None else np.repeat(part.flow, part.counts) for part in found])
    link, share = (np.concatenate(column) for column in zip(*((p.link, p.share_frac) for p in found), strict=True))
    counts = np.bincount(flow, minlength=flows_count)
    if any(part.counts is None for part in found):
        order = np.argsort(flow, kind="stable")
        return counts, link[order], share[order]
    # No flow is in two parts, so each entry stands as far behind the first of its flow as before.
    first = np.cumsum(counts) - counts
    new = np.flatnonzero(np.diff(flow, prepend=-1))
    to = np.arange(len(flow)) + np.repeat(first[flow[new]] - new, np.diff(np.append(new, len(flow))))
    ordered_link, ordered_share = np.empty_like(link), np.empty_like(share)
    ordered_link[to], ordered_share[to] = link, share
    return counts, ordered_link, ordered_share
