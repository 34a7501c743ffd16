"""Expert parallelism: tokens travel to their experts and back."""

import numpy as np

from superpod.catalog.model_spec import MixtureOfExperts
from superpod.fabric.collectives import all_to_all
from superpod.fabric.tiers import Fabric, Group, members
from superpod.parallel.engine import Engine
from superpod.result import Num
from superpod.workload.blocks.moe import load_imbalance
from superpod.workload.phase import Partition, Phase


def exchange_times(
    engine: Engine, group: Group, ffn: MixtureOfExperts, phase: Phase, part: Partition
) -> tuple[Num, Num]:
    """Return the times of dispatch and combine of one layer, forward; the backward pass sends the same in reverse.

    A rank sends tokens x k copies of width h; the fullest rank receives `load_imbalance` times as many. Where latency
    is no object (training, prompts), copies for experts in the same remote pod cross the scale-out network once and are
    multiplied there (DeepSeek-V3, arXiv 2412.19437, section 3.2.2); decoding sends each copy straight to its expert, as
    DeepEP's low-latency kernels do.
    """
    share = phase.tokens / part.tensor
    fullest = load_imbalance(ffn, share, part)
    remote = ffn.top_k if phase.kind == "decode" else remote_pods_per_token(engine.fabric, group, ffn)
    inside, outside = (share * copies * fullest * engine.spec.hidden_count for copies in (ffn.top_k, remote))
    sizes = engine.precision.dispatch_bytes, engine.precision.combine_bytes
    dispatch, combine = (all_to_all.priced(engine.fabric, group, inside * size, outside * size) for size in sizes)
    return dispatch, combine


def remote_pods_per_token(fabric: Fabric, group: Group, ffn: MixtureOfExperts) -> Num:
    """Return how many copies of a token leave for the scale-out network, in the all-to-all's measure.

    A group over D pods with k random choices touches D (1 - (1 - 1/D)^k) of them, at most the router's group limit
    where experts are grouped. `all_to_all` counts (n - inner)/n of a message as leaving, so the expected number of
    *remote* pods is divided by that share, (D - 1)/D.
    """
    inside = members(fabric, group)[-2] if fabric.tiers[-1].scale_out else group.size
    pods = np.ceil(group.size / inside)
    touched = pods * (1.0 - (1.0 - 1.0 / np.maximum(pods, 2.0)) ** ffn.top_k)
    if ffn.expert_groups_count > 1:
        touched = np.minimum(touched, float(ffn.expert_groups_limit))
    return np.minimum(touched, float(ffn.top_k))
