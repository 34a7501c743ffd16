"""What must hold for every operator on every device: above the roofline, monotone, continuous, columns like rows."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samples import CATALOGUE, DEVICES
from superpod.compute.cost import op_time, roofline_time
from superpod.result import Num, pick
from superpod.workload.build import build
from superpod.workload.op import (
    ATTENTION,
    DECODE_ATTENTION,
    FULL,
    LATENT,
    AttentionShape,
    ExpertShape,
    Op,
    backward,
    elementwise,
    gemm,
)
from superpod.workload.phase import Partition, Phase, decode_phase, prefill_phase, training_phase
from superpod.workload.precision import PRECISIONS

SIZES = np.unique(np.round(np.concatenate([np.arange(1.0, 65.0), np.logspace(0, 6, 241)])))
MIDDLES = (1.0, 7.0, 128.0, 4096.0)
MODELS = ("llama-3.1-70b", "deepseek-v3", "deepseek-v3.2", "gpt-oss-120b", "qwen3-235b-a22b", "qwen3.5-397b-a17b")
EVERY_DEVICE = pytest.mark.parametrize("name", DEVICES)


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind of operator, made from its sizes along three axes and a number of groups."""

    make: Callable[[Num, Num, Num, Num], Op]

    def along(self, axis: int, sizes: Num, middle: float) -> Op:
        """Return the operator with `sizes` on one axis and `middle` on the others."""
        shape: list[Num] = [middle, middle, middle, 4.0]
        shape[axis] = sizes
        return self.make(*shape)


def product(dtype: str, element_bytes: tuple[float, float]) -> Kind:
    def make(rows: Num, columns: Num, depth: Num, groups: Num) -> Op:
        return gemm(
            "product", rows=rows, columns=columns, depth=depth, groups=groups, dtype=dtype, element_bytes=element_bytes
        )

    return Kind(make=make)


def scores(kind: str) -> Kind:
    def make(rows: Num, columns: Num, depth: Num, groups: Num) -> Op:
        return Op(
            name="attention",
            kind=kind,
            dtype="bf16",
            flop=4.0 * rows * columns * depth * groups,
            traffic_bytes=groups * (columns * depth * 4.0 + rows * depth * 4.0),
            rows=rows,
            columns=columns,
            depth=depth,
            groups=groups,
            backward_ratio=2.5,
        )

    return Kind(make=make)


def shaped(form: str, *, decode: bool) -> Kind:
    """Attention with its shape: rows are queries (in decode sequences), columns keys, depth heads a cached one."""

    def make(rows: Num, columns: Num, depth: Num, groups: Num) -> Op:
        sequences, queries = (rows, 1.0) if decode else (1.0, rows)
        latent = form == LATENT
        heads, kv_heads, width, value = groups * depth, (1.0 if latent else groups), 128.0, 128.0
        tokens = sequences * queries
        return Op(
            name="attention",
            kind=DECODE_ATTENTION if decode else ATTENTION,
            dtype="bf16",
            flop=2.0 * tokens * columns * heads * (width + value),
            traffic_bytes=sequences * columns * kv_heads * (width + value) * 2.0 + tokens * heads * width * 4.0,
            rows=queries,
            columns=columns,
            depth=width,
            groups=sequences * heads,
            backward_ratio=2.5,
            attention=AttentionShape(
                form=form,
                sequences=sequences,
                query_tokens=queries,
                keys=columns,
                context=columns,
                heads=heads,
                kv_heads=kv_heads,
                head_dim=width,
                value_dim=value,
            ),
        )

    return Kind(make=make)


def experts(dtype: str, scaling: str, element_bytes: tuple[float, float]) -> Kind:
    shape = ExpertShape(
        tokens=64.0, hidden=4096.0, width=2048.0, top_k=8.0, experts_count=64.0, ranks=8.0, tensor_ranks=1.0, gated=True
    )

    def make(rows: Num, columns: Num, depth: Num, groups: Num) -> Op:
        return gemm(
            "experts up",
            rows=rows,
            columns=columns,
            depth=depth,
            groups=groups,
            dtype=dtype,
            element_bytes=element_bytes,
            scaling=scaling,
            experts=shape,
        )

    return Kind(make=make)


KINDS = {
    "gemm bf16": product("bf16", (2.0, 2.0)),
    "gemm fp8": product("fp8", (1.0, 1.0)),
    "gemm int8": product("int8", (1.0, 1.0)),
    "gemm fp4": product("fp4", (0.5625, 0.5625)),
    "gemm bf16 experts": experts("bf16", "", (2.0, 2.0)),
    "gemm fp8 experts": experts("fp8", "block", (1.0, 1.0)),
    "prompt": shaped(FULL, decode=False),
    "decode": shaped(FULL, decode=True),
    "latent decode": shaped(LATENT, decode=True),
    "attention": scores(ATTENTION),
    "decode attention": scores(DECODE_ATTENTION),
    "elementwise": Kind(make=lambda rows, columns, depth, groups: elementwise("move", rows * columns * depth * groups)),
}


def cases() -> list[tuple[str, str]]:
    """Return every (kind, device) that the device's calibration knows."""
    found: list[tuple[str, str]] = []
    for kind in KINDS:
        for name, device in DEVICES.items():
            dtype = kind.removeprefix("gemm ").removesuffix(" experts")
            if dtype == kind or dtype in device.calibration.gemm:
                found.append((kind, name))
    return found


