"""Money per second: the price of a machine spread over its life, and the electricity that it and its building draw."""

from dataclasses import dataclass

import numpy as np

from superpod.result import Num


@dataclass(frozen=True, slots=True, kw_only=True)
class Tariff:
    """The building and the book in bare numbers; see `catalog.schema.Facility`."""

    pue: float
    electricity_usd_per_j: float
    life_s: float
    discount_rate_per_s: float


def capital_usd_per_s(price_usd: Num, tariff: Tariff) -> Num:
    """Return the constant payment that repays a price with interest over the life of the machine.

    A = P r / (1 - e^(-r T)) for a continuous rate r over T seconds, the continuous form of the capital recovery factor
    (e.g. Park, Contemporary Engineering Economics, section 4.4). No residual value.
    """
    return annuity_usd_per_s(price_usd, tariff.discount_rate_per_s, tariff.life_s)


def annuity_usd_per_s(price_usd: Num, rate_per_s: Num, life_s: Num) -> Num:
    """Return the same payment for a rate and a life of its own: P r / (1 - e^(-r T)); all may be columns."""
    return price_usd * rate_per_s / -np.expm1(-rate_per_s * life_s)


def energy_usd_per_s(power_w: Num, tariff: Tariff) -> Num:
    """Return what IT power costs with the building's overhead: P x PUE x price of electricity."""
    return power_w * tariff.pue * tariff.electricity_usd_per_j
