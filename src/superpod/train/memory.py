"""What one rank holds while it trains, stage by stage: model state, activations, and what the backward pass needs."""

from dataclasses import dataclass

import numpy as np

from superpod.catalog.model_spec import ModelSpec
from superpod.parallel.layout import Layout
from superpod.result import Num, chosen
from superpod.train.activations import LayerActivations, layer_activations
from superpod.train.model_state import DEFAULT, MemoryRecipe, gathered_bytes, model_state, product_gradient_bytes
from superpod.train.offload import held
from superpod.train.schedules import by_schedule
from superpod.train.stage_layers import StageLayers, copies_count, stage_layers
from superpod.train.weights import ParameterShare, embedding_share, head_share, parameter_share

__all__ = [
    "MemoryRecipe",
    "ParameterShare",
    "TrainingMemory",
    "parameter_share",
    "peak_bytes",
    "stage_memory",
    "training_memory",
]

RESERVE_FRAC = 0.06  # allocator and library share that SimuMax measures on training runs (divides by 0.94)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingMemory:
    """Bytes of one rank while it trains; `offloaded_bytes` lie in host memory, outside of the total."""

    weights_bytes: Num
    gradients_bytes: Num
    optimizer_bytes: Num
    activations_bytes: Num
    logits_bytes: Num
    gathered_bytes: Num
    buffers_bytes: Num
    offloaded_bytes: Num
    reserve_bytes: Num

    @property
    def allocated_bytes(self) -> Num:
        """What tensors take, as frameworks count it: everything but the reserve."""
        state = self.weights_bytes + self.gradients_bytes + self.optimizer_bytes
        return state + self.activations_bytes + self.logits_bytes + self.gathered_bytes + self.buffers_bytes

    @property
    def total_bytes(self) -> Num:
        """Everything on the device."""
        return self.allocated_bytes + self.reserve_bytes


def training_memory(
    spec: ModelSpec, layout: Layout, sequence_tokens: float, micro_batches: Num, recipe: MemoryRecipe = DEFAULT
) -> TrainingMemory:
    """Return the memory of a rank of the fullest stage."""
    first, *others = stage_memory(spec, layout, sequence_tokens, micro_batches, recipe).values()
    most = first
    for other in others:
        more = np.asarray(other.allocated_bytes > most.allocated_bytes)
        names = TrainingMemory.__dataclass_fields__
        most = TrainingMemory(**{name: np.where(more, getattr(other, name), getattr(most, name)) for name in names})
    return most


def peak_bytes(
    spec: ModelSpec, layout: Layout, sequence_tokens: float, micro_batches: Num, recipe: MemoryRecipe = DEFAULT
) -> Num:
    """Return the total of the fullest stage alone, for many layouts at once."""
    peak: Num = 0.0
    for memory in stage_memory(spec, layout, sequence_tokens, micro_batches, recipe).values():
        peak = np.maximum(peak, memory.allocated_bytes)
    return peak / (1.0 - RESERVE_FRAC)


def stage_memory(
    spec: ModelSpec, layout: Layout, sequence_tokens: float, micro_batches: Num, recipe: MemoryRecipe = DEFAULT
) -> dict[str, TrainingMemory]:
    """Return the peak memory of the `first`, `middle` (second) and `last` stage.

    Peak: model state + activations of all micro-batches in flight + the most that the backward pass of one holds
    beyond them (gradients of a layer, the loss, or the gradient of the embedding).
    """
    tokens = layout.micro_batch * sequence_tokens / layout.context
    layers = tuple(
        layer_activations(group, spec.hidden_count, layout, tokens, sequence_tokens, recipe.product_bytes)
        for group in spec.layers
    )
    return {
        stage.name: _one_stage(spec, layout, stage, layers, (tokens, micro_batches), recipe)
        for stage in stage_layers(spec, layout)
    }


