"""The command line on the real catalogue: every verb answers, and every kind of bad input ends in one clear message."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from superpod.catalog.load import Catalogue
from superpod.cli import main
from superpod.errors import InfeasibleError, MissingFactError, NoBasisError, SuperpodError
from superpod.plan.evaluate import evaluate
from superpod.plan.report import Report
from superpod.plan.scenario import Scenario, Serving, Training

SERVE = "serve llama-3.1-70b --pod hgx-h100"
TRAIN = "train llama-3.1-8b --pod hgx-h100"
LLAMA = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 4096,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "intermediate_size": 14336,
    "vocab_size": 128256,
    "max_position_embeddings": 131072,
    "tie_word_embeddings": False,
}
ANSWERS = [
    ("catalog", ("Pods", "cloudmatrix384@", "atlas950-supercluster@", "not published"), "entries"),
    ("catalog models", ("Models", "deepseek-v3@", "mla", "moe"), "entries"),
    ("show cm384", ("CloudMatrix384", "Fabric, innermost tier first", "Facts"), "entries"),
    ("show deepseek-r1", ("DeepSeek-V3", "Derived against published"), "entries"),
    (TRAIN, ("training throughput", "step time", "MFU", "Rests on"), "report"),
    (SERVE, ("output throughput", "TTFT", "TPOT", "decode step", "Rests on"), "report"),
    ("compare deepseek-v3 --pods cm384,gb200-nvl72", ("chip", "system", "per kW", "What limits"), "comparison"),
    ("compare llama-3.1-8b --pods hgx-h100,cm384 --phase train --at equal-cards", ("chip", "system"), "comparison"),
    ("claims", ("Published claims, recomputed", "reproduces", "cm384-cascade"), "verdicts"),
    ("claims cm384-cascade", ("432", "arithmetic", "verdict"), "verdicts"),
]


@dataclass(frozen=True)
class Done:
    """What one command left behind."""

    code: int
    out: str
    err: str


Command = Callable[..., Done]


@pytest.fixture
def superpod(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Return a function that runs a command line in an empty folder, on a wide terminal."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.delenv("SUPERPOD_CATALOG", raising=False)

    def ran(words: str, *more: str) -> Done:
        capsys.readouterr()
        code = main.run([*words.split(), *more])
        captured = capsys.readouterr()
        return Done(code, captured.out, captured.err)

    return ran


def refused(superpod: Command, words: str, *more: str) -> str:
    """Return the one message of a refused command; it must leave nothing else behind."""
    before = sorted(Path().rglob("*"))
    done = superpod(words, *more)
    assert done.code == 2, done
    assert done.out == ""
    assert sorted(Path().rglob("*")) == before
    assert "Traceback" not in done.err
    assert len(re.findall(r"^error: ", done.err, re.MULTILINE | re.IGNORECASE)) == 1
    return done.err


def process(words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run `python -m superpod` in a folder."""
    line = [sys.executable, "-m", "superpod", *words.split()]
    return subprocess.run(line, capture_output=True, text=True, check=False, encoding="utf-8", cwd=folder)


@pytest.mark.parametrize(("words", "headlines", "key"), ANSWERS, ids=[words for words, _, _ in ANSWERS])
def test_a_verb_answers(superpod: Command, words: str, headlines: tuple[str, ...], key: str) -> None:
    plain, machine = superpod(words), superpod(words, "--json")
    assert (plain.code, plain.err, machine.code, machine.err) == (0, "", 0, "")
    for text in headlines:
        assert text in plain.out
    document = json.loads(machine.out)
    assert document["verb"] == words.split(maxsplit=1)[0]
    assert document[key]
    assert not list(Path().iterdir())


def test_a_report_has_what_a_reader_needs(superpod: Command) -> None:
    for words in (TRAIN, SERVE):
        report = json.loads(superpod(words, "--json").out)["report"]
        low, high = report["band"]
        assert 0 < low <= report["headline"]["value"] <= high
        assert report["binding"]
        assert {"metrics", "breakdowns", "memory", "limits", "layout", "runners_up", "facts"} <= report.keys()
        assert all(report[name] for name in ("breakdowns", "memory", "limits", "layout", "runners_up"))
        assert {used["fact"]["kind"] for used in report["facts"]} >= {"vendor", "assumed"}


@pytest.mark.parametrize("words", [TRAIN, "compare llama-3.1-8b --pods hgx-h100,cm384", "claims", "catalog"])
def test_a_page_stands_alone(superpod: Command, words: str) -> None:
    done = superpod(words, "--html", "page.html")
    assert done.code == 0
    assert [path.name for path in Path().iterdir()] == ["page.html"]
    text = Path("page.html").read_text(encoding="utf-8")
    assert text.startswith("<!doctype html>")
    for outside in ("src=", "@import", "url(", "<script", "<link", "<iframe", "<object"):
        assert outside not in text


