"""Where groups sit: the order of axes gives each group its stride over ranks, so its place on the fabric's tiers."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from superpod.fabric.tiers import Fabric, Group
from superpod.parallel.layout import AXES, Layout
from superpod.result import Flag, Num, Word


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
    """Return the groups under the layout's order of axes.

    A group's stride is the product of the axes inside its own. Gradients are summed over data and context ranks: where
    another axis lies between the two, their common group is priced as evenly spread. Expert groups run over consecutive
    ranks of the order without its pipeline; one that reaches over the pipeline is priced as evenly spread too.
    """
    sizes = {"tp": layout.tensor, "cp": layout.context, "dp": layout.data, "pp": layout.pipeline}
    strides = {axis: _inside(layout.order, axis, sizes) for axis in AXES}
    reducing = layout.data * layout.context
    reach = np.maximum(strides["dp"] * layout.data, strides["cp"] * layout.context)
    one_stage = _inside(layout.order, "pp", {**sizes, "pp": 1.0})
    jumps = layout.expert * layout.expert_tensor > one_stage
    expert_stride = layout.expert_tensor * np.where(jumps, layout.pipeline, 1.0)
    return Groups(
        tensor=Group(size=layout.tensor, stride=strides["tp"]),
        context=Group(size=layout.context, stride=strides["cp"]),
        data=Group(size=reducing, stride=reach / reducing),
        pipeline=Group(size=layout.pipeline, stride=strides["pp"]),
        expert=Group(size=layout.expert, stride=expert_stride),
        expert_data=Group(size=layout.expert_data, stride=layout.expert * expert_stride),
    )


def _inside(order: Word, axis: str, sizes: Mapping[str, Num]) -> Num:
    """Return the ranks between two neighbours of an axis: the product of the axes that come before it."""
    product: Num = 1.0
    for other, size in sizes.items():
        if other != axis:
            product = product * np.where(_before(order, other, axis), size, 1.0)
    return product


def _before(order: Word, first: str, second: str) -> Flag:
    if isinstance(order, str):
        return order.index(first) < order.index(second)
    found = [word.index(first) < word.index(second) for word in order.ravel().tolist()]
    return np.array(found, dtype=bool).reshape(order.shape)
