"""One file per algorithm; a row of ALGORITHMS makes it known. Every collective prices a group that may span tiers."""

from collections.abc import Callable
from functools import partial

import numpy as np

from superpod.fabric.collectives import (
    bidirectional,
    bounds,
    direct,
    double_tree,
    full_mesh,
    halving_doubling,
    hierarchical,
    in_network,
    one_shot,
    ring,
    torus,
)
from superpod.fabric.collectives.candidates import PIPELINED, best, fastest
from superpod.fabric.collectives.choice import KINDS, Choice, candidates, choose
from superpod.fabric.collectives.levels import levels
from superpod.fabric.collectives.step import Algorithm, Step
from superpod.fabric.tiers import Fabric, Group
from superpod.result import Num

__all__ = ["ALGORITHMS", "COLLECTIVES", "LOWER_BOUNDS", "Choice", "Step", "choose", "collective_time"]

ALGORITHMS: dict[str, Algorithm] = {
    "ring": Algorithm(kinds=ring.KINDS, cost=ring.cost, steps=ring.steps),
    "bidirectional": Algorithm(kinds=bidirectional.KINDS, cost=bidirectional.cost, steps=bidirectional.steps),
    "halving_doubling": Algorithm(
        kinds=halving_doubling.KINDS, cost=halving_doubling.cost, steps=halving_doubling.steps
    ),
    "double_tree": Algorithm(kinds=double_tree.KINDS, cost=double_tree.cost, steps=double_tree.steps),
    "direct": Algorithm(kinds=direct.KINDS, cost=direct.cost, steps=direct.steps),
    "hierarchical": Algorithm(kinds=hierarchical.KINDS, cost=hierarchical.cost, steps=hierarchical.steps),
    "in_network": Algorithm(kinds=in_network.KINDS, cost=in_network.cost, steps=in_network.steps),
    "one_shot": Algorithm(kinds=one_shot.KINDS, cost=one_shot.cost, steps=one_shot.steps),
    "torus": Algorithm(kinds=torus.KINDS, cost=torus.cost, steps=torus.steps),
    "full_mesh": Algorithm(kinds=full_mesh.KINDS, cost=full_mesh.cost, steps=full_mesh.steps),
}


def collective_time(kind: str, fabric: Fabric, group: Group, message_bytes: Num) -> Num:
    """Return the time of a collective in which each rank holds `message_bytes` (nccl-tests' size); 0 for one rank.

    The fastest of the candidates that `choose` lists. For `dispatch` and `combine` a rank sends `message_bytes` to the
    experts of all members in equal shares, straight from rank to rank.
    """
    if fabric.ideal:
        return 0.0 * message_bytes
    found = levels(fabric, group)
    made = candidates(kind, found, group.size, message_bytes)
    spent = fastest(made, found) if kind in PIPELINED else best(made)
    return np.where(np.asarray(group.size) > 1.0, spent, 0.0)


COLLECTIVES: dict[str, Callable[[Fabric, Group, Num], Num]] = {kind: partial(collective_time, kind) for kind in KINDS}
LOWER_BOUNDS: dict[str, Callable[[Fabric, Group, Num], Num]] = {
    "all_reduce": bounds.gathered,
    "all_gather": bounds.gathered,
    "reduce_scatter": bounds.gathered,
    "broadcast": bounds.spread,
    "all_to_all": bounds.exchanged,
    "p2p": bounds.sent,
    "dispatch": bounds.exchanged,
    "combine": bounds.exchanged,
}