@pytest.mark.parametrize(
    ("words", "said"),
    [
        # Names.
        ("serve llama-3.1-70 --pod hgx-h100", "did you mean 'llama-3.1-70b'"),
        ("serve llama-3.1-70b --pod hgx-h10", "did you mean 'hgx-h100'"),
        ("compare llama-3.1-70b --pods hgx-h100,hgx-h20x", "did you mean 'hgx-h20'"),
        ("serv llama-3.1-70b --pod hgx-h100", "did you mean 'serve'"),
        (f"{SERVE} --ttf 1", "--ttft"),
        (f"{SERVE} --facility us-larg", "did you mean 'us-large'"),
        ("show clodmatrix384", "did you mean 'cloudmatrix384'"),
        ("claims cm384-cascad", "did you mean 'cm384-cascade'"),
        ("catalog podz", "'pods'"),
        ("serve not-there.json --pod hgx-h100", "not-there.json: cannot read the file"),
        # Contradictions.
        (f"{SERVE} --pods 2 --cards 4", "--pods or --cards, not both"),
        (f"{SERVE} --cards 0", "--cards"),
        (f"{TRAIN} --tp 3", "no combination of degrees fits 8 ranks"),
        (f"{TRAIN} --tp 16", "no combination of degrees fits 8 ranks"),
        (f"{TRAIN} --ep 2", "no combination of degrees fits"),
        (f"{SERVE} --tp 3", "--tp"),
        (f"{SERVE} --precision fp6", "'fp8'"),
        (f"{SERVE} --precision fp4", "H100 SXM has no fp4 matrix engine"),
        ("serve llama-3.1-70b --pod cloudmatrix384 --precision fp8", "Ascend 910C has no fp8 matrix engine"),
        ("serve llama-3.1-70b --pod cloudmatrix384 --precision fp8", "it has bf16, int8"),
        # Nothing fits.
        ("train llama-3.1-405b --pod hgx-h100", "fits 8 cards"),
        ("serve deepseek-v3 --pod hgx-h100", "does not fit 8 cards"),
        (f"{SERVE} --tpot 1us", "no plan meets TTFT 5.00 s and TPOT 1.00 µs"),
        (f"{SERVE} --ttft 1us", "no plan meets TTFT 1.00 µs"),
        # The user's numbers.
        (f"{SERVE} --set nonsense", "cannot read 'nonsense'"),
        (f"{SERVE} --set pods/hgx-h100:power.max_w=much", "'much' is not a number"),
        (f"{SERVE} --set pods/hgx-h100:tiers.nod.latency_s=1e-6", "did you mean 'tiers.node.latency_s'"),
        (f"{SERVE} --set pods/hgx-h100:powr.max_w=1e4", "powr: unknown key; did you mean 'power'"),
        pytest.param(f"{SERVE} --set pods/hgx-h10:power.max_w=1e4", "'hgx-h100'"),
        pytest.param(f"{SERVE} --set pod/hgx-h100:power.max_w=1e4", "pods"),
        pytest.param(f"{SERVE} --set chips/h100-sxm:memory.capacity_bytes=nan", "capacity_bytes"),
        pytest.param(f"{SERVE} --set chips/h100-sxm:memory.bandwidth_bytes_per_s=0", "bandwidth"),
        pytest.param(f"{SERVE} --set pods/hgx-h100:chips_count=0 --cards 8", "chips_count"),
        pytest.param(f"{SERVE} --facility us-larg", "unknown facility 'us-larg'"),
        pytest.param(f"{SERVE} --acceptance nan", "--acceptance"),
        pytest.param(f"{TRAIN} --dp 999", "no combination of degrees fits"),
        (f"{SERVE} --html none/page.html", "none/page.html: cannot write the file"),
        (f"{SERVE} --html .", "--html"),
        (f"{SERVE} --catalog none", "none"),
    ],
)
def test_bad_input_ends_in_one_clear_message(superpod: Command, words: str, said: str) -> None:
    assert said in refused(superpod, words)


