"""What a fault takes away, what is cut off, and how a fault is written."""

import numpy as np
import pytest

from shapes import SHAPES, cloudmatrix, grid, leaf_spine, pairs, run, stacked, star, tier
from superpod.errors import ScenarioError
from superpod.fabric.bundle import bundled
from superpod.fabric.faults import FORM, broken, cables, cut_off, fail
from superpod.fabric.generators import draw
from superpod.fabric.graphs import read_graphml
from superpod.fabric.tiers import HostPorts
from superpod.fabric.topology import HOST, SWITCH, Topology


def lost(topology: object, *faults: str) -> int:
    return fail(topology, faults).links_lost_count  # type: ignore[arg-type]


def test_each_kind_of_fault_takes_its_links() -> None:
    topology = draw(cloudmatrix())
    assert lost(topology, "switch:pod:3:7") == 2 * 48
    assert lost(topology, "switch:node:0:5") == 2 * (8 + 16)
    assert lost(topology, "switch:node:5") == 2 * (8 + 16)
    assert lost(topology, "plane:pod:2") == 2 * (384 + 48 * 16)
    assert lost(topology, "cable:pod:0") == 2
    assert lost(topology, "rank:17") == 2 * 7
    assert lost(topology, "instance:node:3") == 2 * (8 * 7 + 7 * 16)
    assert lost(topology, "links:pod:0.01") == 2 * round(0.01 * 48 * 7 * 16)
    assert lost(topology, "rank:17", "rank:17") == 2 * 7


def test_a_module_takes_every_lane_of_its_cable() -> None:
    fabric = stacked(
        tier("switch", 8, 350e9, name="node", planes=7),
        tier(
            "clos", 64, 350e9, name="pod", own=False, planes=7, switches=16, lanes_per_cable_count=2.0, medium="optical"
        ),
    )
    topology = draw(fabric)
    assert len(cables(topology, 1)) == 8 * 7 * 16 // 2
    assert lost(topology, "module:pod:0") == lost(topology, "module:pod:1") == 4
    first, second = (broken(topology, f"module:pod:{number}") for number in (0, 1))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, broken(topology, "module:pod:2"))
    ends = topology.links.dst[first & (topology.links.src < topology.links.dst)]
    assert np.diff(np.sort(ends)).tolist() == [1]


def test_an_instance_takes_its_hosts_and_its_own_switches_along() -> None:
    fabric = stacked(
        tier("switch", 8, 392e9, name="node", planes=7),
        tier("clos", 32, 392e9, name="pod", own=False, planes=7, switches=16),
        hosts=HostPorts(tier="node", per_instance_count=4.0, bytes_per_s=160e9),
    )
    left = fail(draw(fabric), ["instance:node:1"])
    nodes, links = left.topology.nodes, left.topology.links
    touched = np.zeros(left.topology.nodes_count, dtype=bool)
    touched[links.src] = True
    assert left.isolated.tolist() == list(range(8, 16))
    assert int((~touched[nodes.kind == HOST]).sum()) == 4
    assert int((~touched[nodes.kind == SWITCH]).sum()) == 7


def test_ranks_that_nothing_reaches_are_isolated() -> None:
    topology = draw(star(8, 50e9))
    assert len(cut_off(topology)) == 0
    left = fail(topology, ["rank:2", "rank:5"])
    assert left.isolated.tolist() == [2, 5]
    halves = fail(draw(SHAPES["two domains in a rack"][0]), ["switch:tier1:0"])
    assert len(halves.isolated) == 64


