"""The time of one operator on one rank: engine time and memory time joined smoothly, plus the cost of a launch.

Continuous and monotone in the work: a bigger operator is never faster.
"""

import numpy as np

from superpod.compute.device import Device
from superpod.result import Num
from superpod.workload.op import ATTENTION, DECODE_ATTENTION, GEMM, SOFTMAX, Op

JOIN = 4.0  # exponent of the smooth maximum: 19 % over the larger term where both are equal, 1 % at a ratio of 2.2


def op_time(op: Op, device: Device) -> Num:
    """Return t = (t_engine^4 + t_memory^4)^(1/4) + kernels x kernel_s.

    The smooth maximum stands for the imperfect overlap of arithmetic and transfers near the ridge; it is never below
    either bound, so never below the roofline (Williams et al. 2009, doi:10.1145/1498765.1498785).
    """
    engine, memory = engine_time(op, device), memory_time(op, device)
    joined = (engine**JOIN + memory**JOIN) ** (1.0 / JOIN)
    fits = device.calibration
    kernel_s = fits.attention.decode_kernel_s if op.kind == DECODE_ATTENTION else fits.kernel_s
    return joined + op.kernels_count * kernel_s


def engine_time(op: Op, device: Device) -> Num:
    """Return the time of the arithmetic.

    GEMM: 2 g (m + m_h)(n + n_h)(k + k_h) / (share x peak): each axis loses half of the engine at its half size, which
    stands for partly filled tiles, waves and pipelines. Attention: rows padded in the same way.
    """
    fits = device.calibration
    if op.kind == GEMM:
        fit = fits.gemm[op.dtype]  # type: ignore[index]
        padded = (
            (op.rows + fit.rows_half_count) * (op.columns + fit.columns_half_count) * (op.depth + fit.depth_half_count)
        )
        return 2.0 * op.groups * padded / (fit.peak_frac * device.matrix_flop_per_s[op.dtype])
    if op.kind == ATTENTION:
        share = fits.attention.backward_peak_frac if op.name.endswith("bwd") else fits.attention.peak_frac
        padding = (op.rows + fits.attention.rows_half_count) / op.rows
        return op.flop * padding / (share * device.matrix_flop_per_s[op.dtype])
    if op.kind == DECODE_ATTENTION:
        return op.flop / (fits.attention.decode_peak_frac * device.matrix_flop_per_s[op.dtype])
    return 0.0


def memory_time(op: Op, device: Device) -> Num:
    """Return the time of the transfers at the bandwidth that such kernels reach."""
    fits = device.calibration
    shares = {
        DECODE_ATTENTION: fits.attention.decode_memory_frac,
        GEMM: fits.gemm_memory_frac,
        SOFTMAX: fits.softmax_memory_frac,
    }
    share = shares.get(op.kind, fits.memory_frac)
    return op.traffic_bytes / (share * device.memory_bytes_per_s)


def roofline_time(op: Op, device: Device) -> Num:
    """Return the lower bound that no kernel can beat: peak rate and full bandwidth."""
    return np.maximum(op.flop / device.matrix_flop_per_s[op.dtype], op.traffic_bytes / device.memory_bytes_per_s)
