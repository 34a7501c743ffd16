"""Reports on fabrics: levels agree, modules add up, faults cost what they must, jobs share what they share."""

from dataclasses import replace

import numpy as np
import pytest

from shapes import pod_fabric
from superpod.catalog.load import Catalogue
from superpod.errors import ScenarioError
from superpod.fabric.collectives import choose
from superpod.fabric.symmetric import usual_routing
from superpod.fabric.tiers import Group
from superpod.plan.fabric.collective_steps import laid_out, rails, steps_of
from superpod.plan.fabric.graph_parts import written
from superpod.plan.fabric.question import FabricQuestion, GraphFile, JobQuestion, MatrixFile
from superpod.plan.fabric.report import fabric_report, topology_of
from superpod.plan.fabric.result import FabricReport, Timing
from superpod.plan.fabric.run import Ground, bus_bytes_per_s, by_classes, chosen

CATALOGUE = Catalogue(estimates=True)


def asked(**question: object) -> FabricReport:
    return fabric_report(CATALOGUE, FabricQuestion(**question))  # type: ignore[arg-type]  # words by name


def at(report: FabricReport, level: str) -> Timing:
    assert report.collective is not None
    return next(timing for timing in report.collective.before if timing.level == level)


def test_modules_of_cloudmatrix_add_up() -> None:
    """2,688 cables with two modules each, and 1,536 modules of the RoCE network (SemiAnalysis, April 2025)."""
    report = asked(pod="cloudmatrix384")
    assert report.inventory is not None
    assert report.inventory.modules() == {"400G": 2 * 2688 + 1536}
    assert [part.switches_count for part in report.parts[1:3]] == [336, 112]
    assert {part.tier for part in report.parts} >= {"scale-out", "vpc"}


@pytest.mark.parametrize(
    ("pod", "kind", "level", "within"),
    [
        ("hgx-h100", "all_reduce", "L2", 1e-6),
        ("hgx-h100", "all_to_all", "L1", 1e-3),
        ("hgx-h100", "all_to_all", "L2", 1e-3),
        ("gb200-nvl72", "all_reduce", "L2", 1e-6),
        ("gb200-nvl72", "all_gather", "L2", 1e-3),
        ("gb200-nvl72", "p2p", "L2", 1e-3),
        ("cloudmatrix384", "all_reduce", "L2", 1e-6),
        ("cloudmatrix384", "reduce_scatter", "L2", 1e-6),
        ("atlas950-1024-mesh", "all_reduce", "L2", 1e-6),
    ],
)
def test_levels_agree(pod: str, kind: str, level: str, within: float) -> None:
    """Steps flow by flow, and classes of flows, take what the closed form of the same way takes."""
    report = asked(pod=pod, collective=kind)
    finer = at(report, level)
    assert finer.way == at(report, "L0").way
    assert finer.time_s == pytest.approx(at(report, "L0").time_s, rel=within)


@pytest.mark.parametrize("pods", [2, 4])
def test_rings_over_rails_are_as_fast_as_their_closed_form(pods: int) -> None:
    """The closed form counts all n - 1 edges of a ring inside a node; one in eight of them leaves it."""
    report = asked(pod="hgx-h100", pods=pods, collective="all_reduce", algorithm="ring")
    assert at(report, "L2").time_s == pytest.approx(at(report, "L0").time_s, rel=1 / 8)
    assert at(report, "L2").time_s <= at(report, "L0").time_s * (1 + 1e-6)


@pytest.mark.parametrize(
    ("kind", "factor"),
    [("all_reduce", 1.75), ("all_gather", 0.875), ("all_to_all", 0.875), ("broadcast", 1.0), ("p2p", 1.0)],
)
def test_bus_bandwidth_is_that_of_nccl_tests(kind: str, factor: float) -> None:
    assert bus_bytes_per_s(kind, 8, 1e9, 1.0) == pytest.approx(factor * 1e9)
    assert bus_bytes_per_s(kind, 1, 1e9, 1.0) is None


