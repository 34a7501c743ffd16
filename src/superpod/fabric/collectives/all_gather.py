"""All-gather and reduce-scatter, tier by tier."""

import numpy as np

from superpod.fabric.collectives.wire import arities, steps_time, wire_time
from superpod.fabric.structures import neighbour_share
from superpod.fabric.tiers import Fabric, Group
from superpod.result import Num


def time(fabric: Fabric, group: Group, message_bytes: Num) -> Num:
    """Return the time to gather (or reduce and scatter) `message_bytes` in total.

    T = sum over tiers of (n_l - 1)/n_l S / prod_{j<l} n_j / B_l + steps: inner tiers gather what outer ones have
    brought, so each tier moves the buffer divided by the members already joined below it (Thakur et al. 2005,
    doi:10.1177/1094342005051521, applied per tier).
    """
    if fabric.ideal:
        return 0.0 * message_bytes
    spent: Num = 0.0
    below: Num = 1.0
    for tier, held, arity in arities(fabric, group):
        fit = tier.link.all_gather
        share = neighbour_share(tier, held, arity)
        wire = message_bytes / below * (arity - 1.0) / arity
        spent = spent + wire_time(wire, tier.bytes_per_s * share, fit) + steps_time(arity, tier, fit)
        below = below * arity
    return spent


def lower_bound(fabric: Fabric, group: Group, message_bytes: Num) -> Num:
    """Return max over tiers of the bytes that must enter a rank through the tier, over its nominal bandwidth."""
    if fabric.ideal:
        return 0.0 * message_bytes
    bound: Num = 0.0
    below: Num = 1.0
    for tier, _, arity in arities(fabric, group):
        wire = message_bytes / below * (arity - 1.0) / arity
        bound = np.maximum(bound, wire / tier.bytes_per_s)
        below = below * arity
    return bound
