"""Which cases are measured: a lattice of sizes, the shapes of catalogue models on it, and the order to measure them in.

A lattice shows how efficiency depends on each axis; models add the sizes that are no powers of two. The order spreads:
whatever a time budget cuts off, the rest covers every kind, and small and large sizes, alike.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from superpod.calibrate.measurements import COLLECTIVES, COPY, DECODE, ELEMENTWISE, GEMM, LAUNCH, PREFILL, SOFTMAX
from superpod.catalog.load import Catalogue
from superpod.catalog.model_spec import ModelSpec
from superpod.measure.case import KINDS, Case
from superpod.workload import op
from superpod.workload.build import build
from superpod.workload.phase import Partition, decode_phase
from superpod.workload.precision import PRECISIONS

BYTES_16_BIT = 2
GROUPED_EDGES = ((4096, 2048), (2048, 8192), (8192, 1024))  # columns and depth of grouped products on the lattice
GROUPS_KINDS = {"attention": (PREFILL, DECODE), "collectives": COLLECTIVES}
"""Words for several kinds at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """The sizes of a preset.

    `rows` are tokens of a product, from one decode step to a long prefill; `edges` its other two sizes on the lattice;
    `models` whose weights are added, split over each of `tensor_ranks` and `expert_ranks`. `prefill` is (sequences,
    query tokens, keys), `decode` (sequences, keys), `heads` (query heads, key-value heads, width).
    """

    rows: tuple[int, ...]
    edges: tuple[int, ...]
    groups: tuple[int, ...]
    models: tuple[str, ...]
    tensor_ranks: tuple[int, ...]
    expert_ranks: tuple[int, ...]
    heads: tuple[tuple[int, int, int], ...]
    prefill: tuple[tuple[int, int, int], ...]
    decode: tuple[tuple[int, int], ...]
    streams: tuple[int, ...]
    softmax_columns: tuple[int, ...]
    messages: tuple[int, ...]


def powers(first: int, last: int, step: int = 1) -> tuple[int, ...]:
    """Return the powers of two with exponents from `first` to `last`.

    >>> powers(3, 7, 2)
    (8, 32, 128)
    """
    return tuple(2**exponent for exponent in range(first, last + 1, step))


GRIDS: dict[str, Grid] = {
    "quick": Grid(
        rows=(1, 8, 32, 96, 256, 1024, 4096, 16384),
        edges=(1024, 4096, 16384),
        groups=(8,),
        models=("llama-3.1-70b", "deepseek-v3"),
        tensor_ranks=(8,),
        expert_ranks=(32,),
        heads=((32, 8, 128), (8, 1, 128), (16, 16, 128), (64, 8, 64), (8, 2, 256)),
        prefill=((1, 512, 512), (1, 2048, 2048), (1, 8192, 8192), (8, 1024, 1024), (1, 512, 8192)),
        decode=((1, 1024), (1, 16384), (16, 1024), (16, 8192), (128, 512), (128, 4096)),
        streams=powers(14, 30, 2),
        softmax_columns=(4096,),
        messages=powers(10, 28, 2),
    ),
    "full": Grid(
        rows=(1, 2, 4, 8, 16, 24, 32, 64, 96, 128, 192, 256, 384, 512, 1024, 1536, 2048, 4096, 8192, 16384),
        edges=(512, 1024, 2048, 4096, 8192, 16384),
        groups=(2, 8, 32),
        models=("llama-3.1-8b", "llama-3.1-70b", "deepseek-v3", "qwen3-235b-a22b", "gpt-oss-120b"),
        tensor_ranks=(1, 8),
        expert_ranks=(8, 64),
        heads=((32, 8, 128), (64, 8, 128), (8, 1, 128), (16, 16, 128), (64, 8, 64)),
        prefill=(
            *((1, tokens, tokens) for tokens in powers(7, 15)),
            *((8, tokens, tokens) for tokens in powers(7, 12)),
            *((64, tokens, tokens) for tokens in powers(7, 9)),
            (1, 512, 4096),
            (1, 512, 32768),
            (1, 2048, 16384),
        ),
        decode=tuple(
            (sequences, keys)
            for sequences in (1, 4, 16, 32, 64, 128, 256)
            for keys in powers(8, 17)
            if sequences * keys <= 2**21
        ),
        streams=powers(12, 32),
        softmax_columns=(1024, 4096, 32768),
        messages=powers(10, 30),
    ),
}


