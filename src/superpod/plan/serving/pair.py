"""Prompts read on one machine and decoded on another: both searched, and the network that caches travel on between.

A scale-up fabric joins the cards of one pod, so caches leave the one machine and enter the other over their scale-out
networks; the slower of the two sets the pace.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from superpod.catalog.load import Catalogue
from superpod.catalog.provenance import FactReader
from superpod.errors import ScenarioError
from superpod.fabric.collectives import collective_time
from superpod.fabric.tiers import Fabric, Group, build
from superpod.plan.band import shares
from superpod.plan.machine import Machine, machine
from superpod.plan.scenario import Scenario, Serving, Training
from superpod.plan.serving.search import (
    Deployment,
    ServeSearch,
    best_by_size,
    check_fixed,
    check_imbalance,
    decode_columns,
    instance_ranks,
    prefill_columns,
    requests_of,
    result,
    room,
)
from superpod.result import Flag, Num, Term, at_row
from superpod.serve.batching import slots
from superpod.serve.steady import Decode, Prefill, Requests, decode, prefill
from superpod.workload.build import kv_cache_bytes
from superpod.workload.phase import Partition

LARGE_BYTES = float(2**30)
"""A message by which the rate of a link is told."""
WHOLE = 1e-9
"""What a share of an instance may lack of a whole one and still be one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One of the two machines, and its fabric as it is when other pods hang on its scale-out network."""

    machine: Machine
    outward: Fabric

    @property
    def network(self) -> str:
        """The name of the network that leads out."""
        return f"{self.outward.tiers[-1].name} of {self.machine.pod.name}"

    @property
    def rank_bytes_per_s(self) -> float:
        """What one rank sends to, or takes from, a rank of another pod: the rate of a large message."""
        return LARGE_BYTES / max(self._alone_s(LARGE_BYTES) - self.start_s, 1e-12)

    @property
    def start_s(self) -> float:
        """What a message takes beside its bytes."""
        return self._alone_s(1.0)

    def free_frac(self, term: Term) -> float:
        """Return the share of a pass in which collectives leave the network free: all of it, on ports of its own."""
        network = self.machine.pod.scale_out
        shared = network is not None and network.shares_scale_up_ports
        return 1.0 - shares(term).links_frac if shared else 1.0

    def _alone_s(self, size_bytes: float) -> float:
        across = Group(size=2.0, stride=self.outward.ranks_per_pod)
        return float(collective_time("p2p", self.outward, across, size_bytes))


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A machine that decodes and one that reads prompts."""

    decode: Side
    prefill: Side

    def side(self, mode: str) -> Side:
        """Return the machine of a kind of pool."""
        return self.prefill if mode == "prefill" else self.decode


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """How caches travel from instances of one layout to instances of another.

    `send_s` is what one prefill pass, and `receive_s` what one cache, keeps the links of its ranks busy.
    `sent_per_s` and `taken_per_s` are the prompts a second that one instance can send and take.
    """

    start_s: float
    send_s: float
    receive_s: float
    sent_per_s: float
    taken_per_s: float

    @property
    def transfer_s(self) -> float:
        """What the transfer adds to the time to a first token: the slower of both ends."""
        return self.start_s + max(self.send_s, self.receive_s)


def pair(catalogue: Catalogue, scenario: Scenario) -> Pair:
    """Resolve both machines of a scenario.

    Raises:
        ScenarioError: no separate pools, caches of two formats, a pod that has no network to others.
        SuperpodError: as `machine`, for either.
    """
    work = scenario.work
    if isinstance(work, Training) or work.mode not in {"auto", "disaggregated"}:
        raise ScenarioError(
            "two machines have one pool each: one reads prompts, the other decodes",
            where="--prefill-pod",
            hint="--mode disaggregated",
        )
    reading = replace(scenario, pod=scenario.prefill_pod, cards=scenario.prefill_cards, pods=None)
    made = Pair(
        decode=outward(catalogue, machine(catalogue, scenario)),
        prefill=outward(catalogue, machine(catalogue, reading)),
    )
    sizes = [side.machine.precision.kv_bytes for side in (made.prefill, made.decode)]
    if sizes[0] != sizes[1]:
        raise ScenarioError(
            f"{made.prefill.machine.pod.name} writes caches of {sizes[0]:g} bytes an element, "
            f"{made.decode.machine.pod.name} reads {sizes[1]:g}",
            where="--prefill-pod",
            hint="one format for both: --kv bf16 or --kv fp8",
        )
    return made


