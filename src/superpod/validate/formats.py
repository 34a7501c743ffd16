"""What the words of a number format mean, in training and in serving."""

import re
from typing import Literal

WEIGHTS_ONLY = "4-bit weights"
Meaning = tuple[str, str]
"""A row of PRECISIONS, or WEIGHTS_ONLY, and how narrow products are scaled."""
# First match first; None where the words mean nothing there. Training in MXFP4 multiplies in it; serving keeps weights
# in it and multiplies in 16 bits. How FP8 is scaled in serving follows from the kind of model.
FORMATS: tuple[tuple[str, Meaning | None, Meaning | None], ...] = (
    (r"nvfp4|fp4 weights|w4a4|^fp4", ("fp4", "block"), ("fp4", "block")),
    (r"mxfp4", ("fp4", "block"), (WEIGHTS_ONLY, "")),
    (r"w4a16|int4", None, (WEIGHTS_ONLY, "")),
    (r"w4a8", None, ("int8", "tensor")),
    (r"mxfp8|fine-grained|block", ("fp8", "block"), None),
    (r"int8|w8a8(?!-fp8)", ("int8", "tensor"), ("int8", "tensor")),
    (r"fp8|float8|e4m3", ("fp8", "tensor"), ("fp8", "")),
    (r"fp16|float16", ("fp16", ""), ("fp16", "")),
    (r"bf16|bfloat16|16-bit", ("bf16", ""), ("bf16", "")),
)


def meaning(words: str, phase: Literal["training", "serving"]) -> Meaning | None:
    """Return what words in small letters mean in a phase, None where they mean nothing."""
    for pattern, training, serving in FORMATS:
        found = training if phase == "training" else serving
        if found is not None and re.search(pattern, words):
            return found
    return None
