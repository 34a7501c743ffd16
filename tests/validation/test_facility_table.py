"""The table of published figures: every number that it gives as found is computed anew."""

import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from superpod.catalog.load import Catalogue
from superpod.facility.cooling.building import building
from superpod.facility.cooling.coolant import air_flow_m3_per_s, check_flow, coolant, fluid_named
from superpod.facility.cooling.weather import made_from
from superpod.facility.cost_parts import annuity_usd_per_s
from superpod.facility.power.chip import Activity, chip_w, limited, powered, time_s
from superpod.plan.cost.answer import CostQuestion, cost_report
from superpod.plan.goodput.answer import GoodputQuestion, goodput_report
from superpod.plan.machine import machine
from superpod.plan.power.answer import PowerQuestion
from superpod.plan.power.phases import decode_activity
from superpod.plan.scenario import Scenario, Serving, Training
from superpod.reliability.checkpoint import checkpoint_bytes, effective_frac, first_order_frac, young_s
from superpod.reliability.formulas import availability, correlation, down_at_most, down_probabilities
from superpod.reliability.trace import down_ratio, read_faults, stranded_frac
from superpod.validate.chip_power import decode_sums, drawn
from superpod.validate.point import read_points
from superpod.workload.parameters import count_parameters
from superpod.workload.phase import Partition
from validation import test_cost_checks as money
from validation import test_facility_checks as power
from validation import test_reliability_checks as failures

pytestmark = pytest.mark.validation

TABLE = Path(__file__).resolve().parents[2] / "docs" / "validation" / "facility-checks.md"
CATALOGUE = Catalogue()
PARTS = CATALOGUE.facility_parts("standard")
NUMBER = re.compile(r"(?<![\w.,])-?\d[\d,]*(?:\.\d+)?")
SUBMITTED = {"tensor": 4.0, "pipeline": 8.0, "virtual": 6.0, "micro_batch": 2.0, "tensor_overlap": "ring"}
GPT3 = Training(batch_sequences=2048, sequence_tokens=2048)
LORA = Training(batch_sequences=64, sequence_tokens=8192)
HOUR_S, DAY_S, YEAR_S = failures.HOUR_S, failures.DAY_S, power.YEAR_S
Found = tuple[float, ...]


def rows() -> dict[str, list[str]]:
    """Return the cells of each row, by its number."""
    lines = [line for line in TABLE.read_text().splitlines() if re.match(r"\| \d", line)]
    return {cells[0]: cells for cells in ([cell.strip() for cell in line.strip("|").split("|")] for line in lines)}


def h100_w(load: float, air: float = 0.0) -> float:
    return power.machine_w(PARTS, 8, load * 700, 700, cpus=2, air=air)


def one() -> Found:
    simulated = power.node_w("gpt3-175b", "hgx-h100", GPT3, "immersion", 512, **SUBMITTED)
    return 64 * h100_w(0.95) / 1e3, 64 * simulated / 1e3


def two() -> Found:
    simulated = power.node_w("llama-2-70b", "hgx-b200", LORA, "cold-plate-warm")
    return power.machine_w(PARTS, 8, 950, 1000, cpus=2) / 1e3, simulated / 1e3


def three() -> Found:
    work = Serving(prompt_tokens=300, output_tokens=300, ttft_s=2.0, tpot_s=0.2)
    return (power.node_w("llama-2-70b", "hgx-b200", work, "air-economiser") / 1e3,)


def four() -> Found:
    over = float(CATALOGUE.chip_power("nvidia-hopper").overshoot_ratio)
    return tuple(watts / 10.2e3 for watts in (h100_w(0.95, 1.0), h100_w(over, 1.0), h100_w(0.95)))


def five() -> Found:
    scenario = Scenario(model="llama-3.1-70b", pod="hgx-h100", work=Serving(), cards=4, precision="bf16")
    made, found = machine(CATALOGUE, scenario), []
    for batch, rate in ((8.0, 4 * 441 / 3.76), (898.0, 4 * 637 / 0.373)):
        every = decode_sums(made, Partition(tensor=4.0, sequence_parallel=False), batch, power.PROMPT + 206.0)
        grown = replace(every, at_peak_s=every.at_peak_s * (1.0 + power.PROMPT / 412.0))
        activity = decode_activity(grown, batch / rate, 0.0, routed=False)
        found.append(4 * float(chip_w(CATALOGUE.chip_power("nvidia-hopper"), 700.0, activity)) / rate)
    return tuple(found)


