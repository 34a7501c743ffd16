"""Parquet files to columns of numbers. The only module that imports pyarrow (the extra `tables`)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from superpod.errors import NoBasisError

FloatArray = npt.NDArray[np.float64]
PER_MILLISECOND = 1e-3  # the tables give latencies in milliseconds


def columns(path: Path, names: tuple[str, ...], where: Mapping[str, Any]) -> dict[str, FloatArray]:
    """Return the number columns `names` and `time_s` of the rows in which each column of `where` has its value.

    A column of `where` that the file lacks holds its value everywhere: older files were written before it existed.
    Raises NoBasisError, naming the file, where it is not such a table.
    """
    import pyarrow  # type: ignore[import-untyped,import-not-found,unused-ignore]  # noqa: PLC0415
    from pyarrow import parquet  # type: ignore[import-untyped,import-not-found,unused-ignore]  # noqa: PLC0415

    try:
        there = set(parquet.read_schema(path).names)
        filters = [(name, "=", value) for name, value in where.items() if name in there]
        table = parquet.read_table(path, columns=[*names, "latency"], filters=filters or None)
        read = {name: np.asarray(table[name].to_numpy(), dtype=float) for name in (*names, "latency")}
    except (OSError, pyarrow.ArrowException, KeyError, ValueError) as error:
        raise NoBasisError(
            f"not a table of operators: {str(error).splitlines()[0]}",
            where=str(path),
            hint="install the package of tables again, or --tables none",
        ) from None
    return {**{name: read[name] for name in names}, "time_s": read["latency"] * PER_MILLISECOND}
