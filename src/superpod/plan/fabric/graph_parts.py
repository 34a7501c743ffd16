"""A topology read from a file: its format, what it is made of, and its diameter."""

from collections.abc import Mapping

import numpy as np

from superpod.catalog.schema import Cable
from superpod.errors import ScenarioError
from superpod.fabric.graphs import read_graphml, write_graphml
from superpod.fabric.inventory import TierParts, modules_count, smallest_module
from superpod.fabric.nccl_xml import read_nccl_xml, rounding_note, write_nccl_xml
from superpod.fabric.topology import SWITCH, Topology
from superpod.plan.fabric.question import GraphFile

FORMATS = ".graphml (GraphML) or .xml (NCCL topology)"
NODES_MAX = 2_000


def read_graph(file: GraphFile) -> Topology:
    """Return the topology of a file by the ending of its name."""
    if file.name.lower().endswith(".graphml"):
        return read_graphml(file.text, file.name)
    if file.name.lower().endswith(".xml"):
        return read_nccl_xml(file.text, file.name)
    raise ScenarioError("unknown kind of graph", where=file.name, hint=f"the name ends in {FORMATS}")


def written(topology: Topology, tier: int, name: str) -> str:
    """Return a topology in the format of a file name: whole as GraphML, or the first instance of a tier for NCCL."""
    if name.lower().endswith(".graphml"):
        return write_graphml(topology)
    if name.lower().endswith(".xml"):
        return write_nccl_xml(topology, tier)
    raise ScenarioError("unknown kind of graph", where=name, hint=f"the name ends in {FORMATS}")


def written_note(topology: Topology, tier: int, name: str) -> str:
    """Return what the format of a file name cannot say of a topology; nothing where that is little."""
    return rounding_note(topology, tier) if name.lower().endswith(".xml") else ""


def graph_parts(topology: Topology, cables: Mapping[str, Cable]) -> tuple[TierParts, ...]:
    """Return switches, links and cables by tier; a rate is given where all links of the tier have the same."""
    links, nodes = topology.links, topology.nodes
    found: list[TierParts] = []
    for place, kind in enumerate(topology.kinds):
        mine = links.kind == place
        cable = cables.get(kind.medium)
        count = float(mine.sum()) / 2.0
        rates = np.unique(links.bytes_per_s[mine])
        rate = float(rates[0]) if len(rates) == 1 else None
        cabled = count / kind.lanes_per_cable_count
        module = smallest_module(cable, None if rate is None else rate * kind.lanes_per_cable_count)
        modules = modules_count(kind.medium, module, cabled)
        failing = cable.failure_per_s if cable is not None else None
        watts = module.power_w if module is not None else 0.0
        found.append(
            TierParts(
                tier=kind.tier,
                medium=kind.medium,
                instances_count=max(1.0, np.ceil(len(topology.ranks) / kind.ranks_count)),
                switches_count=float(((nodes.kind == SWITCH) & (nodes.tier == place)).sum()),
                links_count=count,
                link_bytes_per_s=rate,
                cables_count=cabled,
                cable_bytes_per_s=None if rate is None else rate * kind.lanes_per_cable_count,
                module=module.name if module is not None else "",
                modules_count=modules,
                power_w=None if watts is None or modules is None else watts * modules,
                failure_per_s=None if failing is None else failing * cabled,
                reach_m=cable.reach_m if cable is not None else None,
                shares_port_with=kind.shares_port_with,
            )
        )
    return tuple(found)


def diameter(topology: Topology) -> float | None:
    """Return the links on the longest shortest way between two ranks; None where some cannot reach others, or too many.

    Ways lead through ranks only where a tier's do.
    """
    count, ranks = topology.nodes_count, topology.ranks
    if count > NODES_MAX:
        return None
    links = topology.links
    near = np.zeros((count, count), dtype=np.float32)
    near[links.src, links.dst] = 1.0
    through = np.ones(count, dtype=bool)
    if not any(kind.transit for kind in topology.kinds):
        through = topology.nodes.kind == SWITCH
    front = np.zeros((len(ranks), count), dtype=np.float32)
    front[np.arange(len(ranks)), ranks] = 1.0
    seen = front > 0
    hops = 0
    while not seen[:, ranks].all():
        reached = (front @ near > 0) & ~seen
        if not reached.any():
            return None
        seen |= reached
        front = (reached & through).astype(np.float32)
        hops += 1
    return float(hops)