def served(routed: bool) -> Found:
    path = Path(os.environ.get("SUPERPOD_POINTS", ""))
    if not path.is_file():
        pytest.skip("no file of points: set SUPERPOD_POINTS")
    items = drawn(CATALOGUE, read_points(path), power.PROMPT)
    return tuple(
        100.0 * power.left_out([item for item in items if item.chip == chip and item.activity.routed == routed])
        for chip in ("h100-sxm", "b200-sxm")
    )


def eight() -> Found:
    return tuple(power.frontier_w(gpu, cpu) / 1e6 for gpu, cpu in ((88.0, 90.0), (560.0, 280.0)))


def eleven() -> Found:
    scenario = Scenario(model="deepseek-v3", pod="cloudmatrix384", work=Training())
    report = power.power(Catalogue(estimates=True), PowerQuestion(scenario=scenario))
    return (next(level.mean_w for level in report.levels if level.name == "pod") / 1e3,)


def twelve() -> Found:
    network = float(PARTS.network.scale_out_w)
    node = power.node_w("gpt3-175b", "hgx-h100", GPT3, "air-economiser", 512, **SUBMITTED)
    plate, phased = (100_000 * (watts / 8 + network) * 1.25 for watts in (10.2e3, node))
    return plate * YEAR_S / 3.6e15, 1.59e12 * 0.078 / 1e3 / 1e6, 100.0 * (1.0 - phased / plate)


def rises() -> dict[str, Found]:
    fluid = fluid_named(PARTS, "pg25")
    at = {degree: coolant(fluid, degree) for degree in (40.0, 43.0)}
    return {
        "13": (float(at[40.0].rise_k(1e3, 1.5 * power.L_PER_MIN)),),
        "14": (float(at[43.0].rise_k(1400.0, 2.1 * power.L_PER_MIN)),),
        "15": (check_flow(fluid, 115e3, 80 * power.L_PER_MIN, 40.0, (6.0, 15.0)).rise_k,),
    }


def pues(design: str) -> Found:
    found = [
        float(np.ravel(building(PARTS, CATALOGUE.cooling(design), made_from(CATALOGUE.climate(name)), 1e6, 9e5).pue)[0])
        for name in CATALOGUE.names("climates")
    ]
    return min(found), max(found)


def effective(case: str) -> float:
    nodes, rate, stall, _ = failures.CASES[case]
    stops = failures.rate_of(nodes, rate)
    return float(effective_frac(stops, 600.0, float(young_s(stall, stops)), stall))


def twenty_four() -> Found:
    stops = failures.rate_of(2048, 3.79)
    return effective("24"), float(first_order_frac(stops, 600.0, float(young_s(10.0, stops)), 10.0))


def traced() -> dict[str, Found]:
    trace = read_faults(failures.FIXTURES / "infinitehbd_faults.csv", 400, 348.0 * DAY_S)
    ratio = down_ratio(trace)
    exact, binomial = (
        float(np.searchsorted(np.cumsum(down_probabilities(400, trace.down_frac, rho)), 0.99))
        for rho in (correlation(ratio, 400.0), 0.0)
    )
    return {
        "28": (trace.failure_per_s * DAY_S * 1000, 100.0 * trace.down_frac),
        "29": (100.0 * stranded_frac(trace, 72, 32, 4, 8, 5, 0),),
        "30": (exact, float(down_at_most(400.0, trace.down_frac, ratio, 400.0, 0.99)), binomial),
    }


def gigawatt() -> Found:
    rate = 0.0676586485 / YEAR_S
    site = float(annuity_usd_per_s(12e9, rate, 14 * YEAR_S))
    return tuple(
        ((float(annuity_usd_per_s(26e9, rate, years * YEAR_S)) + site) * YEAR_S + 0.9e9) / 1e9 for years in (3, 5, 7)
    )


