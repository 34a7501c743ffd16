"""A layout as the settings of Megatron-Core; what it cannot express is an error that names the field."""

from dataclasses import dataclass

import numpy as np

from superpod.catalog.model_spec import MixtureOfExperts, ModelSpec
from superpod.errors import ScenarioError
from superpod.frameworks.core_model import written_model
from superpod.frameworks.core_read import OFFLOADABLE
from superpod.frameworks.stage_layout import chunk_layers, written
from superpod.parallel.layout import Layout
from superpod.plan.scenario import Training

Block = tuple[str, dict[str, object]]
STRATEGIES = {"2": "optim_grads", "3": "optim_grads_params"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """What is written: one layout of plain numbers, its step, its number format and its model (None: left out)."""

    framework: str
    layout: Layout
    work: Training
    precision: str
    model: ModelSpec | None = None
    cards_per_node: int = 8

    def refuse(self, field: str, supports: str, hint: str = "") -> ScenarioError:
        """Say that the framework has no way to do what a field says."""
        return ScenarioError(
            f"{field} {getattr(self.layout, field)!r}: {self.framework} supports {supports}",
            where=f"export to {self.framework}",
            hint=hint or f"pin {field} to what it supports and search again",
        )

    def refuse_batch(self, supports: str, passes: int) -> ScenarioError:
        """Say that a batch cannot be cut as the framework wants it; `passes` micro-batches a rank would do."""
        return ScenarioError(
            f"batch {self.work.batch_sequences}: {self.framework} supports {supports}",
            where=f"export to {self.framework}",
            hint=f"a batch of {passes * self.degree('micro_batch') * self.degree('data')}",
        )

    @property
    def passes(self) -> int:
        """Micro-batches of a data rank in a step."""
        return self.work.batch_sequences // (self.degree("micro_batch") * self.degree("data"))

    def degree(self, field: str) -> int:
        """Return a degree as a whole number; raise ScenarioError for a fraction or a column."""
        value = np.asarray(getattr(self.layout, field))
        if value.size != 1 or float(value.item()) != int(value.item()):
            raise self.refuse(field, "one whole number")
        return int(value.item())

    @property
    def cards(self) -> int:
        """Cards that the layout uses."""
        return self.degree("tensor") * self.degree("context") * self.degree("pipeline") * self.degree("data")

    @property
    def nodes(self) -> tuple[int, int]:
        """Nodes, and cards a node: as many as asked for, or the largest share of them that divides the cards."""
        each = int(np.gcd(self.cards, self.cards_per_node))
        return self.cards // each, each

    @property
    def routing(self) -> str:
        """A remark on what the step knows of the router's load and no framework is told."""
        ratio = float(np.asarray(self.layout.imbalance_ratio))
        uneven = ratio != 1.0 and self.has_experts
        return f" (the router's load, imbalance_ratio {ratio:g}, is no setting)" if uneven else ""

    @property
    def has_experts(self) -> bool:
        """Whether the layout or the model has experts."""
        spread = self.degree("expert") * self.degree("expert_tensor") > 1
        routed = self.model is not None and any(isinstance(group.ffn, MixtureOfExperts) for group in self.model.layers)
        return spread or routed


def checked(export: Export) -> None:
    """Raise ScenarioError for what no training framework here can say, or no layout may be."""
    layout = export.layout
    if export.degree("staged") != 1:
        raise export.refuse("staged", "1: prompts are pooled in serving alone")
    if not layout.gather_again:
        raise export.refuse("gather_again", "True: inputs are gathered again in the backward pass")
    shared = bool(layout.sequence_parallel)
    if export.degree("tensor") > 1 and export.degree("pipeline") > 1 and bool(layout.scatter_gather) != shared:
        raise export.refuse("scatter_gather", f"{shared} where sequence_parallel is {shared}")
    if export.degree("virtual") > 1 and export.degree("pipeline") == 1:
        raise export.refuse("virtual", "1 without pipeline stages")
    each = export.degree("micro_batch") * export.degree("data")
    if export.work.batch_sequences % each:
        raise export.refuse_batch(f"multiples of micro-batch x data, {each}", export.passes + 1)
    block = export.degree("tensor") * export.degree("context") * export.degree("data")
    if block % (export.degree("expert") * export.degree("expert_tensor")):
        raise export.refuse("expert", f"divisors of the {block} ranks of a stage")


def core_blocks(export: Export) -> list[Block]:
    """Return the settings in commented blocks; raise ScenarioError where Megatron-Core lacks what a field says."""
    checked(export)
    return [
        ("Parallelism" + export.routing, {**parallelism(export), **pipelining(export)}),
        ("Batch", batch(export)),
        ("Sharding and overlap", {**sharding(export), **overlapping(export)}),
        ("Memory", {**recompute(export), **offloading(export)}),
        ("Number format", precision(export)),
        *([("Model", written_model(export.model, export.framework))] if export.model else []),
    ]


def batch(export: Export) -> dict[str, object]:
    """Return batch and sequence."""
    return {
        "micro_batch_size": export.degree("micro_batch"),
        "global_batch_size": export.work.batch_sequences,
        "seq_length": export.work.sequence_tokens,
        **({"mtp_num_layers": export.work.mtp_layers} if export.work.mtp_layers else {}),
    }


def parallelism(export: Export) -> dict[str, object]:
    """Return degrees and the order of ranks."""
    layout, context = export.layout, export.degree("context")
    kinds = {"ring": "p2p", "ulysses": "a2a"}
    orders = {"tp-cp-dp-pp": False, "tp-cp-pp-dp": True}
    if layout.order not in orders:
        raise export.refuse("order", " or ".join(orders))
    if layout.context_kind not in kinds:
        raise export.refuse("context_kind", " or ".join(kinds))
    settings: dict[str, object] = {
        "tensor_model_parallel_size": export.degree("tensor"),
        "pipeline_model_parallel_size": export.degree("pipeline"),
        "context_parallel_size": context,
    }
    if context > 1:
        settings["cp_comm_type"] = kinds[str(layout.context_kind)]
    if export.has_experts:
        settings["expert_model_parallel_size"] = export.degree("expert")
        settings["expert_tensor_parallel_size"] = export.degree("expert_tensor")
    if export.degree("tensor") > 1 and layout.sequence_parallel:
        settings["sequence_parallel"] = True
    return settings | ({"use_tp_pp_dp_mapping": True} if orders[str(layout.order)] else {})


def pipelining(export: Export) -> dict[str, object]:
    """Return chunks and how layers lie on stages; layers that do not divide are laid out by hand."""
    layout, stages, virtual = export.layout, export.degree("pipeline"), export.degree("virtual")
    if layout.schedule != "1f1b" and stages > 1:
        raise export.refuse("schedule", "1f1b, interleaved where virtual is above 1")
    if stages == 1:
        return {}
    if virtual > 1 and export.passes % stages:
        wanted = -(-export.passes // stages) * stages
        raise export.refuse_batch(f"multiples of {stages} micro-batches for interleaved stages", wanted)
    counted = layout.split == "counted"
    if export.model and (export.model.layers_count + 2 * counted) % (stages * virtual):
        chunks = chunk_layers(export.model.layers_count, layout)
        return {"pipeline_model_parallel_layout": written(chunks, export.work.mtp_layers)}
    ends = ("account_for_embedding_in_pipeline_split", "account_for_loss_in_pipeline_split")
    return {
        **({"num_virtual_stages_per_pipeline_rank": virtual} if virtual > 1 else {}),
        **(dict.fromkeys(ends, True) if counted else {}),
    }


def sharding(export: Export) -> dict[str, object]:
    """Return what is sharded over data ranks, and over how many of them."""
    layout, stage = export.layout, str(export.layout.zero)
    settings: dict[str, object] = {}
    if stage in STRATEGIES:
        if layout.order != "tp-cp-dp-pp":
            raise export.refuse("order", f"tp-cp-dp-pp where weights or gradients are sharded (zero {stage})")
        settings |= {"use_megatron_fsdp": True, "data_parallel_sharding_strategy": STRATEGIES[stage]}
        settings["ckpt_format"] = "fsdp_dtensor"
    elif stage not in {"0", "1"}:
        raise export.refuse("zero", "0 to 3")
    if stage != "0":
        settings["use_distributed_optimizer"] = True
    settings |= reducing(export)
    ranks, shard = export.degree("data") * export.degree("context"), export.degree("shard")
    if shard and ranks % shard:
        raise export.refuse("shard", f"0 or a divisor of the {ranks} data and context ranks")
    if shard and shard < ranks:
        if stage == "0":
            raise export.refuse("shard", "0 where nothing is sharded (zero 0)")
        settings["num_distributed_optimizer_instances"] = ranks // shard
    return settings


def reducing(export: Export) -> dict[str, object]:
    """Return the width in which gradients are summed, where it is not what the number format implies."""
    width, half = export.degree("gradient_bytes"), export.precision == "fp16"
    if width not in {2, 4}:
        raise export.refuse("gradient_bytes", "2 or 4")
    if half:
        return {"accumulate_allreduce_grads_in_fp32": True} if width == 4 else {}
    return {"grad_reduce_in_bf16": True} if width == 2 else {}


def overlapping(export: Export) -> dict[str, object]:
    """Return what travels beside kernels."""
    layout = export.layout
    words = {"none": (), "data": ("data",), "data+expert": ("data", "expert")}
    if layout.overlap not in words:
        raise export.refuse("overlap", " or ".join(words))
    settings: dict[str, object] = {}
    if "data" in words[str(layout.overlap)]:
        settings["overlap_grad_reduce"] = True
        settings |= {"overlap_param_gather": True} if layout.zero != "0" else {}
    if "expert" in words[str(layout.overlap)]:
        settings |= expert_overlap(export)
    if layout.tensor_overlap not in {"none", "ring"}:
        raise export.refuse("tensor_overlap", "none or ring (Transformer Engine's user buffers)")
    if layout.tensor_overlap == "ring":
        if export.degree("tensor") == 1 or not layout.sequence_parallel:
            raise export.refuse("tensor_overlap", "ring with tensor parallelism and sequence_parallel alone")
        settings["tp_comm_overlap"] = True
    return settings


def connections(export: Export) -> tuple[str, ...]:
    """Return the variable that Megatron-Core checks: one queue to the card keeps collectives in their order."""
    layout = export.layout
    if layout.zero in STRATEGIES:
        return ("# Sharded weights want several queues to the card.", "unset CUDA_DEVICE_MAX_CONNECTIONS")
    if export.degree("tensor") == 1 and export.degree("context") == 1:
        return ()
    queues = 32 if layout.overlap == "data+expert" else 1
    return (f"export CUDA_DEVICE_MAX_CONNECTIONS={queues}",)


def expert_overlap(export: Export) -> dict[str, object]:
    """Return the overlap of expert traffic; its conditions are those of TransformerConfig."""
    layout = export.layout
    if export.degree("expert") == 1:
        raise export.refuse("overlap", "data+expert with expert parallelism alone", "pin overlap to data")
    if export.degree("pipeline") > 1 and export.degree("virtual") == 1:
        raise export.refuse("overlap", "data+expert with interleaved stages alone", "pin virtual to 2 or more")
    if layout.recompute == "full" or "moe" in str(layout.recompute).split("+"):
        raise export.refuse("recompute", "neither full nor moe beside the overlap of expert traffic")
    return {"overlap_moe_expert_parallel_comm": True}


def recompute(export: Export) -> dict[str, object]:
    """Return what is computed again."""
    kind = str(export.layout.recompute)
    if kind == "none":
        return {}
    if kind == "full":
        return {"recompute_granularity": "full", "recompute_method": "uniform", "recompute_num_layers": 1}
    settings: dict[str, object] = {"recompute_granularity": "selective"}
    return settings if kind == "selective" else {**settings, "recompute_modules": kind.split("+")}


def offloading(export: Export) -> dict[str, object]:
    """Return what lives in host memory; weights move with whole layers, which Megatron-Core allows on one stage."""
    parts = set(str(export.layout.offload).split("+")) - {"none"}
    settings: dict[str, object] = {}
    if "weights" in parts:
        if export.degree("pipeline") > 1 or export.layout.recompute != "none":
            raise export.refuse("offload", "weights without pipeline stages and recompute alone")
        if export.model is None:
            raise export.refuse("offload", "weights where the number of layers is known", "give the model")
        settings |= {"cpu_offloading": True, "cpu_offloading_num_layers": export.model.layers_count - 1}
        settings |= {"cpu_offloading_weights": True}
        settings |= {} if "activations" in parts else {"no_cpu_offloading_activations": True}
    elif "activations" in parts:
        settings |= {"fine_grained_activation_offloading": True, "offload_modules": list(OFFLOADABLE)}
    if "optimizer" in parts:
        settings["optimizer_cpu_offload"] = True
    return settings


def precision(export: Export) -> dict[str, object]:
    """Return the number format, and the attention kernel."""
    formats: dict[str, dict[str, object]] = {
        "bf16": {"bf16": True},
        "fp16": {"fp16": True},
        "fp8": {"bf16": True, "fp8": "e4m3", "fp8_recipe": "blockwise"},
        "fp4": {"bf16": True, "fp4": "e2m1"},
    }
    if export.precision not in formats:
        raise ScenarioError(
            f"precision {export.precision!r}: {export.framework} supports {', '.join(formats)}",
            where=f"export to {export.framework}",
            hint="search again with --precision bf16",
        )
    backend = "auto" if export.layout.fused_attention else "unfused"
    return {**formats[export.precision], "attention_backend": backend}
