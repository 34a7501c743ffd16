"""A parallel layout: degrees and choices, each a value or an array; arrays broadcast against each other."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from superpod.result import Flag, Num, Word
from superpod.workload.phase import Partition

ZERO = ("0", "1", "2", "3")
RECOMPUTE = ("none", "selective", "full")
# Parts of a layer that may be recomputed one by one, by the names that Megatron-Core gives them.
MODULES = ("core_attn", "mla_up_proj", "layernorm", "mlp", "moe_act", "moe", "shared_experts")
OVERLAP = ("none", "data", "data+expert")
TENSOR_OVERLAP = ("none", "ring", "pipe")
CONTEXT_KINDS = ("ring", "ulysses")
OFFLOAD = ("none", "weights", "activations", "optimizer")
SPLITS = ("even", "counted")
AXES = ("tp", "cp", "dp", "pp")
ORDERS = ("tp-cp-dp-pp", "tp-cp-pp-dp")


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Degrees of tensor, context, pipeline, data, expert and expert-tensor parallelism, and how they are used.

    Degrees. `virtual` is the number of model chunks a stage holds, `micro_batch` the sequences of one pass. Expert
    groups are cut from the ranks of tensor x context x data: expert x expert_tensor divides that product. `shard` data
    ranks share what ZeRO shards, 0 for all of them (HSDP replicates the rest). `staged` data ranks pool their prompts:
    each takes a share of tokens for the projections and a share of heads for attention itself. `imbalance_ratio` is
    the router's part of the load of the fullest expert rank over the mean. `gradient_bytes` is the width in which data
    ranks reduce gradients.

    Choices. `zero` is the stage of ZeRO; `recompute` none, selective (the attention kernel), full, or `MODULES` joined
    by `+`; `schedule` a pipeline schedule, with interleaved chunks where `virtual` is above 1; `split` says whether
    stages share layers evenly or embedding and loss count as a layer each; `overlap` what travels beside kernels;
    `tensor_overlap` whether tensor-parallel collectives run beside their products (`ring`: step by step, `pipe`: half
    by half); `gather_again` whether the backward pass gathers inputs again rather than keep them whole;
    `scatter_gather` whether stages send 1/t of an activation each and gather it; `context_kind` ring attention or
    Ulysses; `offload` what lives in host memory between uses (`OFFLOAD` joined by `+`); `order` the axes from
    neighbouring ranks out.
    """

    tensor: Num = 1.0
    context: Num = 1.0
    pipeline: Num = 1.0
    virtual: Num = 1.0
    data: Num = 1.0
    expert: Num = 1.0
    expert_tensor: Num = 1.0
    micro_batch: Num = 1.0
    shard: Num = 0.0
    staged: Num = 1.0
    imbalance_ratio: Num = 1.0
    gradient_bytes: Num = 4.0
    zero: Word = "1"
    recompute: Word = "none"
    schedule: Word = "1f1b"
    split: Word = "even"
    overlap: Word = "data"
    tensor_overlap: Word = "none"
    context_kind: Word = "ring"
    offload: Word = "none"
    order: Word = "tp-cp-dp-pp"
    sequence_parallel: Flag = True
    gather_again: Flag = True
    scatter_gather: Flag = True
    fused_attention: Flag = True

    @property
    def ranks_count(self) -> Num:
        """All ranks that the layout uses."""
        return self.tensor * self.context * self.pipeline * self.data

    @property
    def expert_data(self) -> Num:
        """Ranks that hold the same experts."""
        return self.tensor * self.context * self.data / (self.expert * self.expert_tensor)

    @property
    def sharing(self) -> Num:
        """Ranks over which ZeRO shards what every token uses: data and context ranks, or `shard` of them."""
        ranks = self.data * self.context
        return np.where(np.asarray(self.shard) > 0.0, np.minimum(self.shard, ranks), ranks)

    @property
    def expert_sharing(self) -> Num:
        """Ranks over which ZeRO shards experts."""
        return np.where(np.asarray(self.shard) > 0.0, np.minimum(self.shard, self.expert_data), self.expert_data)

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
