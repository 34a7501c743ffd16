"""How the layers of a model lie on pipeline stages, and which stage holds the embedding and the loss."""

from dataclasses import dataclass

import numpy as np

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

    @property
    def fullest_count(self) -> Num:
        """Layers of the stage that holds most."""
        return np.maximum(self.middle_count, np.maximum(self.first_count, self.last_count))


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
    middle = np.where(count > 2.0, each + np.minimum(left, 1.0), np.maximum(first, last))
    return Stages(middle_count=middle, first_count=first, last_count=last, folded=folded)