def _one_stage(
    spec: ModelSpec,
    layout: Layout,
    stage: StageLayers,
    layers: tuple[LayerActivations, ...],
    work: tuple[Num, Num],
    recipe: MemoryRecipe,
) -> TrainingMemory:
    """Return one stage, `work` being tokens and number of its micro-batches."""
    tokens, micro_batches = work
    weights, gradients, optimizer = model_state(spec, layout, stage, recipe)
    one = stage.sum_over([layer.kept_bytes for layer in layers]) / copies_count(layout)
    activations = in_flight_count(layout, micro_batches, stage.stage_count) * one + mtp_bytes(spec, stage, layers)
    logits = logits_bytes(spec, layout, stage, tokens, recipe)
    stays = held(layout, stage.layers_count, weights, optimizer, (activations, one))
    gathered = gathered_bytes(spec, layout, stage, recipe)
    buffers = product_gradient_bytes(spec, layout, stage) + received_bytes(spec, layout, tokens)
    loss = logits + head_gradient_bytes(spec, layout, stage)
    buffers = buffers + np.maximum(backward_bytes(spec, layout, stage, layers, one), loss) - logits
    allocated = stays.weights_bytes + gradients + stays.optimizer_bytes + stays.activations_bytes
    allocated = allocated + logits + gathered + buffers
    return TrainingMemory(
        weights_bytes=stays.weights_bytes,
        gradients_bytes=gradients,
        optimizer_bytes=stays.optimizer_bytes,
        activations_bytes=stays.activations_bytes,
        logits_bytes=logits,
        gathered_bytes=gathered,
        buffers_bytes=buffers,
        offloaded_bytes=stays.moved_bytes,
        reserve_bytes=allocated * RESERVE_FRAC / (1.0 - RESERVE_FRAC),
    )


def backward_bytes(
    spec: ModelSpec, layout: Layout, stage: StageLayers, layers: tuple[LayerActivations, ...], one: Num
) -> Num:
    """Return the most that a backward pass holds beside the activations in flight, the loss apart.

    The layer in work, or the 16-bit gradient of the input table, which comes when a micro-batch's layers are done and
    what they kept, `one`, is free.
    """
    layer = stage.largest([item.again_bytes + item.working_bytes for item in layers])
    table = stage.embedding_frac * embedding_share(spec, layout) * 2.0
    return np.maximum(layer, table - one / layout.virtual)


def in_flight_count(layout: Layout, micro_batches: Num, stage: Num) -> Num:
    """Return the micro-batches whose activations a stage holds at once, by the layout's schedule."""
    return by_schedule(
        layout.schedule, lambda item: item.in_flight_count(layout.pipeline, layout.virtual, micro_batches, stage)
    )


def logits_bytes(spec: ModelSpec, layout: Layout, stage: StageLayers, tokens: Num, recipe: MemoryRecipe) -> Num:
    """Return the loss of one micro-batch and of each MTP layer while the output projection runs backward.

    Logits and their gradients; both sides of the last norm; the whole gradient of the projection's input, and that
    input gathered where tensor ranks share it.
    """
    hidden, outer = float(spec.hidden_count), np.where(layout.sequence_parallel, layout.tensor, 1.0)
    within = 2.0 * hidden + np.where(np.asarray(outer) > 1.0, 2.0 * hidden, 0.0)
    each = recipe.logit_bytes * spec.vocab_count / layout.tensor + 4.0 * hidden / outer
    return stage.head_frac * tokens * (each * (1.0 + spec.mtp_layers_count) + within)


def mtp_bytes(spec: ModelSpec, stage: StageLayers, layers: tuple[LayerActivations, ...]) -> Num:
    """Return what multi-token-prediction layers keep of one micro-batch: each as much as the model's last layer."""
    return stage.head_frac * spec.mtp_layers_count * layers[-1].kept_bytes


def head_gradient_bytes(spec: ModelSpec, layout: Layout, stage: StageLayers) -> Num:
    """Return the 16-bit gradient of the output projection, which lives beside the logits (with ZeRO-3: gathered)."""
    return np.where(chosen(layout.zero, "3"), 0.0, 2.0 * stage.head_frac * head_share(spec, layout))


def received_bytes(spec: ModelSpec, layout: Layout, tokens: Num) -> Num:
    """Return what arrives from neighbouring stages while a pass runs: an activation and a gradient, 16 bits."""
    outer = np.where(layout.sequence_parallel, layout.tensor, 1.0)
    return np.where(np.asarray(layout.pipeline) > 1.0, 2.0 * 2.0 * tokens * spec.hidden_count / outer, 0.0)
