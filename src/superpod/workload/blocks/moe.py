"""The mixture of experts: router, shared expert, permutation and the routed experts of one rank."""

from functools import partial

import numpy as np

from superpod.catalog.model_spec import MixtureOfExperts
from superpod.result import Num
from superpod.workload.blocks.dense import products
from superpod.workload.op import ExpertShape, Op, elementwise, gemm
from superpod.workload.phase import Partition, Phase, own_rows
from superpod.workload.precision import Precision
from superpod.workload.quantise import quantised


def operators(
    ffn: MixtureOfExperts, hidden: int, phase: Phase, part: Partition, precision: Precision
) -> tuple[Op, ...]:
    """Return the forward kernels of one rank; time is set by the fullest rank, `load_imbalance` times the mean."""
    tokens = own_rows(phase, part)
    router = gemm(
        "router", rows=tokens, columns=float(ffn.experts_count), depth=hidden, dtype="bf16", element_bytes=(2.0, 2.0)
    )
    permute = permutation(ffn, hidden, tokens, phase, part, precision)
    shared: tuple[Op, ...] = ()
    if ffn.shared_width_count:
        width = ffn.shared_width_count / part.tensor
        shared = products("shared expert", phase, hidden, width, gated=ffn.gated, precision=precision)
    return (router, *permute, *shared, *routed(ffn, hidden, phase, part, precision))


def permutation(
    ffn: MixtureOfExperts, hidden: int, tokens: Num, phase: Phase, part: Partition, precision: Precision
) -> tuple[Op, ...]:
    """Return what sorts tokens by expert and adds their results up again.

    Training copies every visit there and back, and where visits come from other ranks to several experts of one, sorts
    them once more on either side of its products (Megatron-Core's all-to-all dispatcher). Serving engines choose in one
    kernel over the router's scores (fp32), read a token once, write its visits, and read them back to write one sum.
    """
    element = precision.dispatch_bytes + precision.combine_bytes
    if phase.kind == "train":
        again = (np.asarray(part.expert) > 1.0) & (ffn.experts_count / np.asarray(part.expert) > 1.0)
        rounds = np.where(again, 2.0, 1.0)
        return (elementwise("permute", tokens * ffn.top_k * hidden * 2.0 * element * rounds),)
    return (
        elementwise("choose experts", tokens * (ffn.experts_count + 2.0 * ffn.top_k) * 4.0),
        elementwise("permute", tokens * (ffn.top_k + 1.0) * hidden * element),
    )


def routed(ffn: MixtureOfExperts, hidden: int, phase: Phase, part: Partition, precision: Precision) -> tuple[Op, ...]:
    """Return the grouped products over the experts that one rank holds.

    With e ranks and E experts a rank holds max(E / e, 1) of them (more ranks than experts means replicas), and receives
    the visits of all ranks in equal shares, times the imbalance of the fullest rank. An expert that none of the T k
    visits chose costs nothing, its weights are not read: expected share 1 - (1 - 1/E)^(T k).
    """
    slots = np.maximum(ffn.experts_count / part.expert, 1.0)
    tokens = phase.tokens / part.tensor * part.expert_tensor
    visits = tokens * ffn.top_k * load_imbalance(ffn, tokens, part)
    everyone = tokens * part.expert * ffn.top_k
    touched = slots * chosen_share(ffn, everyone)
    size = (precision.weight_bytes, precision.activation_bytes)
    width = ffn.width_count / part.expert_tensor
    fan = 2.0 if ffn.gated else 1.0
    shape = ExpertShape(
        tokens=tokens * part.expert,
        hidden=float(hidden),
        width=float(ffn.width_count),
        top_k=float(ffn.top_k),
        experts_count=float(ffn.experts_count),
        ranks=part.expert,
        tensor_ranks=part.expert_tensor,
        gated=ffn.gated,
    )
    product = partial(
        gemm,
        rows=visits / touched,
        groups=touched,
        dtype=precision.matmul,
        element_bytes=size,
        scaling=precision.scaling,
        experts=None if phase.kind == "train" else shape,  # training runs plain grouped products
    )
    up = product("experts up", columns=fan * width, depth=hidden)
    activation = elementwise("experts activation", visits * width * (fan + 1.0) * 2.0)
    down = product("experts down", columns=hidden, depth=width)
    if phase.kind != "train":  # the fits of experts hold the quantising of what goes into them
        return up, activation, down
    made = [quantised(visits * size, phase, precision) for size in (hidden, width)]
    return *made[0], up, activation, *made[1], down


def chosen_share(ffn: MixtureOfExperts, visits: Num) -> Num:
    """Return the expected share of experts that at least one of `visits` random choices meets: 1 - (1 - 1/E)^visits."""
    exponent = np.minimum(-visits * np.log1p(-1.0 / max(ffn.experts_count, 2)), 40.0)  # exp(-40) is nothing
    share: Num = 1.0 - np.exp(-exponent)
    return share


def load_imbalance(ffn: MixtureOfExperts, tokens: Num, part: Partition) -> Num:
    """Return visits of the fullest rank over the mean: the router's liking, times what drawing at random adds.

    A rank's visits are nearly Poisson with mean mu = tokens k; the largest of e draws exceeds the mean by about
    sqrt(2 ln e / mu) (expected maximum of e Gaussians; e.g. David & Nagaraja, Order Statistics, 2003, section 10.5).
    One rank has no imbalance.
    """
    mean = np.maximum(tokens * ffn.top_k, 1.0)
    liking = np.where(np.asarray(part.expert) > 1.0, part.imbalance_ratio, 1.0)
    return liking * (1.0 + np.sqrt(2.0 * np.log(np.maximum(part.expert, 1.0)) / mean))
