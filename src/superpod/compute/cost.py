"""The time of one operator on one rank: engine, memory and latency joined smoothly, plus the cost of a launch.

Continuous and monotone in the work: a bigger operator is never faster.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from superpod.catalog.calibration import AttentionFit, Calibration, DecodeFit, GemmFit, ProductKey
from superpod.compute.curves import attention_time, decode_time, product_time
from superpod.compute.device import Device
from superpod.errors import NoBasisError
from superpod.result import Num
from superpod.workload.op import ATTENTION, DECODE_ATTENTION, FULL, GEMM, LATENT, SOFTMAX, Op


def op_time(op: Op, device: Device) -> Num:
    """Return t = (t_engine^p + t_memory^p + t_wave^p)^(1/p) + kernels x kernel_s, by the kind's curve.

    The smooth maximum stands for the imperfect overlap of arithmetic and transfers near the ridge; it is never below
    any of its terms, so never below the roofline (Williams et al. 2009, doi:10.1145/1498765.1498785).
    """
    fits, bandwidth, slowest = device.calibration, device.memory_bytes_per_s, 1.0 + device.lag_frac
    if op.kind == GEMM:
        fit, quantises = product_fit(op, fits)
        spent = product_time(fit, op, device.matrix_flop_per_s[op.dtype] / slowest, bandwidth, steady=device.steady)
        return spent if quantises else spent + quantising_time(op, device)
    if op.kind == ATTENTION:
        return attention_time(attention_fit(op, device), op, device.matrix_flop_per_s[op.dtype] / slowest, bandwidth)
    if op.kind == DECODE_ATTENTION:
        return decode_time(decode_fit(op, device), op, device.matrix_flop_per_s[op.dtype], bandwidth)
    share = fits.softmax_memory_frac if op.kind == SOFTMAX else fits.memory_frac
    return op.traffic_bytes / (share * bandwidth) + op.kernels_count * fits.kernel_s


def product_fit(op: Op, fits: Calibration) -> tuple[GemmFit, bool]:
    """Return the fit of a product's format and scaling, and whether nothing of its own is to be quantised before it.

    Grouped products of experts have fits where they were measured, which hold the quantising of what goes into them.
    Raises NoBasisError where the calibration knows nothing of the format.
    """
    keys = (f"{op.dtype}_{op.scaling}", op.dtype)
    grouped = _first(fits.experts, keys) if op.experts is not None else None
    if grouped is not None:
        return grouped, True
    plain = _first(fits.gemm, keys)
    if plain is not None:
        return plain, op.experts is None or op.element_bytes[1] >= 2.0
    raise NoBasisError(
        f"nothing is known of {op.dtype} products",
        where=f"calibration/{fits.id}:gemm",
        hint=f"known: {', '.join(fits.gemm)}",
    )


def _first(table: Mapping[ProductKey, GemmFit], keys: tuple[str, ...]) -> GemmFit | None:
    return next((fit for key in keys for name, fit in table.items() if name == key), None)


def quantising_time(op: Op, device: Device) -> Num:
    """Return what making a product's input narrow takes: 16 bits read, the narrow format written, one kernel."""
    moved = op.groups * op.rows * op.depth * (2.0 + op.element_bytes[1])
    fits = device.calibration
    return moved / (fits.memory_frac * device.memory_bytes_per_s) + fits.kernel_s


def attention_fit(op: Op, device: Device) -> AttentionFit:
    """Return the fit of attention over many rows; the backward pass has a share of the engine of its own.

    Training runs an earlier generation of kernels where software names one that was measured on the chip.
    """
    shape, fits = op.attention, device.calibration
    earlier = fits.earlier_attention.get(device.attention)
    if earlier is not None and shape is not None and not shape.cached:
        own = earlier.backward_peak_frac
        return replace(earlier, peak_frac=own) if own and op.name.endswith("bwd") else earlier
    if op.name.endswith("bwd"):
        # Backward shares are measured at wide heads: what the exponentials take is in them already.
        return replace(fits.training_attention, peak_frac=fits.backward_peak_frac, width_half_count=0.0)
    if shape is None or not shape.cached:
        return fits.training_attention
    latent = shape.form == FULL and shape.head_dim != shape.value_dim
    return fits.latent_attention if latent else fits.attention


def decode_fit(op: Op, device: Device) -> DecodeFit:
    """Return the fit of decode attention: over heads, latents, or 8-bit heads in an engine with kernels of its own."""
    fits, shape = device.calibration, op.attention
    if shape is not None and shape.form == LATENT:
        return fits.latent_decode
    narrow = shape is not None and shape.form == FULL and shape.kv_bytes <= 1.0
    return fits.narrow_decode.get(device.engine, fits.decode) if narrow else fits.decode


def roofline_time(op: Op, device: Device) -> Num:
    """Return the lower bound that no kernel can beat: peak rate and full bandwidth."""
    return np.maximum(op.flop / device.matrix_flop_per_s[op.dtype], op.traffic_bytes / device.memory_bytes_per_s)