def test_rails_join_equal_places() -> None:
    assert rails((2, 3), 0).tolist() == [[0, 1], [2, 3], [4, 5]]
    assert rails((2, 3), 1).tolist() == [[0, 2, 4], [1, 3, 5]]


def test_members_are_laid_out_by_place() -> None:
    fabric_ranks = np.setdiff1d(np.arange(768), np.arange(48, 64))
    report = FabricQuestion(pod="cloudmatrix384")
    topology, tier = topology_of(CATALOGUE, report)
    assert (len(topology.ranks), tier) == (768, 1)
    from superpod.plan.fabric.report import _pod

    fabric = _pod(CATALOGUE, report).fabric
    assert fabric is not None
    assert laid_out(fabric, fabric_ranks).arities == (2, 8, 47)
    uneven = laid_out(fabric, np.arange(1, 768))
    assert uneven.arities is None
    ways = choose("all_reduce", fabric, Group(size=768.0), 1e9).ways
    assert steps_of("all_reduce", ways[0].name, uneven, fabric, 1e9) is None
    ring = next(way.name for way in ways if way.name.startswith("ring"))
    steps = steps_of("all_reduce", ring, uneven, fabric, 1e9)
    assert steps is not None
    # Every member sends 2 (n - 1)/n of the message, whatever rings it is part of.
    sent = np.bincount(steps[0].src, weights=steps[0].size_bytes) * steps[0].repeat_count
    assert sent == pytest.approx(2 * 766 / 767 * 1e9)


def test_a_plane_lost_is_a_seventh_of_the_bandwidth() -> None:
    report = asked(pod="cloudmatrix384", faults=("plane:pod:2",), ranks=32, stride=24)
    assert report.faults is not None
    assert report.exchange is not None
    assert report.faults.exchange_after is not None
    assert report.faults.isolated == ()
    assert report.faults.exchange_after.time_s == pytest.approx(report.exchange.time_s * 7 / 6, rel=0.01)


def test_a_node_lost_leaves_its_ranks_out() -> None:
    report = asked(pod="hgx-h100", pods=4, collective="all_reduce", faults=("instance:node:1",))
    assert report.faults is not None
    assert report.collective is not None
    assert report.faults.isolated == tuple(range(8, 16))
    assert [timing.ranks_count for timing in report.collective.after] == [24]
    assert any("8 of 32 members" in finding for finding in report.faults.findings)


def test_everything_lost_is_an_error_and_one_member_left_a_finding() -> None:
    with pytest.raises(ScenarioError, match="nothing is left"):
        asked(pod="hgx-h100", collective="all_reduce", faults=("links:node:1",))
    report = asked(pod="hgx-h100", collective="all_reduce", ranks=2, faults=("rank:0",))
    assert report.faults is not None
    assert report.collective is not None
    assert report.collective.after == ()
    assert report.faults.exchange_after is None
    assert any("fewer than two" in finding for finding in report.faults.findings)


def test_jobs_apart_do_not_slow_each_other_and_jobs_on_one_place_do() -> None:
    def job(name: str, first: int) -> JobQuestion:
        return JobQuestion(name=name, kind="all_to_all", message_bytes=1e9, first=first, ranks_count=32)

    apart = asked(pod="gb200-nvl72", jobs=(job("a", 0), job("b", 32))).jobs
    same = asked(pod="gb200-nvl72", jobs=(job("a", 0), job("b", 0))).jobs
    assert [item.slowdown_ratio for item in apart] == pytest.approx([1.0, 1.0], rel=1e-3)
    assert [item.slowdown_ratio for item in same] == pytest.approx([2.0, 2.0], rel=0.05)


