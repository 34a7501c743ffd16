"""Flows against SimGrid 4.1, case by case in one run: CPU seconds of both, and whether they end at the same time.

    g++ -O2 -std=c++17 benchmarks/simgrid_flows.cpp -o simgrid_flows -lsimgrid
    python benchmarks/flows_against_simgrid.py ./simgrid_flows [--cases NAME,NAME] [--skip-largest]
    python benchmarks/flows_against_simgrid.py ./simgrid_flows --record tests/fixtures/simgrid.npz

Ours counts routing, building the incidence and the simulation; what a topology keeps for all its transfers (its
forwarding tables) is made before, as SimGrid's routes are; `cold` counts making them too. SimGrid counts starting the
flows and run(), by its fastest of three drivers. Ours is the median of 5 after a warm-up (the first call compiles, or
loads what was compiled), SimGrid's of 3. SimGrid takes ends within 1e-9 s of each other as one, so ends of random sizes
differ by up to that a flow, 4e-4 of short ones; what is recorded for the tests is run at 1e-14 s. It is a tool of this
benchmark only: from its source package, with the headers of Boost and Eigen.
"""

import argparse
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from million_flows import fabric, tier

from superpod.fabric import paths as forwarding
from superpod.fabric.flow import Transfers, simulate
from superpod.fabric.generators import draw
from superpod.fabric.route import Incidence, route
from superpod.fabric.topology import FloatArray, IntArray, Topology

RATE, SIZE, SEED = 50e9, 1e6, 20261125
RECORDED = ("ecmp a2a eq 64", "star a2a ln 64", "ecmp perm ln 64", "ecmp perm ln 384", "star incast ln 1023")
LEAF_SPINE = {64: (8, 8, 8), 128: (8, 16, 16), 384: (24, 16, 16), 1024: (32, 32, 32)}  # leaves, hosts, spines


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Flows on a topology."""

    name: str
    topology: Topology
    src: IntArray
    dst: IntArray
    size: FloatArray
    mode: str


def star(ranks: int) -> Topology:
    """Return one switch."""
    return draw(fabric(tier("switch", ranks, RATE, 1, own=True)))


def leaf_spine(ranks: int) -> Topology:
    """Return two levels with full bisection."""
    leaves, hosts, spines = LEAF_SPINE[ranks]
    above = tier("clos", leaves * hosts, RATE * spines / hosts, spines, own=False)
    return draw(fabric(tier("switch", hosts, RATE, 1, own=True), above))


def everyone(ranks: int) -> tuple[IntArray, IntArray]:
    """Return all ordered pairs."""
    src, dst = np.divmod(np.arange(ranks * ranks), ranks)
    return src[src != dst], dst[src != dst]


def permutation(ranks: int, rng: np.random.Generator) -> tuple[IntArray, IntArray]:
    """Return a random permutation in which every flow leaves its leaf."""
    leaf = np.arange(ranks) // LEAF_SPINE[ranks][1]
    dst = rng.permutation(ranks)
    while len(stay := np.flatnonzero(leaf[dst] == leaf)):
        for here in stay:
            there = rng.integers(ranks)
            dst[here], dst[there] = dst[there], dst[here]
    return np.arange(ranks), dst


def cases() -> Iterator[Case]:
    """Yield the fourteen cases; sizes are whole bytes, as SimGrid wants them."""
    rng = np.random.default_rng(SEED)

    def sizes(count: int, *, spread: bool) -> FloatArray:
        drawn = rng.lognormal(np.log(SIZE) - 0.5, 1.0, count) if spread else np.full(count, SIZE)
        return np.maximum(np.rint(drawn), 1.0)

    def uniform(name: str, topology: Topology, mode: str, *, spread: bool = False) -> Case:
        src, dst = everyone(len(topology.ranks))
        size = sizes(len(src), spread=spread)
        return Case(name=name, topology=topology, src=src, dst=dst, size=size, mode=mode)

    for ranks in (64, 128, 256, 384, 1024):
        yield uniform(f"star a2a eq {ranks}", star(ranks), "spray")
    yield uniform("dmodk a2a eq 384", leaf_spine(384), "single")
    for ranks in (64, 128):
        yield uniform(f"ecmp a2a eq {ranks}", leaf_spine(ranks), "ecmp")
    yield uniform("star a2a ln 64", star(64), "spray", spread=True)
    for ranks, spread in ((64, True), (384, True), (1024, True), (1024, False)):
        src, dst = permutation(ranks, rng)
        name, size = f"ecmp perm {'ln' if spread else 'eq'} {ranks}", sizes(ranks, spread=spread)
        yield Case(name=name, topology=leaf_spine(ranks), src=src, dst=dst, size=size, mode="ecmp")
    src, dst, size = np.arange(1, 1024), np.zeros(1023, dtype=np.int64), sizes(1023, spread=True)
    yield Case(name="star incast ln 1023", topology=star(1024), src=src, dst=dst, size=size, mode="spray")


def ours(case: Case, *, cold: bool) -> tuple[float, Incidence, FloatArray]:
    """Return (CPU seconds, paths, ends) of one run; `cold` forgets the forwarding tables first."""
    if cold:
        forwarding.frame.cache_clear()
        forwarding._kept_table.cache_clear()
    begin = time.process_time()
    found = route(case.topology, case.src, case.dst, case.mode, SEED % 1000)
    result = simulate(found, case.topology.links.bytes_per_s, Transfers(size_bytes=case.size))
    return time.process_time() - begin, found, result.finish_s


def theirs(
    program: Path, case: Case, paths: Incidence, driver: str, folder: Path, *options: str
) -> tuple[float, FloatArray]:
    """Return (CPU seconds, ends) of SimGrid over the same paths."""
    given, out = folder / "case.bin", folder / "out.bin"
    head = [len(case.topology.ranks), paths.links_count, len(case.src), len(paths.link)]
    columns = [np.array(head), case.topology.links.bytes_per_s, case.src, case.dst, case.size.astype(np.int64)]
    with given.open("wb") as stream:
        for column in (*columns, paths.start, paths.link):
            stream.write(np.ascontiguousarray(column).tobytes())
    subprocess.run([program, given, out, driver, "--log=root.thres:error", *options], check=True)
    values = np.fromfile(out)
    return float(values[0] + values[1]), values[2:]


def compare(program: Path, case: Case, folder: Path) -> float:
    """Print one row; return SimGrid's CPU time over ours."""
    ours(case, cold=True)
    few = len(case.src) > 500_000
    mine = [ours(case, cold=False) for _ in range(1 if few else 5)]
    cold = np.median([ours(case, cold=True)[0] for _ in range(1 if few else 3)])
    paths, ends = mine[0][1:]
    best, gap = np.inf, 0.0
    for driver in ("none",) if few else ("none", "one", "host"):
        found = [theirs(program, case, paths, driver, folder) for _ in range(1 if few else 3)]
        best = min(best, float(np.median([seconds for seconds, _ in found])))
        gap = max(gap, float(np.max(np.abs(found[0][1] / ends - 1.0))))
    spent = float(np.median([row[0] for row in mine]))
    print(
        f"{case.name:20s} {len(case.src):9,d} {1e3 * spent:10.3f} {1e3 * cold:10.3f} {1e3 * best:11.3f}"
        f" {best / spent:7.1f} {best / cold:7.1f}   {gap:.1e}",
        flush=True,
    )
    return best / spent


