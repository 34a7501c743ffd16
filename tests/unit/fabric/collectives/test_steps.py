"""Every algorithm's steps against its closed form, on fabrics whose links are loaded by hand.

Transfers of one step start together and share links fairly, so a step ends when its fullest link does.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from superpod.errors import ScenarioError
from superpod.fabric.collectives import ALGORITHMS
from superpod.fabric.collectives.step import Cost, Step

MESSAGE = 1e9
RATE = 50e9  # bytes/s that a member injects, one direction
Links = Iterator[tuple[object, float]]
Route = Callable[[int, int], Links]


def spent(steps: tuple[Step, ...], route: Route) -> float:
    """Return the time of steps one after another: each takes max over links of bytes over capacity."""
    total = 0.0
    for one in steps:
        load: dict[object, float] = defaultdict(float)
        rate: dict[object, float] = {}
        for src, dst, size in zip(one.src, one.dst, one.size_bytes, strict=True):
            for link, capacity in route(int(src), int(dst)):
                load[link] += float(size)
                rate[link] = capacity
        total += one.repeat_count * max(load[link] / rate[link] for link in load)
    return total


def switch(n: int) -> Route:
    """A switch that does not block: every member has a port out and a port in; the switch itself has none."""

    def route(src: int, dst: int) -> Links:
        if src < n:
            yield ("out", src), RATE
        if dst < n:
            yield ("in", dst), RATE

    return route


def mesh(n: int) -> Route:
    """A full mesh of one axis: a member's rate is split over a link to each other member."""

    def route(src: int, dst: int) -> Links:
        yield (src, dst), RATE / (n - 1)

    return route


def torus(shape: tuple[int, ...]) -> Route:
    """A torus: a member's rate is split over two links for each axis; neighbours only."""

    def route(src: int, dst: int) -> Links:
        here, there = np.array(np.unravel_index(src, shape)), np.array(np.unravel_index(dst, shape))
        axis = int(np.flatnonzero(here != there)[0])
        way = int((there[axis] - here[axis]) % shape[axis] == 1)
        assert (there[axis] - here[axis]) % shape[axis] in {1, shape[axis] - 1}
        yield (src, axis, way), RATE / (2 * len(shape))

    return route


def two_tiers(inside: int, groups: int, outer: float) -> Route:
    """Members on a switch, each with a rail of its own to the other groups."""
    del groups

    def route(src: int, dst: int) -> Links:
        if src // inside == dst // inside:
            yield ("out", src), RATE
            yield ("in", dst), RATE
        else:
            assert src % inside == dst % inside  # rails are never crossed
            yield ("rail out", src), outer
            yield ("rail in", dst), outer

    return route


SIZES = (2, 3, 4, 5, 7, 8, 16, 31, 32)
SWITCHED = [
    (name, kind, n)
    for name in ("ring", "halving_doubling", "double_tree", "direct", "in_network", "one_shot", "full_mesh")
    for kind in ALGORITHMS[name].kinds
    if (name, kind) != ("full_mesh", "broadcast")
    for n in SIZES
]


@pytest.mark.parametrize(("name", "kind", "n"), SWITCHED)
def test_over_a_switch(name: str, kind: str, n: int) -> None:
    row = ALGORITHMS[name]
    shape = [float(n)] if name == "full_mesh" else float(n)
    cost = row.cost(kind, shape, MESSAGE)
    assert isinstance(cost, Cost)
    assert spent(row.steps(kind, [n], MESSAGE), switch(n)) == pytest.approx(float(cost.time(0.0, 0.0, RATE)), rel=0.01)


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("kind", ALGORITHMS["full_mesh"].kinds)
def test_over_a_full_mesh(kind: str, n: int) -> None:
    cost = ALGORITHMS["full_mesh"].cost(kind, [float(n)], MESSAGE)
    assert isinstance(cost, Cost)
    made = ALGORITHMS["full_mesh"].steps(kind, [n], MESSAGE)
    assert spent(made, mesh(n)) == pytest.approx(float(cost.time(0.0, 0.0, RATE)), rel=0.01)


@pytest.mark.parametrize("n", [3, 4, 5, 8, 9, 16])
@pytest.mark.parametrize("kind", ALGORITHMS["bidirectional"].kinds)
def test_both_ways_round_a_ring(kind: str, n: int) -> None:
    cost = ALGORITHMS["bidirectional"].cost(kind, float(n), MESSAGE)
    assert isinstance(cost, Cost)
    made = ALGORITHMS["bidirectional"].steps(kind, [n], MESSAGE)
    assert spent(made, torus((n,))) == pytest.approx(float(cost.time(0.0, 0.0, RATE)), rel=0.01)


