"""Fit operator and collective efficiencies to published measurements, and print what the catalogue's TOML files hold.

    python benchmarks/fit_calibration.py POINTS.jsonl

Only points of kind `operator` and `collective` are read: nothing is fitted to an end-to-end result. Needs scipy.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import least_squares

JOIN = 4.0


def load(path: Path) -> list[dict[str, Any]]:
    """Return the operator and collective points of a JSON-lines file."""
    points = [json.loads(line) for line in path.read_text().splitlines()]
    return [point for point in points if point["kind"] in {"operator", "collective"}]


def fit(
    model: Callable[..., Any],
    start: list[float],
    bounds: tuple[list[float], list[float]],
    measured: Any,
    weights: Any = 1.0,
) -> Any:
    """Minimise log residuals with a soft loss; return parameters and median / P90 of |predicted / measured - 1|."""

    def residual(x: Any) -> Any:
        return weights * (np.log(model(x)) - np.log(measured))

    found = least_squares(
        residual, start, bounds=bounds, loss="soft_l1", f_scale=0.1, x_scale=np.maximum(np.abs(start), 1e-9)
    )
    error = np.abs(model(found.x) / measured - 1.0)
    return found.x, float(np.median(error)), float(np.quantile(error, 0.9)), float(error.max())


def gemm_rows(points: list[dict[str, Any]], hardware: str) -> np.ndarray[Any, Any]:
    """Return rows (groups, m, n, k, seconds) of plain and grouped products on a chip."""
    rows = []
    for point in points:
        config, also = point["config"], point.get("also", {})
        if not point["hardware"].startswith(hardware):
            continue
        if "m" in config and "k" in config:
            rows.append((1, config["m"], config["n"], config["k"], point["metric"]["value"] * 1e-6))
        elif config.get("op", "").startswith("grouped GEMM"):
            g, m, h, f = (
                config["num_local_experts"],
                config["tokens_per_expert"],
                config["hidden_size"],
                config["intermediate_size"],
            )
            rows.append((g, m, 2 * f, h, point["metric"]["value"] * 1e-6))
            rows.append((g, m, h, f, also["down_proj_us"] * 1e-6))
    return np.array(rows, dtype=float)


def gemm_fit(rows: np.ndarray[Any, Any], peak: float, bandwidth: float, element: float, *, host_floor: bool) -> None:
    """Fit (share, half sizes, kernel seconds, memory share) to products; print them."""
    g, m, n, k, t = rows.T
    traffic = g * (n * k * element + m * (k * element + n * 2.0))

    def model(x: Any) -> Any:
        share, mh, nh, kh, kernel, memory = x
        engine = 2 * g * (m + mh) * (n + nh) * (k + kh) / (share * peak)
        return (engine**JOIN + (traffic / (memory * bandwidth)) ** JOIN) ** (1 / JOIN) + kernel

    x, median, p90, worst = fit(
        model, [0.8, 30, 100, 100, 5e-6, 0.8], ([0.3, 0, 0, 0, 1e-6, 0.3], [1, 256, 1024, 2048, 4e-5, 1]), t
    )
    print(
        f"  share {x[0]:.3f} halves m {x[1]:.0f} n {x[2]:.0f} k {x[3]:.0f} kernel {x[4] * 1e6:.1f} us memory {x[5]:.3f}"
        f" | {len(t)} rows median {median:.1%} P90 {p90:.1%} max {worst:.1%}",
        "(kernel includes the host)" if host_floor else "",
    )


def attention_fit(points: list[dict[str, Any]], hardware: str, what: str, kernel: str, peak: float) -> None:
    """Fit (share, half rows) to FlashAttention throughputs; causal products are counted half, as the charts do."""
    rows = [
        (p["config"]["seq"], p["config"]["causal"], p["metric"]["value"] * 1e12)
        for p in points
        if p["hardware"].startswith(hardware)
        and p["config"].get("op") == what
        and p["config"].get("kernel") == kernel
        and p["config"].get("head_dim") == 128
        and p["config"]["causal"]
    ]
    seq, _, rate = np.array(rows, dtype=float).T
    x, median, p90, worst = fit(lambda x: x[0] * peak * seq / (seq + x[1]), [0.6, 200.0], ([0.1, 0], [1, 4000]), rate)
    print(
        f"  {hardware} {kernel} {what}: share {x[0]:.3f} half rows {x[1]:.0f}"
        f" | {len(seq)} rows median {median:.1%} P90 {p90:.1%} max {worst:.1%}"
    )


def mla_fit(points: list[dict[str, Any]], peak: float, bandwidth: float) -> None:
    """Fit (share of peak, share of bandwidth, kernel) to absorbed MLA decode with 128 heads."""
    rows = [
        (p["config"]["batch_size"], p["config"]["kv_len"], p["metric"]["value"] * 1e-6)
        for p in points
        if p["config"].get("op") == "MLA decode, 128 heads"
    ]
    b, c, t = np.array(rows, dtype=float).T
    flop, traffic = 2 * b * c * 128 * (2 * 512 + 64), b * c * 576 * 2.0

    def model(x: Any) -> Any:
        return ((flop / (x[0] * peak)) ** JOIN + (traffic / (x[1] * bandwidth)) ** JOIN) ** (1 / JOIN) + x[2]

    x, median, p90, worst = fit(model, [0.6, 0.8, 1e-5], ([0.2, 0.2, 1e-6], [1, 1, 1e-4]), t)
    print(
        f"  MLA decode: share {x[0]:.3f} memory {x[1]:.3f} kernel {x[2] * 1e6:.1f} us"
        f" | {len(t)} rows median {median:.1%} P90 {p90:.1%} max {worst:.1%}"
    )


def link_fit(name: str, rows: Any, bandwidth: float, *, steps: bool = True) -> None:
    """Fit (efficiency, floor, step, ramp) to rows of (ranks, wire bytes, seconds)."""
    n, wire, t = np.array(rows, dtype=float).T

    def model(x: Any) -> Any:
        return x[1] + (x[2] * np.log2(n) if steps else 0) + (wire + np.sqrt(wire * x[3] * 1e6)) / (x[0] * bandwidth)

    x, median, p90, worst = fit(model, [0.7, 1e-5, 1e-6, 1.0], ([0.2, 0, 0, 0], [1.0, 2e-4, 5e-5, 1000]), t)
    print(
        f"  {name}: efficiency {x[0]:.3f} floor {x[1] * 1e6:.1f} us step {x[2] * 1e6:.2f} us ramp {x[3]:.3f} MB"
        f" | {len(t)} rows median {median:.1%} P90 {p90:.1%} max {worst:.1%}"
    )


def nccl_rows(
    points: list[dict[str, Any]], hardware: str, kind: str, title: str, factor: Callable[[float], float]
) -> list[Any]:
    """Return (ranks, wire bytes, seconds) of an NCCL ladder; busbw points are turned into times."""
    rows = []
    for p in points:
        if (
            not p["hardware"].startswith(hardware)
            or p["config"].get("collective") != kind
            or title not in p["source"]["title"]
        ):
            continue
        n, size, metric = p["chips"], p["config"]["bytes"], p["metric"]
        wire = factor(n) * size
        rows.append((n, wire, metric["value"] * 1e-6 if metric["name"] == "time" else wire / (metric["value"] * 1e9)))
    return rows


# Published two-column tables: (ranks, dispatch us, combine us) for 128 tokens, hidden 7168, top-8.
DEEPEP_ASCEND = ((8, 132, 126), (16, 139, 135), (32, 153, 151))  # Atlas A3, sgl-kernel-npu DeepEP-Ascend README
CLOUDMATRIX_FUSED = ((8, 116, 118), (256, 152, 149))  # arXiv 2506.12708, CANN EP operator table
DEEPEP_IB = ((16, 118, 195), (32, 155, 273), (64, 173, 314), (128, 192, 369), (256, 194, 360))  # DeepEP docs/legacy.md


def moe_rows(table: Any, domain: int, dispatch_bytes: float, combine_bytes: float) -> list[Any]:
    """Return (ranks, wire bytes, seconds) of dispatch and combine; bytes inside one `domain` do not cross the wire."""
    rows = []
    for ranks, dispatch, combine in table:
        leaving = 128 * 8 * (1 - domain / ranks)
        rows += [(ranks, leaving * dispatch_bytes, dispatch * 1e-6), (ranks, leaving * combine_bytes, combine * 1e-6)]
    return rows


def throughput_rows(points: list[dict[str, Any]]) -> list[Any]:
    """Return (ranks, wire bytes, seconds) of DeepEP-Ascend's 4,096-token rows, one copy a token and rank visited."""
    rows = []
    for p in points:
        if "sgl-kernel-npu" in p["source"]["title"]:
            n = p["chips"]
            copies = n * (1 - (1 - 1 / n) ** 8) * (1 - 1 / n)
            for size, rate in ((7168 + 448, p["metric"]["value"]), (14336, p["also"]["combine_bottleneck_bw"])):
                rows.append((n, 4096 * copies * size, 4096 * copies * size / (rate * 1e9)))
    return rows