def test_random_cables_follow_the_seed() -> None:
    topology = draw(leaf_spine(8, 8, 8))
    first, again, other = (broken(topology, "links:spine:0.1", seed) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("name", ["star, 18 planes", "leaf-spine, 7 planes", "torus 4x4", "full mesh 4x4"])
def test_a_fault_never_makes_an_exchange_faster(name: str) -> None:
    topology = draw(SHAPES[name][0])
    before = bundled(topology).topology
    src, dst = pairs(len(topology.ranks))
    whole = run(before, src, dst, 1e6)[0].makespan_s
    after = bundled(fail(topology, [f"cable:{topology.kinds[-1].tier}:0"]).topology).topology
    assert run(after, src, dst, 1e6)[0].makespan_s >= whole * (1 - 1e-9)


def test_a_lost_plane_leaves_its_share() -> None:
    """Six of seven planes: seven sixths of the time."""
    topology = draw(cloudmatrix(8))
    src, dst = pairs(64)
    small = bundled(topology).topology
    left = bundled(fail(topology, ["plane:pod:4"]).topology).topology
    before, after = (run(one, src, dst, 1e6)[0].makespan_s for one in (small, left))
    assert after / before == pytest.approx(7 / 6, rel=1e-9)


def test_a_plane_of_rails_leaves_the_other() -> None:
    """Two planes of leaves and spines: one takes half of the network with it, and nothing of the nodes."""
    topology = draw(SHAPES["rails, two planes"][0])
    out = topology.kinds[-1].tier
    left = fail(topology, [f"plane:{out}:1"])
    lost = np.bincount(topology.links.kind, minlength=2) - np.bincount(left.topology.links.kind, minlength=2)
    assert lost.tolist() == [0, int((topology.links.kind == 1).sum()) // 2]
    assert left.isolated.tolist() == []


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("switsh:pod:1", "cannot read 'switsh:pod:1'"),
        ("switch:pot:1", "no tier 'pot'"),
        ("switch:pod", "cannot read 'switch:pod'"),
        ("switch:pod:x", "cannot read 'switch:pod:x'"),
        ("switch:pod:1.5", "cannot read"),
        ("switch:pod:-1", "cannot read"),
        ("switch:pod:nan", "cannot read"),
        ("switch:pod:9:0", "no plane of pod 9"),
        ("switch:pod:0:16", "no switch of pod"),
        ("plane:pod:7", "no plane of pod 7"),
        ("cable:pod:99999", "no cable of pod 99999"),
        ("rank:384", "no rank 384"),
        ("rank", "cannot read 'rank'"),
        ("instance:node:48", "no instance of node 48"),
        ("links:pod:1.5", "a share of 1.5"),
        ("rank:1:2", "cannot read 'rank:1:2'"),
        ("cable:node:5:6", "cannot read 'cable:node:5:6'"),
        ("switch:pod:0:1:2", "cannot read"),
        ("module:pod:0", "end in no modules: they are electrical"),
        ("", "cannot read ''"),
    ],
)
def test_faults_that_mean_nothing_are_refused(fault: str, message: str) -> None:
    with pytest.raises(ScenarioError, match=message) as caught:
        broken(draw(cloudmatrix()), fault)
    assert caught.value.hint
    assert caught.value.where == "--fail"


def test_every_form_is_known() -> None:
    examples = [
        "switch:rack:0",
        "plane:rack:0",
        "cable:rack:0",
        "module:rack:0",
        "links:rack:0.1",
        "rank:0",
        "instance:rack:0",
    ]
    assert [example.partition(":")[0] for example in examples] == list(FORM)
    topology = draw(stacked(tier("switch", 8, 50e9, name="rack", planes=2, medium="optical")))
    assert all(broken(topology, example).any() for example in examples)


def test_a_spare_takes_the_place_of_a_lost_rank() -> None:
    """64 + 1 in a rack: the stand-by is one switch away from every other rank."""
    topology = draw(stacked(tier("full_mesh", 16, 6 * 56e9, dims=(4, 4), spares_count=1.0)))
    left = fail(topology, ["rank:5"]).topology
    spare = int(np.flatnonzero(left.nodes.kind == 3)[0])
    others = np.setdiff1d(np.arange(16), [5])
    found, paths = run(left, others, np.full(15, spare), 1e6)
    assert np.diff(paths.start).max() <= 3
    assert found.makespan_s > 0


def test_a_damaged_grid_still_routes() -> None:
    topology = draw(grid("torus", (4, 4)))
    left = fail(topology, ["cable:grid:0", "cable:grid:5"])
    assert len(left.isolated) == 0
    found, _ = run(left.topology, *pairs(16))
    assert found.makespan_s >= 8.0


