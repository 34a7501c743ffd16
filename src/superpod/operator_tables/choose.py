"""Which measured tables a question uses, if any."""

from importlib.util import find_spec

from superpod.compute.device import OperatorTable
from superpod.errors import NoBasisError
from superpod.operator_tables.locate import EVERY, INSTALL, has_tables, layout
from superpod.operator_tables.tables import load

NONE, AUTO = "none", "auto"


def chosen(wish: str, chip: str, engine: str, ranks_per_chip: float) -> OperatorTable | None:
    """Return the tables that are wished for, or None where the analytic model is to answer.

    `none`: no tables. `auto`: those of the serving engine in use, or the median of all, where the chip has tables.
    Otherwise those of the named engine, or of `all`. Raises NoBasisError where the extra is not installed or is of
    another release, or the chip has no tables; UnknownNameError for an engine that was not timed.
    """
    timed = has_tables(chip) and ranks_per_chip == 1.0
    if wish == NONE or (wish == AUTO and not timed):
        return None
    layout()  # says what is missing, before anything is imported that needs it
    if find_spec("pyarrow") is None:
        raise NoBasisError(
            "measured operator tables need pyarrow", where="--tables", hint=f"{INSTALL}, or --tables none"
        )
    if has_tables(chip) and not timed:
        raise NoBasisError(
            f"kernels were timed on whole packages of {chip}, and ranks are dies here",
            where="--tables",
            hint="--tables none",
        )
    return load(chip, (engine or EVERY) if wish == AUTO else wish)
