"""A million flows, event by event: seconds and memory of routing and simulation, on three fabrics.

    python benchmarks/million_flows.py [engine]

Every one of 1,024 ranks sends to every other; sizes are equal or lognormal (sigma 1). Unequal sizes run with ends
batched within 1 % of the volume bound; the printed gap is that of the makespan over the volume bound, which no
simulation can beat. Needs the extra `fast`; with engine `numpy` only the equal sizes are run.
"""

import resource
import sys
import time

import numpy as np

from superpod.catalog.load import Catalogue
from superpod.catalog.schema import Wiring
from superpod.fabric.flow import Transfers, simulate
from superpod.fabric.generators import draw
from superpod.fabric.route import route
from superpod.fabric.tiers import Fabric, FabricTier

RANKS, LEAF, RATE, SIZE = 1024, 32, 50e9, 1e6


def tier(structure: str, ranks: int, rate: float, switches: int, *, own: bool) -> FabricTier:
    """Return one tier of a benchmark's fabric."""
    return FabricTier(
        name=structure,
        ranks_count=float(ranks),
        arity_count=float(ranks),
        bytes_per_s=rate,
        latency_s=0.0,
        structure=structure,
        dims=(),
        bisection_frac=1.0,
        in_network_reduction=False,
        scale_out=False,
        link=Catalogue().link("nvlink4"),
        own_ports=own,
        wiring=Wiring(switches_count=float(switches)),
    )


def fabric(*tiers: FabricTier) -> Fabric:
    """Return the tiers as one pod."""
    return Fabric(tiers=tiers, ranks_per_chip=1.0, ranks_per_pod=tiers[-1].ranks_count, pods_count=1.0)


def main() -> None:
    """Print a row a case."""
    engine = sys.argv[1] if len(sys.argv) > 1 else "auto"
    star = fabric(tier("switch", RANKS, RATE, 1, own=True))
    leaves = fabric(tier("switch", LEAF, RATE, 1, own=True), tier("clos", RANKS, RATE, LEAF, own=False))
    src, dst = np.divmod(np.arange(RANKS * RANKS), RANKS)
    src, dst = src[src != dst], dst[src != dst]
    equal = np.full(len(src), SIZE)
    unequal = SIZE * np.random.default_rng(1).lognormal(0.0, 1.0, len(src))
    cases = [
        ("one switch, equal", star, "spray", equal, 0.0),
        ("leaf-spine, d-mod-k, equal", leaves, "single", equal, 0.0),
        ("leaf-spine, hashed, equal", leaves, "ecmp", equal, 1e-2),
        ("leaf-spine, hashed, lognormal", leaves, "ecmp", unequal, 1e-2),
    ]
    print(f"{len(src):,} flows; seconds of this process's CPU")
    for name, made, mode, sizes, batch in cases[: 2 if engine == "numpy" else None]:
        topology = draw(made)
        begin = time.process_time()
        paths = route(topology, src, dst, mode, seed=1)
        routed = time.process_time()
        found = simulate(
            paths, topology.links.bytes_per_s, Transfers(size_bytes=sizes), batch_frac=batch, engine=engine
        )
        ended = time.process_time()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
        gap = found.makespan_s / found.bound_s - 1.0
        print(
            f"{name:32s} routes {routed - begin:6.2f} s, flows {ended - routed:6.2f} s, {found.solves_count:4d} solves,"
            f" batch {batch:g}, {gap:+.2%} over the bound, peak {peak:.2f} GB",
            flush=True,
        )


if __name__ == "__main__":
    main()
