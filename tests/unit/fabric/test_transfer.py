"""One call at three levels: which one is taken, and that they agree where they overlap."""

import numpy as np
import pytest

from shapes import SHAPES, cloudmatrix, grid, leaf_spine, stacked, star, tier
from superpod.errors import ScenarioError
from superpod.fabric.faults import fail
from superpod.fabric.flow import Transfers, simulate
from superpod.fabric.generators import draw
from superpod.fabric.route import route
from superpod.fabric.symmetric import uniform
from superpod.fabric.tiers import SWITCHED, Group
from superpod.fabric.transfer import LEVELS, Flows, Uniform, flows_of, transfer

MB = 1e6


@pytest.mark.parametrize("name", SHAPES)
def test_levels_agree_on_a_uniform_exchange(name: str) -> None:
    fabric, routing = SHAPES[name]
    bound, classes, single = (
        transfer(fabric, Uniform(size_bytes=MB), level=level, routing=routing, batch_frac=0.0) for level in LEVELS[1:]
    )
    assert [outcome.level for outcome in (bound, classes, single)] == ["L0", "L1", "L2"]
    assert bound.bound_s == pytest.approx(single.bound_s, rel=1e-9)
    assert classes.bound_s == pytest.approx(single.bound_s, rel=1e-9)
    assert classes.time_s <= single.time_s * (1 + 1e-6)
    assert max(classes.utilisation_frac) <= 1 + 1e-9
    assert max(single.utilisation_frac) <= 1 + 1e-9


def test_auto_takes_classes_then_flows_then_the_bound() -> None:
    fabric = leaf_spine(4, 8, 4)
    assert transfer(fabric, Uniform(size_bytes=MB)).level == "L1"
    assert transfer(fabric, Uniform(size_bytes=MB), routing="ecmp").level == "L2"
    damaged = fail(draw(fabric), ["cable:spine:0"]).topology
    assert transfer(fabric, Uniform(size_bytes=MB), topology=damaged).level == "L2"
    many = transfer(star(1300, 50e9), Uniform(size_bytes=MB), topology=draw(star(1300, 50e9)))
    assert many.level == "L0"
    assert "volume bound" in many.caution


def test_a_cascade_of_165888_cards_is_priced_without_a_drawing() -> None:
    fabric = stacked(
        tier("switch", 8, 392e9, name="node", planes=7),
        tier("clos", 384, 392e9, name="pod", own=False, planes=7, switches=16),
        tier("clos", 384 * 432, 50e9, name="out", scale_out=True),
        pod_ranks=384,
    )
    found = transfer(fabric, Uniform(size_bytes=1.0))
    assert found.level == "L1"
    assert found.time_s == pytest.approx((384 * 431) / 50e9, rel=1e-12)
    with pytest.raises(ScenarioError, match="too many to draw"):
        transfer(fabric, Uniform(size_bytes=1.0), level="L2")


def test_groups_that_run_at_once() -> None:
    """Eight groups of eight inside nodes, or one rank a node: the second crosses the pod's uplinks."""
    fabric = cloudmatrix(8)
    for group in (Group(size=8.0), Group(size=8.0, stride=8.0), Group(size=16.0)):
        demand = Uniform(size_bytes=MB, group=group)
        by_class, single = (transfer(fabric, demand, level=level, batch_frac=0.0) for level in ("L1", "L2"))
        assert by_class.time_s == pytest.approx(single.time_s, rel=1e-9)


@pytest.mark.parametrize("name", SHAPES)
def test_classes_of_groups_are_exact_or_there_are_none(name: str) -> None:
    """Groups of every size, side by side or interleaved: those that fill instances unevenly have no classes."""
    fabric, routing = SHAPES[name]
    ranks = round(fabric.ranks_count)
    found = 0
    for size in (2, 3, 4, 6, 8, 12, 16, 24, 32, 36, 48):
        for stride in (1, 2, 3, 4, 8, 16):
            if size * stride > ranks:
                continue
            group = Group(size=float(size), stride=float(stride))
            if uniform(fabric, group) is None:
                continue
            demand = Uniform(size_bytes=MB, group=group)
            by_class, single = (transfer(fabric, demand, level=level, routing=routing) for level in ("L1", "L2"))
            found += 1
            assert by_class.bound_s == pytest.approx(single.bound_s, rel=1e-9), group
            assert by_class.time_s == pytest.approx(single.time_s, rel=2e-3), group
    assert found or fabric.tiers[0].structure not in SWITCHED


