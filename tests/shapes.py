"""Small fabrics with round numbers for the tests of topologies, routes and flows."""

from dataclasses import replace

import numpy as np

from superpod.catalog.load import Catalogue
from superpod.catalog.provenance import FactReader
from superpod.catalog.schema import Wiring
from superpod.fabric.flow import FlowResult, Transfers, simulate
from superpod.fabric.generators import draw
from superpod.fabric.route import Incidence, route
from superpod.fabric.tiers import Fabric, FabricTier, build, ranks_per_chip
from superpod.fabric.topology import FloatArray, IntArray, Topology

LINK = Catalogue().link("nvlink4")


def pod_fabric(catalogue: Catalogue, name: str, pods: float | None = None) -> Fabric:
    """Return the fabric of a pod of the catalogue, or of several."""
    pod = catalogue.pod(name)
    chip = catalogue.chip(pod.chip)
    per_chip = ranks_per_chip(FactReader(kind="chips", entry=chip), chip.dies_count, pod)
    return build(catalogue, FactReader(kind="pods", entry=pod), pod, pods or pod.pods_count, per_chip)


def tier(
    structure: str,
    ranks: int,
    rate: float = 1.0,
    *,
    name: str = "",
    arity: int = 0,
    dims: tuple[int, ...] = (),
    own: bool = True,
    planes: int = 1,
    switches: int | None = 1,
    bisection: float = 1.0,
    latency_s: float = 0.0,
    scale_out: bool = False,
    medium: str = "electrical",
    **wiring: float,
) -> FabricTier:
    """Return a tier; `rate` is what one rank can send into it."""
    return FabricTier(
        name=name or structure,
        ranks_count=float(ranks),
        arity_count=float(arity or ranks),
        bytes_per_s=rate,
        latency_s=latency_s,
        structure=structure,
        dims=dims,
        bisection_frac=bisection,
        in_network_reduction=False,
        scale_out=scale_out,
        link=LINK,
        medium=medium,
        own_ports=own,
        wiring=Wiring(
            planes_count=float(planes), switches_count=None if switches is None else float(switches), **wiring
        ),
    )


def stacked(*tiers: FabricTier, pod_ranks: int = 0, hosts: object = None) -> Fabric:
    """Return a fabric of tiers, one pod unless `pod_ranks` says how many ranks one pod has."""
    ranks = tiers[-1].ranks_count
    pod = float(pod_ranks or ranks)
    return Fabric(tiers=tiers, ranks_per_chip=1.0, ranks_per_pod=pod, pods_count=ranks / pod, hosts=hosts)  # type: ignore[arg-type]


def star(ranks: int, rate: float = 1.0, planes: int = 1) -> Fabric:
    """Return one tier of switches."""
    return stacked(tier("switch", ranks, rate, name="rack", planes=planes))


def leaf_spine(leaves: int, hosts: int, spines: int, rate: float = 1.0) -> Fabric:
    """Return two tiers whose links all have the same rate."""
    inner = tier("switch", hosts, rate, name="leaf")
    outer = tier("clos", leaves * hosts, rate * spines / hosts, name="spine", own=False, switches=spines)
    return stacked(inner, outer)


def cloudmatrix(nodes: int = 48) -> Fabric:
    """Return CloudMatrix384's UB planes with its raw rates: 7 planes, 56 GB/s a card and plane, uplinks of 28."""
    inner = tier("switch", 8, 392e9, name="node", planes=7)
    return stacked(inner, tier("clos", nodes * 8, 392e9, name="pod", own=False, planes=7, switches=16))


def grid(structure: str, dims: tuple[int, ...], link_rate: float = 1.0) -> Fabric:
    """Return a grid whose every link has the same rate."""
    ports = sum(dim - 1 for dim in dims) if structure == "full_mesh" else 2 * len(dims)
    return stacked(tier(structure, int(np.prod(dims)), link_rate * ports, name="grid", dims=dims))


def timed(*tiers: FabricTier, pod_ranks: int = 0) -> Fabric:
    """Return a fabric whose tiers have names of their own and a latency each."""
    named = [replace(one, name=f"tier{place}", latency_s=1e-6 * (place + 1)) for place, one in enumerate(tiers)]
    return stacked(*named, pod_ranks=pod_ranks)


