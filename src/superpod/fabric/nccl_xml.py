"""One node in the words of NCCL's topology files, as NCCL_TOPO_DUMP_FILE writes and NCCL_TOPO_FILE reads them.

What an element means, and every number here, is NCCL's own: src/graph/topo.cc, topo.h and xml.cc of NVIDIA/nccl, commit
5067397. The numbers are NCCL's rates for planning, below what is printed on the box. Hops have no latency there.
"""

from dataclasses import dataclass, field

import numpy as np

from superpod.errors import ScenarioError
from superpod.fabric.graphs import checked
from superpod.fabric.topology import HOST, RANK, SWITCH, IntArray, LinkKind, Links, Nodes, Topology
from superpod.fabric.xml_tree import Element, attribute, number, parse, tag, whole

# Bytes/s of one NVLink by compute capability from this one on (topo.h: SM60_NVLINK_BW … SM100_NVLINK_BW, in GB/s).
NVLINK_BYTES_PER_S = {100: 40.1e9, 90: 20.6e9, 87: 20e9, 86: 12e9, 80: 20e9, 70: 20e9, 60: 18e9, 0: 20e9}
# Lanes by speed, in units of 100 Mb/s; others count as 60 (topo.cc: kvDictPciGen).
PCI_LANES = {"2.5": 15, "5": 30, "8": 60, "16": 120, "32": 240, "64": 480}
LANE_BYTES_PER_S = 12.5e6
LANES_DEFAULT = 60
WIDTH_DEFAULT = 16
NET_DEFAULT = 10_000  # Mb/s, where a network card says nothing (topo.cc: ncclTopoAddNet)
MEGABIT_BYTES_PER_S = 125e3
# Bytes/s between the CPUs of a node by architecture and vendor (topo.cc: ncclTopoGetInterCpuBw, with the oldest model).
BETWEEN_CPUS = {"arm64": 6e9, "ppc64": 32e9, "GenuineIntel": 6e9, "AuthenticAMD": 16e9, "CentaurHauls": 6e9}
LOCAL_BYTES_PER_S = 5000e9
SWITCH_CLASS, BRIDGE_CLASS, GPU_CLASS, NIC_CLASS = "0x068000", "0x060400", "0x030200", "0x020000"
POWER_BRIDGE = "0x068001"
NVLINK, PCI = 0, 1
WRITTEN_SM = (80, 90, 100)
ROUNDING_SAID_FRAC = 0.01
ROUNDING_MOST_FRAC = 0.25
"""Whole links further off than the first are remarked on, further off than the second would be another machine."""


@dataclass(slots=True)
class _System:
    """What has been read so far: nodes by kind, and cables by their ends."""

    where: str
    gpus: list[tuple[str, Element]] = field(default_factory=list)
    nodes: list[tuple[int, int]] = field(default_factory=list)  # kind, tier
    cables: list[tuple[int, int, float, int, float, bool]] = field(default_factory=list)
    cpus: list[tuple[int, Element]] = field(default_factory=list)
    node_of: dict[str, int] = field(default_factory=dict)
    cpu_of: dict[str, int] = field(default_factory=dict)

    def node(self, kind: int, tier: int) -> int:
        self.nodes.append((kind, tier))
        return len(self.nodes) - 1

    def cable(self, one: int, other: int, bytes_per_s: float, kind: int, lanes: float = 1.0) -> None:
        self.cables.append((one, other, bytes_per_s, kind, lanes, True))


def read_nccl_xml(text: str, where: str) -> Topology:
    """Return the cards, NVSwitch, PCIe switches and network cards of one node; cards are ranks in their `rank`'s order.

    Raises ScenarioError with the line of what is wrong. A network card is a host behind its PCIe port or its own rate,
    whichever is slower; CPUs pass on PCIe traffic. All NVSwitches are one, as in NCCL.
    """
    root = parse(text, where)
    if root.tag != "system":
        raise ScenarioError(
            f"found <{root.tag}>, expected <system>", where=f"{where}:{root.line}", hint="GraphML ends in .graphml"
        )
    version = root.attributes.get("version", "1")
    if version != "1":
        raise ScenarioError(f"<system> version: found {version!r}, expected 1", where=f"{where}:{root.line}")
    made = _System(where=where)
    _gpus(made, root)
    for item in root.children:
        if item.tag == "cpu":
            cpu = made.node(SWITCH, PCI)
            made.cpus.append((cpu, item))
            _inside(made, item, cpu, cpu)
    _cpus(made)
    _nvlinks(made)
    return checked(_topology(made, root.attributes.get("name", where)), where)


