"""The calls of each kind of case in PyTorch: operands in place, results of products and streams allocated beforehand.

Weights, caches and streams come as several sets, together more than a last-level cache holds, and calls go round them;
the activations of a product stay, as they do after the kernel that wrote them.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from superpod.calibrate.measurements import COPY, DECODE, ELEMENTWISE, GEMM, LAUNCH, PREFILL, SOFTMAX
from superpod.errors import MeasurementError
from superpod.measure.case import ELEMENT_BYTES, Case
from superpod.measure.torch_module import torch, torch_npu

Call = Callable[[], object]
Kernel = tuple[str, Sequence[Call]]
SETS_COUNT_MAX = 1024
INT8_MAX = 127
CAUSAL_MASK_EDGE = 2048  # of the mask that the Ascend kernel takes for causal attention, whatever the length
CAUSAL_MASK_MODE = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where operands go: the device, the bytes to rotate among, the bytes that may be taken."""

    device: Any
    kind: str
    rotation_bytes: float
    memory_bytes: float

    def random(self, shape: Sequence[int], dtype: str) -> Any:
        """Return a tensor of random numbers: power, and so the clock, depends on what is multiplied."""
        if dtype == "int8":
            return torch.randint(-INT8_MAX, INT8_MAX + 1, tuple(shape), dtype=torch.int8, device=self.device)
        wide = torch.float16 if dtype == "fp16" else torch.bfloat16
        numbers = torch.empty(tuple(shape), dtype=wide, device=self.device).normal_()
        return numbers.to(fp8_type()) if dtype == "fp8" else numbers

    def empty(self, shape: Sequence[int], dtype: str) -> Any:
        """Return a tensor for results of products: 32-bit integers of int8, else 16 bits."""
        types = {"int8": torch.int32, "fp16": torch.float16}
        return torch.empty(tuple(shape), dtype=types.get(dtype, torch.bfloat16), device=self.device)

    def sets(self, shape: Sequence[int], dtype: str, *, beside_bytes: float = 0.0) -> Any:
        """Return operand sets of a shape, stacked: as many as the rotation needs and the memory holds.

        Raises MeasurementError where one of them, with `beside_bytes` of others, does not fit.
        """
        once = math.prod(shape) * ELEMENT_BYTES[dtype]
        room = self.memory_bytes - beside_bytes
        if once > room:
            raise MeasurementError(f"needs {once + beside_bytes:.3g} bytes, of which {self.memory_bytes:.3g} are free")
        wanted = min(SETS_COUNT_MAX, math.ceil(self.rotation_bytes / once), int(room // once))
        first = self.random(shape, dtype)
        stacked = torch.empty((max(1, wanted), *shape), dtype=first.dtype, device=self.device)
        stacked.copy_(first)
        return stacked


def fp8_type() -> Any:
    """Return the 8-bit float of the engine: e4m3 after OCP, or the older form of gfx94x."""
    if torch.version.hip and "gfx94" in torch.cuda.get_device_properties(0).gcnArchName:
        return torch.float8_e4m3fnuz
    return torch.float8_e4m3fn


def build(case: Case, place: Place) -> Iterator[Kernel]:
    """Yield (kernel, its calls) for each way that PyTorch has for the case; the operands are the same for all."""
    yield from BUILDERS[case.kind](case, place)


def product(case: Case, place: Place) -> Iterator[Kernel]:
    """Yield y = x W^T with W stored as a linear layer stores it, alone or in groups."""
    if case.groups > 1:
        yield from grouped_product(case, place)
        return
    x = place.random((case.rows, case.depth), case.dtype)
    y = place.empty((case.rows, case.columns), case.dtype)
    sets = place.sets((case.columns, case.depth), case.dtype)
    if case.dtype == "fp8":
        one = torch.ones((), dtype=torch.float32, device=place.device)
        options = {"scale_a": one, "scale_b": one, "out_dtype": y.dtype, "use_fast_accum": True, "out": y}
        yield "scaled_mm", [partial(torch._scaled_mm, x, w.t(), **options) for w in sets]
    elif case.dtype == "int8" and place.kind == "npu":
        scale = torch.ones(case.columns, dtype=torch.float32, device=place.device)
        options = {"output_dtype": torch.bfloat16}
        run = torch_npu.npu_quant_matmul
        yield "npu_quant_matmul", [partial(run, x, w.t(), scale, **options) for w in sets]
    elif case.dtype == "int8":
        yield "int_mm", [partial(torch._int_mm, x, w.t(), out=y) for w in sets]
    else:
        yield kernel("mm", case), [partial(torch.mm, x, w.t(), out=y) for w in sets]


def grouped_product(case: Case, place: Place) -> Iterator[Kernel]:
    """Yield the batched product, and the grouped one that experts use, whose result is allocated by each call."""
    groups = case.groups
    if case.dtype == "int8":
        raise MeasurementError("PyTorch has no grouped product of int8")
    x = place.random((groups, case.rows, case.depth), case.dtype)
    rows = x.view(groups * case.rows, case.depth)
    sets = place.sets((groups, case.columns, case.depth), case.dtype)
    ends = torch.arange(case.rows, groups * case.rows + 1, case.rows, dtype=torch.int32, device=place.device)
    if case.dtype == "fp8":
        of_rows = torch.ones(groups * case.rows, dtype=torch.float32, device=place.device)
        of_columns = torch.ones((groups, case.columns), dtype=torch.float32, device=place.device)
        options = {"offs": ends, "out_dtype": torch.bfloat16, "use_fast_accum": True}
        scaled = torch._scaled_grouped_mm
        calls = [partial(scaled, rows, w.transpose(1, 2), of_rows, of_columns, **options) for w in sets]
        yield "scaled_grouped_mm", calls
        return
    y = place.empty((groups, case.rows, case.columns), case.dtype)
    yield kernel("bmm", case), [partial(torch.bmm, x, w.transpose(1, 2), out=y) for w in sets]
    if place.kind == "cuda" and case.dtype == "bf16":
        functional = torch.nn.functional
        grouped = functional.grouped_mm if hasattr(functional, "grouped_mm") else torch._grouped_mm
        yield "grouped_mm", [partial(grouped, rows, w.transpose(1, 2), offs=ends) for w in sets]


def kernel(name: str, case: Case) -> str:
    """Return a kernel's name; it says where half precision stands in for bf16."""
    return f"{name} fp16" if case.dtype == "fp16" else name


def attention(case: Case, place: Place) -> Iterator[Kernel]:
    """Yield attention by each fused kernel; query heads share key-value heads, which are never repeated."""
    q = place.random((case.sequences, case.heads, case.query_tokens, case.head_dim), case.dtype)
    caches = place.sets((2, case.sequences, case.kv_heads, case.keys, case.head_dim), case.dtype)
    scale = 1.0 / math.sqrt(case.head_dim)
    if place.kind == "npu":
        yield ascend_attention(case, place, q, caches)
        return
    options = {"is_causal": bool(case.causal), "scale": scale, "enable_gqa": case.heads != case.kv_heads}
    run = torch.nn.functional.scaled_dot_product_attention

    def one(backend: Any, kv: Any) -> object:
        with torch.nn.attention.sdpa_kernel(backend):
            return run(q, kv[0], kv[1], **options)

    fused = torch.nn.attention.SDPBackend
    names = {"flash": fused.FLASH_ATTENTION}
    if place.kind == "cuda":
        names |= {"cudnn": fused.CUDNN_ATTENTION, "efficient": fused.EFFICIENT_ATTENTION}
    for name, backend in names.items():
        yield kernel(name, case), [partial(one, backend, kv) for kv in caches]


def ascend_attention(case: Case, place: Place, q: Any, caches: Any) -> Kernel:
    """Return Ascend's fused attention of inference, which takes prefill and decode."""
    options: dict[str, Any] = {
        "num_heads": case.heads,
        "num_key_value_heads": case.kv_heads,
        "input_layout": "BNSD",
        "scale": 1.0 / math.sqrt(case.head_dim),
    }
    if case.causal:
        edge = (CAUSAL_MASK_EDGE, CAUSAL_MASK_EDGE)
        mask = torch.ones(edge, dtype=torch.bool, device=place.device).triu(1)
        options |= {"atten_mask": mask, "sparse_mode": CAUSAL_MASK_MODE}
    run = torch_npu.npu_fused_infer_attention_score
    calls = [lambda kv=kv: run(q, kv[0], kv[1], **options) for kv in caches]
    return kernel("npu_fused_infer_attention_score", case), calls


def addition(case: Case, place: Place) -> Iterator[Kernel]:
    """Yield c = a + b, each from and to memory."""
    sets = place.sets((3, case.bytes // (3 * ELEMENT_BYTES[case.dtype])), case.dtype)
    yield "add", [partial(torch.add, s[0], s[1], out=s[2]) for s in sets]


def copy(case: Case, place: Place) -> Iterator[Kernel]:
    """Yield b = a, from and to memory."""
    sets = place.sets((2, case.bytes // (2 * ELEMENT_BYTES[case.dtype])), case.dtype)
    yield "copy", [partial(s[1].copy_, s[0]) for s in sets]


def softmax(case: Case, place: Place) -> Iterator[Kernel]:
    """Yield softmax over the columns, from and to memory."""
    sets = place.sets((2, case.rows, case.columns), case.dtype)
    yield "softmax", [partial(torch.softmax, s[0], -1, out=s[1]) for s in sets]


def launch(_case: Case, place: Place) -> Iterator[Kernel]:
    """Yield a kernel with next to no work."""
    number = torch.zeros(1, dtype=torch.float32, device=place.device)
    yield "", [partial(number.add_, 1.0)]


BUILDERS: dict[str, Callable[[Case, Place], Iterator[Kernel]]] = {
    GEMM: product,
    PREFILL: attention,
    DECODE: attention,
    ELEMENTWISE: addition,
    COPY: copy,
    SOFTMAX: softmax,
    LAUNCH: launch,
}
