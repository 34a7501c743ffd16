"""What serves: pools of instances, how they take requests, and the links that caches travel on."""

import math
from dataclasses import dataclass
from typing import Literal

from superpod.errors import ScenarioError
from superpod.serve.costs import StepCosts

Order = Literal["mixed", "alternate", "prompts-first"]
Router = Literal["round-robin", "least-load", "prefix-aware", "sticky"]
Preemption = Literal["recompute", "swap"]


def expect(holds: bool, message: str, where: str) -> None:
    """Raise ScenarioError where something does not hold."""
    if not holds:
        raise ScenarioError(message, where=where)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaler:
    """How many instances are up: every `every_s` seconds so many that each has `target_ratio` of the `measure`.

    `measure`: share of time busy, share of memory in use, or requests that wait. More start at once, which takes
    `delay_s`; fewer end one at a time, each when its requests are done. A group that steps alone counts as an instance.
    """

    target_ratio: float
    measure: Literal["busy", "memory", "queue"] = "queue"
    every_s: float = 10.0
    delay_s: float = 60.0
    fewest_count: int = 1
    most_count: int = 1

    def __post_init__(self) -> None:
        expect(self.target_ratio > 0.0, f"target {self.target_ratio}; expected above 0", "scaler: target_ratio")
        expect(self.every_s > 0.0, f"every {self.every_s} s; expected above 0", "scaler: every_s")
        expect(self.delay_s >= 0.0, f"starts take {self.delay_s} s; expected 0 or more", "scaler: delay_s")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mishap:
    """What happens to an instance at a time: it fails and is back after `down_s`, or goes on `slow_factor` slower.

    Instances are numbered from 0, those of the second pool after those of the first. A failed one loses its caches, and
    its requests start elsewhere with the tokens that they have; a slower one (fewer cards, experts moved) is as it was
    after `down_s`, and caches take `link_factor` as long to it over the fabric meanwhile.
    """

    at_s: float
    instance: int
    down_s: float
    slow_factor: float | None = None
    link_factor: float = 1.0

    def __post_init__(self) -> None:
        expect(0.0 <= self.at_s < math.inf, f"at {self.at_s} s; expected 0 or more", "mishap: at_s")
        expect(self.down_s > 0.0, f"for {self.down_s} s; expected above 0", "mishap: down_s")
        factors = (1.0 if self.slow_factor is None else self.slow_factor, self.link_factor)
        expect(all(0.0 < item < math.inf for item in factors), f"factors {factors}; expected above 0", "mishap")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """Equal instances, and how they take requests.

    `order`: prompts ride along in decode steps, take turns with them, or come first while any wait; where None, as the
    costs say. Memory is paged in blocks of `block_tokens`; a request is admitted when its prompt fits, or, where
    `reserves_output`, prompt and output. Where memory runs out the request admitted last is preempted. A request is
    refused where `queue_max_count` wait in the group it is sent to, or when its turn comes after more than
    `queue_max_s`; only the pool that takes requests first refuses any.
    """

    costs: StepCosts
    instances_count: int = 1
    order: Order | None = None
    block_tokens: int = 1
    reserves_output: bool = False
    preemption: Preemption = "recompute"
    queue_max_count: int | None = None
    queue_max_s: float | None = None
    router: Router = "round-robin"
    scaler: Scaler | None = None

    def __post_init__(self) -> None:
        if self.instances_count < 1:
            raise ScenarioError(f"{self.instances_count} instances; expected 1 or more", where="pool: instances_count")
        if self.scaler is not None and not 1 <= self.scaler.fewest_count <= self.instances_count <= self.most_count:
            raise ScenarioError(
                f"{self.instances_count} instances; expected {self.scaler.fewest_count} to {self.scaler.most_count}",
                where="pool: scaler",
                hint="fewest <= instances at first <= most, and one at least",
            )
        expect(self.block_tokens >= 1, f"{self.block_tokens} tokens; expected 1 or more", "pool: block_tokens")
        most = self.queue_max_count
        expect(most is None or most >= 1, f"{most} wait at most; expected 1 or more", "pool: queue_max_count")

    @property
    def most_count(self) -> int:
        """Instances that there may be."""
        return self.instances_count if self.scaler is None else self.scaler.most_count


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """What carries caches one after the other: bytes a second, and the seconds that any takes beside.

    `overlap_frac` of a transfer may run while the last chunk of the prompt is being read: layer by layer, all but that
    of the last layer.
    """

    bytes_per_s: float
    latency_s: float = 0.0
    overlap_frac: float = 0.0

    def __post_init__(self) -> None:
        expect(self.bytes_per_s > 0.0, f"{self.bytes_per_s} bytes/s; expected above 0", "link: bytes_per_s")
        expect(0.0 <= self.latency_s < math.inf, f"{self.latency_s} s; expected 0 or more", "link: latency_s")
        expect(0.0 <= self.overlap_frac <= 1.0, f"{self.overlap_frac}; expected 0 to 1", "link: overlap_frac")


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """Memory behind that of the chips, one for all: what it holds and how an instance reads it."""

    capacity_bytes: float
    link: Link


@dataclass(frozen=True, slots=True, kw_only=True)
class Prefixes:
    """Prompts that begin alike are read once: caches of prefixes in the memory of each group that reads.

    What a group does not have it fetches from `peers` (the memory of other groups), from `host` memory, to which all
    blocks are written when they have been read, or from `disk`, to which blocks go that host memory has no room for.
    """

    peers: Link | None = None
    host: Store | None = None
    disk: Store | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """One pool that does both, or one that reads prompts (`pool`) and one that decodes (`decode`).

    `transfer` carries caches into a decoding instance, `swap` between chip and host memory. Without `prefixes` every
    prompt is read whole.
    """

    pool: Pool
    decode: Pool | None = None
    transfer: Link | None = None
    swap: Link | None = None
    prefixes: Prefixes | None = None
    mishaps: tuple[Mishap, ...] = ()

    def __post_init__(self) -> None:
        if self.decode is not None and self.transfer is None:
            raise ScenarioError("pools that are apart need a link between them", where="fleet: transfer")
        swaps = any(pool is not None and pool.preemption == "swap" for pool in (self.pool, self.decode))
        if swaps and self.swap is None:
            raise ScenarioError("preemption by swapping needs a link to host memory", where="fleet: swap")
