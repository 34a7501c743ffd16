"""Fit link efficiencies to the collective tables of aiconfigurator-core, and print errors on rows left out of the fit.

    python benchmarks/fit_links.py DATA [--fit]

DATA is `aiconfigurator_core/systems/data` of the unpacked wheel aiconfigurator-core 0.12.0 (Apache-2.0). Without --fit
only the catalogue's own errors are printed. Needs pyarrow and scipy. Nothing here is end to end.
"""

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from scipy.optimize import least_squares

from superpod.catalog.calibration import LinkCalibration
from superpod.catalog.load import Catalogue
from superpod.fabric.collectives import collective_time
from superpod.fabric.collectives.exchange import priced
from superpod.fabric.tiers import Fabric, Group
from superpod.validate.collectives import fabric_of

Floats = np.ndarray[Any, Any]
CATALOGUE = Catalogue()
MEBI = 2.0**20
PODS = {
    "a100_sxm": "hgx-a100",
    "h100_sxm": "hgx-h100",
    "h200_sxm": "hgx-h200",
    "b200_sxm": "hgx-b200",
    "b300_sxm": "hgx-b300",
    "gb200": "gb200-nvl72",
    "gb300": "gb300-nvl72",
}
LINKS = {
    "nvlink3": ("a100_sxm",),
    "nvlink4": ("h100_sxm", "h200_sxm"),
    "nvlink5": ("b200_sxm", "b300_sxm", "gb200", "gb300"),
}
NCCL = {"a100_sxm": "2.27.3"}  # elsewhere 2.29.2
ENGINES = (("trtllm", "1.3.0rc20"), ("sglang", "0.5.14"), ("vllm", "0.24.0"))
OLDER = (("trtllm", "1.0.0"), ("sglang", "0.5.10"), ("vllm", "0.14.0"))  # the newest with A100
KINDS = {
    "all_reduce": "all_reduce",
    "all_gather": "all_gather",
    "reduce_scatter": "reduce_scatter",
    "alltoall": "all_to_all",
}
RINGS = ("all_reduce", "all_gather", "reduce_scatter")
# Element bytes of what is sent: NVFP4 has an FP8 scale for 16 elements; combine sends 16 bits.
ELEMENTS = {"bfloat16": 2.0, "fp8": 1.0, "nvfp4": 0.5625}
ROW = tuple[str, str, float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Columns of measurements: machine, kind, ranks, bytes that a rank holds or sends, and seconds."""

    system: Floats
    kind: Floats
    ranks: Floats
    size_bytes: Floats
    time_s: Floats

    def where(self, mask: Floats) -> "Rows":
        """Return some of the rows."""
        return Rows(
            system=self.system[mask],
            kind=self.kind[mask],
            ranks=self.ranks[mask],
            size_bytes=self.size_bytes[mask],
            time_s=self.time_s[mask],
        )


def table(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a Parquet file, none where there is no such file."""
    return pq.read_table(path).to_pylist() if path.exists() else []


def columns(rows: Iterable[ROW]) -> Rows:
    """Return rows as columns."""
    system, kind, ranks, size, time = zip(*rows, strict=True)
    return Rows(
        system=np.array(system),
        kind=np.array(kind),
        ranks=np.array(ranks),
        size_bytes=np.array(size),
        time_s=np.array(time),
    )


def library(data: Path, systems: Iterable[str]) -> Rows:
    """Return NCCL's collectives of 16-bit elements; sizes are counted in elements, times in milliseconds."""
    found: list[ROW] = []
    for system in systems:
        path = data / system / "comm" / "nccl" / NCCL.get(system, "2.29.2") / "nccl_perf.parquet"
        found += [
            (system, KINDS[row["op_name"]], float(row["num_gpus"]), 2.0 * float(row["message_size"]), _seconds(row))
            for row in table(path)
            if row["nccl_dtype"] == "half"
        ]
    return columns(found)


def engines(name: str) -> Callable[[Path, Iterable[str]], Rows]:
    """Return a reader of all-reduces as a serving engine runs them, or all of them, under CUDA graphs."""

    def read(data: Path, systems: Iterable[str]) -> Rows:
        found: list[ROW] = []
        for system in systems:
            for engine, version in OLDER if system == "a100_sxm" else ENGINES:
                path = data / system / "comm" / engine / version / "custom_allreduce_perf.parquet"
                found += [
                    (system, "all_reduce", float(row["num_gpus"]), 2.0 * float(row["message_size"]), _seconds(row))
                    for row in table(path)
                    if name in {engine, "serving"} and "eager" not in row["kernel_source"] and _runs(system, name, row)
                ]
        return columns(found)

    return read


def _runs(system: str, engine: str, row: dict[str, Any]) -> bool:
    """Return whether an engine's own kernels run: beyond a tray of four of an NVL72 only TensorRT-LLM's do."""
    return not system.startswith("gb") or engine == "trtllm" or float(row["num_gpus"]) <= 4.0


def experts(data: Path, systems: Iterable[str]) -> Rows:
    """Return dispatches and combines inside one scale-up domain: DeepEP low latency, and TensorRT-LLM over NVL72.

    Bytes are what a rank sends to all, itself included, k copies a token for DeepEP, one for each rank that a token
    visits for TensorRT-LLM (its routing is balanced: min(k, ranks) of them). A two-sided dispatch has its preparation.
    """
    found: list[ROW] = []
    for system in systems:
        ranks = 4.0 if system.startswith("gb") else 8.0
        for row in table(data / system / "comm" / "sglang" / "0.5.12" / "wideep_deepep_ll_perf.parquet"):
            copies = float(row["num_token"]) * float(row["num_topk"]) * float(row["hidden_size"])
            for way, element in (("dispatch", 1.0 + 4.0 / 128.0), ("combine", 2.0)):
                seconds = float(row[f"{way}_avg_t_us"]) * 1e-6
                if float(row["num_experts"]) >= 128.0 and float(row["num_topk"]) > 1.0:
                    found.append((system, way, ranks, copies * element, seconds))
        rows = table(data / system / "comm" / "trtllm" / "1.3.0rc10" / "trtllm_alltoall_perf.parquet")
        found += list(_trtllm(system, rows))
    return columns(found)


def _trtllm(system: str, rows: list[dict[str, Any]]) -> Iterable[ROW]:
    ready = {_key(row): _seconds(row) for row in rows if row["op_name"] == "alltoall_prepare"}
    for row in rows:
        way = row["op_name"].removeprefix("alltoall_")
        if way not in {"dispatch", "combine"}:
            continue
        ranks, element = float(row["moe_ep_size"]), ELEMENTS[row["moe_dtype"]] if way == "dispatch" else 2.0
        copies = float(row["num_tokens"]) * min(float(row["topk"]), ranks) * float(row["hidden_size"])
        before = ready.get(_key(row), 0.0) if way == "dispatch" else 0.0
        yield system, way, ranks, copies * element, _seconds(row) + before


def _key(row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in ("kernel_source", "moe_dtype", "num_tokens", "moe_ep_size"))


def _seconds(row: dict[str, Any]) -> float:
    return float(row["latency"]) * 1e-3


FABRICS = {system: fabric_of(CATALOGUE, pod, 8.0) for system, pod in PODS.items()}


def predicted(rows: Rows, link: LinkCalibration, kernels: Any) -> Floats:
    """Return the model's seconds for all rows, with one link calibration for all."""
    spent = np.zeros(len(rows.time_s))
    for system in set(rows.system):
        plain = FABRICS[system]
        fabric: Fabric = replace(plain, tiers=(replace(plain.tiers[0], link=link),), kernels=kernels)
        for kind in set(rows.kind):
            mask = (rows.system == system) & (rows.kind == kind)
            group, size = Group(size=rows.ranks[mask]), rows.size_bytes[mask]
            if kind in {"dispatch", "combine"}:
                spent[mask] = priced(kind, fabric, group, size, size, forwarded=False)
            else:
                spent[mask] = collective_time(kind, fabric, group, size)
    return spent


def moved(link: LinkCalibration, values: dict[str, float]) -> LinkCalibration:
    """Return a link with some of its numbers, by path."""
    for path, value in values.items():
        first, _, rest = path.partition(".")
        if not rest:
            link = replace(link, **{first: value})
        elif first in {"peer_kernels", "exchanges"}:
            name, _, leaf = rest.partition(".")
            rows = getattr(link, first)
            link = replace(link, **{first: {**rows, name: replace(rows[name], **{leaf: value})}})
        elif first == "regimes":
            name, _, leaf = rest.partition(".")
            regimes = tuple(replace(r, **{leaf: value}) if r.name == name else r for r in link.regimes)
            link = replace(link, regimes=regimes)
        else:
            link = replace(link, **{first: replace(getattr(link, first), **{rest: value})})
    return link


def fitted(link: LinkCalibration, start: dict[str, float], rows: Rows, kernels: str) -> dict[str, float]:
    """Return the numbers at which log errors are least, softly: a single slow row does not move them."""
    paths, first = list(start), np.array(list(start.values()))

    def residual(x: Floats) -> Floats:
        made = moved(link, dict(zip(paths, np.exp(x) * first, strict=True)))
        return np.asarray(np.log(predicted(rows, made, kernels) / rows.time_s))

    found = least_squares(residual, np.zeros(len(paths)), loss="soft_l1", f_scale=0.05, diff_step=1e-3)
    return {path: float(value) for path, value in zip(paths, np.exp(found.x) * first, strict=True)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Numbers of a link that one set of rows decides, with their starting values."""

    name: str
    read: Callable[[Path, Iterable[str]], Rows]
    kinds: tuple[str, ...]
    kernels: str
    start: dict[str, float]
    wanted: Callable[[Rows], Floats] = lambda rows: np.ones(len(rows.time_s), dtype=bool)
    links: tuple[str, ...] = tuple(LINKS)


SHORT = {
    "exchanges.short.base_s": 6e-6,
    "exchanges.short.post_s": 0.2e-6,
    "exchanges.short.pair_frac": 0.016,
}
# Efficiencies are other sources' rates at sizes that the tables do not reach; copies of own parts come from slopes.
PARTS = (
    Part(
        name="rings",
        read=library,
        kinds=RINGS,
        kernels="library",
        start={
            "regimes.LL.base_s": 5e-6,
            "regimes.LL.step_s": 0.8e-6,
            "regimes.LL128.base_s": 12e-6,
            "regimes.LL128.step_s": 1.8e-6,
            "regimes.Simple.base_s": 20e-6,
            "regimes.Simple.step_s": 2e-6,
        },
    ),
    Part(
        name="switches that add",
        read=library,
        kinds=("all_reduce",),
        kernels="library",
        start={"in_network.base_s": 60e-6, "in_network.rate_frac": 0.8},
        wanted=lambda rows: (rows.ranks == 8.0) & (rows.size_bytes >= 32.0 * MEBI),
        links=("nvlink4", "nvlink5"),
    ),
    Part(
        name="all-to-all",
        read=library,
        kinds=("all_to_all",),
        kernels="library",
        start=SHORT,
        links=("nvlink4",),  # the rest is that of older points, which this library meets too
    ),
    Part(
        name="all-to-all",
        read=library,
        kinds=("all_to_all",),
        kernels="library",
        start={
            "exchange.base_s": 40e-6,
            "exchange.everyone_frac": 0.86,
            "exchanges.middle.base_s": 15e-6,
            "exchanges.middle.everyone_frac": 0.7,
            **SHORT,
        },
        links=("nvlink3", "nvlink5"),
    ),
    *(
        Part(
            name=f"kernels of {engine}",
            read=engines(engine),
            kinds=("all_reduce",),
            kernels=engine,
            start={
                f"peer_kernels.{engine}.base_s": 3e-6,
                f"peer_kernels.{engine}.post_s": 0.1e-6,
                f"peer_kernels.{engine}.pass_s": 5e-6,
                f"peer_kernels.{engine}.one_shot_frac": 0.75,
                f"peer_kernels.{engine}.two_shot_frac": 0.75,
            },
        )
        for engine in ("serving", "trtllm", "sglang", "vllm")
    ),
    Part(
        name="experts",
        read=experts,
        kinds=("dispatch", "combine"),
        kernels="serving",
        start={
            "expert_latency.dispatch_s": 12e-6,
            "expert_latency.combine_s": 12e-6,
            "expert_latency.doubling_s": 1e-6,
            "expert_latency.rate_frac": 0.8,
            "expert_latency.combine_rate_frac": 0.7,
        },
        links=("nvlink4", "nvlink5"),
    ),
)


def wanted(part: Part, rows: Rows) -> Rows:
    """Return the rows of a part's kinds and sizes."""
    return rows.where(np.isin(rows.kind, part.kinds) & part.wanted(rows))


def held_out(link: LinkCalibration, part: Part, rows: Rows) -> Floats:
    """Return errors of rows that took no part in the fit that predicts them: every other size of each rank count."""
    errors = np.zeros(len(rows.time_s))
    order = np.round(np.log2(rows.size_bytes)).astype(int) % 2
    for parity in (0, 1):
        out = order == parity
        values = fitted(link, part.start, rows.where(~out), part.kernels)
        errors[out] = predicted(rows.where(out), moved(link, values), part.kernels) / rows.time_s[out] - 1.0
    return errors


def ranks_out(link: LinkCalibration, part: Part, rows: Rows) -> Floats:
    """Return errors of rows of one rank count, predicted from fits to the other rank counts."""
    errors = np.zeros(len(rows.time_s))
    for ranks in np.unique(rows.ranks):
        out = rows.ranks == ranks
        values = fitted(link, part.start, rows.where(~out), part.kernels)
        errors[out] = predicted(rows.where(out), moved(link, values), part.kernels) / rows.time_s[out] - 1.0
    return errors


def report(name: str, rows: Rows, errors: Floats) -> None:
    """Print n, median and P90 of absolute errors by machine and kind, below and from 1 MiB."""
    for system in (system for system in PODS if system in set(rows.system)):
        for kind in (
            kind for kind in dict.fromkeys(rows.kind) if np.any((rows.system == system) & (rows.kind == kind))
        ):
            mask = (rows.system == system) & (rows.kind == kind)
            cells = []
            for part in (rows.size_bytes < MEBI, rows.size_bytes >= MEBI):
                some = np.abs(errors[mask & part])
                cells.append(
                    f"{len(some)} | {np.median(some):.1%} | {np.quantile(some, 0.9):.1%}" if len(some) else "0 | - | -"
                )
            print(f"| {name} | {system} | {kind} | {' | '.join(cells)} |")


def main() -> None:
    """Print errors of the catalogue, and with --fit the fits and the errors of rows left out."""
    data, fit = Path(sys.argv[1]), "--fit" in sys.argv
    print("| what | machine | kind | n < 1 MiB | median | P90 | n >= 1 MiB | median | P90 |")
    for link_id, systems in LINKS.items():
        link = fits = CATALOGUE.link(link_id)
        for part in (part for part in PARTS if link_id in part.links):
            rows = wanted(part, part.read(data, systems))
            if fit:
                values = fitted(fits, part.start, rows, part.kernels)
                fits = moved(fits, values)
                print(f"{link_id} {part.name}: " + ", ".join(f"{path} {value:.4g}" for path, value in values.items()))
                report(f"{part.name}, sizes left out", rows, held_out(fits, part, rows))
                if len(np.unique(rows.ranks)) > 1:
                    report(f"{part.name}, rank counts left out", rows, ranks_out(fits, part, rows))
            report(f"{part.name}, catalogue", rows, predicted(rows, link, part.kernels) / rows.time_s - 1.0)


if __name__ == "__main__":
    main()
