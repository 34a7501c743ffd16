"""Data parallelism and ZeRO: gradients are reduced, parameters gathered (arXiv 1910.02054)."""

from dataclasses import dataclass

import numpy as np

from superpod.fabric.collectives import collective_time
from superpod.fabric.tiers import Fabric, Group
from superpod.parallel.layout import Layout
from superpod.result import Num, chosen

PARAMETER_BYTES = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """Seconds in which a group gathers its parameters once, and reduces its gradients once."""

    gather_s: Num
    reduce_s: Num


def traffic(fabric: Fabric, group: Group, parameters: Num, layout: Layout) -> Traffic:
    """Return what `parameters` per rank cost a group of data ranks.

    ZeRO-0 all-reduces gradients and gathers nothing; higher stages scatter them and gather parameters. Where only
    `shard` ranks of the group share (HSDP, arXiv 2304.11277, section 3.2.2), they gather and scatter among themselves,
    and the replicas all-reduce the shards.
    """
    gradients, weights = parameters * layout.gradient_bytes, parameters * PARAMETER_BYTES
    plain = chosen(layout.zero, "0")
    sharing = np.where(np.asarray(layout.shard) > 0.0, np.minimum(layout.shard, group.size), group.size)
    shards = Group(size=sharing, stride=group.stride)
    replicas = Group(size=group.size / sharing, stride=group.stride * sharing)
    scattered = collective_time("reduce_scatter", fabric, shards, gradients)
    if np.any(replicas.size > 1.0):
        scattered = scattered + collective_time("all_reduce", fabric, replicas, gradients / sharing)
    gathered = collective_time("all_gather", fabric, shards, weights)
    reduced = collective_time("all_reduce", fabric, group, gradients) if np.any(plain) else 0.0
    return Traffic(gather_s=np.where(plain, 0.0, gathered), reduce_s=np.where(plain, reduced, scattered))


def rounds(layout: Layout, passes: Num) -> tuple[Num, Num]:
    """Return how often a step gathers parameters for the forward pass, and reduces gradients.

    Sharded gradients cannot add up on a rank that owns a part of them: ZeRO-2 and 3 reduce every micro-batch's.
    """
    return (
        np.where(chosen(layout.zero, "3"), passes, 1.0),
        np.where(chosen(layout.zero, "2", "3"), passes, 1.0),
    )
