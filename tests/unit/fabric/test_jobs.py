"""Collectives as steps on the flow simulation: alone they cost what their closed form says, together they slow down."""

import numpy as np
import pytest

from shapes import cloudmatrix, grid, leaf_spine, stacked, star, tier
from superpod.errors import ScenarioError
from superpod.fabric.collectives import ALGORITHMS
from superpod.fabric.collectives.step import Step
from superpod.fabric.faults import fail
from superpod.fabric.generators import draw
from superpod.fabric.jobs import Job, common_switch, play
from superpod.fabric.topology import Topology

GIB = 2.0**30
FLAT = [
    (name, kind)
    for name, row in ALGORITHMS.items()
    for kind in row.kinds
    if name not in {"hierarchical", "torus", "full_mesh"}
]


def alone(topology: Topology, steps: tuple[Step, ...], members: np.ndarray, routing: str = "spray") -> float:
    return play(topology, [Job(name="job", steps=steps, members=members)], routing=routing).jobs[0].alone_s


@pytest.mark.parametrize(("name", "kind"), FLAT)
def test_steps_on_a_switch_cost_what_the_closed_form_says(name: str, kind: str) -> None:
    topology, rate = draw(star(8, 450e9, planes=4)), 450e9
    row = ALGORITHMS[name]
    made = row.steps(kind, (8,), GIB)
    cost = row.cost(kind, 8.0, GIB)
    assert alone(topology, made, topology.ranks) == pytest.approx(float(cost.wire_bytes) / rate, rel=1e-2)  # type: ignore[union-attr]


@pytest.mark.parametrize("kind", ALGORITHMS["torus"].kinds)
def test_steps_on_a_torus(kind: str) -> None:
    topology = draw(grid("torus", (4, 4), 50e9))
    cost = ALGORITHMS["torus"].cost(kind, (4.0, 4.0), GIB)
    made = ALGORITHMS["torus"].steps(kind, (4, 4), GIB)
    spent = alone(topology, made, topology.ranks, "dor")
    assert spent == pytest.approx(float(cost.wire_bytes) / (4 * 50e9), rel=1e-2)  # type: ignore[union-attr]


@pytest.mark.parametrize("kind", ALGORITHMS["full_mesh"].kinds)
def test_steps_on_a_full_mesh(kind: str) -> None:
    topology = draw(grid("full_mesh", (8,), 64e9))
    cost = ALGORITHMS["full_mesh"].cost(kind, (8.0,), GIB)
    made = ALGORITHMS["full_mesh"].steps(kind, (8,), GIB)
    spent = alone(topology, made, topology.ranks, "dor")
    assert spent == pytest.approx(float(cost.wire_bytes) / (7 * 64e9), rel=1e-2)  # type: ignore[union-attr]


@pytest.mark.parametrize("kind", ALGORITHMS["hierarchical"].kinds)
def test_steps_over_two_tiers(kind: str) -> None:
    """Four nodes of eight: 450 GB/s inside, 50 GB/s a rank between."""
    fabric = stacked(
        tier("switch", 8, 450e9, name="node"), tier("clos", 32, 50e9, name="out", scale_out=True), pod_ranks=8
    )
    topology = draw(fabric)
    inside, across = ALGORITHMS["hierarchical"].cost(kind, (8.0, 4.0), GIB)  # type: ignore[misc]
    expected = float(inside.wire_bytes) / 450e9 + float(across.wire_bytes) / 50e9
    made = ALGORITHMS["hierarchical"].steps(kind, (8, 4), GIB)
    assert alone(topology, made, topology.ranks) == pytest.approx(expected, rel=1e-2)


def test_what_a_library_costs_is_added() -> None:
    topology = draw(stacked(tier("switch", 8, 450e9, latency_s=1e-6)))
    steps = ALGORITHMS["ring"].steps("all_gather", (8,), 8e6)
    plain = play(topology, [Job(name="a", steps=steps, members=topology.ranks)]).jobs[0].alone_s
    dear = play(topology, [Job(name="a", steps=steps, members=topology.ranks, base_s=5e-6, step_s=2e-6)]).jobs[0]
    assert plain == pytest.approx(7e6 / 450e9 + 7 * 1e-6, rel=1e-9)
    assert dear.alone_s == pytest.approx(plain + 5e-6 + 7 * 2e-6, rel=1e-9)


def exchange_of(members: int, size: float) -> tuple[Step, ...]:
    return ALGORITHMS["direct"].steps("all_to_all", (members,), size)


def test_jobs_on_links_of_their_own_do_not_disturb_each_other() -> None:
    topology = draw(cloudmatrix(8))
    jobs = [Job(name=f"node {n}", steps=exchange_of(8, GIB), members=np.arange(8) + 8 * n) for n in range(4)]
    assert [job.slowdown_ratio for job in play(topology, jobs).jobs] == pytest.approx([1.0] * 4, rel=1e-9)


def test_jobs_that_share_links_slow_each_other_down() -> None:
    topology = draw(leaf_spine(2, 8, 4, 50e9))
    jobs = [Job(name=str(n), steps=exchange_of(8, GIB), members=np.arange(n, 16, 2)) for n in range(2)]
    apart = play(topology, jobs[:1]).jobs[0]
    assert apart.slowdown_ratio == pytest.approx(1.0)
    both = play(topology, jobs).jobs
    # Four uplinks carry what eight ranks send to the other leaf; alone a job needs half of them.
    assert [job.slowdown_ratio for job in both] == pytest.approx([8 / 7, 8 / 7], rel=1e-6)


def test_a_job_that_begins_late_is_timed_from_its_beginning() -> None:
    topology = draw(star(8, 50e9))
    steps = exchange_of(8, GIB)
    first, late = play(
        topology,
        [
            Job(name="first", steps=steps, members=topology.ranks),
            Job(name="late", steps=steps, members=topology.ranks, start_s=10.0),
        ],
    ).jobs
    assert first.slowdown_ratio == pytest.approx(1.0)
    assert late.together_s == pytest.approx(first.alone_s, rel=1e-9)


def test_a_lost_chip_slows_a_collective_by_its_share() -> None:
    topology = draw(cloudmatrix(16))
    steps = exchange_of(128, GIB)
    whole = alone(topology, steps, topology.ranks)
    left = fail(topology, ["switch:pod:3:7"]).topology
    assert alone(left, steps, topology.ranks) > whole


def test_reduction_needs_a_switch_next_to_all() -> None:
    topology = draw(cloudmatrix(4))
    assert topology.node_name(common_switch(topology, np.arange(8))).startswith("node switch 0")
    with pytest.raises(ScenarioError, match="no switch is next to all"):
        common_switch(topology, np.arange(16))


def test_a_job_without_steps_is_refused() -> None:
    topology = draw(star(8, 50e9))
    with pytest.raises(ScenarioError, match="without steps"):
        play(topology, [Job(name="nothing", steps=(), members=topology.ranks)])
