"""Which way wins, and why it says so; and how many copies of a token travel."""

from dataclasses import replace

import numpy as np
import pytest

from samples import CATALOGUE, FABRICS, LINK, Level, fabric
from superpod.errors import ScenarioError
from superpod.fabric.collectives import COLLECTIVES, choose, collective_time
from superpod.fabric.collectives.exchange import priced
from superpod.fabric.collectives.expert_exchange import Routing, sent
from superpod.fabric.tiers import Group


@pytest.mark.parametrize("kind", COLLECTIVES)
@pytest.mark.parametrize("name", FABRICS)
def test_the_time_is_the_winners(kind: str, name: str) -> None:
    for size in (2.0, 8.0, 12.0, 64.0):
        if size > FABRICS[name].ranks_count:
            continue
        for message in (0.0, 1e3, 1e6, 1e9):
            found = choose(kind, FABRICS[name], Group(size=size), message)
            spent = float(collective_time(kind, FABRICS[name], Group(size=size), message))
            assert found.winner.time_s == pytest.approx(spent, rel=1e-12)
            assert found.winner.latency_s + found.winner.wire_s == pytest.approx(spent, rel=1e-12)
            assert [way.time_s for way in found.ways] == sorted(way.time_s for way in found.ways)
            assert found.winner.name in found.reason


def test_short_messages_take_short_regimes_and_long_ones_the_switches() -> None:
    machine = FABRICS["adding switch"]
    short = choose("all_reduce", machine, Group(size=8.0), 1e3)
    long = choose("all_reduce", machine, Group(size=8.0), 1e9)
    assert short.winner.name == "ring LL"
    assert "waits less" in short.reason
    assert long.winner.name == "in_network"
    assert "wires" in long.reason
    assert {"ring LL", "ring LL128", "ring Simple", "in_network"} <= {way.name for way in long.ways}


def test_a_ring_over_all_rails_beats_tier_by_tier_between_nodes() -> None:
    """Its time is that of the tier whose ports, of all members inside, carry least."""
    machine = fabric(Level(structure="switch", arity=8), Level(structure="clos", arity=4, scale_out=True))
    found = choose("all_reduce", machine, Group(size=32.0), 1e10)
    assert found.winner.name == "ring Simple"
    inside, outside = machine.tiers
    assert found.winner.binding_tier == inside.name
    wire = 2.0 * 31.0 / 32.0 * 1e10 / min(inside.bytes_per_s, 8.0 * outside.bytes_per_s) / inside.link.efficiency_frac
    assert found.winner.wire_s == pytest.approx(wire)
    assert found.winner.latency_s > 1e10 / 32.0 / inside.link.own_copy_bytes_per_s  # a member copies its own part once
    assert not [way.name for way in found.ways if way.name.startswith("hierarchical")]


def test_serving_engines_read_their_peers_where_that_is_faster() -> None:
    """Short messages whole, longer ones in parts, the longest by the library; training never."""
    machine = FABRICS["switch with kernels of sglang"]
    sizes = (1e4, 2e6, 1e10)
    assert [choose("all_reduce", machine, Group(size=8.0), size).winner.name for size in sizes] == [
        "one_shot",
        "two_shot",
        "ring Simple",
    ]
    library = replace(machine, kernels="library")
    assert not [way for way in choose("all_reduce", library, Group(size=8.0), 1e4).ways if "shot" in way.name]
    for size in sizes:
        slower = collective_time("all_reduce", library, Group(size=8.0), size)
        assert collective_time("all_reduce", machine, Group(size=8.0), size) <= slower
    short = [float(collective_time("all_gather", fabric, Group(size=8.0), 1e4)) for fabric in (machine, library)]
    assert short[0] == short[1]  # only all-reduces have such kernels


def test_closed_forms_of_peer_kernels() -> None:
    machine = FABRICS["switch with kernels of serving"]
    (tier,) = machine.tiers
    peers, rate = tier.link.peer_kernels["serving"], tier.bytes_per_s * tier.link.efficiency_frac
    ways = {way.name: way for way in choose("all_reduce", machine, Group(size=4.0), 1e6).ways}
    begun = peers.base_s + 3.0 * peers.post_s
    assert ways["one_shot"].time_s == pytest.approx(begun + 3e6 / (rate * peers.one_shot_frac))
    assert ways["two_shot"].time_s == pytest.approx(begun + peers.pass_s + 1.5e6 / (rate * peers.two_shot_frac))


def test_an_engine_without_a_row_has_the_kernels_of_all_and_large_groups_the_library() -> None:
    named, other = (replace(FABRICS["switch"], kernels=name) for name in ("serving", "an engine of tomorrow"))
    assert collective_time("all_reduce", named, Group(size=8.0), 1e5) == collective_time(
        "all_reduce", other, Group(size=8.0), 1e5
    )
    wide = fabric(Level(structure="switch", arity=64))
    serving = replace(wide, kernels="sglang")
    sizes = np.array([8.0, 16.0, 64.0])
    inside, beyond = (collective_time("all_reduce", machine, Group(size=sizes), 1e5) for machine in (serving, wide))
    assert inside[0] < beyond[0]
    np.testing.assert_array_equal(inside[1:], beyond[1:])


