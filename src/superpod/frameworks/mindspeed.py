"""MindSpeed: Megatron-LM's flags with those of Ascend NPUs.

Flags: `mindspeed/arguments.py`, `mindspeed/features_manager` and `docs/zh/features` of
https://github.com/Ascend/MindSpeed, which stands on Megatron-Core 0.12.
"""

from collections.abc import Mapping
from dataclasses import replace

from superpod.errors import ScenarioError
from superpod.frameworks.core import KNOWN, core_import, flag_settings
from superpod.frameworks.core_model import unfit
from superpod.frameworks.core_read import SWITCHES, noted
from superpod.frameworks.core_write import Export, connections, core_blocks
from superpod.frameworks.imported import Imported
from superpod.frameworks.megatron import TABLE as MEGATRON_TABLE
from superpod.frameworks.megatron import script_text
from superpod.frameworks.settings import Setting, Settings, listed
from superpod.frameworks.shell import read_script
from superpod.parallel.layout import MODULES

NAME = "mindspeed"
TABLE = {
    **MEGATRON_TABLE,
    "expert": "`--expert-model-parallel-size`, times the tensor degree with `--moe-tp-extend-ep`",
    "zero": "1 `--use-distributed-optimizer`; 2, 3 `--use-custom-fsdp --data-parallel-sharding-strategy`;"
    " 3 `--use-torch-fsdp2`",
    "recompute": "as Megatron-LM; `--recompute-norm`, `--recompute-activation-function`, `--recompute-mla-up-proj`",
    "schedule": "1f1b; dualpipev `--schedules-method dualpipev`",
    "virtual": "as Megatron-LM; 2 with dualpipev",
    "overlap": "data `--overlap-grad-reduce --overlap-param-gather`; expert `--moe-alltoall-overlap-comm` or"
    " `--moe-fb-overlap`",
    "tensor_overlap": "ring `--use-ascend-mc2`; pipe `--use-ascend-coc --coc-parallel-num 2`",
    "context_kind": "`--context-parallel-algo` ring megatron_cp_algo, ulysses ulysses_cp_algo",
    "offload": "activations `--swap-attention`; optimizer `--swap-optimizer`",
    "fused_attention": "`--use-flash-attn`",
}
OWN_SWITCHES = listed(
    "dualpipev_dw_detach mla_swap_core_attn_out moe_alltoall_overlap_comm moe_fb_overlap moe_tp_extend_ep"
    " recompute_activation_function recompute_in_advance recompute_in_bubble recompute_mla_up_proj recompute_norm"
    " swap_attention swap_optimizer use_ascend_coc use_ascend_mc2 use_cp_send_recv_overlap"
)
OWN = ("context_parallel_algo", "schedules_method", "coc_parallel_num")
NOTED = {
    "coc_fused_kernel": "read as halves that overlap",
    "compress_activation": "activations are read as kept in 16 bits",
    "compress_dense": "activations are read as kept in 16 bits",
    "cp_window_size": "read as one ring",
    "dualpipev_dw_detach": "weight gradients at the end are not read as detached",
    "layerzero": "read as not sharded by layers",
    "moe_unperm2_mem_optim_swap": "read as kept on the card",
    "moe_zero_memory": "expert activations are read as kept",
    "noop_layers": "layers that do nothing count as layers",
    "optimize_send_recv_comm": "read as the usual transfers",
    "pipeline_num_transformer_layers": "uneven stages by hand; read as evenly shared",
    "recompute_activation_function_num_layers": "read as all layers",
    "recompute_in_advance": "read as recomputed just in time",
    "recompute_in_bubble": "read as recomputed just in time",
    "recompute_norm_num_layers": "read as all layers",
    "reuse_fp32_param": "16-bit weights are read as a copy of their own",
    "smart_swap": "read as kept on the card",
    "swap_layer_input": "read as kept on the card",
    "swap_modules": "read as all activations",
    "swap_optimizer_times": "chunks of the swap are not modelled",
    "tp_2d": "read as one tensor axis",
    "ulysses_degree_in_cp": "read as one ring",
    "use_ulysses_allgather_kv": "read as exchanged",
    "virtual_optimizer": "read as kept on the card",
    "mla_swap_core_attn_out": "read as kept on the card",
    "moe_allgather_overlap_comm": "experts are read as exchanged all to all",
    "balanced_moe_experts": "imbalance is the fact of the run (imbalance_ratio), not of the layout",
}
SIGNS = (*OWN_SWITCHES, *OWN, "use_fused_rmsnorm", "use_fused_swiglu", "use_fused_rotary_pos_emb", "moe_zero_memory")
LATER = ("moe_shared_expert_gate", "attention_output_gate")  # came after the Megatron-Core that MindSpeed stands on
FIELD_FLAGS = {
    "recompute_norm": "layernorm",
    "recompute_activation_function": "moe_act",
    "recompute_mla_up_proj": "mla_up_proj",
}


