"""The file of measurements: what is written is read back, and what is wrong is told with its place."""

from dataclasses import replace
from pathlib import Path

import pytest

from superpod.calibrate.measurements import (
    COLUMNS,
    Measurement,
    format_measurements,
    parse_measurements,
    read_measurements,
)
from superpod.errors import MeasurementError

PRODUCT = Measurement(
    kind="gemm",
    dtype="bf16",
    groups=1.0,
    rows=64.0,
    columns=4096.0,
    depth=7168.0,
    time_s=2.34e-5,
    spread_frac=0.0,
    repeats_count=50.0,
    chip="some, chip",
    software='a "name"',
)
PROMPT = Measurement(
    kind="attention_prefill",
    dtype="bf16",
    sequences=2.0,
    query_tokens=128.0,
    keys=256.0,
    heads=32.0,
    kv_heads=8.0,
    head_dim=128.0,
    causal=True,
    time_s=1e-4,
    chip="c",
)


HEADS = "kind,dtype,kv_dtype,sequences,query_tokens,keys,heads,kv_heads,head_dim,causal,time_s,chip"


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text(format_measurements([PRODUCT, PROMPT]), encoding="utf-8", newline="")
    assert read_measurements(path) == (PRODUCT, PROMPT)


def test_the_header_names_every_column() -> None:
    assert format_measurements([]).strip() == ",".join(COLUMNS)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("kind,time_s\n", "lacks 'chip'"),
        ("kind,time_s,chip,speed\n", "unknown 'speed'"),
        ("kind,time_s,chip,chip\n", "twice 'chip'"),
        ("kind,time_s,chip\n", "no rows"),
        ("kind,time_s,chip\nlaunch,1e-6\n", "line 2: found 2 fields, expected 3"),
        ("kind,time_s,chip\nlunch,1e-6,c\n", "line 2, column kind: found 'lunch', expected one of"),
        ("kind,time_s,chip\nlaunch,fast,c\n", "line 2, column time_s: found 'fast', expected a number"),
        ("kind,time_s,chip\nlaunch,0,c\n", "line 2, column time_s: found '0', expected a positive number"),
        ("kind,time_s,chip\nlaunch,nan,c\n", "expected a positive number"),
        ("kind,time_s,chip\ncopy,1e-6,c\n", "column bytes: found nothing, expected a value for copy"),
        ("kind,causal,time_s,chip\nlaunch,maybe,1e-6,c\n", "expected true or false"),
        ('kind,time_s,chip\nlaunch,1e-6,"c\n', "line 2: is no CSV"),
        ("kind,time_s,chip\nlaunch,1e-6," + "c" * 200_000, "line 2: is no CSV"),
        ("kind,bytes,time_s,chip\ncopy,1.5,1e-6,c\n", "line 2, column bytes: found '1.5', expected a whole number"),
        ("kind,bytes,time_s,chip\ncopy,1e200,1e-6,c\n", "expected a whole number up to 1e+16"),
        (
            "kind,dtype,rows,columns,depth,time_s,chip\ngemm,fp3,1,1,1,1e-6,c\n",
            "line 2, column dtype: found 'fp3', expected one of bf16",
        ),
        (f"{HEADS}\nattention_prefill,bf16,fp4,1,8,8,2,1,64,true,1e-6,c\n", "column kv_dtype: found 'fp4'"),
        (f"{HEADS}\nattention_prefill,bf16,bf16,1,9,8,2,1,64,true,1e-6,c\n", "more than the 8 keys"),
        (f"{HEADS}\nattention_prefill,bf16,bf16,1,8,8,2,3,64,true,1e-6,c\n", "more than the 2 heads"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(text: str, said: str) -> None:
    with pytest.raises(MeasurementError) as caught:
        parse_measurements(text, where="rows.csv")
    assert said in caught.value.message
    assert caught.value.where == "rows.csv"


def test_many_problems_are_told_at_once_and_counted() -> None:
    text = "kind,time_s,chip\n" + "launch,x,c\n" * 20
    with pytest.raises(MeasurementError, match="20 problem") as caught:
        parse_measurements(text, where="rows.csv")
    assert "and 12 more" in caught.value.message


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(MeasurementError, match="cannot be read"):
        read_measurements(tmp_path / "missing.csv")


def test_empty_lines_are_passed_over() -> None:
    text = format_measurements([PRODUCT]) + "\r\n"
    assert parse_measurements(text, where="x") == (PRODUCT,)
    assert replace(PRODUCT, chip="c") != PRODUCT
