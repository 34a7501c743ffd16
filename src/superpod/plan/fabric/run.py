"""Runs on a fabric: a collective, an exchange of all members, a traffic matrix or several jobs, at each level.

L0 is the closed form of `choose`; L1 classes of equal flows; L2 steps, flow by flow. So that they can be compared,
links run at the transport's efficiency, and what a library costs beside the wires comes from the same way at every
level.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from superpod.errors import ScenarioError
from superpod.fabric.bundle import bundled
from superpod.fabric.collectives import ALGORITHMS, LOWER_BOUNDS, Choice, Step, choose
from superpod.fabric.collectives.choice import KINDS, Way
from superpod.fabric.generators import RANKS_MAX, draw
from superpod.fabric.jobs import Job, Played, play
from superpod.fabric.route import route
from superpod.fabric.tiers import Fabric, Group
from superpod.fabric.topology import FloatArray, IntArray, Topology
from superpod.fabric.transfer import FLOWS_MAX, Flows, LinkNames, Outcome, Uniform, transfer
from superpod.fabric.walk import ONE_PATH
from superpod.plan.fabric.collective_steps import EXCHANGES, Laid, at_regime, laid_out, named, runnable
from superpod.plan.fabric.question import FabricQuestion, JobQuestion
from superpod.plan.fabric.result import JobAnswer, LinkUse, Timing, UseMap
from superpod.plan.utilisation import class_map, limits, ranked, use_map

SAMPLE_FLOWS = 64
WIRE_FLOWS_MAX = 200_000
AUTO_RANKS_MAX = 4_096
PAIRS_MAX = 60_000_000
"""Pairs of flow and link that an exchange of all members may have: more take over 5 GB."""
PORTS, REACHED = "of port rates", "of what the transport reaches"
"""What a full link is full of: in titles of maps."""
PASSES = {"all_reduce": 2.0, "broadcast": 0.0, "p2p": 0.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What runs happen on: the tiers (None for a graph), the drawing as it is now, or None where it is too large.

    `damaged` says that the drawing is no longer that of the tiers.
    """

    fabric: Fabric | None
    topology: Topology | None
    question: FabricQuestion
    damaged: bool = False

    @property
    def routing(self) -> str:
        """How flows choose among paths."""
        return self.question.routing


def bus_bytes_per_s(kind: str, ranks_count: int, message_bytes: float, time_s: float) -> float | None:
    """Return nccl-tests' bus bandwidth S/t x f: f is 2 (n-1)/n to all-reduce, 1 to broadcast and p2p, else (n-1)/n.

    nccl-tests, doc/PERFORMANCE.md.
    """
    if ranks_count < 2 or time_s <= 0:
        return None
    passes = PASSES.get(kind, 1.0)
    factor = passes * (ranks_count - 1.0) / ranks_count if passes else 1.0
    return message_bytes / time_s * factor


def drawn(fabric: Fabric, name: str) -> Topology | None:
    """Return the drawing of a fabric; None where it has too many ranks."""
    return draw(fabric, name) if fabric.ranks_count <= RANKS_MAX else None


def at_efficiency(ground: Ground) -> Ground:
    """Return the same ground with each tier's links at its transport's efficiency."""
    fabric, topology = ground.fabric, ground.topology
    if fabric is None:
        return ground
    shares = {tier.name: float(tier.link.efficiency_frac) for tier in fabric.tiers}
    slower = scaled(fabric, [shares[tier.name] for tier in fabric.tiers])
    if topology is not None:
        share = np.array([shares.get(kind.tier, 1.0) for kind in topology.kinds])
        links = replace(topology.links, bytes_per_s=topology.links.bytes_per_s * share[topology.links.kind])
        topology = replace(topology, links=links)
    return replace(ground, fabric=slower, topology=topology)


def scaled(fabric: Fabric, shares: Sequence[float]) -> Fabric:
    """Return a fabric whose tiers have a share of their bandwidth."""
    tiers = tuple(
        replace(tier, bytes_per_s=tier.bytes_per_s * share) for tier, share in zip(fabric.tiers, shares, strict=True)
    )
    return replace(fabric, tiers=tiers)


