"""Where groups sit: the order of axes gives each group its stride over ranks, so its place on the fabric's tiers."""

from dataclasses import dataclass

import numpy as np

from superpod.fabric.tiers import Fabric, Group
from superpod.parallel.layout import Layout
from superpod.result import Num


@dataclass(frozen=True, slots=True, kw_only=True)
class Groups:
    """The communication groups of a layout."""

    tensor: Group
    context: Group
    data: Group
    pipeline: Group
    expert: Group
    expert_data: Group


def packed_ranks(fabric: Fabric, ranks_count: float, block: Num) -> Num:
    """Return how many of `ranks_count` ranks, pod after pod, whole blocks can use when none may span two pods.

    A block larger than a pod has to span some, and can use all ranks: 72 ranks hold two blocks of 32, and 8 stay idle.
    """
    pod = fabric.ranks_per_pod
    pods = np.floor(ranks_count / pod)
    rest = ranks_count - pods * pod
    inside = pods * np.floor(pod / block) * block + np.floor(rest / block) * block
    return np.where(block <= pod, inside, ranks_count)


def groups(layout: Layout) -> Groups:
    """Return the groups under the layout's order, tensor ranks always innermost.

    Expert groups run over consecutive ranks of the tensor x context x data block; where the pipeline lies between
    context and data, an expert group wider than tensor x context jumps over it and is priced as evenly spread.
    """
    inner = layout.tensor * layout.context
    if layout.order == "tp-cp-dp-pp":
        data_stride, pipeline_stride = inner, inner * layout.data
        expert_stride = layout.expert_tensor
    else:
        data_stride, pipeline_stride = inner * layout.pipeline, inner
        jumps = layout.expert * layout.expert_tensor > inner
        expert_stride = layout.expert_tensor * np.where(jumps, layout.pipeline, 1.0)
    return Groups(
        tensor=Group(size=layout.tensor),
        context=Group(size=layout.context, stride=layout.tensor),
        # Gradients are summed over context ranks too; a group of both is priced as evenly spread.
        data=Group(size=layout.data * layout.context, stride=data_stride / layout.context),
        pipeline=Group(size=layout.pipeline, stride=pipeline_stride),
        expert=Group(size=layout.expert, stride=expert_stride),
        expert_data=Group(size=layout.expert_data, stride=layout.expert * expert_stride),
    )
