"""Operators as sizes: flop, bytes and shapes of the work that one rank does. No hardware here."""

from dataclasses import dataclass, replace

from superpod.result import Num

GEMM = "gemm"
ATTENTION = "attention"  # score-value kernel over many query rows
DECODE_ATTENTION = "decode_attention"  # the same for one or a few query rows per sequence
ELEMENTWISE = "elementwise"
SOFTMAX = "softmax"  # row-wise, several sweeps over its input


FULL, LATENT, INDEX, LINEAR = "full", "latent", "index", "linear"  # forms of attention, see AttentionShape


@dataclass(frozen=True, slots=True, kw_only=True)
class AttentionShape:
    """What an attention kernel works on.

    `form` is `full` (keys and values a head: multi-head, grouped-query, or latent attention expanded), `latent`
    (absorbed: one key of head_dim for all heads, its first value_dim are the value), `index` (scores of a sparse
    indexer, no values) or `linear` (a state of head_dim x value_dim a head). Each of `query_tokens` queries of each
    sequence looks at `context` of the `keys` on average. `window_count` and `selected_count` (a sparse choice) are 0
    where there is none. `kv_bytes` is the size of an element of the cache; training has none (`cached`).
    """

    form: str
    sequences: Num
    query_tokens: Num
    keys: Num
    context: Num
    heads: Num
    kv_heads: Num
    head_dim: float
    value_dim: float
    causal: bool = True
    window_count: float = 0.0
    selected_count: float = 0.0
    kv_bytes: float = 2.0
    cached: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpertShape:
    """The mixture of experts that a grouped product is part of.

    `tokens` of all `ranks` together choose `top_k` of `experts_count` experts; each of `ranks` holds its share of them,
    cut again over `tensor_ranks`. `width` is that of a whole expert.
    """

    tokens: Num
    hidden: float
    width: float
    top_k: float
    experts_count: float
    ranks: Num
    tensor_ranks: Num
    gated: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Op:
    """One kernel. A GEMM is `groups` products of (rows x depth) by (depth x columns).

    `element_bytes` are those of the weights and of the activations of a product; `scaling` says how its narrow format
    is scaled: `tensor` (a scale a tensor or a row), `block` (a scale a block of elements), empty for 16 bits and more.
    """

    name: str
    kind: str
    dtype: str
    flop: Num
    traffic_bytes: Num
    rows: Num = 1.0
    columns: Num = 1.0
    depth: Num = 1.0
    groups: Num = 1.0
    backward_ratio: float = 2.0
    kernels_count: float = 1.0
    element_bytes: tuple[float, float] = (2.0, 2.0)
    scaling: str = ""
    attention: AttentionShape | None = None
    experts: ExpertShape | None = None


def gemm(
    name: str,
    *,
    rows: Num,
    columns: Num,
    depth: Num,
    dtype: str,
    element_bytes: tuple[float, float],
    groups: Num = 1.0,
    scaling: str = "",
    experts: ExpertShape | None = None,
) -> Op:
    """Return a (grouped) matrix product.

    flop = 2 groups rows columns depth; traffic = groups x (weights + inputs + outputs). `element_bytes` is (weights,
    activations); outputs are written in 2 bytes.
    """
    weight_bytes, activation_bytes = element_bytes
    return Op(
        name=name,
        kind=GEMM,
        dtype=dtype,
        flop=2.0 * groups * rows * columns * depth,
        traffic_bytes=groups * (columns * depth * weight_bytes + rows * (depth * activation_bytes + columns * 2.0)),
        rows=rows,
        columns=columns,
        depth=depth,
        groups=groups,
        element_bytes=element_bytes,
        scaling=scaling,
        experts=experts,
    )


def elementwise(name: str, traffic_bytes: Num, *, backward_ratio: float = 1.5, kernels_count: float = 1.0) -> Op:
    """Return a kernel that only moves bytes: norms, activations, residual additions, embedding rows."""
    return Op(
        name=name,
        kind=ELEMENTWISE,
        dtype="bf16",
        flop=0.0,
        traffic_bytes=traffic_bytes,
        backward_ratio=backward_ratio,
        kernels_count=kernels_count,
    )


def backward(op: Op) -> tuple[Op, ...]:
    """Return the kernels of `op`'s backward pass.

    A GEMM becomes the gradient of its input (depth and columns exchanged) and the gradient of its weights (reduced over
    rows and added to fp32 gradients, 8 bytes a weight); a narrow one first makes the gradient of its output narrow,
    with a transposed copy. Attention recomputes its scores: 5/2 of the forward products (FlashAttention-2, arXiv
    2307.08691, section 3.1). Other kernels move `backward_ratio` times the forward bytes, none at 0.
    """
    if op.kind == GEMM:
        inputs = replace(op, name=f"{op.name} dgrad", columns=op.depth, depth=op.columns)
        narrow = op.element_bytes[1]
        weights = replace(
            op,
            name=f"{op.name} wgrad",
            rows=op.columns,
            columns=op.depth,
            depth=op.rows,
            traffic_bytes=op.groups * (op.rows * (op.columns + op.depth) * narrow + op.columns * op.depth * 8.0),
        )
        if narrow >= 2.0:
            return inputs, weights
        return elementwise("quantise", op.groups * op.rows * op.columns * (2.0 + 2.0 * narrow)), inputs, weights
    if not op.backward_ratio:
        return ()
    return (
        replace(
            op,
            name=f"{op.name} bwd",
            flop=op.flop * op.backward_ratio,
            traffic_bytes=op.traffic_bytes * op.backward_ratio,
        ),
    )
