"""Planes of a fabric: copies of a network side by side, and what is left of it without some."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from superpod.errors import ScenarioError, did_you_mean
from superpod.fabric.tiers import SWITCHED, Fabric


@dataclass(frozen=True, slots=True, kw_only=True)
class Planes:
    """Planes that tiers share, from the inside out, as their switches stand over each other."""

    tiers: tuple[str, ...]
    planes_count: int


def planes_of(fabric: Fabric) -> tuple[Planes, ...]:
    """Return the groups of tiers that have more than one plane, from the inside out."""
    found: list[Planes] = []
    for tier in fabric.tiers:
        count = round(tier.wiring.planes_count or 1.0)
        if tier.structure not in SWITCHED or count < 2:
            continue
        if found and not tier.own_ports and found[-1].planes_count == count:
            found[-1] = replace(found[-1], tiers=(*found[-1].tiers, tier.name))
        else:
            found.append(Planes(tiers=(tier.name,), planes_count=count))
    return tuple(found)


def named_planes(fabric: Fabric, name: str, where: str) -> Planes:
    """Return the planes of a tier, or, without a name, those of the only tiers that have any.

    Raises ScenarioError for a tier without planes, and where the name is needed.
    """
    known = planes_of(fabric)
    fitting = [item for item in known if not name or name in item.tiers]
    if len(fitting) == 1:
        return fitting[0]
    tiers = [tier for item in known for tier in item.tiers]
    if not known:
        raise ScenarioError(
            "nobody has published that the fabric has several planes", where=where, hint="fail cards instead"
        )
    if fitting:
        raise ScenarioError("several tiers have planes", where=where, hint=f"plane:TIER:P with {' or '.join(tiers)}")
    raise ScenarioError(
        f"no tier {name!r} with planes", where=where, hint=did_you_mean(name, tiers) or f"one of {', '.join(tiers)}"
    )


def without_planes(fabric: Fabric, lost: Mapping[str, int]) -> Fabric:
    """Return a fabric whose tiers have lost so many of their planes.

    A rank has a port, or as many, in each plane and spreads its traffic over all, so it keeps (n - k) / n of its rate;
    latencies stay. Assumes that the library spreads anew over what is left.
    """
    tiers = []
    for tier in fabric.tiers:
        count = tier.wiring.planes_count or 1.0
        left = count - lost.get(tier.name, 0)
        if left < 1.0:
            raise ScenarioError(f"all {count:g} planes of {tier.name} fail", where="--fail", hint="leave one")
        wiring = replace(tier.wiring, planes_count=left)
        same = left == count
        tiers.append(tier if same else replace(tier, bytes_per_s=tier.bytes_per_s * left / count, wiring=wiring))
    return replace(fabric, tiers=tuple(tiers))
