"""Measured operators as columns: what a curve is fitted to."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from superpod.calibrate.measurements import (
    COLLECTIVES,
    COPY,
    DECODE,
    ELEMENT_BYTES,
    ELEMENTWISE,
    GEMM,
    LATENT_DECODE,
    LAUNCH,
    PREFILL,
    SOFTMAX,
    Measurement,
)
from superpod.errors import MeasurementError
from superpod.result import Num
from superpod.workload import op as ops
from superpod.workload.op import AttentionShape, Op

FloatArray = npt.NDArray[np.float64]

FORMATS: dict[str, str] = {
    "bf16": "bf16",
    "fp16": "bf16",  # the same engine
    "fp8": "fp8",
    "fp8_block": "fp8_block",
    "fp4": "fp4",
    "int8": "int8",
}
ATTENTION = (PREFILL, DECODE, LATENT_DECODE)
WIDE = ("", "bf16", "fp16")
CURVE_OF_KIND = {
    PREFILL: "attention",
    DECODE: "decode",
    LATENT_DECODE: "latent_decode",
    ELEMENTWISE: "elementwise",
    COPY: "elementwise",
    SOFTMAX: "softmax",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """Rows of one curve. `parts` are kernels in columns whose times add up to `time_s` with `fixed_s`.

    `family` tells shapes apart for cross-validation, `chip` the machines; rates are those of each row's chip.
    """

    parts: tuple[Op, ...]
    flop_per_s: FloatArray
    bytes_per_s: FloatArray
    time_s: FloatArray
    family: npt.NDArray[np.int64]
    chip: npt.NDArray[np.str_]
    fixed_s: FloatArray
    refused_count: int = 0

    def __len__(self) -> int:
        return len(self.time_s)

    def take(self, chosen: npt.NDArray[np.int64]) -> "Samples":
        """Return some of the rows."""
        size = len(self.time_s)
        return replace(
            self,
            parts=tuple(_rows(part, chosen, size) for part in self.parts),
            flop_per_s=self.flop_per_s[chosen],
            bytes_per_s=self.bytes_per_s[chosen],
            time_s=self.time_s[chosen],
            family=self.family[chosen],
            chip=self.chip[chosen],
            fixed_s=self.fixed_s[chosen],
        )


def bound_s(samples: Samples) -> FloatArray:
    """Return the roofline of each row: its parts at peak rate and full bandwidth."""
    total: Num = np.zeros(len(samples))
    for part in samples.parts:
        total = total + np.maximum(part.flop / samples.flop_per_s, part.traffic_bytes / samples.bytes_per_s)
    return np.asarray(total, dtype=float)


def believable(samples: Samples, shortest_s: float) -> Samples:
    """Return the rows that are at least `shortest_s` long and not below their roofline, and count the others."""
    good = (samples.time_s >= shortest_s) & (samples.time_s >= bound_s(samples))
    kept = samples.take(np.flatnonzero(good))
    return replace(kept, refused_count=samples.refused_count + int((~good).sum()))


def families(*columns: FloatArray) -> npt.NDArray[np.int64]:
    """Return a number for each distinct row of the columns."""
    _, codes = np.unique(np.column_stack(columns), axis=0, return_inverse=True)
    return np.asarray(codes, dtype=np.int64).ravel()


def _rows(op: Op, chosen: npt.NDArray[np.int64], size: int) -> Op:
    """Return an operator of some rows of its columns; plain numbers stay."""
    shape = op.attention
    if shape is not None:
        changed = {name: _pick(getattr(shape, name), chosen, size) for name in AttentionShape.__dataclass_fields__}
        shape = AttentionShape(**changed)
    names = ("flop", "traffic_bytes", "rows", "columns", "depth", "groups")
    columns: dict[str, Any] = {name: _pick(getattr(op, name), chosen, size) for name in names}
    return replace(op, attention=shape, **columns)


def _pick(value: Any, chosen: npt.NDArray[np.int64], size: int) -> Any:
    return value[chosen] if isinstance(value, np.ndarray) and len(value) == size else value


def curve_of(row: Measurement) -> str:
    """Return the curve that a row belongs to; empty for none. Raises MeasurementError for an unknown format."""
    if without_curve(row):
        return ""
    if row.kind == PREFILL and row.value_dim is not None and row.value_dim != row.head_dim:
        return "latent_attention"
    if row.kind != GEMM:
        return CURVE_OF_KIND.get(row.kind, "")
    if row.dtype not in FORMATS:
        raise MeasurementError(
            f"column dtype: found {row.dtype!r}, expected one of {', '.join(FORMATS)}", hint="of a product"
        )
    return f"{'experts' if (row.groups or 1.0) > 1.0 else 'gemm'}.{FORMATS[row.dtype]}"


def without_curve(row: Measurement) -> str:
    """Return what a row is that no curve is fitted to, in words; empty where it has one.

    Curves of attention compute in 16 bits: over a narrow cache too in decode, whose traffic has the cache's bytes.
    """
    if row.kind == LAUNCH or row.kind in COLLECTIVES:
        return row.kind
    if row.kind in ATTENTION and row.dtype not in WIDE:
        return f"{row.kind} that computes in {row.dtype}"
    if row.kind == PREFILL and row.kv_dtype not in WIDE:
        return f"{row.kind} over caches of {row.kv_dtype}"
    return ""


def narrow_experts(curve: str) -> bool:
    """Return whether a curve is of grouped products in a narrow format, which holds the quantising of their inputs."""
    kind, _, key = curve.partition(".")
    return kind == "experts" and ELEMENT_BYTES[key] < ELEMENT_BYTES["bf16"]


def with_quantising(samples: Samples, curve: str, memory_frac: float, kernel_s: float) -> Samples:
    """Return bare grouped products with the quantising of their inputs added to the times of all believable rows.

    It is an elementwise kernel: 2 bytes read and the narrow ones written an element of the inputs.
    """
    (part,) = samples.parts
    moved_bytes = part.groups * part.rows * part.depth * (2.0 + ELEMENT_BYTES[curve.partition(".")[2]])
    spent_s = moved_bytes / (memory_frac * samples.bytes_per_s) + kernel_s
    return replace(samples, time_s=samples.time_s + np.asarray(spent_s, dtype=float))


def product(rows: Num, columns: Num, depth: Num, groups: Num, key: str) -> Op:
    """Return products of a number format, by the key of its fit (`fp8_block`)."""
    dtype, _, scaling = key.partition("_")
    size = ELEMENT_BYTES[key]
    return ops.gemm(
        "product",
        rows=rows,
        columns=columns,
        depth=depth,
        groups=groups,
        dtype=dtype,
        element_bytes=(size, size),
        scaling=scaling,
    )


def attention(
    *,
    sequences: FloatArray,
    query_tokens: FloatArray,
    keys: FloatArray,
    heads: FloatArray,
    kv_heads: FloatArray,
    head_dim: FloatArray,
    value_dim: FloatArray,
    causal: FloatArray,
    kv_bytes: FloatArray,
    window: FloatArray,
    decode: bool,
    form: str = ops.FULL,
) -> Op:
    """Return attention kernels in columns; `causal` is 1 where a query sees what came before, `window` inf for none.

    A causal query i of q over k keys sees k - q + i of them, or its window. Bytes: keys and values within
    reach once, queries and outputs once in 2 bytes.
    """
    first = np.where(causal > 0.0, keys - query_tokens, keys)
    context = np.where(causal > 0.0, first + query_tokens / 2.0, keys)
    beyond = np.clip(keys - np.maximum(first, window), 0.0, None)  # queries whose reach the window cuts
    clipped = np.where(causal > 0.0, context - beyond * beyond / 2.0 / query_tokens, np.minimum(keys, window))
    clipped = np.where(window >= keys, context, np.where(first >= window, window, clipped))
    width = head_dim + value_dim
    stored = head_dim if form == ops.LATENT else width
    tokens = sequences * query_tokens
    reach = np.minimum(keys, window + (0.0 if decode else query_tokens))
    return Op(
        name="attention",
        kind=ops.DECODE_ATTENTION if decode else ops.ATTENTION,
        dtype="bf16",
        flop=2.0 * tokens * clipped * heads * width,
        traffic_bytes=sequences * reach * kv_heads * stored * kv_bytes + tokens * heads * width * 2.0,
        rows=query_tokens,
        columns=np.minimum(keys, window),
        depth=head_dim,
        groups=sequences * heads,
        attention=AttentionShape(
            form=form,
            sequences=sequences,
            query_tokens=query_tokens,
            keys=np.minimum(keys, window),
            context=clipped,
            heads=heads,
            kv_heads=kv_heads,
            head_dim=head_dim,  # type: ignore[arg-type]
            value_dim=value_dim,  # type: ignore[arg-type]
            kv_bytes=kv_bytes,  # type: ignore[arg-type]
        ),
    )


def from_measurements(rows: Sequence[Measurement], curve: str, rates: dict[str, float], bytes_per_s: float) -> Samples:
    """Return the samples of one curve from rows of a file; `rates` are a chip's by format."""
    column = {name: _column(rows, name) for name in NUMBERS}
    size = len(rows)
    if curve.startswith(("gemm.", "experts.")):
        key = curve.partition(".")[2]
        groups = np.where(np.isnan(column["groups"]), 1.0, column["groups"])
        part = product(column["rows"], column["columns"], column["depth"], groups, key)
        family = families(column["columns"], column["depth"])
        rate = rates[part.dtype]
    elif curve in {"attention", "latent_attention", "decode", "latent_decode"}:
        part = _attention_rows(rows, column, curve)
        family = families(*(np.nan_to_num(column[name]) for name in ("heads", "kv_heads", "head_dim")))
        rate = rates["bf16"]
    else:
        part = ops.elementwise("move", np.nan_to_num(column["bytes"]))
        family = families(np.nan_to_num(column["bytes"]))
        rate = rates["bf16"]
    return Samples(
        parts=(part,),
        flop_per_s=np.full(size, rate),
        bytes_per_s=np.full(size, bytes_per_s),
        time_s=column["time_s"],
        family=family,
        chip=np.array([row.chip for row in rows]),
        fixed_s=np.zeros(size),
    )


