"""Published powers, flows and ratios of nodes, cabinets and buildings, with the outcome each must have.

Numbers are those of the sources named beside them; a figure that physics contradicts must be refused or flagged.
Measured chips: set SUPERPOD_POINTS to a file of points such as ML.ENERGY's (`benchmarks/fit_chip_power.py`).
"""

import math
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from superpod.catalog.facility_parts import FacilityParts
from superpod.catalog.load import Catalogue
from superpod.errors import MissingFactError
from superpod.facility.cooling.building import building
from superpod.facility.cooling.coolant import (
    air_flow_m3_per_s,
    check_air,
    check_flow,
    coolant,
    fluid_named,
)
from superpod.facility.cooling.weather import made_from
from superpod.facility.power.chip import Activity, chip_w, limited, powered, time_s
from superpod.facility.power.conversion import Stage, through
from superpod.facility.power.machine import Bill, draw
from superpod.plan.machine import machine
from superpod.plan.power.answer import PowerQuestion, power
from superpod.plan.power.phases import decode_activity
from superpod.plan.scenario import Scenario, Serving, Training
from superpod.validate.chip_power import Drawn, decode_sums, drawn
from superpod.validate.point import read_points
from superpod.workload.phase import Partition

pytestmark = pytest.mark.validation

CATALOGUE = Catalogue()
L_PER_MIN = 1.0 / 60e3
CFM = 0.3048**3 / 60.0
YEAR_S = 31_557_600.0
PROMPT = 300.0


@pytest.fixture(scope="module")
def parts() -> FacilityParts:
    return CATALOGUE.facility_parts("standard")


def machine_w(
    parts: FacilityParts,
    chips: float,
    chip: float,
    limit: float,
    *,
    cpus: float,
    air: float = 0.0,
    switches: float = 0.0,
) -> float:
    """Return what a machine of so many chips draws at the mains."""
    bill = Bill(
        chips_count=chips, cpus_count=cpus, switches_count=switches, modules_w=0.0, racks_count=0.0, pods_count=1.0
    )
    return float(draw(bill, parts, chip, limit, air).power_w)


def node_w(
    model: str, pod: str, work: Training | Serving, cooling: str, cards: int | None = None, **fixed: float | str
) -> float:
    """Return the mean power of a node of eight in a simulated plan."""
    scenario = Scenario(model=model, pod=pod, work=work, cards=cards, fixed=fixed)
    report = power(CATALOGUE, PowerQuestion(scenario=scenario, cooling=cooling))
    return next(level.mean_w for level in report.levels if level.name == "node of 8")


# --- nodes ------------------------------------------------------------------------------------------------------------


def test_1_nodes_of_h100_in_gpt3_training(parts: FacilityParts) -> None:
    """MLPerf Training v4.0, 64 nodes of 8 in a tank: 438.3 kW. What stands beside chips is that of idle nodes."""
    assert 64 * machine_w(parts, 8, 0.95 * 700, 700, cpus=2) == pytest.approx(438.3e3, rel=0.05)


def test_1_the_same_nodes_from_simulated_phases() -> None:
    """1 % under what was measured with the submission's degrees (TP 4, PP 8, VP 6, micro-batch 2) and tensor overlap.

    6 % under it with the degrees that the search prefers.
    """
    work = Training(batch_sequences=2048, sequence_tokens=2048)
    fixed = {"tensor": 4.0, "pipeline": 8.0, "virtual": 6.0, "micro_batch": 2.0, "tensor_overlap": "ring"}
    for chosen in (fixed, {}):
        assert node_w("gpt3-175b", "hgx-h100", work, "immersion", 512, **chosen) == pytest.approx(6850.0, rel=0.10)


