"""Published serving runs, simulated request by request; nothing here is fitted to an end-to-end result."""

import os
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest

from superpod.catalog.load import Catalogue
from superpod.errors import NoBasisError
from superpod.serve.costs import Settings, capacity
from superpod.validate.inference import rate_of, replayed, run_of
from superpod.validate.point import Point, shipped_points
from superpod.validate.replay import decode_pool
from superpod.validate.run import predict_one
from superpod.validate.staged import drawn, loads_of, staged

CASES = {point.id: point for point in shipped_points()}
TRACES = Path(os.environ.get("SUPERPOD_TRACES", Path(__file__).parents[3] / "shared/data/traces"))
needs_traces = pytest.mark.skipif(
    not (TRACES / "llmservingsim_sharegpt-llama-3.1-8b-300-sps10.csv.gz").exists(),
    reason="the public LLMServingSim traces are not in $SUPERPOD_TRACES",
)
ONE_CARD = ("llmservingsim-rtx4090-l8b-replay", "llmservingsim-rtxpro6000-l8b-replay")
TWO_CARDS = ("llmservingsim-rtxpro6000-qwen3-32b-replay", "llmservingsim-rtxpro6000-qwen3-30b-a3b-replay")
LEVELS = ("b128", "b112", "b96", "b24", "b8")


def decode_case(level: str) -> Point:
    return CASES[f"cloudmatrix384-decode-{level}"]


@lru_cache(maxsize=1)
def catalogue() -> Catalogue:
    return Catalogue()


def errors(case: str, made: Catalogue | None = None) -> dict[str, float]:
    rows = predict_one(made or catalogue(), CASES[case], simulate=TRACES)
    return {row.what: row.error_frac for row in rows}


@needs_traces
@pytest.mark.parametrize("case", ONE_CARD)
def test_request_traces_on_one_card(case: str) -> None:
    found = errors(case)
    assert len(found) == 9
    assert np.median(np.abs(list(found.values()))) < 0.10
    assert max(map(abs, found.values())) < 0.17


@needs_traces
def test_the_bar_over_the_published_request_traces() -> None:
    found = [error for case in ONE_CARD for error in errors(case).values()]
    assert np.median(np.abs(found)) < 0.15


@needs_traces
def test_the_two_cards_of_a_pair_meet_the_run_at_the_rate_that_its_own_release_was_measured_at() -> None:
    measured = Catalogue(overrides={"links/pcie-switch:efficiency_frac": 0.24})  # vLLM 0.19: 15.3 of 64 GB/s
    for case in TWO_CARDS:
        assert max(map(abs, errors(case, measured).values())) < 0.15


def test_memory_for_caches_is_what_the_engine_printed() -> None:
    point = CASES[ONE_CARD[0]]
    run = run_of(catalogue(), point)
    printed = point.config["kv_blocks"] * point.config["block_tokens"]
    assert capacity(run.made.engine, run.deployment.layout, Settings()) == pytest.approx(printed, rel=0.05)


def test_a_trace_that_is_not_at_hand_is_said(tmp_path: Path) -> None:
    (row,) = predict_one(catalogue(), CASES[ONE_CARD[0]], simulate=tmp_path)
    assert row.predicted is None
    assert "not at hand" in row.reason
    (plain,) = predict_one(catalogue(), CASES[ONE_CARD[0]])
    assert plain.predicted is None
    with pytest.raises(NoBasisError):
        rate_of(run_of(catalogue(), CASES[ONE_CARD[0]]))


@pytest.mark.parametrize("level", LEVELS)
def test_a_decode_pool_in_a_closed_loop_is_the_steady_state(level: str) -> None:
    run = run_of(catalogue(), decode_case(level))
    steady, found = rate_of(run), decode_pool(run.engine, run.deployment)
    assert steady.output_per_s is not None
    assert found.output_per_s == pytest.approx(steady.output_per_s, rel=0.015)


@pytest.mark.parametrize("level", LEVELS)
def test_a_deployment_simulated_whole_decodes_as_its_pool_alone(level: str, tmp_path: Path) -> None:
    run = run_of(catalogue(), decode_case(level))
    alone, whole = decode_pool(run.engine, run.deployment), replayed(run, tmp_path)
    assert whole is not None
    assert whole.output_per_s == pytest.approx(alone.output_per_s, rel=0.02)
    assert whole.times_s["ttft"] > 1.0  # prompts are read: a pass takes seconds


@pytest.mark.parametrize("level", LEVELS)
def test_cloudmatrix384_serves_as_published(level: str, tmp_path: Path) -> None:
    """Prefill groups of 16 cards, caches over the fabric, EP320 on 160 cards: the five published latency targets."""
    (row,) = predict_one(catalogue(), decode_case(level), simulate=tmp_path)
    assert abs(row.error_frac) < 0.15
    assert row.inside


def test_a_documented_load_is_drawn_as_its_generator_does() -> None:
    run = run_of(catalogue(), CASES["blis-exp64-s0"])
    (load,) = loads_of(run.deployment, run.point.config)
    made = drawn(load)
    assert made.requests_count == load.rate_per_s * load.duration_s
    assert made.arrival_s[-1] == pytest.approx(load.duration_s)
    assert len(made.blocks) == made.requests_count * (load.shared_tokens // load.block_tokens)
    assert len(np.unique(made.blocks)) == load.groups_count * (load.shared_tokens // load.block_tokens)


def test_more_users_than_a_stage_can_hold_up_wait_for_answers() -> None:
    """Users whose turn comes before their answer: never more requests at once than users."""
    point = CASES["blis-exp62-s0"]
    run = run_of(catalogue(), point)
    few = {**point.config, "stages": [[200.0, 5.0]], "users": 8}
    found = staged(run.engine, run.deployment, few)
    open_ended = staged(run.engine, run.deployment, {**few, "users": 10_000})
    assert found.times_s["tpot"] < open_ended.times_s["tpot"]


@pytest.mark.parametrize("case", ["blis-exp60-s0", "blis-exp62-s0", "blis-exp63-s0"])
def test_documented_loads_within_the_bar(case: str, tmp_path: Path) -> None:
    """Of the numbers of a run the middle one is within 15 %."""
    rows = predict_one(catalogue(), CASES[case], simulate=tmp_path)
    assert len(rows) == 7
    assert np.median([abs(row.error_frac) for row in rows]) < 0.15
