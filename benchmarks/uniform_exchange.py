"""One uniform all-to-all over every card of each pod and cascade of the catalogue, by classes of equal flows (L1).

    python benchmarks/uniform_exchange.py [POD ...]

Milliseconds of CPU, median of 9, classes and their rates made anew each time. numba is kept out: importing it fails.
"""

import sys
import time

import numpy as np

from superpod.catalog.load import Catalogue
from superpod.catalog.provenance import FactReader
from superpod.fabric.tiers import Fabric, build, ranks_per_chip
from superpod.fabric.transfer import Uniform, transfer

SIZE = 1e6


def fabric_of(catalogue: Catalogue, name: str) -> Fabric:
    """Return the fabric of a pod, and of as many as the catalogue cascades."""
    pod = catalogue.pod(name)
    chip = catalogue.chip(pod.chip)
    per_chip = ranks_per_chip(FactReader(kind="chips", entry=chip), chip.dies_count, pod)
    return build(catalogue, FactReader(kind="pods", entry=pod), pod, pod.pods_count, per_chip)


def main() -> None:
    """Print a row a pod, the largest first."""
    sys.modules["numba"] = None  # type: ignore[assignment]
    catalogue = Catalogue(estimates=True)
    fabrics = {name: fabric_of(catalogue, name) for name in sys.argv[1:] or catalogue.names("pods")}
    print("pod                          cards     ranks   CPU ms   1 MB a pair takes")
    for name, fabric in sorted(fabrics.items(), key=lambda item: -item[1].ranks_count):
        spent = []
        for _ in range(9):
            begin = time.process_time()
            found = transfer(fabric, Uniform(size_bytes=SIZE))
            spent.append(time.process_time() - begin)
        assert found.level == "L1", name
        cards = fabric.ranks_count / fabric.ranks_per_chip
        print(
            f"{name:24s} {cards:9,.0f} {fabric.ranks_count:9,.0f} {1e3 * np.median(spent):8.2f}   {found.time_s:.4g} s"
        )


if __name__ == "__main__":
    main()