def test_2_water_cooled_node_of_b200_in_training(parts: FacilityParts) -> None:
    """MLPerf Training v5.0, Llama-2-70B LoRA: 9.57 kW; no refit. Simulated without adapters, as none are modelled."""
    assert machine_w(parts, 8, 0.95 * 1000, 1000, cpus=2) == pytest.approx(9570.0, rel=0.10)
    work = Training(batch_sequences=64, sequence_tokens=8192)
    assert node_w("llama-2-70b", "hgx-b200", work, "cold-plate-warm") == pytest.approx(9570.0, rel=0.10)


@pytest.mark.parametrize(
    ("limit", "air", "watts"), [(700.0, 0.0, 2310.0), (1000.0, 0.0, 2360.0), (1000.0, 1.0, 2880.0)]
)
def test_idle_nodes(parts: FacilityParts, limit: float, air: float, watts: float) -> None:
    """MLPerf Training v4.0 (8 H100 in a tank) and Inference v5.1 (8 B200 in water, in air), nothing running.

    What stands beside chips is the mean of the first two; fans draw as much more idle (0.52 kW) as busy.
    """
    idle = float(CATALOGUE.chip_power("nvidia-hopper").idle_ratio) * limit
    assert machine_w(parts, 8, idle, limit, cpus=2, air=air) == pytest.approx(watts, rel=0.08)


def test_2_air_cooled_nodes_of_h100_in_training() -> None:
    """MLPerf Training v4.1, Llama-2-70B LoRA on 8 nodes: 7.02 kW each."""
    work = Training(batch_sequences=64, sequence_tokens=8192)
    assert node_w("llama-2-70b", "hgx-h100", work, "air-economiser", 64) == pytest.approx(7020.0, rel=0.10)


def test_3_air_cooled_node_of_b200_serving() -> None:
    """MLPerf Inference v5.1, Llama-2-70B: 10.47 kW busy."""
    work = Serving(prompt_tokens=300, output_tokens=300, ttft_s=2.0, tpot_s=0.2)
    assert node_w("llama-2-70b", "hgx-b200", work, "air-economiser") == pytest.approx(10_470.0, rel=0.10)


def test_4_heavy_training_against_nameplate(parts: FacilityParts) -> None:
    """Brookhaven (arXiv 2412.08602, 2506.14551): 76 % of the 10.2 kW nameplate in heavy training.

    At most 82 %, which the provisioned peak must cover. Those nodes are cooled by air; without fans the same node
    comes out at 0.69.
    """
    heavy = machine_w(parts, 8, 0.95 * 700, 700, cpus=2, air=1.0) / 10.2e3
    assert heavy == pytest.approx(0.76, abs=0.08)
    over = float(CATALOGUE.chip_power("nvidia-hopper").overshoot_ratio)
    most = machine_w(parts, 8, over * 700, 700, cpus=2, air=1.0) / 10.2e3
    assert most == pytest.approx(0.82, abs=0.08)
    assert machine_w(parts, 8, 0.95 * 700, 700, cpus=2) / 10.2e3 == pytest.approx(0.67, abs=0.03)


# --- chips while serving ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("batch", "rate", "joule"), [(8.0, 4 * 441 / 3.76, 3.76), (898.0, 4 * 637 / 0.373, 0.373)])
def test_5_energy_of_a_token_of_llama_70b_on_four_h100(batch: float, rate: float, joule: float) -> None:
    """ML.ENERGY, BF16: 3.76 J at a batch of 8, 0.373 J at 898; of the set that the shares are fitted to."""
    made = machine(
        CATALOGUE, Scenario(model="llama-3.1-70b", pod="hgx-h100", work=Serving(), cards=4, precision="bf16")
    )
    output = 412.0
    every = decode_sums(made, Partition(tensor=4.0, sequence_parallel=False), batch, PROMPT + output / 2.0)
    grown = replace(every, at_peak_s=every.at_peak_s * (1.0 + PROMPT / output))
    activity = decode_activity(grown, batch / rate, 0.0, routed=False)
    watts = float(chip_w(CATALOGUE.chip_power("nvidia-hopper"), 700.0, activity))
    assert 4 * watts / rate == pytest.approx(joule, rel=0.15)


