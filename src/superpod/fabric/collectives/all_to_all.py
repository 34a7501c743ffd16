"""All-to-all: every member sends a share of its bytes to every other."""

import numpy as np

from superpod.fabric.collectives.wire import arities, steps_time, wire_time
from superpod.fabric.structures import everyone_share
from superpod.fabric.tiers import Fabric, Group
from superpod.result import Num


def time(fabric: Fabric, group: Group, message_bytes: Num) -> Num:
    """Return the time to exchange `message_bytes` per rank, spread evenly over all members (itself included).

    The bytes for members outside an instance of the tier below leave through this tier: S (n - inner)/n. Tiers work at
    once, so the slowest sets the time; one floor is paid, at the outermost tier in use, and steps per doubling.
    """
    return priced(fabric, group, message_bytes, message_bytes)


def priced(fabric: Fabric, group: Group, message_bytes: Num, outside_bytes: Num) -> Num:
    """As `time`, with `outside_bytes` in place of `message_bytes` for what leaves the pod, after de-duplication."""
    if fabric.ideal:
        return 0.0 * message_bytes
    slowest: Num = 0.0
    latency: Num = 0.0
    inner: Num = 1.0
    for tier, held, arity in arities(fabric, group):
        fit = tier.link.all_to_all
        leaving = (outside_bytes if tier.scale_out else message_bytes) * (1.0 - inner / group.size)
        wire = np.where(held > inner, leaving, 0.0)
        slowest = np.maximum(slowest, wire_time(wire, tier.bytes_per_s * everyone_share(tier, held, arity), fit))
        latency = np.where(arity > 1.0, np.maximum(latency, steps_time(held, tier, fit)), latency)
        inner = held
    return slowest + latency


def lower_bound(fabric: Fabric, group: Group, message_bytes: Num) -> Num:
    """Return the volume bound: bytes that leave through each tier over the bandwidth that its bisection lets pass."""
    if fabric.ideal:
        return 0.0 * message_bytes
    bound: Num = 0.0
    inner: Num = 1.0
    for tier, held, arity in arities(fabric, group):
        wire = np.where(held > inner, message_bytes * (1.0 - inner / group.size), 0.0)
        bound = np.maximum(bound, wire / (tier.bytes_per_s * everyone_share(tier, held, arity)))
        inner = held
    return bound
