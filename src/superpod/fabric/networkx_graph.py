"""A topology as a networkx graph (the extra `graph`)."""

import networkx  # type: ignore[import-untyped]

from superpod.fabric.graphs import link_data, node_data, tiers_text
from superpod.fabric.topology import Topology


def to_networkx(topology: Topology) -> "networkx.MultiDiGraph":
    """Return a directed graph whose nodes and edges carry what GraphML carries.

    `read_graphml` reads what networkx's own writer makes of it.
    """
    graph = networkx.MultiDiGraph(name=topology.name, tiers=tiers_text(topology.kinds))
    for node in range(topology.nodes_count):
        graph.add_node(f"n{node}", **node_data(topology, node))
    links = topology.links
    for link in range(len(links)):
        graph.add_edge(f"n{links.src[link]}", f"n{links.dst[link]}", **link_data(topology, link))
    return graph