def outward(catalogue: Catalogue, made: Machine) -> Side:
    """Return a machine with the fabric that leads out of it, and the facts of its network among its own.

    Raises:
        ScenarioError: a pod without a scale-out network.
        MissingFactError: a network whose rate or latency nobody has published.
    """
    if made.pods_count > 1:
        return Side(machine=made, outward=made.fabric)
    if made.pod.scale_out is None:
        raise ScenarioError(
            f"{made.pod.name} has no scale-out network in the catalogue, over which caches could travel",
            where=f"pods/{made.pod.id}",
            hint="another pod, or a [scale_out] of yours in a catalogue folder (--catalog DIR)",
        )
    reader = FactReader(kind="pods", entry=made.pod)
    fabric = build(catalogue, reader, made.pod, 2.0, made.fabric.ranks_per_chip)
    known = {used.where for used in made.facts}
    facts = (*made.facts, *(used for used in reader.cited() if used.where not in known))
    return Side(machine=replace(made, facts=facts), outward=replace(fabric, ideal=made.fabric.ideal))


def search_pair(made: Pair, work: Serving, fixed: Mapping[str, float | str]) -> ServeSearch:
    """Search the layouts of both machines and how many instances of each: the most tokens, then the fewest cards."""
    check_fixed(fixed)
    check_imbalance(made.decode.machine, work)
    requests = requests_of(work)
    columns = columns_of(made, work, fixed)
    found = sorted(
        apart(made, work, requests, columns), key=lambda item: (-round(item.tokens_per_s, 6), cards(made, item))
    )
    decoding, fits = columns.decode, np.asarray(columns.fits)
    return result(found, decoding, fits, np.asarray(decoding.tpot_s <= work.tpot_s))


@dataclass(frozen=True, slots=True, kw_only=True)
class PairColumns:
    """Every instance that each machine can hold, priced; `fits`, `reads`: whether its memory holds what it must."""

    decode: Decode
    fits: Flag
    prefill: Prefill
    reads: Flag


def columns_of(made: Pair, work: Serving, fixed: Mapping[str, float | str]) -> PairColumns:
    """Price the instances of both machines."""
    requests = requests_of(work)
    ends = made.decode.machine, made.prefill.machine
    decoding = decode_columns(ends[0], ends[0].engine, requests, fixed, work)
    reading = prefill_columns(ends[1], ends[1].engine, requests, work)
    prompts = replace(requests, output_tokens=0.0)  # an instance that reads holds no output
    return PairColumns(
        decode=decoding,
        fits=np.asarray(decoding.sequences <= slots(ends[0].engine, decoding.layout, requests)),
        prefill=reading,
        reads=np.asarray(reading.sequences <= slots(ends[1].engine, reading.layout, prompts)),
    )


def apart(made: Pair, work: Serving, requests: Requests, columns: PairColumns) -> list[Deployment]:
    """Return for each pair of instance sizes the deployment of the best instances of both that are in time."""
    decoding, reading = columns.decode, columns.prefill
    quick = np.asarray(columns.fits & (decoding.tpot_s <= work.tpot_s))
    sent = sending_s(made.prefill, reading, requests)
    early = np.asarray(columns.reads & (reading.pass_s + made.prefill.start_s + sent <= work.ttft_s))
    found: list[Deployment] = []
    for row in best_by_size(decoding.layout, decoding.tokens_per_s_rank, quick):
        for other in best_by_size(reading.layout, reading.tokens_per_s_rank, early):
            item = balanced(made, requests, at_row(decoding, row), at_row(reading, other))
            if item is not None and item.ttft_s <= work.ttft_s:
                found.append(item)
    return found


