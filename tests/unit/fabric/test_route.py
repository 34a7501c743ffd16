"""Paths: which links, what shares, and what happens where none is left."""

import networkx
import numpy as np
import pytest

from shapes import SHAPES, cloudmatrix, grid, leaf_spine, pairs, stacked, star, tier
from superpod.errors import ScenarioError, UnreachableError
from superpod.fabric.bundle import bundled
from superpod.fabric.faults import fail
from superpod.fabric.generators import RANKS_MAX, draw
from superpod.fabric.generators.builder import Builder
from superpod.fabric.route import common_tier, route
from superpod.fabric.tiers import HostPorts
from superpod.fabric.topology import HOST, RANK, SWITCH, Topology
from superpod.fabric.walk import MODES


def graph(topology: Topology) -> networkx.DiGraph:
    made = networkx.DiGraph()
    made.add_edges_from(zip(topology.links.src.tolist(), topology.links.dst.tolist(), strict=True))
    return made


@pytest.mark.parametrize("name", ["star", "leaf-spine 2:1", "torus 3x5", "full mesh 3x4x2", "dragonfly 5 x 8"])
def test_paths_are_as_short_as_an_independent_library_finds(name: str) -> None:
    topology = draw(SHAPES[name][0])
    far = dict(networkx.all_pairs_shortest_path_length(graph(topology)))
    src, dst = pairs(len(topology.ranks))
    inside = common_tier(topology, src, dst) == len(topology.kinds) - 1
    src, dst = src[inside][::7], dst[inside][::7]
    paths = route(topology, src, dst, "ecmp", seed=5)
    expected = [far[int(a)][int(b)] for a, b in zip(src, dst, strict=True)]
    assert np.diff(paths.start).tolist() == expected


