"""torchtitan: job files in TOML as releases up to 0.2 have them, and `--parallelism.tensor_parallel_degree 8` words.

Keys and defaults: `torchtitan/config/job_config.py` and `torchtitan/distributed/` of
https://github.com/pytorch/torchtitan, release 0.2.2; the names live on in the Python configurations of later versions.
"""

import re

from superpod.frameworks.torchtitan_read import NAME, read
from superpod.frameworks.torchtitan_write import write

__all__ = ["NAME", "TABLE", "read", "recognised", "write"]

TABLE = {
    "tensor": "`parallelism.tensor_parallel_degree`",
    "context": "`parallelism.context_parallel_degree`",
    "pipeline": "`parallelism.pipeline_parallel_degree`",
    "virtual": "2 for schedules of several stages a rank, else `parallelism.pipeline_parallel_layers_per_stage`",
    "data": "`parallelism.data_parallel_replicate_degree` x `data_parallel_shard_degree`",
    "expert": "`parallelism.expert_parallel_degree`",
    "expert_tensor": "`parallelism.expert_tensor_parallel_degree`; the tensor degree without expert parallelism",
    "micro_batch": "`training.local_batch_size`; with stages `parallelism.pipeline_parallel_microbatch_size`",
    "shard": "`parallelism.data_parallel_shard_degree` x context, where there are replicas",
    "gradient_bytes": "4",
    "zero": "3 or 2 FSDP, `parallelism.fsdp_reshard_after_forward` always or never; 0 DDP",
    "recompute": "`activation_checkpoint.mode` none or full",
    "schedule": "`parallelism.pipeline_parallel_schedule`: gpipe GPipe, LoopedBFS; 1f1b 1F1B, Interleaved1F1B;"
    " zb-v ZBVZeroBubble; dualpipev DualPipeV",
    "split": "`parallelism.pipeline_parallel_{first,last}_stage_less_layers` counted 1, even 0",
    "overlap": "data always; expert `parallelism.pipeline_parallel_expert_parallel_overlap` with DualPipeV",
    "tensor_overlap": "ring `parallelism.enable_async_tensor_parallel`",
    "context_kind": "ring",
    "offload": "weights+optimizer `training.enable_cpu_offload`",
    "order": "tp-cp-dp-pp",
    "sequence_parallel": "always",
    "scatter_gather": "always",
    "fused_attention": "always",
}


def recognised(text: str) -> bool:
    """Return whether a text has torchtitan's sections or its words on a command line."""
    return bool(
        re.search(r"^\[(parallelism|activation_checkpoint)\]|--(parallelism|training)\.\w+", text, re.MULTILINE)
    )