def recognised(text: str) -> bool:
    """Return whether a text has a flag that only MindSpeed knows."""
    return any("--" + name.replace("_", "-") in text for name in SIGNS)


def read(text: str, where: str = "") -> Imported:
    """Return what a launch script says; raise ScenarioError for what is contradictory or no number."""
    script = read_script(text, where)
    settings = flag_settings(script, where, (*SWITCHES, *OWN_SWITCHES))
    return core_import(NAME, common(settings), script.doubts, own, {*OWN_SWITCHES, *OWN, *NOTED})


def common(settings: Settings) -> Settings:
    """Return the settings with MindSpeed's own ways of saying what Megatron-LM says too."""
    values = dict(settings.values)
    algorithms = {"megatron_cp_algo": "p2p", "ulysses_cp_algo": "a2a", "kvallgather_cp_algo": "allgather"}
    if "context_parallel_algo" in settings:
        word = settings.word("context_parallel_algo")
        values["cp_comm_type"] = replace(values["context_parallel_algo"], value=[algorithms.get(word, word)])
    if "swap_optimizer" in settings:
        values["optimizer_cpu_offload"] = values["swap_optimizer"]
    if "use_flash_attn" not in settings and "attention_backend" not in settings:
        values["attention_backend"] = Setting(value="unfused", said="no --use-flash-attn")
    return replace(settings, values=values)


def own(settings: Settings, fixed: dict[str, float | str]) -> tuple[Mapping[str, float | str], list[str]]:
    """Return the fields that MindSpeed's own flags decide."""
    found: dict[str, float | str] = {}
    notes = noted(settings, NOTED)
    if settings.word("schedules_method", ("dualpipev",)):
        if fixed["pipeline"] == 1.0:
            raise settings.problem("schedules_method", "a pipeline of 2 stages or more")
        found |= {"schedule": "dualpipev", "virtual": 2.0}
    if settings.flag("moe_tp_extend_ep"):
        found |= {"expert": float(fixed["expert"]) * float(fixed["tensor"]), "expert_tensor": 1.0}
    if settings.flag("use_ascend_mc2"):
        found["tensor_overlap"] = "ring"
    elif settings.flag("use_ascend_coc") and settings.degree("coc_parallel_num") > 1:
        found["tensor_overlap"] = "pipe"
        parts = settings.degree("coc_parallel_num")
        notes += [f"--coc-parallel-num = {parts}: read as 2 halves"] if parts != 2 else []
    if settings.flag("moe_alltoall_overlap_comm") or settings.flag("moe_fb_overlap"):
        found["overlap"] = "data+expert"
        if fixed["overlap"] == "none":
            notes.append("expert traffic is overlapped and gradients are not: both are read as overlapped")
    if settings.flag("swap_attention"):
        kept = [part for part in str(fixed["offload"]).split("+") if part not in {"none", "activations"}]
        found["offload"] = "+".join(sorted({"activations", *kept}, key=("weights", "activations", "optimizer").index))
    again = {module for flag, module in FIELD_FLAGS.items() if settings.flag(flag)}
    if again and fixed["recompute"] != "full":
        again |= set(str(fixed["recompute"]).replace("selective", "core_attn").split("+"))
        found["recompute"] = "+".join(module for module in MODULES if module in again)
    return found, notes


def write(export: Export) -> str:
    """Return a launch script; raise ScenarioError for what MindSpeed cannot express."""
    layout = export.layout
    refuse_fields(export)
    plain = replace(layout, schedule="1f1b", virtual=1.0) if folded(export) else layout
    tokens = layout.overlap == "data+expert"
    plain = replace(plain, overlap="data" if tokens else layout.overlap, tensor_overlap="none", offload="none")
    blocks = core_blocks(replace(export, layout=plain))
    later = [name for _, settings in blocks for name in settings if name in LATER]
    if later and export.model:
        raise unfit(export.model, NAME, later[0], "what Megatron-Core 0.12 has")
    return script_text(
        export,
        [(title, renamed(settings)) for title, settings in blocks] + [("Ascend", own_settings(export))],
        "pretrain_gpt.py",
        ("# pretrain_gpt.py imports mindspeed.megatron_adaptor after torch.", *connections(export)),
    )


