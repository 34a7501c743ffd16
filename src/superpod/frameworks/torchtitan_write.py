"""A layout as a job file of torchtitan; what it cannot express is an error that names the field."""

from superpod.errors import ScenarioError
from superpod.frameworks.core_write import Export, checked
from superpod.frameworks.torchtitan_read import FLAVOURS, WRITTEN


def write(export: Export) -> str:
    """Return a job file; raise ScenarioError for what torchtitan cannot express."""
    checked(export)
    refuse_words(export)
    nodes, each = export.nodes
    tables: dict[str, dict[str, object]] = {
        "model": model_table(export),
        "training": training_table(export),
        "parallelism": {**parallelism_table(export), **pipeline_table(export)},
        "activation_checkpoint": {"mode": str(export.layout.recompute)},
    }
    if export.layout.tensor_overlap == "ring":
        tables["compile"] = {"enable": True}
    head = [
        f"# {export.cards} processes, one a rank. Written by superpod for torchtitan 0.2.",
        f"# torchrun --nnodes {nodes} --nproc-per-node {each} -m torchtitan.train --job.config_file THIS_FILE",
    ]
    head += [f"#{export.routing}"] if export.routing else []
    lines = [
        line
        for name, values in tables.items()
        if values
        for line in ("", f"[{name}]", *(f"{key} = {toml(value)}" for key, value in values.items()))
    ]
    return "\n".join([*head, *lines, ""])


def toml(value: object) -> str:
    """Return a value as TOML."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return str(value) if isinstance(value, int) else f'"{value}"'


def refuse_words(export: Export) -> None:
    """Raise ScenarioError for choices that torchtitan has no word for."""
    layout = export.layout
    supported: dict[str, tuple[tuple[object, ...], str]] = {
        "gradient_bytes": ((4.0,), "4"),
        "recompute": (("none", "full"), "none or full; its selective mode keeps attention and repeats other operators"),
        "context_kind": (("ring",), "ring"),
        "offload": (("none", "weights+optimizer"), "none or weights+optimizer"),
        "order": (("tp-cp-dp-pp",), "tp-cp-dp-pp"),
        "tensor_overlap": (("none", "ring"), "none or ring"),
        "overlap": (("data", "data+expert"), "data or data+expert"),
    }
    for field, (words, said) in supported.items():
        if getattr(layout, field) not in words:
            raise export.refuse(field, said)
    for field in ("sequence_parallel", "fused_attention"):
        if not getattr(layout, field) and (field == "fused_attention" or export.degree("tensor") > 1):
            raise export.refuse(field, "True")
    if layout.tensor_overlap == "ring" and export.degree("tensor") == 1:
        raise export.refuse("tensor_overlap", "ring with tensor parallelism alone")
    if export.work.mtp_layers:
        raise ScenarioError(
            f"mtp_layers {export.work.mtp_layers}: torchtitan supports 0",
            where="export to torchtitan",
            hint="search again without multi-token prediction",
        )
    if export.precision not in {"bf16", "fp8"}:
        raise ScenarioError(
            f"precision {export.precision!r}: torchtitan supports bf16, fp8",
            where="export to torchtitan",
            hint="search again with --precision bf16",
        )


def model_table(export: Export) -> dict[str, object]:
    """Return the model's name and the converters of its number format (blocks of 32, as MX has them)."""
    values: dict[str, object] = {}
    if export.model is not None:
        if export.model.id not in FLAVOURS:
            raise ScenarioError(
                f"model {export.model.id!r}: torchtitan supports {', '.join(FLAVOURS)}",
                where="export to torchtitan",
                hint="leave the model out of the export",
            )
        values["name"], values["flavor"] = FLAVOURS[export.model.id]
    if export.precision == "fp8":
        values["converters"] = ["quantize.linear.mx", *(["quantize.grouped_mm.mx"] if export.has_experts else [])]
    return values


def training_table(export: Export) -> dict[str, object]:
    """Return batch and sequence; stages take all micro-batches of a step as one local batch."""
    micro, data = export.degree("micro_batch"), export.degree("data")
    local = export.work.batch_sequences // data if export.degree("pipeline") > 1 else micro
    return {
        "local_batch_size": local,
        "global_batch_size": export.work.batch_sequences,
        "seq_len": export.work.sequence_tokens,
        "mixed_precision_param": "bfloat16",
        "enable_cpu_offload": export.layout.offload != "none",
    }