@pytest.fixture(scope="module")
def measured() -> tuple[Drawn, ...]:
    path = Path(os.environ.get("SUPERPOD_POINTS", ""))
    if not path.is_file():
        pytest.skip("no file of points: set SUPERPOD_POINTS")
    found = drawn(CATALOGUE, read_points(path), PROMPT)
    if not found:
        pytest.skip("no point of the file states energy")
    return found


def left_out(items: list[Drawn]) -> float:
    """Return the mean error on models that a fit has not seen."""
    from scipy.optimize import least_squares

    def shares(fit: np.ndarray, rows: list[Drawn]) -> np.ndarray:
        memory = np.array([float(item.activity.memory_frac) for item in rows])
        flop = np.array([float(item.activity.flop_frac) for item in rows])
        return np.minimum(fit[3], fit[0] + fit[1] * memory + fit[2] * flop)

    errors: list[float] = []
    for model in sorted({item.model for item in items}):
        mine, rest = [x for x in items if x.model == model], [x for x in items if x.model != model]
        known = np.array([item.measured_w / item.limit_w for item in rest])
        bounds = ((0.1, 0.0, 0.0, 0.5), (0.8, 5.0, 30.0, 1.2))
        fit = least_squares(
            lambda x, known=known, rest=rest: shares(x, rest) / known - 1.0,
            (0.3, 0.5, 3.0, 0.95),
            bounds=bounds,
            loss="soft_l1",
            f_scale=0.05,
        ).x
        truth = np.array([item.measured_w / item.limit_w for item in mine])
        errors += list(np.abs(shares(fit, mine) / truth - 1.0))
    return float(np.mean(errors))


@pytest.mark.parametrize(("chip", "most"), [("h100-sxm", 0.08), ("b200-sxm", 0.06)])
def test_6_dense_serving_on_models_left_out(measured: tuple[Drawn, ...], chip: str, most: float) -> None:
    """Held out model by model: 6.7 % on H100, 5.7 % on B200; the catalogue's shares are within 10 %."""
    mine = [item for item in measured if item.chip == chip and not item.activity.routed]
    assert left_out(mine) <= most
    assert np.mean([abs(item.error_frac) for item in mine]) <= 0.10


def test_7_routed_serving_on_models_left_out(measured: tuple[Drawn, ...]) -> None:
    """Mixtures of experts, held out model by model: 18.9 % on H100, 16.5 % on B200; the catalogue's shares likewise.

    On B200 that beats a constant (21.6 %), on H100 it does not (13.4 %).
    """
    for chip in ("h100-sxm", "b200-sxm"):
        mine = [item for item in measured if item.chip == chip and item.activity.routed]
        assert left_out(mine) <= 0.20
        assert np.mean([abs(item.error_frac) for item in mine]) <= 0.20


def test_7_prompts_of_no_published_length_are_not_compared(measured: tuple[Drawn, ...]) -> None:
    """Code completion reads whole files: what its chips do does not follow from what is published."""
    assert measured
    assert not [item.point for item in measured if "sourcegraph-fim" in item.point]


# --- large machines ---------------------------------------------------------------------------------------------------


def frontier_w(gpu: float, cpu: float) -> float:
    """Return what Frontier draws by the constants of its twin: 13 W / 0.98 a node, 17 W / 0.96 a four."""
    node = 4 * gpu + cpu + 74.26 + 4 * 20.0 + 30.0
    four = 4 * Stage(name="sivoc", fixed_w=13.0, efficiency_frac=0.98).input_w(node)
    at_mains = through((Stage(name="rectifier", fixed_w=17.0, efficiency_frac=0.96),), four)
    return float(9472 / 4 * at_mains + 2368 * 250.0 + 25 * 8473.47)


@pytest.mark.parametrize(("gpu", "cpu", "megawatts"), [(88.0, 90.0, 7.28), (560.0, 280.0, 28.20)])
def test_8_frontier_by_its_twin(gpu: float, cpu: float, megawatts: float) -> None:
    """ExaDigiT/RAPS `config/frontier.yaml`: 9,472 nodes, idle and full."""
    assert frontier_w(gpu, cpu) == pytest.approx(megawatts * 1e6, rel=0.01)


