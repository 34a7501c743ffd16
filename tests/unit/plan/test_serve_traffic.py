"""Requests of a question with traffic: streams, what is counted of them, and what is said."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from superpod.catalog.load import SHIPPED, Catalogue
from superpod.errors import InfeasibleError, ScenarioError, TrafficError
from superpod.plan.operations import Failure
from superpod.plan.scenario import GivenPool, Scenario, Serving, Traffic
from superpod.plan.serving.tally import Histogram, Tally
from superpod.plan.serving.traffic import check_traffic, described, requests_of
from superpod.plan.serving.traffic_answer import Answered, evaluate_traffic
from superpod.serve.simulation.answer import Served
from superpod.traffic.requests import ClosedLoop, Trace, joined

DRAWN = Traffic(rate="poisson:20", prompt="uniform:100-2000", output="fixed:100", requests_count=200, seed=1)
QUESTION = Scenario(model="llama-3.1-8b", pod="hgx-h100", cards=8, work=Serving(ttft_s=0.5, tpot_s=0.03), traffic=DRAWN)


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return Catalogue(folders=(SHIPPED,), overrides={}, estimates=False)


@pytest.fixture(scope="module")
def answered(catalogue: Catalogue) -> Answered:
    return evaluate_traffic(catalogue, replace(QUESTION, traffic=replace(DRAWN, sweep=True)))


def all_of(traffic: Traffic, rate_factor: float = 1.0) -> Trace:
    stream = requests_of(traffic, rate_factor)
    assert not isinstance(stream, ClosedLoop)
    return joined(stream)


def test_the_same_seed_draws_the_same_requests_and_another_does_not() -> None:
    one, two, other = all_of(DRAWN), all_of(DRAWN), all_of(replace(DRAWN, seed=2))
    np.testing.assert_array_equal(one.arrival_s, two.arrival_s)
    np.testing.assert_array_equal(one.prompt_tokens, two.prompt_tokens)
    assert not np.array_equal(one.arrival_s, other.arrival_s)


def test_faster_requests_are_the_same_ones_closer_together() -> None:
    slow, fast = all_of(DRAWN), all_of(replace(DRAWN, rate_factor=2.0), 2.0)
    np.testing.assert_allclose(fast.arrival_s, slow.arrival_s / 4.0)
    np.testing.assert_array_equal(fast.prompt_tokens, slow.prompt_tokens)


def test_a_trace_that_is_too_short_is_repeated(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text("arrival_s,prompt_tokens,output_tokens\n0,10,2\n1,20,3\n", encoding="utf-8")
    found = all_of(Traffic(trace=str(file), requests_count=5))
    assert found.prompt_tokens.tolist() == [10, 20, 10, 20, 10]
    assert described(Traffic(trace=str(file))).requests_count == 2


@pytest.mark.parametrize(
    ("traffic", "said"),
    [
        (Traffic(), "how long requests are"),
        (Traffic(prompt="8", output="8"), "when requests come"),
        (Traffic(trace="t.csv", prompt="8", output="8"), "lengths of its own"),
        (Traffic(rate="3", prompt="8", output="8", concurrency_count=4), "closed loop"),
    ],
)
def test_traffic_that_contradicts_itself_is_refused(traffic: Traffic, said: str) -> None:
    with pytest.raises(ScenarioError, match=said):
        check_traffic(traffic)


def test_words_that_nobody_knows_are_refused() -> None:
    with pytest.raises(TrafficError, match="is none of"):
        all_of(replace(DRAWN, rate="poison:3"))


def test_percentiles_of_a_histogram_are_those_of_the_numbers() -> None:
    times = np.random.default_rng(0).lognormal(0.0, 1.5, 20_000)
    histogram = Histogram()
    for part in np.array_split(times, 7):
        histogram.add(part)
    spread = histogram.spread()
    assert spread.mean_s == pytest.approx(times.mean())
    assert spread.most_s == times.max()
    for share, found in ((50, spread.p50_s), (90, spread.p90_s), (99, spread.p99_s)):
        assert found == pytest.approx(np.percentile(times, share), rel=3e-3)
    assert Histogram().spread().p99_s == 0.0


def test_weights_count_as_often_as_they_say() -> None:
    weighed, often = Histogram(), Histogram()
    weighed.add(np.array([1.0, 5.0]), np.array([9.0, 1.0]))
    often.add(np.array([1.0] * 9 + [5.0]))
    assert weighed.spread() == often.spread()


def served(ttft_s: list[float], tpot_s: list[float], prompt: list[int], status: list[int]) -> Served:
    count, output = len(ttft_s), 11
    whole = np.zeros(count, dtype=np.int64)
    first = np.array(ttft_s)
    return Served(
        number=np.arange(count),
        status=np.array(status),
        arrival_s=np.zeros(count),
        admitted_s=np.zeros(count),
        first_token_s=first,
        finish_s=first + np.array(tpot_s) * (output - 1),
        prompt_tokens=np.array(prompt),
        output_tokens=whole + output,
        hit_tokens=whole,
        preempted_count=whole,
        reader=whole,
        decoder=whole,
    )


def test_each_request_that_misses_has_one_reason() -> None:
    tally = Tally(ttft_target_s=1.0, tpot_target_s=0.1, unloaded_s=lambda tokens: tokens / 1000.0)
    tally.add(
        served([0.5, 1.5, 3.0, 0.5, 0.0], [0.05, 0.05, 0.05, 0.2, 0.0], [100, 100, 2000, 100, 1], [0, 0, 0, 0, 1])
    )
    assert {cause.code: cause.share_frac for cause in tally.causes()} == pytest.approx(
        {"waiting": 0.2, "alone": 0.2, "decode": 0.2, "refused": 0.2}
    )
    assert tally.met["both"] == 1
    assert tally.good_tokens == 11
    assert [item.requests_count for item in tally.length_classes()] == [4]


def test_an_answer_holds_together(answered: Answered) -> None:
    report, found = answered.report, answered.report.outcome
    assert found.condition == "stable"
    assert found.finished_count == found.arrived_count == 200
    assert sum(cause.share_frac for cause in found.causes) == pytest.approx(1.0 - found.met_frac)
    assert sum(item.requests_count for item in found.classes) == found.finished_count
    assert found.times.ttft.mean_s == pytest.approx(found.times.unloaded.mean_s + found.times.waiting.mean_s)
    assert report.band[0] <= report.headline.value <= report.band[1]
    assert report.slow is not None
    assert report.quick is not None
    assert report.quick.times.latency.p90_s < found.times.latency.p90_s < report.slow.times.latency.p90_s
    assert report.trials[0].deployment == report.deployment
    assert sum(found.series["finishes"]) == pytest.approx(200)


def test_higher_rates_meet_targets_less_often(answered: Answered) -> None:
    sweep = answered.report.sweep
    assert sweep is not None
    rates = [point.offered_per_s for point in sweep.points]
    assert rates == sorted(rates)
    good = [point for point in sweep.points if point.met_frac >= sweep.wanted_frac and point.condition != "overloaded"]
    assert sweep.most_per_s == good[-1].offered_per_s


def test_the_same_question_has_the_same_answer(catalogue: Catalogue, answered: Answered) -> None:
    again = evaluate_traffic(catalogue, replace(QUESTION, traffic=replace(DRAWN, sweep=True)))
    assert again.report == answered.report


def test_a_closed_loop_keeps_so_many_under_way(catalogue: Catalogue) -> None:
    traffic = Traffic(prompt="fixed:500", output="fixed:50", concurrency_count=16, requests_count=200)
    found = evaluate_traffic(catalogue, replace(QUESTION, traffic=traffic)).report.outcome
    assert found.finished_count == 200
    assert max(found.series["in_flight"]) <= 16.0 + 1e-6


def test_pools_may_be_pinned(catalogue: Catalogue) -> None:
    found = evaluate_traffic(catalogue, replace(QUESTION, traffic=replace(DRAWN, pools_cards=(2, 6)))).report
    assert found.deployment["mode"] == "disaggregated"
    prefill, decode = found.outcome.pools
    assert prefill.instances_count * prefill.ranks_count <= 2
    assert decode.instances_count * decode.ranks_count <= 6


def test_a_deployment_may_be_given_whole(catalogue: Catalogue) -> None:
    pool = GivenPool(mode="aggregated", instances_count=4, layout={"tensor": 2.0}, sequences_max_count=64.0)
    found = evaluate_traffic(catalogue, replace(QUESTION, traffic=replace(DRAWN, pools=(pool,)))).report
    assert [(use.name, use.instances_count, use.ranks_count) for use in found.outcome.pools] == [("all", 4, 2.0)]
    assert len(found.trials) == 1
    for pools, said in (((replace(pool, instances_count=5),), "10 ranks"), ((pool, pool), "aggregated, aggregated")):
        with pytest.raises(ScenarioError, match=said):
            evaluate_traffic(catalogue, replace(QUESTION, traffic=replace(DRAWN, pools=pools)))


def test_what_cannot_be_in_time_says_so(catalogue: Catalogue) -> None:
    work = Serving(ttft_s=0.5, tpot_s=1e-5)
    with pytest.raises(InfeasibleError, match="TPOT"):
        evaluate_traffic(catalogue, replace(QUESTION, work=work))


def prefixed(path: Path) -> Traffic:
    """Forty families of prompts: 3,072 tokens alike, 128 of their own."""
    with path.open("w", encoding="utf-8") as stream:
        for row in range(240):
            blocks = [6 * (row % 40) + place for place in range(6)] + [1000 + row]
            line = {"timestamp": 100 * row, "input_length": 3200, "output_length": 40, "hash_ids": blocks}
            stream.write(json.dumps(line) + "\n")
    return Traffic(trace=str(path))


def test_prompts_that_begin_alike_are_read_once(catalogue: Catalogue, tmp_path: Path) -> None:
    traffic = prefixed(tmp_path / "t.jsonl")
    off, chips, peers = (
        evaluate_traffic(catalogue, replace(QUESTION, traffic=replace(traffic, prefix_cache=word))).report.outcome
        for word in ("off", "chips", "peers")
    )
    assert off.hit_frac == 0.0
    assert chips.hit_frac > 0.5
    assert peers.hit_frac >= chips.hit_frac
    assert chips.times.ttft.mean_s < off.times.ttft.mean_s
    assert off.finished_count == chips.finished_count == peers.finished_count == 240


def test_a_cache_in_host_memory_needs_hosts(catalogue: Catalogue, tmp_path: Path) -> None:
    traffic = replace(prefixed(tmp_path / "t.jsonl"), prefix_cache="host")
    bare = replace(catalogue, overrides={"pods/hgx-h100:host.link_bytes_per_s": None})
    with pytest.raises(ScenarioError, match="hosts and the way to it"):
        evaluate_traffic(bare, replace(QUESTION, traffic=traffic))


@pytest.mark.parametrize("elastic", [False, True])
def test_cards_that_fail_cost_what_the_report_says(catalogue: Catalogue, elastic: bool) -> None:
    pools = (GivenPool(mode="aggregated", instances_count=2, layout={"tensor": 4.0}),)
    failure = Failure(first_count=1, last_count=1, at_s=2.0, down_s=4.0)
    traffic = replace(DRAWN, rate="poisson:40", pools=pools, failures=(failure,), elastic=elastic)
    answered = evaluate_traffic(catalogue, replace(QUESTION, traffic=traffic))
    (mishap,) = answered.chosen.fleet.mishaps
    assert (mishap.instance, mishap.slow_factor) == (0, 4.0 / 3.0 if elastic else None)
    report = answered.report
    assert report.harm is not None
    assert report.harm.failures_count == 1
    assert report.harm.finished_count == report.outcome.finished_count == 200
    whole = evaluate_traffic(catalogue, replace(QUESTION, traffic=replace(traffic, failures=()))).report
    assert whole.harm is None
    assert whole.outcome.times.latency.mean_s < report.outcome.times.latency.mean_s
    assert whole.outcome.times.ttft.p90_s == report.harm.ttft_p90_s


def test_a_card_that_the_machine_has_not_cannot_fail(catalogue: Catalogue) -> None:
    failure = Failure(first_count=7, last_count=8, at_s=2.0)
    with pytest.raises(ScenarioError, match="cards 7 to 8; the machine has 8"):
        evaluate_traffic(catalogue, replace(QUESTION, traffic=replace(DRAWN, failures=(failure,))))


def test_an_instance_that_never_comes_back_leaves_its_requests_to_others(catalogue: Catalogue) -> None:
    pools = (GivenPool(mode="aggregated", instances_count=2, layout={"tensor": 4.0}),)
    failure = Failure(first_count=0, last_count=3, at_s=2.0)
    found = evaluate_traffic(catalogue, replace(QUESTION, traffic=replace(DRAWN, pools=pools, failures=(failure,))))
    assert found.report.outcome.finished_count == 200