EVERY_CASE = pytest.mark.parametrize(("kind", "name"), cases())
EVERY_AXIS = pytest.mark.parametrize("axis", range(4), ids=["rows", "columns", "depth", "groups"])


@EVERY_AXIS
@EVERY_CASE
def test_never_below_the_roofline(kind: str, name: str, axis: int) -> None:
    for middle in MIDDLES:
        op = KINDS[kind].along(axis, SIZES, middle)
        for part in (op, *backward(op)):
            assert np.all(op_time(part, DEVICES[name]) >= roofline_time(part, DEVICES[name]) * (1.0 - 1e-12)), part.name


@EVERY_AXIS
@EVERY_CASE
def test_more_work_never_takes_less_time(kind: str, name: str, axis: int) -> None:
    for middle in MIDDLES:
        op = KINDS[kind].along(axis, SIZES, middle)
        for part in (op, *backward(op)):
            spent = np.broadcast_to(op_time(part, DEVICES[name]), len(SIZES))
            assert np.all(np.diff(spent) >= -1e-12 * spent[1:]), part.name


@EVERY_AXIS
@EVERY_CASE
def test_time_is_continuous(kind: str, name: str, axis: int) -> None:
    """A millionth more work costs a millionth more time at most, but for what the power limit adds: no steps."""
    fits = DEVICES[name].calibration.gemm.values()
    most = 1.0 + max(fit.power_loss_frac for fit in fits) / 4.0  # how much faster t (1 + loss t / (t + t_p)) grows
    for middle in MIDDLES:
        spent = np.asarray(op_time(KINDS[kind].along(axis, SIZES, middle), DEVICES[name]))
        nudged = np.asarray(op_time(KINDS[kind].along(axis, SIZES * (1.0 + 1e-6), middle), DEVICES[name]))
        assert np.all(nudged <= spent * (1.0 + 1.001e-6 * most))


@settings(max_examples=60, deadline=None)
@given(
    case=st.sampled_from(cases()),
    shapes=st.lists(st.tuples(*[st.floats(1.0, 1e6)] * 3, st.integers(1, 512)), min_size=1, max_size=8),
)
def test_columns_give_what_their_rows_give(
    case: tuple[str, str], shapes: list[tuple[float, float, float, int]]
) -> None:
    kind, name = case
    make = KINDS[kind].make
    batch = op_time(make(*(np.array(axis, dtype=float) for axis in zip(*shapes, strict=True))), DEVICES[name])
    single = [float(op_time(make(*(float(size) for size in shape)), DEVICES[name])) for shape in shapes]
    np.testing.assert_allclose(batch, single, rtol=1e-12, atol=0.0)


def phases() -> dict[str, Phase]:
    """Return one pass of each kind."""
    return {
        "train": training_phase(2.0, 4096.0, 1.0, fused_attention=True),
        "unfused": training_phase(2.0, 4096.0, 1.0, fused_attention=False),
        "prefill": prefill_phase(4.0, 4096.0),
        "decode": decode_phase(64.0, 4096.0, 1.0),
        "drafting": decode_phase(64.0, 4096.0, 3.0),
    }


def kernels(model: str, phase: Phase, part: Partition, precision: str) -> list[Op]:
    """Return one of each kernel that a rank runs."""
    work = build(CATALOGUE.model(model), phase, part, PRECISIONS[precision])
    return [op for layer in work.layers for op in layer.operators] + [*work.embedding, *work.head]


@pytest.mark.parametrize("precision", sorted(PRECISIONS))
@pytest.mark.parametrize("phase", phases())
@pytest.mark.parametrize("model", MODELS)
def test_kernels_of_models_stay_above_the_roofline(model: str, phase: str, precision: str) -> None:
    for part in (Partition(), Partition(tensor=4.0, expert=32.0)):
        operators = kernels(model, phases()[phase], part, precision)
        if phase in {"train", "unfused"}:
            operators += [item for op in operators for item in backward(op)]
        for device in DEVICES.values():
            if PRECISIONS[precision].matmul not in device.calibration.gemm:
                continue
            for op in operators:
                assert op_time(op, device) >= roofline_time(op, device) * (1.0 - 1e-12), op
                assert np.isfinite(op_time(op, device))


@pytest.mark.parametrize("precision", sorted(PRECISIONS))
@pytest.mark.parametrize("phase", phases())
@pytest.mark.parametrize("model", MODELS)
def test_kernels_of_models_are_the_same_in_columns(model: str, phase: str, precision: str) -> None:
    device = DEVICES["nvidia-blackwell"]
    shares = [(1.0, 1.0), (2.0, 8.0), (4.0, 32.0), (8.0, 1.0)]
    columns = Partition(tensor=np.array([s[0] for s in shares]), expert=np.array([s[1] for s in shares]))
    batch = kernels(model, phases()[phase], columns, precision)
    for row, (tensor, expert) in enumerate(shares):
        operators = kernels(model, phases()[phase], Partition(tensor=tensor, expert=expert), precision)
        for column, single in zip(batch, operators, strict=True):
            assert pick(op_time(column, device), row) == pytest.approx(float(op_time(single, device)), rel=1e-12), (
                single
            )
