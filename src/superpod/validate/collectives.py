"""Published collectives predicted from the catalogue: which pod, group and bytes a measured point means."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from superpod.catalog.load import Catalogue
from superpod.catalog.provenance import FactReader
from superpod.catalog.read import read_toml
from superpod.errors import NoBasisError
from superpod.fabric.collectives import collective_time
from superpod.fabric.collectives.exchange import priced
from superpod.fabric.collectives.expert_exchange import Routing, sent
from superpod.fabric.tiers import Fabric, Group, build, ranks_per_chip
from superpod.result import Num
from superpod.validate.hardware import pod_of
from superpod.validate.programs import Program, program, program_number
from superpod.validate.values import positive

SYSTEMS = Path(__file__).parent / "systems.toml"
KINDS = {
    "all_reduce": "all_reduce",
    "all_gather": "all_gather",
    "reduce_scatter": "reduce_scatter",
    "alltoall": "all_to_all",
}
# Bytes of an element: FP8 has an fp32 scale for 128 elements (arXiv 2412.19437, section 3.3), INT8 one for a token.
ELEMENT_BYTES = {"FP8": 1.0 + 4.0 / 128.0, "INT8": 1.0, "BF16": 2.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """Where a source measured: a row of systems.toml, which says what each key means."""

    title: str
    hardware: str
    pod: str
    program: str = ""
    bandwidth: str = ""
    network: str = ""
    adds: bool = True
    short: bool = True
    in_sample: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """One measured time and what the model says, or why it says nothing."""

    point: str
    what: str
    source: str
    measured_s: float
    predicted_s: float | None
    reason: str
    in_sample: bool = False

    @property
    def error_frac(self) -> float:
        """Predicted over measured, less one; not a number where nothing is predicted."""
        return float("nan") if self.predicted_s is None else self.predicted_s / self.measured_s - 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """A system made ready: its fabric, and what its program adds."""

    system: System
    fabric: Fabric
    program: Program


def predict(catalogue: Catalogue, point: Mapping[str, Any]) -> tuple[Prediction, ...]:
    """Return predictions for one point of kind `collective`: its metric, and what stands in `also` beside it."""
    source = f"{point['source']['title']}: {point['source']['table']}"
    place = _place(catalogue, point)
    if place is None:
        return (
            Prediction(
                point=point["id"], what="", source=source, measured_s=float("nan"), predicted_s=None, reason="no pod"
            ),
        )
    rows = _experts(place, point) if "op" in point["config"] else _nccl(place, point)
    return tuple(
        Prediction(
            point=point["id"],
            what=what,
            source=source,
            measured_s=measured,
            predicted_s=predicted,
            reason=f"{place.system.pod}, {point['chips']:g} ranks",
            in_sample=place.system.in_sample or place.program.in_sample,
        )
        for what, measured, predicted in rows
    )


def fabric_of(catalogue: Catalogue, pod_id: str, ranks: float) -> Fabric:
    """Return the fabric of as many pods as hold so many ranks."""
    pod = catalogue.pod(pod_id)
    chip = catalogue.chip(pod.chip)
    per_chip = ranks_per_chip(FactReader(kind="chips", entry=chip), chip.dies_count, pod)
    pods = -(-ranks // (pod.chips_count * per_chip))
    return build(catalogue, FactReader(kind="pods", entry=pod), pod, max(pods, 1.0), per_chip)


def expert_time(
    way: str, fabric: Fabric, ranks: float, tokens: float, token_bytes: float, routing: Routing, *, batched: bool
) -> float:
    """Return a dispatch or a combine of `tokens` from each rank: straight, or batched with one copy a rank and node."""
    nodes = max(ranks / _inside(fabric), 1.0)
    load = sent(routing, tokens, token_bytes, ranks, nodes, deduplicated=batched)
    return float(priced(way, fabric, Group(size=ranks), load.inside_bytes, load.outside_bytes, forwarded=batched))


def bus_factor(kind: str, ranks: float) -> float:
    """Return bus bandwidth over algorithm bandwidth (NVIDIA/nccl-tests, doc/PERFORMANCE.md)."""
    passes = 2.0 if kind == "all_reduce" else 1.0
    return passes * (ranks - 1.0) / ranks


def _inside(fabric: Fabric) -> float:
    return fabric.ranks_per_pod if fabric.tiers[-1].scale_out else fabric.ranks_count


def _place(catalogue: Catalogue, point: Mapping[str, Any]) -> _Place | None:
    title, hardware = point["source"]["title"], point["hardware"]
    system = next((row for row in _systems() if row.title in title and hardware.startswith(row.hardware)), None)
    system = system or _elsewhere(catalogue, hardware, float(point["chips"]))
    if system is None:
        return None
    fabric = fabric_of(catalogue, system.pod, float(point["chips"]))
    tiers = [replace(tier, in_network_reduction=tier.in_network_reduction and system.adds) for tier in fabric.tiers]
    if not system.short:
        tiers = [replace(tier, link=replace(tier.link, exchanges={})) for tier in tiers]
    if system.bandwidth:
        rate = program_number(f"{system.bandwidth}.bandwidth_bytes_per_s")
        tiers[0] = replace(tiers[0], bytes_per_s=rate)
    if system.network:
        tiers[-1] = replace(tiers[-1], link=catalogue.link(system.network))
    return _Place(system=system, fabric=replace(fabric, tiers=tuple(tiers)), program=program(system.program))


@lru_cache(maxsize=1)
def _systems() -> tuple[System, ...]:
    return tuple(System(**row) for row in read_toml(SYSTEMS)["systems"])


def _elsewhere(catalogue: Catalogue, hardware: str, ranks: float) -> System | None:
    """Return the system of a source that is not listed, by its hardware alone; None where that is not known."""
    try:
        pod = pod_of(catalogue, hardware, ranks)
    except NoBasisError:
        return None
    return System(title="", hardware=hardware, pod=pod)


def _nccl(place: _Place, point: Mapping[str, Any]) -> list[tuple[str, float, float]]:
    """Return (what, measured seconds, predicted seconds) of a collective, also with switches that do not add."""
    kind, ranks, size = KINDS[point["config"]["collective"]], float(point["chips"]), float(point["config"]["bytes"])
    moved = bus_factor(kind, ranks) * size
    metric = point["metric"]
    measured = metric["value"] * 1e-6 if metric["name"] == "time" else moved / (metric["value"] * 1e9)
    rows = [(kind, measured, _seconds(place, place.fabric, kind, ranks, size))]
    without = positive(point.get("also", {}).get("busbw_nvls_off"))
    if without is not None:
        plain = tuple(replace(tier, in_network_reduction=False) for tier in place.fabric.tiers)
        ring = _seconds(place, replace(place.fabric, tiers=plain), kind, ranks, size)
        rows.append((f"{kind}, switches do not add", moved / (without * 1e9), ring))
    return rows


def _seconds(place: _Place, fabric: Fabric, kind: str, ranks: float, size: float) -> float:
    spent: Num = collective_time(kind, fabric, Group(size=ranks), size)
    return float(spent) + place.program.launch_s


def _experts(place: _Place, point: Mapping[str, Any]) -> list[tuple[str, float, float]]:
    """Return dispatch and combine: latencies as printed, bandwidths as the counted bytes over them.

    DeepEP counts one copy for each rank that a token visits where NVLink binds, one for each node where the network
    does, the sender's own included (tests/test_intranode.py, test_internode.py).
    """
    config, also, ranks = point["config"], point.get("also", {}), float(point["chips"])
    batched = point["metric"]["name"] == "dispatch_bottleneck_bw"
    nodes = max(ranks / _inside(place.fabric), 1.0)
    limit = float(config.get("top_groups", 0.0))
    routing = Routing(top_k_count=float(config["top_k"]))
    if 0.0 < limit < nodes:
        routing = replace(routing, groups_count=nodes, groups_limit_count=limit)
    formats = {"dispatch": config.get("dispatch", "FP8"), "combine": config.get("combine", "BF16")}
    measured = {"dispatch": point["metric"]["value"], "combine": positive(also.get("combine_latency_us"))}
    if batched:
        measured["combine"] = positive(also.get("combine_bottleneck_bw"))
    rows: list[tuple[str, float, float]] = []
    for way, value in measured.items():
        if value is None:
            continue
        token_bytes = config["hidden"] * ELEMENT_BYTES[formats[way]]
        tokens = float(config["tokens"])
        copies = routing.parts_touched(nodes if nodes > 1.0 else ranks)
        seconds = tokens * token_bytes * float(copies) / (value * 1e9) if batched else value * 1e-6
        spent = expert_time(way, place.fabric, ranks, tokens, token_bytes, routing, batched=batched)
        rows.append((way, seconds, spent))
    return rows