def test_part_of_a_grid_has_no_classes() -> None:
    fabric = grid("torus", (4, 4))
    demand = Uniform(size_bytes=MB, group=Group(size=8.0))
    assert transfer(fabric, demand, routing="dor").level == "L2"
    with pytest.raises(ScenarioError, match="no classes"):
        transfer(fabric, demand, level="L1", routing="dor")


def test_senseless_questions_are_refused() -> None:
    with pytest.raises(ScenarioError, match="unknown level"):
        transfer(star(8), Uniform(size_bytes=1.0), level="L3")
    with pytest.raises(ScenarioError, match="need 16 ranks"):
        flows_of(draw(star(8)), Uniform(size_bytes=1.0, group=Group(size=8.0, stride=2.0)))


def test_the_fullest_links_are_named() -> None:
    flows = Flows(src=np.array([0, 1, 2]), dst=np.array([7, 7, 7]), size_bytes=np.full(3, MB))
    found = transfer(star(8, 50e9), flows)
    name, used = found.limits(1)[0]
    assert name == "rack switch 0 -> rank 7"
    assert used == pytest.approx(1.0)
    assert found.time_s == pytest.approx(3 * MB / 50e9, rel=1e-9)
    assert found.link_names[0].startswith("rank 0")
    assert len(found.link_names[0:2]) == 2


class TestFlows:
    """Beginnings, waiting, empty flows, refusals."""

    topology = draw(star(4, 1.0))
    paths = route(topology, np.array([0, 1, 2]), np.array([3, 3, 3]))

    def ends(self, engine: str, **more: object) -> list[float]:
        sizes = more.pop("sizes", np.ones(3))
        transfers = Transfers(size_bytes=sizes, **more)  # type: ignore[arg-type]
        found = simulate(self.paths, self.topology.links.bytes_per_s, transfers, engine=engine)
        return found.finish_s.round(9).tolist()

    @pytest.mark.parametrize("engine", ["numpy", "compiled"])
    def test_later_beginnings(self, engine: str) -> None:
        assert self.ends(engine, start_s=np.array([0.0, 1.0, 10.0])) == [1.0, 2.0, 11.0]
        assert self.ends(engine, start_s=np.array([0.0, 0.5, 10.0])) == [1.5, 2.0, 11.0]

    @pytest.mark.parametrize("engine", ["numpy", "compiled"])
    def test_flows_wait_for_others(self, engine: str) -> None:
        assert self.ends(engine, after=np.array([[1, 0], [2, 1]])) == [1.0, 2.0, 3.0]
        assert self.ends(engine, after=np.array([[2, 0], [2, 1]])) == [2.0, 2.0, 3.0]

    @pytest.mark.parametrize("engine", ["numpy", "compiled"])
    def test_empty_flows_pass_the_word_on(self, engine: str) -> None:
        chain = np.array([[1, 0], [2, 1]])
        assert self.ends(engine, sizes=np.array([1.0, 0.0, 1.0]), after=chain) == [1.0, 1.0, 2.0]
        assert self.ends(engine, sizes=np.zeros(3)) == [0.0, 0.0, 0.0]

    @pytest.mark.parametrize("engine", ["numpy", "compiled"])
    def test_latency_is_paid_once_and_passed_on(self, engine: str) -> None:
        slow = draw(stacked(tier("switch", 4, 1.0, latency_s=0.5)))
        paths = route(slow, np.array([0, 3]), np.array([3, 1]))
        transfers = Transfers(size_bytes=np.ones(2), after=np.array([[1, 0]]))
        found = simulate(paths, slow.links.bytes_per_s, transfers, engine=engine)
        assert found.finish_s.tolist() == [1.5, 3.0]

    @pytest.mark.parametrize("engine", ["numpy", "compiled"])
    def test_flows_that_wait_for_each_other_are_refused(self, engine: str) -> None:
        with pytest.raises(ScenarioError, match="wait for each other"):
            self.ends(engine, after=np.array([[0, 1], [1, 0]]))

    @pytest.mark.parametrize(
        ("more", "message"),
        [
            ({"sizes": np.array([1.0, -1.0, 1.0])}, "found -1 for flow 1"),
            ({"sizes": np.array([1.0, np.nan, 1.0])}, "found nan for flow 1"),
            ({"sizes": np.ones(2)}, "2 sizes for 3 flows"),
            ({"start_s": np.array([0.0, np.inf, 0.0])}, "found inf"),
        ],
    )
    def test_senseless_sizes_are_refused(self, more: dict[str, object], message: str) -> None:
        with pytest.raises(ScenarioError, match=message):
            self.ends("numpy", **more)

    def test_an_unknown_engine_is_refused(self) -> None:
        with pytest.raises(ScenarioError, match="unknown engine"):
            self.ends("fortran")
