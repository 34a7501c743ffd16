"""Lines of a text file, plain or gzip, read one at a time and never run or unpickled."""

import gzip
import io
import zlib
from collections.abc import Iterator
from pathlib import Path

from superpod.errors import TrafficError

LONGEST_LINE = 256 * 2**20
"""Characters of a line, at most: what a detailed result of a benchmark may take; more is no trace."""

GZIP = b"\x1f\x8b"


def lines_of(path: Path) -> Iterator[str]:
    """Yield the lines of a file with their ends.

    Raises:
        TrafficError: no such file, not text, damaged or cut off compression, a line without end.
    """
    number = 1
    try:
        with opened(path) as file:
            while line := file.readline(LONGEST_LINE):
                if len(line) == LONGEST_LINE:
                    raise TrafficError(f"a line of {LONGEST_LINE:,} characters or more", where=f"{path}:{number}")
                yield line
                number += 1
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise TrafficError(
            f"compressed data cannot be read on: {error}", where=f"{path}:{number}", hint="fetch the file again"
        ) from None
    except UnicodeDecodeError as error:
        raise TrafficError(
            f"not text in UTF-8: {error.reason}",
            where=f"{path}:{number}",
            hint="a trace is a CSV or JSON-lines file, plain or gzip; unpack archives first",
        ) from None
    except OSError as error:
        raise TrafficError(f"cannot be read: {error.strerror or error}", where=str(path)) from None


def opened(path: Path) -> io.TextIOWrapper:
    """Return a file of text, unpacked where its first bytes are those of gzip."""
    with path.open("rb") as file:
        packed = file.read(len(GZIP)) == GZIP
    if packed:
        return io.TextIOWrapper(gzip.GzipFile(path), encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")
