"""Money per second against numbers worked by hand."""

import math

import pytest

from superpod.facility.cost import Tariff, capital_usd_per_s, energy_usd_per_s

YEAR_S = 31_557_600.0
TARIFF = Tariff(
    pue=1.2,
    electricity_usd_per_j=0.08 / 3.6e6,
    life_s=5 * YEAR_S,
    discount_rate_per_s=math.log(1.08) / YEAR_S,
)


def test_repayments_are_worth_the_price_today() -> None:
    payment, steps = capital_usd_per_s(1e6, TARIFF), 50_000
    length = TARIFF.life_s / steps
    worth = sum(payment * length * math.exp(-TARIFF.discount_rate_per_s * (n + 0.5) * length) for n in range(steps))
    assert worth == pytest.approx(1e6, rel=1e-6)


def test_a_year_of_repayments_is_near_the_usual_annuity() -> None:
    """8 % over 5 years: the capital recovery factor at year's end is 0.2505; paid all year long it is a little less."""
    assert capital_usd_per_s(1.0, TARIFF) * YEAR_S == pytest.approx(0.2505 / 1.04, rel=0.01)


def test_energy_of_a_pod() -> None:
    """719 kW for an hour at PUE 1.2 and 0.08 USD/kWh: 719 x 1.2 x 0.08 = 69.0 USD."""
    assert energy_usd_per_s(719e3, TARIFF) * 3600 == pytest.approx(69.024)
