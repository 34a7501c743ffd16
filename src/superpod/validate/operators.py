"""Published operator points predicted: products, attention, bandwidth and one layer of experts, on a bare chip."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from superpod.catalog.load import Catalogue
from superpod.catalog.model_spec import GroupedQueryAttention, LatentAttention
from superpod.catalog.provenance import FactReader
from superpod.catalog.schema import DTYPES
from superpod.compute.cost import op_time
from superpod.compute.device import Device, device, supported
from superpod.errors import NoBasisError, SuperpodError
from superpod.fabric.tiers import ranks_per_chip
from superpod.validate.expert_layer import layer_seconds
from superpod.validate.hardware import place_of
from superpod.validate.point import Point
from superpod.validate.prediction import Prediction, refused
from superpod.validate.programs import Program, program_of
from superpod.validate.training_layout import precision_of
from superpod.validate.values import SECONDS, number, positive
from superpod.workload.blocks import gqa, mla
from superpod.workload.op import ATTENTION, DECODE_ATTENTION, Op, backward, elementwise, gemm
from superpod.workload.phase import Partition, decode_phase, prefill_phase, training_phase
from superpod.workload.precision import PRECISIONS, Precision

COPIED_BYTES = 2.0**32  # of a bandwidth test: long past every launch
SAME_PEAK = 0.02  # a printed share of peak names the format whose peak it is of, to rounding
# The shapes of DeepSeek-V2 and V3 (arXiv 2405.04434, 2412.19437), which kernels for latent attention are written for.
LATENT = {"q_lora_rank": 1536, "kv_lora_rank": 512, "qk_nope_dim": 128, "qk_rope_dim": 64, "v_dim": 128}


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """A point with the chip that it was measured on."""

    point: Point
    unit: Device
    chip: str
    calibration: str
    program: Program

    def seconds(self, *operators: Op) -> float:
        """Return the time of kernels one after another, and of launching each from the measuring program."""
        return sum(float(op_time(op, self.unit)) + self.program.launch_s for op in operators)


Row = tuple[str, float, float]  # what, measured seconds, predicted seconds


def predict(catalogue: Catalogue, point: Point) -> tuple[Prediction, ...]:
    """Return the predictions of one operator point, or why there are none."""
    try:
        rows, bench = _rows(catalogue, point)
    except SuperpodError as error:
        return (refused(point, error.message),)
    band = 1.0 + bench.unit.calibration.band_frac
    return tuple(
        Prediction(
            point=point.id,
            kind=point.kind,
            what=what,
            source=point.title,
            hardware=point.hardware,
            chip=bench.chip,
            measured=measured,
            predicted=predicted,
            low=predicted / band,
            high=predicted * band,
            basis=bench.calibration,
            in_sample=bench.program.in_sample,
        )
        for what, measured, predicted in rows
    )


def _rows(catalogue: Catalogue, point: Point) -> tuple[list[Row], Bench]:
    config = point.config
    words = f"{config.get('op', '')}".lower()
    readers: tuple[tuple[str, Callable[[Bench], list[Row]]], ...] = (
        (r"grouped", _grouped),
        (r"gemm|matmul", _product),
        (r"mla", _latent),
        (r"attention", _attention),
        (r"copy|bandwidth", _copy),
    )
    if "moe layer" in words:
        bench = _bench(catalogue, point)
        return [("MoE layer forward", _measured(point), layer_seconds(catalogue, point))], bench
    reader = next((made for pattern, made in readers if re.search(pattern, words)), None)
    if reader is None:
        raise NoBasisError(f"no model of the operator {words!r}", where="config.op")
    bench = _bench(catalogue, point)
    return reader(bench), bench


def _bench(catalogue: Catalogue, point: Point) -> Bench:
    """Return the point's chip: one rank of its pod, or the bare chip; the formats that it has."""
    place = place_of(catalogue, point.hardware, point.chips or 1.0)
    chip = catalogue.chip(place.chip)
    reader = FactReader(kind="chips", entry=chip)
    per_chip = ranks_per_chip(reader, chip.dies_count, catalogue.pod(place.pod)) if place.pod else 1.0
    calibration = catalogue.calibration(chip.calibration)
    dtypes = tuple(name for name in DTYPES if supported(chip, name))
    unit = device(reader, chip, calibration, per_chip, dtypes)
    return Bench(point=point, unit=unit, chip=chip.id, calibration=calibration.id, program=program_of(point.title))


def _measured(point: Point, flop: float = 0.0) -> float:
    """Return the measured seconds: a time as printed, a rate through the counted FLOP."""
    if point.unit in SECONDS:
        return point.value * SECONDS[point.unit]
    if point.unit == "TFLOP/s" and flop:
        return flop / (point.value * 1e12)
    raise NoBasisError(f"no seconds from {point.metric!r} in {point.unit!r}", where="metric")


def _precision(bench: Bench, flop: float) -> Precision:
    """Return the number format: as stated, or the one whose peak the printed share of peak is of."""
    point = bench.point
    if point.config.get("dtype"):
        return precision_of(point.config)
    share = positive(point.also.get("mfu"))
    if share is not None:
        peak = flop / (_measured(point) * share)
        for name, rate in bench.unit.matrix_flop_per_s.items():
            if abs(peak / rate - 1.0) < SAME_PEAK and name != "int8":
                return PRECISIONS[name]
    raise NoBasisError("no number format", where="config.dtype")


