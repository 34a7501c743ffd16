"""A machine as failures see it: its parts, rates and checkpoint read from the catalogue, and a job priced on it."""

from dataclasses import dataclass, fields, replace

import numpy as np

from superpod.catalog.load import Catalogue
from superpod.catalog.model_spec import ModelSpec
from superpod.catalog.provenance import FactReader, UsedFact
from superpod.catalog.schema import Pod
from superpod.errors import ScenarioError
from superpod.fabric.inventory import Inventory, inventory
from superpod.fabric.tiers import Fabric, build, ranks_per_chip
from superpod.plan.machine import model_fact, read_model
from superpod.plan.spread import Moved
from superpod.reliability import domains as failing
from superpod.reliability.checkpoint import Checkpoint, checkpoint_bytes, written_s
from superpod.reliability.domains import FailureDomain, Site
from superpod.reliability.goodput import Goodput, Job, goodput
from superpod.reliability.montecarlo import Setting
from superpod.reliability.rates import Rates, read_rates
from superpod.reliability.spares import Group, Usable, usable
from superpod.result import Num
from superpod.units import DAY_S
from superpod.workload.parameters import count_parameters

UNIT_CARDS = (4, 16)  # what a tier has that is one server
GROUP_CARDS = 32  # tensor and expert groups of the InfiniteHBD study (arXiv 2502.03885)
ANY_MACHINE = ("none", "in-pod", "warm", "shrink")
"""Policies that need no hardware of their own: `auto` takes the best of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GoodputQuestion:
    """What is asked of a machine's failures.

    `spares` is a row of `reliability.spares.POLICIES`, or `auto`. A job consists of groups of `group_cards_count`
    cards; 0 takes 32, or the pod where it is smaller. `step_s` and `exposed_frac` are those of a training step, where
    it is known. `synchronous` checkpoints stop training until they are stored; `storage_bytes_per_s` is what the
    site's storage writes, 0 that of the failure book. `standby_nodes_count` servers stand by under `warm` (on more
    cards, proportionally more); None: the best number. `maintenance_frac` of the time the site stands for planned
    work. No `histories_count`: nothing is drawn.
    """

    model: str = ""
    spares: str = "auto"
    group_cards_count: int = 0
    instance_cards_count: int = 0
    node_cards_count: int = 0
    step_s: float = 0.0
    exposed_frac: float | None = None
    interval_s: float = 0.0
    synchronous: bool = False
    storage_bytes_per_s: float = 0.0
    standby_nodes_count: int | None = None
    maintenance_frac: float = 0.0
    book: str = "fleet"
    histories_count: int = 0
    length_s: float = 90.0 * DAY_S
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A machine as failures see it, with the facts read on the way."""

    pod: Pod
    spec: ModelSpec | None
    fabric: Fabric
    parts: Inventory
    site: Site
    rates: Rates
    storage_way_bytes_per_s: float
    copy_bytes_per_s: float | None
    pods_count: float
    facts: tuple[UsedFact, ...]


def machine_of(
    catalogue: Catalogue, pod: str, question: GoodputQuestion, *, pods: int | None = None, cards: int | None = None
) -> Subject:
    """Return a pod, several, or some of its cards as failures see them."""
    entry = catalogue.pod(pod)
    chip = catalogue.chip(entry.chip)
    reader, chip_reader = FactReader(kind="pods", entry=entry), FactReader(kind="chips", entry=chip)
    chips = reader.number("chips_count", entry.chips_count)
    if pods is not None and cards is not None:
        raise ScenarioError("both --pods and --cards are given", where=f"pods/{entry.id}", hint="give one of them")
    used = float(cards) if cards is not None else (float(pods) if pods is not None else entry.pods_count) * chips
    pods_count = float(np.ceil(used / chips))
    per_chip = ranks_per_chip(chip_reader, chip.dies_count, entry)
    fabric = build(catalogue, reader, entry, pods_count, per_chip)
    spec = read_model(catalogue, question.model) if question.model else None
    facts = (*reader.cited(), *chip_reader.cited())
    return subject_of(catalogue, (entry, fabric), spec, used, question, facts)