def ring_reduce(ranks: float) -> float:
    """Return wire bytes over message bytes of a ring all-reduce."""
    return 2 * (ranks - 1) / ranks


def ring_gather(ranks: float) -> float:
    """Return wire bytes over message bytes of an all-gather, a reduce-scatter or an all-to-all."""
    return (ranks - 1) / ranks


def in_network(rows: list[Any]) -> list[Any]:
    """Return an all-reduce ladder with the bytes that a rank exchanges with switches that add: S (n + 1)/n."""
    return [(n, wire / ring_reduce(n) * (n + 1) / n, seconds) for n, wire, seconds in rows]


def between_nodes(rows: list[Any], nodes: int, local: int) -> list[Any]:
    """Return an all-reduce ladder with the bytes that cross the scale-out network, messages over 0.3 MB."""
    crossing = [(nodes, wire / ring_reduce(n) * ring_reduce(nodes) / local, t) for n, wire, t in rows]
    return [row for row in crossing if row[1] > 3e5 * ring_reduce(nodes) / local]


def fit_operators(points: list[dict[str, Any]]) -> None:
    """Print the fits of products and attention."""
    h800 = gemm_rows(points, "H800")
    products = {
        "GEMM A100 fp16": (gemm_rows(points, "A100-80GB"), 312e12, 2.039e12, 2.0, True),
        "GEMM MI210 fp16": (gemm_rows(points, "MI210"), 181e12, 1.638e12, 2.0, True),
        "GEMM H800 fp8, plain and grouped": (h800, 1979e12, 3.35e12, 1.0, False),
        "GEMM H800 fp8, plain": (h800[h800[:, 0] == 1], 1979e12, 3.35e12, 1.0, False),
        "GEMM H20 fp8": (gemm_rows(points, "H20"), 296e12, 4.0e12, 1.0, False),
    }
    for name, (rows, peak, bandwidth, element, host) in products.items():
        print(name)
        gemm_fit(rows, peak, bandwidth, element, host_floor=host)
    print("attention")
    attention_fit(points, "A100-80GB", "attention fwd+bwd", "FA2", 312e12)
    attention_fit(points, "H100", "attention fwd", "FA3", 989e12)
    attention_fit(points, "H100", "attention fwd+bwd", "FA2", 989e12)
    mla_fit(points, 989e12, 3.35e12)