def test_traffic_takes_its_volume_over_the_fullest_port() -> None:
    """Rank 0 sends 1 GB to each of two others through a port of 450 GB/s at nvlink4's efficiency."""
    content = b"src,dst,bytes\n0,1,1e9\n0,2,1e9\n"
    report = asked(pod="hgx-h100", traffic=MatrixFile(name="t.csv", content=content))
    assert report.traffic is not None
    assert report.traffic.before is not None
    efficiency = CATALOGUE.link("nvlink4").efficiency_frac
    assert report.traffic.before.time_s == pytest.approx(2e9 / (450e9 * efficiency) + 1e-6, rel=1e-6)
    assert report.traffic.before.limits[0].name.startswith("rank 0")
    assert len(report.traffic.matrix_bytes) == 8
    assert sum(map(sum, report.traffic.matrix_bytes)) == pytest.approx(2e9)


def test_a_graph_of_a_pod_behaves_as_the_pod() -> None:
    topology, tier = topology_of(CATALOGUE, FabricQuestion(pod="gb200-nvl72"))
    file = GraphFile(name="g.graphml", text=written(topology, tier, "g.graphml"))
    alone, pod = asked(graph=file, collective="all_to_all"), asked(pod="gb200-nvl72", collective="all_to_all")
    both = asked(pod="gb200-nvl72", graph=file, collective="all_to_all")
    assert at(alone, "L2").time_s == pytest.approx(at(pod, "L1").wire_s, rel=1e-3)
    assert at(both, "L2").time_s == pytest.approx(at(pod, "L2").time_s, rel=1e-3)
    assert alone.diameter_count == pod.diameter_count == 2
    assert sum(part.links_count or 0.0 for part in alone.parts) == 18 * 72


def test_large_pods_have_an_inventory_and_closed_forms() -> None:
    report = asked(pod="cloudmatrix384-x432", collective="all_to_all")
    assert report.inventory is not None
    assert report.inventory.chips_count == 165_888
    assert report.collective is not None
    assert {timing.level for timing in report.collective.before} == {"L0", "L1"}
    assert report.exchange is not None
    assert report.exchange.level == "L1"
    with pytest.raises(ScenarioError, match="too many ranks"):
        asked(pod="cloudmatrix384-x432", faults=("rank:0",))


def test_what_is_unpublished_is_not_none() -> None:
    report = asked(pod="atlas950-1024")
    pod = next(part for part in report.parts if part.tier == "pod")
    assert (pod.switches_count, pod.modules_count) == (None, None)
    assert any("not published, drawn as one ideal switch" in note for note in report.notes)


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ({}, "nothing to look at"),
        ({"pod": "hgx-h100", "ranks": 9}, "9 ranks"),
        ({"pod": "hgx-h100", "collective": "all_reduce", "algorithm": "tree"}, "tree"),
        ({"pod": "hgx-h100", "collective": "gossip"}, "gossip"),
        ({"pod": "hgx-h100", "collective": "all_reduce", "level": "L1"}, "classes"),
        ({"pod": "hgx-h100", "level": "L3"}, "L3"),
        ({"pod": "hgx-h100", "pods": 2, "faults": ("switch:pod:0",)}, "no tier"),
    ],
)
def test_a_question_that_contradicts_itself_is_refused(question: dict[str, object], said: str) -> None:
    with pytest.raises(ScenarioError, match=said):
        asked(**question)


@pytest.mark.parametrize("kind", ["broadcast", "all_gather"])
def test_rings_use_every_link_of_a_full_mesh(kind: str) -> None:
    report = asked(pod="mi355x-8", collective=kind, algorithm="ring")
    assert at(report, "L2").time_s == pytest.approx(at(report, "L0").time_s, rel=1e-3)


def test_tier_by_tier_takes_only_algorithms_that_can_be_split() -> None:
    """A tree leaves every member the whole sum: there is no share for the tier outside."""
    report = asked(pod="panjiu-al128", collective="all_reduce", message_bytes=64e6)
    assert report.collective is not None
    tiered = next(way.name for way in report.collective.ways if way.name.startswith("hierarchical"))
    assert "double_tree" not in tiered
    assert at(report, "L2").time_s > 0


def test_hops_take_no_longer_than_the_steps_that_were_measured() -> None:
    """NCCL's short steps over NVLink take less than two hops of the catalogue: short messages agree all the same."""
    report = asked(pod="gb300-nvl72", collective="all_reduce", message_bytes=1e6)
    assert at(report, "L2").time_s == pytest.approx(at(report, "L0").time_s, rel=1e-2)


