"""A site in bare numbers: what stands there, its prices and lives, each from the catalogue or the user."""

from dataclasses import dataclass, fields, replace

import numpy as np

from superpod.catalog.costs import CostBook
from superpod.catalog.load import Catalogue
from superpod.catalog.provenance import FactReader, UsedFact
from superpod.catalog.schema import Facility, Pod
from superpod.errors import MissingFactError
from superpod.facility.cost_parts import Estate, Terms
from superpod.plan.cost.bill import Network, network_of
from superpod.plan.power.work import Powering
from superpod.plan.spread import Moved
from superpod.result import Num


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A site in bare numbers, with the facts read on the way; `powering` is the work's, where some is at hand.

    `storage_usd` is the price of all storage.
    """

    pod: Pod
    facility: Facility
    book: CostBook
    price_usd: float
    provisioned_w: float
    drawn_w: float
    pods_count: float
    cards_count: float
    network: Network
    storage_bytes: float
    storage_usd: float
    terms: Terms
    water_known: bool
    powering: Powering | None
    facts: tuple[UsedFact, ...]
    notes: tuple[str, ...]


def site_of(
    catalogue: Catalogue,
    pod: Pod,
    cards_count: float,
    place: str,
    *,
    book_id: str = "",
    price_usd: float = 0.0,
    drawn_w: float = 0.0,
    storage_bytes: float = 0.0,
    resale_frac: float = 0.0,
    powering: Powering | None = None,
) -> Site:
    """Return so many cards of a pod in a facility, with everything that the catalogue and the user say of it.

    `price_usd` and `drawn_w` (IT power in the mean) are of one pod and stand for the catalogue's. The site stores
    `storage_bytes`; `resale_frac` of the machines' price comes back at the end of their life. `powering` is what
    work on these cards draws, and what they must be fed with where no maximum is published.

    Raises:
        MissingFactError: a price, or a power to size the building for, that nobody has published.
    """
    facility = catalogue.facility(place)
    base = catalogue.pod(pod.base) if pod.base else pod
    book = catalogue.costs(book_id or facility.id)
    pod_reader, building = FactReader(kind="pods", entry=base), FactReader(kind="facilities", entry=facility)
    reader = FactReader(kind="costs", entry=book)
    notes = [uncounted(storage_bytes, resale_frac)]
    price = price_usd or priced_usd(base, pod_reader)
    pods_count = cards_count / base.chips_count
    if base.power.max_w is None and powering is not None:
        provisioned = powering.drawn.peak_w / pods_count
        notes.append("the building is sized for the peak of this work: no maximum power is published")
    else:
        provisioned = pod_reader.number("power.max_w", base.power.max_w)
    powering = None if drawn_w else powering
    drawn = drawn_w if powering is None else powering.drawn.it_w / pods_count
    if not drawn and base.power.typical_w is not None:
        drawn = pod_reader.number("power.typical_w", base.power.typical_w)
    if not drawn:
        drawn = provisioned
        notes.append("drawn power is the maximum: no typical one is published; `superpod power` computes it")
    water_known = book.water_m3_per_j is not None
    terms = Terms(
        pue_ratio=building.number("pue", facility.pue),
        electricity_usd_per_j=building.number("electricity_usd_per_j", facility.electricity_usd_per_j),
        life_s=building.number("life_s", facility.life_s),
        discount_rate_per_s=building.number("discount_rate_per_s", facility.discount_rate_per_s),
        facility_usd_per_w=reader.number("facility_usd_per_w", book.facility_usd_per_w),
        facility_life_s=reader.number("facility_life_s", book.facility_life_s),
        upkeep_per_s=reader.number("upkeep_per_s", book.upkeep_per_s),
        carbon_kg_per_j=reader.number("carbon_kg_per_j", book.carbon_kg_per_j),
        water_m3_per_j=reader.number("water_m3_per_j", book.water_m3_per_j) if water_known else 0.0,
        resale_frac=resale_frac,
    )
    each = reader.number("storage_usd_per_byte", book.storage_usd_per_byte) if storage_bytes else 0.0
    reader.number("replaced_frac", book.replaced_frac)
    network = network_of(catalogue, pod, reader, book, float(np.ceil(pods_count)))
    notes += network.notes
    return Site(
        pod=pod,
        facility=facility,
        book=book,
        price_usd=price,
        provisioned_w=provisioned,
        drawn_w=drawn,
        pods_count=pods_count,
        cards_count=cards_count,
        network=network,
        storage_bytes=storage_bytes,
        storage_usd=storage_bytes * each,
        terms=terms,
        water_known=water_known,
        powering=powering,
        facts=(
            *(powering.facts if powering is not None else ()),
            *pod_reader.cited(),
            *building.cited(),
            *reader.cited(),
        ),
        notes=tuple(notes),
    )


def priced_usd(pod: Pod, reader: FactReader) -> float:
    """Return the published price of a pod; raise MissingFactError, which says how to give one."""
    try:
        return reader.number("price.usd", pod.price.usd)
    except MissingFactError as error:
        raise MissingFactError(
            error.message,
            where=error.where,
            hint=f"superpod cost --price MONEY gives that of one pod, anywhere else --set {error.where}=USD",
        ) from None


def uncounted(storage_bytes: float, resale_frac: float) -> str:
    """Return what the cost leaves out, and how to count it."""
    left = [
        *(() if storage_bytes else ("storage (--storage; Llama 3 had 15 TB a card)",)),
        *(() if resale_frac else ("resale (--resale; 25 to 35 % of the price after 3 years are quoted)",)),
        "what idle hours cost beyond their share",
    ]
    return f"not counted: {', '.join(left)}"


def estate_of(site: Site, changes: Moved) -> Estate:
    """Return what stands on the site, with some facts moved."""
    pod = f"pods/{site.pod.base or site.pod.id}"
    price = changes.get(f"{pod}:price.usd", site.price_usd)
    top = changes.get(f"{pod}:power.max_w", site.provisioned_w)
    drawn = changes.get(f"{pod}:power.typical_w", site.drawn_w) * site.pods_count
    if site.powering is not None:
        drawn = site.powering.it_w(changes)
    stored = f"costs/{site.book.id}:storage_usd_per_byte"
    return Estate(
        cards_count=site.cards_count,
        machines_usd=price * site.pods_count,
        network_usd=site.network.priced(changes, site.book.id),
        provisioned_w=top * site.pods_count,
        drawn_w=drawn,
        storage_usd=site.storage_bytes * changes[stored] if stored in changes else site.storage_usd,
    )


def terms_of(site: Site, changes: Moved) -> Terms:
    """Return terms with some facts moved."""
    found: dict[str, Num] = {}
    for place in (f"facilities/{site.facility.id}", f"costs/{site.book.id}"):
        for item in fields(Terms):
            name = "pue" if item.name == "pue_ratio" else item.name
            if f"{place}:{name}" in changes:
                found[item.name] = changes[f"{place}:{name}"]
    return replace(site.terms, **found)
