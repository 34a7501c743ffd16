"""What the settings of Megatron-Core mean as a layout. Names are those of Megatron-LM's parsed arguments.

Source of names, defaults and rules: `megatron/training/arguments.py`, `megatron/core/transformer/transformer_config.py`
and `megatron/core/model_parallel_config.py` of https://github.com/NVIDIA/Megatron-LM.
"""

from collections.abc import Mapping

from superpod.errors import ScenarioError
from superpod.frameworks.settings import Settings, listed, scalar
from superpod.frameworks.stage_layout import split_of, unrolled
from superpod.parallel.layout import MODULES, Layout

Fixed = dict[str, float | str]
AXIS_NAMES = ("tensor_model", "context", "pipeline_model")
Found = tuple[Fixed, list[str]]
SHARDED = {"no_shard": "0", "optim": "1", "optim_grads": "2", "optim_grads_params": "3"}
BLOCK_SCALED = ("blockwise", "mxfp8", "mxfp8-32x32")

# Settings that change speed or memory and have no field of their own, with how they are read.
NOTED = {
    "activation_offload_fraction": "a share of what is offloaded; read as all of it",
    "cuda_graph_impl": "CUDA graphs belong to the software release",
    "cuda_graph_scope": "CUDA graphs belong to the software release",
    "decoder_first_pipeline_num_layers": "uneven stages by hand; read as evenly shared",
    "decoder_last_pipeline_num_layers": "uneven stages by hand; read as evenly shared",
    "defer_embedding_wgrad_compute": "read as not deferred",
    "delay_wgrad_compute": "weight gradients are not read as delayed",
    "deterministic_mode": "slower kernels are not modelled",
    "distribute_saved_activations": "read as kept whole",
    "enable_cuda_graph": "CUDA graphs belong to the software release",
    "exp_avg_dtype": "optimizer state is read as 32-bit",
    "exp_avg_sq_dtype": "optimizer state is read as 32-bit",
    "external_cuda_graph": "CUDA graphs belong to the software release",
    "fp8_param": "weights are gathered in the number format's own size",
    "fp8_param_gather": "weights are gathered in the number format's own size",
    "hierarchical_context_parallel_sizes": "read as one ring",
    "hybrid_context_parallel": "read as one ring",
    "main_grads_dtype": "gradients are read as 32-bit",
    "main_params_dtype": "main weights are read as 32-bit",
    "microbatch_group_size_per_vp_stage": "read as the number of stages",
    "mlp_chunks_for_training": "read as 1",
    "moe_expert_capacity_factor": "tokens are read as never dropped",
    "moe_pad_expert_input_to_capacity": "read as not padded",
    "moe_paged_stash": "read as off",
    "moe_router_force_load_balancing": "imbalance is the fact of the run (imbalance_ratio), not of the layout",
    "moe_shared_expert_overlap": "shared experts are read as in line",
    "no_gradient_accumulation_fusion": "read as fused",
    "no_overlap_p2p_communication": "transfers of interleaved stages are read as hidden",
    "num_layers_in_first_pipeline_stage": "uneven stages by hand; read as evenly shared",
    "num_layers_in_last_pipeline_stage": "uneven stages by hand; read as evenly shared",
    "outer_dp_sharding_strategy": "replicas of a sharded group are read as whole",
    "overlap_dispatch_backward_with_experts_wgrad": "read as not overlapped",
    "overlap_param_gather_with_optimizer_step": "read as not overlapped",
    "rampup_batch_size": "the full batch is read",
    "tensor_parallel_num_weight_shards": "read as the tensor degree",
    "tp_comm_overlap_disable_fc1": "read as overlapped",
    "tp_comm_overlap_disable_qkv": "read as overlapped",
    "use_precision_aware_optimizer": "optimizer state is read as 32-bit",
}
# Settings that the functions here read: switches, and those with a value.
SWITCHES = listed(
    "account_for_embedding_in_pipeline_split account_for_loss_in_pipeline_split add_qkv_bias attention_output_gate bf16"
    " cpu_offloading cpu_offloading_activations cpu_offloading_weights disable_bias_linear enable_cuda_graph"
    " accumulate_allreduce_grads_in_fp32 grad_reduce_in_bf16"
    " external_cuda_graph fine_grained_activation_offloading fp16 group_query_attention moe_router_enable_expert_bias"
    " moe_shared_expert_gate multi_latent_attention no_cpu_offloading_activations optimizer_cpu_offload"
    " overlap_grad_reduce overlap_moe_expert_parallel_comm overlap_param_gather qk_layernorm recompute_activations"
    " sequence_parallel swiglu torch_fsdp2_no_reshard_after_forward tp_comm_overlap untie_embeddings_and_output_weights"
    " use_custom_fsdp use_distributed_optimizer use_flash_attn use_megatron_fsdp use_rotary_position_embeddings"
    " use_torch_fsdp2 use_tp_pp_dp_mapping"
)
READ = listed(
    "account_for_embedding_in_pipeline_split account_for_loss_in_pipeline_split attention_backend context_parallel_size"
    " cp_comm_type cpu_offloading cpu_offloading_activations cpu_offloading_num_layers cpu_offloading_weights"
    " data_parallel_sharding_strategy expert_model_parallel_size expert_tensor_parallel_size"
    " fine_grained_activation_offloading offload_modules global_batch_size micro_batch_size"
    " num_distributed_optimizer_instances num_layers_per_virtual_pipeline_stage num_virtual_stages_per_pipeline_rank"
    " optimizer_cpu_offload optimizer_offload_fraction overlap_grad_reduce overlap_moe_expert_parallel_comm"
    " overlap_param_gather pipeline_model_parallel_layout pipeline_model_parallel_size recompute_activations"
    " recompute_granularity recompute_method recompute_modules recompute_num_layers seq_length sequence_parallel"
    " tensor_model_parallel_size torch_fsdp2_no_reshard_after_forward tp_comm_overlap use_custom_fsdp"
    " use_distributed_optimizer use_flash_attn use_megatron_fsdp use_torch_fsdp2 use_tp_pp_dp_mapping bf16 fp16"
    " accumulate_allreduce_grads_in_fp32 grad_reduce_in_bf16"
    " fp8 fp8_recipe fp4 nnodes nproc_per_node world_size no_cpu_offloading_activations"
)


