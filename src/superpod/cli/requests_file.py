"""Every request that was served, one a row: Parquet, or CSV."""

from __future__ import annotations

import csv
import gzip
import io
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import click

from superpod.cli.deliver import draft_of, unwritable
from superpod.errors import SuperpodError

if TYPE_CHECKING:
    from superpod.serve.simulation.answer import Served

COLUMNS = (
    "number",
    "status",
    "arrival_s",
    "admitted_s",
    "first_token_s",
    "finish_s",
    "prompt_tokens",
    "output_tokens",
    "hit_tokens",
    "preempted_count",
    "reader",
    "decoder",
)


class Writer(Protocol):
    """Takes rows and writes them."""

    def rows(self, table: dict[str, Any]) -> None:
        """Write some rows, column by column."""

    def close(self) -> None:
        """Write what is left."""


class CsvRows:
    """Rows as CSV, packed or plain."""

    def __init__(self, path: Path, *, packed: bool) -> None:
        self.stream: io.TextIOWrapper | Any
        raw = path.open("xb")
        body = gzip.GzipFile(fileobj=raw, mode="wb", filename="", mtime=0) if packed else raw
        self.raw, self.stream = raw, io.TextIOWrapper(body, encoding="utf-8", newline="")
        self.writer = csv.writer(self.stream, lineterminator="\n")
        self.writer.writerow(COLUMNS)

    def rows(self, table: dict[str, Any]) -> None:
        """Write some rows."""
        self.writer.writerows(zip(*(table[name] for name in COLUMNS), strict=True))

    def close(self) -> None:
        """Write what is left."""
        self.stream.close()
        self.raw.close()


class RequestsFile:
    """A file of requests in the order in which they ended; it takes its place when it is closed, and only then.

    Without pyarrow a file that should be Parquet is written as CSV with gzip beside its place, and says so.

    Raises:
        SuperpodError: the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = self.place(path)
        self.draft = draft_of(self.path)
        self.count = 0
        try:
            self.writer = self.opened()
        except OSError as error:
            raise unwritable(self.path, error) from None

    @staticmethod
    def place(path: Path) -> Path:
        """Return the file that can be written."""
        if path.suffix == ".parquet" and find_spec("pyarrow") is None:
            other = path.with_suffix(".csv.gz")
            click.echo(f"no pyarrow here, so {other} instead of Parquet (pip install 'superpod[parquet]')", err=True)
            return other
        if path.suffix != ".parquet" and not path.name.endswith((".csv", ".csv.gz")):
            raise SuperpodError(
                "what kind of file?", where=f"--out {path}", hint="a name that ends in .parquet, .csv or .csv.gz"
            )
        return path

    def opened(self) -> Writer:
        """Return what writes the file."""
        if self.path.suffix == ".parquet":
            from superpod.cli.requests_parquet import ParquetRows

            return ParquetRows(self.draft)
        return CsvRows(self.draft, packed=self.path.suffix == ".gz")

    def add(self, served: Served) -> None:
        """Write some requests."""
        from superpod.serve.simulation.answer import STATUS

        table = {name: getattr(served, name).tolist() for name in COLUMNS}
        table["status"] = [STATUS[place] for place in table["status"]]
        self.count += len(table["number"])
        try:
            self.writer.rows(table)
        except OSError as error:
            self.drop()
            raise unwritable(self.path, error) from None

    def close(self) -> None:
        """Put the file in its place."""
        try:
            self.writer.close()
            self.draft.replace(self.path.resolve())
        except OSError as error:
            self.drop()
            raise unwritable(self.path, error) from None
        click.echo(f"wrote {self.path}: {self.count:,} requests", err=True)

    def drop(self) -> None:
        """Remove what was written."""
        self.draft.unlink(missing_ok=True)
