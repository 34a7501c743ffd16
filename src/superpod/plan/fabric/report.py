"""A question about a fabric to its report: composition only; the numbers come from `fabric` and the catalogue."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from superpod.catalog.load import Catalogue
from superpod.catalog.provenance import FactReader, UsedFact
from superpod.catalog.schema import Cable, Pod
from superpod.errors import MissingFactError, ScenarioError, UnreachableError
from superpod.fabric.collectives.choice import Way
from superpod.fabric.faults import Damage, fail
from superpod.fabric.inventory import Inventory, TierParts, deeper, inventory
from superpod.fabric.symmetric import usual_routing
from superpod.fabric.tiers import SWITCHED, Fabric, FabricTier, build, ranks_per_chip, scale_out_tier, side_tiers
from superpod.fabric.topology import IntArray, Topology
from superpod.fabric.transfer import LEVELS, Flows, Outcome
from superpod.plan.fabric.graph_parts import diameter, graph_parts, read_graph
from superpod.plan.fabric.question import FabricQuestion, MatrixFile
from superpod.plan.fabric.result import (
    CollectiveAnswer,
    FabricReport,
    FaultAnswer,
    Timing,
    TrafficAnswer,
    UseMap,
)
from superpod.plan.fabric.run import (
    PORTS,
    REACHED,
    Ground,
    at_efficiency,
    by_classes,
    chosen,
    closed_form,
    drawn,
    exchange,
    members,
    outcome_limits,
    outcome_map,
    planned,
    simulated,
    transfer_on,
)
from superpod.plan.fabric.run import together as jobs_together
from superpod.plan.fabric.traffic_matrix import Traffic, aggregated, read_traffic
from superpod.plan.grounds import package_version

MATRIX_MOST = 128
DIFFERENT = 1.25
"""L0 and L2 further apart than this are remarked on."""
Found = TypeVar("Found")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Subject:
    """What a question is about, resolved: names, tiers, the drawing, the parts, and the facts read on the way."""

    name: str
    label: str
    state: str
    pods_count: float
    fabric: Fabric | None
    topology: Topology | None
    inventory: Inventory | None
    parts: tuple[TierParts, ...]
    facts: tuple[UsedFact, ...]
    notes: tuple[str, ...]


def fabric_report(catalogue: Catalogue, question: FabricQuestion) -> FabricReport:
    """Answer a question about a fabric.

    Raises UnknownNameError, MissingFactError, or ScenarioError for a question that contradicts itself; a transfer that
    faults have cut off is a finding of the report instead.
    """
    if question.level not in LEVELS:
        raise ScenarioError(f"unknown level {question.level!r}", where="--level", hint=f"one of {', '.join(LEVELS)}")
    subject = _subject(catalogue, question)
    question = replace(question, routing=_routing(question, subject))
    ground = Ground(fabric=subject.fabric, topology=subject.topology, question=question)
    count = len(subject.topology.ranks) if subject.topology is not None else 0
    count = count or round(subject.fabric.ranks_count if subject.fabric is not None else 0)
    ranks = _members(question, count)
    damage, broken = _broken(ground)
    maps: list[UseMap] = []
    notes = list(subject.notes)
    before, shown = exchange(ground, ranks, question.message_bytes, f"uniform all-to-all, {PORTS}")
    collective = _collective(ground, broken, ranks, damage, maps, notes)
    faults = _faults(ground, broken, ranks, damage, maps, notes)
    traffic = _traffic(ground, broken, question.traffic, count, maps, notes)
    jobs, together = jobs_together(broken or ground, question.jobs) if question.jobs else ((), None)
    maps += [] if together is None else [together]
    maps += [shown] if shown is not None and not maps else []
    facts = subject.facts
    return FabricReport(
        question=_sentence(question, subject),
        name=subject.name,
        subject=subject.label,
        routing=question.routing,
        state=subject.state,
        pods_count=subject.pods_count,
        ranks_count=count,
        inventory=subject.inventory,
        parts=subject.parts,
        diameter_count=_diameter(subject, question),
        exchange=before,
        collective=collective,
        faults=faults,
        traffic=traffic,
        jobs=jobs,
        maps=tuple(maps),
        facts=facts,
        notes=tuple(notes),
        catalogue_hash=_hash(facts),
        version=package_version(),
    )


def _routing(question: FabricQuestion, subject: _Subject) -> str:
    """Return the routing asked for; `auto` is what fabrics of its structures do, or all shortest paths of a graph."""
    if question.routing != "auto":
        return question.routing
    return usual_routing(subject.fabric) if subject.fabric is not None else "spray"


def topology_of(catalogue: Catalogue, question: FabricQuestion) -> tuple[Topology, int]:
    """Return the drawing of a question's fabric, and the tier that is one node: the innermost of several chips."""
    subject = _subject(catalogue, question)
    if subject.topology is None:
        raise ScenarioError("too many ranks to be drawn link by link", where=subject.label, hint="fewer --pods")
    topology = subject.topology
    if question.faults:
        topology = fail(topology, question.faults, question.seed).topology
    per_chip = subject.fabric.ranks_per_chip if subject.fabric is not None else 1.0
    sizes = [kind.ranks_count for kind in topology.kinds]
    tier = next((place for place, size in enumerate(sizes) if size > per_chip), 0)
    return topology, tier


