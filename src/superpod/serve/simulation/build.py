"""Columns of a fleet at rest."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from superpod.errors import ScenarioError
from superpod.serve.costs import StepCosts
from superpod.serve.simulation import columns as c
from superpod.serve.simulation.build_shelves import rates, shelves
from superpod.serve.simulation.columns import Reals, Whole, World
from superpod.serve.simulation.fleet import Fleet, Link, Mishap, Order, Pool
from superpod.serve.step_tables import Tables

ORDERS = {"mixed": c.RIDE_ALONG, "alternate": c.TAKE_TURNS, "prompts-first": c.PROMPTS_FIRST}
ROUTERS = {
    "round-robin": c.ROUND_ROBIN,
    "least-load": c.LEAST_LOAD,
    "prefix-aware": c.PREFIX_AWARE,
    "sticky": c.STICKY,
}
MEASURES = {"busy": c.BY_BUSY, "memory": c.BY_MEMORY, "queue": c.BY_QUEUE}
ROWS = 1 << 12
"""Requests under way at first; room doubles when it is short."""
BIN_S = 1e-3
MOST = 2**40
"""What stands for no limit, in tokens or requests."""
NO_LINK = Link(bytes_per_s=math.inf)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """Groups that step together: an instance, or one group of an instance whose groups do not wait for each other."""

    pool: int
    instance: int
    groups: int
    first: bool
    """Whether it is there from the start."""


def pools(fleet: Fleet) -> tuple[Pool, ...]:
    """Return the pools in their order: the one that takes requests first."""
    return (fleet.pool,) if fleet.decode is None else (fleet.pool, fleet.decode)


def units(fleet: Fleet) -> Iterator[Unit]:
    """Yield what steps as one, instance after instance."""
    number = 0
    for place, pool in enumerate(pools(fleet)):
        groups = int(pool.costs.groups_count)
        for turn in range(pool.most_count):
            first = turn < pool.instances_count
            if pool.costs.groups_together:
                yield Unit(pool=place, instance=number, groups=groups, first=first)
            else:
                yield from (Unit(pool=place, instance=number, groups=1, first=first) for _ in range(groups))
            number += 1


def world(fleet: Fleet, closed: tuple[int, float] | None, block_tokens: int) -> World:
    """Return the columns of a fleet without requests; `closed`: (concurrency, seconds to think) of a closed loop."""
    parts = list(units(fleet))
    group, instance, lanes = _rows(fleet, parts)
    hour = np.zeros(len(parts) * c.HOUR)
    hour[c.DUE :: c.HOUR] = np.inf
    hour[c.SLOW :: c.HOUR] = 1.0
    hour[c.STRAIN :: c.HOUR] = 1.0
    tally = np.zeros(c.TALLY, dtype=np.int64)
    tally[c.FREE_ROW] = c.NONE
    tally[c.INSTANCES] = len(parts)
    clock = np.zeros(c.CLOCKS)
    clock[c.BIN_S] = BIN_S
    clock[c.PATIENCE] = np.inf if fleet.pool.queue_max_s is None else fleet.pool.queue_max_s
    kinds = pools(fleet)
    clock[c.EMITTED], clock[c.EMITTED + 1] = kinds[0].costs.emitted_tokens, kinds[-1].costs.emitted_tokens
    issue = np.zeros(0)
    if closed is not None:
        tally[c.CLOSED], tally[c.ISSUES], clock[c.THINK] = 1, closed[0], closed[1]
        issue = np.zeros(closed[0])
    scaler = _scalers(kinds)
    every = scaler[c.EVERY :: c.SCALER]
    clock[c.NEXT_LOOK] = every.min(initial=np.inf)
    readers = sum(part.groups for part in parts if part.pool == 0)
    shelf, entry, bucket = shelves(fleet, readers, block_tokens)
    tally[c.BLOCK_TOKENS] = block_tokens if fleet.prefixes is not None else 0
    tally[c.TIERS] = readers * c.SHELF
    return World(
        request=np.zeros(0, dtype=np.int64),
        moment=np.zeros(0),
        group=group,
        instance=instance,
        hour=hour,
        pool=_pools(kinds, parts),
        link=_links(fleet),
        finish_heap=np.zeros(int(instance[c.HEAP_ROOM :: c.INSTANCE].sum()), dtype=np.int64),
        issue_heap=issue,
        lanes=lanes,
        arena=np.zeros(0, dtype=np.int64),
        called=np.zeros(len(parts), dtype=np.int64),
        control=_mishaps(fleet, parts),
        scaler=scaler,
        shelf=shelf,
        entry=entry,
        bucket=bucket,
        tally=tally,
        clock=clock,
        series=np.zeros(c.SERIES * c.BINS),
        log=np.zeros(0),
        result=np.zeros(0, dtype=np.int64),
        times=np.zeros(0),
    )


def order_of(pool: Pool) -> Order:
    """Return how prompts and decode steps share an instance: as said, or as its costs have it."""
    return pool.order or ("mixed" if pool.costs.tables.mixed else "alternate")


def prices(pool: Pool) -> Tables:
    """Return what steps cost in the order that they have."""
    return floats(pool.costs.tables._replace(mixed=order_of(pool) == "mixed"))


def floats(tables: Tables) -> Tables:
    """Return tables whose columns are contiguous and whose numbers are floats, as compiled code expects them."""
    parts = (
        np.array(part, dtype=np.float64) if isinstance(part, np.ndarray) else part if name == "mixed" else float(part)
        for name, part in tables._asdict().items()
    )
    return Tables(*parts)  # type: ignore[arg-type]


def _rows(fleet: Fleet, parts: list[Unit]) -> tuple[Whole, Whole, Whole]:
    """Return rows of groups and of instances, and the groups of each pool in turn: one of each instance, then on."""
    count = sum(part.groups for part in parts)
    group = np.zeros(count * c.GROUP_ROW, dtype=np.int64)
    instance = np.zeros(len(parts) * c.INSTANCE, dtype=np.int64)
    for place in (c.WAIT, c.WAIT_LAST, c.READS, c.READS_LAST, c.RUNS, c.RUNS_LAST):
        group[place :: c.GROUP_ROW] = c.NONE
    first, heap = 0, 0
    turns: list[tuple[int, int, int, int]] = []
    links: dict[int, int] = {}
    for number, part in enumerate(parts):
        i, costs = number * c.INSTANCE, pools(fleet)[part.pool].costs
        room = 2 * part.groups * int(costs.sequences_max_count) + 64
        instance[i + c.FIRST_GROUP], instance[i + c.GROUPS] = first, part.groups
        instance[i + c.POOL], instance[i + c.HEALTH] = part.pool * c.POOL_ROW, c.UP if part.first else c.OFF
        instance[i + c.HEAP], instance[i + c.HEAP_ROOM] = heap, room
        instance[i + c.LINKS] = links.setdefault(part.instance, i)
        heap += room
        for lane in range(part.groups):
            group[first + c.OWNER] = i
            turns.append((part.pool, lane, number, first))
            first += c.GROUP_ROW
    return group, instance, np.array([turn[3] for turn in sorted(turns)], dtype=np.int64)


def _pools(kinds: tuple[Pool, ...], parts: list[Unit]) -> Whole:
    rows = np.zeros(2 * c.POOL_ROW, dtype=np.int64)
    lane = 0
    for place, pool in enumerate(kinds):
        p, costs = place * c.POOL_ROW, pool.costs
        order = order_of(pool)
        rows[p + c.CAPACITY] = int(min(costs.capacity_tokens, MOST))
        rows[p + c.PAGE], rows[p + c.SEQUENCES] = pool.block_tokens, int(costs.sequences_max_count)
        rows[p + c.STEP_TOKENS], rows[p + c.RESERVES] = int(costs.step_max_tokens), pool.reserves_output
        rows[p + c.ORDER], rows[p + c.SWAPS] = ORDERS[order], pool.preemption == "swap"
        rows[p + c.QUEUE_MOST] = MOST if pool.queue_max_count is None else pool.queue_max_count
        rows[p + c.ROUTER] = ROUTERS[pool.router]
        rows[p + c.KIND] = c.WHOLE if len(kinds) == 1 else (c.READERS, c.DECODERS)[place]
        rows[p + c.STATE_TOKENS] = _state_tokens(costs)
        rows[p + c.LANES] = lane
        rows[p + c.LANE_COUNT] = sum(part.groups for part in parts if part.pool == place)
        lane += rows[p + c.LANE_COUNT]
    return rows


def _scalers(kinds: tuple[Pool, ...]) -> Reals:
    rows = np.zeros(2 * c.SCALER)
    rows[c.EVERY :: c.SCALER] = np.inf
    for place, pool in enumerate(kinds):
        if pool.scaler is not None:
            row, given = place * c.SCALER, pool.scaler
            rows[row + c.EVERY], rows[row + c.DELAY], rows[row + c.TARGET] = (
                given.every_s,
                given.delay_s,
                given.target_ratio,
            )
            alone = 1.0 if pool.costs.groups_together else pool.costs.groups_count
            rows[row + c.FEWEST], rows[row + c.MOST] = given.fewest_count * alone, given.most_count * alone
            rows[row + c.MEASURE] = MEASURES[given.measure]
    every = rows[c.EVERY :: c.SCALER]
    every[every < np.inf] = every.min()  # pools are looked at together
    return rows


def _mishaps(fleet: Fleet, parts: list[Unit]) -> Reals:
    """Return what happens to instances, by time, for all that steps alone in each."""
    rows = []
    for number in sorted({mishap.instance for mishap in fleet.mishaps}):
        mine = [place * c.INSTANCE for place, part in enumerate(parts) if part.instance == number]
        if not mine:
            raise ScenarioError(f"no instance {number}", where="fleet: mishaps", hint="they count from 0")
        changes = _changes([mishap for mishap in fleet.mishaps if mishap.instance == number])
        rows += [(at, what, i, value) for at, what, value in changes for i in mine]
    return np.array(sorted(rows), dtype=np.float64).reshape(-1)


def _changes(mishaps: list[Mishap]) -> Iterator[tuple[float, int, float]]:
    """Yield (when, what, how much) of an instance: up again when all that took it down is over; factors multiply."""
    down, slow, strain = False, 1.0, 1.0
    for at in sorted({time for item in mishaps for time in (item.at_s, item.at_s + item.down_s) if time < math.inf}):
        here = [item for item in mishaps if item.at_s <= at < item.at_s + item.down_s]
        before = down, slow, strain
        down = any(item.slow_factor is None for item in here)
        slow = math.prod(item.slow_factor for item in here if item.slow_factor is not None)
        strain = math.prod(item.link_factor for item in here if item.slow_factor is not None)
        if down != before[0]:
            yield at, c.FAILS if down else c.RECOVERS, 0.0
        if slow != before[1]:
            yield at, c.SLOWS, slow
        if strain != before[2]:
            yield at, c.STRAINS, strain


def _state_tokens(costs: StepCosts) -> int:
    """Return the tokens whose cache is as large as what a request has whatever its length."""
    return math.ceil(costs.state_bytes / costs.token_bytes) if costs.token_bytes > 0.0 else 0


def _links(fleet: Fleet) -> Reals:
    row = np.zeros(c.LINK_ROW)
    transfer, swap, costs = fleet.transfer or NO_LINK, fleet.swap or NO_LINK, fleet.pool.costs
    row[c.BYTES_PER_TOKEN], row[c.STATE_BYTES] = costs.token_bytes, costs.state_bytes
    row[c.TRANSFER_RATE], row[c.TRANSFER_LATENCY] = transfer.bytes_per_s, transfer.latency_s
    row[c.OVERLAPS] = transfer.overlap_frac
    row[c.SWAP_RATE], row[c.SWAP_LATENCY] = swap.bytes_per_s, swap.latency_s
    row[c.PEER_RATE : c.PEER_RATE + 6] = rates(fleet)
    return row


def with_blocks(w: World, blocks: Whole) -> World:
    """Return the world with the blocks of the next piece behind those of the requests under way."""
    rows = np.flatnonzero(w.request[c.STATE :: c.REQUEST] != c.FREE) * c.REQUEST
    sizes = w.request[rows + c.BLOCKS]
    first = np.concatenate([[0], np.cumsum(sizes)])
    kept = np.arange(first[-1]) + np.repeat(w.request[rows + c.BLOCK] - first[:-1], sizes)
    arena = np.concatenate([w.arena[kept], blocks])
    w.request[rows + c.BLOCK] = first[:-1]
    w.tally[c.ARENA] = first[-1]
    return w._replace(arena=arena)


def wider(w: World, rows: int) -> World:
    """Return the world with room for `rows` requests under way, and for as many results and more."""
    before = len(w.request) // c.REQUEST
    request, moment = np.zeros(rows * c.REQUEST, dtype=np.int64), np.zeros(rows * c.MOMENT)
    request[: len(w.request)], moment[: len(w.moment)] = w.request, w.moment
    fresh = np.arange(before, rows) * c.REQUEST
    request[fresh + c.NEXT] = np.append(fresh[1:], w.tally[c.FREE_ROW])
    w.tally[c.FREE_ROW] = fresh[0]
    result, times = np.zeros(2 * rows * c.RESULT, dtype=np.int64), np.zeros(2 * rows * c.TIMES)
    kept = int(w.tally[c.OUT])
    result[: kept * c.RESULT], times[: kept * c.TIMES] = w.result[: kept * c.RESULT], w.times[: kept * c.TIMES]
    return w._replace(request=request, moment=moment, result=result, times=times)
