"""The parts that collectives share: bytes on a wire, steps, and how many members each tier adds."""

import numpy as np

from superpod.catalog.calibration import CollectiveFit
from superpod.fabric.tiers import Fabric, FabricTier, Group, members
from superpod.result import Num


def wire_time(wire_bytes: Num, bytes_per_s: Num, fit: CollectiveFit) -> Num:
    """Return (W + sqrt(W ramp)) / (efficiency B): full rate for long messages, a ramp towards it for short ones."""
    return (wire_bytes + np.sqrt(wire_bytes * fit.ramp_bytes)) / (fit.efficiency_frac * bytes_per_s)


def steps_time(arity: Num, tier: FabricTier, fit: CollectiveFit) -> Num:
    """Return the latency of crossing a tier: its floor once, and a step per doubling of the members it joins.

    Never below the tier's one-way latency; 0 where the tier adds no member.
    """
    doublings = np.log2(np.maximum(arity, 1.0))
    crossing = np.maximum(fit.floor_s + doublings * fit.step_s, tier.latency_s)
    return np.where(arity > 1.0, crossing, 0.0)


def arities(fabric: Fabric, group: Group) -> list[tuple[FabricTier, Num, Num]]:
    """Return (tier, members under one instance, members that the tier joins) from the innermost tier out.

    A group that spills over the outermost tier has more members than the fabric has ranks; that is a layout error and
    is refused before any collective is priced.
    """
    joined: list[tuple[FabricTier, Num, Num]] = []
    inner: Num = 1.0
    for tier, held in zip(fabric.tiers, members(fabric, group), strict=True):
        joined.append((tier, held, np.ceil(held / inner)))
        inner = held
    return joined
