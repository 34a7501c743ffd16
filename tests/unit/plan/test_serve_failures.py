"""Failures by name: what they take, what instances make of it over time, what a lost plane costs."""

from dataclasses import replace
from typing import Any

import pytest

from step_samples import costs
from superpod.catalog.load import SHIPPED, Catalogue
from superpod.errors import ScenarioError
from superpod.fabric.collectives import collective_time
from superpod.fabric.planes import named_planes, planes_of, without_planes
from superpod.fabric.tiers import Group
from superpod.plan.machine import Machine, machine
from superpod.plan.operations import Autoscale, Failure, Operations
from superpod.plan.scenario import Scenario, Serving, Traffic
from superpod.plan.serving.failures import Worn, hits, mishaps, parts_of
from superpod.plan.serving.fleet import Workshop
from superpod.plan.serving.operations import check_operations, start_of
from superpod.plan.serving.search import search
from superpod.serve.memory import held_weights_bytes
from superpod.serve.simulation.fleet import Fleet, Pool


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return Catalogue(folders=(SHIPPED,), overrides={}, estimates=False)


@pytest.fixture(scope="module")
def cm384(catalogue: Catalogue) -> Machine:
    return machine(catalogue, Scenario(model="deepseek-r1", pod="cloudmatrix384", work=Serving()))


def taken(made: Machine, *failures: Failure, elastic: bool = False, ranks: float = 32.0) -> list[tuple[Any, ...]]:
    fleet = Fleet(pool=Pool(costs=costs(ranks_count=ranks), instances_count=3))
    worn = Worn(read_factor=1.2, decode_factor=1.2, both_factor=1.2, links_factor=1.5)
    found = mishaps(hits(made, failures), fleet, 2.0, elastic=elastic, worn=lambda lost: worn if lost else Worn())
    return [(item.instance, item.at_s, item.down_s, item.slow_factor, item.link_factor) for item in found]


def test_parts_have_the_cards_of_the_pods_description(catalogue: Catalogue) -> None:
    parts = parts_of(catalogue.pod("cloudmatrix384"))
    assert (parts["node"], parts["rack"], parts["pod"], parts["card"]) == (8, 32, 384, 1)
    parts = parts_of(catalogue.pod("gb200-nvl72"))
    assert (parts["tray"], parts["rack"]) == (4, 72)
    parts = parts_of(catalogue.pod("atlas950-1024"))
    assert (parts["blade"], parts["cabinet"]) == (8, 64)


def test_a_node_takes_its_cards_down(cm384: Machine) -> None:
    (hit,) = hits(cm384, [Failure(at_s=5.0, name="node:3")])
    assert (hit.first_count, hit.last_count) == (24, 31)
    # 16 dies a node: node 3 holds ranks 48 to 63, the second half of the second instance of 32
    assert taken(cm384, Failure(at_s=5.0, down_s=2.0, name="node:3")) == [(1, 5.0, 2.0, None, 1.0)]
    ((instance, _, _, slow, link),) = taken(cm384, Failure(at_s=5.0, down_s=2.0, name="node:3"), elastic=True)
    assert (instance, slow, link) == (1, 2.0, 2.0)


def test_failures_that_overlap_are_one(cm384: Machine) -> None:
    two = (Failure(at_s=1.0, down_s=4.0, name="node:0"), Failure(at_s=3.0, down_s=5.0, name="node:1"))
    assert taken(cm384, *two) == [(0, 1.0, 7.0, None, 1.0)]
    same = (Failure(at_s=1.0, down_s=4.0, name="card:0"), Failure(at_s=2.0, down_s=1.0, name="card:0"))
    assert [item[3] for item in taken(cm384, *same, elastic=True)] == [32.0 / 30.0]


def test_a_plane_slows_everything_and_a_card_beside_it_takes_one_down(cm384: Machine) -> None:
    plane = Failure(at_s=1.0, down_s=9.0, name="plane:2")
    assert taken(cm384, plane) == [(number, 1.0, 9.0, 1.2, 1.5) for number in range(3)]
    both = taken(cm384, plane, Failure(at_s=4.0, down_s=2.0, name="card:0"))
    assert [item[1:] for item in both if item[0] == 0] == [
        (1.0, 3.0, 1.2, 1.5),
        (4.0, 2.0, None, 1.0),
        (6.0, 4.0, 1.2, 1.5),
    ]


def test_a_large_transfer_is_slower_by_the_planes_that_are_left(cm384: Machine) -> None:
    (planes,) = planes_of(cm384.fabric)
    assert (planes.tiers, planes.planes_count) == (("node", "pod"), 7)
    assert named_planes(cm384.fabric, "pod", "") == planes
    left = without_planes(cm384.fabric, {"node": 1, "pod": 1})
    group, size = Group(size=64.0), 1e12
    for kind in ("all_to_all", "p2p"):
        ratio = collective_time(kind, left, group, size) / collective_time(kind, cm384.fabric, group, size)
        assert float(ratio) == pytest.approx(7.0 / 6.0, rel=1e-5)
    assert without_planes(cm384.fabric, {}) == cm384.fabric
    with pytest.raises(ScenarioError, match="all 7 planes"):
        without_planes(cm384.fabric, {"pod": 7})


def test_a_deployment_is_slower_by_the_fabrics_ratio(catalogue: Catalogue) -> None:
    work = Serving(prompt_tokens=1000, output_tokens=200)
    made = machine(catalogue, Scenario(model="deepseek-r1", pod="cloudmatrix384", cards=64, work=work))
    best = search(made, work, {}).best
    assert best is not None
    traffic = Traffic(rate="9", prompt="1000", output="200", failures=(Failure(at_s=3.0, name="plane:0"),))
    fleet = Workshop(machine=made, work=work, traffic=traffic).fleet(best)
    factors = {item.slow_factor for item in fleet.mishaps}
    assert all(factor is not None and 1.0 < factor <= 7.0 / 6.0 for factor in factors)
    more = (*traffic.failures, Failure(at_s=3.0, name="plane:1"))
    worse = Workshop(machine=made, work=work, traffic=replace(traffic, failures=more)).fleet(best)
    assert max(item.slow_factor or 0.0 for item in worse.mishaps) > max(factor or 0.0 for factor in factors)


def test_an_instance_starts_when_its_weights_have_come(cm384: Machine) -> None:
    rule, work = Autoscale(measure="queue", target_ratio=2.0), Serving()
    best = search(cm384, work, {}).best
    assert best is not None
    layout = best.decode.layout
    start = start_of(cm384, work, rule, layout)
    weights = float(held_weights_bytes(cm384.engine, layout, drafts=False))
    assert start.delay_s == pytest.approx(weights / cm384.host.bytes_per_s)
    assert start_of(cm384, work, replace(rule, delay_s=7.0), layout).delay_s == 7.0
    unknown = replace(cm384, host=replace(cm384.host, bytes_per_s=0.0))
    with pytest.raises(ScenarioError, match="how weights come"):
        start_of(unknown, work, rule, layout)


def test_rules_that_contradict_each_other_are_refused() -> None:
    rule = Autoscale(measure="queue", target_ratio=2.0)
    with pytest.raises(ScenarioError, match="two rules"):
        check_operations(Operations(autoscale=(rule, replace(rule, pool="decode"))))
    with pytest.raises(ScenarioError, match="from 3 to 2"):
        check_operations(Operations(autoscale=(replace(rule, fewest_count=3, most_count=2),)))