def _gpus(made: _System, root: Element) -> None:
    """Make the ranks first, so that rank r is node r."""
    found: list[tuple[int, int, str, Element]] = []
    todo = [(root, "")]
    while todo:
        item, bus = todo.pop()
        bus = item.attributes.get("busid", bus)
        if item.tag == "gpu":
            rank = item.attributes.get("rank", "")
            found.append((whole(item, rank, "rank", made.where) if rank else len(found), item.line, bus, item))
        todo += [(child, bus) for child in reversed(item.children)]
    for _, _, bus, item in sorted(found, key=lambda row: row[:3]):
        if not bus or bus in made.node_of:
            problem = "is inside no <pci> with a busid" if not bus else f"has the busid {bus} of another"
            raise ScenarioError(f"<gpu> {problem}", where=f"{made.where}:{item.line}")
        made.node_of[bus] = made.node(RANK, -1)
        made.gpus.append((bus, item))


def _inside(made: _System, parent: Element, above: int, cpu: int) -> None:
    """Add what hangs below a CPU or a PCIe switch."""
    for item in parent.children:
        if item.tag == "nic":
            _network(made, item, above, LOCAL_BYTES_PER_S)
        if item.tag != "pci":
            continue
        bus = attribute(item, "busid", made.where)
        rate = pci_bytes_per_s(item, made.where)
        cards = [child for child in item.children if child.tag == "gpu"]
        networks = [child for child in item.children if child.tag == "nic"]
        for _ in cards[:1]:
            made.cpu_of[bus] = cpu
            made.cable(made.node_of[bus], above, rate, PCI)
        for network in networks:
            _network(made, network, above, rate)
        if not cards and not networks:
            bridge = made.node(SWITCH, PCI)
            made.cable(bridge, above, rate, PCI)
            _inside(made, item, bridge, cpu)


def pci_bytes_per_s(item: Element, where: str) -> float:
    """Return width x rate of a lane; 16 lanes where the width is 0 (topo.cc: ncclTopoAddPci)."""
    width = whole(item, attribute(item, "link_width", where), "link_width", where) or WIDTH_DEFAULT
    speed = attribute(item, "link_speed", where).split(" ")[0]
    return width * PCI_LANES.get(speed.removesuffix(".0"), LANES_DEFAULT) * LANE_BYTES_PER_S


def _network(made: _System, item: Element, above: int, most: float) -> None:
    """Add each network device of a card as a host."""
    for net in item.children:
        if net.tag != "net" or net.attributes.get("net") == "0":
            continue
        speed = net.attributes.get("speed", "0")
        megabits = 0.0 if speed.startswith("-") else number(net, speed, "speed", made.where)
        host = made.node(HOST, PCI)
        made.cable(host, above, min(most, (megabits or NET_DEFAULT) * MEGABIT_BYTES_PER_S), PCI)


def _cpus(made: _System) -> None:
    """Join all CPUs of the node with each other."""
    for place, (one, item) in enumerate(made.cpus):
        for other, _ in made.cpus[place + 1 :]:
            names = [item.attributes.get("arch", ""), item.attributes.get("vendor", "")]
            rate = next((BETWEEN_CPUS[name] for name in names if name in BETWEEN_CPUS), LOCAL_BYTES_PER_S)
            made.cable(one, other, rate, PCI)


def _nvlinks(made: _System) -> None:
    """Add NVLinks to other cards, to the one NVSwitch, or to the card's CPU where a bridge says so."""
    switch = -1
    for bus, gpu in made.gpus:
        here = made.node_of[bus]
        each = nvlink_bytes_per_s(gpu, made.where)
        for item in gpu.children:
            if item.tag != "nvlink":
                continue
            count = whole(item, attribute(item, "count", made.where), "count", made.where)
            target = attribute(item, "tclass", made.where)
            if count < 1:
                continue
            if target.startswith("0x03"):
                there = made.node_of.get(attribute(item, "target", made.where))
                if there is None or there == here:
                    raise ScenarioError("<nvlink> target is no other card", where=f"{made.where}:{item.line}")
                made.cables.append((here, there, count * each, NVLINK, float(count), False))
            elif target == POWER_BRIDGE:
                made.cable(here, made.cpu_of[bus], count * each, NVLINK, float(count))
            else:
                switch = made.node(SWITCH, NVLINK) if switch < 0 else switch
                made.cable(here, switch, count * each, NVLINK, float(count))