def _product(bench: Bench) -> list[Row]:
    config = bench.point.config
    sizes = [number(config, name) for name in ("m", "n", "k")]
    if None in sizes:
        found = re.fullmatch(r"(\d+)x(\d+)x(\d+)", str(config.get("mnk", "")))
        if found is None:
            raise NoBasisError("shape not stated", where="config")
        sizes = [float(part) for part in found.groups()]
    rows, columns, depth = (float(size or 0.0) for size in sizes)
    flop = 2.0 * rows * columns * depth
    precision = _precision(bench, flop)
    op = gemm(
        "product",
        rows=rows,
        columns=columns,
        depth=depth,
        dtype=precision.matmul,
        element_bytes=(precision.weight_bytes, precision.activation_bytes),
        scaling=precision.scaling,
    )
    return [("GEMM", _measured(bench.point, flop), bench.seconds(op))]


def _grouped(bench: Bench) -> list[Row]:
    """Return up (with gate) and down products of a rank's experts, each with the same tokens."""
    config, also = bench.point.config, bench.point.also
    names = ("num_local_experts", "tokens_per_expert", "hidden_size", "intermediate_size")
    sizes = [number(config, name) for name in names]
    if None in sizes:
        raise NoBasisError("shape not stated", where="config")
    groups, rows, hidden, width = (float(size or 0.0) for size in sizes)
    precision = precision_of(config) if config.get("dtype") else PRECISIONS["fp8"]  # DeepGEMM's grouped kernels
    shapes = {"grouped up": (2.0 * width, hidden), "grouped down": (hidden, width)}
    measured = {"grouped up": _measured(bench.point)}
    down = positive(also.get("down_proj_us"))
    if down is not None:
        measured["grouped down"] = down * 1e-6
    return [
        (
            what,
            spent,
            bench.seconds(
                gemm(
                    what,
                    rows=rows,
                    columns=shapes[what][0],
                    depth=shapes[what][1],
                    groups=groups,
                    dtype=precision.matmul,
                    element_bytes=(precision.weight_bytes, precision.activation_bytes),
                    scaling=precision.scaling,
                )
            ),
        )
        for what, spent in measured.items()
    ]


def _attention(bench: Bench) -> list[Row]:
    """Return fused attention, forward or both ways.

    Charts count 4 s^2 d heads FLOP a sequence, half of it where causal, and 3.5 times that both ways.
    """
    config = bench.point.config
    batch, length, heads, width = (_size(config, name) for name in ("batch", "seq", "heads", "head_dim"))
    causal, both = bool(config.get("causal")), "bwd" in str(config.get("op", ""))
    attention = GroupedQueryAttention(
        kind="gqa",
        heads_count=round(heads),
        kv_heads_count=round(number(config, "kv_heads") or heads),
        head_dim=round(width),
    )
    tokens = length if causal else 2.0 * length  # all keys are twice the causal mean
    phase = training_phase(batch, tokens, 1.0, fused_attention=True)  # no cache
    operators = [op for op in gqa.core(attention, phase, Partition(), PRECISIONS["bf16"]) if op.kind == ATTENTION]
    if not causal:
        operators = [_whole(op, batch, length) for op in operators]
    if both:
        operators += [part for op in operators for part in backward(op)]
    flop = 4.0 * length**2 * width * heads * batch * (0.5 if causal else 1.0) * (3.5 if both else 1.0)
    return [("attention fwd+bwd" if both else "attention fwd", _measured(bench.point, flop), bench.seconds(*operators))]


def _whole(op: Op, batch: float, length: float) -> Op:
    """Return an operator of 2 s queries as one of s queries that look at all s keys."""
    shape = op.attention
    made: dict[str, Any] = {
        "flop": op.flop / 2.0,
        "traffic_bytes": op.traffic_bytes / 2.0,
        "rows": length,
        "columns": length,
    }
    if shape is not None:
        made["attention"] = replace(shape, query_tokens=length, keys=length, context=length, causal=False)
    return replace(op, **made)


def _latent(bench: Bench) -> list[Row]:
    config, words = bench.point.config, str(bench.point.config.get("op", "")).lower()
    found = re.search(r"(\d+) heads", words)
    heads = number(config, "heads") or (float(found[1]) if found else None)
    if heads is None:
        raise NoBasisError("shape not stated", where="config")
    attention = LatentAttention(kind="mla", heads_count=round(heads), **LATENT)
    if "decode" in words:
        batch, keys = _size(config, "batch_size", "batch"), _size(config, "kv_len", "keys")
        made = mla.absorbed(attention, heads, decode_phase(batch, keys, 1.0), PRECISIONS["bf16"])
        kernels = [op for op in made if op.kind == DECODE_ATTENTION]
    else:
        phase = prefill_phase(number(config, "batch_size", "batch") or 1.0, _size(config, "seq_len", "seq"))
        kernels = [op for op in mla.expanded(attention, heads, phase, PRECISIONS["bf16"]) if op.kind == ATTENTION]
    what = "MLA decode" if "decode" in words else "MLA prefill"
    return [(what, _measured(bench.point), bench.seconds(*kernels))]


def _copy(bench: Bench) -> list[Row]:
    if bench.point.unit != "GB/s":
        raise NoBasisError(f"no rate from {bench.point.unit!r}", where="metric.unit")
    moved = elementwise("copy", COPIED_BYTES)
    return [("copy of 4 GiB", COPIED_BYTES / (bench.point.value * 1e9), bench.seconds(moved))]


def _size(config: Mapping[str, Any], *names: str) -> float:
    value = number(config, *names)
    if value is None:
        raise NoBasisError("shape not stated", where=f"config.{names[0]}")
    return value
