"""Traffic matrices from files: CSV of single flows or of a square matrix, and numpy's npz. Data only, nothing is run.

CSV with the header `src,dst,bytes` or `src,dst,bytes,start_s`: one flow a line. CSV without a header: a square matrix
of bytes, row = source. npz: an array `bytes` of that shape, or columns `src`, `dst`, `bytes` and perhaps `start_s`.
Ranks count from 0. Flows of 0 bytes and the diagonal of a matrix are left out.
"""

import io
import zipfile
import zlib
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.lib import format as npy

from superpod.errors import ScenarioError
from superpod.fabric.topology import FloatArray, IntArray
from superpod.plan.fabric.question import BYTES_MAX

COLUMNS = ("src", "dst", "bytes", "start_s")
UNPACKED_MAX = 2**30
NUMBERS_MAX = 2**25
"""More numbers than this in one array take many gigabytes on the way to flows."""
UNREADABLE = (
    ValueError,
    OSError,
    EOFError,
    KeyError,
    TypeError,
    RuntimeError,  # encrypted
    MemoryError,  # a header nested beyond what Python parses
    zlib.error,
    zipfile.BadZipFile,
)
FORMS = "a CSV file with the header src,dst,bytes[,start_s], a square CSV matrix, or an npz file"


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """Flows between ranks: who sends what to whom, and when it may begin."""

    src: IntArray
    dst: IntArray
    size_bytes: FloatArray
    start_s: FloatArray


def read_traffic(content: bytes, name: str, ranks_count: int) -> Traffic:
    """Return the flows of a file; raise ScenarioError with the file, and the line where there are lines."""
    if not content.strip():
        raise ScenarioError("the file is empty", where=name, hint=f"expected {FORMS}")
    if name.lower().endswith(".npz"):
        rows, places = _npz(content, name, ranks_count)
    else:
        rows, places = _csv(content, name, ranks_count)
    return _flows(rows, places, name, ranks_count)


