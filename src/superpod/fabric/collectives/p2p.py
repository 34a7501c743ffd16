"""One rank sends to the next member of its group."""

import numpy as np

from superpod.fabric.collectives.wire import arities, steps_time, wire_time
from superpod.fabric.tiers import Fabric, Group
from superpod.result import Num


def time(fabric: Fabric, group: Group, message_bytes: Num) -> Num:
    """Return the time of the slowest of the group's neighbour transfers: the one across its outermost tier."""
    if fabric.ideal:
        return 0.0 * message_bytes
    slowest: Num = 0.0
    for tier, _, arity in arities(fabric, group):
        fit = tier.link.p2p
        crossing = wire_time(message_bytes, tier.bytes_per_s, fit) + steps_time(np.minimum(arity, 2.0), tier, fit)
        slowest = np.where(arity > 1.0, np.maximum(slowest, crossing), slowest)
    return slowest


def lower_bound(fabric: Fabric, group: Group, message_bytes: Num) -> Num:
    """Return bytes over nominal bandwidth of the slowest tier crossed."""
    if fabric.ideal:
        return 0.0 * message_bytes
    bound: Num = 0.0
    for tier, _, arity in arities(fabric, group):
        bound = np.where(arity > 1.0, np.maximum(bound, message_bytes / tier.bytes_per_s), bound)
    return bound