def nvlink_bytes_per_s(gpu: Element, where: str) -> float:
    """Return NCCL's rate of one NVLink of a card (topo.h: ncclTopoNVLinkBw)."""
    capability = whole(gpu, attribute(gpu, "sm", where), "sm", where)
    return next(rate for least, rate in NVLINK_BYTES_PER_S.items() if capability >= least)


def _topology(made: _System, name: str) -> Topology:
    kinds = np.array([kind for kind, _ in made.nodes], dtype=np.int64)
    tiers = np.array([tier for _, tier in made.nodes], dtype=np.int64)
    place = np.zeros(len(kinds), dtype=np.int64)
    for pair in set(made.nodes):
        mine = (kinds == pair[0]) & (tiers == pair[1])
        place[mine] = np.arange(int(mine.sum()))
    rows = [(one, other, *rest) for one, other, *rest, _ in made.cables]
    rows += [(other, one, *rest) for one, other, *rest, both in made.cables if both]
    if not rows:
        raise ScenarioError("no links between anything", where=made.where, hint="a <system> holds <cpu>, <pci>, <gpu>")
    links = Links(
        src=np.array([row[0] for row in rows], dtype=np.int64),
        dst=np.array([row[1] for row in rows], dtype=np.int64),
        bytes_per_s=np.array([row[2] for row in rows], dtype=np.float64),
        latency_s=np.zeros(len(rows)),
        kind=np.array([row[3] for row in rows], dtype=np.int64),
        plane=np.zeros(len(rows), dtype=np.int64),
        axis=np.zeros(len(rows), dtype=np.int64),
        lanes_count=np.array([row[4] for row in rows], dtype=np.float64),
    )
    ranks = float(max(int((kinds == RANK).sum()), 1))
    nodes = Nodes(
        kind=kinds,
        tier=tiers,
        plane=np.zeros(len(kinds), dtype=np.int64),
        place=place,
        home=np.where(kinds == RANK, place, np.where(kinds == HOST, 0, -1)),
    )
    # Cards without NVLink between them meet over PCIe only.
    near = ranks if any(cable[3] == NVLINK for cable in made.cables) else 1.0
    tiers_made = (
        LinkKind(tier="nvlink", ranks_count=near, transit=not any(pair == (SWITCH, NVLINK) for pair in made.nodes)),
        LinkKind(tier="pcie", ranks_count=ranks),
    )
    return Topology(name=name, nodes=nodes, links=links, kinds=tiers_made)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Node:
    """What is written of one node: its cards, what each sends to other cards and switches, and the links in use.

    `near` has a row a card: bytes/s by the bus of the other end. `sm` and `each_bytes_per_s` are the compute capability
    and the rate of the NVLinks that fit best: derived from rates, and not what the cards are.
    """

    cards: IntArray
    near: tuple[dict[str, float], ...]
    sm: int
    each_bytes_per_s: float

    def count(self, bytes_per_s: float) -> int:
        """Return how many whole links come closest to a rate."""
        return max(1, round(bytes_per_s / self.each_bytes_per_s))


def write_nccl_xml(topology: Topology, tier: int = 0) -> str:
    """Return the first instance of a tier as one node in NCCL's form; raise ScenarioError for what NCCL cannot say.

    Its links become NVLinks, of the generation whose rate gives the cards' bandwidth with the smallest rounding; links
    of its cards to farther tiers a network card each. A fabric knows no PCIe: it is written as 16 lanes of 32 GT/s.
    """
    links, node = topology.links, _node(topology, tier)
    body: list[str] = []
    for here, (card, near) in enumerate(zip(node.cards, node.near, strict=True)):
        lines = [
            tag("nvlink", {"target": bus, "count": node.count(rate), "tclass": _class(bus)})
            for bus, rate in near.items()
        ]
        gpu = tag("gpu", {"dev": here, "sm": node.sm, "rank": here, "gdr": 1}, "".join(lines))
        beside = [_pci(_bus(here), GPU_CLASS, gpu)]
        away = float(links.bytes_per_s[(links.src == card) & (links.kind > tier)].sum())
        if away:
            net = {"name": f"net{here}", "dev": here, "speed": round(away / MEGABIT_BYTES_PER_S), "port": 1, "gdr": 1}
            beside.append(_pci(_bus(here, 1), NIC_CLASS, tag("nic", {}, tag("net", net))))
        body.append(_pci(_bus(here, 2), BRIDGE_CLASS, "\n".join(beside)))
    cpu = {
        "numaid": 0,
        "affinity": "ffffffff",
        "arch": "x86_64",
        "vendor": "AuthenticAMD",
        "familyid": 25,
        "modelid": 1,
    }
    return tag("system", {"version": 1}, "\n" + tag("cpu", cpu, "\n" + "\n".join(body) + "\n") + "\n") + "\n"


