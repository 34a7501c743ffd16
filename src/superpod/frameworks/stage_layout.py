"""Megatron-Core's `--pipeline-model-parallel-layout`: the layers of each chunk as text, `Et*3|t*4|t*3L`.

E is the embedding, t a transformer layer, m a multi-token-prediction layer, L the loss; `|` ends a chunk, `x*n` and
`(…)*n` repeat (`PipelineParallelLayerLayout` of Megatron-LM).
"""

import re

import numpy as np

from superpod.parallel.layout import Layout
from superpod.parallel.stages import part_layers

LONGEST = 100_000  # characters of a layout written out; no model comes near


def chunk_layers(layers_count: int, layout: Layout) -> list[int]:
    """Return the layers of each chunk, in the order of the model, as `parallel.stages` shares them out."""
    count, virtual = int(np.asarray(layout.pipeline)), int(np.asarray(layout.virtual))
    parts = np.arange(count)[:, None] + count * np.arange(virtual)[None, :]
    return part_layers(layers_count, layout, parts)


def written(chunks: list[int], predicted_count: int) -> str:
    """Return the text of a layout whose last chunk also predicts `predicted_count` tokens ahead."""
    parts = [f"t*{layers}" if layers else "" for layers in chunks]
    parts[0] = "E" + parts[0]
    parts[-1] += "m" * predicted_count + "L"
    return "|".join(parts)


def unrolled(text: str) -> list[str] | None:
    """Return the chunks of a layout written out, or None for text that is no layout."""
    whole = re.sub(r"[,\s\"']", "", text)
    for pattern in (r"\(([^)]+)\)\*(\d{1,4})", r"(.)\*(\d{1,4})"):
        size = sum(len(match[1]) * int(match[2]) for match in re.finditer(pattern, whole))
        if size > LONGEST:
            return None
        whole = re.sub(pattern, lambda match: match[1] * int(match[2]), whole)
    return whole.split("|") if re.fullmatch(r"[EtmL|]+", whole) else None


def split_of(chunks: list[str], layout: Layout, layers_count: int) -> str:
    """Return the split of `Layout` that gives these chunks, or an empty string where none does."""
    predicted = chunks[-1].count("m")
    for split in ("even", "counted"):
        same = Layout(pipeline=layout.pipeline, virtual=layout.virtual, split=split)
        if unrolled(written(chunk_layers(layers_count, same), predicted)) == chunks:
            return split
    return ""