def ideal_pod() -> Topology:
    """Nodes of 4 ranks on published switches, under a pod and a scale-out whose switch chips nobody has published."""
    inner = tier("switch", 4, 40.0, name="node", planes=2)
    pod = tier("clos", 16, 20.0, name="pod", own=False, planes=2, switches=None, medium="optical")
    return draw(stacked(inner, pod, tier("switch", 32, 5.0, name="out", switches=None, medium="optical")))


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("switch:pod:0", "switch chips of pod is not published"),
        ("switch:out:0", "switch chips of out is not published"),
        ("cable:pod:0", "cables of pod is not published"),
        ("module:pod:3", "cables of pod is not published"),
    ],
)
def test_an_ideal_switch_and_its_bundles_do_not_fail_as_single_parts(fault: str, message: str) -> None:
    with pytest.raises(ScenarioError, match=message) as caught:
        broken(ideal_pod(), fault)
    for other in ("instance:", "rank:", "links:TIER:SHARE", "plane:"):
        assert other in caught.value.hint


def test_what_is_drawn_of_an_ideal_tier_fails() -> None:
    topology = ideal_pod()
    assert lost(topology, "cable:out:3") == lost(topology, "module:out:6") == 2
    assert lost(topology, "plane:pod:1") == 2 * (32 + 8)
    assert lost(topology, "links:pod:0.5") == 16
    assert lost(topology, "switch:node:0") == 2 * (4 + 1)
    assert fail(topology, ["instance:node:2"]).isolated.tolist() == [8, 9, 10, 11]


def test_a_bundle_over_an_ideal_switch_inside_is_unknown_too() -> None:
    inner = tier("switch", 4, 40.0, name="node", switches=None)
    topology = draw(stacked(inner, tier("clos", 16, 20.0, name="pod", own=False, switches=2)))
    with pytest.raises(ScenarioError, match="cables of pod is not published"):
        broken(topology, "cable:pod:0")
    assert lost(topology, "switch:pod:0") == 2 * 4


def test_a_tier_says_that_it_has_none() -> None:
    topology = draw(grid("torus", (4, 4)))
    for fault in ("plane:grid:0", "switch:grid:0"):
        with pytest.raises(ScenarioError, match="the tier has none") as caught:
            broken(topology, fault)
        assert caught.value.hint == "name another tier"


def test_nothing_left_is_an_error() -> None:
    topology = draw(star(8, 50e9))
    for faults in (["instance:rack:0"], ["switch:rack:0"], ["links:rack:1"]):
        with pytest.raises(ScenarioError, match="nothing is left") as caught:
            fail(topology, faults)
        assert caught.value.hint
    assert len(cut_off(topology.without(broken(topology, "instance:rack:0")))) == 8


ONE_WAY = """<graphml><graph edgedefault="directed"><node id="a"/><node id="b"/><node id="c"/>
<edge source="a" target="b"><data key="bytes_per_s">1e9</data></edge>
<edge source="c" target="b"><data key="bytes_per_s">1e9</data></edge>
<edge source="b" target="c"><data key="bytes_per_s">1e9</data></edge>
<edge source="b" target="c"><data key="bytes_per_s">2e9</data></edge>
</graph></graphml>"""


def test_a_link_without_its_reverse_is_a_cable_of_one_direction() -> None:
    topology = read_graphml(ONE_WAY, "t")
    assert [sorted(cable.tolist()) for cable in cables(topology, 0)] == [[0], [1, 2], [3]]
    assert lost(topology, "cable:graph:0") == 1
    assert lost(topology, "cable:graph:1") == 2
    assert lost(topology, "links:graph:0.34") in {1, 2}


def test_an_instance_of_a_graph_without_sizes_is_refused() -> None:
    with pytest.raises(ScenarioError, match="does not say how many ranks") as caught:
        broken(read_graphml(ONE_WAY, "t"), "instance:graph:0")
    assert caught.value.hint


def test_a_tray_of_ranks_fails_at_once() -> None:
    topology = draw(star(8, 50e9))
    assert fail(topology, ["rank:4-7"]).isolated.tolist() == [4, 5, 6, 7]
    assert fail(topology, ["rank:3-3"]).isolated.tolist() == [3]
    for wrong in ("rank:7-4", "rank:1-2-3", "rank:-2", "rank:1-x", "rank:6-8"):
        with pytest.raises(ScenarioError):
            fail(topology, [wrong])
