"""Tensor parallelism, with or without sequence parallelism (arXiv 2205.05198, section 4.2)."""

from superpod.fabric.collectives import collective_time
from superpod.fabric.topology import Fabric, Group
from superpod.result import Num

ELEMENT_BYTES = 2.0  # activations travel in 16 bits


def block_time(fabric: Fabric, group: Group, tokens: Num, hidden: int, *, sequence_parallel: bool) -> Num:
    """Return the time of the collectives around one tensor-parallel block (attention or feed-forward), one direction.

    Without sequence parallelism one all-reduce of the activations; with it an all-gather before and a reduce-scatter
    after. The backward pass sends the same (its re-gather of inputs runs beside the weight gradients).
    """
    message = tokens * hidden * ELEMENT_BYTES
    if sequence_parallel:
        gather = collective_time("all_gather", fabric, group, message)
        return gather + collective_time("reduce_scatter", fabric, group, message)
    return collective_time("all_reduce", fabric, group, message)