def test_what_does_not_fit_says_by_how_much(superpod: Command) -> None:
    text = refused(superpod, "train llama-3.1-405b --pod hgx-h100")
    assert re.search(r"needs [\d.]+ GB of 85\.9 GB a rank \(-[\d.,]+ % margin\)", text)
    assert re.search(r"try --cards \d+", text)
    text = refused(superpod, "serve deepseek-v3 --pod hgx-h100")
    assert re.search(r"needs [\d.]+ GB a rank of [\d.]+ GB usable \(-[\d.]+ % margin\)", text)
    text = refused(superpod, f"{SERVE} --tpot 1us")
    assert re.search(r"the fastest decode that fits has TPOT [\d.]+ ms \(-", text)


def test_layouts_that_miss_are_named_once(superpod: Command) -> None:
    nearest = re.findall(r"^  nearest: .*$", refused(superpod, "train llama-3.1-405b --pod hgx-h100"), re.MULTILINE)
    assert len(nearest) == len(set(nearest))


@pytest.mark.parametrize(
    "words", [pytest.param("serve deepseek-v3 --pod hgx-h100"), "train llama-3.1-405b --pod hgx-h100"]
)
def test_the_advice_on_cards_is_enough(superpod: Command, words: str) -> None:
    advice = re.search(r"try (?:about )?--cards (\d+)", refused(superpod, words))
    assert advice
    assert superpod(words, "--cards", advice[1]).code == 0


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("config.json", '{"model_type": "llama",\n  "hidden_size" 4096}', "malformed JSON: .* line 2 column"),
        ("config.json", "[1]", "found a list, expected a JSON object"),
        ("config.json", '{"model_type": "lama"}', "did you mean 'llama'"),
        ("config.json", '{"hidden_size": 1}', "expected a supported family"),
        ("config.json", '{"model_type": "llama"}', "found nothing, expected an integer"),
        ("config.json", json.dumps({**LLAMA, "hidden_size": "4096"}), "hidden_size: found '4096', expected an integer"),
        ("config.json", b"\xff\xfe\x00", "cannot read the file"),
        pytest.param("config.json", "[" * 100_000, "config.json"),
    ],
)
@pytest.mark.parametrize("verb", ["serve mine/{} --pod hgx-h100", "show mine/{}"])
def test_a_wrong_config_is_named(superpod: Command, verb: str, name: str, content: str | bytes, said: str) -> None:
    Path("mine").mkdir()
    Path("mine", name).write_bytes(content if isinstance(content, bytes) else content.encode())
    text = refused(superpod, verb.format(name))
    assert "mine" in text
    assert re.search(said, text)


@pytest.mark.parametrize("model", ["mine/config.json", "mine", "mine/llama.json"])
def test_a_config_by_path_is_a_model(superpod: Command, model: str) -> None:
    Path("mine").mkdir()
    for name in ("config.json", "llama.json"):
        Path("mine", name).write_text(json.dumps(LLAMA), encoding="utf-8")
    for verb, options in (("train", "--precision bf16"), ("serve", "")):
        given = json.loads(superpod(f"{verb} {model} --pod hgx-h100 {options} --json").out)["report"]
        shipped = json.loads(superpod(f"{verb} llama-3.1-8b --pod hgx-h100 {options} --json").out)["report"]
        assert given["headline"]["value"] == pytest.approx(shipped["headline"]["value"], rel=1e-9)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("schema = 1\nid = \n", r"hgx-h100\.toml: malformed TOML: .*line 2, column \d"),
        ("schema = 1\nid = 'hgx-h100'\nchps_count = 8\n", "chps_count: found the bare number 8"),
        (b"\xff\xfe\x00", r"hgx-h100\.toml: cannot read the file"),
        pytest.param("x = " + "[" * 5000 + "]" * 5000, r"hgx-h100\.toml"),
    ],
)
def test_a_wrong_catalogue_file_is_named_with_the_place(
    superpod: Command, tmp_path: Path, content: str | bytes, said: str
) -> None:
    mine = Path("mine", "pods", "hgx-h100.toml")
    mine.parent.mkdir(parents=True)
    mine.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert re.search(said, refused(superpod, SERVE, "--catalog", str(tmp_path / "mine")))


def test_a_pod_of_the_users_own_answers_like_a_shipped_one(superpod: Command, tmp_path: Path) -> None:
    mine = Path("mine", "pods", "two-boxes.toml")
    mine.parent.mkdir(parents=True)
    words = {"id": "two-boxes", "version": "2026-01", "name": "Two boxes", "vendor": "Us", "state": "shipping"}
    lines = [f"{key} = {json.dumps(value)}" for key, value in {"schema": 1, **words, "base": "hgx-h100"}.items()]
    mine.write_text("\n".join([*lines, 'pods_count = { value = 2, kind = "assumed" }']), encoding="utf-8")
    given = ("--catalog", str(tmp_path / "mine"))
    own = json.loads(superpod("serve llama-3.1-8b --pod two-boxes --json", *given).out)["report"]
    shipped = json.loads(superpod("serve llama-3.1-8b --pod hgx-h100 --pods 2 --json").out)["report"]
    assert own["cards_count"] == shipped["cards_count"] == 16
    assert own["headline"] == shipped["headline"]
    assert "two-boxes@2026-01" in superpod("catalog", *given).out


