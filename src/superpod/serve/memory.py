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

    Pipeline stages hold whole layers, and as many batches are in flight as there are stages. The layers that
    draft tokens are counted as ordinary ones, where they are used.
    """
    spec, precision = engine.spec, engine.precision
    deeper = 1.0 + spec.mtp_layers_count / spec.layers_count * drafts
    fullest = layout.pipeline * np.ceil(spec.layers_count / layout.pipeline) / spec.layers_count
    return ServingMemory(
        weights_bytes=weights_bytes(spec, layout, precision) * deeper,
        cache_bytes=sequences * kv_cache_bytes(spec, context_tokens, layout.partition, precision) * deeper * fullest,
    )


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
    fullest = np.ceil(spec.layers_count / layout.pipeline) / spec.layers_count
    return held * fullest + tables / np.minimum(layout.pipeline, 2.0)


def usable_bytes(engine: Engine) -> float:
    """Return what an engine allots to weights and caches: its share of a rank's memory."""
    return engine.device.memory_bytes * engine.software.memory_frac


def cache_budget(engine: Engine, held_bytes: Num) -> Num:
    """Return what is left to caches on a rank that holds `held_bytes` of weights: a share of all memory or of the rest.

    Not positive where the weights do not fit.
    """
    memory, share = engine.device.memory_bytes, engine.software.memory_frac
    return share * (memory - held_bytes) if engine.software.memory_of == "free" else share * memory - held_bytes