def exchange(ground: Ground, ranks: IntArray, message_bytes: float, title: str) -> tuple[Timing | None, UseMap | None]:
    """Return a uniform all-to-all between `ranks` at port rates without a library; None where it is too large."""
    count = len(ranks)
    size = message_bytes / max(count, 1)
    asked = ground.question.level
    whole = ground.fabric is not None and count == round(ground.fabric.ranks_count) and not ground.damaged
    found: Outcome | None = None
    if count < 2:
        return None, None
    if whole and ground.fabric is not None and asked != "L2":
        found = _by_classes(ground.fabric, size, ground.routing, "L0" if asked == "L0" else "L1")
    if found is None and ground.topology is not None and _affordable(ground, ground.topology, ranks):
        pairs = _pairs(ground.topology.ranks[ranks], size)
        found = transfer_on(ground, pairs, "L0" if asked == "L0" else "L2")
    if found is None:
        return None, None
    bus = bus_bytes_per_s("all_to_all", count, message_bytes, found.time_s)
    timing = Timing(
        level=found.level,
        way="direct",
        ranks_count=count,
        time_s=found.time_s,
        wire_s=found.time_s,
        bus_bytes_per_s=bus,
        batch_frac=found.batch_frac,
        limits=outcome_limits(ground, found),
        caution=found.caution,
    )
    return timing, outcome_map(ground, found, title)


def _affordable(ground: Ground, topology: Topology, ranks: IntArray) -> bool:
    """Return whether flows between all pairs can be followed: not too many, nor over too many links, by a sample."""
    pairs = len(ranks) * (len(ranks) - 1)
    if pairs > FLOWS_MAX:
        return False
    rng = np.random.default_rng(0)
    src = rng.integers(len(ranks), size=SAMPLE_FLOWS)
    dst = (src + rng.integers(1, len(ranks), size=SAMPLE_FLOWS)) % len(ranks)
    nodes = topology.ranks[ranks]
    if ground.routing not in ONE_PATH:
        bundle = bundled(topology)
        topology, nodes = bundle.topology, bundle.node_of[nodes]
    paths = route(topology, nodes[src], nodes[dst], ground.routing, ground.question.seed)
    return len(paths.link) / SAMPLE_FLOWS * pairs <= PAIRS_MAX


def _by_classes(fabric: Fabric, size_bytes: float, routing: str, level: str = "L1") -> Outcome | None:
    try:
        return transfer(fabric, Uniform(size_bytes=size_bytes), level=level, routing=routing)
    except ScenarioError:
        return None


def _pairs(nodes: IntArray, size_bytes: float) -> Flows:
    src, dst = np.repeat(nodes, len(nodes)), np.tile(nodes, len(nodes))
    other = src != dst
    return Flows(src=src[other], dst=dst[other], size_bytes=np.full(int(other.sum()), size_bytes))


def transfer_on(ground: Ground, flows: Flows, level: str) -> Outcome:
    """Return a transfer on the drawing as it is."""
    topology, question = ground.topology, ground.question
    if topology is None:
        raise ScenarioError(
            "too many ranks to be drawn link by link", where="fabric", hint=f"at most {RANKS_MAX:,}, e.g. fewer --pods"
        )
    fabric = ground.fabric or Fabric(tiers=(), ranks_per_chip=1.0, ranks_per_pod=len(topology.ranks), pods_count=1.0)
    return transfer(
        fabric,
        flows,
        topology=topology,
        level=level,
        routing=question.routing,
        seed=question.seed,
        batch_frac=question.batch_frac,
    )


def outcome_map(ground: Ground, found: Outcome, title: str) -> UseMap:
    """Return how full the links, or the classes of links, are during a transfer."""
    small = _topology_of(ground, found)
    if small is None or ground.topology is None:
        return class_map(title, found.link_names, found.utilisation_frac)
    return use_map(title, ground.topology, small, found.utilisation_frac, ground.routing)


def outcome_limits(ground: Ground, found: Outcome) -> tuple[LinkUse, ...]:
    """Return the fullest links of a transfer."""
    small = _topology_of(ground, found)
    if small is None:
        return ranked(found.link_names, found.utilisation_frac, list(found.link_names))
    return limits(small, found.utilisation_frac)