def _subject(catalogue: Catalogue, question: FabricQuestion) -> _Subject:
    if question.graph is None:
        return _pod(catalogue, question)
    topology = read_graph(question.graph)
    if question.pod:
        pod = _pod(catalogue, question)
        _matching(topology, pod, question.graph.name)
        return replace(
            pod,
            topology=topology,
            inventory=None,
            parts=graph_parts(topology, _cables(catalogue)),
            notes=(*pod.notes, f"links are those of {question.graph.name}; efficiencies are those of {pod.name}"),
        )
    return _Subject(
        name=topology.name,
        label=question.graph.name,
        state="",
        pods_count=1.0,
        fabric=None,
        topology=topology,
        inventory=None,
        parts=graph_parts(topology, _cables(catalogue)),
        facts=(),
        notes=("a graph says nothing of libraries: times are those of the wires, at the rates that it gives",),
    )


def _matching(topology: Topology, pod: _Subject, name: str) -> None:
    """Raise where a graph is not one of the pod: efficiencies are looked up by tier, members by place."""
    ranks = round(pod.fabric.ranks_count) if pod.fabric is not None else 0
    if len(topology.ranks) != ranks:
        raise ScenarioError(
            f"{name} has {len(topology.ranks)} ranks, {pod.name} has {ranks}",
            where="--graph",
            hint="leave POD out for a graph of something else",
        )
    tiers = [tier.name for tier in pod.fabric.tiers] if pod.fabric is not None else []
    unknown = [kind.tier for kind in topology.kinds if kind.tier not in tiers]
    if unknown:
        raise ScenarioError(
            f"{name} has links of tier {unknown[0]!r}",
            where="--graph",
            hint=f"the tiers of {pod.name} are {', '.join(tiers)}",
        )


def _pod(catalogue: Catalogue, question: FabricQuestion) -> _Subject:
    """Return a pod's fabric with its parts; networks whose numbers nobody has published are left out with a note."""
    if not question.pod:
        raise ScenarioError("nothing to look at", where="fabric", hint="name a POD, or give --graph FILE")
    pod = catalogue.pod(question.pod)
    chip = catalogue.chip(pod.chip)
    reader, chip_reader = FactReader(kind="pods", entry=pod), FactReader(kind="chips", entry=chip)
    per_chip = ranks_per_chip(chip_reader, chip.dies_count, pod)
    pods_count = float(question.pods) if question.pods is not None else pod.pods_count
    fabric = build(catalogue, reader, pod, pods_count, per_chip)
    notes = list(_pod_notes(pod, fabric))
    outside = None if pods_count > 1 else _or_note(notes, lambda: scale_out_tier(catalogue, reader, pod, 1.0, per_chip))
    beside = _or_note(notes, lambda: side_tiers(catalogue, reader, pod, pods_count)) or ()
    cables = _cables(catalogue)
    made = inventory(fabric, cables, beside, outside)
    topology = drawn(fabric, pod.name) if question.graph is None else None
    return _Subject(
        name=pod.name,
        label=f"{pod.id}@{pod.version}",
        state=pod.state,
        pods_count=pods_count,
        fabric=fabric,
        topology=topology,
        inventory=made,
        parts=made.tiers,
        facts=(*chip_reader.cited(), *reader.cited(), *_measured(fabric, made, cables)),
        notes=tuple(notes),
    )