G = 1e9
# Every structure that a generator draws, up to 128 ranks: name -> (fabric, routing that its classes assume).
SHAPES: dict[str, tuple[Fabric, str]] = {
    "star": (timed(tier("switch", 64, 50 * G)), "spray"),
    "star, 18 planes": (timed(tier("switch", 72, 900 * G, planes=18)), "spray"),
    "star, half bisection": (timed(tier("switch", 64, 50 * G, bisection=0.25)), "spray"),
    "leaf-spine 2:1": (
        timed(tier("switch", 8, 8 * G), tier("clos", 32, 4 * G, own=False, switches=4)),
        "spray",
    ),
    "leaf-spine, 7 planes": (
        timed(tier("switch", 8, 392 * G, planes=7), tier("clos", 64, 392 * G, own=False, planes=7, switches=16)),
        "spray",
    ),
    "three levels": (
        timed(
            tier("switch", 4, 100 * G),
            tier("clos", 16, 50 * G, own=False, switches=2),
            tier("clos", 64, 20 * G, own=False, switches=2),
        ),
        "spray",
    ),
    "dies, then planes": (
        timed(
            tier("switch", 2, 270 * G),
            tier("switch", 16, 196 * G, planes=7),
            tier("clos", 128, 196 * G, own=False, planes=7, switches=16),
        ),
        "spray",
    ),
    "mesh board, own ports above": (
        timed(
            tier("full_mesh", 8, 7 * G, dims=(8,)),
            tier("clos", 32, 5 * G, switches=4),
            tier("clos", 64, 3 * G, own=False, switches=8),
        ),
        "spray",
    ),
    "linked dies, then planes": (
        timed(
            tier("full_mesh", 2, 270 * G),
            tier("switch", 16, 196 * G, planes=7),
            tier("clos", 128, 196 * G, own=False, planes=7, switches=16),
        ),
        "spray",
    ),
    "torus 4x4": (timed(tier("torus", 16, 40 * G, dims=(4, 4))), "dor"),
    "torus 3x5": (timed(tier("torus", 15, 40 * G, dims=(3, 5))), "dor"),
    "torus 2x4x8": (timed(tier("torus", 64, 60 * G, dims=(2, 4, 8))), "dor"),
    "torus, slower third axis": (
        timed(tier("torus", 16, 512 * G, dims=(4, 4)), tier("torus", 64, 128 * G, dims=(4,), arity=4)),
        "dor",
    ),
    "cubes joined to a torus": (
        timed(tier("mesh", 8, 6 * G, dims=(2, 2, 2)), tier("torus", 96, 3 * G, dims=(2, 2, 3), arity=12)),
        "dor",
    ),
    "cubes of packages": (
        timed(
            tier("switch", 2, 50 * G),
            tier("mesh", 16, 6 * G, dims=(2, 2, 2), arity=8, own=False),
            tier("torus", 128, 3 * G, dims=(2, 2, 2), arity=8),
        ),
        "dor",
    ),
    "cubes of linked dies": (
        timed(
            tier("full_mesh", 2, 50 * G),
            tier("mesh", 16, 6 * G, dims=(2, 2, 2), arity=8),
            tier("torus", 128, 3 * G, dims=(2, 2, 2), arity=8),
        ),
        "dor",
    ),
    "mesh 4x4x2": (timed(tier("mesh", 32, 60 * G, dims=(4, 4, 2))), "dor"),
    "board mesh, then mesh": (
        timed(tier("full_mesh", 8, 448 * G, dims=(8,)), tier("mesh", 64, 128 * G, dims=(2, 4), arity=8)),
        "dor",
    ),
    "full mesh 4x4": (timed(tier("full_mesh", 16, 6 * G, dims=(4, 4))), "dor"),
    "full mesh 3x4x2": (timed(tier("full_mesh", 24, 6 * G, dims=(3, 4, 2))), "dor"),
    "four-dimensional full mesh": (
        timed(
            tier("full_mesh", 16, 6 * G, dims=(4, 4)),
            tier("full_mesh", 64, 4 * G, dims=(2, 2), arity=4),
            tier("clos", 128, 1 * G),
        ),
        "dor",
    ),
    "dragonfly 5 x 8": (
        timed(tier("full_mesh", 8, 7 * G, dims=(8,)), tier("dragonfly", 40, 4 * G, arity=5)),
        "spray",
    ),
    "dragonfly 4 x 16": (
        timed(tier("full_mesh", 16, 15 * G, dims=(16,)), tier("dragonfly", 64, 4 * G, arity=4)),
        "spray",
    ),
    "rails, two levels, tapered": (
        timed(
            tier("switch", 8, 450 * G),
            tier(
                "clos",
                64,
                50 * G,
                scale_out=True,
                bisection=0.5,
                levels_count=2.0,
                rails_count=8.0,
                switch_ports_count=8.0,
            ),
            pod_ranks=8,
        ),
        "spray",
    ),
    "rails, two planes": (
        timed(
            tier("switch", 8, 450 * G),
            tier(
                "clos",
                64,
                50 * G,
                scale_out=True,
                planes=2,
                levels_count=2.0,
                rails_count=8.0,
                switch_ports_count=64.0,
            ),
            pod_ranks=8,
        ),
        "spray",
    ),
    "two domains in a rack": (
        timed(tier("switch", 64, 400 * G), tier("clos", 128, 400 * G, own=False)),
        "spray",
    ),
}


def pairs(ranks: int) -> tuple[IntArray, IntArray]:
    """Return every ordered pair of different ranks."""
    src, dst = np.divmod(np.arange(ranks * ranks), ranks)
    return src[src != dst], dst[src != dst]


def run(
    topology: Topology,
    src: IntArray,
    dst: IntArray,
    size: float | FloatArray = 1.0,
    routing: str = "spray",
    *,
    seed: int = 0,
    engine: str = "auto",
    batch_frac: float = 0.0,
) -> tuple[FlowResult, Incidence]:
    """Route flows and simulate them."""
    paths = route(topology, src, dst, routing, seed)
    sizes = np.broadcast_to(np.asarray(size, dtype=float), len(src))
    found = simulate(
        paths, topology.links.bytes_per_s, Transfers(size_bytes=sizes), engine=engine, batch_frac=batch_frac
    )
    return found, paths


def exchange(fabric: Fabric, size: float = 1.0, routing: str = "spray", **how: object) -> FlowResult:
    """Return every rank sending to every other on the drawn fabric, latencies left out."""
    topology = draw(fabric)
    found, paths = run(topology, *pairs(len(topology.ranks)), size, routing, **how)  # type: ignore[arg-type]
    return replace(found, finish_s=found.finish_s - paths.latency_s)


def direct(paths: list[list[int]], links: int, shares: list[list[float]] | None = None) -> Incidence:
    """Return flows over numbered links, without a topology."""
    start = np.concatenate(([0], np.cumsum([len(path) for path in paths])))
    link = np.array([number for path in paths for number in path])
    share = np.ones(len(link)) if shares is None else np.array([one for part in shares for one in part])
    return Incidence(start=start, link=link, share_frac=share, latency_s=np.zeros(len(paths)), links_count=links)
