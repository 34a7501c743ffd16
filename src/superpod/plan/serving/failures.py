"""What fails during a run, by the names that the pod's description has for it, and what that does to instances."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import floor, inf

from superpod.catalog.schema import Pod
from superpod.errors import ScenarioError, did_you_mean
from superpod.fabric.planes import Planes, named_planes, without_planes
from superpod.plan.machine import Machine
from superpod.plan.operations import Failure
from superpod.plan.scenario import Serving
from superpod.plan.serving.search import Deployment, requests_of
from superpod.serve.simulation.fleet import Fleet, Link, Mishap
from superpod.serve.steady import decode, prefill

WHERE = "--fail"
SERVERS = ("tray", "node", "server", "blade", "board")
RACKS = ("rack", "cabinet")
SERVER_CARDS = (4, 16)
"""What a tier has that is one server."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """What a failure takes: cards from `first_count` to `last_count`, or plane `plane_count` of some tiers."""

    failure: Failure
    first_count: int = 0
    last_count: int = -1
    planes: Planes | None = None
    plane_count: int = -1

    @property
    def end_s(self) -> float:
        """When it is back."""
        return self.failure.at_s + self.failure.down_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Worn:
    """How much longer everything takes on a fabric with fewer planes.

    Passes, decode steps, the mean of both over the time of an instance that does both, and caches on their way.
    """

    read_factor: float = 1.0
    decode_factor: float = 1.0
    both_factor: float = 1.0
    links_factor: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Seat:
    """The ranks of an instance, which come one after the other: those of the first pool, then those of the second."""

    begin_count: float
    ranks_count: float
    pool: int


Pricing = Callable[[Mapping[str, int]], Worn]


def hits(machine: Machine, failures: Sequence[Failure]) -> tuple[Hit, ...]:
    """Return what failures take.

    Raises:
        ScenarioError: a card or a part that the machine has not, a name that its description has not.
    """
    found = []
    for failure in failures:
        kind, _, rest = failure.name.partition(":")
        if kind == "plane":
            found.append(plane_hit(machine, failure, rest))
            continue
        first, last = failure.first_count, failure.last_count
        if kind:
            size = part_cards(machine.pod, kind)
            first, last = numbered(failure, rest) * size, (numbered(failure, rest) + 1) * size - 1
            if first >= machine.cards_count:
                raise ScenarioError(
                    f"no {failure.name}: the machine has {-(-machine.cards_count // size):.0f} of {size}",
                    where=WHERE,
                    hint="they are numbered from 0",
                )
            last = min(last, round(machine.cards_count) - 1)
        elif not 0 <= first <= last < machine.cards_count:
            raise ScenarioError(
                f"cards {first} to {last}; the machine has {machine.cards_count:,.0f}",
                where=WHERE,
                hint="cards are numbered from 0, those of the first instance first",
            )
        found.append(Hit(failure=failure, first_count=first, last_count=last))
    return tuple(found)


def numbered(failure: Failure, text: str) -> int:
    """Return the number of a part; raise ScenarioError for anything else."""
    if not text.isdecimal():
        raise ScenarioError(f"cannot read {failure.name!r}", where=WHERE, hint="write a part and its number: tray:3")
    return int(text)


def plane_hit(machine: Machine, failure: Failure, text: str) -> Hit:
    """Return the planes that a failure is about, and which of them fails."""
    tier, _, number = text.rpartition(":")
    planes, count = named_planes(machine.fabric, tier, WHERE), numbered(failure, number)
    if count >= planes.planes_count:
        raise ScenarioError(
            f"no {failure.name}: {' and '.join(planes.tiers)} has {planes.planes_count} planes",
            where=WHERE,
            hint="they are numbered from 0",
        )
    return Hit(failure=failure, planes=planes, plane_count=count)


def part_cards(pod: Pod, kind: str) -> int:
    """Return the cards of one part of a pod: a tier by its name, what is taken out at once for repair, a cabinet.

    Raises:
        ScenarioError: nothing in the pod's description is called so, or nobody has published its size.
    """
    known = parts_of(pod)
    if kind not in known:
        named = [*known, *(("plane",) if any((tier.wiring.planes_count or 1) > 1 for tier in pod.tiers) else ())]
        raise ScenarioError(
            f"{pod.name} is not described in parts called {kind!r}",
            where=WHERE,
            hint=did_you_mean(kind, named) or f"one of {', '.join(sorted(named))}, or card numbers",
        )
    return known[kind]


def parts_of(pod: Pod) -> dict[str, int]:
    """Return the cards of every kind of part that the pod's description names."""
    found = {"card": 1, "pod": round(pod.chips_count)}
    inner = [tier.chips_count for tier in pod.tiers if SERVER_CARDS[0] <= tier.chips_count <= SERVER_CARDS[1]]
    server = pod.unit_chips_count or (inner[0] if inner else None)
    rack = pod.cabinet_chips_count or (pod.chips_count if pod.power.cabinets_count == 1 else None)
    rack = rack or next((tier.chips_count for tier in pod.tiers if tier.name in RACKS), None)
    found |= dict.fromkeys(SERVERS, round(server)) if server else {}
    found |= dict.fromkeys(RACKS, round(rack)) if rack else {}
    return found | {tier.name: round(tier.chips_count) for tier in pod.tiers if tier.name != "package"}


