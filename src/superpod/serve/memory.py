"""What one rank holds while serving: weights, caches, and the engine's reserve."""

from dataclasses import dataclass

import numpy as np

from superpod.catalog.model_spec import MixtureOfExperts, ModelSpec
from superpod.parallel.engine import Engine
from superpod.parallel.layout import Layout
from superpod.result import Num
from superpod.workload.build import kv_cache_bytes
from superpod.workload.parameters import count_parameters, expert_params
from superpod.workload.precision import Precision


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingMemory:
    """Bytes of one rank while it serves."""

    weights_bytes: Num
    cache_bytes: Num

    @property
    def total_bytes(self) -> Num:
        """Everything but the reserve."""
        return self.weights_bytes + self.cache_bytes


def serving_memory(
    engine: Engine, layout: Layout, sequences: Num, context_tokens: Num, *, drafts: bool
) -> ServingMemory:
    """Return the memory of one rank that holds `sequences` of `context_tokens` each for its attention group.

    As many batches are in flight as there are pipeline stages; `sequences` are those of one.
    """
    return ServingMemory(
        weights_bytes=held_weights_bytes(engine, layout, drafts=drafts),
        cache_bytes=sequences * sequence_cache_bytes(engine, layout, context_tokens, drafts=drafts),
    )


def held_weights_bytes(engine: Engine, layout: Layout, *, drafts: bool) -> Num:
    """Return the weights of one rank: copies of experts with them, and layers that draft tokens where they are used."""
    held = weights_bytes(engine.spec, layout, engine.precision) + redundant_bytes(engine, layout)
    return held * deeper(engine.spec, drafts=drafts)


def sequence_cache_bytes(engine: Engine, layout: Layout, context_tokens: Num, *, drafts: bool) -> Num:
    """Return what one more sequence in each batch in flight adds to a rank of the fullest stage.

    p batches are in flight, each with a cache for the stage's share of the layers; context ranks share its tokens.
    """
    one = kv_cache_bytes(engine.spec, context_tokens / layout.context, layout.partition, engine.precision)
    return one * deeper(engine.spec, drafts=drafts) * layout.pipeline * stage_frac(engine.spec, layout)


def deeper(spec: ModelSpec, *, drafts: bool) -> float:
    """Return layers over the model's own: those that draft tokens are counted as ordinary ones, where they are used."""
    return 1.0 + spec.mtp_layers_count / spec.layers_count * drafts


def stage_frac(spec: ModelSpec, layout: Layout) -> Num:
    """Return the share of the layers that the fullest pipeline stage holds, ceil(L / p) / L: stages hold whole ones."""
    return np.ceil(spec.layers_count / layout.pipeline) / spec.layers_count


def weights_bytes(spec: ModelSpec, layout: Layout, precision: Precision) -> Num:
    """Return the weights of one rank: attention split over tensor ranks, experts over expert ranks, both over stages.

    With more ranks than experts each rank still holds one whole expert (replicas). Embeddings stay in 16 bits.
    """
    count = count_parameters(spec)
    tables = float(count.embedding + count.output_head) * 2.0 / layout.tensor
    body = float(count.total - count.embedding - count.output_head - count.routed_experts)
    experts: Num = 0.0
    for group in spec.layers:
        if isinstance(group.ffn, MixtureOfExperts):
            slots = np.maximum(group.ffn.experts_count / layout.expert, 1.0)
            experts = experts + group.count * slots * expert_params(group.ffn, spec.hidden_count) / layout.expert_tensor
    held = (body / layout.tensor + experts) * precision.weight_bytes
    return held * stage_frac(spec, layout) + tables / np.minimum(layout.pipeline, 2.0)


def redundant_bytes(engine: Engine, layout: Layout) -> Num:
    """Return what a rank holds more for the engine's redundant places of experts.

    With E experts and r more places on e ranks ceil((E + r) / e) a rank in stead of max(E / e, 1); one rank has no use
    for copies.
    """
    redundant = engine.redundant_count
    if not redundant:
        return 0.0
    slots: Num = 0.0
    for group in engine.spec.layers:
        if isinstance(group.ffn, MixtureOfExperts):
            count = group.ffn.experts_count
            more = np.ceil((count + redundant) / layout.expert) - np.maximum(count / layout.expert, 1.0)
            more = np.where(np.asarray(layout.expert) > 1.0, more, 0.0)
            one = expert_params(group.ffn, engine.spec.hidden_count) / layout.expert_tensor
            slots = slots + group.count * np.maximum(more, 0.0) * one
    return slots * engine.precision.weight_bytes * stage_frac(engine.spec, layout)


def attention_bytes(engine: Engine, layout: Layout) -> Num:
    """Return the weights of a rank that runs attention, embedding and output head while others run the rest."""
    count = count_parameters(engine.spec)
    body = float(count.attention + count.norms) * engine.precision.weight_bytes
    return (body + float(count.embedding + count.output_head) * 2.0) / layout.tensor


def feed_forward_bytes(engine: Engine, layout: Layout) -> Num:
    """Return the weights of a rank that runs feed-forward blocks while others run attention: all that is not theirs."""
    held = weights_bytes(engine.spec, layout, engine.precision) + redundant_bytes(engine, layout)
    return held - attention_bytes(engine, layout)


def usable_bytes(engine: Engine, held_bytes: Num = 0.0) -> Num:
    """Return what an engine allots to weights and caches on a rank that holds `held_bytes` of weights.

    Never more than the memory; weights count only where the engine's share is of what they leave free.
    """
    usable = cache_budget(engine, held_bytes) + held_bytes
    return np.minimum(usable, engine.device.memory_bytes)


def cache_budget(engine: Engine, held_bytes: Num) -> Num:
    """Return what is left to caches on a rank that holds `held_bytes` of weights: a share of all memory or of the rest.

    Not positive where the weights do not fit.
    """
    memory, share = engine.device.memory_bytes, engine.software.memory_frac
    return share * (memory - held_bytes) if engine.software.memory_of == "free" else share * memory - held_bytes
