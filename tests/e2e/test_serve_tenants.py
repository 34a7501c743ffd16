"""`superpod serve FILE.toml` as a user runs it: several models on one pod, and one clear error for each mistake."""

import json
from pathlib import Path

import pytest

from superpod.cli.main import run

CHAT = """
[[tenants]]
name = "chat"
model = "llama-3.1-8b"
cards = 3
rate = "poisson:20"
lengths = ["uniform:100-2000", "fixed:60"]
requests = 100
slo = "ttft=500ms,tpot=30ms"
"""
CODE = """
[[tenants]]
name = "code"
model = "qwen3-8b"
share = 0.5
trace = "t.jsonl"
"""
MACHINE = ["--pod", "hgx-h100", "--cards", "8"]


def file(folder: Path, text: str) -> str:
    lines = [
        json.dumps({"timestamp": 200 * row, "input_length": 1100, "output_length": 20, "hash_ids": [row % 7, 10 + row]})
        for row in range(50)
    ]
    (folder / "t.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    path = folder / "tenants.toml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_two_models_share_a_pod(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "r.html"
    words = ["serve", file(tmp_path, CHAT + CODE), *MACHINE, "--prefix-cache", "host", "--html", str(page)]
    assert run([*words, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)["report"]
    assert [(item["name"], item["cards_count"]) for item in report["tenants"]] == [("chat", 3), ("code", 4)]
    chat, code = (item["report"] for item in report["tenants"])
    assert (chat["ttft_target_s"], code["ttft_target_s"]) == (0.5, 5.0)
    assert report["tenants"][0]["host_bytes"] == 0.0 < report["tenants"][1]["host_bytes"]
    assert code["outcome"]["hit_frac"] > 0.0
    assert report["cards_idle_count"] >= 1
    text = page.read_text(encoding="utf-8")
    assert "chat: llama-3.1-8b" in text
    assert "code: qwen3-8b" in text


def test_the_screen_has_a_row_for_each(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["serve", file(tmp_path, CHAT + CODE), *MACHINE]) == 0
    out = capsys.readouterr().out
    assert "3 given" in out
    assert "each tenant has cards of its own" in out


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[tenants]\n", "is no TOML"),
        ("tenants = 3\n", "expected [[tenants]] alone"),
        ("[pod]\nname = 3\n" + CHAT, "found 'pod'"),
        (CHAT + "colour = 3\n", "tenants[1]: found 'colour'"),
        (CHAT + "share = 0.2\n", "has cards and share"),
        (CHAT.replace("cards = 3", "cards = 9"), "tenants take 9 cards"),
        (CHAT.replace("cards = 3", "cards = 0"), "expected 1 or more"),
        (CHAT.replace("cards = 3", "cards = true"), "expected a whole number"),
        (CHAT.replace('rate = "poisson:20"', ""), "when requests come"),
        (CHAT.replace('rate = "poisson:20"\nlengths = ["uniform:100-2000", "fixed:60"]', ""), "has no requests"),
        (CHAT.replace("ttft=500ms", "ttft=never"), "tenants[1].slo"),
        (CHAT.replace('model = "llama-3.1-8b"', ""), "has no model"),
        (CHAT + CHAT.replace("cards = 3", ""), "two tenants are called 'chat'"),
        (CODE.replace("t.jsonl", "u.jsonl"), "no file"),
        (CODE.replace("0.5", "1.5"), "up to 1"),
    ],
)
def test_each_mistake_is_one_clear_error(
    text: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["serve", file(tmp_path, text), *MACHINE]) == 2
    found = capsys.readouterr()
    assert said in found.err
    assert found.out == ""


def test_options_of_one_model_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["serve", file(tmp_path, CHAT), *MACHINE, "--rate", "poisson:3"]) == 2
    assert "a tenant of the file has its own" in capsys.readouterr().err
    assert run(["serve", str(tmp_path / "none.toml"), *MACHINE]) == 2
    assert "cannot read the file" in capsys.readouterr().err
