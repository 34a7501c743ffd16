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

from superpod.catalog.load import Catalogue
from superpod.fabric.collectives.expert_exchange import Routing
from superpod.validate.collectives import ELEMENT_BYTES, expert_time, fabric_of, predict

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


# Published two-column tables: (ranks, dispatch us, combine us) for 128 tokens, hidden 7168, top-8.
DEEPEP_ASCEND = ((8, 132, 126), (16, 139, 135), (32, 153, 151))  # Atlas A3, sgl-kernel-npu DeepEP-Ascend README
CLOUDMATRIX_FUSED = ((8, 116, 118), (256, 152, 149))  # arXiv 2506.12708, CANN EP operator table


def link_fit(
    name: str,
    link: str,
    start: dict[str, float],
    errors_of: Callable[[Catalogue], list[float]],
) -> None:
    """Fit numbers of a link file, by path, to log errors of predictions; print them with what is left."""
    paths, first = list(start), np.array(list(start.values()))

    def logs(x: Any) -> Any:
        moved = {f"links/{link}:{path}": float(value) for path, value in zip(paths, np.exp(x) * first, strict=True)}
        return np.log1p(np.array(errors_of(Catalogue(overrides=moved))))

    found = least_squares(logs, np.zeros(len(paths)), loss="soft_l1", f_scale=0.1, diff_step=1e-3)
    error = np.abs(np.expm1(logs(found.x)))
    values = ", ".join(f"{path} {value:.4g}" for path, value in zip(paths, np.exp(found.x) * first, strict=True))
    print(f"  {name}: {values} | {len(error)} rows median {np.median(error):.1%}", end=" ")
    print(f"P90 {np.quantile(error, 0.9):.1%} max {error.max():.1%}")


def point_errors(points: list[dict[str, Any]], wanted: Callable[[dict[str, Any]], bool]) -> Any:
    """Return a function from a catalogue to the errors of all wanted collective points."""
    chosen = [point for point in points if point["kind"] == "collective" and wanted(point)]
    return lambda catalogue: [row.error_frac for point in chosen for row in predict(catalogue, point)]


def table_errors(catalogue: Catalogue) -> list[float]:
    """Return the errors of the two published latency ladders over UB, a die a rank."""
    errors: list[float] = []
    for ranks, dispatch, combine in DEEPEP_ASCEND + CLOUDMATRIX_FUSED:
        fabric = fabric_of(catalogue, "cloudmatrix384", float(ranks))
        for way, element, measured in (("dispatch", "INT8", dispatch), ("combine", "BF16", combine)):
            spent = expert_time(
                way, fabric, ranks, 128.0, 7168 * ELEMENT_BYTES[element], Routing(top_k_count=8.0), batched=False
            )
            errors.append(spent / (measured * 1e-6) - 1.0)
    return errors


def sized(title: str, hardware: str, smallest: float, largest: float) -> Callable[[dict[str, Any]], bool]:
    """Return whether a point is of a source and a machine, and between two sizes."""

    def wanted(point: dict[str, Any]) -> bool:
        size = point["config"].get("bytes", 0.0)
        named = title in point["source"]["title"] and point["hardware"].startswith(hardware)
        return named and smallest <= size <= largest

    return wanted


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
    """Print the fits of transports: their numbers moved until `superpod.validate` meets the points."""
    huge = float(2**40)

    def errors(title: str, hardware: str, smallest: float = 0.0, largest: float = huge) -> Any:
        return point_errors(points, sized(title, hardware, smallest, largest))

    def kernels(title: str, hardware: str, metric: str) -> Any:
        return point_errors(
            points,
            lambda p: (
                title in p["source"]["title"] and p["hardware"].startswith(hardware) and p["metric"]["name"] == metric
            ),
        )

    print("links")
    added = {"in_network.base_s": 50e-6, "in_network.rate_frac": 0.82}
    link_fit("8 x H200 in-network", "nvlink4", added, errors("ML Eng", "HGX H200", 2**24))
    link_fit("8 x B200 in-network", "nvlink5", added, errors("ML Eng", "AWS P6-B200", 2**24))
    link_fit("MI300X", "xgmi", {"efficiency_frac": 0.7}, errors("ML Eng", "MI300X"))
    steps = {"regimes.LL.step_s": 80e-6, "regimes.LL128.step_s": 80e-6, "regimes.Simple.step_s": 80e-6}
    between = errors("ML Eng", "4x AWS P6-B200", 2**18)
    link_fit("4 x 8 B200 over EFA", "efa-400g", {"efficiency_frac": 0.95, **steps}, between)
    latency = {"expert_latency.dispatch_s": 40e-6, "expert_latency.combine_s": 40e-6}
    inside = point_errors(points, lambda p: p["id"] == "deepep-ll-ep8")
    link_fit("DeepEP low latency, NVLink of H800", "nvlink4", latency, inside)
    across = point_errors(points, lambda p: p["id"].startswith("deepep-ll-ep") and p["id"] != "deepep-ll-ep8")
    link_fit("DeepEP low latency, InfiniBand", "ib-400g", latency, across)
    link_fit("UB ladders, 128 tokens", "ub1", {**latency, "expert_latency.doubling_s": 4e-6}, table_errors)
    volume = kernels("sgl-kernel-npu", "Atlas A3", "dispatch_bottleneck_bw")
    link_fit("UB, 4,096 tokens", "ub1", {"expert_volume.post_s": 18e-6}, volume)


def main() -> None:
    """Print every fit that the catalogue's calibration and link files quote."""
    points = load(Path(sys.argv[1]))
    fit_operators(points)
    fit_links(points)


if __name__ == "__main__":
    main()
