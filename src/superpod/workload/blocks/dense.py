"""The feed-forward block that every token passes."""

from functools import partial

from superpod.catalog.model_spec import DenseFeedForward
from superpod.result import Num
from superpod.workload.op import Op, elementwise, gemm
from superpod.workload.phase import Partition, Phase
from superpod.workload.precision import Precision
from superpod.workload.quantise import quantised


def operators(
    ffn: DenseFeedForward, hidden: int, phase: Phase, part: Partition, precision: Precision
) -> tuple[Op, ...]:
    """Return the forward kernels of one rank: up (and gate), activation, down."""
    return products("ffn", phase, hidden, ffn.width_count / part.tensor, gated=ffn.gated, precision=precision)


def products(name: str, phase: Phase, hidden: int, width: Num, *, gated: bool, precision: Precision) -> tuple[Op, ...]:
    """Return up, activation and down products of the phase's tokens through a feed-forward of `width`."""
    size = (precision.weight_bytes, precision.activation_bytes)
    fan = 2.0 if gated else 1.0
    product = partial(gemm, rows=phase.tokens, dtype=precision.matmul, element_bytes=size, scaling=precision.scaling)
    return (
        *quantised(phase.tokens * hidden, phase, precision),
        product(f"{name} up", columns=fan * width, depth=hidden),
        elementwise(f"{name} activation", phase.tokens * width * (fan + 1.0) * 2.0),
        *quantised(phase.tokens * width, phase, precision),
        product(f"{name} down", columns=hidden, depth=width),
    )
