"""Megatron-LM: launch scripts with its flags, and files that list them under MODEL_ARGS.

Flags: `megatron/training/arguments.py` of https://github.com/NVIDIA/Megatron-LM.
"""

import re

from superpod.frameworks.core import RENAMED, core_import, flag_line, flag_settings
from superpod.frameworks.core_read import SWITCHES
from superpod.frameworks.core_write import Block, Export, connections, core_blocks
from superpod.frameworks.imported import Imported
from superpod.frameworks.settings import Setting, Settings
from superpod.frameworks.shell import read_script
from superpod.frameworks.yaml_text import paths

NAME = "megatron"
# How layout fields and flags correspond; docs/guide/import-a-layout.md shows this table.
TABLE = {
    "tensor": "`--tensor-model-parallel-size`",
    "context": "`--context-parallel-size`",
    "pipeline": "`--pipeline-model-parallel-size`",
    "virtual": "`--num-virtual-stages-per-pipeline-rank`, `--num-layers-per-virtual-pipeline-stage`",
    "data": "what is left of `--nnodes` x `--nproc-per-node`",
    "expert": "`--expert-model-parallel-size`",
    "expert_tensor": "`--expert-tensor-parallel-size` (else the tensor degree)",
    "micro_batch": "`--micro-batch-size`",
    "shard": "data and context ranks / `--num-distributed-optimizer-instances`",
    "gradient_bytes": "2 `--grad-reduce-in-bf16`, or fp16; 4 `--accumulate-allreduce-grads-in-fp32`",
    "zero": "1 `--use-distributed-optimizer`; 0 to 3 `--use-megatron-fsdp --data-parallel-sharding-strategy`;"
    " 3 `--use-torch-fsdp2`",
    "recompute": "`--recompute-granularity`, `--recompute-modules`, `--recompute-activations`",
    "schedule": "1f1b",
    "split": "counted `--account-for-embedding-in-pipeline-split --account-for-loss-in-pipeline-split`;"
    " `--pipeline-model-parallel-layout` where layers do not divide",
    "overlap": "data `--overlap-grad-reduce --overlap-param-gather`; expert `--overlap-moe-expert-parallel-comm`",
    "tensor_overlap": "ring `--tp-comm-overlap`",
    "context_kind": "`--cp-comm-type` ring p2p, ulysses a2a",
    "offload": "weights `--cpu-offloading --cpu-offloading-weights`; activations"
    " `--fine-grained-activation-offloading --offload-modules`; optimizer `--optimizer-cpu-offload`",
    "order": "tp-cp-pp-dp `--use-tp-pp-dp-mapping`",
    "sequence_parallel": "`--sequence-parallel`",
    "scatter_gather": "with `--sequence-parallel`",
    "fused_attention": "`--attention-backend`",
}
PLACEHOLDERS = {"mock_data": True, "tokenizer_type": "NullTokenizer", "train_iters": 100, "lr": "1.0e-4"}


def recognised(text: str) -> bool:
    """Return whether a text looks like flags of Megatron-LM."""
    return "--tensor-model-parallel-size" in text or "--num-attention-heads" in text or "--micro-batch-size" in text


def read(text: str, where: str = "") -> Imported:
    """Return what a launch script or a list of flags says; raise ScenarioError for contradictions and no numbers."""
    if re.search(r"^\s+--[\w-]+:", text, re.MULTILINE):
        return core_import(NAME, keyed_settings(text, where))
    script = read_script(text, where)
    return core_import(NAME, flag_settings(script, where, SWITCHES), script.doubts)


def keyed_settings(text: str, where: str) -> Settings:
    """Return the flags of YAML that has them as keys (`MODEL_ARGS: {--num-layers: 12}`), as the project's tests do."""
    values = {}
    for path, setting in paths(text, where).items():
        said = path[path.find("--") :]
        name = said[2:].replace("-", "_")
        if said.startswith("--") and setting.value is not False:
            values[RENAMED.get(name, name)] = Setting(value=setting.value, said=said, line=setting.line)
    return Settings(where=where, values=values)


def write(export: Export) -> str:
    """Return a launch script; raise ScenarioError for what Megatron-LM cannot express."""
    return script_text(export, core_blocks(export), "pretrain_gpt.py", connections(export))


def script_text(export: Export, blocks: list[Block], program: str, lines: tuple[str, ...] = ()) -> str:
    """Return a script of commented flag blocks that starts a program on all nodes."""
    nodes, each = export.nodes
    parts = [
        "#!/bin/bash",
        f"# {export.cards} processes, one a rank. Written by superpod for {export.framework}.",
        *lines,
        "",
    ]
    used = []
    for index, (title, settings) in enumerate([*blocks, ("Yours to replace: data, tokenizer, schedule", PLACEHOLDERS)]):
        if settings:
            used.append(f"ARGS_{index}")
            parts += [f"# {title}", f"ARGS_{index}=("]
            parts += [f"    {flag_line(name, value)}" for name, value in settings.items()]
            parts += [")"]
    launch = f"torchrun --nnodes {nodes} --nproc-per-node {each} --node-rank ${{NODE_RANK:-0}}"
    launch += " --master-addr ${MASTER_ADDR:-localhost} --master-port ${MASTER_PORT:-29500}"
    taken = " ".join(f'"${{{name}[@]}}"' for name in used)
    return "\n".join([*parts, "", f"{launch} \\", f"    {program} {taken}", ""])
