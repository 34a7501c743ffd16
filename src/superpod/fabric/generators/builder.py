"""Nodes and links while they are being drawn; used by generators, returned by none."""

from dataclasses import dataclass, field

import numpy as np

from superpod.fabric.tiers import FabricTier
from superpod.fabric.topology import SWITCH, FloatArray, IntArray, LinkKind, Links, Nodes, Topology, joined


@dataclass(slots=True)
class Builder:
    """Columns that grow: `nodes` hands out ids, `connect` adds both directions of each cable."""

    kinds: list[LinkKind] = field(default_factory=list)
    _nodes: list[dict[str, IntArray]] = field(default_factory=list)
    _links: list[Links] = field(default_factory=list)
    _count: int = 0

    def kind(self, tier: FabricTier, *, transit: bool = False, ideal: bool = False) -> int:
        """Register a tier's links and return their index."""
        self.kinds.append(
            LinkKind(
                tier=tier.name,
                medium=tier.medium,
                ranks_count=tier.ranks_count,
                transit=transit,
                ideal=ideal,
                shares_port_with="" if tier.own_ports or not self.kinds else self.kinds[-1].tier,
                lanes_per_cable_count=tier.wiring.lanes_per_cable_count or 1.0,
            )
        )
        return len(self.kinds) - 1

    def nodes(self, kind: int, count: int, *, tier: int = -1, plane: int = 0, home: IntArray | None = None) -> IntArray:
        """Add nodes and return their ids; `home` is the place of a rank in the same instance."""
        ids = np.arange(self._count, self._count + count)
        self._count += count
        self._nodes.append(
            {
                "kind": np.full(count, kind),
                "tier": np.full(count, tier),
                "plane": np.full(count, plane),
                "place": np.arange(count),
                "home": np.full(count, -1) if home is None else home,
            }
        )
        return ids

    def switches(self, tier: int, planes: int, per_plane: int) -> IntArray:
        """Add the switches of a tier, plane by plane; return ids of shape (planes, per_plane)."""
        found = [self.nodes(SWITCH, per_plane, tier=tier, plane=plane) for plane in range(planes)]
        return np.stack(found)

    def connect(
        self,
        src: IntArray,
        dst: IntArray,
        bytes_per_s: FloatArray | float,
        *,
        latency_s: float,
        kind: int,
        plane: IntArray | int = 0,
        axis: int = 0,
        lanes: FloatArray | float = 1.0,
    ) -> None:
        """Add cables between `src` and `dst`, each as two directed links of `bytes_per_s`."""
        count = 2 * len(src)
        self._links.append(
            Links(
                src=np.concatenate((src, dst)),
                dst=np.concatenate((dst, src)),
                bytes_per_s=np.tile(np.full(len(src), bytes_per_s, dtype=np.float64), 2),
                latency_s=np.full(count, latency_s),
                kind=np.full(count, kind),
                plane=np.tile(np.full(len(src), plane), 2),
                axis=np.full(count, axis),
                lanes_count=np.tile(np.full(len(src), lanes, dtype=np.float64), 2),
            )
        )

    def build(self, name: str) -> Topology:
        """Return the topology drawn so far."""
        columns = {key: np.concatenate([part[key] for part in self._nodes]) for key in Nodes.__dataclass_fields__}
        return Topology(name=name, nodes=Nodes(**columns), links=joined(self._links), kinds=tuple(self.kinds))
