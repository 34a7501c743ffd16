"""How a fleet is run while it serves: what is scaled, refused, preempted, and what fails."""

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Something fails at `at_s` and is back after `down_s`.

    Cards `first_count` to `last_count`, numbered from 0 by instance; or, where it has a `name`, a part of the pod as
    its description has them: `tray:3`, `rack:0`, `plane:2`, `plane:TIER:2`.
    """

    at_s: float
    first_count: int = 0
    last_count: int = 0
    down_s: float = math.inf
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Autoscale:
    """Instances of a pool follow their load: so many that each has `target_ratio` of the `measure`.

    `measure`: `busy` or `memory`, a share, or `queue`, requests that wait. `pool`: `prefill`, `decode`, or empty for
    each. They are looked at every `every_s`; one that starts takes `delay_s`, None for the time in which its weights
    come from host memory. `most_count` None: as many as the machine holds.
    """

    measure: str
    target_ratio: float
    pool: str = ""
    fewest_count: int = 1
    most_count: int | None = None
    every_s: float = 10.0
    delay_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Operations:
    """How the fleet is run: scaling by pool, whom it refuses, and what becomes of requests when memory runs out.

    A request is refused where `queue_limit_count` wait in the group that it would join, or when its turn comes after
    more than `queue_limit_s`. `preemption`: `recompute` or `swap`.
    """

    autoscale: tuple[Autoscale, ...] = ()
    queue_limit_count: int | None = None
    queue_limit_s: float | None = None
    preemption: str = "recompute"