def hours() -> Found:
    counted = cost_report(CATALOGUE, CostQuestion(pod="hgx-h100", pods=128)).card_hour_usd
    return counted, money.hour_usd("H100"), money.hour_usd("GB200")


def checkpoint() -> Found:
    size = checkpoint_bytes(float(count_parameters(CATALOGUE.model("llama-3.1-405b")).total), 14.0)
    return float(size) / 1e12, float(size) / 16_384 / 1e6


def capped() -> Found:
    shares = CATALOGUE.chip_power("nvidia-hopper")
    products = Activity(name="products", kind="kernel", time_s=1.0, flop_frac=0.7, bound_frac=1.0, steady=True)
    slower = float(time_s(limited(shares, 700.0, powered(shares, 700.0, (products,)), 600.0)))
    return (100.0 * (1.0 - 1.0 / slower),)


def llama() -> Found:
    question = GoodputQuestion(model="llama-3.1-405b", spares="warm")
    return (float(goodput_report(CATALOGUE, "hgx-h100", question, pods=2048).goodput.effective_frac),)


FOUND: dict[str, Callable[[], Found]] = {
    "1": one,
    "2": two,
    "3": three,
    "4": four,
    "5": five,
    "6": lambda: served(routed=False),
    "7": lambda: served(routed=True),
    "8": eight,
    "9": lambda: (power.machine_w(PARTS, 44_544, 550.0, 550.0, cpus=0.0) / 1e6,),
    "10": lambda: (power.machine_w(PARTS, 72, 1200.0, 1200.0, cpus=36, switches=18) / 1e3,),
    "11": eleven,
    "12": twelve,
    "13": lambda: rises()["13"],
    "14": lambda: rises()["14"],
    "15": lambda: rises()["15"],
    "16": lambda: (float(air_flow_m3_per_s(PARTS.air, 41e3)) / power.CFM,),
    "17": lambda: pues("cold-plate-warm"),
    "18": lambda: pues("air-chiller"),
    "19": lambda: tuple(
        100.0 * float(availability(1.0 / (mean * HOUR_S), repair * 60.0))
        for mean, repair in ((13.8, 75.0), (98.5, 75.0), (98.5, 13.0))
    ),
    "20": lambda: tuple(1.0 / failures.rate_of(cards / 8, 6.5) / HOUR_S for cards in (16_384, 131_072)),
    "21": lambda: (1.0 / failures.rate_of(1024 / 8, 6.5) / HOUR_S,),
    "22": lambda: (419 / 54 / 2048 * 1000, 1.0 / failures.rate_of(2048, 419 / 54 / 2048 * 1000) / HOUR_S),
    "23": lambda: (0.1 * 54 * DAY_S / 466 / 60.0,),
    "24": twenty_four,
    "25": lambda: (effective("25"),),
    "25b": lambda: (effective("25b"),),
    "26": lambda: (0.03 / failures.rate_of(1200, 3.79) / 60.0,),
    "27": lambda: (failures.first_module_s() / 60.0,),
    "28": lambda: traced()["28"],
    "29": lambda: traced()["29"],
    "30": lambda: traced()["30"],
    "31": gigawatt,
    "32": hours,
    "33": checkpoint,
    "34": capped,
    "35": lambda: tuple(failures.supernode_h()),
    "36": llama,
}


@pytest.mark.parametrize("row", FOUND)
def test_the_table_gives_what_is_found(row: str) -> None:
    shown = NUMBER.findall(rows()[row][3])
    found = FOUND[row]()
    assert len(shown) == len(found), (shown, found)
    for text, value in zip(shown, found, strict=True):
        digits = len(text.partition(".")[2])
        assert abs(float(text.replace(",", "")) - value) <= 0.501 * 10.0**-digits, (shown, found)


def test_every_row_is_computed_and_has_an_outcome() -> None:
    assert list(rows()) == list(FOUND)
    assert all(
        cells[4].startswith(("held", "refused as expected", "not claimed", "fails")) for cells in rows().values()
    )