NUMBERS = (
    "groups",
    "rows",
    "columns",
    "depth",
    "sequences",
    "query_tokens",
    "keys",
    "heads",
    "kv_heads",
    "head_dim",
    "value_dim",
    "causal",
    "bytes",
    "time_s",
)


def _column(rows: Sequence[Measurement], name: str) -> FloatArray:
    """Return one column, not-a-number where a field is empty."""
    values = [getattr(row, name) for row in rows]
    return np.array([np.nan if value is None else float(value) for value in values])


def _attention_rows(rows: Sequence[Measurement], column: dict[str, FloatArray], curve: str) -> Op:
    """Return the attention kernels of rows of a file."""
    decode = curve.endswith("decode")
    latent = curve == "latent_decode"
    size = len(rows)
    value_dim = np.where(np.isnan(column["value_dim"]), column["head_dim"], column["value_dim"])
    queries = np.where(np.isnan(column["query_tokens"]), 1.0, column["query_tokens"])
    return attention(
        sequences=column["sequences"],
        query_tokens=queries,
        keys=column["keys"],
        heads=column["heads"],
        kv_heads=np.ones(size) if latent else column["kv_heads"],
        head_dim=column["head_dim"],
        value_dim=value_dim,
        causal=np.zeros(size) if decode else np.nan_to_num(column["causal"]),
        kv_bytes=np.array([ELEMENT_BYTES[row.kv_dtype or "bf16"] for row in rows]),
        window=np.full(size, np.inf),
        decode=decode,
        form=ops.LATENT if latent else ops.FULL,
    )
