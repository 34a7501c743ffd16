"""Times of kernels as smooth curves over their sizes: engine, memory and one wave's latency, joined, plus the launch.

Each curve takes a fit of the catalogue and bare rates, so that what a calibration is fitted with is what predicts.
"""

import numpy as np

from superpod.catalog.calibration import AttentionFit, DecodeFit, GemmFit
from superpod.result import Num
from superpod.workload.op import LINEAR, AttentionShape, Op


def join(power: float, *terms: Num) -> Num:
    """Return (sum of terms^p)^(1/p): the smooth maximum, never below the largest term, above it where two are alike."""
    total: Num = 0.0
    for term in terms:
        total = total + term**power
    return total ** (1.0 / power)


def wave(kernel_s: float, length: Num, alike_count: float, power: float) -> Num:
    """Return what a single wave of tiles takes to walk a length: the launch's time at `alike_count`, to a power <= 1.

    The power is below 1 because libraries split long walks over idle units.
    """
    return kernel_s * (length / alike_count) ** power


def product_engine(fit: GemmFit, op: Op, flop_per_s: Num) -> Num:
    """Return 2 g (m + m_h)(n + n_h)(k + k_h) / (share x peak), seconds.

    Each axis loses half of the engine at its half size: the smooth envelope of partly filled tiles and waves.
    """
    rows, columns, depth = (
        op.rows + fit.rows_half_count,
        op.columns + fit.columns_half_count,
        op.depth + fit.depth_half_count,
    )
    return 2.0 * op.groups * rows * columns * depth / (fit.peak_frac * flop_per_s)


# Formats whose `power_loss_frac` is the power limit's alone; of narrower ones it also holds how kernels fill the chip.
POWER_BOUND = ("bf16",)


def throttled(fit: GemmFit, engine_s: Num) -> Num:
    """Return t (1 + loss t / (t + t_power)): an engine at work for longer meets the power limit, and clocks fall."""
    return engine_s * (1.0 + fit.power_loss_frac * engine_s / (engine_s + fit.power_s))


def steadily(fit: GemmFit, engine_s: Num, dtype: str) -> Num:
    """Return t (1 + loss) under a steady load, in which products of any length meet the power limit.

    The loss is the fit's own for a steady load, else its loss for long products where that is the power limit's.
    """
    if fit.steady_loss_frac is not None:
        return engine_s * (1.0 + fit.steady_loss_frac)
    return engine_s * (1.0 + fit.power_loss_frac) if dtype in POWER_BOUND else throttled(fit, engine_s)


def product_time(fit: GemmFit, op: Op, flop_per_s: Num, bytes_per_s: Num, *, steady: bool = False) -> Num:
    """Return the seconds of (grouped) products: join of engine, memory and one wave over the depth, plus the launch."""
    alone = product_engine(fit, op, flop_per_s)
    engine = steadily(fit, alone, op.dtype) if steady else throttled(fit, alone)
    memory = op.traffic_bytes / (fit.memory_frac * bytes_per_s)
    single = wave(fit.kernel_s, op.depth, fit.latency_depth_count, fit.latency_power)
    return join(fit.join_power, engine, memory, single) + op.kernels_count * fit.kernel_s


def attention_engine(fit: AttentionFit, op: Op, flop_per_s: Num) -> Num:
    """Return F (1 + s_h / s)(1 + c_h / c)(1 + d_h / d) / (share x peak), seconds; F / (share x peak) of a recurrence.

    Each of s queries a sequence looks at c keys on average; d is the mean width of a head. The exponentials of the
    F / (4 d) scores keep another unit busy: their time is a share d_h / d of the products'.
    """
    shape = op.attention
    plain = op.flop / (fit.peak_frac * flop_per_s)
    if shape is not None and shape.form == LINEAR:
        return plain
    width = op.depth if shape is None else (shape.head_dim + shape.value_dim) / 2.0
    context = op.columns if shape is None else shape.context
    rows, keys = 1.0 + fit.rows_half_count / op.rows, 1.0 + fit.keys_half_count / context
    return plain * rows * keys * (1.0 + fit.width_half_count / width)


def attention_time(fit: AttentionFit, op: Op, flop_per_s: Num, bytes_per_s: Num) -> Num:
    """Return the seconds of attention over many rows: join of engine, memory and one tile's walk over its keys."""
    engine = attention_engine(fit, op, flop_per_s)
    memory = op.traffic_bytes / (fit.memory_frac * bytes_per_s)
    single = wave(fit.kernel_s, walked(op), fit.latency_keys_count, fit.latency_power)
    return join(fit.join_power, engine, memory, single) + op.kernels_count * fit.kernel_s


def decode_engine(fit: DecodeFit, op: Op, flop_per_s: Num) -> Num:
    """Return F (1 + r_h / r)(1 + k_h / k) / (share x peak), seconds: r query rows share a key-value head, k keys.

    The engine multiplies whole tiles of rows, however few query heads share a key. A recurrence has no tiles to fill.
    """
    plain = op.flop / (fit.peak_frac * flop_per_s)
    if op.attention is not None and op.attention.form == LINEAR:
        return plain
    return plain * (1.0 + fit.rows_half_count / shared_rows(op)) * (1.0 + fit.keys_half_count / walked(op))


def decode_time(fit: DecodeFit, op: Op, flop_per_s: Num, bytes_per_s: Num) -> Num:
    """Return the seconds of decode attention: join of engine, memory and one split's walk, plus the launch."""
    engine = decode_engine(fit, op, flop_per_s)
    memory = op.traffic_bytes / (fit.memory_frac * bytes_per_s)
    single = wave(fit.kernel_s, walked(op), fit.latency_keys_count, fit.latency_power)
    return join(fit.join_power, engine, memory, single) + op.kernels_count * fit.kernel_s


def shared_rows(op: Op) -> Num:
    """Return the query rows that read one key-value head together."""
    shape = op.attention
    return op.rows if shape is None else shape.query_tokens * shape.heads / shape.kv_heads


def walked(op: Op) -> Num:
    """Return the keys that one query can see: all, a window or a sparse choice; a recurrence walks its tokens."""
    return op.columns if op.attention is None else seen_keys(op.attention)


def seen_keys(shape: AttentionShape) -> Num:
    """Return the keys within the window or the sparse choice."""
    keys = shape.keys
    if shape.window_count:
        keys = np.minimum(keys, shape.window_count)
    return np.minimum(keys, shape.selected_count) if shape.selected_count else keys