def kinds_named(words: Iterable[str]) -> tuple[str, ...]:
    """Return the kinds that words name, `attention` and `collectives` being several; ValueError at an unknown word."""
    found: list[str] = []
    for word in words:
        several = GROUPS_KINDS.get(word, (word,))
        if any(kind not in KINDS for kind in several):
            raise ValueError(word)
        found += several
    return tuple(dict.fromkeys(found))


def cases(
    grid: Grid, kinds: Sequence[str], dtypes: Sequence[str], modes: Sequence[str], catalogue: Catalogue
) -> tuple[Case, ...]:
    """Return the cases of one device: products in every number format, the rest in the first 16-bit one."""
    wide = next((dtype for dtype in dtypes if dtype in {"bf16", "fp16"}), "bf16")
    made: dict[str, Iterator[Case]] = {
        GEMM: products(grid, dtypes, catalogue),
        PREFILL: prefills(grid, wide),
        DECODE: decodes(grid, wide),
        ELEMENTWISE: streams(ELEMENTWISE, grid, wide),
        SOFTMAX: softmaxes(grid, wide),
        COPY: streams(COPY, grid, wide),
        LAUNCH: (Case(kind=LAUNCH, mode=mode) for mode in modes),
    }
    return tuple(dict.fromkeys(case for kind in kinds if kind in made for case in made[kind]))


def collective_cases(grid: Grid, kinds: Sequence[str], ranks_count: int) -> tuple[Case, ...]:
    """Return the cases of a group of ranks: each collective over the sweep of message sizes.

    A message is the multiple of a 4-byte element for each rank that is nearest to the size, at least one.
    """
    share = 4 * ranks_count
    sizes = dict.fromkeys(max(1, round(size / share)) * share for size in grid.messages)
    return tuple(
        Case(kind=kind, ranks=ranks_count, bytes=size) for kind in kinds if kind in COLLECTIVES for size in sizes
    )


def products(grid: Grid, dtypes: Sequence[str], catalogue: Catalogue) -> Iterator[Case]:
    """Yield products: the lattice, grouped ones on its middle, and the weights of models, each with every row count."""
    shapes = [(1, columns, depth) for columns in grid.edges for depth in grid.edges]
    shapes += [(groups, *edges) for groups in grid.groups for edges in GROUPED_EDGES]
    for name in grid.models:
        for tensor in grid.tensor_ranks:
            for expert in grid.expert_ranks:
                part = Partition(tensor=float(tensor), expert=float(expert))
                shapes += weights(catalogue.model(name), part)
    for dtype in dtypes:
        for groups, columns, depth in dict.fromkeys(shapes):
            for rows in grid.rows:
                # The rows of a grouped product are those of each group.
                if groups == 1 or rows * groups <= 2 * grid.rows[-1]:
                    yield Case(kind=GEMM, dtype=dtype, groups=groups, rows=rows, columns=columns, depth=depth)


def weights(spec: ModelSpec, part: Partition) -> list[tuple[int, int, int]]:
    """Return (groups, columns, depth) of the weights that one rank of a model multiplies by; whole numbers only."""
    work = build(spec, decode_phase(1.0, 1.0, 1.0), part, PRECISIONS["bf16"])
    kernels = [kernel for layer in work.layers for kernel in (*layer.attention, *layer.ffn)]
    sizes = [(k.groups, k.columns, k.depth) for k in (*kernels, *work.head) if k.kind == op.GEMM]
    return [
        (round(groups), round(columns), round(depth))  # type: ignore[arg-type]  # single numbers in, single numbers out
        for groups, columns, depth in sizes
        if all(float(size).is_integer() and size >= 1 for size in (groups, columns, depth))
    ]


