"""A topology as a networkx graph, and back (the extra `graph`)."""

import networkx  # type: ignore[import-untyped]

from superpod.errors import ScenarioError
from superpod.fabric.graphs import link_data, node_data, read_graphml, tiers_text
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


def from_networkx(graph: "networkx.Graph", name: str = "graph") -> Topology:
    """Return the topology of any networkx graph, directed or not: edges need `bytes_per_s`, nodes nothing.

    Raises ScenarioError as `read_graphml` does, and for attributes that GraphML cannot carry.
    """
    try:
        text = "\n".join(networkx.generate_graphml(graph))
    except (networkx.NetworkXError, TypeError) as error:
        raise ScenarioError(f"an attribute cannot be read: {error}", where=name, hint="text and numbers") from None
    return read_graphml(text, name)
