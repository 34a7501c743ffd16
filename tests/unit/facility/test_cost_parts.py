"""Cost part by part against numbers worked by hand, and what must hold of any site."""

import math
from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from superpod.facility.cost_parts import (
    Estate,
    Running,
    Terms,
    annuity_usd_per_s,
    card_hour_usd,
    footprint,
    mtoken_usd,
    running,
    switches_usd,
)

YEAR_S = 31_557_600.0
TERMS = Terms(
    pue_ratio=1.2,
    electricity_usd_per_j=0.08 / 3.6e6,
    life_s=5 * YEAR_S,
    discount_rate_per_s=math.log(1.08) / YEAR_S,
    facility_usd_per_w=12.0,
    facility_life_s=14 * YEAR_S,
    upkeep_per_s=0.03 / YEAR_S,
    carbon_kg_per_j=0.5 / 3.6e6,
    water_m3_per_j=1e-10,
)
ESTATE = Estate(cards_count=384.0, machines_usd=8.2e6, network_usd=1e6, provisioned_w=719e3, drawn_w=559e3)


def test_repayments_are_worth_the_price_today() -> None:
    rate, life_s, steps = TERMS.discount_rate_per_s, 5 * YEAR_S, 50_000
    payment, length = annuity_usd_per_s(1e6, rate, life_s), life_s / steps
    worth = sum(payment * length * math.exp(-rate * (n + 0.5) * length) for n in range(steps))
    assert worth == pytest.approx(1e6, rel=1e-6)


def test_a_year_of_repayments_is_near_the_usual_annuity() -> None:
    """8 % over 5 years: the capital recovery factor at year's end is 0.2505; paid all year long it is a little less."""
    paid = annuity_usd_per_s(1.0, TERMS.discount_rate_per_s, 5 * YEAR_S) * YEAR_S
    assert paid == pytest.approx(0.2505 / 1.04, rel=0.01)


def test_energy_of_a_pod() -> None:
    """719 kW for an hour at PUE 1.2 and 0.08 USD/kWh: 719 x 1.2 x 0.08 = 69.0 USD."""
    spent = running(replace(ESTATE, drawn_w=719e3), TERMS)
    assert spent.energy_usd_per_s * 3600 == pytest.approx(69.024)


def test_parts_of_a_year() -> None:
    found = running(ESTATE, TERMS)
    assert found.energy_usd_per_s * YEAR_S == pytest.approx(559 * 1.2 * 0.08 * 8766)
    assert found.upkeep_usd_per_s * YEAR_S == pytest.approx(0.03 * 9.2e6)
    assert found.building_usd_per_s == pytest.approx(
        annuity_usd_per_s(719e3 * 12, TERMS.discount_rate_per_s, 14 * YEAR_S)
    )
    assert found.total_usd_per_s == pytest.approx(sum(getattr(found, item.name) for item in fields(Running)))


@given(size=st.floats(0.1, 1e4))
def test_size_leaves_an_hour_alone(size: float) -> None:
    grown = replace(ESTATE, **{item.name: size * getattr(ESTATE, item.name) for item in fields(Estate)})
    one, other = (card_hour_usd(running(site, TERMS).total_usd_per_s, site.cards_count) for site in (ESTATE, grown))
    assert other == pytest.approx(one)


def test_a_productive_hour_and_a_token_bear_what_is_lost() -> None:
    assert card_hour_usd(1.0, 36.0, 0.5) == pytest.approx(200.0)
    assert mtoken_usd(2.0, 1e6, 0.8) == pytest.approx(2.5)


def test_footprint() -> None:
    found = footprint(ESTATE, TERMS)
    assert found.site_w == pytest.approx(559e3 * 1.2)
    assert found.carbon_kg_per_s * 3600 == pytest.approx(559 * 1.2 * 0.5)
    assert found.water_m3_per_s * 3600 == pytest.approx(559 * 0.36e-3)


def test_switches_are_whole() -> None:
    assert switches_usd(65 * 100e9, 200e3, 64.0, 100e9) == 400e3


def test_columns_are_their_rows() -> None:
    lives = np.array([3.0, 5.0, 7.0]) * YEAR_S
    together = running(ESTATE, replace(TERMS, life_s=lives)).total_usd_per_s
    alone = [running(ESTATE, replace(TERMS, life_s=float(life))).total_usd_per_s for life in lives]
    assert together == pytest.approx(alone)


def test_what_is_resold_need_not_be_repaid() -> None:
    """All of it back at the end: interest alone, P r. A part: the payment is worth the price less what comes back."""
    rate, life_s = TERMS.discount_rate_per_s, 5 * YEAR_S
    assert annuity_usd_per_s(1e6, rate, life_s, 1.0) == pytest.approx(1e6 * rate)
    part = annuity_usd_per_s(1e6, rate, life_s, 0.3)
    worth = part * (1.0 - math.exp(-rate * life_s)) / rate
    assert worth == pytest.approx(1e6 - 0.3e6 * math.exp(-rate * life_s))


def test_storage_is_bought_kept_up_and_never_resold() -> None:
    found = running(replace(ESTATE, storage_usd=1e6), replace(TERMS, resale_frac=0.2))
    plain = running(ESTATE, TERMS)
    assert found.storage_usd_per_s == pytest.approx(annuity_usd_per_s(1e6, TERMS.discount_rate_per_s, TERMS.life_s))
    assert (found.upkeep_usd_per_s - plain.upkeep_usd_per_s) * YEAR_S == pytest.approx(0.03e6)
    assert found.machines_usd_per_s < plain.machines_usd_per_s


def test_embodied_carbon_is_spread_over_the_life() -> None:
    found = footprint(ESTATE, replace(TERMS, embodied_card_kg=318.0))
    assert found.embodied_kg_per_s * 5 * YEAR_S == pytest.approx(384 * 318.0)
