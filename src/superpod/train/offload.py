"""What lives in host memory between uses: what stays on the device, and what travels."""

from dataclasses import dataclass

import numpy as np

from superpod.catalog.model_spec import ModelSpec
from superpod.parallel.layout import Layout
from superpod.result import Num, holds
from superpod.train.activations import layer_activations
from superpod.train.model_state import DEFAULT, MemoryRecipe, model_state
from superpod.train.stage_layers import copies_count, stage_layers

BUFFERS = 2.0  # layers on the device: one in use, one on its way


@dataclass(frozen=True, slots=True, kw_only=True)
class OffloadTraffic:
    """Bytes between a rank and host memory: for each micro-batch, and once a step."""

    in_micro_bytes: Num
    out_micro_bytes: Num
    in_step_bytes: Num
    out_step_bytes: Num


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """Bytes of the parts that may be offloaded, where they lie."""

    weights_bytes: Num
    optimizer_bytes: Num
    activations_bytes: Num
    moved_bytes: Num


def held(layout: Layout, layers_count: Num, weights: Num, optimizer: Num, activations: tuple[Num, Num]) -> Held:
    """Return what stays on the device of a stage's weights, optimizer and activations = (all, of one micro-batch).

    Two layers' worth stays of what is offloaded, the rest and a copy of those lie in host memory.
    """
    layers = np.maximum(layers_count, 1.0)
    stay = [
        _stay(layout, "weights", weights, BUFFERS * weights / layers),
        _stay(layout, "optimizer", optimizer, BUFFERS * optimizer / layers),
        _stay(layout, "activations", activations[0], BUFFERS * activations[1] / layers),
    ]
    moved = np.where(holds(layout.offload, "weights"), weights, 0.0)
    moved = moved + np.where(holds(layout.offload, "optimizer"), optimizer, 0.0)
    moved = moved + np.where(holds(layout.offload, "activations"), activations[0], 0.0)
    return Held(weights_bytes=stay[0], optimizer_bytes=stay[1], activations_bytes=stay[2], moved_bytes=moved)


def _stay(layout: Layout, part: str, whole: Num, buffer: Num) -> Num:
    return np.where(holds(layout.offload, part), np.minimum(buffer, whole), whole)


def offload_traffic(
    spec: ModelSpec, layout: Layout, sequence_tokens: float, recipe: MemoryRecipe = DEFAULT
) -> OffloadTraffic:
    """Return the traffic of the stage that moves most, part by part.

    Weights come in for the forward and for the backward pass of every micro-batch and go out once a step, updated.
    Activations go out in the forward pass and come back in the backward pass. The optimizer's state comes in and goes
    out once a step: the update stays on the device (arXiv 2101.06840 moves it to the host's processor instead).
    """
    tokens = layout.micro_batch * sequence_tokens / layout.context
    layers = tuple(
        layer_activations(group, spec.hidden_count, layout, tokens, sequence_tokens, recipe.product_bytes)
        for group in spec.layers
    )
    weights: Num = 0.0
    optimizer: Num = 0.0
    kept: Num = 0.0
    for stage in stage_layers(spec, layout):
        state = model_state(spec, layout, stage, recipe)
        weights, optimizer = np.maximum(weights, state[0]), np.maximum(optimizer, state[2])
        kept = np.maximum(kept, stage.sum_over([layer.kept_bytes for layer in layers]) / copies_count(layout))
    weights = np.where(holds(layout.offload, "weights"), weights, 0.0)
    optimizer = np.where(holds(layout.offload, "optimizer"), optimizer, 0.0)
    kept = np.where(holds(layout.offload, "activations"), kept, 0.0)
    return OffloadTraffic(
        in_micro_bytes=2.0 * weights + kept,
        out_micro_bytes=kept,
        in_step_bytes=optimizer,
        out_step_bytes=optimizer + weights,
    )
