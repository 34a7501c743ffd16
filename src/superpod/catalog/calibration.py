"""Measured efficiencies of operators and links; every number is a fact that names what it was fitted on.

Nothing here is fitted to an end-to-end result.
"""

from collections.abc import Mapping
from dataclasses import field
from typing import Literal

from superpod.catalog.provenance import Fact
from superpod.catalog.record import record

ProductKey = Literal[
    "bf16", "fp8", "fp8_block", "fp4", "int8"
]  # a number format, and how it is scaled where that matters


@record
class GemmFit:
    """Matrix products of one number format.

    `peak_frac` of the engine and `memory_frac` of the bandwidth are the best shares; each axis loses half of the engine
    at its half size. A single wave of tiles walks the depth: it takes as long as the launch (`kernel_s`) at
    `latency_depth_count` and grows with the depth to `latency_power`. `join_power` is that of the smooth maximum.
    `power_loss_frac` is how much longer products of many milliseconds take than their rate says, 0 where not known;
    half of it is lost at `power_s`, which is assumed: about what a power controller takes to lower clocks.
    `steady_loss_frac` is what products lose that follow one another for seconds, where `power_loss_frac` does not say.
    """

    peak_frac: float
    memory_frac: float
    kernel_s: float
    rows_half_count: float
    columns_half_count: float
    depth_half_count: float
    latency_depth_count: float
    latency_power: float
    join_power: float
    power_loss_frac: float = 0.0
    power_s: float = 1e-3
    steady_loss_frac: float | None = None


@record
class AttentionFit:
    """Score-value kernels over many query rows, in prefill and training.

    Half of the engine is lost at `rows_half_count` queries a sequence, at `keys_half_count` keys a query on average
    (tiles on the diagonal or at a window's edge), and at `width_half_count` of a head (mean of key and value), where
    the exponentials take as long as the products. One tile walks its keys: as long as the launch at
    `latency_keys_count`, growing to `latency_power`. `backward_peak_frac` is the backward pass's share, where the fit
    has one of its own.
    """

    peak_frac: float
    memory_frac: float
    kernel_s: float
    rows_half_count: float
    keys_half_count: float
    width_half_count: float
    latency_keys_count: float
    latency_power: float
    join_power: float
    backward_peak_frac: float | None = None


@record
class DecodeFit:
    """Split-key attention of one or a few queries a sequence over its cache.

    Half of the engine is lost where `rows_half_count` query heads share a key-value head, and at `keys_half_count`.
    """

    peak_frac: float
    memory_frac: float
    kernel_s: float
    rows_half_count: float
    keys_half_count: float
    latency_keys_count: float
    latency_power: float
    join_power: float


@record
class Calibration:
    """Operator efficiencies of a chip family.

    `gemm` are plain products, `experts` the grouped ones of a mixture of experts in serving (plain ones stand in where
    a format has none). `attention` and `decode` read and write a cache; `latent_` is latent attention: expanded over
    many rows, absorbed in decode. `narrow_decode` is decode over 8-bit caches in engines whose kernels for them differ,
    by engine. `training_attention` has no cache, and `backward_peak_frac` is its share backward; `earlier_attention`
    are generations of its kernels before, by name. `chip_spread_frac` is how far chips of one kind lie apart under a
    steady load, a standard deviation: none where clocks stay at their maximum. `memory_frac` is the share of bandwidth
    that elementwise kernels reach, `softmax_memory_frac` that of unfused softmax; `kernel_s` is what one of them costs
    before it does any work, captured in a graph. `borrowed_from` names the relative whose measurements stand in.
    """

    id: str
    version: str
    name: str
    gemm: Mapping[ProductKey, GemmFit]
    experts: Mapping[ProductKey, GemmFit]
    attention: AttentionFit
    latent_attention: AttentionFit
    training_attention: AttentionFit
    decode: DecodeFit
    latent_decode: DecodeFit
    backward_peak_frac: float
    memory_frac: float
    softmax_memory_frac: float
    kernel_s: float
    band_frac: float
    narrow_decode: Mapping[str, DecodeFit] = field(default_factory=dict)
    earlier_attention: Mapping[str, AttentionFit] = field(default_factory=dict)
    chip_spread_frac: float = 0.0
    borrowed_from: str = ""
    note: str = ""
    facts: Mapping[str, Fact] = field(default_factory=dict, repr=False, compare=False)