def _topology_of(ground: Ground, found: Outcome) -> Topology | None:
    """Return the topology whose links an outcome names; None for classes."""
    if ground.topology is None or not isinstance(found.link_names, LinkNames):
        return None
    return ground.topology if ground.routing in ONE_PATH else bundled(ground.topology).topology


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A collective laid out on members: the way that is simulated, its steps, what the library costs beside them.

    `steps` are bytes, `loaded` the same as the regime loads the links. Where a library's steps are shorter than the
    hops of the drawing, hops count as `hop_frac` of theirs: what was measured goes before what is assumed of a hop.
    """

    kind: str
    message_bytes: float
    laid: Laid
    way: str
    steps: tuple[Step, ...]
    loaded: tuple[Step, ...]
    base_s: float
    hop_frac: float = 1.0


def chosen(ground: Ground, kind: str, ranks: IntArray, stride: int, message_bytes: float) -> Choice | None:
    """Return every way to run a collective; None on a graph, of which only links are known."""
    if kind not in KINDS:
        raise ScenarioError(f"unknown collective {kind!r}", where="--collective", hint=f"one of {', '.join(KINDS)}")
    if ground.fabric is None:
        return None
    group = Group(size=float(len(ranks)), stride=float(stride))
    found = choose(kind, ground.fabric, group, message_bytes)
    return replace(found, ways=named(found.ways, ground.question.algorithm))


def planned(
    ground: Ground, kind: str, ranks: IntArray, ways: tuple[Way, ...], message_bytes: float
) -> tuple[Planned | None, str]:
    """Return a collective ready to be simulated, and what there is to say of it; None where no way can be simulated."""
    if ground.topology is None:
        return None, f"more than {RANKS_MAX:,} ranks are not drawn link by link, so there is no L2"
    if ground.question.level == "auto" and len(ground.topology.ranks) > AUTO_RANKS_MAX:
        return None, f"with more than {AUTO_RANKS_MAX:,} ranks L2 takes minutes, so it runs with --level L2 only"
    if ground.fabric is None:
        return _on_graph(ground, kind, ranks, message_bytes), ""
    laid = laid_out(ground.fabric, ranks)
    found = runnable(kind, ways, laid, ground.fabric, message_bytes, FLOWS_MAX)
    if found is None:
        return (
            None,
            f"no way to run {kind} on these members has steps of at most {FLOWS_MAX:,} flows, so there is no L2",
        )
    way, steps = found
    hops = _inherent_s(ground, laid, steps)
    said = "" if way is ways[0] else f"L2 runs {way.name}: {ways[0].name} has no step-by-step form on these members"
    if laid.arities is None and way is not ways[0]:
        said += ", which are uneven; --fail instance:TIER:N takes a whole one out"
    plan = Planned(
        kind=kind,
        message_bytes=message_bytes,
        laid=laid,
        way=way.name,
        steps=steps,
        loaded=tuple(at_regime(step, kind, way.name, laid, ground.fabric) for step in steps),
        base_s=max(way.latency_s - hops, 0.0),
        hop_frac=min(way.latency_s / hops, 1.0) if hops > 0 else 1.0,
    )
    return plan, said


def _on_graph(ground: Ground, kind: str, ranks: IntArray, message_bytes: float) -> Planned:
    """Return a collective on a graph: every pair at once, or a ring, or the algorithm asked for; no library."""
    name = ground.question.algorithm or ("direct" if kind in EXCHANGES else "ring")
    if name not in ALGORITHMS:
        raise ScenarioError(
            f"unknown algorithm {name!r}", where="--algorithm", hint=f"one of {', '.join(sorted(ALGORITHMS))}"
        )
    laid = Laid(ranks=np.sort(ranks), tiers=(), sizes=(), arities=None)
    shape = [len(ranks)]
    if name in {"hierarchical", "torus"}:
        raise ScenarioError(f"{name} needs the tiers of a pod", where="--algorithm", hint="ring or direct run anywhere")
    steps = ALGORITHMS[name].steps(kind, shape, message_bytes)
    return Planned(kind=kind, message_bytes=message_bytes, laid=laid, way=name, steps=steps, loaded=steps, base_s=0.0)


def _inherent_s(ground: Ground, laid: Laid, steps: tuple[Step, ...]) -> float:
    """Return the latency of hops that the simulation adds by itself: each step's longest path, as often as it runs.

    Paths are looked up for a few flows of each step, those between the farthest members among them.
    """
    topology = ground.topology
    if topology is None:
        return 0.0
    count, spent = len(laid.ranks), 0.0
    for step in steps:
        plain = np.flatnonzero((step.src < count) & (step.dst < count))
        if not len(plain):
            spent += float(topology.links.latency_s[topology.links.src == topology.ranks[laid.ranks[0]]].max())
            continue
        apart = np.abs(laid.ranks[step.src[plain]] - laid.ranks[step.dst[plain]])
        some = plain[np.argsort(-apart, kind="stable")[:SAMPLE_FLOWS]]
        ends = [topology.ranks[laid.ranks[end[some]]] for end in (step.src, step.dst)]
        paths = route(topology, ends[0], ends[1], ground.routing, ground.question.seed)
        spent += float(paths.latency_s.max(initial=0.0)) * step.repeat_count
    return spent


def simulated(ground: Ground, plan: Planned, title: str) -> tuple[Timing, UseMap, float]:
    """Return a collective at L2, how full the links are, and the volume bound; the wires alone where that is quick."""
    slower = _hops_at(at_efficiency(ground), plan.hop_frac)
    played = _played(slower, [job_of(ground, plan, "collective")])
    time_s = played.jobs[0].alone_s
    wire: float | None = None
    if sum(len(step.src) for step in plan.steps) <= WIRE_FLOWS_MAX:
        bare = replace(plan, loaded=plan.steps, base_s=0.0)
        wire = _played(_hops_at(ground, plan.hop_frac), [job_of(ground, bare, "wires")]).jobs[0].alone_s
    used = utilisation(played)
    whole = slower.topology if slower.topology is not None else played.topology
    timing = Timing(
        level="L2",
        way=plan.way,
        ranks_count=len(plan.laid.ranks),
        time_s=time_s,
        wire_s=wire,
        bus_bytes_per_s=bus_bytes_per_s(plan.kind, len(plan.laid.ranks), plan.message_bytes, time_s),
        batch_frac=ground.question.batch_frac,
        limits=limits(played.topology, used),
    )
    return timing, use_map(title, whole, played.topology, used, ground.routing), played.result.bound_s


def _hops_at(ground: Ground, frac: float) -> Ground:
    """Return the same ground with a share of each hop's latency."""
    topology = ground.topology
    if topology is None or frac >= 1.0:
        return ground
    links = replace(topology.links, latency_s=topology.links.latency_s * frac)
    return replace(ground, topology=replace(topology, links=links))


