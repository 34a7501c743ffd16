"""Measured efficiencies of operators and links; every number is a fact that names what it was fitted on.

Nothing here is fitted to an end-to-end result.
"""

from collections.abc import Mapping
from dataclasses import field

from superpod.catalog.provenance import Fact
from superpod.catalog.record import record
from superpod.catalog.schema import Dtype


@record
class GemmFit:
    """Matrix products of one dtype: best share of peak, and the size along each axis at which half of it is lost."""

    peak_frac: float
    rows_half_count: float
    columns_half_count: float
    depth_half_count: float


@record
class AttentionFit:
    """Score-value kernels of prefill and training, by rows a sequence, and of decode, by engine and memory share.

    `decode_kernel_s` is the floor of a split-KV kernel pair.
    """

    peak_frac: float
    backward_peak_frac: float
    rows_half_count: float
    decode_peak_frac: float
    decode_memory_frac: float
    decode_kernel_s: float


@record
class Calibration:
    """Operator efficiencies of a chip family.

    `memory_frac` is the share of memory bandwidth that elementwise kernels reach, `gemm_memory_frac` the share that
    products bound by reading weights reach, `softmax_memory_frac` that of unfused softmax; `kernel_s` is what one
    kernel costs before it does any work; `borrowed_from` names the relative whose measurements stand in.
    """

    id: str
    version: str
    name: str
    gemm: Mapping[Dtype, GemmFit]
    attention: AttentionFit
    memory_frac: float
    gemm_memory_frac: float
    softmax_memory_frac: float
    kernel_s: float
    band_frac: float
    borrowed_from: str = ""
    note: str = ""
    facts: Mapping[str, Fact] = field(default_factory=dict, repr=False, compare=False)


@record
class CollectiveFit:
    """T = floor_s + step_s log2(n) + (W + sqrt(W ramp_bytes)) / (efficiency_frac B) for W bytes on the wire."""

    efficiency_frac: float
    floor_s: float
    step_s: float
    ramp_bytes: float


@record
class LinkCalibration:
    """Collective efficiencies of a link family.

    `in_network_frac` is the rate of an all-reduce that switches add up, as a share of the injection bandwidth;
    0 where the fabric has none. `overlap_tax_frac` is how much kernels slow down per second of transfers beside them.
    """

    id: str
    version: str
    name: str
    all_reduce: CollectiveFit
    all_gather: CollectiveFit
    all_to_all: CollectiveFit
    p2p: CollectiveFit
    band_frac: float
    overlap_tax_frac: float
    in_network_frac: float = 0.0
    borrowed_from: str = ""
    note: str = ""
    facts: Mapping[str, Fact] = field(default_factory=dict, repr=False, compare=False)
