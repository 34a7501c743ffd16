"""How the layers of a model lie on pipeline stages, and which stage holds the embedding and the loss."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from superpod.parallel.layout import Layout
from superpod.result import Flag, Num, chosen

# Schedules that fold the pipeline: the first stage also holds the last chunk, so embedding and loss meet there.
FOLDED = ("zb-v", "dualpipe", "dualpipev")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stages:
    """Layers of the fullest stage without embedding or loss, of the one with the embedding, of the one with the loss.

    `folded` says where first and last are one stage, be it for a single stage or for a folded pipeline.
    """

    middle_count: Num
    first_count: Num
    last_count: Num
    folded: Flag


def stages(layers_count: float, layout: Layout) -> Stages:
    """Return the stages of `layers_count` layers.

    L layers over p v chunks: each chunk gets floor(L / p v), what is left over goes to the middle stages first, then to
    the first, to the last one last. With the split `counted`, embedding and loss take the place of a layer each
    (Megatron-Core's `account_for_embedding_in_pipeline_split` and `account_for_loss_in_pipeline_split`).
    """
    count, virtual = np.asarray(layout.pipeline), layout.virtual
    folded = (count <= 1.0) | chosen(layout.schedule, *FOLDED)
    counted = np.where(chosen(layout.split, "counted") & (count > 1.0), 1.0, 0.0)
    slots = layers_count + 2.0 * counted
    each = np.floor(slots / (count * virtual)) * virtual
    over = slots - each * count
    each, left = each + np.floor(over / count), np.mod(over, count)
    first = each + np.where((left >= count - 1.0) & (left > 0.0), 1.0, 0.0) - counted * np.where(folded, 2.0, 1.0)
    last = np.where(folded, first, each - counted)
    others = each + np.where(count > 2.0, np.minimum(left, 1.0), 0.0)
    middle = np.where((count > 2.0) | (folded & (count > 1.0)), others, np.maximum(first, last))
    return Stages(middle_count=middle, first_count=first, last_count=last, folded=folded)


def part_layers(layers_count: int, layout: Layout, parts: npt.NDArray[np.int64]) -> list[int]:
    """Return the layers of each part of the model, as `stages` counts them; `parts[stage, chunk]` says who holds which.

    A stage's layers lie evenly on its chunks, and the parts with embedding and loss take what is left over last.
    """
    stage_count, parts_count = parts.shape[0], int(parts.max()) + 1
    counted = layout.split == "counted" and stage_count > 1
    virtual = parts_count // stage_count
    each, over = divmod(layers_count + 2 * counted, parts_count)
    common, left = divmod(over, stage_count)
    favoured = range(1, left + 1) if left <= stage_count - 2 else range(left)
    held = [0] * parts_count
    for stage, row in enumerate(parts):
        mine = sorted(set(row.tolist()), key=lambda part: (part in {0, parts_count - 1}, part))
        more = common + (stage in favoured)
        for place, part in enumerate(mine[:virtual] if virtual == len(mine) else [stage]):
            held[part] = each + more // virtual + (place < more % virtual)
    if counted:
        held[0] -= 1
        held[-1] -= 1
    return held