def subject_of(
    catalogue: Catalogue,
    machine: tuple[Pod, Fabric],
    spec: ModelSpec | None,
    cards: float,
    question: GoodputQuestion,
    facts: tuple[UsedFact, ...],
) -> Subject:
    """Return a machine's failures in bare numbers."""
    pod, fabric = machine
    book = catalogue.failures(question.book)
    reader, cable = FactReader(kind="failures", entry=book), catalogue.cable("optical")
    cable_reader, pod_reader = FactReader(kind="cables", entry=cable), FactReader(kind="pods", entry=pod)
    cables = {name: catalogue.cable(name) for name in catalogue.names("cables")}
    parts = inventory(fabric, cables)
    optical = any(tier.medium == "optical" and not tier.scale_out for tier in fabric.tiers)
    failing_link = cable_reader.number("failure_per_s", cable.failure_per_s) if optical else 0.0
    rates = read_rates(reader, book, failing_link)
    if question.exposed_frac is not None:
        rates = replace(rates, exposed_frac=question.exposed_frac)
    rates = replace(rates, maintenance_frac=question.maintenance_frac)
    server = question.node_cards_count or server_cards(pod, pod_reader, float(rates.node_chips_count))
    whole = Site(
        cards_count=fabric.ranks_count / fabric.ranks_per_chip,
        pod_cards_count=pod.chips_count,
        node_cards_count=min(server, pod.chips_count),
        cabinet_cards_count=cabinet_cards(catalogue, pod, pod_reader, server),
        links=failing.links_of(fabric, parts),
    )
    own = pod.scale_out.bandwidth_bytes_per_s if pod.scale_out is not None else None
    way = pod_reader.number("scale_out.bandwidth_bytes_per_s", own) if own is not None else np.inf
    copy = copy_bytes_per_s(pod, pod_reader)
    said = (*facts, *reader.cited(), *cable_reader.cited(), *pod_reader.cited())
    if spec is not None:
        said = (*said, model_fact(spec))
    return Subject(
        pod=pod,
        spec=spec,
        fabric=fabric,
        parts=parts,
        site=failing.sized(whole, cards),
        rates=rates,
        storage_way_bytes_per_s=way,
        copy_bytes_per_s=copy,
        pods_count=fabric.pods_count,
        facts=tuple({used.where: used for used in said}.values()),
    )


def copy_bytes_per_s(pod: Pod, reader: FactReader) -> float | None:
    """Return what a card copies to host memory: over a link of its own, or its share of the CPUs' way into the fabric.

    None where neither is published.
    """
    host = pod.host
    if host.link_bytes_per_s is not None:
        return reader.number("host.link_bytes_per_s", host.link_bytes_per_s)
    if host.bandwidth_bytes_per_s is None or host.cpus_count is None:
        return None
    each = reader.number("host.bandwidth_bytes_per_s", host.bandwidth_bytes_per_s)
    return each * reader.number("host.cpus_count", host.cpus_count) / pod.chips_count


def server_cards(pod: Pod, reader: FactReader, usual: float) -> float:
    """Return the cards of what is taken out at once: as catalogued, else the innermost tier of 4 to 16, else usual."""
    if pod.unit_chips_count is not None:
        return reader.number("unit_chips_count", pod.unit_chips_count)
    found = [tier.chips_count for tier in pod.tiers if UNIT_CARDS[0] <= tier.chips_count <= UNIT_CARDS[1]]
    return float(found[0]) if found else min(usual, pod.chips_count)


def cabinet_cards(catalogue: Catalogue, pod: Pod, reader: FactReader, server: float) -> float:
    """Return the cards of a cabinet: those of the pod over its cabinets; a server's where nobody counts cabinets.

    A cascade has the cabinets of its base.
    """
    if pod.power.cabinets_count is not None:
        return pod.chips_count / reader.number("power.cabinets_count", pod.power.cabinets_count)
    base = catalogue.pod(pod.base) if pod.base else None
    if base is not None and base.power.cabinets_count:
        return base.chips_count / base.power.cabinets_count
    return min(max(server, 1.0), pod.chips_count)


def moved(rates: Rates, changes: Moved, book: str) -> Rates:
    """Return rates with some facts moved, by place."""
    names = {item.name for item in fields(Rates)}
    found: dict[str, Num] = {}
    for where, value in changes.items():
        entry, _, name = where.partition(":")
        if entry == f"failures/{book}" and name in names:
            found[name] = value
        elif where == "cables/optical:failure_per_s":
            found["link_failure_per_s"] = value
    return replace(rates, **found)