def fit_links(points: list[dict[str, Any]]) -> None:
    """Print the fits of collectives: wire bytes over the injection bandwidth of one direction."""
    kinds = {
        "all_reduce": ring_reduce,
        "all_gather": ring_gather,
        "reduce_scatter": ring_gather,
        "alltoall": ring_gather,
    }
    print("links")
    link_fit("NVLink3 all-reduce", nccl_rows(points, "DGX-class A100", "all_reduce", "vTrain", ring_reduce), 300e9)
    for hardware in ("H100 SXM", "H200 SXM"):
        for kind, factor in kinds.items():
            rows = nccl_rows(points, hardware, kind, "APEX", factor)
            link_fit(f"NVLink4 {hardware} {kind}", rows, 450e9, steps=False)
    ladders = {
        name: nccl_rows(points, hardware, "all_reduce", "ML Eng", ring_reduce)
        for name, hardware in (("H200", "HGX H200, 8"), ("B200", "AWS P6-B200"), ("4 x B200", "4x AWS P6-B200"))
    }
    link_fit("NVLink4 8 x H200 in-network", in_network(ladders["H200"]), 450e9, steps=False)
    link_fit("NVLink5 8 x B200 in-network", in_network(ladders["B200"]), 900e9, steps=False)
    link_fit("EFA 400G, 4 nodes all-reduce", between_nodes(ladders["4 x B200"], 4, 8), 50e9)
    link_fit("InfiniBand 400G all-to-all, DeepEP low latency", moe_rows(DEEPEP_IB, 8, 7408, 14336), 50e9)
    short = moe_rows(DEEPEP_ASCEND + CLOUDMATRIX_FUSED, 1, 7168 + 448, 14336)
    link_fit("UB1 all-to-all a die, 128 tokens", short, 175e9)
    link_fit("UB1 all-to-all a die, 128 and 4,096 tokens", short + throughput_rows(points), 175e9)


def main() -> None:
    """Print every fit that the catalogue's calibration and link files quote."""
    points = load(Path(sys.argv[1]))
    fit_operators(points)
    fit_links(points)


if __name__ == "__main__":
    main()
