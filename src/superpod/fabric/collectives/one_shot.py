"""Every member reads the whole message of every other and adds it up alone."""

from collections.abc import Sequence

from superpod.fabric.collectives.step import Cost, Step, refuse, step
from superpod.result import Num

KINDS = ("all_reduce",)


def cost(kind: str, ranks: Num, message_bytes: Num) -> Cost:
    """Return one step and (n - 1) S: the fewest steps for the most bytes.

    T = base + bytes / B, the all-reduce of short messages in serving engines (TensorRT-LLM, vLLM and SGLang; NVIDIA
    TensorRT-LLM, cpp/tensorrt_llm/kernels/customAllReduceKernels.cu). Its partner, the two-shot kernel, reads S/n of
    every peer to add and S/n of every peer to gather, which is `direct`'s all-reduce.
    """
    if kind not in KINDS:
        raise refuse("one_shot", kind, KINDS)
    return Cost(steps_count=1.0, wire_bytes=message_bytes * (ranks - 1.0))


def steps(kind: str, shape: Sequence[int], message_bytes: float) -> tuple[Step, ...]:
    """Return all pairs at once, the whole message each."""
    (n,) = shape
    if kind not in KINDS:
        raise refuse("one_shot", kind, KINDS)
    if n < 2:
        return ()
    return (step([(i, j, message_bytes) for i in range(n) for j in range(n) if i != j]),)
