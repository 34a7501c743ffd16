"""Prompts read on one machine and decoded on another: against one machine, and what moves the answer."""

from dataclasses import replace

import numpy as np
import pytest

from superpod.catalog.load import SHIPPED, Catalogue
from superpod.errors import InfeasibleError, ScenarioError
from superpod.plan.evaluate import evaluate
from superpod.plan.machine import machine
from superpod.plan.scenario import Scenario, Serving
from superpod.plan.serving.pair import (
    Pair,
    Side,
    links_frac,
    outward,
    pair,
    pool_cards,
    pool_rates,
    repriced,
    search_pair,
)
from superpod.plan.serving.search import instance_ranks, requests_of, search

WORK = Serving(mode="disaggregated")
PLAIN = Scenario(model="deepseek-r1", pod="gb200-nvl72", work=WORK)
PAIR = replace(PLAIN, prefill_pod="hgx-h100", prefill_cards=64)


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return Catalogue(folders=(SHIPPED,), overrides={}, estimates=False)


def faster(side: Side, factor: float) -> Side:
    """Return a side whose chip multiplies faster."""
    device = side.machine.device
    rates = {name: rate * factor for name, rate in device.matrix_flop_per_s.items()}
    return replace(side, machine=replace(side.machine, device=replace(device, matrix_flop_per_s=rates)))


def narrower(side: Side, factor: float) -> Side:
    """Return a side whose network carries less."""
    tier = side.outward.tiers[-1]
    slow = replace(tier, bytes_per_s=tier.bytes_per_s / factor)
    return replace(side, outward=replace(side.outward, tiers=(*side.outward.tiers[:-1], slow)))


def test_the_same_pod_on_both_sides_serves_what_one_machine_serves(catalogue: Catalogue) -> None:
    plain = search(machine(catalogue, PLAIN), WORK, {}).best
    assert plain is not None
    read = round(plain.prefill_instances * float(instance_ranks(plain.prefill.layout)))
    both = pair(catalogue, replace(PLAIN, cards=72 - read, prefill_pod=PLAIN.pod, prefill_cards=read))
    found = search_pair(both, WORK, {}).best
    assert found is not None
    assert found.tokens_per_s == pytest.approx(plain.tokens_per_s, rel=1e-9)
    assert found.decode.layout == plain.decode.layout
    assert found.tpot_s == plain.tpot_s
    assert float(found.prefill.tokens_per_s_rank) == pytest.approx(float(plain.prefill.tokens_per_s_rank))


def test_a_faster_prefill_chip_never_lowers_the_rate(catalogue: Catalogue) -> None:
    made = pair(catalogue, PAIR)
    rates = []
    for factor in (0.5, 1.0, 2.0, 4.0, 8.0):
        best = search_pair(replace(made, prefill=faster(made.prefill, factor)), WORK, {}).best
        rates.append(best.tokens_per_s if best is not None else 0.0)
    assert np.all(np.diff(rates) >= 0.0)
    assert rates[-1] > rates[0]


def test_the_slower_network_sets_the_transfer_and_in_the_end_the_rate(catalogue: Catalogue) -> None:
    made = pair(catalogue, PAIR)
    base = search_pair(made, WORK, {}).best
    slow = search_pair(replace(made, decode=narrower(made.decode, 200.0)), WORK, {}).best
    assert base is not None
    assert slow is not None
    assert slow.transfer_s > base.transfer_s
    assert slow.tokens_per_s < base.tokens_per_s
    for end in links_frac(replace(made, decode=narrower(made.decode, 200.0)), requests_of(WORK), slow):
        assert end <= 1.0 + 1e-9


def test_pools_keep_the_rate_up_with_the_fewest_instances(catalogue: Catalogue) -> None:
    made = pair(catalogue, PAIR)
    best = search_pair(made, WORK, {}).best
    assert best is not None
    rates = pool_rates(made, requests_of(WORK), best)
    assert min(rates.values()) == pytest.approx(best.tokens_per_s)
    assert repriced(made, WORK, best) == pytest.approx(best.tokens_per_s)
    decode, read = pool_cards(made, best)
    assert decode <= made.decode.machine.cards_count
    assert read <= made.prefill.machine.cards_count
    fewer = replace(best, decode_instances=best.decode_instances - 1.0)
    assert best.decode_instances == 1.0 or min(pool_rates(made, requests_of(WORK), fewer).values()) < best.tokens_per_s


def test_a_report_names_both_machines_and_rests_on_facts_of_both(catalogue: Catalogue) -> None:
    report = evaluate(catalogue, PAIR)
    assert [(item.phase, item.pod.split("@")[0]) for item in report.stations] == [
        ("prefill", "hgx-h100"),
        ("decode", "gb200-nvl72"),
    ]
    assert report.cards_used_count == sum(item.cards_used_count for item in report.stations)
    where = {used.where for used in report.facts}
    assert {
        "pods/hgx-h100:scale_out.bandwidth_bytes_per_s",
        "pods/gb200-nvl72:scale_out.bandwidth_bytes_per_s",
    } <= where
    assert "HGX H100" in report.binding
    assert any(item.where.startswith("chips/h100-sxm:") for item in report.sensitivities)


def test_a_cost_of_one_machine_alone_is_not_told(catalogue: Catalogue) -> None:
    report = evaluate(catalogue, replace(PAIR, pod="atlas950-1024"))
    assert not any(metric.unit == "USD" for metric in report.metrics)
    assert any(note.startswith(("no power", "no cost")) and "950" in note for note in report.notes)


def test_caches_of_two_formats_are_refused(catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    def other(catalogue: Catalogue, scenario: Scenario) -> object:
        made = machine(catalogue, scenario)
        size = 1.0 if scenario.pod == "hgx-h100" else 2.0
        return replace(made, precision=replace(made.precision, kv_bytes=size))

    monkeypatch.setattr("superpod.plan.serving.pair.machine", other)
    with pytest.raises(ScenarioError, match="bytes an element"):
        pair(catalogue, PAIR)


def test_instances_that_do_both_and_pods_without_a_network_are_refused(catalogue: Catalogue) -> None:
    with pytest.raises(ScenarioError, match="one pool each"):
        pair(catalogue, replace(PAIR, work=replace(WORK, mode="aggregated")))
    made = machine(catalogue, PLAIN)
    with pytest.raises(ScenarioError, match="no scale-out network"):
        outward(catalogue, replace(made, pod=replace(made.pod, scale_out=None)))


def test_a_machine_that_cannot_read_in_time_is_named(catalogue: Catalogue) -> None:
    with pytest.raises(InfeasibleError, match="HGX H100"):
        evaluate(catalogue, replace(PAIR, work=replace(WORK, ttft_s=0.001)))


def test_the_pair_knows_its_sides(catalogue: Catalogue) -> None:
    made: Pair = pair(catalogue, PAIR)
    assert made.side("prefill").machine.pod.id == "hgx-h100"
    assert made.side("decode").machine.pod.id == "gb200-nvl72"
    assert made.side("decode").rank_bytes_per_s <= 50e9
