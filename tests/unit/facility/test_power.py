"""Chips, conversion, machines, caps and traces against numbers worked by hand, and laws that must hold."""

from dataclasses import replace

import numpy as np
import pytest

from superpod.catalog.load import Catalogue
from superpod.facility.columns import filled, table
from superpod.facility.power.chip import Activity, Powered, chip_w, clock_share, highest_w, limited, mean_w, powered
from superpod.facility.power.conversion import Stage, through
from superpod.facility.power.limits import Cap, settle
from superpod.facility.power.machine import Bill, chips_within, draw
from superpod.facility.power.trace import sampled, swings

CATALOGUE = Catalogue()
PARTS = CATALOGUE.facility_parts("standard")
HOPPER = CATALOGUE.chip_power("nvidia-hopper")
PRODUCTS = Activity(name="products", kind="kernel", time_s=3.0, flop_frac=0.6, bound_frac=1.0, steady=True)
WAITS = Activity(name="waits", kind="wait", time_s=1.0)
BILL = Bill(chips_count=8.0, cpus_count=2.0, switches_count=4.0, modules_w=100.0, racks_count=1.0, pods_count=1.0)


def test_a_busy_chip_is_capped_and_an_idle_one_is_not_off() -> None:
    assert chip_w(HOPPER, 700.0, PRODUCTS) == pytest.approx(700.0 * HOPPER.steady_ratio)
    assert chip_w(HOPPER, 700.0, Activity(name="idle", kind="idle", time_s=1.0)) == pytest.approx(77.0)
    decode = Activity(name="decode", kind="kernel", time_s=1.0, memory_frac=0.5, flop_frac=0.01)
    fit = HOPPER.dense
    by_hand = 700.0 * (fit.active_ratio + 0.5 * fit.memory_ratio + 0.01 * fit.compute_ratio)
    assert chip_w(HOPPER, 700.0, decode) == pytest.approx(by_hand)


@pytest.mark.parametrize("name", ["flop_frac", "memory_frac", "link_frac"])
@pytest.mark.parametrize("kind", ["kernel", "wait"])
@pytest.mark.parametrize("family", CATALOGUE.names("chip_power"))
def test_power_never_falls_with_work(family: str, kind: str, name: str) -> None:
    column = np.linspace(0.0, 1.0, 21)
    activity = replace(Activity(name="x", kind=kind, time_s=1.0), **{name: column})  # type: ignore[arg-type]
    assert np.all(np.diff(np.broadcast_to(chip_w(CATALOGUE.chip_power(family), 700.0, activity), 21)) >= 0.0)


def test_columns_are_their_rows_alone() -> None:
    limits = np.array([500.0, 600.0, 700.0])
    whole = limited(HOPPER, 700.0, powered(HOPPER, 700.0, (PRODUCTS, WAITS)), limits)
    for row, limit in enumerate(limits):
        one = limited(HOPPER, 700.0, powered(HOPPER, 700.0, (PRODUCTS, WAITS)), float(limit))
        assert np.asarray(mean_w(whole))[row] == pytest.approx(mean_w(one))


def test_a_clock_by_hand() -> None:
    assert clock_share(600.0, 700.0, 150.0, 2.5) == pytest.approx((450.0 / 550.0) ** 0.4)
    assert clock_share(800.0, 700.0, 150.0, 2.5) == 1.0


def test_phase_energies_sum_to_mean_power_times_time() -> None:
    items = powered(HOPPER, 700.0, (PRODUCTS, WAITS))
    assert sum(float(item.energy_j) for item in items) == pytest.approx(float(mean_w(items)) * 4.0)


def test_a_conversion_is_less_efficient_at_part_load() -> None:
    stage = Stage(name="supply", fixed_w=50.0, efficiency_frac=0.96)
    efficiency = [load / stage.input_w(load) for load in (500.0, 1000.0, 10_000.0)]
    assert efficiency == sorted(efficiency)
    assert through((stage, stage), 1000.0) == pytest.approx(((1050.0 / 0.96) + 50.0) / 0.96)


def test_parts_sum_to_the_machine_and_losses_are_what_is_left() -> None:
    made = draw(BILL, PARTS, 665.0, 700.0, 1.0)
    assert sum(float(use.power_w) for use in made.parts) == pytest.approx(float(made.power_w))
    load = float(made.power_w) - float(made.part_w("power supplies"))
    assert 0.94 <= load / float(made.power_w) <= 0.97


