"""Requests as Parquet, piece by piece; needs pyarrow."""

from pathlib import Path
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]

WHOLE = ("number", "prompt_tokens", "output_tokens", "hit_tokens", "preempted_count", "reader", "decoder")


class ParquetRows:
    """Rows as Parquet: one group of rows a piece."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.writer: Any = None

    def rows(self, table: dict[str, Any]) -> None:
        """Write some rows."""
        kinds = {
            name: pa.int64() if name in WHOLE else pa.string() if name == "status" else pa.float64() for name in table
        }
        made = pa.table({name: pa.array(column, type=kinds[name]) for name, column in table.items()})
        if self.writer is None:
            self.writer = pq.ParquetWriter(self.path, made.schema)
        self.writer.write_table(made)

    def close(self) -> None:
        """Write what is left; a run without requests leaves an empty table."""
        if self.writer is None:
            pq.write_table(pa.table({}), self.path)
        else:
            self.writer.close()