def layout_fields(settings: Settings, cards: int | None) -> Found:
    """Return the fields of `Layout` that the settings fix, and notes; raise ScenarioError where they contradict."""
    fixed, notes = degrees(settings, cards)
    for part in (zero, reduced, stage_split, recompute, overlap, tensor_split, context_kind, offload):
        more, said = part(settings, fixed)
        fixed |= more
        notes += said
    return fixed, notes + noted(settings, NOTED)


def noted(settings: Settings, table: Mapping[str, str]) -> list[str]:
    """Return what the file sets and the table only comments on; what is switched off is not mentioned."""
    off = {False, None, "none", "false", "0"}
    return [
        f"{settings.said(name)} = {value}: {how}"
        for name, how in table.items()
        if name in settings and (value := settings.word(name)) not in off
    ]


def cards_of(settings: Settings) -> tuple[int | None, list[str]]:
    """Return nodes times cards a node, the world size, or None with a note where only the launcher knows."""
    names = [name for name in ("nproc_per_node", "nnodes", "world_size") if name in settings]
    open_ends = [name for name in names if not settings.word(name).isdecimal()]
    if open_ends:
        name = open_ends[0]
        return None, [f"{settings.said(name)} = {settings.word(name)}: the number of cards is not stated"]
    each, nodes = settings.whole("nproc_per_node"), settings.whole("nnodes", 1)
    if each is not None and nodes is not None:
        return each * nodes, []
    return settings.whole("world_size"), []


def precision_of(settings: Settings) -> tuple[str | None, list[str]]:
    """Return a row of PRECISIONS, None for 32 bits, and notes on the scaling of narrow products."""
    if settings.word("fp4"):
        return "fp4", []
    if settings.word("fp8"):
        recipe = settings.word("fp8_recipe", default="delayed")
        note = f"{settings.said('fp8_recipe')} = {recipe}: a scale a tensor or row; read as a scale a block"
        return "fp8", [] if recipe in BLOCK_SCALED else [note]
    if settings.flag("bf16"):
        return "bf16", []
    if settings.flag("fp16"):
        return "fp16", []
    return None, ["no number format is named: 32 bits in Megatron-Core, which are not modelled"]


