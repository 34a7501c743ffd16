"""How full links are, as rows of cells: what a heat map draws and a terminal prints."""

from collections.abc import Sequence

import numpy as np

from superpod.fabric.bundle import bundled
from superpod.fabric.topology import (
    HOST,
    NODE_KINDS,
    RANK,
    SPARE,
    STAND_BY_AXIS,
    SWITCH,
    FloatArray,
    IntArray,
    Topology,
)
from superpod.fabric.transfer import LinkNames
from superpod.fabric.walk import ONE_PATH
from superpod.plan.fabric.result import LinkUse, UseMap, UseRow

CELLS_MAX = 256
LIMITS_MOST = 5
SAME_FRAC = 1e-6


def use_map(title: str, whole: Topology, small: Topology, used_frac: FloatArray, routing: str) -> UseMap:
    """Return the links of `small`, on which something ran: `whole` itself, or `whole` with equal switches as one."""
    links = small.links
    is_switch = small.nodes.kind == SWITCH
    up = is_switch[links.dst].astype(int) - is_switch[links.src].astype(int)
    between = up == 0
    up[between] = np.sign(small.nodes.tier[links.dst] - small.nodes.tier[links.src])[between]
    planes = _planes(whole, small, routing)
    guests = np.maximum(*(np.where(is_switch[end], RANK, small.nodes.kind[end]) for end in (links.src, links.dst)))
    keys = np.stack((links.kind, guests, planes[0], planes[1], links.axis, -up))
    found, row = np.unique(keys, axis=1, return_inverse=True)
    rows = []
    for number, key in enumerate(found.T):
        mine = np.flatnonzero(row.ravel() == number)
        mine = mine[np.lexsort((links.dst[mine], links.src[mine]))]
        label = _label(small, whole, [int(part) for part in key])
        rows.append(use_row(label, used_frac[mine]))
    return UseMap(title=title, rows=tuple(rows))


def class_map(title: str, names: Sequence[str], used_frac: FloatArray) -> UseMap:
    """Return classes of equal links as rows of one cell."""
    rows = [use_row(name, used_frac[number : number + 1]) for number, name in enumerate(names)]
    return UseMap(title=title, rows=tuple(rows))


def use_row(label: str, used_frac: FloatArray) -> UseRow:
    """Return one row: at most CELLS_MAX cells, each the fullest of as many neighbours."""
    together = -(-len(used_frac) // CELLS_MAX)
    cells = np.maximum.reduceat(used_frac, np.arange(0, len(used_frac), together))
    return UseRow(
        label=label,
        links_count=len(used_frac),
        cells_frac=tuple(float(cell) for cell in cells),
        least_frac=float(used_frac.min()),
        middle_frac=float(np.median(used_frac)),
        most_frac=float(used_frac.max()),
    )


def limits(small: Topology, used_frac: FloatArray) -> tuple[LinkUse, ...]:
    """Return the fullest links, at most one of a kind of those that are as full as each other."""
    names = LinkNames(small)
    return ranked(names, used_frac, [_sort_of(small, number) for number in range(len(small.links))])


def ranked(names: Sequence[str], used_frac: FloatArray, sorts: Sequence[str]) -> tuple[LinkUse, ...]:
    """Return the fullest links; of equally full ones of the same sort the first stands for all, with their number."""
    order = np.argsort(-used_frac, kind="stable")
    found: list[LinkUse] = []
    seen: dict[tuple[str, int], int] = {}
    for number in order:
        share = float(used_frac[number])
        if share <= 0:
            break
        key = (sorts[number], round(share / SAME_FRAC / 1e3))
        if key in seen:
            seen[key] += 1
            continue
        if len(seen) == LIMITS_MOST:
            break
        seen[key] = 1
        found.append(LinkUse(name=names[int(number)], used_frac=share))
    counts = list(seen.values())
    return tuple(
        LinkUse(name=f"{use.name} and {count - 1:,} more" if count > 1 else use.name, used_frac=use.used_frac)
        for use, count in zip(found, counts, strict=True)
    )


def _sort_of(topology: Topology, link: int) -> str:
    nodes, links = topology.nodes, topology.links
    ends = [NODE_KINDS[int(nodes.kind[end[link]])] for end in (links.src, links.dst)]
    return f"{int(links.kind[link])} {' '.join(ends)}"


def _planes(whole: Topology, small: Topology, routing: str) -> tuple[IntArray, IntArray]:
    """Return the lowest plane that each link of `small` stands for, and how many planes."""
    if routing in ONE_PATH or small is whole:
        return small.links.plane, np.ones(len(small.links), dtype=np.int64)
    link_of = bundled(whole).link_of
    pairs = np.unique(np.stack((link_of, whole.links.plane)), axis=1)
    lowest = np.full(len(small.links), np.iinfo(np.int64).max)
    np.minimum.at(lowest, pairs[0], pairs[1])
    return lowest, np.bincount(pairs[0], minlength=len(small.links))


def _label(small: Topology, whole: Topology, key: list[int]) -> str:
    kind, guest, plane, planes, axis, down = key
    tier = small.kinds[kind].tier
    here = whole.links.kind == kind
    words = [tier] if guest == RANK else [tier, {HOST: "CPUs", SPARE: "stand-by"}[guest]]
    if axis == STAND_BY_AXIS and guest == RANK:
        words.append("to stand-by")
    elif len(np.unique(whole.links.axis[here & (whole.links.axis != STAND_BY_AXIS)])) > 1:
        words.append(f"axis {axis + 1}")
    every = len(np.unique(whole.links.plane[here]))
    if every > 1 and planes < every:
        words.append(f"plane {plane}" if planes == 1 else f"{planes} planes")
    if down:
        words.append("down" if down > 0 else "up")
    return " ".join(words)