def test_a_missing_fact_is_named_and_can_be_supplied(superpod: Command) -> None:
    words = "serve llama-3.1-70b --pod panjiu-al128 --precision bf16"
    text = refused(superpod, words)
    assert re.search(r"error: chips/zhenwu-m890:\S+: this number is needed and has not been published", text)
    assert re.search(r"--set chips/zhenwu-m890:\S+=VALUE", text)
    assert "--catalog DIR" in text
    assert re.search(r"estimate \S+ \(range \S+ to \S+\) with --estimates; its basis: ", text)
    done = superpod(words, "--estimates", "--html", "page.html")
    assert done.code == 0
    assert "estimate" in done.out
    assert "estimate" in Path("page.html").read_text(encoding="utf-8")
    report = json.loads(superpod(words, "--estimates", "--json").out)["report"]
    assert [note for note in report["notes"] if re.search(r"rests on \d+ estimate", note)]

    given: list[str] = []
    for _ in range(20):  # every answer names the next number until all are there
        done = superpod(words, *given, "--json")
        if done.code == 0:
            break
        where = re.search(r"--set (\S+)=VALUE", done.err)
        guess = re.search(r"estimate (\S+)", done.err)
        assert where
        assert guess
        given += ["--set", f"{where[1]}={guess[1]}"]
    supplied = json.loads(done.out)["report"]
    assert supplied["headline"]["value"] == pytest.approx(report["headline"]["value"], rel=1e-3)
    kinds = [used["fact"]["kind"] for used in supplied["facts"]]
    assert kinds.count("user") == len(given) // 2
    assert "estimate" not in kinds


def test_the_command_as_a_user_runs_it(tmp_path: Path) -> None:
    done = process("serve llama-3.1-8b --pod h100 --json --html page.html", tmp_path)
    assert (done.returncode, done.stderr) == (0, "wrote page.html\n")
    assert json.loads(done.stdout)["report"]["pod"].startswith("hgx-h100@")
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]
    done = process("train llama-3.1-405b --pod hgx-h100 --html none/page.html", tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: none/page.html: cannot write the file")  # before anything is computed
    done = process("trian llama-3.1-405b", tmp_path)
    assert done.returncode == 2
    assert "did you mean 'train'" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]


@cache
def opened(estimates: bool) -> Catalogue:
    """Return the shipped catalogue."""
    return Catalogue(estimates=estimates)


def outcome(pod: str, work: Any, *, estimates: bool) -> Report | SuperpodError:
    """Return the answer, or the refusal that ends in one clear message."""
    try:
        return evaluate(opened(estimates), Scenario(model="llama-3.1-70b", pod=pod, work=work))
    except (MissingFactError, InfeasibleError, NoBasisError) as refusal:
        return refusal


@pytest.mark.parametrize("work", [Training(), Serving()], ids=["train", "serve"])
@pytest.mark.parametrize("pod", opened(estimates=False).names("pods"))
def test_every_pod_answers_or_says_what_it_lacks(pod: str, work: Any) -> None:
    found = outcome(pod, work, estimates=False)
    if isinstance(found, Report):
        assert 0 < found.headline.value < float("inf")
        assert not [used.where for used in found.facts if used.fact.kind == "estimate"]
        return
    assert found.hint
    if not isinstance(found, MissingFactError):
        assert isinstance(found, InfeasibleError)
        assert found.where == f"pods/{pod}"
        return
    kind, _, path = found.where.partition(":")
    assert kind in {f"pods/{pod}", f"chips/{opened(estimates=False).pod(pod).chip}"}
    assert f"--set {found.where}=" in found.hint
    entry: Any = (
        opened(estimates=False).pod(pod) if kind.startswith("pods/") else opened(estimates=False).chip(kind[6:])
    )
    assert entry.facts[path].missing
    again = outcome(pod, work, estimates=True)
    if isinstance(again, MissingFactError):
        assert "--estimates" not in again.hint  # only a number without a basis is still missing
        return
    assert isinstance(again, Report)
    assert [used.where for used in again.facts if used.fact.kind == "estimate"]
    assert [note for note in again.notes if "estimate(s) that nobody has published" in note]