def degrees(settings: Settings, cards: int | None) -> Found:
    """Return the degrees; raise ScenarioError where they do not multiply to the cards or the batch does not divide."""
    tensor, context, pipeline = (settings.degree(f"{axis}_parallel_size") for axis in AXIS_NAMES)
    fixed: Fixed = {"tensor": float(tensor), "context": float(context), "pipeline": float(pipeline)}
    block = tensor * context * pipeline
    if cards is not None:
        if cards % block:
            raise ScenarioError(
                f"tensor {tensor} x pipeline {pipeline} x context {context} is {block}, found {cards} cards,"
                f" expected a multiple of {block}",
                where=settings.where,
                hint="change a degree, or the nodes and cards a node",
            )
        fixed["data"] = float(cards // block)
    virtual, notes = chunks(settings, pipeline)
    fixed |= {"virtual": float(virtual)} if virtual else {}
    micro_batch = settings.whole("micro_batch_size")
    fixed |= {"micro_batch": float(micro_batch)} if micro_batch else {}
    fixed |= experts(settings, tensor, None if cards is None else cards // pipeline)
    batch, each = settings.whole("global_batch_size"), fixed.get("data")
    if batch and micro_batch and each and batch % (micro_batch * int(each)):
        raise settings.problem("global_batch_size", f"a multiple of micro-batch {micro_batch} x data {int(each)}")
    return fixed, notes


def experts(settings: Settings, tensor: int, block: int | None) -> Fixed:
    """Return the degrees of expert parallelism; `block` is the ranks of a stage."""
    count, expert = settings.whole("num_experts", 0, least=0) or 0, settings.degree("expert_model_parallel_size")
    if not count and "num_layers" in settings:
        if expert > 1:
            raise settings.problem("expert_model_parallel_size", "1, for a model without experts")
        return {"expert": 1.0, "expert_tensor": 1.0}
    if count and count % expert:
        raise settings.problem("expert_model_parallel_size", f"a divisor of {count} experts")
    apart = settings.whole("expert_tensor_parallel_size", tensor if count or expert > 1 else 1) or 1
    if block is not None and block % (expert * apart):
        raise settings.problem(
            "expert_model_parallel_size",
            f"expert x expert-tensor ({expert} x {apart}) to divide the {block} ranks of a stage",
        )
    return {"expert": float(expert), "expert_tensor": float(apart)}


def chunks(settings: Settings, pipeline: int) -> tuple[int | None, list[str]]:
    """Return the model chunks of a stage, None where only the unknown number of layers would tell."""
    ways = ("num_virtual_stages_per_pipeline_rank", "num_layers_per_virtual_pipeline_stage")
    given = [name for name in (*ways, "pipeline_model_parallel_layout") if name in settings]
    if len(given) > 1 and "pipeline_model_parallel_layout" not in given:
        raise settings.problem(given[1], f"nothing beside {settings.said(given[0])}", "give one of the two")
    if not given:
        return 1, []
    by_hand = "pipeline_model_parallel_layout" in given
    virtual, notes = laid_out(settings, pipeline) if by_hand else interleaved(settings, given[0], pipeline)
    if virtual and virtual > 1 and pipeline == 1:
        raise settings.problem(given[0], "a pipeline of 2 stages or more to interleave", "set the pipeline degree")
    return virtual, notes


def laid_out(settings: Settings, pipeline: int) -> tuple[int | None, list[str]]:
    """Return the chunks of a stage under a layout written by hand."""
    name = "pipeline_model_parallel_layout"
    parts = unrolled(str(scalar(settings.values[name].value)))
    if parts is None or len(parts) % pipeline:
        raise settings.problem(name, f"a multiple of {pipeline} chunks of E, t, m and L", "an example: Et*3|t*4|t*3L")
    return len(parts) // pipeline, []


def interleaved(settings: Settings, name: str, pipeline: int) -> tuple[int | None, list[str]]:
    """Return the chunks of a stage from their number or from their layers."""
    count = settings.whole(name) or 1
    if name == "num_virtual_stages_per_pipeline_rank":
        return count, []
    layers = settings.whole("num_layers")
    if layers is None:
        return None, [f"{settings.said(name)} = {count}: the number of layers is not stated"]
    layers += settings.flag("account_for_embedding_in_pipeline_split")
    layers += settings.flag("account_for_loss_in_pipeline_split")
    if layers % (pipeline * count):
        raise settings.problem(name, f"a divisor of the {layers} layers over {pipeline} stages")
    return layers // (pipeline * count), []


def zero(settings: Settings, fixed: Fixed) -> Found:
    """Return the stage of ZeRO, and the ranks that share a copy where there are several."""
    notes: list[str] = []
    if settings.flag("use_torch_fsdp2"):
        stage = "2" if settings.flag("torch_fsdp2_no_reshard_after_forward") else "3"
    elif settings.flag("use_megatron_fsdp") or settings.flag("use_custom_fsdp"):
        stage = SHARDED[settings.word("data_parallel_sharding_strategy", tuple(SHARDED), "optim_grads_params")]
    else:
        stage = "1" if settings.flag("use_distributed_optimizer") else "0"
    copies = settings.degree("num_distributed_optimizer_instances")
    if copies == 1:
        return {"zero": stage, "shard": 0.0}, notes
    if "data" not in fixed:
        return {"zero": stage}, [f"num_distributed_optimizer_instances = {copies}: the number of cards is not stated"]
    ranks = int(float(fixed["data"]) * float(fixed["context"]))
    if ranks % copies:
        raise settings.problem("num_distributed_optimizer_instances", f"a divisor of the {ranks} data ranks")
    return {"zero": stage, "shard": float(ranks // copies)}, notes


def reduced(settings: Settings, fixed: Fixed) -> Found:
    """Return the width of reduced gradients: 32 bits with bf16 unless denied, 16 with fp16 unless asked for."""
    wide = settings.flag("accumulate_allreduce_grads_in_fp32")
    narrow = not wide and (settings.flag("grad_reduce_in_bf16") or settings.flag("fp16"))
    return {"gradient_bytes": 2.0 if narrow else 4.0}, []


def stage_split(settings: Settings, fixed: Fixed) -> Found:
    """Return how layers lie on stages, the schedule and the order of ranks."""
    order = "tp-cp-pp-dp" if settings.flag("use_tp_pp_dp_mapping") else "tp-cp-dp-pp"
    found: Fixed = {"schedule": "1f1b", "order": order}
    ends = [settings.flag(f"account_for_{end}_in_pipeline_split") for end in ("embedding", "loss")]
    found["split"] = "counted" if all(ends) and fixed["pipeline"] != 1.0 else "even"
    notes = ["only one end of the pipeline counts as a layer; read as evenly shared"] if sum(ends) == 1 else []
    name = "pipeline_model_parallel_layout"
    if name in settings:
        layers, text = settings.whole("num_layers"), str(scalar(settings.values[name].value))
        bare = Layout(pipeline=float(fixed["pipeline"]), virtual=float(fixed.get("virtual", 1.0)))
        match = split_of(unrolled(text) or [""], bare, layers) if layers else ""
        found["split"] = match or "even"
        notes += [] if match else [f"{settings.said(name)} = {text}: stages by hand; read as evenly shared"]
    return found, notes


def recompute(settings: Settings, fixed: Fixed) -> Found:
    """Return what is computed again in the backward pass."""
    kind = settings.word("recompute_granularity", ("full", "selective", "none"), "none")
    if settings.flag("recompute_activations"):
        kind = "selective"
    parts = settings.words("recompute_modules")
    if kind == "full":
        return {"recompute": "full"}, partly(settings, fixed)
    if kind == "none" or not parts:
        return {"recompute": kind}, []
    known = [module for module in MODULES if module in parts]
    notes = [f"recompute_modules: {part} is read as kept" for part in parts if part not in MODULES]
    return {"recompute": "+".join(known) or "none"}, notes


def partly(settings: Settings, fixed: Fixed) -> list[str]:
    """Return a note where full recompute covers some layers of a stage, or keeps inputs of blocks of layers."""
    count, layers = settings.whole("recompute_num_layers", least=0), settings.whole("num_layers")
    method = settings.word("recompute_method", ("uniform", "block"), "")
    if count is None or not method or (method == "uniform" and count == 1):
        return []
    if method == "block" and layers and count * float(fixed["pipeline"]) * float(fixed.get("virtual", 1.0)) >= layers:
        return []
    return [f"{settings.said('recompute_num_layers')} = {count} ({method}): read as all layers, each on its own"]


def overlap(settings: Settings, fixed: Fixed) -> Found:
    """Return what travels beside kernels."""
    always = settings.flag("use_torch_fsdp2")  # PyTorch's FSDP prefetches by itself
    gradients = always or settings.flag("overlap_grad_reduce")
    weights = always or settings.flag("overlap_param_gather")
    tokens = settings.flag("overlap_moe_expert_parallel_comm")
    notes = []
    if gradients and not weights and fixed["zero"] != "0":
        notes.append("overlap_param_gather is off: weights are read as gathered beside kernels all the same")
    if tokens and not gradients:
        notes.append("expert traffic is overlapped and gradients are not: both are read as overlapped")
    return {"overlap": "data+expert" if tokens else "data" if gradients else "none"}, notes


def tensor_split(settings: Settings, fixed: Fixed) -> Found:
    """Return how tensor ranks share sequences, overlap their collectives and pass activations on."""
    if settings.flag("tp_comm_overlap") and (fixed["tensor"] == 1.0 or not settings.flag("sequence_parallel")):
        raise settings.problem(
            "tp_comm_overlap", "tensor parallelism with sequence parallelism", "Megatron-Core refuses it without"
        )
    found: Fixed = {"tensor_overlap": "ring" if settings.flag("tp_comm_overlap") else "none"}
    backend = settings.word("attention_backend", ("auto", "flash", "fused", "unfused", "local"), "auto")
    found["fused_attention"] = backend not in {"unfused", "local"}
    if fixed["tensor"] != 1.0:
        found["sequence_parallel"] = settings.flag("sequence_parallel")
        # Stages pass on what a rank holds: its share of the sequence, or all of it.
        found["scatter_gather"] = found["sequence_parallel"]
    return found, []


def context_kind(settings: Settings, fixed: Fixed) -> Found:
    """Return ring attention or Ulysses."""
    kinds = settings.words("cp_comm_type") or ("p2p",)
    known = {"p2p": "ring", "a2a": "ulysses"}
    if fixed["context"] == 1.0:
        return {"context_kind": "ring"}, []
    if len(set(kinds)) == 1 and kinds[0] in known:
        return {"context_kind": known[kinds[0]]}, []
    return {"context_kind": "ring"}, [f"{settings.said('cp_comm_type')} = {' '.join(kinds)}: read as ring attention"]


def offload(settings: Settings, fixed: Fixed) -> Found:
    """Return what lives in host memory between uses."""
    parts, notes = set(), []
    if settings.flag("cpu_offloading"):
        kept = settings.flag("no_cpu_offloading_activations")
        parts |= {"activations"} if settings.flag("cpu_offloading_activations", default=not kept) else set()
        parts |= {"weights"} if settings.flag("cpu_offloading_weights") else set()
        count, layers = settings.whole("cpu_offloading_num_layers", 0, least=0), settings.whole("num_layers")
        if layers and count != layers - 1:
            notes.append(f"{settings.said('cpu_offloading_num_layers')} = {count}: read as every layer")
    if settings.flag("fine_grained_activation_offloading"):
        parts |= {"activations"}
        modules = settings.words("offload_modules")
        if set(modules) != set(OFFLOADABLE):
            notes.append(f"{settings.said('offload_modules')} = {' '.join(modules)}: read as all activations")
    if settings.flag("optimizer_cpu_offload"):
        parts |= {"optimizer"}
        share = settings.word("optimizer_offload_fraction", default="1")
        notes += [] if share in {"1", "1.0"} else [f"optimizer_offload_fraction = {share}: read as all of it"]
    return {"offload": "+".join(sorted(parts, key=("weights", "activations", "optimizer").index)) or "none"}, notes


# The settings that decide each field; where a file only changes a recipe, a field is fixed if one of them is there.
DECIDED_BY = {
    "tensor": ("tensor_model_parallel_size",),
    "context": ("context_parallel_size",),
    "pipeline": ("pipeline_model_parallel_size",),
    "virtual": (
        "num_virtual_stages_per_pipeline_rank",
        "num_layers_per_virtual_pipeline_stage",
        "pipeline_model_parallel_layout",
    ),
    "expert": ("expert_model_parallel_size",),
    "expert_tensor": ("expert_tensor_parallel_size",),
    "zero": ("use_distributed_optimizer", "use_megatron_fsdp", "use_torch_fsdp2", "data_parallel_sharding_strategy"),
    "shard": ("num_distributed_optimizer_instances",),
    "gradient_bytes": ("accumulate_allreduce_grads_in_fp32",),
    "recompute": ("recompute_granularity",),
    "split": (
        "account_for_embedding_in_pipeline_split",
        "account_for_loss_in_pipeline_split",
        "pipeline_model_parallel_layout",
    ),
    "overlap": ("overlap_grad_reduce", "overlap_moe_expert_parallel_comm"),
    "tensor_overlap": ("tp_comm_overlap",),
    "context_kind": ("cp_comm_type",),
    "offload": ("cpu_offloading", "fine_grained_activation_offloading", "optimizer_cpu_offload"),
    "order": ("use_tp_pp_dp_mapping",),
    "sequence_parallel": ("sequence_parallel",),
    "scatter_gather": ("sequence_parallel",),
    "fused_attention": ("attention_backend",),
}

# What Megatron-Core moves by name; together the activations of a layer (`offload_modules` of TransformerConfig).
OFFLOADABLE = ("attn_norm", "qkv_linear", "core_attn", "attn_proj", "mlp_norm", "expert_fc1", "moe_act")
