"""One call for a transfer at three levels of detail; each outcome names its level.

L0  the volume bound: bytes of the fullest link over its rate. No transfer is faster; equal flows that begin together
    are just as fast, others were seen 0 to 7 % slower.
L1  classes of equal flows, exact, at any size: a uniform exchange on an intact fabric whose structure declares classes.
L2  every flow, max-min fair, event by event, on the fabric as it is drawn: failures, unequal sizes, several jobs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np

from superpod.errors import ScenarioError
from superpod.fabric.bundle import bundled
from superpod.fabric.flow import Transfers, simulate
from superpod.fabric.generators import RANKS_MAX, draw
from superpod.fabric.route import Incidence, route
from superpod.fabric.symmetric import Classes, uniform, usual_routing
from superpod.fabric.tiers import Fabric, Group
from superpod.fabric.topology import FloatArray, IntArray, Topology
from superpod.fabric.walk import ONE_PATH

LEVELS = ("auto", "L0", "L1", "L2")
BATCH_FRAC = 1e-3
FLOWS_MAX = 1_500_000
"""More flows than this are not simulated one by one unless asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Uniform:
    """Every rank of a group sends `size_bytes` to every other; all groups at once. No group: all ranks."""

    size_bytes: float
    group: Group | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Flows:
    """Single flows between node ids of a topology; rank r is node r of a drawn fabric. `after` as in Transfers."""

    src: IntArray
    dst: IntArray
    size_bytes: FloatArray
    start_s: FloatArray | None = None
    after: IntArray | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How long a transfer takes.

    `time_s` is when the last byte arrives, latency included; `bound_s` the volume bound; `finish_s` the end of each
    flow (L2) or class of flows (L1). `link_bytes` and `link_bytes_per_s` describe the links of the topology it ran on,
    or the classes of links, by `link_names`. `caution` says what the level leaves out, if anything.
    """

    level: str
    time_s: float
    bound_s: float
    finish_s: FloatArray
    link_names: Sequence[str]
    link_bytes: FloatArray
    link_bytes_per_s: FloatArray
    routing: str
    batch_frac: float
    solves_count: int
    engine: str
    caution: str = ""

    @property
    def utilisation_frac(self) -> FloatArray:
        """What each link carried, as a share of what it could have carried until the last byte arrived."""
        return self.link_bytes / (self.link_bytes_per_s * max(self.time_s, 1e-300))

    def limits(self, most: int = 5) -> list[tuple[str, float]]:
        """Return the names and utilisations of the fullest links."""
        used = self.utilisation_frac
        order = np.argsort(-used, kind="stable")[:most]
        return [(self.link_names[int(number)], float(used[number])) for number in order]


def transfer(
    fabric: Fabric,
    demand: Uniform | Flows,
    *,
    topology: Topology | None = None,
    level: str = "auto",
    routing: str = "auto",
    seed: int = 0,
    batch_frac: float = BATCH_FRAC,
    engine: str = "auto",
) -> Outcome:
    """Return how long a transfer takes on a fabric, or on `topology` where that differs from its drawing.

    Level `auto` takes the first of L1, L2 and L0 that the demand, its size and the state of the fabric allow; routing
    `auto` is by dimension order in grids and sprayed elsewhere. Raises
    ScenarioError for a level that cannot be had, UnreachableError for flows without a path.
    """
    if level not in LEVELS:
        raise ScenarioError(f"unknown level {level!r}", where="--level", hint=f"one of {', '.join(LEVELS)}")
    routing = usual_routing(fabric) if routing == "auto" else routing
    classes = uniform(fabric, demand.group) if isinstance(demand, Uniform) and topology is None else None
    classes = classes if classes is not None and routing == classes.routing else None
    if level == "L1" and classes is None:
        raise ScenarioError(
            "no classes of equal flows: uniform traffic on an intact fabric under its usual routing has them",
            where="--level L1",
            hint="use L2",
        )
    if classes is not None and level != "L2" and isinstance(demand, Uniform):
        return _by_classes(classes, demand.size_bytes, level, routing)
    return _flow_by_flow(fabric, demand, topology, level, (routing, seed, batch_frac, engine))


def _by_classes(classes: Classes, size_bytes: float, level: str, routing: str) -> Outcome:
    """Run level L1, or level L0 over the loads of the classes."""
    found = classes.run(size_bytes)
    bound_only = level == "L0"
    ends = np.full_like(classes.longest_s, found.bound_s) if bound_only else found.finish_s - classes.paths.latency_s
    return Outcome(
        level="L0" if bound_only else "L1",
        time_s=float(np.max(classes.longest_s + ends, initial=0.0)),
        bound_s=found.bound_s,
        finish_s=found.finish_s[:0] if bound_only else found.finish_s,
        link_names=classes.link_names,
        link_bytes=found.link_bytes,
        link_bytes_per_s=classes.bytes_per_s,
        routing=routing,
        batch_frac=0.0,
        solves_count=found.solves_count,
        engine=found.engine,
        caution="" if classes.exact or bound_only else "only the last end is exact: lines have no classes",
    )


def _flow_by_flow(
    fabric: Fabric, demand: Uniform | Flows, topology: Topology | None, level: str, how: tuple[str, int, float, str]
) -> Outcome:
    """Run level L2, or level L0 over the same routes."""
    routing, seed, batch_frac, engine = how
    if fabric.ranks_count > RANKS_MAX and topology is None:
        raise ScenarioError(
            f"{fabric.ranks_count:,.0f} ranks without classes of equal flows are too many to draw",
            where="--level",
            hint=f"at most {RANKS_MAX:,} ranks; a uniform exchange on an intact fabric has no such limit",
        )
    drawn = topology if topology is not None else draw(fabric)
    flows = flows_of(drawn, demand)
    small = drawn
    if routing not in ONE_PATH:
        bundle = bundled(drawn)
        small = bundle.topology
        flows = Flows(
            src=bundle.node_of[flows.src],
            dst=bundle.node_of[flows.dst],
            size_bytes=flows.size_bytes,
            start_s=flows.start_s,
            after=flows.after,
        )
    many = len(flows.src) > FLOWS_MAX
    paths = route(small, flows.src, flows.dst, routing, seed)
    if level == "L0" or (level == "auto" and many):
        return _bound(small, paths, flows, routing, many=many and level == "auto")
    after = flows.after if flows.after is not None else np.zeros((0, 2), dtype=np.int64)
    sizes = Transfers(size_bytes=flows.size_bytes, start_s=flows.start_s, after=after)
    found = simulate(paths, small.links.bytes_per_s, sizes, batch_frac=batch_frac, engine=engine)
    return Outcome(
        level="L2",
        time_s=found.makespan_s,
        bound_s=found.bound_s,
        finish_s=found.finish_s,
        link_names=LinkNames(small),
        link_bytes=found.link_bytes,
        link_bytes_per_s=small.links.bytes_per_s,
        routing=routing,
        batch_frac=batch_frac,
        solves_count=found.solves_count,
        engine=found.engine,
    )


def flows_of(topology: Topology, demand: Uniform | Flows) -> Flows:
    """Return a demand flow by flow: of a uniform one, every pair of members of every group."""
    if isinstance(demand, Flows):
        return demand
    ranks = topology.ranks
    size = int(demand.group.size) if demand.group is not None else len(ranks)
    stride = int(demand.group.stride) if demand.group is not None else 1
    if size * stride > len(ranks):
        raise ScenarioError(
            f"groups of {size} ranks, every {stride}th, need {size * stride} ranks, and there are {len(ranks)}",
            where="group",
        )
    usable = len(ranks) // (size * stride) * size * stride
    groups = np.arange(usable).reshape(-1, size, stride).transpose(0, 2, 1).reshape(-1, size)
    src = np.repeat(groups, size, axis=1).ravel()
    dst = np.tile(groups, (1, size)).ravel()
    other = src != dst
    return Flows(
        src=ranks[src[other]], dst=ranks[dst[other]], size_bytes=np.full(int(other.sum()), float(demand.size_bytes))
    )


def _bound(topology: Topology, paths: Incidence, flows: Flows, routing: str, *, many: bool) -> Outcome:
    """Return the volume bound over the links that the flows use."""
    carried = paths.share_frac * np.repeat(flows.size_bytes, np.diff(paths.start))
    load = np.bincount(paths.link, weights=carried, minlength=paths.links_count).astype(np.float64)
    bound = float(np.max(load / topology.links.bytes_per_s, initial=0.0))
    caution = "too many flows for a simulation: the volume bound; unequal flows were seen to take up to 7 % longer"
    return Outcome(
        level="L0",
        time_s=bound + float(paths.latency_s.max(initial=0.0)),
        bound_s=bound,
        finish_s=np.zeros(0),
        link_names=LinkNames(topology),
        link_bytes=load,
        link_bytes_per_s=topology.links.bytes_per_s,
        routing=routing,
        batch_frac=0.0,
        solves_count=0,
        engine="none",
        caution=caution if many else "",
    )


class LinkNames(Sequence[str]):
    """Names of a topology's links, made only when they are asked for."""

    def __init__(self, topology: Topology) -> None:
        self._topology = topology

    def __len__(self) -> int:
        return len(self._topology.links)

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> tuple[str, ...]: ...
    def __getitem__(self, place: int | slice) -> str | tuple[str, ...]:
        if isinstance(place, slice):
            return tuple(self[number] for number in range(*place.indices(len(self))))
        return self._topology.link_name(range(len(self))[place])
