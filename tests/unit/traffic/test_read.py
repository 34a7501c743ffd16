"""Every form is read; a bad line is named by file and line; published traces give their published figures."""

import gzip
import json
import os
import tarfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from superpod.errors import TrafficError
from superpod.traffic.arrivals import poisson
from superpod.traffic.describe import describe
from superpod.traffic.read import open_trace, read_trace
from superpod.traffic.requests import Trace, joined
from superpod.traffic.servegen import read_clients, servegen

TRACES = Path(os.environ.get("SUPERPOD_TRACES", Path(__file__).parents[4] / "shared/data/traces"))
NEEDS_TRACES = pytest.mark.skipif(not TRACES.is_dir(), reason=f"no public traces at {TRACES} (SUPERPOD_TRACES)")


def whole(path: Path, text: str | bytes) -> Trace:
    """Write a file and return the requests read from it."""
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return joined(read_trace(path))


FORMS = {
    "own.csv": "arrival_s,prompt_tokens,output_tokens,session\n0.5,10,1,a\n1.5,20,2,\n",
    "own.jsonl": '{"arrival_s": 0.5, "prompt_tokens": 10, "output_tokens": 1}\n\n'
    '{"arrival_s": 1.5, "prompt_tokens": 20, "output_tokens": 2}\n',
    "azure 2023.csv": "TIMESTAMP,ContextTokens,GeneratedTokens\n"
    "2023-11-16 23:59:59.5000000,10,1\n2023-11-17 00:00:00.5000000,20,2\n",
    "azure 2024.csv": "TIMESTAMP,ContextTokens,GeneratedTokens\n"
    "2024-05-10 00:00:00.009930+00:00,10,1\n2024-05-10 00:00:01.009930+00:00,20,2\n",
    "azure whole.csv": "TIMESTAMP,ContextTokens,GeneratedTokens\r\n"
    "2024-05-10 00:00:00+00:00,10,1\r\n2024-05-10 00:00:01+00:00,20,2",
    "burst.csv": "Timestamp,Session ID,Elapsed time,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
    "19440110.0,1722ac82,43,GPT-4,10,1,11,Conversation log\n19440110.5,,2,ChatGPT,7,0,7,API log\n"
    "19440111.0,,2,ChatGPT,20,2,22,API log\n",
    "burst of 2023.csv": "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
    "5,ChatGPT,10,1,11,Conversation log\n6,ChatGPT,20,2,22,Conversation log\n",
    "mooncake.jsonl": '{"timestamp": 500, "input_length": 10, "output_length": 1, "hash_ids": [7]}\n'
    '{"timestamp": 1500, "input_length": 20, "output_length": 2, "hash_ids": [7]}\n',
    "vidur.csv": "arrived_at,num_prefill_tokens,num_decode_tokens,pd_ratio\n0.5,10,1,10\n1.5,20.0,2.0,10\n",
    "apex.csv": "arrival_offset_ns,context_tokens,generated_tokens\n500000000,10,1\n1500000000,20,2\n",
    "llmservingsim.csv": "arrival_time_ns,input_tokens,output_tokens\n500000000,10,1\n1500000000,20,2\n",
    "llmservingsim.jsonl": '{"arrival_time_ns": 500000000, "input_toks": 10, "output_toks": 1}\n'
    '{"arrival_time_ns": 1500000000, "input_toks": 20, "output_toks": 2}\n',
    "vllm.jsonl": '{"timestamp": 100.25, "prompt_len": 10, "output_len": 1}\n'
    '{"timestamp": 101.25, "prompt_len": 20, "output_len": 2}\n',
    "vllm.json": json.dumps(
        {"date": "d", "input_lens": [20, 10, 9], "output_lens": [2, 1, 0], "start_times": [54.5, 53.5, 53.6]}
    ),
    "vllm indented.json": json.dumps(
        {"input_lens": [10, 20], "output_lens": [1, 2], "start_times": [1.0, 2.0]}, indent=2
    ),
}


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize("name", FORMS)
def test_every_form_gives_the_same_requests(tmp_path: Path, name: str, packed: bool) -> None:
    text = FORMS[name].encode()
    requests = whole(tmp_path / name, gzip.compress(text) if packed else text)
    assert requests.prompt_tokens.tolist() == [10, 20]
    assert requests.output_tokens.tolist() == [1, 2]
    assert np.diff(requests.arrival_s) == pytest.approx([1.0])
    assert requests.arrival_s[0] in {0.0, 0.5}