def prefills(grid: Grid, dtype: str) -> Iterator[Case]:
    """Yield attention of whole prompts (causal) and of chunks over a longer cache (all keys seen)."""
    for heads, kv_heads, width in grid.heads:
        for sequences, tokens, keys in grid.prefill:
            yield attention(PREFILL, dtype, (heads, kv_heads, width), sequences, tokens, keys, causal=tokens == keys)


def decodes(grid: Grid, dtype: str) -> Iterator[Case]:
    """Yield attention of one new token a sequence over its cache."""
    for heads in grid.heads:
        for sequences, keys in grid.decode:
            yield attention(DECODE, dtype, heads, sequences, 1, keys, causal=False)


def attention(
    kind: str, dtype: str, heads: tuple[int, int, int], sequences: int, tokens: int, keys: int, *, causal: bool
) -> Case:
    """Return an attention case; heads are (query heads, key-value heads, width of keys and values)."""
    return Case(
        kind=kind,
        dtype=dtype,
        kv_dtype=dtype,
        sequences=sequences,
        query_tokens=tokens,
        keys=keys,
        heads=heads[0],
        kv_heads=heads[1],
        head_dim=heads[2],
        value_dim=heads[2],
        causal=causal,
    )


def streams(kind: str, grid: Grid, dtype: str) -> Iterator[Case]:
    """Yield sweeps over memory: an addition reads two and writes one, a copy reads one and writes one."""
    share = (3 if kind == ELEMENTWISE else 2) * BYTES_16_BIT
    for size in grid.streams:
        elements = size // share
        yield Case(kind=kind, dtype=dtype, bytes=elements * share)


def softmaxes(grid: Grid, dtype: str) -> Iterator[Case]:
    """Yield row-wise softmax, its input read and its output written once."""
    for columns in grid.softmax_columns:
        for size in grid.streams:
            rows = size // (2 * BYTES_16_BIT * columns)
            if rows:
                moved = 2 * BYTES_16_BIT * rows * columns
                yield Case(kind=SOFTMAX, dtype=dtype, rows=rows, columns=columns, bytes=moved)


def spread(chosen: Sequence[Case], seed: int) -> tuple[Case, ...]:
    """Return the cases in an order of which every beginning covers all strata and sizes alike.

    Within a stratum, cases ascending by work are visited in bit-reversed order from an offset that the seed sets (van
    der Corput 1935), the smallest first. A stratum advances as the square root of its cases, so that small ones are not
    crowded out.
    """
    strata: dict[tuple[str, str, str, int], list[Case]] = {}
    for case in chosen:
        strata.setdefault(case.stratum, []).append(case)
    placed: list[tuple[float, int, Case]] = []
    for number, members in enumerate(strata.values()):
        ordered = sorted(members, key=lambda case: (case.work_flop, case.moved_bytes, str(case)))
        order = bit_reversed(len(ordered), seed)
        placed += [((place + 0.5) / math.sqrt(len(order)), number, ordered[index]) for place, index in enumerate(order)]
    return tuple(case for _, _, case in sorted(placed, key=lambda item: item[:2]))


def bit_reversed(count: int, seed: int) -> list[int]:
    """Return 0 to count - 1, the first first, the others so that every beginning is spread evenly.

    >>> bit_reversed(8, 0)
    [0, 4, 2, 6, 1, 5, 3, 7]
    """
    bits = max(count - 1, 0).bit_length()
    order = [(int(f"{place:0{bits}b}"[::-1], 2) + seed) % 2**bits if bits else 0 for place in range(2**bits)]
    kept = [index for index in order if index < count]
    return sorted(kept, key=lambda index: index != 0)