def utilisation(played: Played) -> FloatArray:
    """Return what each link carried, as a share of what it could have until the last byte arrived."""
    return played.result.link_bytes / (played.topology.links.bytes_per_s * max(played.result.makespan_s, 1e-300))


def job_of(ground: Ground, plan: Planned, name: str, start_s: float = 0.0) -> Job:
    """Return a planned collective as a job of the simulation."""
    topology = ground.topology
    nodes = topology.ranks[plan.laid.ranks] if topology is not None else plan.laid.ranks
    return Job(name=name, steps=plan.loaded, members=nodes, start_s=start_s, base_s=plan.base_s)


def _played(ground: Ground, jobs: Sequence[Job]) -> Played:
    if ground.topology is None:
        raise ScenarioError("too many ranks to be drawn link by link", where="fabric", hint="fewer --pods")
    question = ground.question
    return play(ground.topology, jobs, routing=question.routing, seed=question.seed, batch_frac=question.batch_frac)


def closed_form(ground: Ground, choice: Choice, ranks: IntArray, stride: int) -> Timing:
    """Return a collective at L0: the closed form of its fastest way; beside it the bound that no way beats."""
    way, count = choice.winner, len(ranks)
    bound: float | None = None
    if ground.fabric is not None:
        group = Group(size=float(count), stride=float(stride))
        bound = float(LOWER_BOUNDS[choice.kind](ground.fabric, group, choice.message_bytes))
    return Timing(
        level="L0",
        way=way.name,
        ranks_count=count,
        time_s=way.time_s,
        wire_s=bound,
        bus_bytes_per_s=bus_bytes_per_s(choice.kind, count, choice.message_bytes, way.time_s),
        batch_frac=0.0,
        limits=(LinkUse(name=f"{way.binding_tier} links", used_frac=way.wire_s / way.time_s),) if way.time_s else (),
    )


