"""Counts from the tiers against the drawing, and what is known of real machines."""

import numpy as np
import pytest

from shapes import SHAPES, cloudmatrix, grid, leaf_spine, stacked, star, tier
from superpod.catalog.load import Catalogue
from superpod.catalog.schema import Cable, Module
from superpod.fabric.generators import draw
from superpod.fabric.inventory import bisection, inventory, smallest_module
from superpod.fabric.paths import FAR, Scope, whole_table
from superpod.fabric.tiers import Fabric, HostPorts
from superpod.fabric.topology import HOST, SPARE, SWITCH

CATALOGUE = Catalogue()
OPTICAL = Cable(
    id="optical",
    version="2026-11",
    name="modules",
    reach_m=500.0,
    failure_per_s=1e-9,
    modules=(Module(name="400G", bytes_per_s=50e9, power_w=9.0), Module(name="800G", bytes_per_s=100e9, power_w=15.0)),
)
UNDRAWN = {"rails, two levels, tapered", "rails, two planes"}  # cables, not switch-to-switch bundles, are counted there


@pytest.mark.parametrize("name", sorted(set(SHAPES) - UNDRAWN))
def test_parts_are_those_of_the_drawing(name: str) -> None:
    fabric = SHAPES[name][0]
    topology = draw(fabric)
    made = inventory(fabric, {})
    for place, parts in enumerate(made.tiers):
        drawn = topology.links.kind == place
        if fabric.tiers[place].bisection_frac < 1.0 or parts.links_count is None:
            continue  # the trunk that stands for a bisection is no cable
        assert parts.links_count == pytest.approx(topology.links.lanes_count[drawn].sum() / 2.0)
        whole = parts.links_count * (parts.link_bytes_per_s or 0.0)
        assert whole == pytest.approx(topology.links.bytes_per_s[drawn].sum() / 2.0, rel=1e-12)
        switches = (topology.nodes.kind == SWITCH) & (topology.nodes.tier == place)
        assert parts.switches_count == int(switches.sum())


@pytest.mark.parametrize("name", sorted(set(SHAPES) - {"two domains in a rack"}))
def test_the_diameter_is_the_longest_shortest_path(name: str) -> None:
    """Traffic stays inside the smallest tier that holds both ends, so each tier is looked at by itself."""
    fabric = SHAPES[name][0]
    topology = draw(fabric)
    ranks = len(topology.ranks)
    made = inventory(fabric, {})
    for place, reach in enumerate(made.reaches):
        transit = topology.kinds[place].transit
        table = whole_table(topology, Scope(tier=place, transit=transit))
        assert table is not None
        size = int(topology.kinds[place].ranks_count)
        if not transit:
            continue
        hops = table.distance.reshape(-1, topology.nodes_count)[:ranks, :ranks]
        same = np.arange(ranks)[:, None] // size == np.arange(ranks)[None, :] // size
        assert reach.hops_count == hops[same & (hops < FAR)].max()


def test_hops_and_latency_of_switched_tiers() -> None:
    node, pod = inventory(cloudmatrix(), {}).reaches
    assert (node.hops_count, pod.hops_count) == (2.0, 4.0)
    rail = inventory(SHAPES["rails, two planes"][0], {}).reaches[-1]
    assert rail.hops_count == 4.0


@pytest.mark.parametrize(
    ("fabric", "expected"),
    [
        (star(64, 50e9), 32 * 50e9),
        (SHAPES["star, half bisection"][0], 0.25 * 32 * 50e9),
        (leaf_spine(4, 8, 4), 16 * 4 / 8),
        (grid("torus", (4, 4, 4)), 16 * 2),
        (grid("torus", (16, 16, 16)), 256 * 2),
        (grid("mesh", (8,)), 1),
        (grid("mesh", (4, 4, 4)), 16),
        (grid("full_mesh", (8,)), 16),
        (grid("full_mesh", (4, 4)), 4 * 4),
        (SHAPES["cubes joined to a torus"][0], 2 * 16 * 1e9),
        (SHAPES["dragonfly 4 x 16"][0], 4 * 4e9 * 16 / 3),
    ],
)
def test_bisection(fabric: object, expected: float) -> None:
    assert bisection(fabric) == pytest.approx(expected, rel=1e-12)  # type: ignore[arg-type]