def test_9_el_capitan_in_hpl(parts: FacilityParts) -> None:
    """TOP500 11/2025: 1.809 EFLOP/s at 60.9 GFLOP/W, 29.7 MW; 44,544 MI300A of 550 W, their CPUs inside."""
    assert machine_w(parts, 44_544, 550.0, 550.0, cpus=0.0) == pytest.approx(29.7e6, rel=0.10)


def test_10_nvl72_from_its_parts(parts: FacilityParts) -> None:
    """NVIDIA: 120 kW; 72 x 1.2 kW, 36 CPUs, 18 switch chips."""
    assert machine_w(parts, 72, 1200.0, 1200.0, cpus=36, switches=18) == pytest.approx(120e3, rel=0.10)


def test_11_cloudmatrix384_is_within_the_range_of_estimates() -> None:
    """About 559 kW by SemiAnalysis, an estimate: a test of the range, on the catalogue's estimate of the chip."""
    scenario = Scenario(model="deepseek-v3", pod="cloudmatrix384", work=Training())
    report = power(Catalogue(estimates=True), PowerQuestion(scenario=scenario))
    pod = next(level.mean_w for level in report.levels if level.name == "pod")
    assert pod == pytest.approx(559e3, rel=0.20)


@pytest.mark.parametrize("pod", ["cloudmatrix384", "atlas950-8192", "atlas960-4096", "panjiu-al128", "helios-72"])
def test_11_absolute_power_is_refused_where_none_is_published(pod: str) -> None:
    with pytest.raises(MissingFactError, match="has not been published") as error:
        power(CATALOGUE, PowerQuestion(scenario=Scenario(model="deepseek-v3", pod=pod, work=Training())))
    assert error.value.where.startswith("chips/")
    assert "--set" in error.value.hint


def test_12_a_site_of_100_000_h100(parts: FacilityParts) -> None:
    """SemiAnalysis 2024: 1.59 TWh a year. Nameplate comes within 10 %, simulated phases must be 25 to 40 % lower."""
    pue, network = 1.25, float(parts.network.scale_out_w)
    plate = 100_000 * (10.2e3 / 8 + network) * pue * YEAR_S / 3.6e15
    assert plate == pytest.approx(1.59, rel=0.10)
    work = Training(batch_sequences=2048, sequence_tokens=2048)
    fixed = {"tensor": 4.0, "pipeline": 8.0, "virtual": 6.0, "micro_batch": 2.0, "tensor_overlap": "ring"}
    node = node_w("gpt3-175b", "hgx-h100", work, "air-economiser", 512, **fixed)
    phased = 100_000 * (node / 8 + network) * pue * YEAR_S / 3.6e15
    assert 0.25 <= 1.0 - phased / plate <= 0.40


# --- liquid and air ---------------------------------------------------------------------------------------------------


def test_13_the_usual_flow_is_a_rise_of_ten_kelvin(parts: FacilityParts) -> None:
    """1.5 L/min a kilowatt of PG25 at 40 C: 9.98 K (CoolProp)."""
    fluid = coolant(fluid_named(parts, "pg25"), 40.0)
    assert float(fluid.rise_k(1e3, 1.5 * L_PER_MIN)) == pytest.approx(9.98, abs=0.1)


def test_14_mi355x(parts: FacilityParts) -> None:
    """AMD: 1,400 W at 2.1 L/min."""
    fluid = coolant(fluid_named(parts, "pg25"), 43.0)
    assert float(fluid.rise_k(1400.0, 2.1 * L_PER_MIN)) == pytest.approx(10.0, abs=0.5)


