"""Coolants, weather, coolers and buildings against numbers worked by hand, and laws that must hold."""

from pathlib import Path

import numpy as np
import pytest

from superpod.catalog.load import Catalogue
from superpod.errors import ScenarioError, UnknownNameError
from superpod.facility.cooling.building import building
from superpod.facility.cooling.coolant import coolant, fluid_named, junction_c, resistance_k_per_w
from superpod.facility.cooling.weather import made_from, read_weather, wet_bulb_c

CATALOGUE = Catalogue()
PARTS = CATALOGUE.facility_parts("standard")
DESIGNS = CATALOGUE.names("cooling")
FRANKFURT = made_from(CATALOGUE.climate("frankfurt"))
SINGAPORE = made_from(CATALOGUE.climate("singapore"))
L_PER_MIN = 1.0 / 60e3


@pytest.mark.parametrize(("name", "rate"), [("water", 1.447), ("pg25", 1.497)])
def test_flow_of_a_kilowatt_at_ten_kelvin(name: str, rate: float) -> None:
    """CoolProp at 40 C."""
    found = coolant(fluid_named(PARTS, name), 40.0)
    assert float(found.flow_m3_per_s(1e3, 10.0)) / L_PER_MIN == pytest.approx(rate, rel=2e-3)
    assert float(found.rise_k(1e3, found.flow_m3_per_s(1e3, 7.0))) == pytest.approx(7.0)


def test_an_unknown_fluid_is_refused() -> None:
    with pytest.raises(UnknownNameError):
        fluid_named(PARTS, "ether")


def test_junction_by_hand_and_monotone() -> None:
    """40 C + half of 10 K + 700 W x 0.05 K/W = 80 C."""
    resistance = resistance_k_per_w(PARTS.plates, 700.0)
    assert junction_c(700.0, 40.0, 10.0, 0.5, resistance) == pytest.approx(80.0)
    assert float(resistance_k_per_w(PARTS.plates, 850.0)) == pytest.approx(0.04)
    watts = np.linspace(100.0, 1400.0, 14)
    assert np.all(np.diff(np.asarray(junction_c(watts, 40.0, 10.0, 0.5, resistance))) > 0.0)


@pytest.mark.parametrize(
    ("dry", "humid", "wet"), [(20.0, 0.5, 13.7), (30.0, 0.8, 27.1), (10.0, 0.9, 9.0), (35.0, 0.2, 19.3)]
)
def test_wet_bulb_near_psychrometric_tables(dry: float, humid: float, wet: float) -> None:
    assert float(wet_bulb_c(dry, humid)) == pytest.approx(wet, abs=0.5)


def test_a_made_year_has_the_months_it_is_made_from() -> None:
    assert len(FRANKFURT.dry_c) == 8760
    january = CATALOGUE.climate("frankfurt").months[0]
    assert float(np.mean(FRANKFURT.dry_c[:744])) == pytest.approx(january.mean_k - 273.15, abs=0.3)
    assert np.all(FRANKFURT.wet_c <= FRANKFURT.dry_c)


def ratio(design: str, weather: object = FRANKFURT, it_w: float = 1e6) -> float:
    built = building(PARTS, CATALOGUE.cooling(design), weather, it_w, 0.9 * it_w)  # type: ignore[arg-type]
    return float(np.ravel(built.pue)[0])


@pytest.mark.parametrize("design", DESIGNS)
def test_heat_out_is_power_in_and_no_ratio_is_below_one(design: str) -> None:
    for weather in (FRANKFURT, SINGAPORE):
        built = building(PARTS, CATALOGUE.cooling(design), weather, 1e6, 0.9e6)
        assert built.imbalance_frac < 1e-3
        assert float(np.min(built.site_w / built.it_w)) >= 1.0
        assert float(np.ravel(built.tue)[0]) > float(np.ravel(built.pue)[0])
        assert float(np.ravel(built.worst_pue)[0]) >= float(np.ravel(built.pue)[0])