def test_sessions_and_blocks_are_numbered_as_they_come(tmp_path: Path) -> None:
    head = "arrival_s,prompt_tokens,output_tokens,session\n"
    assert whole(tmp_path / "s", head + "0,1,1,b\n0,1,1,a\n0,1,1,b\n0,1,1,\n0,1,1,-1\n").session.tolist() == [
        0,
        1,
        0,
        -1,
        -1,
    ]
    rows = [
        {"timestamp": 0, "input_length": 1500, "output_length": 1, "hash_ids": ids} for ids in ([9, 4], [9, 7, 4], [])
    ]
    requests = whole(tmp_path / "b", "\n".join(map(json.dumps, rows)))
    assert requests.blocks.tolist() == [0, 1, 0, 2, 3]  # 4 behind 7 is not 4 behind 9
    assert requests.block_start.tolist() == [0, 2, 5, 5]
    assert requests.block_tokens == 512


def test_failed_requests_are_left_out_and_said_so(tmp_path: Path) -> None:
    path = tmp_path / "burst.csv"
    path.write_text(FORMS["burst.csv"])
    assert "failed" in open_trace(path).note


OWN = "arrival_s,prompt_tokens,output_tokens\n"
MOON = '{"timestamp": 0, "input_length": 600, "output_length": 1, "hash_ids": [0]}\n'
BAD = {
    "negative length": (OWN + "0,5,5\n1,-3,5\n", r"f:3: prompt_tokens -3; expected a whole number of tokens from 1"),
    "no length": (OWN + "0,5,0\n", r"f:2: output_tokens 0;"),
    "half a token": (OWN + "0,5.5,1\n", r"f:2: prompt_tokens 5.5;"),
    "far too long": (OWN + "0,1e300,1\n", r"f:2: prompt_tokens 1e300;"),
    "not a number": (OWN + "0,5,5\n\n1,many,5\n", r"f:4: prompt_tokens many; expected a number"),
    "no finite time": (OWN + "nan,5,5\n", r"f:2: arrival_s nan; expected a finite number"),
    "endless time": (OWN + "inf,5,5\n", r"f:2: arrival_s inf"),
    "time going back": (OWN + "0,5,5\n2,5,5\n1,5,5\n", r"f:4: arrival_s 1; expected a time not before .*\n.*sort"),
    "a field short": (OWN + "0,5,5\n1,5\n", r"f:3: 2 fields; expected 3"),
    "a field more": (OWN + "0,5,5,5\n", r"f:2: 4 fields; expected 3"),
    "an open quote": (OWN + '0,5,5\n0,"5,5\n', r"f:3: no CSV"),
    "no rows": (OWN, r"f: no requests"),
    "empty": ("", r"f: empty\n.*known forms"),
    "blank": ("\n\n", r"f: empty"),
    "another header": ("a,b,c\n1,2,3\n", r"f:1: no known form of trace; found a, b, c\n.*known forms"),
    "no header": ("0.5,10,20\n", r"f:1: no known form"),
    "other keys": ('{"a": 1}\n', r"f: no known form of trace; found a"),
    "a JSON list": ("[1, 2]", r"a JSON list"),
    "a list among lines": (MOON + "[1]\n", r"f:2: found '\[1\]'; expected a JSON object"),
    "broken JSON": (MOON + '{"timestamp": 0,\n', r"f:2: no JSON"),
    "broken first line": ('{"timestamp": 0,\n' + MOON, r"f:1: no JSON"),
    "deep JSON": (MOON + "[" * 100_000 + "\n", r"f:2: no JSON"),
    "a key short": (MOON + '{"timestamp": 1, "input_length": 5, "hash_ids": []}\n', r"f:2: no 'output_length'"),
    "a list for a number": (MOON.replace("600", "[600]"), r"f:1: input_length \[600\]; expected a number"),
    "a huge number": (MOON.replace("600", "9" * 400), r"f:1: input_length 9+; expected a number"),
    "nothing for a number": (MOON.replace("600", "null"), r"f:1: input_length None"),
    "too many blocks": (MOON.replace("[0]", "[0, 1, 2]"), r"f:1: hash_ids of 3 blocks; expected 2 at most"),
    "blocks that are none": (MOON.replace("[0]", '"0"'), r"f:1: hash_ids 0; expected a list"),
    "blocks in lists": (MOON.replace("[0]", "[[0]]"), r"f:1: hash_ids .*expected a list"),
    "a list for a session": (
        '{"arrival_s": 0, "prompt_tokens": 1, "output_tokens": 1, "session": [1]}',
        r"f:1: session \[1\]",
    ),
    "no date": ("TIMESTAMP,ContextTokens,GeneratedTokens\nnow,5,5\n", r"f:2: TIMESTAMP now; expected a date"),
    "no such date": (
        "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-02-30 00:00:00.0,5,5\n",
        r"f:2: TIMESTAMP 2023-02-30",
    ),
    "another zone": (
        "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-02-20 00:00:00+08:00,5,5\n",
        r"f:2: TIMESTAMP .*in UTC",
    ),
    "not text": (b"\x80\x04\x95PK\x03\x04\xff", r"f:1: not text in UTF-8"),
    "lengths alone": ("num_prefill_tokens,num_decode_tokens\n5,5\n", r"f: only lengths.*\n.*--rate"),
    "uneven result": ('{"input_lens": [1, 2], "output_lens": [1]}', r"only lengths"),
    "uneven timed result": ('{"input_lens": [1], "output_lens": [1], "start_times": 3}', r"lists of one length"),
    "two results": ('{"input_lens": [1], "output_lens": [1], "start_times": [3]}\n{}\n', r"f:2: several results"),
    "bad time of a result": ('{"input_lens": [1], "output_lens": [1], "start_times": ["x"]}', r"start_times x"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_one_clear_error(tmp_path: Path, name: str) -> None:
    text, message = BAD[name]
    with pytest.raises(TrafficError, match=message):
        whole(tmp_path / "f", text)


def test_gzip_cut_off_or_damaged_is_one_clear_error(tmp_path: Path) -> None:
    packed = gzip.compress((OWN + "".join(f"{row},5,{row % 97 + 1}\n" for row in range(20_000))).encode())
    with pytest.raises(TrafficError, match=r"f:\d+: compressed data cannot be read on.*\n.*fetch"):
        whole(tmp_path / "f", packed[: len(packed) // 2])
    with pytest.raises(TrafficError, match=r"f:\d+: compressed data"):
        whole(tmp_path / "f", packed[:2000] + bytes(50) + packed[2050:])


def test_no_file_and_a_folder_are_clear_errors(tmp_path: Path) -> None:
    with pytest.raises(TrafficError, match="cannot be read: No such file"):
        open_trace(tmp_path / "none")
    with pytest.raises(TrafficError, match="a folder; expected a file"):
        open_trace(tmp_path)


def test_nothing_is_executed_or_unpickled(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    evil = f"__import__('pathlib').Path({str(mark)!r}).touch()"
    for text in (
        OWN + f'0,"{evil}",5\n',
        MOON.replace("600", json.dumps(evil)),
        b"cposix\nsystem\n(S'touch mark'\ntR.",
    ):
        with pytest.raises(TrafficError):
            whole(tmp_path / "f", text)
    assert not mark.exists()


def test_pieces_go_on_where_the_last_ended(tmp_path: Path) -> None:
    path = tmp_path / "long.csv"
    path.write_text(OWN + "".join(f"{row / 10},{row + 1},5\n" for row in range(100_001)))
    pieces = list(read_trace(path))
    assert [piece.requests_count for piece in pieces] == [100_000, 1]
    with path.open("a") as file:
        file.write("3,5,5\n")
    with pytest.raises(TrafficError, match=r"long.csv:100003: arrival_s 3;"):
        joined(read_trace(path))


def test_given_arrivals_replace_the_file_s_own(tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    path.write_text(OWN + "0,5,5\n" * 50_000)
    one, other = (joined(read_trace(path, arrivals=poisson(10.0), seed=seed)) for seed in (1, 2))
    assert describe([one]).rate_per_s == pytest.approx(10, rel=0.03)
    assert not np.array_equal(one.arrival_s, other.arrival_s)
    np.testing.assert_array_equal(one.arrival_s, joined(read_trace(path, arrivals=poisson(10.0), seed=1)).arrival_s)


@given(st.binary(max_size=400) | st.text(max_size=200).map(lambda text: (OWN + text).encode()))
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_read_or_refused_clearly(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.mktemp("any") / "f"
    with suppress(TrafficError):
        assert whole(path, data).requests_count > 0


FIGURES = {  # rows, mean prompt, mean answer
    "azure_llm_2023_conv.csv.gz": (19_366, 1154.7, 211.1),
    "azure_llm_2023_code.csv.gz": (8_819, 2047.8, 27.9),
    "mooncake_conversation.jsonl.gz": (12_031, 12035.1, 342.6),
    "mooncake_synthetic.jsonl.gz": (3_993, 15325.5, 149.1),
    "vidur_arxiv_summarization_lengths.csv.gz": (28_257, 2588.1, 291.4),
    "apexplus_llama_lmsys_05.csv.gz": (1_024, 61.7, 162.1),
    "apexplus_mistral_lmsys_05.csv.gz": (1_024, 73.3, 189.5),
    "apexplus_llama_creation_05.csv.gz": (512, 307.7, 1144.3),
    "apexplus_mistral_creation_05.csv.gz": (725, 356.0, 761.5),
    "llmservingsim_sharegpt-llama-3.1-8b-300-sps10.csv.gz": (300, 857.5, 652.5),
    "llmservingsim_sharegpt-qwen3-32b-300-sps10.csv.gz": (300, 862.3, 665.0),
}


@NEEDS_TRACES
@pytest.mark.parametrize("name", FIGURES)
def test_public_traces_give_their_figures(name: str) -> None:
    rows, prompt, output = FIGURES[name]
    path = TRACES / name
    found = describe(read_trace(path, arrivals=None if open_trace(path).timed else poisson(1.0)))
    assert found.requests_count == rows
    assert found.prompt.mean_tokens == pytest.approx(prompt, abs=0.06)
    assert found.output.mean_tokens == pytest.approx(output, abs=0.06)


@NEEDS_TRACES
@pytest.mark.parametrize(
    ("name", "blocks", "hits"),
    [("mooncake_conversation.jsonl.gz", 182_790, 0.366), ("mooncake_synthetic.jsonl.gz", 43_924, 0.640)],
)
def test_public_prefixes_give_their_hits(name: str, blocks: int, hits: float) -> None:
    found = describe(read_trace(TRACES / name))
    assert found.distinct_blocks_count == blocks
    assert found.block_hit_frac == pytest.approx(hits, abs=0.0005)


@NEEDS_TRACES
@pytest.mark.parametrize(
    ("name", "clients", "day"),
    [("reason_deepseek-r1", 73, 1_383_669), ("multimodal_mm-image", 35, 818_610)],
)
def test_public_clients_send_as_published(tmp_path: Path, name: str, clients: int, day: int) -> None:
    with tarfile.open(TRACES / f"servegen_{name}.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    folder = tmp_path / Path(*name.split("_"))
    found = read_clients(folder)
    windows = [window for client in found for window in client.windows.values()]
    assert len(found) == clients
    assert sum(window.rate_per_s * window.span_s for window in windows) == pytest.approx(day)
    noon = sum(window.rate_per_s * window.span_s for window in windows if 43_200 <= window.start_s < 46_800)
    drawn = describe(servegen(folder, seed=1, start_s=43_200.0, stop_s=46_800.0))
    assert drawn.requests_count == pytest.approx(noon, rel=1e-3)
    assert drawn.interval_cv_ratio > 1.0


@NEEDS_TRACES
def test_clients_whose_lengths_are_not_published_are_named(tmp_path: Path) -> None:
    with tarfile.open(TRACES / "servegen_language_m-small.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    with pytest.raises(TrafficError, match="no lengths of clients 1, 5, 8, 11, 38"):
        servegen(tmp_path / "language" / "m-small", seed=1)


@NEEDS_TRACES
def test_every_public_file_of_requests_is_checked() -> None:
    assert {path.name for path in TRACES.glob("*.gz")} == set(FIGURES)