def test_messages_have_ways_by_size() -> None:
    """Short ones by low-latency sends, long ones in a pipeline that takes longer to begin."""
    (tier,) = FABRICS["switch"].tiers
    machine = replace(FABRICS["switch"], tiers=(replace(tier, link=CATALOGUE.link("nvlink5")),))
    for kind in ("all_to_all", "p2p"):
        names = [choose(kind, machine, Group(size=8.0), size).winner.name for size in (1e3, 1e9)]
        assert names[0] == "direct short"
        assert names[1] != "direct short"
    assert [choose("all_to_all", machine, Group(size=8.0), size).winner.name for size in (4e6, 1e9)] == [
        "direct middle",
        "direct",
    ]


def test_libraries_that_go_tier_by_tier_say_with_what() -> None:
    plain = fabric(Level(structure="switch", arity=8), Level(structure="clos", arity=4, scale_out=True))
    tiers = tuple(replace(tier, link=CATALOGUE.link("ub1")) for tier in plain.tiers)
    found = choose("all_reduce", replace(plain, tiers=tiers), Group(size=32.0), 1e6)
    assert any(way.name.startswith("hierarchical (") and " then " in way.name for way in found.ways)


def test_two_tiers_of_a_mesh_use_one_link_to_a_neighbour_unless_all_paths_are_taken() -> None:
    machine = FABRICS["full_mesh"]
    one = float(collective_time("p2p", machine, Group(size=2.0), 1e9))
    tiers = tuple(replace(tier, link=replace(tier.link, algorithms=("ring", "all_paths"))) for tier in machine.tiers)
    all_paths = float(collective_time("p2p", replace(machine, tiers=tiers), Group(size=2.0), 1e9))
    assert one > 3.5 * all_paths  # 4 x 2: four ports


def test_one_rank_and_a_perfect_fabric_need_no_way() -> None:
    found = choose("all_reduce", FABRICS["switch"], Group(size=1.0), 1e6)
    assert found.winner.time_s == 0.0
    assert "one rank" in found.reason


def test_unknown_collectives_are_refused() -> None:
    with pytest.raises(ScenarioError, match="unknown collective"):
        choose("gossip", FABRICS["switch"], Group(size=8.0), 1e6)


def test_a_token_visits_fewer_parts_than_it_has_experts() -> None:
    free = Routing(top_k_count=8.0)
    assert free.parts_touched(1.0) == pytest.approx(1.0)
    assert free.parts_touched(2.0) == pytest.approx(2.0 * (1.0 - 0.5**8))
    assert free.parts_touched(1e6) == pytest.approx(8.0, rel=1e-4)
    limited = Routing(top_k_count=8.0, groups_count=8.0, groups_limit_count=4.0)
    assert limited.parts_touched(8.0) == pytest.approx(4.0 * (1.0 - 0.75**8))  # four of eight nodes
    assert limited.parts_touched(4.0) == pytest.approx(free.parts_touched(4.0))
    assert limited.parts_touched(64.0) == pytest.approx(free.parts_touched(32.0))  # half of the ranks are open
    columns = limited.parts_touched(np.array([4.0, 8.0, 64.0]))
    np.testing.assert_allclose(columns, [limited.parts_touched(n) for n in (4.0, 8.0, 64.0)], rtol=1e-12)


def test_bytes_of_128_tokens() -> None:
    """DeepEP: 128 tokens x 8 copies x (7,168 + 7168/128 x 4) bytes."""
    routing = Routing(top_k_count=8.0)
    straight = sent(routing, 128.0, 7392.0, 256.0, 32.0, deduplicated=False)
    assert straight.inside_bytes == straight.outside_bytes == 128 * 8 * 7392
    once = sent(routing, 128.0, 7392.0, 256.0, 32.0, deduplicated=True)
    assert once.outside_bytes < once.inside_bytes < straight.inside_bytes


def test_forwarding_never_carries_less_inside() -> None:
    """With the same kernels for both; those for volume begin later and carry more."""
    plain, group = FABRICS["switch+clos"], Group(size=64.0)
    tiers = tuple(replace(tier, link=replace(LINK, expert_volume=LINK.expert_latency)) for tier in plain.tiers)
    machine = replace(plain, tiers=tiers)
    for message in (1e5, 1e8):
        straight = priced("combine", machine, group, message, message, forwarded=False)
        assert float(priced("combine", machine, group, message, message, forwarded=True)) >= float(straight) * 0.99
        assert float(priced("combine", machine, group, message, message / 4.0, forwarded=True)) < float(straight)


def test_the_way_back_may_have_a_rate_of_its_own() -> None:
    """Combine sends 16 bits and adds; DeepEP on H100 carries them at less of the bandwidth than dispatch."""
    there, back = (
        float(priced(way, FABRICS["switch"], Group(size=8.0), 1e9, 1e9, forwarded=False))
        for way in ("dispatch", "combine")
    )
    assert LINK.expert_latency.combine_rate_frac is not None
    assert back / there == pytest.approx(
        LINK.expert_latency.rate_frac / LINK.expert_latency.combine_rate_frac, rel=0.01
    )