def checkpoint_of(subject: Subject, question: GoodputQuestion, rates: Rates, cards: Num) -> tuple[Checkpoint, str]:
    """Return the job's checkpoint, and how it comes about.

    Asynchronous: the stall is the copy of each card's share to host memory, and it counts once it is stored; the book's
    stall stands where the way to the host is not published. Synchronous: the stall is the writing. Both take
    `coordinate_s` beside moving bytes. Without a model the book's own times stand.
    """
    if subject.spec is None:
        stall = rates.stall_s if question.synchronous else rates.snapshot_s
        later = 0.0 if question.synchronous else rates.stall_s
        how = "assumed times of the failure book: --model NAME computes them"
        return Checkpoint(size_bytes=0.0, stall_s=stall, persist_s=later), how
    count = count_parameters(subject.spec)
    size = checkpoint_bytes(float(count.total + count.mtp), rates.parameter_bytes)
    storage = question.storage_bytes_per_s or rates.storage_card_bytes_per_s * cards
    written = written_s(size, storage, cards, subject.storage_way_bytes_per_s) + rates.coordinate_s
    if question.synchronous:
        return Checkpoint(size_bytes=size, stall_s=written, persist_s=0.0), "training stops until it is stored"
    if subject.copy_bytes_per_s is None:
        how = "the way to host memory is not published: the stall is assumed"
        return Checkpoint(size_bytes=size, stall_s=rates.snapshot_s, persist_s=written), how
    copied = size / (cards * subject.copy_bytes_per_s) + rates.coordinate_s
    how = "copied to host memory while training stops, then stored beside it"
    return Checkpoint(size_bytes=size, stall_s=copied, persist_s=written), how


@dataclass(frozen=True, slots=True, kw_only=True)
class Priced:
    """A job on a number of cards, with what it was made of."""

    goodput: Goodput
    found: tuple[FailureDomain, ...]
    usable: Usable
    checkpoint: Checkpoint
    group: Group
    stopping_per_s: Num
    how: str


def priced(subject: Subject, question: GoodputQuestion, rates: Rates, cards: float, policy: str) -> Priced:
    """Return goodput on `cards` cards under a policy; rates may be columns."""
    site = failing.sized(subject.site, cards)
    found = failing.domains(site, rates)
    server = min(site.node_cards_count, cards)
    pod_cards = min(site.pod_cards_count, cards)
    standby = question.standby_nodes_count
    group = Group(
        cards_count=cards,
        pod_cards_count=pod_cards,
        node_cards_count=server,
        group_cards_count=min(float(question.group_cards_count or GROUP_CARDS), pod_cards),
        down_frac=failing.down_frac(found, site),
        alone_frac=failing.alone_frac(found),
        standby_nodes_count=None if standby is None else standby * cards / subject.site.cards_count,
    )
    left = usable(policy, group, rates)
    checkpoint, how = checkpoint_of(subject, question, rates, cards)
    stops = failing.stopping_per_s(found)
    job = Job(
        cards_count=cards,
        nodes_count=site.nodes_count,
        stopping_per_s=stops,
        checkpoint=checkpoint,
        usable=left,
        slowed_frac=failing.slowed_frac(found, site, rates.exposed_frac),
        step_s=question.step_s,
        interval_s=question.interval_s,
    )
    return Priced(
        goodput=goodput(job, rates),
        found=found,
        usable=left,
        checkpoint=checkpoint,
        group=group,
        stopping_per_s=stops,
        how=how,
    )


def best_policy(subject: Subject, question: GoodputQuestion, cards: float) -> str:
    """Return the policy asked for, or the best of those that any machine can follow."""
    if question.spares != "auto":
        return question.spares

    def reached(name: str) -> float:
        return float(priced(subject, question, subject.rates, cards, name).goodput.goodput_frac)

    return max(ANY_MACHINE, key=reached)


def setting_of(subject: Subject, base: Priced, policy: str) -> Setting:
    """Return the job as histories play it, on the cards that the policy leaves."""
    rates = subject.rates
    stops = float(base.stopping_per_s)
    restart = rates.elastic_restart_s if base.usable.elastic else rates.restart_s
    return Setting(
        group=base.group,
        policy=policy,
        stopping_per_s=stops * float(base.usable.running_frac) or stops,
        repaired_frac=float(failing.repaired_frac(base.found)),
        lost_s=float(rates.detect_s + restart + base.checkpoint.persist_s),
        interval_s=float(base.goodput.interval_s),
        stall_s=float(base.checkpoint.stall_s),
        spares_count=float(base.usable.spares_count) / base.group.node_cards_count,
        rates=rates,
    )
