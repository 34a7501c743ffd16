"""Megatron-Bridge: YAML that changes a recipe, and scripts with `model.tensor_model_parallel_size=8` overrides.

Keys: `src/megatron/bridge/training/config.py` and the guide from Megatron-LM of
https://github.com/NVIDIA-NeMo/Megatron-Bridge. What a file does not say is the recipe's, so it stays open here.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

from superpod.frameworks.core import core_import, flags
from superpod.frameworks.core_read import DECIDED_BY, SWITCHES
from superpod.frameworks.core_write import Export, core_blocks
from superpod.frameworks.imported import Imported
from superpod.frameworks.settings import Setting, Settings, scalar
from superpod.frameworks.shell import Script, Token, read_script
from superpod.frameworks.yaml_text import paths

NAME = "bridge"
TABLE = {
    "tensor": "`model.tensor_model_parallel_size`",
    "context": "`model.context_parallel_size`",
    "pipeline": "`model.pipeline_model_parallel_size`",
    "virtual": "`model.virtual_pipeline_model_parallel_size`",
    "data": "what is left of `--nnodes` x `--nproc-per-node` (of the script, or of a comment)",
    "expert": "`model.expert_model_parallel_size`",
    "expert_tensor": "`model.expert_tensor_parallel_size`",
    "micro_batch": "`train.micro_batch_size`",
    "shard": "data and context ranks / `ddp.num_distributed_optimizer_instances`",
    "gradient_bytes": "the recipe of `mixed_precision`; `ddp.grad_reduce_in_fp32`",
    "zero": "1 `ddp.use_distributed_optimizer`; 0 to 3 `ddp.use_megatron_fsdp`, `ddp.data_parallel_sharding_strategy`;"
    " 3 `dist.use_torch_fsdp2`",
    "recompute": "`model.recompute_granularity`, `model.recompute_modules`",
    "schedule": "1f1b",
    "split": "counted `model.account_for_{embedding,loss}_in_pipeline_split`;"
    " `model.pipeline_model_parallel_layout` where layers do not divide",
    "overlap": "data `ddp.overlap_grad_reduce`, `ddp.overlap_param_gather`;"
    " expert `comm_overlap.overlap_moe_expert_parallel_comm`",
    "tensor_overlap": "ring `comm_overlap.tp_comm_overlap`",
    "context_kind": "`model.cp_comm_type` ring p2p, ulysses a2a",
    "offload": "weights `model.cpu_offloading`, `model.cpu_offloading_weights`; activations"
    " `model.fine_grained_activation_offloading`; optimizer `optimizer.optimizer_cpu_offload`",
    "order": "tp-cp-pp-dp `dist.use_tp_pp_dp_mapping`",
    "sequence_parallel": "`model.sequence_parallel`",
    "scatter_gather": "with `model.sequence_parallel`",
    "fused_attention": "`model.attention_backend`",
}
SECTIONS = ("model", "train", "ddp", "dist", "comm_overlap", "optimizer", "dataset", "mixed_precision", "checkpoint")
# Other names for settings of Megatron-LM, and those with the opposite sense.
RENAMED = {
    "virtual_pipeline_model_parallel_size": "num_virtual_stages_per_pipeline_rank",
    "num_moe_experts": "num_experts",
    "gated_linear_unit": "swiglu",
    "sequence_length": "seq_length",
    "torch_fsdp2_reshard_after_forward": "torch_fsdp2_no_reshard_after_forward",
    "grad_reduce_in_fp32": "accumulate_allreduce_grads_in_fp32",
    "add_bias_linear": "disable_bias_linear",
    "share_embeddings_and_output_weights": "untie_embeddings_and_output_weights",
}
OPPOSITE = ("add_bias_linear", "share_embeddings_and_output_weights", "torch_fsdp2_reshard_after_forward")
KEYS = {name: key for key, name in RENAMED.items() if key != "sequence_length"}
RECIPES: dict[str, dict[str, object]] = {
    "nvfp4": {"fp4": "e2m1"},
    "mxfp8": {"fp8": "e4m3", "fp8_recipe": "mxfp8"},
    "fp8_subchannel": {"fp8": "e4m3", "fp8_recipe": "blockwise"},
    "fp8_current": {"fp8": "hybrid", "fp8_recipe": "tensorwise"},
    "fp8_delayed": {"fp8": "hybrid", "fp8_recipe": "delayed"},
    "bf16": {"bf16": True},
    "16_mixed": {"fp16": True},
}
FORMATS = {
    "bf16": "bf16_mixed",
    "fp16": "fp16_mixed",
    "fp8": "bf16_with_fp8_subchannel_scaling_mixed",
    "fp4": "bf16_with_nvfp4_mixed",
}
HOMES = {
    "train": ("micro_batch_size", "global_batch_size"),
    "ddp": (
        "use_distributed_optimizer",
        "use_megatron_fsdp",
        "data_parallel_sharding_strategy",
        "num_distributed_optimizer_instances",
        "overlap_grad_reduce",
        "overlap_param_gather",
    ),
    "dist": ("use_tp_pp_dp_mapping",),
    "comm_overlap": ("tp_comm_overlap", "overlap_moe_expert_parallel_comm"),
    "optimizer": ("optimizer_cpu_offload",),
    "checkpoint": ("ckpt_format",),
}
OVERLAP_CONFIG = "megatron.bridge.training.comm_overlap.CommOverlapConfig"
# Said in full, so that nothing is left to the recipe.
BASE: dict[str, object] = {
    "mtp_num_layers": None,
    "num_virtual_stages_per_pipeline_rank": None,
    "pipeline_model_parallel_layout": None,
    "account_for_embedding_in_pipeline_split": False,
    "account_for_loss_in_pipeline_split": False,
    "expert_model_parallel_size": 1,
    "expert_tensor_parallel_size": 1,
    "sequence_parallel": False,
    "cp_comm_type": "p2p",
    "recompute_granularity": None,
    "recompute_method": None,
    "recompute_num_layers": None,
    "cpu_offloading": False,
    "fine_grained_activation_offloading": False,
    "use_distributed_optimizer": False,
    "use_megatron_fsdp": False,
    "num_distributed_optimizer_instances": 1,
    "overlap_grad_reduce": False,
    "overlap_param_gather": False,
    "use_tp_pp_dp_mapping": False,
    "optimizer_cpu_offload": False,
    "tp_comm_overlap": False,
    "overlap_moe_expert_parallel_comm": False,
}


def recognised(text: str) -> bool:
    """Return whether a text has the sections or the overrides of Megatron-Bridge."""
    return bool(re.search(r"^(model|train|ddp|comm_overlap):\s*$", text, re.MULTILINE)) or bool(
        re.search(r"\b(model|train|ddp)\.\w+=", text)
    )


def read(text: str, where: str = "") -> Imported:
    """Return what YAML, or a script with overrides, says; raise ScenarioError for what is malformed or no number."""
    if re.search(r"(^|[\s\"'])\+{0,2}(model|train|ddp)\.\w+=", text):
        script = read_script(text, where)
        found = imported(overrides(script), flags(script.words, frozenset(SWITCHES)), where)
        return replace(found, unread=(*found.unread, *script.doubts))
    comments = " ".join(re.findall(r"^\s*#(.*)$", text, re.MULTILINE))
    launch = flags([Token(text=word, line=0) for word in comments.split()], frozenset(SWITCHES))
    return imported(paths(text, where), launch, where)


def overrides(script: Script) -> dict[str, Setting]:
    """Return the `a.b=c` words of a script by their path."""
    found = {}
    for word in script.words:
        match = re.fullmatch(r"\+{0,2}([a-z_]+(?:\.\w+)*)=(.*)", word.text)
        if match:
            value = None if match[2].lower() in {"null", "none"} else match[2]
            found[match[1]] = Setting(value=value, said=match[1], line=word.line)
    return found


def imported(values: Mapping[str, Setting], launch: Mapping[str, Setting], where: str) -> Imported:
    """Return what settings by path say; a field is fixed where the file decides it."""
    cards = {name: launch[name] for name in ("nnodes", "nproc_per_node") if name in launch}
    settings = Settings(where=where, values={**core_names(values, where), **cards})
    found = core_import(NAME, settings)
    fixed = {name: value for name, value in found.fixed.items() if decided(name, settings)}
    axes = ("tensor", "context", "pipeline")
    if not all(axis in fixed for axis in axes):
        fixed.pop("data", None)  # the recipe's degrees share the cards too
    said = any(name in settings.values for name in ("bf16", "fp16", "fp8", "fp4"))
    return replace(
        found,
        fixed=fixed,
        unread=found.unread
        if said
        else tuple(note for note in found.unread if not note.startswith("no number format")),
        ignored_count=found.ignored_count + len(values) - len(core_names(values, where)),
    )


def decided(field: str, settings: Settings) -> bool:
    """Return whether the file decides a field of the layout; to say no to FSDP leaves the optimizer open."""
    if field == "zero" and "use_distributed_optimizer" not in settings:
        return settings.flag("use_megatron_fsdp") or settings.flag("use_torch_fsdp2")
    return field not in DECIDED_BY or any(name in settings.values for name in DECIDED_BY[field])


def core_names(values: Mapping[str, Setting], where: str) -> dict[str, Setting]:
    """Return settings of the sections that matter under Megatron-LM's names."""
    found: dict[str, Setting] = {}
    for path, setting in values.items():
        section, _, key = path.partition(".")
        name = key.rpartition(".")[2]
        if section not in SECTIONS or (section == "dataset" and name not in {"seq_length", "sequence_length"}):
            continue
        if path == "mixed_precision":
            found |= formats(setting, where)
            continue
        value = setting.value
        if name in OPPOSITE and value is not None:
            value = str(scalar(value)).lower() in {"false", "0", "no"}
        name = RENAMED.get(name, name)
        if name in found and found[name].value is True:
            continue  # said twice, as ddp and dist both may: one yes is enough
        found[name] = replace(setting, value=value)
    if "accumulate_allreduce_grads_in_fp32" in found:
        narrow = found["accumulate_allreduce_grads_in_fp32"]
        found["grad_reduce_in_bf16"] = replace(narrow, value=str(narrow.value).lower() == "false")
    if found.get("num_query_groups", Setting(value=None, said="")).value is not None:
        found["group_query_attention"] = Setting(value=True, said="model.num_query_groups")
    return found