@record
class Regime:
    """One way in which a library moves messages of a certain size: an NCCL protocol, for one.

    `base_s` is paid to begin a collective, `step_s` for each of its steps on the machine where it was measured, hop
    included; `rate_frac` is the share of the transport's efficiency that it reaches.
    """

    name: str
    base_s: float
    step_s: float
    rate_frac: float


@record
class Exchange:
    """Sends and receives of a collective library: `base_s` to begin, `post_s` for each peer.

    `everyone_frac` is the share of the transport's efficiency that an all-to-all reaches, `pair_frac` that of one pair,
    which no pair of an all-to-all passes either.
    """

    base_s: float
    post_s: float
    everyone_frac: float
    pair_frac: float


@record
class ExpertKernels:
    """Kernels that carry tokens to experts and back: what beginning each way costs, and how that grows with the peers.

    `doubling_s` is paid for each doubling of the ranks (the last of more peers answers later), `post_s` for each peer.
    `combine_rate_frac` is the share of the way back where it differs from `rate_frac`.
    """

    dispatch_s: float
    combine_s: float
    doubling_s: float
    post_s: float
    rate_frac: float
    combine_rate_frac: float | None = None


@record
class PeerKernels:
    """All-reduce kernels of serving engines, in which each rank reads its peers' buffers over a switch.

    `base_s` is what beginning costs, `post_s` the flag of each peer, `pass_s` the second pass of the two-shot kernel;
    `one_shot_frac` and `two_shot_frac` are the shares of the transport's efficiency that the kernels reach, and
    `ranks_limit_count` the largest group that runs them.
    """

    base_s: float
    post_s: float
    pass_s: float
    one_shot_frac: float
    two_shot_frac: float
    ranks_limit_count: float


@record
class InNetwork:
    """Reduction in the switches: what beginning costs, for all and for each member, and the rate as a share."""

    base_s: float
    member_s: float
    rate_frac: float


@record
class LinkCalibration:
    """What a link family's transport and its library make of the printed bandwidth.

    `efficiency_frac` is the one share of bandwidth that the transport reaches; regimes and kernels have shares of it.
    `hop_s` is the latency of a hop on the machine where steps were measured: a longer hop adds what it is longer.
    `own_copy_bytes_per_s` is how fast a ring copies a rank's own part, once, beside what it sends. `exchanges` are ways
    to send other than `exchange`, by name, as for short messages; `peer_kernels` are what serving engines run beside
    the library, by engine, `serving` for those without a row.
    `algorithms` are those that the library runs over switches; beside them `hierarchical` says that it runs tier by
    tier, `all_paths` that one pair may use all links of a mesh. What kernels lose per second of transfers beside them:
    `overlap_tax_frac` beside kernels made for it, as of experts' all-to-all, `collective_tax_frac` beside the library's
    collectives.
    """

    id: str
    version: str
    name: str
    algorithms: tuple[str, ...]
    efficiency_frac: float
    hop_s: float
    regimes: tuple[Regime, ...]
    exchange: Exchange
    expert_latency: ExpertKernels
    expert_volume: ExpertKernels
    band_frac: float
    overlap_tax_frac: float
    collective_tax_frac: float
    in_network: InNetwork | None = None
    own_copy_bytes_per_s: float | None = None
    exchanges: Mapping[str, Exchange] = field(default_factory=dict)
    peer_kernels: Mapping[str, PeerKernels] = field(default_factory=dict)
    borrowed_from: str = ""
    note: str = ""
    facts: Mapping[str, Fact] = field(default_factory=dict, repr=False, compare=False)
