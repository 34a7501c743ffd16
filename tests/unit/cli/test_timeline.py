"""A step's timeline as a trace file and as a picture."""

import json
from collections import defaultdict
from functools import cache
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest

from superpod.catalog.load import Catalogue
from superpod.cli.timeline_svg import ROWS, timeline_svg
from superpod.cli.trace_file import write_trace
from superpod.errors import SuperpodError
from superpod.parallel.layout import Layout
from superpod.plan.machine import machine
from superpod.plan.scenario import Scenario, Training
from superpod.train.timeline import StepTimeline, step_timeline

CASES = (
    ("1f1b", 1.0, 1.0, 8.0),
    ("1f1b", 8.0, 1.0, 32.0),
    ("1f1b", 8.0, 3.0, 1024.0),
    ("1f1b", 32.0, 1.0, 256.0),
    ("gpipe", 8.0, 1.0, 64.0),
    ("zb-v", 8.0, 2.0, 64.0),
    ("dualpipe", 8.0, 1.0, 64.0),
)


@cache
def made(schedule: str, pipeline: float, virtual: float, sequences: float) -> StepTimeline:
    scenario = Scenario(model="gpt3-175b", pod="hgx-a100", work=Training(), cards=64)
    layout = Layout(tensor=8.0, pipeline=pipeline, virtual=virtual, schedule=schedule)
    return step_timeline(machine(Catalogue(), scenario).engine, layout, (sequences, 2048.0))


@pytest.mark.parametrize("case", CASES)
def test_a_trace_is_in_the_format_that_viewers_read(case: tuple[str, float, float, float], tmp_path: Path) -> None:
    """The Trace Event Format: complete events with ts and dur, nested or apart on a thread; flows that bind to them."""
    timeline = made(*case)
    path = tmp_path / "trace.json"
    write_trace(path, timeline)
    events = json.loads(path.read_text(encoding="utf-8"))["traceEvents"]
    assert list(tmp_path.iterdir()) == [path]
    threads: defaultdict[tuple[int, int], list[tuple[float, float]]] = defaultdict(list)
    named = {(event["pid"], event["tid"]) for event in events if event["name"] == "thread_name"}
    stages = [event["args"]["name"] for event in events if event["name"] == "process_name"]
    assert stages == [f"stage {stage}" for stage in range(timeline.stages_count)]
    assert len({thread for _, thread in named}) == len(named)
    for event in events:
        assert event.keys() >= {"name", "ph", "pid", "tid"}
        assert event["pid"] > 0
        if event["ph"] == "X":
            assert event["dur"] >= 0
            threads[event["pid"], event["tid"]].append((event["ts"], event["ts"] + event["dur"]))
    assert threads.keys() == named
    for spans in threads.values():
        assert all(after[0] >= before[1] - 1e-6 for before, after in pairwise(spans))
    last = max(end for spans in threads.values() for _, end in spans)
    assert last == pytest.approx(timeline.end_s * 1e6, abs=0.01)
    starts = {place: {start for start, _ in spans} for place, spans in threads.items()}
    sent = {event["id"]: event for event in events if event["ph"] == "s"}
    arrived = [event for event in events if event["ph"] == "f"]
    assert len(sent) == len(arrived)
    for event in arrived:
        assert event["ts"] >= sent[event["id"]]["ts"]
        assert event["ts"] in starts[event["pid"], event["tid"]]


def test_a_long_step_says_what_its_trace_leaves_out(tmp_path: Path) -> None:
    write_trace(tmp_path / "trace.json", made(*CASES[2]))
    events = json.loads((tmp_path / "trace.json").read_text(encoding="utf-8"))["traceEvents"]
    gaps = [event for event in events if event.get("cat") == "gap"]
    assert len(gaps) == 8
    assert gaps[0]["name"] == "... 984 micro-batches repeat ..."


def test_a_trace_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(SuperpodError, match="cannot write the file"):
        write_trace(tmp_path / "no" / "trace.json", made(*CASES[0]))
    (tmp_path / "folder").mkdir()
    with pytest.raises(SuperpodError, match="cannot write the file"):
        write_trace(tmp_path / "folder", made(*CASES[0]))
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


@pytest.mark.parametrize("case", CASES)
def test_a_picture_is_one_small_element_that_says_what_it_shows(case: tuple[str, float, float, float]) -> None:
    timeline = made(*case)
    drawn = timeline_svg(timeline)
    root = ElementTree.fromstring(drawn)  # noqa: S314 - our own
    assert [child.tag for child in root][:2] == ["title", "desc"]
    rows = root.findall("g")
    assert len(rows) == min(timeline.stages_count, ROWS)
    assert len(drawn) < 10_000 * len(rows) + 10_000
    assert "script" not in drawn
    assert "nan" not in drawn.lower()
    said = "".join(root.itertext())
    assert ("24 of 32 stages" in said) == (timeline.stages_count == 32)
    assert ("micro-batches repeat" in said) == (case[3] >= 64 and case[0] != "gpipe")
