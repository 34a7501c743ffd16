"""A case: one operator or collective of given sizes, to be measured."""

from dataclasses import dataclass, fields

from superpod.calibrate import measurements
from superpod.calibrate.measurements import (
    COLLECTIVES,
    COPY,
    DECODE,
    ELEMENTWISE,
    GEMM,
    LAUNCH,
    PREFILL,
    SEPARATOR,
    SOFTMAX,
    Measurement,
)
from superpod.measure.timing import Timing

ATTENTION = (PREFILL, DECODE)
STREAMED = (ELEMENTWISE, SOFTMAX, COPY)
KINDS = (GEMM, *ATTENTION, *STREAMED, LAUNCH, *COLLECTIVES)
ELEMENT_BYTES = {dtype: int(measurements.ELEMENT_BYTES[dtype]) for dtype in ("bf16", "fp16", "fp8", "int8")}
RECORDED_AS = {"fp16": "bf16"}  # both run on the 16-bit engine; the software column says which one ran
EAGER, GRAPH = "eager", "graph"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """The sizes of a `Measurement` before it is measured; 0 and an empty word do not apply.

    `mode` of a launch is `eager` (one launch after another from the host) or `graph` (launches of a recorded graph).
    """

    kind: str
    dtype: str = ""
    groups: int = 0
    rows: int = 0
    columns: int = 0
    depth: int = 0
    sequences: int = 0
    query_tokens: int = 0
    keys: int = 0
    heads: int = 0
    kv_heads: int = 0
    head_dim: int = 0
    value_dim: int = 0
    causal: bool | None = None
    kv_dtype: str = ""
    ranks: int = 0
    bytes: int = 0
    mode: str = ""

    @property
    def stratum(self) -> tuple[str, str, str, int]:
        """What a budget treats alike: kind, number format, mode and number of ranks."""
        return (self.kind, self.dtype, self.mode, self.ranks)

    @property
    def work_flop(self) -> float:
        """Return the arithmetic: 2 g m n k of products; 2 (d_k + d_v) a query and key, causal ones halved."""
        if self.kind == GEMM:
            return 2.0 * self.groups * self.rows * self.columns * self.depth
        if self.kind in ATTENTION:
            share = 0.5 if self.causal and self.query_tokens == self.keys else 1.0
            pairs = self.sequences * self.heads * self.query_tokens * self.keys * share
            return 2.0 * pairs * (self.head_dim + self.value_dim)
        return 0.0

    @property
    def moved_bytes(self) -> float:
        """Return what is read and written at least: operands once, results once in 2 bytes an element."""
        size = ELEMENT_BYTES.get(self.dtype, 2)
        if self.kind == GEMM:
            inputs = self.depth * (self.rows + self.columns) * size
            return float(self.groups * (inputs + 2 * self.rows * self.columns))
        if self.kind in ATTENTION:
            queries = self.sequences * self.heads * self.query_tokens * (self.head_dim + self.value_dim)
            return float(size * (queries + self.cache_elements))
        return float(self.bytes)

    @property
    def cache_elements(self) -> int:
        """Return the elements of the keys and values of an attention case."""
        return self.sequences * self.kv_heads * self.keys * (self.head_dim + self.value_dim)

    def row(self, timing: Timing, chip: str, software: str, how: str) -> Measurement:
        """Return what was measured; `how` names the kernel that ran and ends the software column."""
        words = [software, *([how] if how else []), *([self.mode] if self.mode else [])]
        sizes = {name: float(getattr(self, name)) for name in SIZES if getattr(self, name)}
        return Measurement(
            kind=self.kind,
            dtype=RECORDED_AS.get(self.dtype, self.dtype),
            kv_dtype=RECORDED_AS.get(self.kv_dtype, self.kv_dtype),
            causal=self.causal,
            time_s=timing.median_s,
            spread_frac=timing.spread_frac,
            repeats_count=float(timing.repeats_count),
            chip=chip,
            software=SEPARATOR.join(words),
            **sizes,
        )

    def key(self) -> tuple[object, ...]:
        """Return what makes this case the same as a row of a file; see `row_key`."""
        sizes = (getattr(self, name) for name in SIZES)
        dtypes = (RECORDED_AS.get(word, word) for word in (self.dtype, self.kv_dtype))
        return (self.kind, *dtypes, self.causal, self.mode, *sizes)

    def __str__(self) -> str:
        words = [self.kind, *(word for word in (self.dtype, self.mode) if word)]
        sizes = [f"{name} {getattr(self, name)}" for name in SIZES if getattr(self, name)]
        return f"{' '.join(words)} ({', '.join(sizes)})" if sizes else " ".join(words)


SIZES = tuple(item.name for item in fields(Case) if item.type in {int, "int"})


def row_key(row: Measurement) -> tuple[object, ...]:
    """Return the `Case.key` of the case that a row measured."""
    sizes = (int(getattr(row, name) or 0) for name in SIZES)
    mode = row.software.rpartition(SEPARATOR)[2] if row.kind == LAUNCH else ""
    return (row.kind, row.dtype, row.kv_dtype, row.causal, mode, *sizes)
