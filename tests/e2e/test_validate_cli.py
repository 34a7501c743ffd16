"""`superpod validate` from its command line."""

import csv
import json
from pathlib import Path

import pytest

from superpod.cli.main import run
from superpod.validate.bands import FULL, SHIPPED, recorded
from superpod.validate.point import shipped_points, tree_of

PART = ["--kind", "training", "--source", "korthikanti"]


@pytest.fixture
def points(tmp_path: Path) -> Path:
    """A file of three points, one of them incomplete."""
    cases = [tree_of(point) for point in shipped_points() if point.id.startswith("seqsel-22b")]
    lacking = {**cases[0], "id": "lacking", "complete": False, "missing": ["tp"], "metric": {"name": "x", "value": 1}}
    path = tmp_path / "points.jsonl"
    path.write_text("".join(json.dumps(tree) + "\n" for tree in [*cases, lacking]), encoding="utf-8")
    return path


@pytest.fixture
def limits(tmp_path: Path) -> Path:
    """A file that limits nothing."""
    path = tmp_path / "limits.toml"
    path.write_text("", encoding="utf-8")
    return path


def scored(points: Path, limits: Path, *more: str) -> list[str]:
    return ["validate", "--points", str(points), "--limits", str(limits), *more]


def test_a_part_is_scored_and_written(limits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = tmp_path / "errors.csv"
    page = tmp_path / "report.html"
    written = ["--csv", str(table), "--html", str(page)]
    assert run(["validate", *PART, "--limits", str(limits), *written]) == 0
    shown = capsys.readouterr().out
    assert "8 of 8 complete points predicted" in shown
    assert "By source" in shown
    with table.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 8
    assert all(abs(float(row["error_frac"])) < 0.2 for row in rows)
    assert "<svg" in page.read_text(encoding="utf-8")


def test_json_holds_every_number(limits: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["validate", "--source", "korthikanti", "--limits", str(limits), "--json"]) == 0
    card = json.loads(capsys.readouterr().out)["scorecard"]
    assert card["points_count"] == card["complete_count"] == card["predicted_count"] == 8
    assert {row["unit"] for row in card["predictions"]} == {"s"}


def test_a_shipped_case_beyond_its_limit_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A filter leaves the case's limit standing; its source's is of more rows than are there."""
    source = next(point.title for point in shipped_points() if point.id == "seqsel-22b-full")
    low = tmp_path / "low.toml"
    low.write_text(
        f'[shipped.cases]\n"seqsel-22b-full|step" = 0.0\n[shipped.sources]\n"training|{source}: step" = [0, 0, 9]\n',
        encoding="utf-8",
    )
    assert run(["validate", *PART, "--limits", str(low)]) == 1
    shown = capsys.readouterr()
    assert "✘ seqsel-22b-full|step: error" in shown.err
    assert "median error" not in shown.err
    assert "not judged" in shown.err


def test_incomplete_points_are_counted_and_shown(
    points: Path, limits: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(scored(points, limits)) == 0
    shown = capsys.readouterr()
    assert "2 of 2 complete points predicted; 1 incomplete" in shown.out
    assert "without a recorded limit" in shown.err


def test_limits_are_recorded_judged_and_not_lost(
    points: Path, limits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(scored(points, limits, "--record")) == 0
    held = recorded(FULL, limits)
    assert (held.file, [limit.count for limit in held.sources.values()]) == ("points.jsonl", [2])
    assert run(scored(points, limits)) == 0
    assert "another file" not in capsys.readouterr().err
    # A recorded file is judged whole: what is refused now exceeds its limit.
    lines = points.read_text(encoding="utf-8").splitlines()
    refused = [json.dumps({**json.loads(line), "hardware": "abacus"}) for line in lines]
    points.write_text("\n".join(refused), encoding="utf-8")
    before = limits.read_text(encoding="utf-8")
    assert run(scored(points, limits)) == 0
    assert "another file than the recorded points.jsonl" in capsys.readouterr().err
    assert run(scored(points, limits, "--record")) == 2
    assert "nothing is predicted any more" in capsys.readouterr().err
    other = points.rename(tmp_path / "other.jsonl")
    for more in (["--record"], ["--page", str(tmp_path)]):
        assert run(scored(other, limits, *more)) == 2
        assert "recorded from points.jsonl" in capsys.readouterr().err
    points.write_text(json.dumps({**json.loads(lines[0]), "source": {"title": "nobody"}}), encoding="utf-8")
    assert run(scored(points, limits, "--page", str(tmp_path))) == 2
    assert "has no points of" in capsys.readouterr().err
    assert limits.read_text(encoding="utf-8") == before


def test_what_is_refused_of_the_recorded_file_fails(
    points: Path, limits: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(scored(points, limits, "--record")) == 0
    monkeypatch.setattr("superpod.validate.run.READERS", {"training": _refuses})
    assert run(scored(points, limits)) == 1
    assert "0 predicted numbers, recorded 2" in capsys.readouterr().err


def _refuses(*_: object) -> tuple[()]:
    raise LookupError("taken away")


def test_wider_limits_are_said(points: Path, limits: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(scored(points, limits, "--record")) == 0
    tight = "\n".join(
        line.replace("0.", "0.0") if line.startswith('"training|') else line
        for line in limits.read_text(encoding="utf-8").splitlines()
    )
    limits.write_text(tight, encoding="utf-8")
    assert run(scored(points, limits, "--record")) == 0
    assert "wider: training|" in capsys.readouterr().err


def test_the_page_is_written_whole(points: Path, limits: Path, tmp_path: Path) -> None:
    folder = tmp_path / "page"
    folder.mkdir()
    assert run(scored(points, limits, "--page", str(folder))) == 0
    assert sorted(path.name for path in folder.iterdir()) == ["full-set.json", "full-set.svg"]
    assert run(["validate", "--page", str(folder)]) in {0, 1}  # as the recorded limits have it
    text = (folder / "scorecard.md").read_text(encoding="utf-8")
    assert "2 of 2 complete points predicted; 1 incomplete" in text
    assert "### Measured numbers inside their bands" in text
    assert "yes | " in text.partition("### Beside trivial models")[2]
    assert (folder / "scatter.svg").is_file()


@pytest.mark.parametrize("place", ["/proc/foo", "/dev/null", "/nodir2/a/b", "", " "])
@pytest.mark.parametrize("of_file", [False, True])
def test_a_page_without_a_folder_is_one_error(
    place: str, of_file: bool, points: Path, limits: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = scored(points, limits) if of_file else ["validate"]
    assert run([*arguments, "--page", place]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "is no folder" in shown.err
    assert not Path("/nodir2").exists()


@pytest.mark.parametrize("kept", ["{", "{}", "[]", '{"reasons": {}, "points_count": 1}'])
def test_a_broken_kept_file_is_said_before_anything_is_predicted(
    kept: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "full-set.json").write_text(kept, encoding="utf-8")
    assert run(["validate", "--page", str(tmp_path)]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "full-set.json" in shown.err
    assert [path.name for path in tmp_path.iterdir()] == ["full-set.json"]


@pytest.mark.parametrize("write", [["--record"], ["--page", "."]])
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (["--set", "chips/h100-sxm:memory.bandwidth_bytes_per_s=1e15"], "--set"),
        (["--catalog", "."], "--catalog"),
        (["--estimates"], "--estimates"),
        (["--kind", "training"], "written from all points"),
    ],
)
def test_what_the_project_keeps_is_not_written_from_something_else(
    write: list[str], change: list[str], said: str, limits: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["validate", "--limits", str(limits), *write, *change]) == 2
    assert said in capsys.readouterr().err
    assert recorded(SHIPPED, limits).cases == {}


def test_a_catalogue_of_the_environment_counts_as_one(
    limits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SUPERPOD_CATALOG", str(tmp_path))
    assert run(["validate", "--limits", str(limits), "--record"]) == 2
    assert "SUPERPOD_CATALOG" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--kind", "trainig"], "did you mean 'training'"),
        (["--kind", ","], "no kind is named"),
        (["--source", "nobody at all"], "none of"),
        (["--points", "nowhere.jsonl"], "cannot be read"),
        (["--points", "/dev/null"], "holds no points"),
        (["--limits", "nowhere.toml"], "no such file of limits"),
    ],
)
def test_mistakes_are_said(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["validate", *arguments]) == 2
    assert said in capsys.readouterr().err


def test_empty_words_of_a_list_are_no_kinds(limits: Path) -> None:
    assert run(["validate", "--kind", "training,,", "--source", "korthikanti", "--limits", str(limits)]) == 0