@pytest.mark.parametrize("design", DESIGNS)
def test_ratios_do_not_depend_on_size(design: str) -> None:
    assert ratio(design, it_w=1e6) == pytest.approx(ratio(design, it_w=37e6), rel=1e-12)


def test_warmer_loops_save_and_more_so_where_it_is_warm() -> None:
    saved = {
        weather.name: ratio("cold-plate-cool", weather) - ratio("cold-plate-tower", weather)
        for weather in (FRANKFURT, SINGAPORE)
    }
    assert 0.0 < saved["Frankfurt, Germany"] < saved["Singapore"]
    assert saved["Singapore"] == pytest.approx(0.12, abs=0.03)


def test_dry_coolers_take_no_water_and_towers_do() -> None:
    dry = building(PARTS, CATALOGUE.cooling("cold-plate-warm"), SINGAPORE, 1e6, 0.9e6)
    wet = building(PARTS, CATALOGUE.cooling("air-economiser"), SINGAPORE, 1e6, 0.9e6)
    assert float(np.max(dry.water_m3_per_s)) == 0.0
    litres = float(np.ravel(wet.wue_m3_per_j)[0]) * 3.6e9
    assert 1.48 < litres < 2.6  # 1.48 L/kWh of heat evaporate, a quarter of what is fed is drained


def test_rows_of_a_table_are_as_alone() -> None:
    sizes = np.array([1e6, 2e6, 3e6])
    built = building(PARTS, CATALOGUE.cooling("cold-plate-warm"), FRANKFURT, sizes, 0.9 * sizes)
    alone = [
        float(
            np.mean(building(PARTS, CATALOGUE.cooling("cold-plate-warm"), FRANKFURT, float(x), 0.9 * float(x)).site_w)
        )
        for x in sizes
    ]
    assert np.mean(built.site_w, axis=-1) == pytest.approx(alone)


def rows(*lines: str) -> str:
    return "\n".join(("hour,dry_bulb_c,relative_humidity", *lines))


def test_hours_are_read_in_shares_and_in_percent(tmp_path: Path) -> None:
    share, percent = tmp_path / "share.csv", tmp_path / "percent.csv"
    share.write_text(rows(*(f"{hour},{10 + hour % 24},0.8" for hour in range(48))), encoding="utf-8")
    percent.write_text(rows(*(f"{hour},{10 + hour % 24},80" for hour in range(48))), encoding="utf-8")
    assert np.allclose(read_weather(share).wet_c, read_weather(percent).wet_c)


@pytest.mark.parametrize(
    ("text", "where", "said"),
    [
        ("hour,temperature\n0,1", ":1", "missing: dry_bulb_c, relative_humidity"),
        ("", ":1", "missing"),
        (rows("0,warm,0.5"), ":2", "expected numbers"),
        (rows("0,10,0.5", "1,10"), ":3", "found 2 cells"),
        (rows("0,300,0.5"), ":2", "no weather has"),
        (rows("0,nan,0.5"), ":2", "no weather has"),
        (rows("0,10,nan"), ":2", "no weather has"),
        (rows("0,10,-3"), ":2", "no weather has"),
        (rows("0,10,0.5", "2,10,0.5"), ":3", "found hour 2 after hour 0, expected 1"),
        (rows("0,10,0.5", "0,10,0.5"), ":3", "found hour 0 after hour 0, expected 1"),
        (rows("nan,10,0.5", "1,10,0.5"), ":3", "found hour 1 after hour nan"),
        (rows("0,10,0.5", "", "1,10,0.5"), "hours.csv", "found 2 hours"),
        (rows("0,10,0.5"), "hours.csv", "found 1 hours"),
    ],
)
def test_a_bad_file_of_hours_is_refused_with_its_line(tmp_path: Path, text: str, where: str, said: str) -> None:
    path = tmp_path / "hours.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ScenarioError) as error:
        read_weather(path)
    assert error.value.where.endswith(where)
    assert said in str(error.value)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="cannot be read"):
        read_weather(tmp_path / "none.csv")
