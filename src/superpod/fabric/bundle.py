"""Equal switches and cables taken together: the same fabric with far fewer links, for traffic that is sprayed.

Two switches are equal where they have equal links to equal neighbours, ranks and hosts being equal to themselves only
(the coarsest equitable partition, found by refining colours; Cardon & Crochemore 1982,
doi:10.1016/0304-3975(82)90016-0). Spraying treats equal switches alike, so what it gives on the bundled fabric is
exact: all planes of an intact Clos become one, and a plane that has lost a switch stays apart.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from superpod.fabric.paths import mixed
from superpod.fabric.topology import SWITCH, IntArray, Links, Nodes, Topology


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Bundled:
    """The bundled topology, and where nodes and links of the original went.

    A bundled link has the rate of all its cables; its lanes are those of one of the equal switches that it leaves.
    """

    topology: Topology
    node_of: IntArray
    link_of: IntArray


@lru_cache(maxsize=16)
def bundled(topology: Topology) -> Bundled:
    """Return a topology with equal switches, and the cables between them, taken together."""
    colour = colours(topology)
    _, first, node_of = np.unique(colour, return_index=True, return_inverse=True)
    order = np.argsort(np.argsort(first))  # keep the nodes in their order
    node_of = order[node_of]
    kept = np.sort(first)
    links = topology.links
    _, rate = np.unique(links.bytes_per_s / links.lanes_count, return_inverse=True)
    columns = np.stack((node_of[links.src], node_of[links.dst], links.kind, links.axis, rate))
    _, chosen, link_of = np.unique(columns, axis=1, return_index=True, return_inverse=True)
    link_of = link_of.ravel()

    def total(values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        return np.bincount(link_of, weights=values, minlength=len(chosen)).astype(np.float64)

    nodes = Nodes(**{name: getattr(topology.nodes, name)[kept] for name in Nodes.__dataclass_fields__})
    small = Topology(
        name=topology.name,
        nodes=nodes,
        links=Links(
            src=node_of[links.src[chosen]],
            dst=node_of[links.dst[chosen]],
            bytes_per_s=total(links.bytes_per_s),
            latency_s=links.latency_s[chosen],
            kind=links.kind[chosen],
            plane=links.plane[chosen],
            axis=links.axis[chosen],
            lanes_count=total(links.lanes_count) / np.bincount(node_of)[node_of[links.src[chosen]]],
        ),
        kinds=topology.kinds,
    )
    return Bundled(topology=small, node_of=node_of, link_of=link_of)


def colours(topology: Topology) -> IntArray:
    """Return a colour for each node; equal colours mark equal switches."""
    links, nodes = topology.links, topology.nodes
    is_switch = nodes.kind == SWITCH
    own = np.arange(topology.nodes_count)
    colour: IntArray = np.where(is_switch, topology.nodes_count + nodes.tier, own)
    look = np.stack((links.bytes_per_s, links.lanes_count, links.kind, links.axis))
    _, rate = np.unique(look, axis=1, return_inverse=True)
    rate_code = rate.ravel().astype(np.uint64)
    known = 0
    while True:
        seen = np.zeros(topology.nodes_count, dtype=np.uint64)
        np.add.at(seen, links.src, mixed(mixed(colour[links.dst].astype(np.uint64)) + rate_code))
        code = mixed(seen) ^ mixed(colour.astype(np.uint64))
        code[~is_switch] = own[~is_switch].astype(np.uint64)
        found, inverse = np.unique(code, return_inverse=True)
        colour = inverse.ravel()
        if len(found) == known:
            return colour
        known = len(found)
