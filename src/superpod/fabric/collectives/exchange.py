"""Pairwise traffic: point to point, all-to-all, and tokens to experts and back."""

import numpy as np

from superpod.catalog.calibration import Exchange, ExpertKernels
from superpod.fabric.collectives.candidates import Candidate, Wire, best
from superpod.fabric.collectives.levels import Level, levels, slowest
from superpod.fabric.tiers import Fabric, Group
from superpod.result import Num


def exchanges(found: list[Level]) -> dict[str, list[Exchange]]:
    """Return by name the transports' ways to send, tier by tier; a tier without a way of that name sends plainly."""
    names = dict.fromkeys(name for level in found for name in level.tier.link.exchanges)
    made = {"direct": [level.tier.link.exchange for level in found]}
    for name in names:
        made[f"direct {name}"] = [level.tier.link.exchanges.get(name, level.tier.link.exchange) for level in found]
    return made


def point_to_point(found: list[Level], message_bytes: Num) -> list[Candidate]:
    """Return the slowest of the group's neighbour transfers: base, hop and S / B of the slowest tier crossed."""
    made: list[Candidate] = []
    for name, ways in exchanges(found).items():
        latency: list[Num] = []
        wires: list[Wire] = []
        for level, sends in zip(found, ways, strict=True):
            time = sends.base_s + sends.post_s + level.longer_hop_s
            latency.append(level.where_used(time))
            rate = level.pair_bytes_per_s * sends.pair_frac
            wires.append(Wire(tier=level.tier.name, time_s=level.where_used(message_bytes / rate)))
        made.append(Candidate(name=name, latency_s=slowest(latency), wires=tuple(wires)))
    return made


def all_to_all(found: list[Level], message_bytes: Num) -> list[Candidate]:
    """Return the direct exchange, and the one that forwards inside so that only rails are crossed.

    Direct: base + (n - 1) post + the slowest tier, whose pairs carry S/n each and no more than a pair can. Forwarded:
    each tier in turn exchanges S (a - 1)/a with a - 1 peers; fewer and longer messages for more bytes inside.
    """
    made = [_everyone(name, found, ways, message_bytes) for name, ways in exchanges(found).items()]
    staged: Num = 0.0
    turns: list[Wire] = []
    for level in found:
        sends, arity = level.tier.link.exchange, level.arity_count
        staged = staged + level.where_used(sends.base_s + level.far_s + (arity - 1.0) * sends.post_s)
        rate = level.everyone_bytes_per_s * sends.everyone_frac
        turns.append(Wire(tier=level.tier.name, time_s=level.where_used(message_bytes * (arity - 1.0) / arity / rate)))
    return [*made, Candidate(name="hierarchical", latency_s=staged, wires=tuple(turns), in_turn=True)]


def _everyone(name: str, found: list[Level], ways: list[Exchange], message_bytes: Num) -> Candidate:
    latency: list[Num] = []
    wires: list[Wire] = []
    size = found[-1].held_count
    for level, sends in zip(found, ways, strict=True):
        begun = sends.base_s + level.far_s + (level.held_count - 1.0) * sends.post_s
        latency.append(level.where_used(begun))
        rate = level.everyone_bytes_per_s * sends.everyone_frac
        pair = level.everyone_bytes_per_s * sends.pair_frac
        wire = np.maximum(message_bytes * level.crossing_frac / rate, message_bytes / size / pair)
        wires.append(Wire(tier=level.tier.name, time_s=level.where_used(wire)))
    return Candidate(name=name, latency_s=slowest(latency), wires=tuple(wires))


def expert_exchange(
    way: str, found: list[Level], size: Num, message_bytes: Num, outside_bytes: Num, *, forwarded: bool
) -> Candidate:
    """Return the dispatch or the combine of tokens, `outside_bytes` standing in for what leaves the pod.

    T = begin + doubling log2 n + post (n - 1) + the slowest tier. Straight from rank to rank, each tier carries what is
    for its own members; forwarded, as kernels for long batches do, a copy that came over the scale-out network is
    multiplied inside, so inner tiers carry everything.
    """
    latency: list[Num] = []
    wires: list[Wire] = []
    for level in found:
        kernels: ExpertKernels = level.tier.link.expert_volume if forwarded else level.tier.link.expert_latency
        begun = kernels.dispatch_s if way == "dispatch" else kernels.combine_s
        peers = kernels.doubling_s * np.log2(level.held_count) + kernels.post_s * (level.held_count - 1.0)
        latency.append(level.where_used(begun + peers + level.far_s))
        leaving = outside_bytes if level.tier.scale_out else message_bytes
        passing = 1.0 - level.below_count / size if forwarded else level.crossing_frac
        back = kernels.rate_frac if kernels.combine_rate_frac is None else kernels.combine_rate_frac
        rate = level.everyone_bytes_per_s * (kernels.rate_frac if way == "dispatch" else back)
        wires.append(Wire(tier=level.tier.name, time_s=level.where_used(leaving * passing / rate)))
    return Candidate(name="forwarded" if forwarded else "direct", latency_s=slowest(latency), wires=tuple(wires))


def priced(way: str, fabric: Fabric, group: Group, message_bytes: Num, outside_bytes: Num, *, forwarded: bool) -> Num:
    """Return the time of a dispatch or combine whose copies for other pods are de-duplicated to `outside_bytes`.

    Both are counted before the share (n - inside)/n that leaves a tier is taken; 0 for one rank.
    """
    if fabric.ideal:
        return 0.0 * message_bytes
    found = levels(fabric, group)
    made = expert_exchange(way, found, group.size, message_bytes, outside_bytes, forwarded=forwarded)
    return np.where(np.asarray(group.size) > 1.0, best([made]), 0.0)