def parallelism_table(export: Export) -> dict[str, object]:
    """Return degrees and sharding."""
    tensor, context, data, shard = (export.degree(name) for name in ("tensor", "context", "data", "shard"))
    expert, apart = export.degree("expert"), export.degree("expert_tensor")
    stage, ranks = str(export.layout.zero), data * context
    if stage == "0" and context > 1:
        raise export.refuse("zero", "2 or 3 with context parallelism, whose ranks it shards over")
    if stage not in {"0", "2", "3"}:
        raise export.refuse("zero", "0 (DDP), 2 and 3 (FSDP)")
    if stage != "0" and ranks == 1:
        raise export.refuse("zero", "0 on a single data rank")
    if shard and (ranks % shard or shard % context or (shard < ranks and stage == "0")):
        raise export.refuse("shard", f"0, or multiples of context {context} that divide {ranks}, for FSDP alone")
    if shard and shard == context and data > 1:
        raise export.refuse("shard", "2 data ranks or more that share a copy")
    if expert > 1 and apart not in {1, tensor}:
        raise export.refuse("expert_tensor", f"1 or the tensor degree {tensor}")
    if expert == 1 and export.has_experts and apart != tensor:
        raise export.refuse("expert_tensor", f"the tensor degree {tensor} without expert parallelism")
    sharded = 1 if stage == "0" else (shard or ranks) // context
    return {
        "data_parallel_replicate_degree": data // sharded,
        "data_parallel_shard_degree": sharded,
        "fsdp_reshard_after_forward": "never" if stage == "2" else "always",
        "tensor_parallel_degree": tensor,
        "enable_async_tensor_parallel": export.layout.tensor_overlap == "ring",
        "context_parallel_degree": context,
        "expert_parallel_degree": expert,
        "expert_tensor_parallel_degree": apart,
    }


def pipeline_table(export: Export) -> dict[str, object]:
    """Return the schedule, its chunks and its overlap."""
    layout, stages, virtual = export.layout, export.degree("pipeline"), export.degree("virtual")
    tokens = layout.overlap == "data+expert"
    fits = stages > 1 and layout.schedule == "dualpipev" and export.degree("expert") > 1 and layout.recompute == "none"
    if tokens and not fits:
        raise export.refuse("overlap", "data+expert with DualPipeV, expert parallelism and no recompute alone")
    values: dict[str, object] = {"pipeline_parallel_degree": stages}
    if stages == 1:
        return values
    name = WRITTEN.get((str(layout.schedule), virtual > 1))
    if name is None or (layout.schedule in {"zb-v", "dualpipev"} and virtual != 2):
        raise export.refuse("schedule", "gpipe, 1f1b, and with 2 chunks a stage zb-v and dualpipev")
    cut_batch(export, name)
    less = {"even": 0, "counted": 1}.get(str(layout.split))
    if less is None:
        raise export.refuse("split", "even or counted")
    values |= {
        "pipeline_parallel_schedule": name,
        "pipeline_parallel_microbatch_size": export.degree("micro_batch"),
        "pipeline_parallel_first_stage_less_layers": less,
        "pipeline_parallel_last_stage_less_layers": less,
        "pipeline_parallel_expert_parallel_overlap": tokens,
    }
    return values | ({"pipeline_parallel_layers_per_stage": layers_each(export, less)} if virtual > 2 else {})


def cut_batch(export: Export, schedule: str) -> None:
    """Raise ScenarioError for numbers of micro-batches that PyTorch's schedules refuse (`pipelining/schedules.py`)."""
    stages, passes = export.degree("pipeline"), export.passes
    least = {"1F1B": stages, "DualPipeV": 2 * stages}.get(schedule, 1)
    if passes < least:
        raise export.refuse_batch(f"{least} micro-batches or more for {schedule}", least)
    if schedule in {"Interleaved1F1B", "LoopedBFS"} and passes % max(1, passes // stages):
        wanted = -(-passes // stages) * stages
        raise export.refuse_batch(f"multiples of {stages} micro-batches for {schedule}", wanted)


def layers_each(export: Export, less: int) -> int:
    """Return the layers of a chunk that give the asked number of chunks."""
    chunks = export.degree("pipeline") * export.degree("virtual")
    if export.model is None:
        raise export.refuse("virtual", "2 where the number of layers is not known", "give the model")
    slots = export.model.layers_count + 2 * less
    each = -(-slots // chunks)
    if -(-slots // each) != chunks:
        raise export.refuse("virtual", f"numbers of chunks that share out {slots} layers evenly")
    return each
