"""What a site costs beside its machines, and what money is worth: prices with their dates."""

from collections.abc import Mapping
from dataclasses import field

from superpod.catalog.provenance import Fact
from superpod.catalog.record import record


@record
class ModulePrice:
    """What one optical module costs; `name` is that of the cable's module."""

    name: str
    price_usd: float | None


@record
class CostBook:
    """Prices of a region; its id is that of the facility whose book it is.

    `facility_usd_per_w` buys land, building, supply and cooling for a watt of IT power. `upkeep_per_s` is the share of
    the machines' price that staff, maintenance and parts take a second. A switch of `switch_ports_count` ports of
    `switch_port_bytes_per_s` costs `switch_usd`. Of failing accelerators, `replaced_frac` are replaced by new ones.
    To make an accelerator with its share of a server emits `embodied_card_kg`.
    """

    id: str
    version: str
    name: str
    facility_usd_per_w: float | None
    facility_life_s: float | None
    upkeep_per_s: float | None
    switch_usd: float | None
    switch_ports_count: float | None
    switch_port_bytes_per_s: float | None
    storage_usd_per_byte: float | None
    replaced_frac: float | None
    embodied_card_kg: float | None
    carbon_kg_per_j: float | None
    water_m3_per_j: float | None
    optics: tuple[ModulePrice, ...] = ()
    aliases: tuple[str, ...] = ()
    note: str = ""
    facts: Mapping[str, Fact] = field(default_factory=dict, repr=False, compare=False)


@record
class Currency:
    """A currency: US dollars for one unit of it, on the day of its source."""

    id: str
    version: str
    name: str
    usd_ratio: float | None
    aliases: tuple[str, ...] = ()
    note: str = ""
    facts: Mapping[str, Fact] = field(default_factory=dict, repr=False, compare=False)
