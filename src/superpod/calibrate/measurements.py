"""The file of measurements: one operator or collective a row, in SI units.

CSV after RFC 4180 with a header; an empty field does not apply. `superpod measure` writes it, `superpod calibrate`
reads it.
"""

import csv
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from io import StringIO
from pathlib import Path

from superpod.errors import MeasurementError

GEMM, PREFILL, DECODE, LATENT_DECODE = "gemm", "attention_prefill", "attention_decode", "mla_decode"
ELEMENTWISE, SOFTMAX, COPY, LAUNCH = "elementwise", "softmax", "copy", "launch"
COLLECTIVES = ("all_reduce", "all_gather", "reduce_scatter", "all_to_all")

# What a row of each kind cannot do without, beside its kind, time and chip.
REQUIRED: dict[str, tuple[str, ...]] = {
    GEMM: ("dtype", "rows", "columns", "depth"),
    PREFILL: ("dtype", "sequences", "query_tokens", "keys", "heads", "kv_heads", "head_dim", "causal"),
    DECODE: ("dtype", "sequences", "keys", "heads", "kv_heads", "head_dim"),
    LATENT_DECODE: ("dtype", "sequences", "keys", "heads", "head_dim", "value_dim"),
    ELEMENTWISE: ("bytes",),
    SOFTMAX: ("bytes",),
    COPY: ("bytes",),
    LAUNCH: (),
    **dict.fromkeys(COLLECTIVES, ("ranks", "bytes")),
}
WORDS = ("kind", "dtype", "kv_dtype", "chip", "software")
WHOLE = (
    "groups",
    "rows",
    "columns",
    "depth",
    "sequences",
    "query_tokens",
    "keys",
    "heads",
    "kv_heads",
    "head_dim",
    "value_dim",
    "ranks",
    "bytes",
    "repeats_count",
)
COUNT_MAX, BYTES_MAX = 1e9, 1e16  # no operator has such sizes; their products stay within a float
# Bytes of an element, fp4 with its block scales. What a product's row may say, and what a cache's.
ELEMENT_BYTES = {"bf16": 2.0, "fp16": 2.0, "fp8": 1.0, "fp8_block": 1.0, "int8": 1.0, "fp4": 0.5625}
CACHE_DTYPES = ("bf16", "fp16", "fp8", "int8")
SEPARATOR = "; "  # in the software column, before the kernel that ran
WORST_SHOWN = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One measured operator: its sizes and the device seconds of one call.

    A product is `groups` times (rows x depth) by (depth x columns), its dtype a number format with its scaling, as
    `bf16`, `fp8` (a scale a tensor or a row), `fp8_block`. Attention runs `query_tokens` queries a sequence over `keys`
    keys; for `mla_decode` head_dim is the width of the latent with its rotary part and value_dim that of the latent.
    `bytes` is read and written, or of a collective the message a rank holds (nccl-tests' size). `spread_frac` is
    (P90 - P10) / median over `repeats_count` repeats. `software` ends with the kernel that ran.
    """

    kind: str
    dtype: str = ""
    groups: float | None = None
    rows: float | None = None
    columns: float | None = None
    depth: float | None = None
    sequences: float | None = None
    query_tokens: float | None = None
    keys: float | None = None
    heads: float | None = None
    kv_heads: float | None = None
    head_dim: float | None = None
    value_dim: float | None = None
    causal: bool | None = None
    kv_dtype: str = ""
    ranks: float | None = None
    bytes: float | None = None
    time_s: float
    spread_frac: float | None = None
    repeats_count: float | None = None
    chip: str
    software: str = ""


COLUMNS: tuple[str, ...] = tuple(field.name for field in fields(Measurement))


def read_measurements(path: Path) -> tuple[Measurement, ...]:
    """Return the rows of a file of measurements.

    Raises MeasurementError with every place that is wrong: line, column, what was found and what was expected.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise MeasurementError(f"cannot be read: {error}", where=str(path)) from error
    return parse_measurements(text, where=str(path))


def parse_measurements(text: str, *, where: str) -> tuple[Measurement, ...]:
    """Return the measurements that a CSV text holds; `where` names it in errors."""
    lines = cells_of(text, where)
    _, header = next(lines, (0, None))
    if header is None:
        raise MeasurementError("is empty", where=where, hint=f"the first line is the header: {','.join(COLUMNS)}")
    check_header(header, where)
    rows: list[Measurement] = []
    problems: list[str] = []
    for line, cells in lines:
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(header):
            problems.append(f"line {line}: found {len(cells)} fields, expected {len(header)} as in the header")
            continue
        row, wrong = parse_row(dict(zip(header, cells, strict=True)))
        problems.extend(f"line {line}, {problem}" for problem in wrong)
        if row is not None:
            rows.append(row)
    if problems:
        shown = "\n  ".join(problems[:WORST_SHOWN])
        more = len(problems) - WORST_SHOWN
        rest = f"\n  and {more} more" if more > 0 else ""
        raise MeasurementError(
            f"{len(problems)} problem(s):\n  {shown}{rest}", where=where, hint="an empty field is fine"
        )
    if not rows:
        raise MeasurementError("has a header and no rows", where=where, hint="`superpod measure` writes such a file")
    return tuple(rows)


def cells_of(text: str, where: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the fields of each record with the line that it ends on; MeasurementError where quotes do not pair."""
    reader = csv.reader(StringIO(text, newline=""), strict=True)
    begun = 1
    while True:
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise MeasurementError(
                f"line {begun}: is no CSV: {error}, expected fields whose quotes pair", where=where, hint="see RFC 4180"
            ) from None
        if cells is None:
            return
        begun = reader.line_num + 1
        yield reader.line_num, cells


def check_header(header: Sequence[str], where: str) -> None:
    """Raise MeasurementError where the header lacks a needed column, or has one twice or unknown."""
    needed = {"kind", "time_s", "chip"}
    missing = [name for name in COLUMNS if name in needed and name not in header]
    unknown = [name for name in header if name not in COLUMNS]
    twice = sorted({name for name in header if list(header).count(name) > 1})
    told = {"lacks": missing, "has unknown": unknown, "has twice": twice}
    wrong = "; ".join(f"{what} {', '.join(map(repr, names))}" for what, names in told.items() if names)
    if wrong:
        raise MeasurementError(f"line 1: the header {wrong}", where=where, hint=f"columns: {','.join(COLUMNS)}")


def parse_row(cells: dict[str, str]) -> tuple[Measurement | None, list[str]]:
    """Return a measurement, or None and what is wrong with it."""
    problems: list[str] = []
    values: dict[str, object] = {}
    for column, cell in cells.items():
        text = cell.strip()
        if not text:
            continue
        try:
            values[column] = parse_cell(column, text)
        except ValueError as error:
            problems.append(f"column {column}: found {text!r}, expected {error}")
    kind = str(values.get("kind", ""))
    if kind not in REQUIRED:
        problems.append(f"column kind: found {kind!r}, expected one of {', '.join(REQUIRED)}")
    problems.extend(
        f"column {column}: found nothing, expected a value for {kind or 'every row'}"
        for column in ("time_s", "chip", *REQUIRED.get(kind, ()))
        if not cells.get(column, "").strip()
    )
    problems.extend(contradictions(kind, values))
    return (None if problems else Measurement(**values)), problems  # type: ignore[arg-type]


def contradictions(kind: str, values: Mapping[str, object]) -> Iterator[str]:
    """Yield what fields of a row say against each other, or against its kind."""
    known = {"dtype": tuple(ELEMENT_BYTES), "kv_dtype": CACHE_DTYPES}
    for column, words in known.items():
        if column in values and "dtype" in REQUIRED.get(kind, ()) and values[column] not in words:
            yield f"column {column}: found {values[column]!r}, expected one of {', '.join(words)}"
    if values.get("causal") and over(values, "query_tokens", "keys"):
        yield f"column query_tokens: found more than the {values['keys']:g} keys, expected at most as many where causal"
    if over(values, "kv_heads", "heads"):
        yield f"column kv_heads: found more than the {values['heads']:g} heads, expected at most as many"


def over(values: Mapping[str, object], one: str, other: str) -> bool:
    """Return whether both numbers are there and the first is the larger."""
    first, second = values.get(one), values.get(other)
    return isinstance(first, float) and isinstance(second, float) and first > second


def parse_cell(column: str, text: str) -> object:
    """Return the value of one field; ValueError says what was expected."""
    if column in WORDS:
        return text
    if column == "causal":
        words = {"true": True, "1": True, "false": False, "0": False}
        if text.lower() not in words:
            raise ValueError("true or false")
        return words[text.lower()]
    try:
        number = float(text)
    except ValueError:
        raise ValueError("a number") from None
    if not math.isfinite(number) or number < 0.0 or (number == 0.0 and column != "spread_frac"):
        raise ValueError("zero or more" if column == "spread_frac" else "a positive number")
    most = BYTES_MAX if column == "bytes" else COUNT_MAX
    if column in WHOLE and not (number.is_integer() and number <= most):
        raise ValueError(f"a whole number up to {most:.0e}")
    return number


def software_of(row: Measurement) -> str:
    """Return what ran a row, without the kernel that ends the column.

    >>> software_of(Measurement(kind="launch", time_s=1e-6, chip="h100", software="torch 2.9, cuda 13; eager"))
    'torch 2.9, cuda 13'
    """
    return row.software.rpartition(SEPARATOR)[0] or row.software


def format_measurements(rows: Iterable[Measurement]) -> str:
    """Return the CSV text of measurements, header first, numbers as short as they are exact."""
    out = StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    for row in rows:
        writer.writerow([format_cell(getattr(row, column)) for column in COLUMNS])
    return out.getvalue()


def format_cell(value: object) -> str:
    """Return the text of one field."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)
    return str(value)
