"""Small machines made by hand for the batteries: fabrics of every structure, and devices of every calibration."""

from dataclasses import dataclass, replace

from superpod.catalog.load import Catalogue
from superpod.compute.device import Device
from superpod.fabric.structures import EVERYONE
from superpod.fabric.tiers import Fabric, FabricTier

CATALOGUE = Catalogue()
LINK = CATALOGUE.link("nvlink4")
PEAK_FLOP_PER_S = {"bf16": 1e15, "fp8": 2e15, "int8": 2e15, "fp4": 4e15}
STRUCTURES = tuple(sorted(EVERYONE))
MESHES = {"full_mesh", "mesh", "torus"}


@dataclass(frozen=True, kw_only=True)
class Level:
    """One tier of a sample: how many instances of the level below it joins, and how."""

    structure: str
    arity: int
    dims: tuple[int, ...] = ()
    bisection_frac: float = 1.0
    adds: bool = False
    scale_out: bool = False


def fabric(*levels: Level, slower: float = 8.0) -> Fabric:
    """Return a fabric of the levels, innermost first; each has a `slower`-th of the bandwidth of the one below."""
    tiers: list[FabricTier] = []
    ranks = 1
    for depth, level in enumerate(levels):
        ranks *= level.arity
        tiers.append(
            FabricTier(
                name=f"tier{depth}",
                ranks_count=float(ranks),
                arity_count=float(level.arity),
                bytes_per_s=450e9 / slower**depth,
                latency_s=1e-6 * 5.0**depth,  # a network outside a mesh is farther than its far corner
                structure=level.structure,
                dims=level.dims,
                bisection_frac=level.bisection_frac,
                in_network_reduction=level.adds,
                scale_out=level.scale_out,
                link=LINK,
            )
        )
    outermost = tiers[-1]
    pods = outermost.arity_count if outermost.scale_out else 1.0
    return Fabric(tiers=tuple(tiers), ranks_per_chip=1.0, ranks_per_pod=ranks / pods, pods_count=pods)


def level(structure: str, *, scale_out: bool = False) -> Level:
    """Return a level of eight, as 4 x 2 where the structure has axes."""
    return Level(structure=structure, arity=8, dims=(4, 2) if structure in MESHES else (), scale_out=scale_out)


def fabrics() -> dict[str, Fabric]:
    """Return one to three tiers of every structure, with a few tapered and adding ones."""
    board, outside = level("switch"), level("clos", scale_out=True)
    made: dict[str, Fabric] = {}
    for name in STRUCTURES:
        made[name] = fabric(level(name))
        made[f"{name}+clos"] = fabric(level(name), outside)
        made[f"switch+{name}"] = fabric(board, level(name))
        made[f"{name}+{name}+clos"] = fabric(level(name), level(name), outside)
    made["adding switch"] = fabric(replace(board, adds=True))
    made["adding switch+adding clos"] = fabric(replace(board, adds=True), replace(level("clos"), adds=True))
    made["switch+tapered clos"] = fabric(board, replace(outside, bisection_frac=0.25))
    made["line of torus"] = fabric(Level(structure="torus", arity=16, dims=(16,)))
    made["cube of torus"] = fabric(Level(structure="torus", arity=64, dims=(4, 4, 4)), outside)
    for engine in ("serving", "sglang"):
        made[f"switch with kernels of {engine}"] = replace(fabric(board), kernels=engine)
    made["adding switch+clos with kernels"] = replace(fabric(replace(board, adds=True), outside), kernels="vllm")
    made["equal bandwidths"] = fabric(board, level("clos"), slower=1.0)
    return made


FABRICS = fabrics()


def device(calibration: str = "nvidia-hopper") -> Device:
    """Return an imaginary rank with round rates and a catalogued calibration."""
    return Device(
        matrix_flop_per_s=PEAK_FLOP_PER_S,
        memory_bytes=80e9,
        memory_bytes_per_s=3e12,
        calibration=CATALOGUE.calibration(calibration),
    )


DEVICES = {name: device(name) for name in CATALOGUE.names("calibration")}
