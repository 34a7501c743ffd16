"""All-reduce, tier by tier: by rings, or by switches that add where they can."""

import numpy as np

from superpod.fabric.collectives import all_gather
from superpod.fabric.collectives.wire import arities, steps_time, wire_time
from superpod.fabric.structures import neighbour_share
from superpod.fabric.tiers import Fabric, Group
from superpod.result import Num


def time(fabric: Fabric, group: Group, message_bytes: Num) -> Num:
    """Return T = sum over tiers of min(ring, in-network) for the buffer that reaches the tier, plus steps.

    Ring: 2 (n - 1)/n S / B (Patarasuk & Yuan 2009, doi:10.1016/j.jpdc.2008.09.002). Switches that add: S (n + 1)/n over
    their own rate, which explains bus rates above the injection bandwidth (fits 8 x H200 and 8 x B200 within 2 %).
    """
    if fabric.ideal:
        return 0.0 * message_bytes
    spent: Num = 0.0
    below: Num = 1.0
    for tier, held, arity in arities(fabric, group):
        fit = tier.link.all_reduce
        buffer = message_bytes / below
        rate = tier.bytes_per_s * neighbour_share(tier, held, arity)
        moved = wire_time(2.0 * buffer * (arity - 1.0) / arity, rate, fit)
        if tier.in_network_reduction and tier.link.in_network_frac:
            added = np.where(arity > 1.0, buffer * (arity + 1.0) / arity, 0.0)
            ratio = tier.link.in_network_frac / fit.efficiency_frac
            moved = np.minimum(moved, wire_time(added, rate * ratio, fit))
        spent = spent + moved + steps_time(arity, tier, fit)
        below = below * arity
    return spent


def lower_bound(fabric: Fabric, group: Group, message_bytes: Num) -> Num:
    """Return the bound of the gathering half: every byte enters each rank at least once, whoever adds."""
    return all_gather.lower_bound(fabric, group, message_bytes)