@pytest.mark.parametrize("shape", [(3,), (8,), (4, 4), (5, 5), (4, 4, 4)])
@pytest.mark.parametrize("kind", ["all_reduce", "all_gather", "reduce_scatter"])
def test_over_a_torus(kind: str, shape: tuple[int, ...]) -> None:
    cost = ALGORITHMS["torus"].cost(kind, [float(side) for side in shape], MESSAGE)
    assert isinstance(cost, Cost)
    made = ALGORITHMS["torus"].steps(kind, shape, MESSAGE)
    assert spent(made, torus(shape)) == pytest.approx(float(cost.time(0.0, 0.0, RATE)), rel=0.01)


@pytest.mark.parametrize("kind", ["all_reduce", "all_gather", "reduce_scatter"])
def test_an_uneven_torus_takes_at_least_its_closed_form(kind: str) -> None:
    cost = ALGORITHMS["torus"].cost(kind, [8.0, 4.0], MESSAGE)
    assert isinstance(cost, Cost)
    made = ALGORITHMS["torus"].steps(kind, (8, 4), MESSAGE)
    bound = float(cost.time(0.0, 0.0, RATE))
    assert bound <= spent(made, torus((8, 4))) <= 1.15 * bound


@pytest.mark.parametrize("shape", [(2, 2), (8, 4), (4, 8), (8, 3)])
@pytest.mark.parametrize("kind", ALGORITHMS["hierarchical"].kinds)
def test_tier_by_tier(kind: str, shape: tuple[int, int]) -> None:
    outer = RATE / 8.0
    costs = ALGORITHMS["hierarchical"].cost(kind, [float(side) for side in shape], MESSAGE)
    assert isinstance(costs, tuple)
    closed = sum(float(cost.time(0.0, 0.0, rate)) for cost, rate in zip(costs, (RATE, outer), strict=True))
    made = ALGORITHMS["hierarchical"].steps(kind, shape, MESSAGE)
    assert spent(made, two_tiers(*shape, outer)) == pytest.approx(closed, rel=0.01)


@pytest.mark.parametrize("n", [1, 2, 3, 6, 8, 13])
def test_a_tree_reaches_everyone_once(n: int) -> None:
    from superpod.fabric.collectives.double_tree import trees

    for edges in trees(n):
        assert sorted(member for member, _ in edges) == sorted(set(range(n)) - {_root(edges, n)})
    inner = [{parent for _, parent in edges} for edges in trees(n)]
    assert len(inner[0] & inner[1]) <= 2  # roots apart, nobody is an inner node of both


def _root(edges: list[tuple[int, int]], n: int) -> int:
    return next(iter(set(range(n)) - {member for member, _ in edges}))


@pytest.mark.parametrize("kind", ["all_gather", "reduce_scatter"])
@pytest.mark.parametrize("n", [3, 8, 13])
def test_gathers_bring_every_part(kind: str, n: int) -> None:
    """Each member takes in n - 1 parts, or gives as many away."""
    for name in ("ring", "bidirectional", "halving_doubling", "direct", "full_mesh"):
        moved = np.zeros(n)
        for one in ALGORITHMS[name].steps(kind, [n], float(n)):
            np.add.at(moved, one.dst if kind == "all_gather" else one.src, one.size_bytes * one.repeat_count)
        np.testing.assert_allclose(moved, n - 1.0)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_unknown_kinds_are_refused(name: str) -> None:
    shape = [2, 2] if name in {"hierarchical", "torus"} else [4]
    with pytest.raises(ScenarioError):
        ALGORITHMS[name].steps("gossip", shape, MESSAGE)


@pytest.mark.parametrize("name", sorted(set(ALGORITHMS) - {"hierarchical", "torus", "full_mesh"}))
def test_closed_forms_of_columns_are_those_of_rows(name: str) -> None:
    sizes = np.array([2.0, 3.0, 4.0, 8.0, 100.0])
    for kind in ALGORITHMS[name].kinds:
        column = ALGORITHMS[name].cost(kind, sizes, 1e6)
        assert isinstance(column, Cost)
        for row, size in enumerate(sizes):
            single = ALGORITHMS[name].cost(kind, float(size), 1e6)
            assert isinstance(single, Cost)
            got = np.broadcast_to(column.time(0.0, 1e-6, RATE), sizes.shape)[row]
            assert float(got) == pytest.approx(float(single.time(0.0, 1e-6, RATE)), rel=1e-12)
