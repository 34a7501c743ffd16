"""Several collectives on one fabric at once: how long each takes alone, and how long beside the others."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from superpod.errors import ScenarioError
from superpod.fabric.bundle import bundled
from superpod.fabric.collectives.step import Step
from superpod.fabric.flow import FlowResult, Transfers, simulate
from superpod.fabric.route import Incidence, common_tier, route
from superpod.fabric.topology import SWITCH, FloatArray, IntArray, Topology
from superpod.fabric.walk import ONE_PATH


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Steps between members, one after another; member i is node `members[i]`, and may take part in one place only.

    `base_s` is paid before the first step and `step_s` with each: what the library costs beside the wire.
    """

    name: str
    steps: tuple[Step, ...]
    members: IntArray
    start_s: float = 0.0
    base_s: float = 0.0
    step_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class JobTime:
    """How long a job takes, from its start, alone and beside the others."""

    name: str
    alone_s: float
    together_s: float

    @property
    def slowdown_ratio(self) -> float:
        """Time beside the others over time alone."""
        return self.together_s / self.alone_s if self.alone_s > 0 else 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """All jobs, and what they put on the links of `topology` when they run together."""

    jobs: tuple[JobTime, ...]
    topology: Topology
    result: FlowResult
    routing: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """Jobs as flows: real ones, and for each step one without bytes that waits for all of the step."""

    src: IntArray
    dst: IntArray
    size_bytes: FloatArray
    repeats: FloatArray
    step_s: FloatArray
    start_s: FloatArray
    after: IntArray
    last: tuple[int, ...]


def play(
    topology: Topology,
    jobs: Sequence[Job],
    *,
    routing: str = "spray",
    seed: int = 0,
    batch_frac: float = 0.0,
    engine: str = "auto",
) -> Played:
    """Run jobs alone and together. A step that repeats is one transfer of all its bytes, with the latency of each.

    Raises ScenarioError for a job whose members are not in the topology, UnreachableError where no path is left.
    """
    small, members = topology, [job.members for job in jobs]
    if routing not in ONE_PATH:
        bundle = bundled(topology)
        small, members = bundle.topology, [bundle.node_of[nodes] for nodes in members]
    placed = [replace(job, members=nodes) for job, nodes in zip(jobs, members, strict=True)]
    ends, result = _ends(small, placed, routing, seed, batch_frac, engine)
    alone = ends
    if len(placed) > 1:
        alone = [_ends(small, [job], routing, seed, batch_frac, engine)[0][0] for job in placed]
    times = tuple(
        JobTime(name=job.name, alone_s=single - job.start_s, together_s=both - job.start_s)
        for job, single, both in zip(jobs, alone, ends, strict=True)
    )
    return Played(jobs=times, topology=small, result=result, routing=routing)


def _ends(
    topology: Topology, jobs: Sequence[Job], routing: str, seed: int, batch_frac: float, engine: str
) -> tuple[list[float], FlowResult]:
    """Return when each job ends, and the whole simulation."""
    plan = _plan(topology, jobs)
    real = np.flatnonzero(plan.src >= 0)
    paths = route(topology, plan.src[real], plan.dst[real], routing, seed)
    counts = np.zeros(len(plan.src), dtype=np.int64)
    counts[real] = np.diff(paths.start)
    latency = np.zeros(len(plan.src))
    latency[real] = (paths.latency_s + plan.step_s[real]) * plan.repeats[real]
    whole = Incidence(
        start=np.concatenate(([0], np.cumsum(counts))),
        link=paths.link,
        share_frac=paths.share_frac,
        latency_s=latency,
        links_count=paths.links_count,
    )
    transfers = Transfers(size_bytes=plan.size_bytes, start_s=plan.start_s, after=plan.after)
    found = simulate(whole, topology.links.bytes_per_s, transfers, batch_frac=batch_frac, engine=engine)
    return [float(found.finish_s[last]) for last in plan.last], found


def _plan(topology: Topology, jobs: Sequence[Job]) -> _Plan:
    """Return all jobs as one set of flows."""
    columns: list[tuple[IntArray, IntArray, FloatArray, float, float, float]] = []
    after: list[IntArray] = []
    last: list[int] = []
    count = 0
    for job in jobs:
        barrier = -1
        for step in job.steps:
            src, dst = _nodes(topology, job, step.src), _nodes(topology, job, step.dst)
            moving = np.flatnonzero(src != dst)  # equal switches may have become one
            flows = np.arange(count, count + len(moving))
            start = job.start_s + job.base_s
            columns.append(
                (
                    src[moving],
                    dst[moving],
                    step.size_bytes[moving] * step.repeat_count,
                    step.repeat_count,
                    job.step_s,
                    start,
                )
            )
            if barrier >= 0:
                after.append(np.stack((flows, np.full(len(flows), barrier)), axis=1))
            barrier = count + len(moving)
            nowhere = np.array([-1])
            columns.append((nowhere, nowhere, np.zeros(1), 1.0, 0.0, start))
            after.append(np.stack((np.full(len(flows), barrier), flows), axis=1))
            count = barrier + 1
        if barrier < 0:
            raise ScenarioError("a job without steps", where=job.name, hint="a collective of one rank sends nothing")
        last.append(barrier)
    lengths = [len(column[0]) for column in columns]
    return _Plan(
        src=np.concatenate([column[0] for column in columns]),
        dst=np.concatenate([column[1] for column in columns]),
        size_bytes=np.concatenate([column[2] for column in columns]),
        repeats=np.repeat([float(column[3]) for column in columns], lengths),
        step_s=np.repeat([column[4] for column in columns], lengths),
        start_s=np.repeat([column[5] for column in columns], lengths),
        after=np.concatenate(after),
        last=tuple(last),
    )


def _nodes(topology: Topology, job: Job, member: IntArray) -> IntArray:
    """Return the nodes of members; an index past the last member is the switch that all of them share."""
    size = len(job.members)
    if member.max(initial=0) < size:
        return job.members[member]
    return np.append(job.members, common_switch(topology, job.members))[np.minimum(member, size)]


def common_switch(topology: Topology, members: IntArray) -> int:
    """Return a switch that every member reaches by one link; raise ScenarioError where there is none."""
    links, nodes = topology.links, topology.nodes
    wanted = np.zeros(topology.nodes_count, dtype=bool)
    wanted[members] = True
    into = wanted[links.src] & (nodes.kind[links.dst] == SWITCH)
    pairs = np.unique(np.stack((links.dst[into], links.src[into])), axis=1)
    near = np.bincount(pairs[0], minlength=topology.nodes_count)
    found = np.flatnonzero(near == len(members))
    if not len(found):
        tier = topology.kinds[int(common_tier(topology, members[:1], members[-1:])[0])].tier
        raise ScenarioError(
            "no switch is next to all members",
            where=f"tier {tier}",
            hint="reduction in the network is simulated inside one tier of switches",
        )
    return int(found[0])
