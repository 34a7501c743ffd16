"""Activations made narrow before a product."""

from superpod.result import Num
from superpod.workload.op import Op, elementwise
from superpod.workload.phase import Phase
from superpod.workload.precision import Precision


def quantised(width: Num, phase: Phase, precision: Precision) -> tuple[Op, ...]:
    """Return the kernel that scales `phase.tokens` rows of `width`: 16 bits in, the narrow format out.

    None where scales are static, and so part of the kernel before, or nothing is narrow; training casts in its own
    kernels.
    """
    if not precision.dynamic or phase.kind == "train":
        return ()
    return (elementwise("quantise", phase.tokens * width * (2.0 + precision.activation_bytes)),)
