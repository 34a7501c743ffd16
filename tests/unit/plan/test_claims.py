"""Published claims: hand-worked values of the main ratios, and that each claim is whole."""

import time

import pytest

from superpod.catalog.load import Catalogue
from superpod.errors import UnknownNameError
from superpod.plan.claims.answer import CHECKS, agrees, all_claims, claim
from superpod.plan.claims.verdict import Verdict

LAUNCH = (
    "atlas950-cards",
    "atlas950-compute",
    "atlas950-memory",
    "atlas950-bandwidth",
    "al128-inference",
    "cm384-cascade",
    "atlas950-scale",
    "atlas960-scale",
    "cabinet-power",
    "supernode-bandwidth",
    "supernode-latency",
)
YES, IF, NO, OPEN = "reproduces", "only under these assumptions", "does not reproduce", "not checkable"

# Worked by hand from the vendors' pages; (id, computed, outcome).
WORKED = (
    ("atlas950-cards", 8192 / 144, IF),
    ("atlas950-compute", 8 / 1.2, YES),
    ("atlas950-memory", 1152 / 75, IF),
    ("atlas950-bandwidth", 16.3 / 0.26, YES),
    ("cm384-cascade", 165_888, YES),
    ("atlas950-scale", 128 * 64, IF),
    ("atlas960-scale", 176 * 88, IF),
    ("cabinet-power", 132e3, IF),
    ("supernode-bandwidth", 392 / 25, IF),
    ("supernode-latency", 0.35e-6, NO),
    ("atlas950-1024-cards", 1024 / 72, NO),
    ("atlas950-1024-compute", 0.941 / 1.26, NO),
    ("atlas950-1024-memory", 98.3 / 20.7, NO),
    ("atlas950-1024-bandwidth", 1720 / 260, NO),
    ("atlas950-1024-fp8", 16 * 58.8e15, IF),
    ("atlas950-1024-fp4", 16 * 114.1e15, IF),
    ("atlas950-8192-fp8", 8192 * 0.973e15, YES),
    ("atlas950-8192-memory", 1152e12, IF),
    ("atlas950-8192-fabric", 8192 * 2.0e12, YES),
    ("atlas960-15488-fp8", 30.976e18, YES),
    ("atlas960-15488-memory", 15_488 * 288e9, YES),
    ("atlas960-15488-fabric", 15_488 * 2.2e12, YES),
    ("atlas960-doubles", 30 / 8, NO),
    ("atlas960-ports", 2.195 / 1.990, NO),
    ("atlas960-4096-fp8", 8.192e18, YES),
    ("atlas960-4096-memory", 1.1796e15, YES),
    ("supercluster-compute", 524.288e18, IF),
    ("supercluster-cards", 524_288, YES),
    ("atlas950-inference-gain", 19.6e6 / (384 * 1943), IF),
    ("atlas960-training-gain", 15.9 / 4.91, YES),
    ("atlas960-inference-gain", 80.5 / 19.6, YES),
    ("cm384-compute", 288.8e15, YES),
    ("cm384-fabric", 384 * 0.7e12, YES),
    ("cm384-optical-modules", 2 * 2688 + 4 * 384, YES),
    ("cm384-nvl72-compute", 299.5 / 180, IF),
    ("cm384-nvl72-memory", 49.15 / 13.4, YES),
    ("cm384-nvl72-memory-bandwidth", 1229 / 576, YES),
    ("cm384-nvl72-power", 559 / 145, IF),
    ("cm384-nvl72-power-per-flop", (559 / 145) / (299.5 / 180), IF),
    ("helios-fp4", 72 * 40.3e15, IF),
    ("helios-fp8", 72 * 20.1e15, IF),
    ("ironwood-compute", 9216 * 4.614e15, YES),
    ("vr-nvl72-fabric", 72 * 3.6e12, YES),
    ("trn3-compute", 144 * 2.517e15, YES),
)
# What an even basis makes of a claim stands in the reason; (id, text).
EVEN = (
    ("atlas950-cards", "114x"),
    ("atlas950-memory", "56.9x"),
    ("supernode-bandwidth", "7.84x"),
    ("atlas950-scale", "1,024"),
    ("atlas960-scale", "4,096"),
    ("supercluster-compute", "512 EFLOP/s"),
    ("atlas950-inference-gain", "1.23x"),
    ("cm384-nvl72-compute", "1.60x"),
    ("cm384-nvl72-power", "5.45x"),
    ("helios-fp8", "720 PFLOP/s"),
    ("cabinet-power", "CloudMatrix384"),
    ("atlas950-training-gain", "0.797x"),
)
SIMULATED = tuple(name for name in CHECKS if name.startswith("cm384-decode") or name == "cm384-prefill-balanced")


@pytest.fixture(scope="module")
def verdicts() -> dict[str, Verdict]:
    return {item.id: item for item in all_claims(Catalogue())}


