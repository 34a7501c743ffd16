"""Expert parallelism: tokens travel to their experts and back."""

import numpy as np

from superpod.catalog.model_spec import MixtureOfExperts
from superpod.fabric.collectives import exchange
from superpod.fabric.collectives.expert_exchange import Routing, sent
from superpod.fabric.tiers import Fabric, Group, members
from superpod.parallel.engine import Engine
from superpod.result import Num
from superpod.workload.blocks.moe import load_imbalance
from superpod.workload.phase import Partition, Phase


def exchange_times(
    engine: Engine, group: Group, ffn: MixtureOfExperts, phase: Phase, part: Partition
) -> tuple[Num, Num]:
    """Return the times of dispatch and combine of one layer, forward; the backward pass sends the same in reverse.

    The fullest rank receives `load_imbalance` times the mean. Where latency is no object (training, prompts) a token
    goes once to each rank that holds experts of its choice, and once to each pod over the scale-out network, where it
    is multiplied (DeepSeek-V3, arXiv 2412.19437, section 3.2.2); decoding sends each copy straight to its expert, as
    DeepEP's low-latency kernels do.
    """
    share = phase.tokens / part.tensor
    fullest = load_imbalance(ffn, share, part)
    batched = phase.kind != "decode"
    pods = pods_count(engine.fabric, group)
    times: list[Num] = []
    for way, element in (("dispatch", engine.precision.dispatch_bytes), ("combine", engine.precision.combine_bytes)):
        token_bytes = engine.spec.hidden_count * element
        load = sent(routing(ffn), share, token_bytes, group.size, pods, deduplicated=batched, fullest=fullest)
        times.append(
            exchange.priced(way, engine.fabric, group, load.inside_bytes, load.outside_bytes, forwarded=batched)
        )
    return times[0], times[1]


def routing(ffn: MixtureOfExperts) -> Routing:
    """Return how a router chooses: so many experts, in a limited number of groups where the model has them."""
    if ffn.expert_groups_count > 1:
        return Routing(
            top_k_count=float(ffn.top_k),
            groups_count=float(ffn.expert_groups_count),
            groups_limit_count=float(ffn.expert_groups_limit),
        )
    return Routing(top_k_count=float(ffn.top_k))


def pods_count(fabric: Fabric, group: Group) -> Num:
    """Return how many pods a group lies in."""
    inside = members(fabric, group)[-2] if fabric.tiers[-1].scale_out else group.size
    return np.ceil(group.size / inside)
