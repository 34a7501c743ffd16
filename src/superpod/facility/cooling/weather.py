"""Hours of a year: dry bulb and wet bulb, made from a place's months or read from a file."""

import _csv
import csv
import io
import math
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from superpod.catalog.facility_parts import Climate
from superpod.errors import ScenarioError
from superpod.result import Num

Hours = npt.NDArray[np.float64]

FREEZING_K = 273.15
GOLDEN = (math.sqrt(5.0) - 1.0) / 2.0
DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
DAY_HOURS = 24
WARMEST_HOUR = 15
COLUMNS = ("hour", "dry_bulb_c", "relative_humidity")
BELIEVABLE_C = (-70.0, 60.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Weather:
    """Hours in the order of the year."""

    name: str
    dry_c: Hours
    wet_c: Hours

    def thinned(self, every: int) -> "Weather":
        """Return every so many hours: a step without common factor with 24 keeps days and nights."""
        return Weather(name=self.name, dry_c=self.dry_c[::every], wet_c=self.wet_c[::every])


def wet_bulb_c(dry_c: Num, humidity_frac: Num) -> Num:
    """Return the wet bulb at sea level: Stull 2011 (doi:10.1175/JAMC-D-11-0143.1), in degrees Celsius.

    Good to 0.3 K on average between -20 and 50 degrees and 5 to 99 % of relative humidity; off by up to 1.5 K in cold
    dry air, where no cooler cares.
    """
    humid = np.maximum(100.0 * humidity_frac, 5.0)
    return np.minimum(
        dry_c * np.arctan(0.151977 * np.sqrt(humid + 8.313659))
        + np.arctan(dry_c + humid)
        - np.arctan(humid - 1.676331)
        + 0.00391838 * humid**1.5 * np.arctan(0.023101 * humid)
        - 4.686035,
        dry_c,
    )


def saturation_pa(dry_c: Num) -> Num:
    """Return the vapour pressure of saturated air: 610.94 exp(17.625 T / (T + 243.04)), Pa (Alduchov 1996)."""
    return 610.94 * np.exp(17.625 * dry_c / (dry_c + 243.04))


def made_from(climate: Climate) -> Weather:
    """Return the hours of a year from a place's months.

    A day's mean is normal around its month's, in an even order of quantiles; the day is a cosine that peaks at 15 h;
    vapour stays the same all day, that of the month's mean relative humidity at the day's mean temperature. Fronts and
    the extremes of a year are not in it: the worst hour is milder than a measured one (a few kelvin).
    """
    wave = np.cos(2.0 * math.pi * (np.arange(DAY_HOURS) - WARMEST_HOUR) / DAY_HOURS)
    dry: list[Hours] = []
    humid: list[Hours] = []
    for month, days in zip(climate.months, DAYS, strict=False):
        quantiles = [NormalDist().inv_cdf(((day + 0.5) * GOLDEN) % 1.0 * 0.98 + 0.01) for day in range(days)]
        means = float(month.mean_k) - FREEZING_K + float(month.spread_k) * np.array(quantiles)
        hours = means[:, None] + float(month.swing_k) * wave[None, :]
        vapour = float(month.humidity_frac) * np.asarray(saturation_pa(means))[:, None]
        dry.append(hours.ravel())
        humid.append(np.minimum(vapour / saturation_pa(hours), 1.0).ravel())
    dried = np.concatenate(dry)
    return Weather(name=climate.name, dry_c=dried, wet_c=np.asarray(wet_bulb_c(dried, np.concatenate(humid))))


def read_weather(path: Path) -> Weather:
    """Return the hours of a CSV file `hour,dry_bulb_c,relative_humidity`; humidity as a share or in percent.

    Raises ScenarioError that names the line for a missing column, a text that is no number, a value that no weather
    has, an hour that does not follow the one before it.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ScenarioError(f"cannot be read: {reason}", where=str(path), hint="a CSV file of hours") from None
    rows = csv.reader(io.StringIO(text))
    header = [name.strip().lower() for name in next(rows, [])]
    missing = [name for name in COLUMNS if name not in header]
    if missing:
        raise ScenarioError(
            f"found the columns {', '.join(header) or 'nothing'}, expected {', '.join(COLUMNS)}",
            where=f"{path}:1",
            hint=f"missing: {', '.join(missing)}",
        )
    places = [header.index(name) for name in COLUMNS]
    dry, humid = _numbers(path, rows, places, len(header))
    if len(dry) < DAY_HOURS:
        raise ScenarioError(f"found {len(dry)} hours, expected a day or more", where=str(path), hint="8,760 are a year")
    share = np.array(humid) / (100.0 if max(humid) > 1.0 else 1.0)
    dried = np.array(dry)
    return Weather(name=path.name, dry_c=dried, wet_c=np.asarray(wet_bulb_c(dried, share)))


def _numbers(path: Path, rows: "_csv.Reader", places: list[int], width: int) -> tuple[list[float], list[float]]:
    dry: list[float] = []
    humid: list[float] = []
    before: float | None = None
    for row in rows:
        if not any(cell.strip() for cell in row):
            continue
        where = f"{path}:{rows.line_num}"
        if len(row) != width:
            raise ScenarioError(f"found {len(row)} cells, expected {width}", where=where, hint=", ".join(COLUMNS))
        try:
            hour, warm, wet = (float(row[place]) for place in places)
        except ValueError:
            raise ScenarioError(
                f"found {','.join(row)[:60]!r}, expected numbers", where=where, hint="8760 rows such as 0,11.5,0.82"
            ) from None
        if not (BELIEVABLE_C[0] <= warm <= BELIEVABLE_C[1] and 0.0 <= wet <= 100.0):
            raise ScenarioError(
                f"found {warm:g} C and a humidity of {wet:g}, which no weather has",
                where=where,
                hint="degrees Celsius, and relative humidity from 0 to 1 or in percent",
            )
        if before is not None and hour != before + 1.0:
            raise ScenarioError(
                f"found hour {hour:g} after hour {before:g}, expected {before + 1.0:g}",
                where=where,
                hint="hours in order, without gaps and none twice",
            )
        before = hour
        dry.append(warm)
        humid.append(wet)
    return dry, humid
