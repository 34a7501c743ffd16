"""Every candidate of a collective by name, which one wins, and one sentence why."""

from dataclasses import dataclass

import numpy as np

from superpod.errors import ScenarioError
from superpod.fabric.collectives import exchange
from superpod.fabric.collectives.candidates import PIPELINED, Candidate, one_tier, pipelined, whole
from superpod.fabric.collectives.hierarchical import buffer
from superpod.fabric.collectives.levels import Level, levels
from superpod.fabric.tiers import Fabric, Group
from superpod.result import Num
from superpod.units import human

KINDS = (*PIPELINED, "all_to_all", "p2p", "dispatch", "combine")


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way to run a collective: what waits, what the wires take, and the tier that takes longest."""

    name: str
    time_s: float
    latency_s: float
    wire_s: float
    binding_tier: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The ways from the fastest on; `reason` says why the first one wins."""

    kind: str
    message_bytes: float
    ways: tuple[Way, ...]
    reason: str

    @property
    def winner(self) -> Way:
        """The fastest way."""
        return self.ways[0]


def candidates(kind: str, found: list[Level], size: Num, message_bytes: Num) -> list[Candidate]:
    """Return the ways to run a collective; raise ScenarioError for an unknown kind."""
    if kind in PIPELINED:
        return pipelined(kind, found, size, message_bytes)
    if kind == "all_to_all":
        return exchange.all_to_all(found, message_bytes)
    if kind == "p2p":
        return exchange.point_to_point(found, message_bytes)
    if kind in {"dispatch", "combine"}:
        return [exchange.expert_exchange(kind, found, size, message_bytes, message_bytes, forwarded=False)]
    raise ScenarioError(f"unknown collective {kind!r}", where="fabric/collectives", hint=f"one of {', '.join(KINDS)}")


def choose(kind: str, fabric: Fabric, group: Group, message_bytes: float) -> Choice:
    """Return every way to run one collective of one group, with its parts, from the fastest on."""
    if fabric.ideal or float(np.asarray(group.size)) <= 1.0:
        nothing = Way(name="none", time_s=0.0, latency_s=0.0, wire_s=0.0, binding_tier="")
        reason = "the fabric is free" if fabric.ideal else "one rank sends nothing"
        return Choice(kind=kind, message_bytes=message_bytes, ways=(nothing,), reason=reason)
    found = levels(fabric, group)
    made = candidates(kind, found, group.size, message_bytes)
    used = [level for level in found if float(np.asarray(level.arity_count)) > 1.0]
    inside: list[str] = []
    if kind in PIPELINED:
        per_tier = [one_tier(kind, level, buffer(kind, level.below_count, message_bytes)) for level in used]
        split = [[option for option in options if not whole(kind, option.name)] for options in per_tier[:-1]]
        inside = [min(options, key=lambda option: float(option.time_s)).name for options in (*split, per_tier[-1])]
        if len(used) == 1:
            made = [*made[:-1], *per_tier[0]]
        elif not found[0].nested:
            made = made[:-1]
    if kind == "all_to_all" and len(used) == 1:
        made = [item for item in made if item.name != "hierarchical"]  # rail by rail is the same there
    ways = {way.name: way for way in (_way(item, inside) for item in made)}
    ranked = tuple(sorted(ways.values(), key=lambda way: (way.time_s, way.name)))
    return Choice(kind=kind, message_bytes=message_bytes, ways=ranked, reason=_reason(ranked))


def _way(item: Candidate, inside: list[str]) -> Way:
    name = item.name
    if name == "hierarchical" and len(inside) > 1:
        name = f"hierarchical ({', then '.join(inside)})"
    times = [float(wire.time_s) for wire in item.wires]
    return Way(
        name=name,
        time_s=float(item.time_s),
        latency_s=float(item.latency_s),
        wire_s=float(item.wire_s),
        binding_tier=item.wires[int(np.argmax(times))].tier,
    )


def _reason(ranked: tuple[Way, ...]) -> str:
    """Return why the first way wins, against the fastest that runs another algorithm or regime."""
    first = ranked[0]
    part = "latency takes" if first.latency_s > first.wire_s else f"the wires of {first.binding_tier} take"
    if len(ranked) == 1:
        return f"{first.name} is the only way; {part} most of it"
    other = ranked[1]
    less_wait = other.latency_s - first.latency_s
    less_wire = other.wire_s - first.wire_s
    why = "waits less" if less_wait > less_wire else "spends less time on the wires"
    return (
        f"{first.name} {why} than {other.name}, {human(first.time_s, 's')} against {human(other.time_s, 's')}; "
        f"{part} most of it"
    )
