"""What a site costs a second, part by part, and what that makes of an accelerator-hour, a token, a run."""

from dataclasses import dataclass

import numpy as np

from superpod.result import Num
from superpod.units import HOUR_S

MILLION = 1e6


def annuity_usd_per_s(price_usd: Num, rate_per_s: Num, life_s: Num, resale_frac: Num = 0.0) -> Num:
    """Return the constant payment that repays a price with interest over a life; all may be columns.

    A = P (1 - z e^(-r T)) r / (1 - e^(-r T)) for a continuous rate r over T seconds, where a share z of the price comes
    back at the end: the continuous form of the capital recovery factor (e.g. Park, Contemporary Engineering Economics,
    section 4.4).
    """
    back = resale_frac * np.exp(-rate_per_s * life_s)
    return price_usd * (1.0 - back) * rate_per_s / -np.expm1(-rate_per_s * life_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Estate:
    """What stands on a site: machines, network and storage as bought, watts as provisioned and drawn on average."""

    cards_count: Num
    machines_usd: Num
    network_usd: Num
    provisioned_w: Num
    drawn_w: Num
    storage_usd: Num = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """Prices and lives of a site in bare numbers or columns; see `catalog.costs.CostBook` and `schema.Facility`.

    At the end of their life `resale_frac` of the machines' price comes back.
    """

    pue_ratio: Num
    electricity_usd_per_j: Num
    life_s: Num
    discount_rate_per_s: Num
    facility_usd_per_w: Num
    facility_life_s: Num
    upkeep_per_s: Num
    carbon_kg_per_j: Num = 0.0
    water_m3_per_j: Num = 0.0
    embodied_card_kg: Num = 0.0
    resale_frac: Num = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """US dollars a second, part by part; the total is their sum."""

    machines_usd_per_s: Num
    network_usd_per_s: Num
    building_usd_per_s: Num
    energy_usd_per_s: Num
    upkeep_usd_per_s: Num
    storage_usd_per_s: Num = 0.0

    @property
    def total_usd_per_s(self) -> Num:
        """All parts."""
        bought = self.machines_usd_per_s + self.network_usd_per_s + self.storage_usd_per_s
        return bought + self.building_usd_per_s + self.energy_usd_per_s + self.upkeep_usd_per_s


def running(estate: Estate, terms: Terms) -> Running:
    """Return annuities of machines, network, storage and building, energy and upkeep.

    What is bought lives `life_s`, the building `facility_life_s`; it is sized by provisioned power, energy is drawn
    power x PUE x price; upkeep is a share of the price of what is bought. Only machines are resold.
    """
    rate, life = terms.discount_rate_per_s, terms.life_s
    bought = estate.machines_usd + estate.network_usd + estate.storage_usd
    built = estate.provisioned_w * terms.facility_usd_per_w
    return Running(
        machines_usd_per_s=annuity_usd_per_s(estate.machines_usd, rate, life, terms.resale_frac),
        network_usd_per_s=annuity_usd_per_s(estate.network_usd, rate, life),
        building_usd_per_s=annuity_usd_per_s(built, rate, terms.facility_life_s),
        energy_usd_per_s=estate.drawn_w * terms.pue_ratio * terms.electricity_usd_per_j,
        upkeep_usd_per_s=bought * terms.upkeep_per_s,
        storage_usd_per_s=annuity_usd_per_s(estate.storage_usd, rate, life),
    )


def card_hour_usd(cost_usd_per_s: Num, cards_count: Num, productive_frac: Num = 1.0) -> Num:
    """Return dollars for an hour of one accelerator; `productive_frac` 1 is an installed hour, used or not."""
    return cost_usd_per_s * HOUR_S / cards_count / productive_frac


def mtoken_usd(cost_usd_per_s: Num, tokens_per_s: Num, productive_frac: Num = 1.0) -> Num:
    """Return dollars for a million tokens."""
    return cost_usd_per_s / (tokens_per_s * productive_frac) * MILLION


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """What a site draws and emits a second: energy with the building's, carbon of the grid, water.

    `embodied_kg_per_s` is what making the accelerators with their servers emitted, over their life, beside the grid's.
    """

    site_w: Num
    carbon_kg_per_s: Num
    water_m3_per_s: Num
    embodied_kg_per_s: Num = 0.0


def footprint(estate: Estate, terms: Terms) -> Footprint:
    """Return P x PUE, times the grid's carbon; water goes with IT energy (ISO/IEC 30134-9)."""
    site = estate.drawn_w * terms.pue_ratio
    return Footprint(
        site_w=site,
        carbon_kg_per_s=site * terms.carbon_kg_per_j,
        water_m3_per_s=estate.drawn_w * terms.water_m3_per_j,
        embodied_kg_per_s=estate.cards_count * terms.embodied_card_kg / terms.life_s,
    )


def switches_usd(ports_bytes_per_s: Num, switch_usd: Num, ports_count: Num, port_bytes_per_s: Num) -> Num:
    """Return the price of whole switches that have so much bandwidth in all their ports, one direction."""
    return np.ceil(ports_bytes_per_s / (ports_count * port_bytes_per_s)) * switch_usd
