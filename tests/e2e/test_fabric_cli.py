"""`superpod fabric` on the command line: every answer, every file it writes, and every kind of bad input."""

import json
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from superpod.cli import fabric, main
from superpod.fabric.collectives import COLLECTIVES
from superpod.fabric.transfer import LEVELS
from superpod.fabric.walk import MODES

GUIDE = "docs/guide/describe-a-fabric.md"


@dataclass(frozen=True)
class Done:
    """What one command left behind."""

    code: int
    out: str
    err: str


Command = Callable[..., Done]


@pytest.fixture
def superpod(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Return a function that runs a command line in an empty folder, on a terminal of 80 columns."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("SUPERPOD_CATALOG", raising=False)

    def ran(words: str, *more: str) -> Done:
        capsys.readouterr()
        code = main.run(["fabric", *words.split(), *more])
        captured = capsys.readouterr()
        return Done(code, captured.out, captured.err)

    return ran


@pytest.fixture
def own_pod(root: Path, tmp_path: Path) -> Path:
    """Write the guide's example as a file of one's own."""
    found = re.search(r"```toml\n(.*?)```", (root / GUIDE).read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    path = tmp_path / "my-pod.toml"
    path.write_text(found[1], encoding="utf-8")
    return path


def test_choices_are_those_of_the_engine() -> None:
    assert set(fabric.COLLECTIVES) == set(COLLECTIVES)
    assert set(fabric.ROUTINGS) == {"auto", *MODES}
    assert fabric.LEVELS == LEVELS


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("cloudmatrix384", ("6,912 x 400G", "bisection", "diameter", "Latency by hops", "1.90 µs", "448")),
        ("hgx-h100 --collective all_reduce", ("L0", "L2", "bus bandwidth", "Why this way", "Limiting links")),
        ("hgx-h100 --pods 4 --collective all_to_all --ranks 4 --stride 8", ("every 8th", "scale-out")),
        ("hgx-h100 --fail switch:node:0 --fail rank:3", ("before", "after", "7", "cut off: ranks 3")),
        ("hgx-h100 --job a=all_reduce:1GB:0+4 --job b=p2p:64MiB:4+4@1ms", ("slowdown", "67.1 MB", "× 1.00")),
        ("atlas950-8192 --estimates", ("one ideal switch", "8,192")),
    ],
)
def test_a_question_is_answered(superpod: Command, words: str, said: tuple[str, ...]) -> None:
    plain, machine = superpod(words), superpod(words, "--json")
    assert (plain.code, plain.err, machine.code, machine.err) == (0, "", 0, "")
    for text in said:
        assert text in plain.out
    assert max(len(line) for line in plain.out.splitlines()) <= 80
    document = json.loads(machine.out)
    assert document["verb"] == "fabric"
    assert {"inventory", "parts", "exchange", "maps", "facts", "notes"} <= document["report"].keys()
    assert all(
        fact["fact"]["source"] in document["sources"] for fact in document["report"]["facts"] if fact["fact"]["source"]
    )


def test_a_pod_of_ones_own_is_read_from_its_file(superpod: Command, own_pod: Path) -> None:
    """8 nodes x 2 planes x 8 switches: 128 optical cables of 100 GB/s with two 800G modules each."""
    done = superpod(f"./{own_pod.name} --collective all_reduce --fail switch:rack:0")
    assert (done.code, done.err) == (0, "")
    assert "256 x 800G" in done.out
    changed = superpod(f"{own_pod} --set pods/my-pod:tiers.rack.latency_s=9e-6")
    assert "9.00 µs" in changed.out


def test_a_cascade_of_ones_own_says_only_what_differs(superpod: Command) -> None:
    text = 'schema = 1\nid = "two"\nversion = "1"\nname = "Two"\nstate = "roadmap"\nbase = "hgx-h100"\n'
    Path("two.toml").write_text(text + 'pods_count = { value = 2, kind = "assumed" }\n', encoding="utf-8")
    done = superpod("two.toml")
    assert (done.code, done.err) == (0, "")
    assert "2 pods, 16 ranks" in done.out


