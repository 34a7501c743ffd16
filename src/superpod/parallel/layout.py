"""A parallel layout: degrees, which may be columns, and choices, which are words."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from superpod.result import Num
from superpod.workload.phase import Partition

RECOMPUTE = ("none", "selective", "full")
ZERO = ("0", "1", "2", "3")
OVERLAP = ("none", "data", "data+expert")
ORDERS = ("tp-cp-dp-pp", "tp-cp-pp-dp")


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Degrees of tensor, context, pipeline, data, expert and expert-tensor parallelism, and how they are used.

    `virtual` is the number of model chunks a stage holds, `micro_batch` the sequences of one pass. Expert groups are
    cut from the ranks of tensor x context x data: expert x expert_tensor divides that product. `staged` data ranks pool
    their prompts: each takes a share of tokens for the projections and a share of heads for attention itself.
    `imbalance_ratio` is the router's part of the load of the fullest expert rank over the mean.
    """

    tensor: Num = 1.0
    context: Num = 1.0
    pipeline: Num = 1.0
    virtual: Num = 1.0
    data: Num = 1.0
    expert: Num = 1.0
    expert_tensor: Num = 1.0
    micro_batch: Num = 1.0
    staged: Num = 1.0
    imbalance_ratio: Num = 1.0
    zero: str = "1"
    recompute: str = "none"
    overlap: str = "data"
    order: str = "tp-cp-dp-pp"
    sequence_parallel: bool = True
    fused_attention: bool = True

    @property
    def ranks_count(self) -> Num:
        """All ranks that the layout uses."""
        return self.tensor * self.context * self.pipeline * self.data

    @property
    def expert_data(self) -> Num:
        """Ranks that hold the same experts."""
        return self.tensor * self.context * self.data / (self.expert * self.expert_tensor)

    @property
    def partition(self) -> Partition:
        """What share of a layer one rank holds."""
        return Partition(
            tensor=self.tensor,
            expert=self.expert,
            expert_tensor=self.expert_tensor,
            context=self.context,
            sequence_parallel=self.sequence_parallel,
            imbalance_ratio=self.imbalance_ratio,
        )


def legal(layout: Layout, *, heads: float, layers: float, experts: float) -> npt.NDArray[np.bool_]:
    """Return True where the degrees fit the model's shapes and each other."""
    block = layout.tensor * layout.context * layout.data
    expert_ranks = layout.expert * layout.expert_tensor
    fits = (np.mod(heads, layout.tensor) == 0) & (layout.pipeline * layout.virtual <= layers)
    fits &= (np.mod(block, expert_ranks) == 0) & (layout.expert <= np.maximum(experts, 1.0))
    fits &= (experts > 1) | (expert_ranks == 1)  # a dense layer has no experts to spread
    return np.asarray(fits & ((layout.virtual == 1) | (layout.pipeline > 1)))