def test_every_claim_file_has_a_check_and_every_check_a_file() -> None:
    assert sorted(CHECKS) == sorted(Catalogue().names("claims"))


def test_launch_claims_come_first(verdicts: dict[str, Verdict]) -> None:
    assert tuple(verdicts)[: len(LAUNCH)] == LAUNCH
    assert all("decode" in name or "prefill" in name for name in tuple(verdicts)[len(LAUNCH) : len(LAUNCH) + 7])


@pytest.mark.parametrize(("name", "value", "expected"), WORKED)
def test_hand_worked(verdicts: dict[str, Verdict], name: str, value: float, expected: str) -> None:
    assert verdicts[name].computed == pytest.approx(value, rel=2e-3)
    assert verdicts[name].outcome == expected


@pytest.mark.parametrize(("name", "text"), EVEN)
def test_reason_says_what_an_even_basis_makes_of_it(verdicts: dict[str, Verdict], name: str, text: str) -> None:
    assert text in verdicts[name].because


@pytest.mark.parametrize("name", CHECKS)
def test_verdict_is_whole(verdicts: dict[str, Verdict], name: str) -> None:
    catalogue, verdict = Catalogue(), verdicts[name]
    entry = catalogue.claim(name)
    assert verdict.arithmetic
    assert verdict.because
    assert any(character.isdigit() for character in verdict.arithmetic)
    assert not verdict.arithmetic.startswith("stopped")
    cited = {verdict.source, *(fact.source for fact in entry.facts.values() if fact.source)}
    assert cited <= set(catalogue.sources())
    if verdict.outcome == OPEN:
        assert verdict.computed is None
        assert entry.lacks
    if verdict.outcome == IF:
        assert entry.assumptions
        assert entry.assumptions in verdict.because
        assert entry.even_basis in verdict.because


def test_reproduced_claims_are_within_their_tolerance(verdicts: dict[str, Verdict]) -> None:
    reproduced = [item for item in verdicts.values() if item.outcome == YES]
    assert reproduced
    for item in reproduced:
        entry = Catalogue().claim(item.id)
        assert item.computed is not None
        assert agrees(entry, item.computed)
        if entry.relation == "equal":
            assert item.computed == pytest.approx(entry.claimed, rel=entry.tolerance_frac + 1e-12)


@pytest.mark.parametrize("name", SIMULATED)
def test_cloudmatrix384_serving_is_within_thirty_percent(verdicts: dict[str, Verdict], name: str) -> None:
    verdict = verdicts[name]
    assert verdict.computed == pytest.approx(verdict.claimed, rel=0.3)


def test_al128_gain_is_between_nothing_and_the_claim(verdicts: dict[str, Verdict]) -> None:
    for name in ("al128-inference", "al128-moe-decode"):
        verdict = verdicts[name]
        assert verdict.computed is not None
        assert 1.0 <= verdict.computed < 2.0
        assert "estimates" in verdict.because


def test_a_users_number_moves_the_verdict() -> None:
    changed = Catalogue(overrides={"pods/atlas950-8192:published.fp8_flop_per_s": 4e18})
    verdict = claim(changed, "atlas950-compute")
    assert verdict.computed == pytest.approx(4 / 1.2)
    assert verdict.outcome == NO


def test_unknown_claim_is_named() -> None:
    with pytest.raises(UnknownNameError, match="atlas950-cards"):
        claim(Catalogue(), "atlas950-card")


def test_all_claims_take_less_than_fifteen_seconds() -> None:
    start = time.perf_counter()
    all_claims(Catalogue())
    assert time.perf_counter() - start < 15.0


def test_the_power_of_a_cabinet_is_answered_for_every_pod_whose_cabinets_are_counted() -> None:
    catalogue = Catalogue()
    found = claim(catalogue, "cabinet-power").pods
    counted = [catalogue.pod(name) for name in catalogue.names("pods")]
    assert {one.pod for one in found} == {pod.name for pod in counted if pod.power.cabinets_count is not None}
    answers = {one.pod: one for one in found}
    assert answers["GB200 NVL72"].answer == "yes"
    assert answers["GB200 NVL72"].computed == pytest.approx(112e3, rel=0.05)
    assert answers["CloudMatrix384 (Atlas 900 A3 SuperPoD)"].answer == "no"
    assert all(one.source for one in found if one.published is not None)
    refused = [one for one in found if one.answer == "refused"]
    assert refused
    assert all(one.published is None and one.computed is None and "is not published" in one.because for one in refused)


def test_estimates_answer_by_parts_and_say_so() -> None:
    found = {one.pod: one for one in claim(Catalogue(estimates=True), "cabinet-power").pods}
    one = found["CloudMatrix384 (Atlas 900 A3 SuperPoD)"]
    assert one.published == pytest.approx(44.9e3, rel=0.01)
    assert one.computed is not None
    assert "estimate" in one.because
    assert any(other.answer.endswith("by its parts") for other in found.values())