def test_a_guides_traffic_is_read(superpod: Command, own_pod: Path, root: Path) -> None:
    found = re.search(r"```csv\n(.*?)```", (root / GUIDE).read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    Path("t.csv").write_text(found[1], encoding="utf-8")
    done = superpod(f"{own_pod} --traffic t.csv --heat-map map.svg")
    assert done.code == 0
    assert "2 flows, 2.00 GB" in done.out
    assert "Who sends to whom" in Path("map.svg").read_text(encoding="utf-8")


def test_graphs_go_out_and_come_back(superpod: Command) -> None:
    for name in ("two.graphml", "two.xml"):
        done = superpod(f"hgx-h100 --pods 2 --export {name}")
        assert (done.code, done.err) == (0, f"wrote {name}\n")
        back = superpod(f"--graph {name} --collective all_to_all")
        assert (back.code, back.err) == (0, "")
        assert "L2" in back.out
    assert "all-to-all" in superpod("hgx-h100 --pods 2 --graph two.graphml --fail cable:scale-out:3").out


def test_what_is_exported_is_the_fabric_after_its_faults(superpod: Command) -> None:
    for name, said in (("whole", ""), ("hurt", " --fail rank:3 --fail links:node:0.1")):
        assert superpod(f"hgx-h100{said} --export {name}.graphml").code == 0
    whole, hurt = (Path(f"{name}.graphml").read_text(encoding="utf-8") for name in ("whole", "hurt"))
    assert whole.count("<edge") == 8 * 4 * 2
    assert hurt.count("<edge") < 7 * 4 * 2
    assert hurt.count("<node") == whole.count("<node")


def test_whole_links_of_nccl_are_a_note(superpod: Command) -> None:
    done = superpod("scalex640 --estimates --export node.xml")
    assert (done.code, "note: node.xml: NCCL knows whole links only: 41.2 GB/s" in done.err) == (0, True)


@pytest.mark.parametrize("name", ["map.png", "map.svg", "map.html"])
def test_a_heat_map_is_a_file(superpod: Command, name: str) -> None:
    done = superpod(f"hgx-h100 --collective all_reduce --heat-map {name}")
    assert (done.code, done.err) == (0, f"wrote {name}\n")
    content = Path(name).read_bytes()
    if name.endswith(".png"):
        assert content.startswith(b"\x89PNG")
        return
    assert b"node up (8)" in content
    for outside in (b"<script", b"url(", b"src=", b"@import"):
        assert outside not in content


def test_a_page_holds_every_map_and_fact(superpod: Command) -> None:
    done = superpod("hgx-h100 --pods 2 --collective all_reduce --fail switch:node:0 --html page.html")
    assert done.code == 0
    text = Path("page.html").read_text(encoding="utf-8")
    assert text.count("How full the links are") >= 2
    assert "Every way (L0)" in text
    for outside in ("src=", "@import", "url(", "<script", "<link", "<iframe", "<object"):
        assert outside not in text


BARE = (
    '<graphml><graph edgedefault="directed"><node id="a"/><node id="b"/><edge source="a" target="b">'
    '<data key="bytes_per_s">1e9</data><data key="plane">PLANE</data></edge></graph></graphml>'
)
FILES = {
    "bare.graphml": BARE.replace("PLANE", "0"),
    "far.graphml": BARE.replace("PLANE", "1e300"),
    "small.csv": "0,1\n1,0\n",
    "bad.csv": "src,dst,bytes\n0,99,1\n",
    "cut.csv": "src,dst,bytes\n0,1",
    "not.npz": "PK",
    "bomb.graphml": '<!DOCTYPE x [<!ENTITY a "b">]><graphml/>',
    "cut.xml": "<system version='1'><cpu",
    "other.toml": 'schema = 1\nid = "another"\n',
    "cut.toml": "schema = ",
    "base.toml": 'schema = 1\nid = "base"\nbase = "hgx-h10"\n',
}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("", "name a POD"),
        ("cloudmatrix38", "did you mean"),
        ("not-there.toml", "not-there.toml: cannot read the file"),
        ("other.toml", "expected the file's stem 'other'"),
        ("cut.toml", "malformed TOML"),
        ("base.toml", "did you mean"),
        ("hgx-h100 --fail switch:nodes:1", "did you mean 'node'"),
        ("hgx-h100 --fail switsh:node:1", "did you mean 'switch'"),
        ("hgx-h100 --fail switch:node:9", "they count from 0 to 3"),
        ("hgx-h100 --fail rank", "write rank:N"),
        ("hgx-h100 --collective all_reduse", "all_reduce"),
        ("hgx-h100 --collective all_reduce --bytes 1XB", "no size"),
        ("hgx-h100 --collective all_reduce --bytes 0", "no size"),
        ("hgx-h100 --collective all_reduce --ranks 9", "at least 2 ranks of 0 to 7"),
        ("hgx-h100 --ranks 1", "--ranks"),
        ("hgx-h100 --collective all_reduce --algorithm rings", "no way of this collective"),
        ("hgx-h100 --collective all_reduce --level L1", "use L2"),
        ("hgx-h100 --routing hash", "--routing"),
        ("hgx-h100 --batch-frac nan", "nan"),
        ("hgx-h100 --job a=all_reduce:1GB", "write NAME=KIND:BYTES"),
        ("hgx-h100 --job a=gossip:1GB:0+4", "unknown collective 'gossip'"),
        ("hgx-h100 --job a=p2p:1GB:0+4 --job a=p2p:1GB:4+4", "two jobs"),
        ("hgx-h100 --job a=p2p:1GB:6+4", "--job a"),
        ("hgx-h100 --traffic no.csv", "no.csv"),
        ("hgx-h100 --traffic bad.csv", "bad.csv:2"),
        ("hgx-h100 --traffic cut.csv", "cut.csv:2"),
        ("hgx-h100 --traffic not.npz", "not.npz"),
        ("--graph bomb.graphml", "bomb.graphml:1"),
        ("--graph cut.xml", "cut.xml:1"),
        ("--graph bad.csv", ".graphml"),
        ("--graph bare.graphml --fail instance:graph:0", "does not say how many ranks"),
        ("--graph far.graphml", "expected a whole number"),
        ("hgx-h100 --traffic /dev/zero", "is no plain file"),
        ("--graph /dev/zero", "is no plain file"),
        ("hgx-h100 --traffic large.csv", "is larger than"),
        ("hgx-h100 --traffic large.npz", "is larger than"),
        ("hgx-h100 --traffic small.csv", "found a matrix of 2 x 2, expected 8 x 8"),
        ("hgx-h100 --pods 99999999999999999999", "--pods"),
        ("hgx-h100 --pods 1000001", "--pods"),
        ("hgx-h100 --seed 99999999999999999999", "--seed"),
        ("hgx-h100 --collective all_reduce --bytes 2e18", "at most 1e+18"),
        ("hgx-h100 --job a=p2p:2e18:0+4", "--job a"),
        ("hgx-h100 --job a=p2p:1GB:0+" + "9" * 5000, "write NAME=KIND:BYTES"),
        ("hgx-h100 --algorithm ring", "--algorithm"),
        ("--graph bare.graphml --pods 2", "--pods"),
        ("hgx-h100 --fail rank:1:2", "write rank:N"),
        ("hgx-h100 --fail cable:node:5:6", "write cable:TIER:N"),
        ("hgx-h100 --fail module:node:0", "end in no modules"),
        ("hgx-h100 --fail instance:node:0", "nothing is left"),
        ("hgx-h100 --export links.json", ".graphml or .xml"),
        ("hgx-h100 --heat-map map.jpg", ".png or .svg"),
        ("hgx-h100 --heat-map no/map.svg", "no/map.svg: cannot write"),
        ("hgx-h100 --heat-map ok.svg --export no/links.xml", "no/links.xml: cannot write"),
        ("hgx-h100 --heat-map small.csv/map.svg", "is no folder"),
        ("hgx-h100 --heat-map d.html --html d.html", "--html d.html: names the same file as --heat-map"),
        ("hgx-h100 --heat-map d.svg --svg ./d.svg", "--svg d.svg: names the same file as --heat-map"),
        ("cloudmatrix384-x432 --fail rank:0", "too many ranks"),
        ("cloudmatrix384-x432 --export all.graphml", "too many ranks"),
        ("atlas950-1024 --collective all_reduce --pods 0", "--pods"),
    ],
)
def test_bad_input_ends_in_one_clear_message(superpod: Command, words: str, said: str) -> None:
    for name, text in FILES.items():
        Path(name).write_text(text, encoding="utf-8")
    for name in ("large.csv", "large.npz"):
        with Path(name).open("wb") as stream:
            stream.truncate(fabric.FILE_BYTES_MAX + 1)
    before = sorted(Path().rglob("*"))
    done = superpod(words)
    assert done.code == 2, done
    assert done.out == ""
    assert said in done.err
    assert "Traceback" not in done.err
    assert len(re.findall(r"^error: ", done.err, re.MULTILINE | re.IGNORECASE)) == 1
    assert sorted(Path().rglob("*")) == before


def test_a_missing_plot_library_is_named(superpod: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = [name for name in sys.modules if name.split(".")[0] == "matplotlib"]
    for name in {"matplotlib", "matplotlib.figure", *loaded}:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, "superpod.cli.heat_map_png", raising=False)
    done = superpod("hgx-h100 --heat-map map.png")
    assert done.code == 2
    assert "superpod[plot]" in done.err
    assert not list(Path().iterdir())
