"""A group as the tiers that it spans: members under one instance of each, hops, and rates."""

from dataclasses import dataclass

import numpy as np

from superpod.catalog.calibration import PeerKernels, Regime
from superpod.fabric.structures import everyone_share, farthest_hops, filled_axes, neighbour_share
from superpod.fabric.tiers import GRIDS, SWITCHED, Fabric, FabricTier, Group, members
from superpod.result import Num


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """One tier seen by a group: members under one of its instances, under one inside it, and how many it joins.

    `crossing_frac` is the share of a member's bytes for everyone that passes its ports of the tier when sent directly,
    `neighbour_bytes_per_s` what it sends to its neighbours, `longer_hop_s` what a hop takes beyond the hop that the
    measured steps include; `regimes` are those that all transports of the fabric have, and `nested` whether the library
    of the innermost runs tier by tier; `peers` are the all-reduce kernels of a serving engine, where one runs.
    """

    tier: FabricTier
    held_count: Num
    below_count: Num
    arity_count: Num
    crossing_frac: Num
    neighbour_bytes_per_s: Num
    longer_hop_s: Num
    regimes: tuple[str, ...]
    nested: bool
    peers: PeerKernels | None = None

    @property
    def everyone_bytes_per_s(self) -> Num:
        """What one member sends to all others, at the transport's efficiency."""
        share = everyone_share(self.tier, self.held_count, self.arity_count)
        return self.tier.bytes_per_s * share * self.tier.link.efficiency_frac

    @property
    def pair_bytes_per_s(self) -> Num:
        """What one member sends to one other: a single link of a mesh, unless the transport takes all paths."""
        if "all_paths" in self.tier.link.algorithms:
            return self.tier.bytes_per_s * self.tier.link.efficiency_frac
        pair = np.minimum(self.arity_count, 2.0)
        share = neighbour_share(self.tier, np.minimum(self.held_count, 2.0 * self.below_count), pair)
        return self.tier.bytes_per_s * share * self.tier.link.efficiency_frac

    @property
    def far_s(self) -> Num:
        """What the farthest member is farther away than one measured hop."""
        hops = farthest_hops(self.tier, self.held_count, self.arity_count)
        return self.longer_hop_s + (hops - 1.0) * self.tier.latency_s

    @property
    def axes(self) -> list[Num]:
        """Members along each axis of a mesh."""
        return filled_axes(self.tier, self.held_count, self.arity_count)

    def where_used(self, value: Num) -> Num:
        """Return `value` where the tier joins members, 0 where it joins none."""
        return np.where(self.arity_count > 1.0, value, 0.0 * value)

    def step_s(self, regime: Regime) -> Num:
        """Return what one step over this tier takes: the library's, and the longer hop."""
        return regime.step_s + self.longer_hop_s

    def own_s(self, own_bytes: Num | None) -> Num:
        """Return what copying a rank's own part takes beside the wires, where there is one and that was measured."""
        rate = self.tier.link.own_copy_bytes_per_s
        return 0.0 if own_bytes is None or rate is None else own_bytes / rate

    def regime(self, name: str) -> Regime:
        """Return the transport's regime of that name."""
        return next(regime for regime in self.tier.link.regimes if regime.name == name)


def levels(fabric: Fabric, group: Group) -> list[Level]:
    """Return the levels that join members in any row, from the innermost out; the innermost tier for a single rank.

    A group that spills over the outermost tier has more members than the fabric has ranks; that is a layout error and
    is refused before any collective is priced.
    """
    counts = members(fabric, group)
    below: list[Num] = [1.0, *counts[:-1]]
    shares = crossing_shares(fabric, counts, below, group.size)
    names = [regime.name for regime in fabric.tiers[0].link.regimes]
    common = tuple(n for n in names if all(n in [r.name for r in tier.link.regimes] for tier in fabric.tiers))
    found = [
        Level(
            tier=tier,
            held_count=held,
            below_count=inner,
            arity_count=np.ceil(held / inner),
            crossing_frac=share,
            neighbour_bytes_per_s=tier.bytes_per_s
            * neighbour_share(tier, held, np.ceil(held / inner))
            * tier.link.efficiency_frac,
            longer_hop_s=max(tier.latency_s - tier.link.hop_s, 0.0 * tier.latency_s),
            regimes=common,
            peers=_peers(fabric, tier),
            nested="hierarchical" in fabric.tiers[0].link.algorithms or not common,
        )
        for place, (tier, held, inner, share) in enumerate(zip(fabric.tiers, counts, below, shares, strict=True))
        if place == 0 or np.any(held > inner)
    ]
    return found[1:] if len(found) > 1 and not np.any(found[0].arity_count > 1.0) else found


def _peers(fabric: Fabric, tier: FabricTier) -> PeerKernels | None:
    """Return the engine's own all-reduce kernels, which read peers over switches; None where there are none."""
    if fabric.kernels == "library" or tier.structure not in SWITCHED:
        return None
    rows = tier.link.peer_kernels
    return rows.get(fabric.kernels, rows.get("serving"))


def crossing_shares(fabric: Fabric, held: list[Num], below: list[Num], size: Num) -> list[Num]:
    """Return the share of a member's bytes for everyone that passes its ports of each tier, sent directly.

    Bytes for members inside the tier's instance but outside the one below; and those for farther members, where the
    next tier has no ports of its own and its traffic climbs through these. Of axes over axes, traffic to another place
    of another instance runs along both; inside the groups of a dragonfly, it runs to a gateway and from one.
    """
    shares: list[Num] = []
    farther: Num = 0.0
    above: FabricTier | None = None
    beyond: Num = 0.0
    for tier, outer, inner in reversed(list(zip(fabric.tiers, held, below, strict=True))):
        beyond = beyond * _runs_through(tier, above)
        passing = (outer - inner) / size + farther + beyond * (outer - inner) / outer
        shares.insert(0, passing)
        farther = 0.0 if tier.own_ports else passing
        above, beyond = tier, beyond + (outer - inner) / size
    return shares


def _runs_through(inside: FabricTier, outside: FabricTier | None) -> float:
    """Return how often what a tier of axes passes on to the tier outside runs along it: once in a grid of both."""
    if outside is None or inside.structure not in GRIDS:
        return 0.0
    if outside.structure == "dragonfly":
        return 2.0
    return 1.0 if outside.structure in GRIDS and outside.own_ports and inside.structure != "mesh" else 0.0


def slowest(times: list[Num]) -> Num:
    """Return the longest of several times."""
    longest = times[0]
    for time in times[1:]:
        longest = np.maximum(longest, time)
    return longest
