"""What no algorithm can beat: the bytes that must pass a tier, over what the printed bandwidth lets pass."""

import numpy as np

from superpod.fabric.collectives.levels import levels
from superpod.fabric.structures import everyone_share
from superpod.fabric.tiers import Fabric, Group
from superpod.result import Num


def gathered(fabric: Fabric, group: Group, message_bytes: Num) -> Num:
    """Return max over tiers of the bytes that must enter a rank through the tier, over its nominal bandwidth.

    Every byte enters each rank at least once, whoever adds, so it bounds reductions too.
    """
    if fabric.ideal:
        return 0.0 * message_bytes
    bound: Num = 0.0
    for level in levels(fabric, group):
        wire = message_bytes / level.below_count * (level.arity_count - 1.0) / level.arity_count
        bound = np.maximum(bound, wire / level.tier.bytes_per_s)
    return bound


def spread(fabric: Fabric, group: Group, message_bytes: Num) -> Num:
    """Return the bound of a broadcast: all bytes enter each instance through the ports of all its members.

    A single member has the ports of all tiers that join members; those of an instance, the ports of the tiers outside.
    """
    if fabric.ideal:
        return 0.0 * message_bytes
    bound: Num = 0.0
    found = levels(fabric, group)
    for place, level in enumerate(found):
        ports: Num = level.tier.bytes_per_s
        for outer in found[place + 1 :]:
            ports = ports + outer.where_used(outer.tier.bytes_per_s * (1.0 if outer.tier.own_ports else 0.0))
        bound = np.maximum(bound, level.where_used(message_bytes / (level.below_count * ports)))
    return bound


def exchanged(fabric: Fabric, group: Group, message_bytes: Num) -> Num:
    """Return the volume bound: bytes that cross each tier over the bandwidth that its bisection lets pass."""
    if fabric.ideal:
        return 0.0 * message_bytes
    bound: Num = 0.0
    for level in levels(fabric, group):
        rate = level.tier.bytes_per_s * everyone_share(level.tier, level.held_count, level.arity_count)
        bound = np.maximum(bound, level.where_used(message_bytes * level.crossing_frac / rate))
    return bound


def sent(fabric: Fabric, group: Group, message_bytes: Num) -> Num:
    """Return bytes over nominal bandwidth of the slowest tier crossed."""
    if fabric.ideal:
        return 0.0 * message_bytes
    bound: Num = 0.0
    for level in levels(fabric, group):
        bound = np.maximum(bound, level.where_used(message_bytes / level.tier.bytes_per_s))
    return bound