def rounding_note(topology: Topology, tier: int = 0) -> str:
    """Return what whole links of NCCL's rates say too much or too little; nothing where it is little."""
    node = _node(topology, tier)
    rate = _farthest_off(node)
    said = node.count(rate) * node.each_bytes_per_s
    if abs(said / rate - 1.0) <= ROUNDING_SAID_FRAC:
        return ""
    return (
        f"NCCL knows whole links only: {said / 1e9:.4g} GB/s stand for {rate / 1e9:.4g} GB/s; "
        f"sm={node.sm} is the generation that fits best, not the card's own"
    )


def _farthest_off(node: _Node) -> float:
    """Return the rate that whole links come least close to."""
    rates = [rate for near in node.near for rate in near.values()]
    return max(rates, key=lambda rate: abs(node.count(rate) * node.each_bytes_per_s / rate - 1.0))


def _node(topology: Topology, tier: int) -> _Node:
    """Return the first instance of a tier as it is written."""
    nodes, ranks, kind = topology.nodes, topology.ranks, topology.kinds[tier]
    cards = ranks[nodes.home[ranks] < kind.ranks_count]
    if len(cards) < 2:
        raise ScenarioError("a node of one card has no links to write", where=f"tier {kind.tier}")
    place = {int(card): number for number, card in enumerate(cards)}
    near = tuple(_near(topology, card, tier, place) for card in place)
    rates = np.unique([rate for one in near for rate in one.values()])
    if not len(rates):
        raise ScenarioError("no card of the first node has a link of this tier", where=f"tier {kind.tier}")

    def error(sm: int) -> float:
        each = NVLINK_BYTES_PER_S[sm]
        return float(np.abs(np.maximum(1, np.round(rates / each)) * each - rates).sum())

    sm = min(WRITTEN_SM, key=error)
    made = _Node(cards=cards, near=near, sm=sm, each_bytes_per_s=NVLINK_BYTES_PER_S[sm])
    worst = _farthest_off(made)
    said = made.count(worst) * made.each_bytes_per_s
    if abs(said / worst - 1.0) > ROUNDING_MOST_FRAC:
        raise ScenarioError(
            f"{worst / 1e9:.4g} GB/s would be written as {said / 1e9:.4g} GB/s: NCCL knows whole links only",
            where=f"tier {kind.tier}",
            hint="a .graphml file holds any rate",
        )
    return made


def _near(topology: Topology, card: int, tier: int, place: dict[int, int]) -> dict[str, float]:
    """Return bytes/s from a card to each other card of the node, and to its switches together, by bus."""
    links = topology.links
    near: dict[str, float] = {}
    for link in np.flatnonzero((links.src == card) & (links.kind == tier)):
        target = int(links.dst[link])
        if target in place or topology.nodes.kind[target] == SWITCH:
            bus = _bus(place[target]) if target in place else "fffffff:ffff:ff"
            near[bus] = near.get(bus, 0.0) + float(links.bytes_per_s[link])
    return near


def _class(bus: str) -> str:
    return SWITCH_CLASS if bus.startswith("f") else GPU_CLASS


def _bus(card: int, function: int = 0) -> str:
    return f"{function:04x}:{card // 32:02x}:{card % 32:02x}.0"


def _pci(bus: str, kind: str, inside: str) -> str:
    head = {"busid": bus, "class": kind, "link_speed": "32.0 GT/s PCIe", "link_width": WIDTH_DEFAULT}
    return tag("pci", head, inside)
