"""A fabric drawn link by link: what routing and the flow simulation work on.

Nodes and links are columns. A link is directed; `lanes_count` parallel lanes may stand for as many equal cables. Node
ids never change: what fails is left out of the links.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

NODE_KINDS = ("rank", "host", "switch", "spare")
RANK, HOST, SWITCH, SPARE = range(len(NODE_KINDS))
# The axis of links to stand-by ranks of a grid, beyond those that its dimensions have.
STAND_BY_AXIS = 99
# Media whose cables end in no modules. Of any other, `mixed` among them, part or all of the cables may be optical.
WITHOUT_MODULES = ("package", "electrical", "copper")


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkKind:
    """What the links of one tier have in common.

    One instance of the tier holds `ranks_count` ranks; its traffic may pass through ranks where `transit` is set, as in
    a mesh; `ideal` marks a tier whose switch chips are not published, drawn as one without limits of its own;
    `shares_port_with` names the tier whose ports its links use, if any. `lanes_per_cable_count` links run in one cable.
    """

    tier: str
    medium: str = "electrical"
    ranks_count: float = np.inf
    transit: bool = False
    ideal: bool = False
    shares_port_with: str = ""
    lanes_per_cable_count: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Nodes:
    """Columns of all nodes.

    `kind` is an index in NODE_KINDS, `tier` one in `Topology.kinds` (of a switch, or of the tier that a host or a spare
    belongs to; -1 for ranks), `place` counts nodes of one kind, tier and plane, `home` is the place of a rank under the
    same instance (its own for a rank; -1 for switches).
    """

    kind: IntArray
    tier: IntArray
    plane: IntArray
    place: IntArray
    home: IntArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Links:
    """Columns: ends, rate of one direction over all lanes, latency of the hop, kind, plane, axis of a grid, lanes."""

    src: IntArray
    dst: IntArray
    bytes_per_s: FloatArray
    latency_s: FloatArray
    kind: IntArray
    plane: IntArray
    axis: IntArray
    lanes_count: FloatArray

    def __len__(self) -> int:
        return len(self.src)

    def where(self, kept: BoolArray | IntArray) -> "Links":
        """Return the links of a mask or of an index."""
        return Links(**{name: getattr(self, name)[kept] for name in self.__dataclass_fields__})


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Topology:
    """Nodes and directed links; `kinds` describes the tiers that links and switches belong to."""

    name: str
    nodes: Nodes
    links: Links
    kinds: tuple[LinkKind, ...]

    @property
    def ranks(self) -> IntArray:
        """Ids of the ranks, in their order."""
        return np.flatnonzero(self.nodes.kind == RANK)

    @property
    def nodes_count(self) -> int:
        """All nodes, switches included."""
        return len(self.nodes.kind)

    def node_name(self, node: int) -> str:
        """Return e.g. `rank 12`, `pod switch 3 of plane 2`."""
        kind = int(self.nodes.kind[node])
        place = int(self.nodes.place[node])
        if kind != SWITCH:
            return f"{NODE_KINDS[kind]} {place}"
        plane = int(self.nodes.plane[node])
        planes = int(self.nodes.plane[self.nodes.tier == self.nodes.tier[node]].max()) + 1
        where = f" of plane {plane}" if planes > 1 else ""
        return f"{self.kinds[int(self.nodes.tier[node])].tier} switch {place}{where}"

    def link_name(self, link: int) -> str:
        """Return e.g. `rank 0 -> rack switch 3`."""
        return f"{self.node_name(int(self.links.src[link]))} -> {self.node_name(int(self.links.dst[link]))}"

    def without(self, dead_links: BoolArray) -> "Topology":
        """Return the same nodes with the marked links left out."""
        return replace(self, links=self.links.where(~dead_links))


def spread(starts: IntArray, counts: IntArray) -> IntArray:
    """Return the concatenation of the ranges start, …, start + count - 1.

    >>> spread(np.array([5, 0]), np.array([2, 3])).tolist()
    [5, 6, 0, 1, 2]
    """
    ends = np.cumsum(counts)
    total = int(ends[-1]) if len(ends) else 0
    return np.arange(total) - np.repeat(ends - counts, counts) + np.repeat(starts, counts)


def joined(parts: Sequence[Links]) -> Links:
    """Return several columns of links as one."""
    return Links(
        **{name: np.concatenate([getattr(part, name) for part in parts]) for name in Links.__dataclass_fields__}
    )