def test_a_torus_as_large_as_a_real_pod() -> None:
    """16 x 16 x 16 chips with links of 50 GB/s: vendor pages print 24 TB/s (TiB) across the middle."""
    assert bisection(grid("torus", (16, 16, 16), 50e9)) / 2.0**40 == pytest.approx(23.3, rel=2e-3)


def test_modules_power_and_failures_follow_the_cables() -> None:
    inner = tier("switch", 8, 392e9, name="node", planes=7)
    outer = tier(
        "clos",
        384,
        350e9,
        name="pod",
        own=False,
        planes=7,
        switches=16,
        medium="optical",
        cable_bytes_per_s=50e9,
        lanes_per_cable_count=2.0,
    )
    made = inventory(stacked(inner, outer), {"optical": OPTICAL})
    pod = made.tiers[1]
    assert (pod.switches_count, pod.links_count, pod.cables_count, pod.modules_count) == (112, 5376, 2688, 5376)
    assert pod.module == "400G"
    assert pod.power_w == 5376 * 9.0
    assert pod.failure_per_s == pytest.approx(2688e-9)
    assert made.modules() == {"400G": 5376}
    assert made.tiers[0].modules_count == 0.0


def test_what_is_not_published_is_not_counted() -> None:
    made = inventory(stacked(tier("clos", 64, 100e9, switches=None, medium="optical")), {"optical": OPTICAL})
    parts = made.tiers[0]
    assert (parts.switches_count, parts.links_count, parts.cables_count, parts.modules_count) == (None,) * 4
    assert parts.power_w is None


@pytest.mark.parametrize(
    ("medium", "expected"),
    [("package", 0.0), ("electrical", 0.0), ("copper", 0.0), ("mixed", None), ("optical", 128.0)],
)
def test_modules_of_a_medium_that_is_partly_optical_are_unknown(medium: str, expected: float | None) -> None:
    mixed = Cable(id="mixed", version="2026-11", name="some optical")
    made = inventory(stacked(tier("switch", 64, 50e9, medium=medium)), {"optical": OPTICAL, "mixed": mixed})
    parts = made.tiers[0]
    assert parts.cables_count == 64
    assert parts.modules_count == expected
    assert parts.power_w == (None if expected is None else expected / 128.0 * 1152.0)


def test_the_smallest_module_that_carries_the_rate() -> None:
    sizes = [smallest_module(OPTICAL, rate) for rate in (25e9, 50e9, 51e9, 100e9, 200e9)]
    assert [size.name if size else None for size in sizes] == ["400G", "400G", "800G", "800G", None]


def test_hosts_and_spares_are_endpoints_of_their_own() -> None:
    fabric = stacked(
        tier("switch", 8, 392e9, name="node", planes=7),
        hosts=HostPorts(tier="node", per_instance_count=4.0, bytes_per_s=160e9),
    )
    topology = draw(fabric)
    assert int((topology.nodes.kind == HOST).sum()) == 4
    assert inventory(fabric, {}).hosts_count == 4
    rate = topology.links.bytes_per_s[topology.nodes.kind[topology.links.src] == HOST]
    assert rate.sum() == pytest.approx(4 * 160e9)
    spare = stacked(tier("full_mesh", 64, 14 * 56e9, dims=(8, 8), spares_count=1.0))
    drawn = draw(spare)
    assert int((drawn.nodes.kind == SPARE).sum()) == 1
    assert inventory(spare, {}).spares_count == 1


def test_leaves_beyond_the_spines_ports_are_not_counted() -> None:
    """Switches of 8 ports: 8 leaves of 4 chips are the most that two levels join; 9 need a third one."""

    def rails(chips: int) -> Fabric:
        wiring = {"levels_count": 2.0, "switch_ports_count": 8.0, "cable_bytes_per_s": 50e9}
        return stacked(tier("clos", chips, 50e9, name="out", scale_out=True, medium="optical", **wiring), pod_ranks=4)

    full, beyond = (inventory(rails(chips), {"optical": OPTICAL}).tiers[0] for chips in (32, 36))
    assert (full.switches_count, full.links_count, full.cables_count) == (12, 64, 64)
    assert (beyond.switches_count, beyond.links_count, beyond.cables_count, beyond.modules_count) == (None,) * 4
    assert not draw(rails(32)).kinds[0].ideal
    assert draw(rails(36)).kinds[0].ideal