def formats(setting: Setting, where: str) -> dict[str, Setting]:
    """Return the settings behind the name of a mixed-precision recipe."""
    name = str(setting.value).lower().replace("-", "_")
    values = next((values for word, values in RECIPES.items() if word in name), {})
    if not values:
        raise Settings(where=where, values={"mixed_precision": setting}).problem(
            "mixed_precision", "a recipe's name such as bf16_mixed"
        )
    wide = {"accumulate_allreduce_grads_in_fp32": "fp16" not in values}  # as the recipes have it
    return {key: replace(setting, value=value) for key, value in {**wide, **values}.items()}


def write(export: Export) -> str:
    """Return YAML that settles every field over any recipe; raise ScenarioError for what Megatron-Bridge lacks."""
    if export.degree("gradient_bytes") != (2 if export.precision == "fp16" else 4):
        raise export.refuse("gradient_bytes", "4, or 2 with fp16, as its mixed-precision recipes have it")
    blocks = core_blocks(export)
    said = {name: value for _, settings in blocks for name, value in settings.items()}
    sections: dict[str, dict[str, object]] = {"mixed_precision": {"": FORMATS[export.precision]}}
    whole: dict[str, object] = {**BASE, **said}
    for name, value in whole.items():
        if name in {"bf16", "fp16", "fp8", "fp8_recipe", "fp4", "group_query_attention"}:
            continue
        home = next((section for section, names in HOMES.items() if name in names), "model")
        sections.setdefault(home, {})[KEYS.get(name, name)] = not value if KEYS.get(name) in OPPOSITE else value
    if export.model:
        sections["model"].setdefault("add_bias_linear", True)
        sections["model"].setdefault("share_embeddings_and_output_weights", True)
    # Whole, since a recipe may have none to change; it settles the overlap of gradients too.
    both = {name: sections["ddp"][name] for name in ("overlap_grad_reduce", "overlap_param_gather")}
    sections["comm_overlap"] = {"_target_": OVERLAP_CONFIG, **sections["comm_overlap"], **both}
    sections["dataset"] = {"sequence_length": export.work.sequence_tokens}
    nodes, each = export.nodes
    head = [
        f"# {export.cards} processes, one a rank. Written by superpod for Megatron-Bridge.",
        f"# torchrun --nnodes {nodes} --nproc-per-node {each} YOUR_RECIPE.py --config-file THIS_FILE",
    ]
    return "\n".join([*head, *(line for name, keys in sections.items() for line in section_lines(name, keys)), ""])


def section_lines(name: str, keys: Mapping[str, object]) -> Iterable[str]:
    """Return the lines of a section, or of one value."""
    if list(keys) == [""]:
        return [f"{name}: {keys['']}"]
    return [f"{name}:", *(f"  {key}: {plain(value)}" for key, value in keys.items())]


def plain(value: object) -> str:
    """Return a value as YAML."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(map(plain, value))}]"
    text = str(value)
    return f'"{text}"' if re.search(r"[*|()\[\]:#{}]", text) else text