def _or_note(notes: list[str], read: Callable[[], Found]) -> Found | None:
    """Return what is read, or note the number that nobody has published."""
    try:
        return read()
    except MissingFactError as error:
        notes.append(f"not counted: {error.where} has not been published")
        return None


def _pod_notes(pod: Pod, fabric: Fabric) -> list[str]:
    said: list[str] = []
    if pod.state in {"roadmap", "announced", "cancelled"}:
        said.append(f"{pod.name} is {pod.state}: its numbers are the vendor's word")
    ideal = [tier.name for tier in fabric.tiers if tier.structure in SWITCHED and not _known(tier)]
    if ideal:
        said.append(f"switch chips of {', '.join(ideal)} are not published, drawn as one ideal switch")
    said += [
        f"leaves of {tier.name} are more than a spine has ports: a third level, which is not counted"
        for place, tier in enumerate(fabric.tiers)
        if deeper(fabric, place)
    ]
    links = {tier.link.id: tier.link for tier in fabric.tiers}.values()
    said += [
        f"link efficiencies of {link.name} are borrowed from {link.borrowed_from}"
        for link in links
        if link.borrowed_from
    ]
    return said


def _known(tier: FabricTier) -> bool:
    """Return whether the switch chips of a tier are published."""
    several = (tier.wiring.levels_count or 1) > 1
    return (tier.wiring.switch_ports_count if several else tier.wiring.switches_count) is not None


def _cables(catalogue: Catalogue) -> Mapping[str, Cable]:
    return {name: catalogue.cable(name) for name in catalogue.names("cables")}


def _measured(fabric: Fabric, made: Inventory, cables: Mapping[str, Cable]) -> tuple[UsedFact, ...]:
    """Return the facts of link families and of cables in use."""
    links = {tier.link.id: tier.link for tier in fabric.tiers}.values()
    readers = [FactReader(kind="links", entry=link) for link in links]
    media = dict.fromkeys(part.medium for part in made.tiers if part.medium in cables)
    readers += [FactReader(kind="cables", entry=cables[medium]) for medium in media]
    return tuple(
        UsedFact(where=f"{reader.kind}/{reader.entry.id}:{path}", fact=fact)
        for reader in readers
        for path, fact in reader.entry.facts.items()
    )


