"""One rank's compute, in bare numbers: rates, memory and the efficiencies that its calibration supports."""

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import Protocol

from superpod.catalog.calibration import Calibration
from superpod.catalog.provenance import FactReader, missing_fact
from superpod.catalog.schema import Chip
from superpod.errors import NoBasisError
from superpod.result import Num
from superpod.workload.op import Op


class OperatorTable(Protocol):
    """Measured times that stand for the analytic ones where there are any."""

    @property
    def name(self) -> str:
        """What was measured, on which chip, with which software."""
        ...

    def times(
        self, operators: tuple[Op, ...], analytic_s: tuple[Num, ...], device: "Device"
    ) -> tuple[tuple[Num, ...], tuple[Num, ...]]:
        """Return the seconds of each kernel, and the part of them that measurements answer for."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """What a kernel needs to know of the rank that runs it; `engine` names whose kernels run, where that is known.

    `steady` says that products follow one another for seconds, as in training, where `lag_frac` is how much slower than
    the middle one the slowest of all chips is, for which the others wait. `attention` names the earlier generation of
    attention kernels that training runs, the newest where empty.
    """

    matrix_flop_per_s: Mapping[str, float]
    memory_bytes: float
    memory_bytes_per_s: float
    calibration: Calibration
    table: OperatorTable | None = None
    engine: str = ""
    steady: bool = False
    lag_frac: float = 0.0
    attention: str = ""


def device(
    reader: FactReader, chip: Chip, calibration: Calibration, ranks_per_chip: float, dtypes: tuple[str, ...]
) -> Device:
    """Return the device of one rank, a die or a whole package.

    Raises MissingFactError for an unpublished number and NoBasisError for a dtype that the chip lacks.
    """
    return Device(
        matrix_flop_per_s={dtype: rate(reader, chip, dtype) / ranks_per_chip for dtype in dict.fromkeys(dtypes)},
        memory_bytes=visible_bytes(reader, chip) / ranks_per_chip,
        memory_bytes_per_s=reader.number("memory.bandwidth_bytes_per_s", chip.memory.bandwidth_bytes_per_s)
        / ranks_per_chip,
        calibration=calibration,
    )


def lag(spread_frac: float, chips: float) -> float:
    """Return how much slower than the middle the slowest of n chips is: spread x z, z = Phi^-1((n - 3/8) / (n + 1/4)).

    The expected maximum of n normal numbers (Blom 1958, *Statistical Estimates and Transformed Beta-Variables*); every
    chip of a synchronous step waits for the slowest.
    """
    return spread_frac * NormalDist().inv_cdf((chips - 0.375) / (chips + 0.25)) if chips > 1.0 else 0.0


def visible_bytes(reader: FactReader, chip: Chip) -> float:
    """Return the memory that the driver offers, or the printed capacity where nobody says."""
    if chip.memory.visible_bytes is not None:
        return reader.number("memory.visible_bytes", chip.memory.visible_bytes)
    return reader.number("memory.capacity_bytes", chip.memory.capacity_bytes)


def rate(reader: FactReader, chip: Chip, dtype: str) -> float:
    """Return the package's dense matrix rate for a dtype."""
    path = f"matrix_flop_per_s.{dtype}"
    rates: Mapping[str, float | None] = dict(chip.matrix_flop_per_s.items())
    if dtype not in rates:
        fact = chip.facts.get(path)
        if fact is None or not fact.unsupported:
            raise (
                missing_fact(f"chips/{chip.id}:{path}", fact)
                if fact
                else NoBasisError(
                    f"nothing is known of {dtype} on {chip.name}",
                    where=f"chips/{chip.id}:{path}",
                    hint=f"known: {', '.join(rates)}",
                )
            )
        raise NoBasisError(
            f"{chip.name} has no {dtype} matrix engine",
            where=f"chips/{chip.id}:{path}",
            hint=f"it has {', '.join(rates)}",
        )
    return reader.number(path, rates[dtype])


def supported(chip: Chip, dtype: str) -> bool:
    """Return whether the chip is known to have a matrix rate for the dtype."""
    rates: Mapping[str, float | None] = dict(chip.matrix_flop_per_s.items())
    return rates.get(dtype) is not None