def record(program: Path, path: Path, folder: Path) -> None:
    """Write paths, sizes and SimGrid's ends of a few cases, as narrow columns."""
    columns = {}
    for case in cases():
        if case.name not in RECORDED:
            continue
        _, paths, _ = ours(case, cold=False)
        _, ends = theirs(program, case, paths, "none", folder, "--cfg=precision/timing:1e-14")
        made = {"src": case.src, "dst": case.dst, "start": paths.start, "link": paths.link, "size": case.size}
        columns |= {f"{case.name}/{name}": column.astype(np.int32) for name, column in made.items()}
        columns |= {f"{case.name}/links_count": np.array(paths.links_count), f"{case.name}/finish": ends}
    np.savez_compressed(path, **columns)  # type: ignore[arg-type]


def main() -> None:
    """Print a row a case, then the median and the least ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", type=Path)
    parser.add_argument("--cases", default="")
    parser.add_argument("--skip-largest", action="store_true")
    parser.add_argument("--record", type=Path)
    chosen = parser.parse_args()
    if chosen.record:
        with tempfile.TemporaryDirectory() as folder:
            record(chosen.program.resolve(), chosen.record, Path(folder))
        return
    names = [name.strip() for name in chosen.cases.split(",") if name.strip()]
    print("case                     flows    ours ms    cold ms  SimGrid ms   ratio    cold   ends apart by")
    ratios = []
    with tempfile.TemporaryDirectory() as folder:
        for case in cases():
            if (names and case.name not in names) or (chosen.skip_largest and len(case.src) > 500_000):
                continue
            ratios.append(compare(chosen.program.resolve(), case, Path(folder)))
    print(f"median {np.median(ratios):.1f}, least {min(ratios):.2f}, of {len(ratios)} cases")


if __name__ == "__main__":
    main()
