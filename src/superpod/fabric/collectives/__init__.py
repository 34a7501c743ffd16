"""One file per collective; a row here makes it known. Each prices a group that may span tiers."""

from collections.abc import Callable

from superpod.fabric.collectives import all_gather, all_reduce, all_to_all, p2p
from superpod.fabric.tiers import Fabric, Group
from superpod.result import Num

COLLECTIVES: dict[str, Callable[[Fabric, Group, Num], Num]] = {
    "all_reduce": all_reduce.time,
    "all_gather": all_gather.time,
    "reduce_scatter": all_gather.time,
    "all_to_all": all_to_all.time,
    "p2p": p2p.time,
}
LOWER_BOUNDS: dict[str, Callable[[Fabric, Group, Num], Num]] = {
    "all_reduce": all_reduce.lower_bound,
    "all_gather": all_gather.lower_bound,
    "reduce_scatter": all_gather.lower_bound,
    "all_to_all": all_to_all.lower_bound,
    "p2p": p2p.lower_bound,
}


def collective_time(kind: str, fabric: Fabric, group: Group, message_bytes: Num) -> Num:
    """Return the time of a collective in which each rank holds `message_bytes` (nccl-tests' size); 0 for one rank."""
    return COLLECTIVES[kind](fabric, group, message_bytes)