def aggregated(traffic: Traffic, ranks_count: int, most: int) -> FloatArray:
    """Return bytes by source and destination, neighbouring ranks taken together until there are at most `most`."""
    together = -(-ranks_count // most)
    side = -(-ranks_count // together)
    place = traffic.src // together * side + traffic.dst // together
    return np.bincount(place, weights=traffic.size_bytes, minlength=side * side).reshape(side, side).astype(np.float64)


def _csv(content: bytes, name: str, ranks_count: int) -> tuple[FloatArray, list[str]]:
    """Return rows of (src, dst, bytes, start), and the place of each."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ScenarioError("is no UTF-8 text", where=name, hint=f"expected {FORMS}") from None
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), start=1) if line.strip()]
    head = [word.strip().lower() for word in lines[0][1].split(",")]
    if head[0] and not _is_number(head[0]):
        return _listed(head, lines, name)
    rows = [[_number(word, f"{name}:{number}") for word in line.split(",")] for number, line in lines]
    for (number, _), row in zip(lines, rows, strict=True):
        if len(row) != len(rows):
            raise ScenarioError(
                f"found {len(row)} columns and {len(rows)} lines, expected a square matrix",
                where=f"{name}:{number}",
                hint="or single flows under the header src,dst,bytes",
            )
    _sized((len(rows), len(rows)), name, ranks_count)
    return _square(np.array(rows), [f"{name}:{number}" for number, _ in lines])


def _listed(head: list[str], lines: list[tuple[int, str]], name: str) -> tuple[FloatArray, list[str]]:
    """Return the flows below a header."""
    if tuple(head) not in {COLUMNS, COLUMNS[:3]}:
        raise ScenarioError(
            f"found the columns {','.join(head)}, expected src,dst,bytes or src,dst,bytes,start_s",
            where=f"{name}:{lines[0][0]}",
        )
    rows, places = [], []
    for number, line in lines[1:]:
        words = line.split(",")
        if len(words) != len(head):
            raise ScenarioError(f"found {len(words)} columns, expected {len(head)}", where=f"{name}:{number}")
        found = [_number(word, f"{name}:{number}") for word in words]
        rows.append([*found, 0.0][:4])
        places.append(f"{name}:{number}")
    if not rows:
        raise ScenarioError("a header and no flows", where=name)
    return np.array(rows, dtype=np.float64), places


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _number(word: str, where: str) -> float:
    if not _is_number(word):
        raise ScenarioError(f"found {word.strip()!r}, expected a number", where=where)
    return float(word)


def _sized(shape: tuple[int, ...], name: str, ranks_count: int) -> None:
    """Raise ScenarioError for a matrix that has not a row and a column for every rank."""
    if len(shape) != 2 or shape[0] != shape[1]:
        raise ScenarioError(f"`bytes` has the shape {shape}, expected n x n", where=name)
    if shape[0] != ranks_count:
        raise ScenarioError(
            f"found a matrix of {shape[0]:,} x {shape[0]:,}, expected {ranks_count:,} x {ranks_count:,}: "
            "a row and a column for every rank",
            where=name,
            hint="single flows under the header src,dst,bytes may leave ranks out",
        )


def _square(matrix: FloatArray, places: list[str]) -> tuple[FloatArray, list[str]]:
    """Return the entries of a matrix as rows; what a rank sends to itself stays on it."""
    side = len(matrix)
    src, dst = np.repeat(np.arange(side), side), np.tile(np.arange(side), side)
    rows: FloatArray = np.stack([src, dst, matrix.ravel(), np.zeros(side * side)], axis=1).astype(np.float64)
    kept = np.flatnonzero(src != dst)
    return rows[kept], [places[int(row) % len(places)] if len(places) == 1 else places[src[row]] for row in kept]


def _npz(content: bytes, name: str, ranks_count: int) -> tuple[FloatArray, list[str]]:
    """Return rows of an npz file; arrays of objects are refused, nothing is unpickled."""
    try:
        shapes = _shapes(content, name)
    except UNREADABLE:
        raise _damaged(name) from None
    if "bytes" not in shapes:
        raise ScenarioError("lacks the array `bytes`", where=name, hint="bytes n x n, or src, dst, bytes[, start_s]")
    square = "src" not in shapes and "dst" not in shapes
    if square:
        _sized(shapes["bytes"], name, ranks_count)
    for key, shape in shapes.items():
        if prod(shape) > NUMBERS_MAX:
            raise ScenarioError(
                f"the array `{key}` holds {prod(shape):,} numbers", where=name, hint=f"at most {NUMBERS_MAX:,}"
            )
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            arrays: dict[str, Any] = {key: archive[key] for key in shapes}
    except UNREADABLE:
        raise _damaged(name) from None
    size = arrays["bytes"].astype(np.float64)
    if square:
        return _square(size, [name])
    arrays.setdefault("start_s", np.zeros(size.size))
    if any(key not in arrays or arrays[key].shape != (size.size,) for key in COLUMNS):
        raise ScenarioError("src, dst, bytes and start_s must be columns of equal length", where=name)
    rows: FloatArray = np.stack([arrays[key].astype(np.float64) for key in COLUMNS], axis=1)
    return rows, [name] * size.size


def _shapes(content: bytes, name: str) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the arrays in use from their headers, none of which claims more than the file holds."""
    shapes: dict[str, tuple[int, ...]] = {}
    with zipfile.ZipFile(io.BytesIO(content)) as packed:
        unpacked = sum(item.file_size for item in packed.infolist())
        if unpacked > UNPACKED_MAX:
            raise ScenarioError(f"unpacks to {unpacked:,} bytes", where=name, hint=f"at most {UNPACKED_MAX:,}")
        for item in packed.infolist():
            key = item.filename.removesuffix(".npy")
            if key not in COLUMNS:
                continue
            with packed.open(item) as stream:
                read = npy.read_array_header_1_0 if npy.read_magic(stream) == (1, 0) else npy.read_array_header_2_0
                shape, _, dtype = read(stream)
                held = item.file_size - stream.tell()
            if dtype.hasobject:
                raise _damaged(name)
            if dtype.kind not in "iuf":
                raise ScenarioError(f"the array `{key}` holds no numbers", where=name)
            if key in shapes or prod(shape) * dtype.itemsize != held:
                raise ScenarioError(
                    f"the array `{key}` claims the shape {shape}, and its file holds {held:,} bytes of it", where=name
                )
            shapes[key] = shape
    return shapes


def _damaged(name: str) -> ScenarioError:
    return ScenarioError(
        "cannot be read as npz: damaged, cut off, or with Python objects in it", where=name, hint=f"expected {FORMS}"
    )


def _flows(rows: FloatArray, places: list[str], name: str, ranks_count: int) -> Traffic:
    """Return rows as flows; raise ScenarioError for the first that means nothing."""
    src, dst, size, start = rows.T
    known = [(end >= 0) & (end < ranks_count) & (end == np.floor(end)) for end in (src, dst)]
    inside = known[0] & known[1]
    faults = (
        (~np.isfinite(size) | (size < 0), "bytes", "a finite number from 0 up", size),
        (~np.isfinite(start) | (start < 0), "start_s", "a finite number from 0 up", start),
        (size > BYTES_MAX, "bytes", f"at most {BYTES_MAX:g}", size),
        (~inside, "rank", f"ranks 0 to {ranks_count - 1}", np.where(known[0], dst, src)),
        (inside & (src == dst) & (size > 0), "flow", "two different ranks", src),
    )
    for wrong, what, expected, value in faults:
        if wrong.any():
            first = int(np.flatnonzero(wrong)[0])
            raise ScenarioError(f"{what}: found {value[first]:g}, expected {expected}", where=places[first])
    kept = size > 0
    if not kept.any():
        raise ScenarioError("no flow carries a byte", where=name)
    return Traffic(
        src=src[kept].astype(np.int64),
        dst=dst[kept].astype(np.int64),
        size_bytes=size[kept],
        start_s=start[kept],
    )
