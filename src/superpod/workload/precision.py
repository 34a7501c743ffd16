"""Number formats of a run: which engine multiplies, and how many bytes each thing takes."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Precision:
    """A mixed-precision recipe; sizes in bytes an element.

    `scaling` is how narrow products are scaled: `tensor` (a scale a tensor or a row) or `block` (a scale a block).
    """

    name: str
    matmul: str
    weight_bytes: float
    activation_bytes: float
    attention: str = "bf16"
    kv_bytes: float = 2.0
    dispatch_bytes: float = 2.0
    combine_bytes: float = 2.0
    loss_scaling: bool = False
    scaling: str = ""


PRECISIONS: dict[str, Precision] = {
    "bf16": Precision(name="bf16", matmul="bf16", weight_bytes=2.0, activation_bytes=2.0),
    # Runs on the BF16 engine; its narrow exponent needs loss scaling.
    "fp16": Precision(name="fp16", matmul="bf16", weight_bytes=2.0, activation_bytes=2.0, loss_scaling=True),
    # Block-scaled FP8 as DeepSeek-V3 deploys it: FP8 dispatch, BF16 combine (arXiv 2412.19437, section 3.3).
    "fp8": Precision(
        name="fp8",
        matmul="fp8",
        weight_bytes=1.0,
        activation_bytes=1.0,
        dispatch_bytes=1.0,
        scaling="block",
    ),
    # W8A8 with INT8 dispatch and BF16 combine, as CloudMatrix384 serves it (arXiv 2506.12708, section 4).
    "int8": Precision(
        name="int8",
        matmul="int8",
        weight_bytes=1.0,
        activation_bytes=1.0,
        dispatch_bytes=1.0,
        scaling="tensor",
    ),
    # 4-bit weights and activations with one 8-bit scale per 16 elements.
    "fp4": Precision(
        name="fp4", matmul="fp4", weight_bytes=0.5625, activation_bytes=0.5625, dispatch_bytes=1.0, scaling="block"
    ),
}
