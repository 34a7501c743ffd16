"""`superpod serve` with operations as a user asks for them: scaling, refusals, preemption, tiers, failures by name."""

import json
from pathlib import Path

import pytest

from commands import report, superpod

MACHINE = ["serve", "llama-3.1-8b", "--pod", "hgx-h100", "--cards", "8", "--slo", "ttft=500ms,tpot=30ms"]
DRAWN = [*MACHINE, *["--rate", "poisson:60", "--lengths", "uniform:100-2000", "fixed:100", "--requests", "300"]]
TOGETHER = [*DRAWN, "--mode", "aggregated"]


def test_instances_follow_their_load_within_bounds(tmp_path: Path) -> None:
    page = tmp_path / "r.html"
    found = report(*TOGETHER, "--autoscale", "queue=1,from=1,to=3,every=1s", "--html", str(page))
    (scaling,) = found["operated"]["scaling"]
    assert (scaling["fewest_count"], scaling["most_count"]) == (1, 3)
    assert 1.0 <= scaling["up_mean_count"] <= 3.0
    assert max(found["outcome"]["series"]["instances_up"]) <= 3.0 + 1e-9
    assert found["operated"]["card_hours_count"] < found["operated"]["whole_card_hours_count"]
    assert 0.0 < scaling["delay_s"] < 60.0
    assert "of weights from disks" in scaling["delay_basis"]
    text = page.read_text(encoding="utf-8")
    assert "What operations did" in text
    assert "Instances up" in text


def test_refused_requests_are_counted_and_every_request_ends_once() -> None:
    found = report(*TOGETHER, "--queue-limit", "1")
    counts = found["outcome"]["counts"]
    assert counts["refused"] == found["operated"]["refused_count"] > 0
    assert sum(counts.values()) == 300
    assert any(cause["code"] == "refused" for cause in found["outcome"]["causes"])


def test_a_tray_takes_its_cards_and_a_plane_slows_all() -> None:
    found = report(*TOGETHER, "--fail", "plane:1@2s+1s", "--fail", "node:0@4s+500ms")
    plane, node = found["operated"]["failed"]
    assert (plane["what"], plane["cards_count"]) == ("plane:1", 0)
    assert (node["what"], node["cards_count"]) == ("node:0", 8)
    assert found["operated"]["failed_cards_count"] == 8
    assert found["harm"]["missed_count"] > 0
    said = superpod(*TOGETHER, "--fail", "node:0@4s+500ms").stdout
    assert "node:0 at 4.00 s (8 cards), back after 500 ms" in said


def test_disks_hold_what_host_memory_has_no_room_for(tmp_path: Path) -> None:
    trace = tmp_path / "t.jsonl"
    rows = [
        {"timestamp": 500 * row, "input_length": 600, "output_length": 20, "hash_ids": [row % 5, row + 9]}
        for row in range(40)
    ]
    trace.write_text("\n".join(map(json.dumps, rows)) + "\n", encoding="utf-8")
    shares = {
        tier: report(*MACHINE, "--trace", str(trace), "--prefix-cache", tier)["outcome"]["hit_frac"]
        for tier in ("chips", "host", "disk")
    }
    assert shares["disk"] >= shares["host"] >= shares["chips"] > 0.0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((*MACHINE, "--queue-limit", "3"), "goes with --trace"),
        ((*DRAWN, "--autoscale", "speed=3"), "names not one of busy, memory, queue"),
        ((*DRAWN, "--autoscale", "queue=0"), "target"),
        ((*DRAWN, "--autoscale", "queue=2,pool=both"), "pool"),
        ((*DRAWN, "--autoscale", "queue=2,size=4"), "'size' is no part of a rule"),
        ((*DRAWN, "--autoscale", "queue=2,from=3,to=2"), "from 3 to 2"),
        ((*DRAWN, "--autoscale", "queue=2,to=300"), "has 300 instances of one stage"),
        ((*DRAWN, "--autoscale", "queue=2", "--autoscale", "busy=50%"), "two rules for one pool"),
        ((*DRAWN, "--queue-limit", "0"), "no limit"),
        ((*DRAWN, "--queue-limit", "-2s"), "no limit"),
        ((*DRAWN, "--fail", "rack:0@3s"), "not described in parts called 'rack'"),
        ((*DRAWN, "--fail", "tray:9@3s"), "no tray:9"),
        ((*DRAWN, "--fail", "plane:9@3s"), "node has 4 planes"),
        ((*DRAWN, "--fail", "plane:pod:1@3s"), "no tier 'pod' with planes"),
        ((*DRAWN, "--fail", "tray@3s"), "is no failure"),
        ((*DRAWN, "--pod", "sd200", "--estimates", "--preemption", "swap"), "--preemption swap"),
    ],
)
def test_each_mistake_is_one_clear_error(words: tuple[str, ...], said: str) -> None:
    done = superpod(*words)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
