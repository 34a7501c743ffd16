"""Pipeline parallelism: activations to the next stage, gradients back."""

from superpod.fabric.collectives import collective_time
from superpod.fabric.tiers import Fabric, Group
from superpod.result import Num


def hop_time(fabric: Fabric, group: Group, tokens: Num, hidden: int, tensor: Num) -> Num:
    """Return the time of one transfer of a micro-batch's activations, split over tensor ranks, to the next stage."""
    return collective_time("p2p", fabric, group, tokens * hidden * 2.0 / tensor)
