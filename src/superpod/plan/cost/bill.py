"""What is bought: pods, and the network between them, counted from the fabric and priced by the cost book."""

from dataclasses import dataclass

import numpy as np

from superpod.catalog.costs import CostBook
from superpod.catalog.load import Catalogue
from superpod.catalog.provenance import FactReader
from superpod.catalog.schema import Pod
from superpod.fabric.inventory import inventory, smallest_module
from superpod.fabric.tiers import build, ranks_per_chip
from superpod.facility.cost_parts import switches_usd
from superpod.plan.cost.result import Bought
from superpod.plan.spread import Moved
from superpod.result import Num

LEVELS_LEAST = 2.0
TERA = 1e12


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """The scale-out network of several pods: modules, and bandwidth of all switch ports; nothing for one pod.

    A `counted` one follows from the pod's description, any other from the least that joins so many cards.
    """

    modules_count: float = 0.0
    module: str = ""
    module_usd: float = 0.0
    ports_bytes_per_s: float = 0.0
    switch_usd: float = 0.0
    switch_ports_count: float = 1.0
    switch_port_bytes_per_s: float = 1.0
    notes: tuple[str, ...] = ()

    def priced(self, changes: Moved, book: str) -> Num:
        """Return its price, with some facts moved."""
        module = changes.get(f"costs/{book}:optics.{self.module}.price_usd", self.module_usd)
        switch = changes.get(f"costs/{book}:switch_usd", self.switch_usd)
        ports = (self.switch_ports_count, self.switch_port_bytes_per_s)
        return self.modules_count * module + switches_usd(self.ports_bytes_per_s, switch, *ports)


def network_of(catalogue: Catalogue, pod: Pod, reader: FactReader, book: CostBook, pods_count: float) -> Network:
    """Return the network between pods; where its cables are not counted, two levels without tapering."""
    if pods_count <= 1.0 or pod.scale_out is None:
        return Network()
    pod_reader, chip = FactReader(kind="pods", entry=pod), catalogue.chip(pod.chip)
    per_chip = ranks_per_chip(FactReader(kind="chips", entry=chip), chip.dies_count, pod)
    fabric = build(catalogue, pod_reader, pod, pods_count, per_chip)
    cables = {name: catalogue.cable(name) for name in catalogue.names("cables")}
    parts = inventory(fabric, cables).tiers[-1]
    cards = pods_count * pod.chips_count
    own = pod_reader.number("scale_out.bandwidth_bytes_per_s", pod.scale_out.bandwidth_bytes_per_s)
    rate = parts.cable_bytes_per_s or pod.scale_out.wiring.cable_bytes_per_s or own
    count = parts.cables_count
    notes: tuple[str, ...] = ()
    if count is None:
        count = LEVELS_LEAST * cards * own / rate
        notes = (
            "scale-out cables are not published for this size: two levels without tapering, the least, are priced",
        )
    module = smallest_module(cables.get(parts.medium), rate)
    prices = {item.name: item.price_usd for item in book.optics}
    name = module.name if module is not None else ""
    known = name in prices
    if not known:
        notes = (*notes, f"no price of {name or 'its'} modules: they are not in the bill")
    ends = 2.0 * count * rate - cards * own  # all ends of cables but those at the cards
    return Network(
        modules_count=float(2.0 * count) if known else 0.0,
        module=name,
        module_usd=reader.number(f"optics.{name}.price_usd", prices[name]) if known else 0.0,
        ports_bytes_per_s=float(ends),
        switch_usd=reader.number("switch_usd", book.switch_usd),
        switch_ports_count=reader.number("switch_ports_count", book.switch_ports_count),
        switch_port_bytes_per_s=reader.number("switch_port_bytes_per_s", book.switch_port_bytes_per_s),
        notes=notes,
    )


def pod_modules_usd(
    catalogue: Catalogue, pod: Pod, pods_count: float, book: CostBook
) -> tuple[str, float, float | None] | None:
    """Return (name, number, price each) of the optical modules inside pods; None where there are none or none known."""
    pod_reader, chip = FactReader(kind="pods", entry=pod), catalogue.chip(pod.chip)
    per_chip = ranks_per_chip(FactReader(kind="chips", entry=chip), chip.dies_count, pod)
    fabric = build(catalogue, pod_reader, pod, 1.0, per_chip)
    cables = {name: catalogue.cable(name) for name in catalogue.names("cables")}
    found = inventory(fabric, cables).modules()
    if not found:
        return None
    name = max(found, key=lambda item: found[item])
    price = next((item.price_usd for item in book.optics if item.name == name), None)
    return name, found[name] * pods_count, price


def bill(
    catalogue: Catalogue, pod: Pod, pods_count: float, price_usd: float, network: Network, book: CostBook
) -> tuple[Bought, ...]:
    """Return what is bought, line by line; modules inside a pod are within its price."""
    lines = [Bought(name=pod.name, amount_count=pods_count, each_usd=price_usd, whole_usd=price_usd * pods_count)]
    inside = pod_modules_usd(catalogue, pod, pods_count, book)
    if inside is not None:
        name, count, each = inside
        lines.append(
            Bought(
                name=f"{name} modules of the scale-up fabric",
                amount_count=count,
                each_usd=each,
                whole_usd=None if each is None else each * count,
                inside=pod.name,
                note="at market prices of single modules",
            )
        )
    if network.ports_bytes_per_s:
        ports = network.switch_ports_count * network.switch_port_bytes_per_s
        switches = float(np.ceil(network.ports_bytes_per_s / ports))
        lines += [
            Bought(
                name=f"{network.module} modules between pods",
                amount_count=network.modules_count,
                each_usd=network.module_usd,
                whole_usd=network.modules_count * network.module_usd,
            ),
            Bought(
                name="switches between pods",
                amount_count=switches,
                each_usd=network.switch_usd,
                whole_usd=switches * network.switch_usd,
            ),
        ]
    return tuple(lines)


def stored(storage_bytes: float, whole_usd: float) -> tuple[Bought, ...]:
    """Return the line of storage, by the terabyte; none where none is asked for."""
    if not storage_bytes:
        return ()
    terabytes = storage_bytes / TERA
    each = whole_usd / terabytes
    return (Bought(name="storage, by the terabyte", amount_count=terabytes, each_usd=each, whole_usd=whole_usd),)
