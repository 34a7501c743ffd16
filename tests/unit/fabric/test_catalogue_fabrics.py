"""Every machine of the catalogue can be drawn, counted and loaded; what is published of their fabrics comes out."""

import numpy as np
import pytest

from shapes import pairs, pod_fabric, run
from superpod.catalog.load import Catalogue
from superpod.catalog.provenance import FactReader
from superpod.catalog.schema import Cable
from superpod.fabric.bundle import bundled
from superpod.fabric.faults import fail
from superpod.fabric.generators import RANKS_MAX, draw
from superpod.fabric.inventory import Inventory, injection, inventory
from superpod.fabric.symmetric import uniform
from superpod.fabric.tiers import Fabric, scale_out_tier
from superpod.fabric.topology import HOST, SWITCH
from superpod.fabric.transfer import Uniform, transfer

CATALOGUE = Catalogue(estimates=True)
EVERY_POD = pytest.mark.parametrize("name", CATALOGUE.names("pods"))
FACES = {"cube", "pod"}


def fabric_of(name: str, pods: float | None = None) -> Fabric:
    return pod_fabric(CATALOGUE, name, pods)


def counted(name: str) -> Inventory:
    pod, fabric = CATALOGUE.pod(name), fabric_of(name)
    cables: dict[str, Cable] = {medium: CATALOGUE.cable(medium) for medium in CATALOGUE.names("cables")}
    reader = FactReader(kind="pods", entry=pod)
    alone = pod.pods_count == 1
    outside = scale_out_tier(CATALOGUE, reader, pod, 1.0, fabric.ranks_per_chip) if alone else None
    return inventory(fabric, cables, scale_out=outside)


@EVERY_POD
def test_every_pod_is_counted(name: str) -> None:
    made = counted(name)
    assert made.ranks_count >= made.chips_count > 0
    assert made.bisection_bytes_per_s > 0
    assert made.diameter_count >= 1
    assert all(reach.latency_s > 0 for reach in made.reaches)
    # Half of all ranks cannot send more than they can inject.
    assert made.bisection_bytes_per_s <= made.injection_bytes_per_s / 2.0 * (1 + 1e-9)


@EVERY_POD
def test_every_pod_carries_a_uniform_exchange(name: str) -> None:
    """At any size, by classes; never faster than the injection of its ranks nor than its bisection."""
    fabric = fabric_of(name)
    found = transfer(fabric, Uniform(size_bytes=1e6))
    assert found.level == "L1"
    ranks = fabric.ranks_count
    assert found.bound_s >= (ranks - fabric.tiers[0].ranks_count) * 1e6 / injection(fabric) * (1 - 1e-9)
    assert found.bound_s >= (ranks / 2.0) ** 2 * 1e6 / counted(name).bisection_bytes_per_s * (1 - 1e-9)


@EVERY_POD
def test_every_pod_up_to_a_size_is_drawn_and_its_classes_hold(name: str) -> None:
    fabric = fabric_of(name, 1.0)
    if fabric.ranks_count > RANKS_MAX:
        pytest.skip(f"{fabric.ranks_count:,.0f} ranks are not drawn")
    topology = draw(fabric, name)
    rng = np.random.default_rng(3)
    some = rng.permutation(len(topology.ranks))[:40]
    if len(some) % 2:
        some = some[:-1]
    found, _ = run(topology, some[::2], some[1::2], 1e6)
    assert np.all(np.isfinite(found.finish_s))
    if fabric.ranks_count > 144:
        return
    classes = uniform(fabric)
    assert classes is not None
    small = bundled(topology).topology
    single, paths = run(small, *pairs(len(topology.ranks)), 1e6, classes.routing)
    ends = (single.finish_s - paths.latency_s).max()
    by_class = classes.run(1e6).finish_s - classes.paths.latency_s
    assert by_class.max() == pytest.approx(ends, rel=1e-9)


def test_cloudmatrix_as_published() -> None:
    """48 nodes with 7 first-tier chips each, 112 second-tier chips, 6,912 modules of 400G (arXiv 2506.12708)."""
    made = counted("cloudmatrix384")
    parts = {part.tier: part for part in made.tiers}
    assert (parts["node"].switches_count, parts["pod"].switches_count) == (336, 112)
    assert (parts["pod"].cables_count, parts["pod"].modules_count) == (2688, 5376)
    assert parts["scale-out"].modules_count == 1536
    assert made.modules() == {"400G": 6912}
    assert (made.chips_count, made.ranks_count, made.hosts_count) == (384, 768, 192)
    topology = draw(fabric_of("cloudmatrix384"))
    assert int((topology.nodes.kind == HOST).sum()) == 192
    assert int((topology.nodes.kind == SWITCH).sum()) == 336 + 112
    assert parts["package"].cables_count == 384  # the link between the two dies


def test_a_cascade_has_as_many_modules_as_its_pods() -> None:
    made = counted("cloudmatrix384-x432")
    assert made.chips_count == 165_888
    assert made.modules() == {"400G": 432 * 6912}


def test_cloudmatrix_without_one_second_tier_chip() -> None:
    """Even striping over the planes: 4.7 % (uplinks of the broken plane carry 16/15)."""
    topology = draw(fabric_of("cloudmatrix384"))
    left = fail(topology, ["switch:pod:3:7"]).topology
    times = []
    for one in (topology, left):
        small = bundled(one).topology
        ranks = np.arange(0, 768, 2)  # one die a card: the same share of every uplink
        src, dst = np.repeat(ranks, len(ranks)), np.tile(ranks, len(ranks))
        found, paths = run(small, src[src != dst], dst[src != dst], 1e6)
        times.append((found.finish_s - paths.latency_s).max())
    # With one die a card the ports of the card are half used, and the uplinks are not the limit until they are lost.
    assert times[1] >= times[0]
    whole, broken = (exchange_time(one) for one in (topology, left))
    assert broken / whole - 1.0 == pytest.approx(0.047, abs=1e-3)


def exchange_time(topology: object) -> float:
    """Return the volume bound of all 768 dies sending to each other, which equal flows reach."""
    demand = Uniform(size_bytes=1e5)
    found = transfer(fabric_of("cloudmatrix384"), demand, topology=topology, level="L0")  # type: ignore[arg-type]
    return found.bound_s