def balanced(made: Pair, requests: Requests, one: Decode, two: Prefill) -> Deployment | None:
    """Return as many whole instances of each as the slower of pools and links keeps busy; None where none fits."""
    ranks = float(instance_ranks(one.layout)), float(instance_ranks(two.layout))
    machines = made.decode.machine, made.prefill.machine
    most = [room(item, size) // size for item, size in zip(machines, ranks, strict=True)]
    if min(most) < 1:
        return None
    way = passage(made, requests, one, two)
    tokens = requests.output_tokens
    decode_each = min(ranks[0] * float(one.tokens_per_s_rank), way.taken_per_s * tokens)
    read_each = min(ranks[1] * float(two.tokens_per_s_rank) / requests.prompt_tokens, way.sent_per_s) * tokens
    served = min(most[0] * decode_each, most[1] * read_each)
    counts = [np.ceil(served / each - WHOLE) for each in (decode_each, read_each)]
    cards_each = [
        count * size / item.fabric.ranks_per_chip for count, size, item in zip(counts, ranks, machines, strict=True)
    ]
    return Deployment(
        mode="disaggregated",
        decode=one,
        prefill=two,
        decode_instances=float(counts[0]),
        prefill_instances=float(counts[1]),
        prompt_frac=float(cards_each[1] / sum(cards_each)),
        tokens_per_s=float(served),
        ttft_s=float(two.pass_s) + way.transfer_s,
        tpot_s=float(one.tpot_s),
        transfer_s=way.transfer_s,
    )


def filled(made: Pair, found: Deployment, pools_cards: tuple[int, int] | None) -> Deployment | None:
    """Return a deployment with as many instances as the machines, or pools of so many cards, hold; None for none."""
    sides = (made.decode.machine, found.decode.layout), (made.prefill.machine, found.prefill.layout)
    counts = []
    for (item, layout), given in zip(sides, (pools_cards or (None, None))[::-1], strict=True):
        size = float(instance_ranks(layout))
        most = room(item, size) // size
        counts.append(most if given is None else min(most, given * item.fabric.ranks_per_chip // size))
    if min(counts) < 1:
        return None
    return replace(found, decode_instances=float(counts[0]), prefill_instances=float(counts[1]))


def passage(made: Pair, requests: Requests, one: Decode, two: Prefill) -> Passage:
    """Return how caches travel from prefill instances to decode instances.

    Each rank sends its own part of the caches of a pass, and each rank of the group that decodes takes its own part of
    one, at the rate of a large message over its network less the share in which collectives hold the same ports. All
    groups of an instance send, or take, at once.
    """
    parts = cache_part(made.prefill, two, requests), cache_part(made.decode, one, requests)
    rates = [
        side.rank_bytes_per_s * side.free_frac(term)
        for side, term in ((made.prefill, two.term), (made.decode, one.term))
    ]
    send, receive = (float(part) / rate for part, rate in zip(parts, rates, strict=True))
    return Passage(
        start_s=max(made.prefill.start_s, made.decode.start_s),
        send_s=send * float(two.sequences),
        receive_s=receive,
        sent_per_s=float(two.layout.data) / send,
        taken_per_s=float(one.layout.data) / receive,
    )


def cache_part(side: Side, phase: Decode | Prefill, requests: Requests) -> Num:
    """Return the part of a prompt's cache that lies on one rank, in bytes."""
    part, made, layout = Partition(tensor=phase.layout.tensor), side.machine, phase.layout
    return kv_cache_bytes(made.spec, requests.prompt_tokens / layout.context, part, made.precision) / layout.pipeline


def sending_s(side: Side, reading: Prefill, requests: Requests) -> Num:
    """Return the least time in which the caches of a pass leave their ranks, on links that carry nothing else."""
    return reading.sequences * cache_part(side, reading, requests) / side.rank_bytes_per_s


def cards(made: Pair, found: Deployment) -> float:
    """Return the cards that the instances of both machines use."""
    return sum(pool_cards(made, found))


def pool_cards(made: Pair, found: Deployment) -> tuple[float, float]:
    """Return the cards that decode and those that read prompts."""
    decode = found.decode_instances * float(instance_ranks(found.decode.layout))
    read = found.prefill_instances * float(instance_ranks(found.prefill.layout))
    return decode / made.decode.machine.fabric.ranks_per_chip, read / made.prefill.machine.fabric.ranks_per_chip


def repriced(made: Pair, work: Serving, found: Deployment) -> float:
    """Return what the same instances would serve on other machines."""
    requests = requests_of(work)
    ends = made.decode.machine.engine, made.prefill.machine.engine
    one = decode(ends[0], found.decode.layout, found.decode.sequences, requests)
    two = prefill(ends[1], found.prefill.layout, found.prefill.sequences, requests)
    return min(pool_rates(made, requests, replace(found, decode=one, prefill=two)).values())


def pool_rates(made: Pair, requests: Requests, found: Deployment) -> dict[str, float]:
    """Return the output tokens a second that each pool, and the network of each machine, could keep up."""
    way = passage(made, requests, found.decode, found.prefill)
    read = float(instance_ranks(found.prefill.layout)) * float(found.prefill.tokens_per_s_rank)
    per_prompt = requests.output_tokens / requests.prompt_tokens
    counts = found.decode_instances, found.prefill_instances
    return {
        "decode": counts[0] * float(instance_ranks(found.decode.layout)) * float(found.decode.tokens_per_s_rank),
        "prefill": counts[1] * read * per_prompt,
        "taken": counts[0] * way.taken_per_s * requests.output_tokens,
        "sent": counts[1] * way.sent_per_s * requests.output_tokens,
    }


def links_frac(made: Pair, requests: Requests, found: Deployment) -> tuple[float, float]:
    """Return the shares of what the networks of the decode and of the prefill machine could carry, in use."""
    rates = pool_rates(made, requests, found)
    return found.tokens_per_s / rates["taken"], found.tokens_per_s / rates["sent"]