def test_15_eighty_litres_a_minute_are_flagged(parts: FacilityParts) -> None:
    """115 kW of an NVL72 at 80 L/min would mean 21.5 K."""
    fluid = fluid_named(parts, "pg25")
    wrong = check_flow(fluid, 115e3, 80 * L_PER_MIN, 40.0, (6.0, 15.0))
    assert wrong.rise_k == pytest.approx(21.5, abs=0.5)
    assert wrong.verdict == "stop"
    assert check_flow(fluid, 115e3, 172 * L_PER_MIN, 40.0, (6.0, 15.0)).verdict == "ok"


def test_16_air_of_a_rack_at_its_limit(parts: FacilityParts) -> None:
    """41 kW at 15 K: about 4,960 CFM."""
    assert float(air_flow_m3_per_s(parts.air, 41e3)) / CFM == pytest.approx(4960, rel=0.02)
    assert [check_air(parts.air, heat) for heat in (20e3, 35e3, 60e3)] == ["ok", "warn", "stop"]


@pytest.mark.parametrize("climate", CATALOGUE.names("climates"))
def test_17_liquid_at_40_degrees(parts: FacilityParts, climate: str) -> None:
    """Dry coolers: 1.05 to 1.13 in every climate (a peer tool's default is 1.1)."""
    built = building(parts, CATALOGUE.cooling("cold-plate-warm"), made_from(CATALOGUE.climate(climate)), 1e6, 0.9e6)
    assert 1.05 <= float(np.ravel(built.pue)[0]) <= 1.13


@pytest.mark.parametrize(
    ("design", "low", "high", "coolest", "warmest"),
    [
        ("cold-plate-warm", 1.083, 1.112, "london", "mumbai"),
        ("cold-plate-tower", 1.081, 1.094, "london", "singapore"),
        ("cold-plate-cool", 1.088, 1.212, "london", "singapore"),
        ("air-economiser", 1.114, 1.235, "london", "singapore"),
    ],
)
def test_17_sixteen_places_by_their_hours(
    parts: FacilityParts, design: str, low: float, high: float, coolest: str, warmest: str
) -> None:
    """Hours of 2023 of sixteen places through a plant of the same kind: least and highest PUE of the year."""
    places = CATALOGUE.names("climates")
    assert len(places) == 16
    ratios = {
        name: float(
            np.ravel(building(parts, CATALOGUE.cooling(design), made_from(CATALOGUE.climate(name)), 1e6, 0.9e6).pue)[0]
        )
        for name in places
    }
    assert min(ratios.values()) == pytest.approx(low, abs=0.016)
    assert max(ratios.values()) == pytest.approx(high, abs=0.012)
    assert ratios[coolest] < min(ratios.values()) + 0.005
    assert ratios[warmest] == max(ratios.values())


@pytest.mark.parametrize("climate", CATALOGUE.names("climates"))
def test_18_air_of_an_older_site(parts: FacilityParts, climate: str) -> None:
    """Chilled water all year: 1.35 to 1.6 (the Uptime Institute's survey mean is 1.54)."""
    built = building(parts, CATALOGUE.cooling("air-chiller"), made_from(CATALOGUE.climate(climate)), 1e6, 0.9e6)
    assert 1.35 <= float(np.ravel(built.pue)[0]) <= 1.6


def test_34_a_cap_of_600_watts_costs_compute_5_to_15_percent() -> None:
    """Operators quote 5 to 15 % for 700 -> 600 W."""
    shares = CATALOGUE.chip_power("nvidia-hopper")
    products = Activity(name="products", kind="kernel", time_s=1.0, flop_frac=0.7, bound_frac=1.0, steady=True)
    items = powered(shares, 700.0, (products,))
    lost = 1.0 - 1.0 / float(time_s(limited(shares, 700.0, items, 600.0)))
    assert 0.05 <= lost <= 0.15
    assert lost == pytest.approx(0.077, abs=0.002)
    transfers = replace(products, bound_frac=0.0)
    assert math.isclose(float(time_s(limited(shares, 700.0, powered(shares, 700.0, (transfers,)), 600.0))), 1.0)