def folded(export: Export) -> bool:
    """Return whether the pipeline folds (DualPipeV)."""
    return export.layout.schedule == "dualpipev" and export.degree("pipeline") > 1


def own_settings(export: Export) -> dict[str, object]:
    """Return the flags that Megatron-LM does not have."""
    layout, moved = export.layout, str(export.layout.offload).split("+")
    kinds = {"ring": "megatron_cp_algo", "ulysses": "ulysses_cp_algo"}
    parts: list[tuple[bool, dict[str, object]]] = [
        (True, {"context_parallel_algo": kinds[str(layout.context_kind)]}),
        (layout.tensor_overlap == "ring", {"use_ascend_mc2": True}),
        (layout.tensor_overlap == "pipe", {"use_ascend_coc": True, "coc_parallel_num": 2}),
        (folded(export), {"schedules_method": "dualpipev"}),
        (layout.overlap == "data+expert", {"moe_alltoall_overlap_comm": True}),
        ("activations" in moved, {"swap_attention": True}),
        ("optimizer" in moved, {"swap_optimizer": True, "optimizer_selection": "fused_adamw"}),
        (bool(layout.fused_attention), {"use_flash_attn": True}),
    ]
    return {name: value for used, settings in parts if used for name, value in settings.items()}


def refuse_fields(export: Export) -> None:
    """Raise ScenarioError for what MindSpeed has no flag for, or refuses."""
    layout, moved, tensor = export.layout, str(export.layout.offload).split("+"), export.degree("tensor")
    shared, overlap = bool(layout.sequence_parallel), layout.tensor_overlap
    problems = [
        ("offload", "weights" in moved, "activations and optimizer"),
        (
            "offload",
            "optimizer" in moved and layout.zero == "0",
            "optimizer where it is sharded (zero 1 or more) alone",
        ),
        ("tensor_overlap", overlap not in {"none", "ring", "pipe"}, "none, ring or pipe"),
        ("tensor_overlap", overlap == "pipe" and tensor == 1, "pipe with tensor parallelism alone"),
        ("tensor_overlap", overlap == "ring" and (tensor == 1 or not shared), "ring with sequence_parallel alone"),
        (
            "overlap",
            layout.overlap == "data+expert" and export.degree("expert") == 1,
            "data without expert parallelism",
        ),
        (
            "recompute",
            "shared_experts" in str(layout.recompute).split("+"),
            "the parts that Megatron-Core 0.12 repeats",
        ),
    ]
    for field, wrong, supports in problems:
        if wrong:
            raise export.refuse(field, supports)
    if export.precision == "fp4":
        raise ScenarioError(
            "precision 'fp4': mindspeed supports bf16, fp16, fp8", where="export to mindspeed", hint="--precision bf16"
        )
    if folded(export):
        check_folded(export)


def renamed(settings: dict[str, object]) -> dict[str, object]:
    """Return settings of Megatron-Core as MindSpeed has them."""
    dropped = {"cp_comm_type", "attention_backend", "ckpt_format"}
    kept = {name: value for name, value in settings.items() if name not in dropped}
    if "use_megatron_fsdp" in kept:
        del kept["use_megatron_fsdp"]
        kept = {"use_custom_fsdp": True, **kept, "no_gradient_accumulation_fusion": True}
    return kept


def check_folded(export: Export) -> None:
    """Raise ScenarioError where MindSpeed's DualPipeV refuses the rest of the layout (`dualpipev_feature.py`)."""
    layout, stages = export.layout, export.degree("pipeline")
    passes = export.passes
    problems = {
        "overlap": (layout.overlap != "none", "none with dualpipev, which refuses overlapped gradients"),
        "context": (export.degree("context") > 1, "1 with dualpipev"),
        "virtual": (export.degree("virtual") != 2, "2 with dualpipev"),
        "offload": ("activations" in str(layout.offload), "no activations with dualpipev"),
        "zero": (layout.zero in {"2", "3"}, "0 or 1 with dualpipev"),
        "split": (layout.split != "even", "even with dualpipev"),
        "pipeline": (passes < 2 * stages - 1, f"at most {(passes + 1) // 2} stages for {passes} micro-batches"),
    }
    for field, (wrong, supports) in problems.items():
        if wrong:
            raise export.refuse(field, supports)
    if export.model and export.model.layers_count % (2 * stages):
        raise export.refuse("pipeline", f"stages of which twice as many divide {export.model.layers_count} layers")
    if export.model and export.model.tied_embeddings:
        raise export.refuse("schedule", "dualpipev for models whose embeddings are not tied")


__all__ = ["KNOWN", "NAME", "TABLE", "read", "recognised", "write"]