def test_a_machine_turned_round_gives_its_chips_back() -> None:
    whole = draw(BILL, PARTS, 512.0, 700.0, 0.3).power_w
    assert chips_within(BILL, PARTS, whole, 700.0, 0.3) == pytest.approx(512.0)
    assert chips_within(BILL, PARTS, 10.0, 700.0, 0.3) == 0.0


@pytest.mark.parametrize("times", [2.0, 10.0])
def test_a_machine_twice_as_large_draws_twice_as_much(times: float) -> None:
    larger = Bill(**{name: getattr(BILL, name) * times for name in BILL.__dataclass_fields__})
    small, large = (draw(bill, PARTS, 665.0, 700.0, 0.1).power_w for bill in (BILL, larger))
    assert float(large) == pytest.approx(times * float(small), rel=1e-12)


def settled(*caps: Cap) -> tuple[float, str, float]:
    items = powered(HOPPER, 700.0, (PRODUCTS, WAITS))
    made = settle(HOPPER, 700.0, [items], caps)
    assert made.settled
    return float(made.limit_w), made.bound, float(made.slowdown_ratio)


def test_the_lowest_cap_binds_and_is_named() -> None:
    assert settled() == (700.0, "", 1.0)
    limit, bound, slower = settled(
        Cap(name="chip", allowed_w=lambda _: 650.0), Cap(name="feed", allowed_w=lambda _: 600.0)
    )
    assert (round(limit, 2), bound) == (600.0, "feed")
    assert 1.05 < slower < 1.10


def test_a_cap_that_feeds_back_settles_at_its_fixed_point() -> None:
    """Allowed 900 - P/2: the fixed point is 600 W."""
    limit, bound, _ = settled(Cap(name="heat", allowed_w=lambda drawn: 900.0 - drawn / 2.0))
    assert limit == pytest.approx(600.0, rel=1e-4)
    assert bound == "heat"


def test_performance_never_rises_as_a_cap_falls() -> None:
    slower = [settled(Cap(name="c", allowed_w=lambda _, w=w: w))[2] for w in np.linspace(700.0, 300.0, 9)]
    assert slower == sorted(slower)


def test_a_square_wave_by_hand() -> None:
    """1 s at 100 W over 300 W, 1 s at 300 W: mean 350, storage 50 W x 1 s, a line at 0.5 Hz of 4/pi x 50."""
    made = sampled(np.array([0.0]), np.array([1.0]), np.array([100.0]), 300.0, 2.0)
    found = swings(made)
    assert found.mean_w == pytest.approx(350.0)
    assert (found.least_w, found.most_w) == pytest.approx((300.0, 400.0))
    assert found.storage_j == pytest.approx(50.0, rel=0.02)
    assert found.peak_hz == pytest.approx(0.5)
    assert found.peak_w == pytest.approx(4.0 / np.pi * 50.0, rel=1e-3)
    assert found.ramp_w_per_s == pytest.approx(100.0)


def test_an_even_load_has_no_swings_and_samples_lose_no_energy() -> None:
    flat = swings(sampled(np.array([0.0]), np.array([5.0]), np.array([10.0]), 90.0, 5.0))
    assert (flat.band_w, flat.storage_j, flat.ramp_w_per_s) == pytest.approx((0.0, 0.0, 0.0), abs=1e-6)
    generator = np.random.default_rng(1)
    start = generator.uniform(0.0, 6.0, 500)
    end = start + generator.uniform(0.0, 1.0, 500)
    watts = generator.uniform(0.0, 50.0, 500)
    made = sampled(start, end, watts, 7.0, 7.3)
    assert made.mean_w == pytest.approx(7.0 + float(np.sum((end - start) * watts)) / 7.3, rel=1e-9)


def test_a_table_has_facts_at_their_ends_and_draws_inside() -> None:
    found = table({f"facility_parts/standard:{path}": fact for path, fact in PARTS.facts.items()}, 50)
    where = "facility_parts/standard:node.cpu_w"
    column = np.asarray(found.columns[where])
    low, high = found.ends[where]
    assert (column[0], column[low], column[high]) == (300.0, 200.0, 500.0)
    assert np.all((column[-50:] >= 200.0) & (column[-50:] <= 500.0))
    parts = filled(PARTS, found.of("facility_parts/standard"))
    assert np.asarray(parts.node.cpu_w).shape == (found.rows_count,)
    again = table({f"facility_parts/standard:{path}": fact for path, fact in PARTS.facts.items()}, 50)
    assert np.array_equal(column, np.asarray(again.columns[where]))


def test_highest_is_that_of_the_busiest() -> None:
    items = (Powered(activity=PRODUCTS, power_w=500.0), Powered(activity=WAITS, power_w=900.0))
    assert float(highest_w(items)) == 900.0