def by_classes(ground: Ground, choice: Choice, ranks: IntArray) -> Timing | None:
    """Return an all-to-all of all ranks at L1; None for anything else."""
    fabric = ground.fabric
    way = next((way for way in choice.ways if way.name == "direct"), None)
    if fabric is None or way is None or choice.kind != "all_to_all" or len(ranks) != round(fabric.ranks_count):
        return None
    size = choice.message_bytes / len(ranks)
    shares = [float(tier.link.efficiency_frac * tier.link.exchange.everyone_frac) for tier in fabric.tiers]
    wires = _by_classes(fabric, size, ground.routing)
    found = _by_classes(scaled(fabric, shares), size, ground.routing)
    if found is None or wires is None:
        return None
    waits = max(way.latency_s - (found.time_s - found.bound_s), 0.0)
    time_s = found.time_s + waits
    return Timing(
        level="L1",
        way="direct",
        ranks_count=len(ranks),
        time_s=time_s,
        wire_s=wires.time_s,
        bus_bytes_per_s=bus_bytes_per_s("all_to_all", len(ranks), choice.message_bytes, time_s),
        batch_frac=0.0,
        limits=ranked(found.link_names, found.utilisation_frac, list(found.link_names)),
        caution=found.caution,
    )


def together(ground: Ground, jobs: Sequence[JobQuestion]) -> tuple[tuple[JobAnswer, ...], UseMap]:
    """Return several collectives at once, each alone and beside the others, at L2."""
    count = len(ground.topology.ranks) if ground.topology is not None else 0
    plans: list[Planned] = []
    for job in jobs:
        ranks = members(job.first, job.ranks_count, job.stride, count, f"--job {job.name}")
        choice = chosen(ground, job.kind, ranks, job.stride, job.message_bytes)
        plan, said = planned(ground, job.kind, ranks, choice.ways if choice is not None else (), job.message_bytes)
        if plan is None:
            raise ScenarioError(said, where=f"--job {job.name}", hint="fewer ranks, or another collective")
        plans.append(plan)
    slower = _hops_at(at_efficiency(ground), max(plan.hop_frac for plan in plans))
    asked = [job_of(slower, plan, job.name, job.start_s) for job, plan in zip(jobs, plans, strict=True)]
    played = _played(slower, asked)
    answers = tuple(
        JobAnswer(
            name=job.name,
            kind=job.kind,
            message_bytes=job.message_bytes,
            first=job.first,
            ranks_count=job.ranks_count,
            stride=job.stride,
            way=plan.way,
            level="L2",
            batch_frac=ground.question.batch_frac,
            alone_s=time.alone_s,
            together_s=time.together_s,
            slowdown_ratio=time.slowdown_ratio,
            bus_bytes_per_s=bus_bytes_per_s(job.kind, job.ranks_count, job.message_bytes, time.together_s),
        )
        for job, plan, time in zip(jobs, plans, played.jobs, strict=True)
    )
    whole = slower.topology if slower.topology is not None else played.topology
    shown = use_map(f"jobs together, {REACHED}", whole, played.topology, utilisation(played), ground.routing)
    return answers, shown


def members(first: int, count: int, stride: int, ranks_count: int, where: str) -> IntArray:
    """Return `count` ranks from `first` on, every `stride`-th; raise ScenarioError where there are not so many."""
    last = first + (count - 1) * stride
    if first < 0 or count < 2 or stride < 1 or last >= ranks_count:
        raise ScenarioError(
            f"{count} ranks from {first}, every {stride}th, end at rank {last}",
            where=where,
            hint=f"at least 2 ranks of 0 to {ranks_count - 1}",
        )
    return first + stride * np.arange(count)
