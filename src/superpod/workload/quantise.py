"""Activations made narrow before a product."""

from superpod.result import Num
from superpod.workload.op import Op, elementwise
from superpod.workload.phase import Phase
from superpod.workload.precision import Precision


def quantised(elements_count: Num, phase: Phase, precision: Precision) -> tuple[Op, ...]:
    """Return the kernel that scales so many elements: 16 bits in, the narrow format out; none where nothing is narrow.

    Scales are known beforehand, or found of a row or a block while it is at hand. Engines run it before most products,
    static scales or not (github.com/ai-dynamo/aiconfigurator, pull request 261). Training writes a transposed copy too,
    for the gradient of the weights.
    """
    if precision.activation_bytes >= 2.0:
        return ()
    written_bytes = precision.activation_bytes * (2.0 if phase.kind == "train" else 1.0)
    return (elementwise("quantise", elements_count * (2.0 + written_bytes), backward_ratio=0.0),)