def test_hashed_paths_depend_on_the_seed_and_only_on_it() -> None:
    topology = draw(leaf_spine(4, 8, 8))
    src, dst = pairs(32)
    first, again, other = (route(topology, src, dst, "ecmp", seed).link for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    order = np.random.default_rng(0).permutation(len(src))
    mixed = route(topology, src[order], dst[order], "ecmp", 1)
    plain = route(topology, src, dst, "ecmp", 1)
    for place, flow in enumerate(order[:50]):
        here = mixed.link[mixed.start[place] : mixed.start[place + 1]]
        assert np.array_equal(here, plain.link[plain.start[flow] : plain.start[flow + 1]])


def test_hashed_paths_use_all_spines_about_alike() -> None:
    topology = draw(leaf_spine(8, 8, 8))
    src, dst = pairs(64)
    paths = route(topology, src, dst, "ecmp", 3)
    links = topology.links
    up = (topology.nodes.kind[links.src] == SWITCH) & (topology.nodes.tier[links.src] == 0) & (links.kind == 1)
    used = np.bincount(paths.link, minlength=len(links))[up]
    assert used.min() > 0.5 * used.mean()
    assert used.max() < 1.6 * used.mean()


def test_one_path_by_destination_is_even_for_uniform_traffic() -> None:
    topology = draw(leaf_spine(8, 8, 8))
    paths = route(topology, *pairs(64), "single")
    between = topology.links.kind[paths.link] == 1
    used = np.bincount(paths.link[between], minlength=len(topology.links))
    assert set(used[used > 0].tolist()) == {56}


def test_traffic_stays_inside_the_smallest_tier() -> None:
    """A mesh of four axes under a Clos: two hops over the Clos would be shorter than four over the mesh."""
    topology = draw(SHAPES["four-dimensional full mesh"][0])
    paths = route(topology, np.array([0]), np.array([63]), "dor")
    assert set(topology.links.kind[paths.link].tolist()) == {0, 1}
    assert len(paths.link) == 4
    outside = route(topology, np.array([0]), np.array([64]), "dor")
    assert set(topology.links.kind[outside.link].tolist()) == {2}


def test_dies_of_one_package_use_their_own_link() -> None:
    topology = draw(SHAPES["dies, then planes"][0])
    near, far = (route(topology, np.array([0]), np.array([other])) for other in (1, 2))
    assert set(topology.links.kind[near.link].tolist()) == {0}
    assert set(topology.links.kind[far.link].tolist()) == {1}


def test_hosts_are_reached_over_the_tier_that_they_hang_on() -> None:
    fabric = stacked(
        tier("switch", 8, 392e9, name="node", planes=7),
        tier("clos", 64, 392e9, name="pod", own=False, planes=7, switches=16),
        hosts=HostPorts(tier="node", per_instance_count=4.0, bytes_per_s=160e9),
    )
    topology = draw(fabric)
    hosts = np.flatnonzero(topology.nodes.kind == HOST)
    assert len(hosts) == 32
    local = route(topology, np.array([0, 0]), hosts[[0, 31]])
    first = topology.links.kind[local.link[: local.start[1]]]
    assert set(first.tolist()) == {0}
    assert 1 in topology.links.kind[local.link[local.start[1] :]]


def test_a_flow_to_a_switch_ends_there() -> None:
    topology = draw(star(8, 50e9))
    paths = route(topology, np.array([3, 8]), np.array([8, 3]))
    assert [topology.link_name(int(link)) for link in paths.link] == [
        "rank 3 -> rack switch 0",
        "rack switch 0 -> rank 3",
    ]


def test_lost_links_are_routed_around() -> None:
    left = fail(draw(leaf_spine(4, 4, 4)), ["cable:spine:0"]).topology
    paths = route(left, *pairs(16))
    assert len(paths) == 240
    first = route(left, np.array([0]), np.array([15]))
    assert np.isclose(np.sort(first.share_frac), [1 / 3] * 6 + [1.0, 1.0]).all()


def test_a_rank_of_a_mesh_board_that_lost_its_uplink_goes_through_its_neighbours() -> None:
    topology = draw(SHAPES["mesh board, own ports above"][0])
    up = np.flatnonzero((topology.links.src == 0) & (topology.links.kind == 1))
    dead = np.isin(topology.links.src, [0]) & (topology.links.kind == 1)
    dead |= np.isin(topology.links.dst, [0]) & (topology.links.kind == 1)
    assert len(up) == 4
    paths = route(topology.without(dead), np.array([0]), np.array([31]))
    assert {0, 1} <= set(topology.without(dead).links.kind[paths.link].tolist())


def test_a_flow_without_a_path_is_an_error_that_names_it() -> None:
    left = fail(draw(star(8, 50e9)), ["rank:3"])
    assert left.isolated.tolist() == [3]
    with pytest.raises(UnreachableError, match="no path from rank 1 to rank 3") as caught:
        route(left.topology, np.array([0, 1]), np.array([2, 3]))
    assert "cut off" in caught.value.hint


@pytest.mark.parametrize("engine", ["numpy", "compiled"])
@pytest.mark.parametrize("mode", MODES)
def test_no_engine_finds_a_way_to_what_is_cut_off(mode: str, engine: str) -> None:
    """Two halves of a line: a detour too must not set out towards neighbours that lead nowhere."""
    topology = draw(grid("mesh", (6,)))
    middle = {2, 3}
    cut = [{int(a), int(b)} == middle for a, b in zip(topology.links.src, topology.links.dst, strict=True)]
    with pytest.raises(UnreachableError, match="no path from rank 1 to rank 4"):
        route(topology.without(np.array(cut)), np.array([0, 1]), np.array([1, 4]), mode, engine=engine)


def test_senseless_routes_are_refused() -> None:
    topology = draw(star(8, 50e9))
    with pytest.raises(ScenarioError, match="unknown routing"):
        route(topology, np.array([0]), np.array([1]), "fastest")
    with pytest.raises(ScenarioError, match="to itself"):
        route(topology, np.array([2]), np.array([2]))
    with pytest.raises(ScenarioError, match="too many"):
        draw(star(RANKS_MAX + 1))
    with pytest.raises(ScenarioError, match="do not divide"):
        draw(stacked(tier("torus", 10, 1.0, dims=(4, 4))))
    with pytest.raises(ScenarioError, match="planes over a tier of"):
        draw(stacked(tier("switch", 4, planes=3), tier("clos", 8, own=False, planes=2)))


def test_bundling_keeps_a_broken_plane_apart() -> None:
    whole = bundled(draw(cloudmatrix())).topology
    assert int((whole.nodes.kind == SWITCH).sum()) == 48 + 1
    broken = bundled(fail(draw(cloudmatrix()), ["switch:pod:3:7"]).topology).topology
    # Two kinds of planes; the lost chip itself stays as a node without links.
    assert int((broken.nodes.kind == SWITCH).sum()) == 2 * 48 + 2 + 1


def test_grid_of_one_axis_of_two_has_a_double_link() -> None:
    topology = draw(grid("torus", (2,)))
    assert topology.links.lanes_count.tolist() == [2.0, 2.0]
    assert topology.links.bytes_per_s.tolist() == [2.0, 2.0]


def test_a_rank_behind_a_rank_does_not_hide_behind_switches() -> None:
    """A rank that only another rank reaches is no target of a switch, and is reached through ranks."""
    made = Builder()
    ranks = made.nodes(RANK, 3, home=np.arange(3))
    kind = made.kind(tier("switch", 3, name="all"))
    switch = made.switches(kind, 1, 1)[0]
    made.connect(ranks[:2], np.repeat(switch, 2), 1.0, latency_s=0.0, kind=kind)
    made.connect(ranks[1:2], ranks[2:], 1.0, latency_s=0.0, kind=kind)
    paths = route(made.build("odd"), np.array([0, 1]), np.array([2, 2]))
    assert np.diff(paths.start).tolist() == [3, 1]