def seats(fleet: Fleet) -> tuple[Seat, ...]:
    """Return the ranks of all instances that there may be."""
    found: list[Seat] = []
    begin = 0.0
    for place, pool in enumerate((fleet.pool, fleet.decode)):
        for _ in range(pool.most_count if pool is not None else 0):
            ranks = pool.costs.ranks_count if pool is not None else 0.0
            found.append(Seat(begin_count=begin, ranks_count=ranks, pool=place))
            begin += ranks
    return tuple(found)


def mishaps(taken: Sequence[Hit], fleet: Fleet, each: float, *, elastic: bool, worn: Pricing) -> tuple[Mishap, ...]:
    """Return what happens to instances, one state after the other; `each` card has so many ranks.

    An instance that has lost cards is down, or, elastic, slower by ranks over ranks left, as its work is spread anew;
    with none left it is down. Fewer planes slow all. Cards that no instance uses may fail unnoticed.
    """
    moments = sorted({time for hit in taken for time in (hit.failure.at_s, hit.end_s) if time < inf})
    found: list[Mishap] = []
    for number, seat in enumerate(seats(fleet)):
        last: Mishap | None = None
        for begin, end in pairwise([*moments, inf]):
            active = [hit for hit in taken if hit.failure.at_s <= begin < hit.end_s]
            factors = worn(planes_lost(active))
            steps = (
                factors.both_factor
                if fleet.decode is None
                else factors.decode_factor
                if seat.pool
                else factors.read_factor
            )
            made = state(seat, active, each, (steps, factors.links_factor), elastic=elastic)
            if made is None:
                last = None
                continue
            slow, link = made
            if last is not None and (last.slow_factor, last.link_factor) == (slow, link):
                found[-1] = last = replace(last, down_s=end - last.at_s)
                continue
            last = Mishap(at_s=begin, instance=number, down_s=end - begin, slow_factor=slow, link_factor=link)
            found.append(last)
    return tuple(found)


def state(
    seat: Seat, active: Sequence[Hit], each: float, factors: tuple[float, float], *, elastic: bool
) -> tuple[float | None, float] | None:
    """Return (how much longer steps take, caches take); None for the former where down; None where nothing is amiss."""
    left = floor(seat.ranks_count - lost_ranks(seat, active, each) + 1e-9)
    if left < seat.ranks_count and not (elastic and left):
        return None, 1.0
    share = seat.ranks_count / left
    slow, link = factors[0] * share, factors[1] * share
    return None if slow == link == 1.0 else (slow, link)


def lost_ranks(seat: Seat, active: Sequence[Hit], each: float) -> float:
    """Return the ranks of an instance that are gone, each counted once."""
    spans = sorted((hit.first_count * each, (hit.last_count + 1) * each) for hit in active if hit.planes is None)
    lost, reached = 0.0, seat.begin_count
    for low, high in spans:
        until = min(high, seat.begin_count + seat.ranks_count)
        lost += max(until - max(low, reached), 0.0)
        reached = max(reached, until)
    return lost


def planes_lost(active: Sequence[Hit]) -> dict[str, int]:
    """Return how many planes each tier has lost."""
    gone = {(tier, hit.plane_count) for hit in active if hit.planes is not None for tier in hit.planes.tiers}
    return {tier: sum(item[0] == tier for item in gone) for tier, _ in sorted(gone)}


def pricing(machine: Machine, work: Serving, found: Deployment, link: Callable[[Machine, Deployment], Link]) -> Pricing:
    """Return what prices a deployment on the fabric without some planes, each set of them once.

    A pass of the deployment's own prompts and a step at its own batch are priced anew with what is left of the fabric.
    """
    known: dict[tuple[tuple[str, int], ...], Worn] = {(): Worn()}
    whole = link(machine, found)

    def worn(lost: Mapping[str, int]) -> Worn:
        key = tuple(sorted(lost.items()))
        if key not in known:
            other = replace(machine, fabric=without_planes(machine.fabric, lost))
            again = repriced(other, work, found)
            read = max(float(again.prefill.pass_s) / float(found.prefill.pass_s), 1.0)
            step = max(float(again.decode.tpot_s) / float(found.decode.tpot_s), 1.0)
            known[key] = Worn(
                read_factor=read,
                decode_factor=step,
                both_factor=found.prompt_frac * read + (1.0 - found.prompt_frac) * step,
                links_factor=max(whole.bytes_per_s / link(other, again).bytes_per_s, 1.0),
            )
        return known[key]

    return worn


def repriced(machine: Machine, work: Serving, found: Deployment) -> Deployment:
    """Return a deployment's pass and step on another machine."""
    requests = requests_of(work)
    return replace(
        found,
        decode=decode(machine.engine, found.decode.layout, found.decode.sequences, requests),
        prefill=prefill(machine.engine, found.prefill.layout, found.prefill.sequences, requests),
    )