def test_wires_alone_carry_bare_bytes() -> None:
    report = asked(pod="gb200-nvl72", collective="all_to_all", message_bytes=256e6)
    assert at(report, "L2").wire_s == pytest.approx(at(report, "L1").wire_s, rel=1e-2)


def test_faults_are_compared_on_one_level() -> None:
    report = asked(pod="mi355x-8", collective="broadcast", level="L0", faults=("cable:node:0",))
    assert report.collective is not None
    assert report.collective.after == ()
    assert any("needs L2" in note for note in report.notes)
    assert report.exchange is not None
    assert report.exchange.level == "L0"


def test_one_lost_card_costs_a_ring_an_eighth() -> None:
    """Seven rings through a node of seven cards, where eight ran before."""
    report = asked(pod="hgx-h100", pods=8, collective="all_reduce", algorithm="ring", faults=("rank:0",))
    assert report.collective is not None
    ratio = report.collective.after[0].time_s / at(report, "L2").time_s
    assert ratio == pytest.approx(8 / 7, rel=0.03)


def test_a_graph_of_something_else_is_refused() -> None:
    topology, _ = topology_of(CATALOGUE, FabricQuestion(pod="hgx-h100"))
    file = GraphFile(name="node.graphml", text=written(topology, 0, "node.graphml"))
    with pytest.raises(ScenarioError, match="has 8 ranks"):
        asked(pod="gb200-nvl72", graph=file)
    other = replace(topology, kinds=tuple(replace(kind, tier="board") for kind in topology.kinds))
    with pytest.raises(ScenarioError, match="links of tier 'board'"):
        asked(pod="hgx-h100", graph=GraphFile(name="board.graphml", text=written(other, 0, "board.graphml")))


def test_all_paths_of_a_large_mesh_are_not_followed_pair_by_pair() -> None:
    report = asked(pod="ub-mesh-1024", routing="detour")
    assert report.exchange is None


def test_what_is_written_is_the_fabric_after_its_faults() -> None:
    whole, _ = topology_of(CATALOGUE, FabricQuestion(pod="hgx-h100"))
    left, _ = topology_of(CATALOGUE, FabricQuestion(pod="hgx-h100", faults=("rank:0",)))
    assert len(left.links) == len(whole.links) * 7 // 8


def test_a_broadcast_over_tiers_goes_from_the_outermost_in() -> None:
    report = asked(pod="cloudmatrix384", collective="broadcast", message_bytes=1e6)
    assert at(report, "L0").way.startswith("hierarchical")
    assert at(report, "L2").time_s == pytest.approx(at(report, "L0").time_s, rel=1e-3)
    ring = asked(pod="hgx-h100", pods=4, collective="broadcast", algorithm="ring")
    assert at(ring, "L2").time_s == pytest.approx(at(ring, "L0").time_s, rel=0.05)


@pytest.mark.parametrize("pod", [name for name in CATALOGUE.names("pods") if name != "tpu-8i-1024"])
def test_closed_forms_of_an_exchange_are_those_of_its_flows(pod: str) -> None:
    """Classes of equal flows are exact, so they judge the share of everyone; a dragonfly's closed form has no hops."""
    question = FabricQuestion(pod=pod, collective="all_to_all")
    fabric = pod_fabric(CATALOGUE, pod)
    ground = Ground(fabric=fabric, topology=None, question=replace(question, routing=usual_routing(fabric)))
    ranks = np.arange(round(fabric.ranks_count))
    choice = chosen(ground, "all_to_all", ranks, 1, 1e9)
    assert choice is not None
    classes = by_classes(ground, choice, ranks)
    assert classes is not None
    direct = next(way for way in choice.ways if way.name == "direct")
    within = 0.04 if fabric.tiers[-1].structure == "dragonfly" else 2e-3
    assert classes.time_s == pytest.approx(direct.time_s, rel=within)
