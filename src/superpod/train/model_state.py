"""Bytes of weights, gradients and optimizer of a stage, and of gradients and weights that are whole for a while."""

from dataclasses import dataclass

import numpy as np

from superpod.catalog.model_spec import ModelSpec
from superpod.parallel.layout import Layout
from superpod.result import Num, chosen
from superpod.train.stage_layers import StageLayers, copies_count
from superpod.train.weights import ParameterShare, head_share, largest_products, layer_share, stage_share


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryRecipe:
    """Bytes a parameter, a logit and a kept input of a product.

    Defaults are mixed precision with Adam: 16-bit weights; fp32 gradients; fp32 master weight and two moments
    (arXiv 1910.02054, section 3.1). Moments in 16 bits give `optimizer_bytes` 8 (arXiv 2412.19437, section 3.3.3). In
    FP8 weights still take 2 bytes: 8 bits in either orientation. Megatron-LM's loss holds logits in fp32 and their
    16-bit gradient, a fused one that writes gradients over the logits 2 bytes, PyTorch's plain one 14: 16 bits, and in
    fp32 a copy, its log-softmax and the gradient.
    """

    weight_bytes: float = 2.0
    gradient_bytes: float = 4.0
    optimizer_bytes: float = 12.0
    logit_bytes: float = 6.0
    product_bytes: float = 2.0


DEFAULT = MemoryRecipe()


def model_state(
    spec: ModelSpec, layout: Layout, stage: StageLayers, recipe: MemoryRecipe = DEFAULT
) -> tuple[Num, Num, Num]:
    """Return bytes of weights, gradients and optimizer: ZeRO-1 shards the last, 2 also gradients, 3 also weights.

    Over the ranks that share parameters, experts over those that hold the same ones (arXiv 1910.02054, section 5).
    """
    share = stage_share(spec, layout, stage)
    return (
        _sharded(share, layout, recipe.weight_bytes, ("3",)),
        _sharded(share, layout, recipe.gradient_bytes, ("2", "3")),
        _sharded(share, layout, recipe.optimizer_bytes, ("1", "2", "3")),
    )


def _sharded(share: ParameterShare, layout: Layout, each_bytes: float, levels: tuple[str, ...]) -> Num:
    """Return bytes of a share; ranks with copies of a schedule's own share what is sharded too."""
    sharded, copies = chosen(layout.zero, *levels), copies_count(layout)
    common = share.common / np.where(sharded, layout.sharing * copies, 1.0)
    return each_bytes * (common + share.experts / np.where(sharded, layout.expert_sharing * copies, 1.0))


def product_gradient_bytes(spec: ModelSpec, layout: Layout, stage: StageLayers) -> Num:
    """Return 16-bit gradients of weights outside of the gradient buffer: one for each shape of a product, up to ZeRO-2.

    Transformer Engine adds gradients to the buffer inside the product and hands the framework one tensor a shape in
    their place (`get_dummy_wgrad`, kept for the whole run); without that fusion a layer's own gradients take its place.
    """
    spread: Num = 0.0
    seen: list[object] = []
    for group, count in zip(spec.layers, stage.group_layers_count, strict=True):
        products = largest_products(group, spec.hidden_count, layout)
        for part, size in zip((group.attention, group.ffn), products, strict=True):
            if part not in seen:
                seen.append(part)
                spread = spread + np.where(np.asarray(count) > 0.0, size, 0.0)
    return np.where(chosen(layout.zero, "3"), 0.0, 2.0 * spread)


def gathered_bytes(spec: ModelSpec, layout: Layout, stage: StageLayers, recipe: MemoryRecipe = DEFAULT) -> Num:
    """Return what ZeRO-3 gathers: whole weights of two blocks, one in use and one arriving, and gradients of one.

    A block is a layer, or the head on the last stage (arXiv 2304.11277, section 3.3).
    """
    layer = stage.largest([_whole(layer_share(group, spec.hidden_count, layout), layout) for group in spec.layers])
    head = stage.head_frac * _whole(ParameterShare(common=head_share(spec, layout), experts=0.0), layout)
    largest = np.maximum(layer, head)
    held = recipe.weight_bytes * (layer + largest) + recipe.gradient_bytes * largest
    return np.where(chosen(layout.zero, "3"), held, 0.0)


def _whole(share: ParameterShare, layout: Layout) -> Num:
    """Return the parameters that are gathered: those that more than one rank shares."""
    common = np.where(np.asarray(layout.sharing) > 1.0, share.common, 0.0)
    return common + np.where(np.asarray(layout.expert_sharing) > 1.0, share.experts, 0.0)
