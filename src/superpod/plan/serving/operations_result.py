"""What running a fleet did: instances up and down, requests refused, caches moved, and what failures cost."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaling:
    """How a pool followed its load: `up_mean_count` instances were up in the mean, of those that there may be.

    One that starts takes `delay_s`, for the reason in `delay_basis`.
    """

    pool: str
    measure: str
    target_ratio: float
    fewest_count: int
    most_count: int
    every_s: float
    delay_s: float
    delay_basis: str
    up_mean_count: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """A failure: the cards that went, the instances that were hit, and how much slower those are that go on.

    `backlog_count`: requests under way beyond those without failures, at most; `recover_s`: from the failure until that
    is nearly gone, None where it is not before the next failure or the end.
    """

    what: str
    at_s: float
    down_s: float | None
    cards_count: int
    instances_count: int
    slow_factor: float
    backlog_count: float
    recover_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Operated:
    """What the operations did.

    `card_hours_count` were up, of `whole_card_hours_count`; `late_count`: requests that missed a target and
    would not have, had instances started at once. `moved_bytes`: caches by way (transfer, swap, peer, host, disk).
    """

    scaling: tuple[Scaling, ...]
    card_hours_count: float
    whole_card_hours_count: float
    late_count: int
    queue_limit_count: int | None
    queue_limit_s: float | None
    refused_count: int
    preemption: str
    preempted_count: int
    moved_bytes: Mapping[str, float]
    failed: tuple[Failed, ...]
    failed_cards_count: int