def _members(question: FabricQuestion, count: int) -> IntArray:
    asked = question.ranks if question.ranks is not None else max(count // max(question.stride, 1), 1)
    return members(0, asked, question.stride, count, "--ranks")


def _broken(ground: Ground) -> tuple[Damage | None, Ground | None]:
    """Return the damage that the faults do, and the ground after it."""
    question = ground.question
    if not question.faults:
        return None, None
    if ground.topology is None:
        raise ScenarioError(
            "too many ranks to be drawn link by link, so nothing of them can fail",
            where="--fail",
            hint="fewer --pods",
        )
    damage = fail(ground.topology, question.faults, question.seed)
    return damage, replace(ground, topology=damage.topology, damaged=True)


def _alive(ground: Ground, ranks: IntArray, damage: Damage) -> IntArray:
    """Return the members that are not cut off, as places among the ranks."""
    if ground.topology is None:
        return ranks
    return ranks[~np.isin(ground.topology.ranks[ranks], damage.isolated)]


def _collective(
    ground: Ground,
    broken: Ground | None,
    ranks: IntArray,
    damage: Damage | None,
    maps: list[UseMap],
    notes: list[str],
) -> CollectiveAnswer | None:
    """Return the collective at every level that was asked for and can be had, before and after the faults."""
    question = ground.question
    kind, size = question.collective, question.message_bytes
    if not kind:
        return None
    choice = chosen(ground, kind, ranks, question.stride, size)
    ways = choice.ways if choice is not None else ()
    before: list[Timing] = []
    if choice is not None and question.level in {"auto", "L0"}:
        before.append(closed_form(ground, choice, ranks, question.stride))
    if choice is not None and question.level in {"auto", "L1"}:
        classes = by_classes(ground, choice, ranks)
        before += [] if classes is None else [classes]
    if question.level == "L1" and not before:
        raise ScenarioError(
            "only an all-to-all of all ranks of an intact pod has classes of equal flows",
            where="--level L1",
            hint="use L2",
        )
    after: list[Timing] = []
    if question.level in {"auto", "L2"} or choice is None:
        plan, said = planned(ground, kind, ranks, ways, size)
        if plan is None and question.level == "L2":
            raise ScenarioError(said, where="--level L2", hint="fewer ranks, or level L0")
        notes += [said] if said else []
        if plan is not None:
            timing, shown, bound = simulated(ground, plan, f"{kind}, {REACHED}")
            before += [_bound(timing, bound)] if choice is None else []
            before.append(timing)
            maps.append(shown)
    notes += _differing(before)
    if broken is not None and not any(timing.level == "L2" for timing in before):
        notes.append(f"{kind} after the faults needs L2, and there is none before them")
    elif broken is not None and damage is not None:
        after = _after(broken, _alive(ground, ranks, damage), ways, maps, notes)
    return CollectiveAnswer(
        kind=kind,
        message_bytes=size,
        ranks_count=len(ranks),
        stride=question.stride,
        ways=ways,
        reason=choice.reason if choice is not None else "",
        before=tuple(before),
        after=tuple(after),
    )


def _differing(before: list[Timing]) -> list[str]:
    """Return what there is to say where the same way takes much longer, or less, flow by flow than in closed form."""
    by_level = {timing.level: timing for timing in before}
    closed, flows = by_level.get("L0"), by_level.get("L2")
    if closed is None or flows is None or closed.way != flows.way or not closed.time_s:
        return []
    ratio = flows.time_s / closed.time_s
    if 1 / DIFFERENT <= ratio <= DIFFERENT:
        return []
    return [
        f"L2 takes {ratio:.2f} times L0: the closed form prices the slowest pair or ring by itself, L2 all members at "
        "once on the links as drawn"
    ]


def _bound(timing: Timing, bound_s: float) -> Timing:
    """Return the volume bound of the same steps as L0."""
    return replace(timing, level="L0", time_s=bound_s, wire_s=bound_s, bus_bytes_per_s=None, batch_frac=0.0, limits=())


def _after(
    broken: Ground, alive: IntArray, ways: tuple[Way, ...], maps: list[UseMap], notes: list[str]
) -> list[Timing]:
    """Return the collective of the members that are left, at L2; what cannot run becomes a note."""
    question = broken.question
    if len(alive) < 2:
        return []
    try:
        plan, said = planned(broken, question.collective, alive, ways, question.message_bytes)
        notes += [f"after the faults: {said}"] if said and f"after the faults: {said}" not in notes else []
        if plan is None:
            return []
        timing, shown, _ = simulated(broken, plan, f"{question.collective} after the faults, {REACHED}")
    except UnreachableError as error:
        notes.append(f"after the faults {question.collective} does not run: {error.message}")
        return []
    maps.append(shown)
    return [timing]


def _faults(
    ground: Ground,
    broken: Ground | None,
    ranks: IntArray,
    damage: Damage | None,
    maps: list[UseMap],
    notes: list[str],
) -> FaultAnswer | None:
    """Return what the faults take away, and the exchange of the members that are left."""
    if broken is None or damage is None or ground.topology is None:
        return None
    alive = _alive(ground, ranks, damage)
    findings: list[str] = []
    lost = len(ranks) - len(alive)
    if lost:
        findings.append(f"{lost} of {len(ranks)} members are cut off and left out")
    if len(alive) < 2:
        findings.append("fewer than two members are left: nothing runs any more")
    timing: Timing | None = None
    try:
        timing, shown = exchange(
            broken, alive, ground.question.message_bytes, f"uniform all-to-all after the faults, {PORTS}"
        )
        maps += [shown] if shown is not None and not maps else []
    except UnreachableError as error:
        findings.append(f"the rest cannot reach all of itself: {error.message}")
    if timing is None and len(alive) > 1 and not findings:
        notes.append("too many pairs for an all-to-all after the faults; --ranks N narrows it")
    place = {int(node): number for number, node in enumerate(ground.topology.ranks)}
    return FaultAnswer(
        faults=ground.question.faults,
        links_count=len(ground.topology.links),
        links_lost_count=damage.links_lost_count,
        isolated=tuple(place[int(node)] for node in damage.isolated),
        exchange_after=timing,
        findings=tuple(findings),
    )


def _traffic(
    ground: Ground,
    broken: Ground | None,
    file: MatrixFile | None,
    count: int,
    maps: list[UseMap],
    notes: list[str],
) -> TrafficAnswer | None:
    """Return a traffic matrix at the transport's efficiency, before and after the faults."""
    if file is None:
        return None
    flows = read_traffic(file.content, file.name, count)
    if ground.topology is None:
        raise ScenarioError("too many ranks to be drawn link by link", where="--traffic", hint="fewer --pods")
    before, shown = _moved(ground, flows, f"traffic, {REACHED}")
    maps.append(shown)
    after: Timing | None = None
    if broken is not None:
        try:
            after, shown = _moved(broken, flows, f"traffic after the faults, {REACHED}")
            maps.append(shown)
        except UnreachableError as error:
            notes.append(f"after the faults the traffic does not arrive: {error.message}")
    matrix = aggregated(flows, count, MATRIX_MOST)
    return TrafficAnswer(
        name=file.name,
        flows_count=len(flows.src),
        size_bytes=float(flows.size_bytes.sum()),
        before=before,
        after=after,
        matrix_bytes=tuple(tuple(row) for row in matrix.tolist()),
    )


def _moved(ground: Ground, traffic: Traffic, title: str) -> tuple[Timing, UseMap]:
    """Return one run of a traffic matrix; beside it the volume bound at port rates."""
    if ground.topology is None:
        raise ScenarioError("too many ranks to be drawn link by link", where="--traffic", hint="fewer --pods")
    nodes = ground.topology.ranks
    flows = Flows(
        src=nodes[traffic.src], dst=nodes[traffic.dst], size_bytes=traffic.size_bytes, start_s=traffic.start_s
    )
    slower = at_efficiency(ground)
    found: Outcome = transfer_on(slower, flows, ground.question.level)
    wires = transfer_on(ground, flows, "L0")
    timing = Timing(
        level=found.level,
        way="as given",
        ranks_count=len(np.union1d(traffic.src, traffic.dst)),
        time_s=found.time_s,
        wire_s=wires.time_s,
        bus_bytes_per_s=None,
        batch_frac=found.batch_frac,
        limits=outcome_limits(slower, found),
        caution=found.caution,
    )
    return timing, outcome_map(slower, found, title)


def _diameter(subject: _Subject, question: FabricQuestion) -> float | None:
    if question.graph is not None and subject.topology is not None:
        return diameter(subject.topology)
    return subject.inventory.diameter_count if subject.inventory is not None else None


def _sentence(question: FabricQuestion, subject: _Subject) -> str:
    asked = [f"a {question.collective}"] if question.collective else []
    asked += [f"the traffic of {question.traffic.name}"] if question.traffic is not None else []
    asked += [f"{len(question.jobs)} jobs at once"] if question.jobs else []
    after = f" after {', '.join(question.faults)}" if question.faults else ""
    if not asked:
        return f"what {subject.name} is made of, and how far its cards are apart{after}"
    return f"what {subject.name} is made of, and how long {' and '.join(asked)} takes{after}"


def _hash(facts: tuple[UsedFact, ...]) -> str:
    """Return a short content hash of every fact in use, as reports of training and serving carry it."""
    lines = sorted(f"{used.where}={used.fact.value!r}" for used in facts)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:12]
