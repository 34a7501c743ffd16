"""Fit operator and collective efficiencies to published measurements, and print or write what the catalogue holds.

    python benchmarks/fit_calibration.py links POINTS.jsonl
    python benchmarks/fit_calibration.py operators TABLES [--write DIR] [--family NAME]
    python benchmarks/fit_calibration.py layers FOLDER [--write DIR]

`links` reads the points of kind `collective` of a JSON-lines file. `operators` reads the tables of aiconfigurator-core
0.12.0 (TABLES is its folder `systems/data`), prints held-out errors by chip, and with `--write` writes their files.
`layers` reads the layers that LLMServingSim timed on an RTX 4090 (`layer_profile.py` says which folder).
Nothing is fitted to an end-to-end result. Needs scipy, and pyarrow for the tables.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import layer_profile
import numpy as np
import public_tables
from scipy.optimize import least_squares

from superpod.calibrate.fit import Fitted, fit_curve
from superpod.calibrate.samples import Samples
from superpod.calibrate.write import Provenance, calibration_text, summary
from superpod.catalog.load import SHIPPED, Catalogue
from superpod.catalog.read import read_toml
from superpod.fabric.collectives.expert_exchange import Routing
from superpod.validate.collectives import ELEMENT_BYTES, expert_time, fabric_of, predict

DATA = SHIPPED / "calibration"
FOLDS = 5
VERSION = "2026-11.2"
RANGES = {
    "gemm.bf16": "rows 1 to 32,768, columns and depth 32 to 65,536",
    "gemm.fp8": "rows 1 to 32,768, columns and depth 32 to 65,536; quantising the input, timed by itself, is taken off",
    **dict.fromkeys(
        ("gemm.fp8_block", "gemm.fp4"),
        "rows 1 to 32,768, columns and depth 64 to 65,536; quantising the input, an elementwise kernel, is taken out",
    ),
    "attention": "prompts of 16 to 16,384 tokens, heads of 64 to 256, causal, the write to the cache in it",
    "latent_attention": "prompts of 16 to 32,768 tokens, 1 to 128 heads of 192 and 128",
    "decode": "1 to 2,048 sequences of 2 to 131,072 keys, caches of bf16 and fp8, heads of 64 to 256",
    "narrow_decode.trtllm": "TensorRT-LLM, 1 to 2,048 sequences of 2 to 131,072 keys, caches of fp8, 2 to 8 query "
    "heads of 128 a key-value head, no window; rotary embedding in it",
    "latent_decode": "1 to 1,024 sequences of 2 to 131,072 keys, 1 to 128 heads, caches of bf16 and fp8",
    "elementwise": "quantising 1 to 32,768 rows of up to 65,536, less than 0.3 MB or more than 200 MB",
}

LAYERS = {
    "gemm.bf16": "layers of Llama-3.1-8B, passes of 1 to 2,048 tokens",
    "attention": "chunks of 16 to 2,048 tokens behind up to 16,384, 32 heads of 128 over 8 of keys and values",
    "decode": "1 to 256 sequences of 16 to 16,384 keys, the same heads",
}


def load(path: Path) -> list[dict[str, Any]]:
    """Return the operator and collective points of a JSON-lines file."""
    points = [json.loads(line) for line in path.read_text().splitlines()]
    return [point for point in points if point["kind"] in {"operator", "collective"}]


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


def fit_family(root: Path, catalogue: Catalogue, family: str, old: dict[str, float]) -> dict[str, Fitted]:
    """Return the fits of one chip family by curve, printed as they come; `old` stands in for elementwise kernels."""
    systems, found = public_tables.FAMILIES[family], {}

    def add(curve: str, samples: Samples | None) -> None:
        if samples is not None:
            found[curve] = fit_curve(curve, samples, FOLDS)
            show(found[curve])

    print(family)
    add("elementwise", public_tables.scaling(root, catalogue, systems))
    moved = found["elementwise"].values if "elementwise" in found else old
    move = moved["memory_frac"], moved["kernel_s"]
    for key in public_tables.FORMATS:
        add(f"gemm.{key}", public_tables.products(root, catalogue, systems, key, move))
        add(f"experts.{key}", public_tables.experts(root, catalogue, systems, key, move))
    for curve, decode in (("attention", False), ("decode", True)):
        add(curve, public_tables.heads(root, catalogue, systems, decode=decode))
        add(f"latent_{curve}", public_tables.latents(root, catalogue, systems, decode=decode))
    for engine in public_tables.NARROW:
        add(f"narrow_decode.{engine}", public_tables.heads(root, catalogue, systems, decode=True, engine=engine))
    return found


def show(fit: Fitted) -> None:
    """Print a fit and its held-out errors by chip."""
    print(f"  {fit.curve}: {summary(fit)}")
    print("   ", ", ".join(f"{name} {value:.4g}" for name, value in fit.values.items()))
    for chip in sorted(set(fit.chips.tolist())):
        errors = fit.errors_frac[fit.chips == chip]
        sizes = np.abs(errors)
        told = f"median {np.median(sizes):.1%} P90 {np.quantile(sizes, 0.9):.1%} signed {np.median(errors):+.1%}"
        print(f"    {chip}: {len(errors)} rows {told}", flush=True)


def fit_operators(arguments: list[str]) -> None:
    """Print the fits of every chip family, and write their files where asked."""
    root = Path(arguments[0])
    folder = Path(arguments[arguments.index("--write") + 1]) if "--write" in arguments else None
    only = arguments[arguments.index("--family") + 1] if "--family" in arguments else ""
    catalogue = Catalogue()
    for family in public_tables.FAMILIES:
        if only not in {"", family}:
            continue
        base = read_toml((folder if folder and (folder / f"{family}.toml").exists() else DATA) / f"{family}.toml")
        found = fit_family(root, catalogue, family, {name: base[name]["value"] for name in ("memory_frac", "kernel_s")})
        if folder is None:
            continue
        text = calibration_text(
            name=family,
            title=str(base["name"]),
            version=VERSION,
            note=str(base["note"]),
            fitted=found,
            provenance=Provenance(kind="benchmark", source="aiconfigurator-tables", words="aiconfigurator-core 0.12.0"),
            base=base,
            lender="",
            ranges=RANGES,
        )
        (folder / f"{family}.toml").write_text(text, encoding="utf-8")


def fit_layers(arguments: list[str]) -> None:
    """Print the fits of an RTX 4090's layers, and write its file where asked; the rest is borrowed from L40S."""
    folder, chip, catalogue = Path(arguments[0]), "rtx-4090", Catalogue()
    columns = {
        "gemm.bf16": layer_profile.products(catalogue, folder, chip),
        "attention": layer_profile.heads(catalogue, folder, chip, decode=False),
        "decode": layer_profile.heads(catalogue, folder, chip, decode=True),
    }
    found = {curve: fit_curve(curve, samples, FOLDS) for curve, samples in columns.items()}
    for fit in found.values():
        show(fit)
    if "--write" not in arguments:
        return
    text = calibration_text(
        name="nvidia-ada-geforce",
        title="NVIDIA Ada operators of GeForce cards",
        version=VERSION,
        note="layers of an RTX 4090; products with FP32 accumulation run at half rate there, which leaves power and "
        "tiles less to lose than on L40S",
        fitted=found,
        provenance=Provenance(kind="benchmark", source="llmservingsim-layers", words="RTX 4090, vLLM 0.19"),
        base=read_toml(DATA / "nvidia-ada.toml"),
        lender="nvidia-ada",
        ranges=LAYERS,
    )
    (Path(arguments[arguments.index("--write") + 1]) / "nvidia-ada-geforce.toml").write_text(text, encoding="utf-8")


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
    """Print the fits asked for."""
    asked, *rest = sys.argv[1:]
    if asked == "links":
        fit_links(load(Path(rest[0])))
    elif asked == "operators":
        fit_operators(rest)
    elif asked == "layers":
        fit_layers(rest)
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
