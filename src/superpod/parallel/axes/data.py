"""Data parallelism and ZeRO: gradients are reduced, parameters gathered (arXiv 1910.02054)."""

from superpod.fabric.collectives import collective_time
from superpod.fabric.tiers import Fabric, Group
from superpod.result import Num

GRADIENT_BYTES = 4.0  # main gradients in fp32
PARAMETER_BYTES = 2.0


def step_time(fabric: Fabric, group: Group, parameters: Num, zero: str, passes: Num) -> Num:
    """Return the time that one optimizer step's collectives take for `parameters` per rank.

    ZeRO-0 all-reduces gradients; ZeRO-1 and 2 reduce-scatter them and gather the new parameters; ZeRO-3 also gathers
    parameters for every forward and backward pass of the `passes` micro-batches.
    """
    gradients, weights = parameters * GRADIENT_BYTES, parameters * PARAMETER_BYTES
    if zero == "0":
        return collective_time("all_reduce", fabric, group, gradients)
    scattered = collective_time("reduce_scatter", fabric, group, gradients)
    gathered = collective_time("all_gather", fabric, group, weights)
    return scattered + gathered * (2.0 * passes if zero == "3" else 1.0)
