# mypy: disable-error-code="no-untyped-def,no-untyped-call,misc,no-any-return"
"""The flow simulation as compiled loops: only what changes is solved anew.

An event touches links; the flows that can be reached from them over shared links are one component, and only its rates
change. Where a component holds more than half of all flows, solving all of them is cheaper; when that has happened
again and again, the search for components pauses for a while. Times of ends live in a heap while components are small,
and are looked through while everything is solved anew. Needs numba; the compiled code is kept on disk.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from superpod.errors import ScenarioError
from superpod.fabric.route import Incidence
from superpod.fabric.topology import FloatArray, IntArray

SAME = 1e-9
ACTIVE, DONE = 1, 2
PAUSE_MAX = 64
# Places of the counters in `Work.tally`.
WAITING, ENDS, UNDER_WAY, BEGUN, SOLVES, STAMP, MISSES, PAUSE, DENSE, ENDED, TOUCHED = range(11)


class Paths(NamedTuple):
    """Links by flow and flows by link, the rates of links, the latency of flows, and who waits for whom.

    `whole`: every share is 1, and need not be read. The loops wait for memory, so columns are as narrow as they can be.
    """

    start: IntArray
    link: IntArray
    share: FloatArray
    whole: bool
    link_start: IntArray
    link_flow: IntArray
    bytes_per_s: FloatArray
    latency: FloatArray
    follow_start: IntArray
    follow: IntArray


class State(NamedTuple):
    """Columns by flow that change: what is left, since when it counts, at which rate, when it will end.

    `frozen` is the number of the solve that last gave the flow a rate.
    """

    size: FloatArray
    begin: FloatArray
    pending: IntArray
    status: IntArray
    finish: FloatArray
    rate: FloatArray
    left: FloatArray
    since: FloatArray
    due: FloatArray
    bottleneck: IntArray
    frozen: IntArray


class Work(NamedTuple):
    """Room to work in: counters, lists of flows and links, heaps of keys and items.

    `all_load` and `all_count` are what active flows put on each link; solves work on copies of them. `soon` holds when
    the next flow ends, while everything is solved anew.
    """

    tally: IntArray
    active: IntArray
    where: IntArray
    ended: IntArray
    flows: IntArray
    links: IntArray
    every_link: IntArray
    seen_link: IntArray
    seen_flow: IntArray
    link_count: IntArray
    all_load: FloatArray
    all_count: IntArray
    free: FloatArray
    load: FloatArray
    unfrozen: IntArray
    level: FloatArray
    soon: FloatArray
    level_key: FloatArray
    level_item: IntArray
    begin_key: FloatArray
    begin_item: IntArray
    end_key: FloatArray
    end_item: IntArray


def run(
    paths: Incidence,
    bytes_per_s: FloatArray,
    size_bytes: FloatArray,
    start_s: FloatArray,
    after: IntArray,
    window_s: float,
) -> tuple[FloatArray, FloatArray, IntArray, int]:
    """Return (finish, last rate, bottleneck, solves); see `flow.run_numpy`, whose numbers these are."""
    flows = len(paths)
    link: IntArray = paths.link.astype(np.int32)  # half the memory traffic
    link_start, link_flow = transposed(paths.start, link, paths.links_count)
    order = np.argsort(after[:, 1], kind="stable")
    given = Paths(
        start=paths.start,
        link=link,
        share=paths.share_frac,
        whole=bool(np.all(paths.share_frac == 1.0)),
        link_start=link_start,
        link_flow=link_flow,
        bytes_per_s=bytes_per_s.astype(np.float64),
        latency=paths.latency_s,
        follow_start=np.concatenate(([0], np.cumsum(np.bincount(after[:, 1], minlength=flows)))),
        follow=after[order, 0],
    )
    finish, rate, bottleneck, tally = play(
        given,
        size_bytes.astype(np.float64),
        start_s.astype(np.float64),
        np.bincount(after[:, 0], minlength=flows),
        window_s,
    )
    stuck = flows - int(tally[BEGUN])
    if stuck:
        raise ScenarioError(
            f"{stuck} flows wait for each other",
            where="flows: after",
            hint="a flow may only wait for flows that do not wait for it",
        )
    return finish, rate, bottleneck.astype(np.int64), int(tally[SOLVES])


@njit(cache=True)
def play(p, size, begin, pending, window):
    """Return (finish, rate, bottleneck, counters); the columns are made here, where that costs little."""
    flows, links = len(size), len(p.bytes_per_s)
    s = State(
        size,
        begin,
        pending,
        np.zeros(flows, dtype=np.int8),
        np.full(flows, np.inf),
        np.zeros(flows),
        size.copy(),
        np.zeros(flows),
        np.full(flows, np.inf),
        np.full(flows, -1, dtype=np.int32),
        np.zeros(flows, dtype=np.int32),
    )
    w = Work(
        np.zeros(11, dtype=np.int64),
        np.empty(flows, dtype=np.int64),
        np.empty(flows, dtype=np.int64),
        np.empty(flows, dtype=np.int64),
        np.empty(flows, dtype=np.int64),
        np.empty(links, dtype=np.int64),
        np.arange(links),
        np.zeros(links, dtype=np.int64),
        np.zeros(flows, dtype=np.int64),
        p.link_start[1:] - p.link_start[:-1],
        np.zeros(links),
        np.zeros(links, dtype=np.int64),
        np.zeros(links),
        np.zeros(links),
        np.zeros(links, dtype=np.int64),
        np.zeros(links),
        np.full(1, np.inf),
        np.empty(links + 1),
        np.empty(links + 1, dtype=np.int64),
        np.empty(flows + 1),
        np.empty(flows + 1, dtype=np.int64),
        np.empty(2 * flows + 8),
        np.empty(2 * flows + 8, dtype=np.int64),
    )
    run_events(p, s, w, window)
    return s.finish, s.rate, s.bottleneck, w.tally


@njit(cache=True)
def transposed(start, link, links_count):
    """Return (start, flow) by link."""
    count = np.zeros(links_count + 1, dtype=np.int64)
    for place in range(len(link)):
        count[link[place] + 1] += 1
    for number in range(links_count):
        count[number + 1] += count[number]
    to = count[:-1].copy()
    flow = np.empty(len(link), dtype=np.int32)
    for f in range(len(start) - 1):
        for place in range(start[f], start[f + 1]):
            flow[to[link[place]]] = f
            to[link[place]] += 1
    return count, flow


@njit(cache=True)
def push(keys, items, size, key, item):
    """Add to a binary heap held in two columns; return its new size."""
    place = size
    while place > 0:
        above = (place - 1) >> 1
        if keys[above] <= key:
            break
        keys[place] = keys[above]
        items[place] = items[above]
        place = above
    keys[place] = key
    items[place] = item
    return size + 1


@njit(cache=True)
def pop(keys, items, size):
    """Take the least off a binary heap, whose head the caller has read; return its new size."""
    size -= 1
    key, item = keys[size], items[size]
    place = 0
    while True:
        child = 2 * place + 1
        if child >= size:
            break
        if child + 1 < size and keys[child + 1] < keys[child]:
            child += 1
        if keys[child] >= key:
            break
        keys[place] = keys[child]
        items[place] = items[child]
        place = child
    keys[place] = key
    items[place] = item
    return size


@njit(cache=True)
def touch(p, w, f):
    """Add the links of a flow to those that this event touches."""
    for e in range(p.start[f], p.start[f + 1]):
        number = p.link[e]
        if w.seen_link[number] != w.tally[STAMP]:
            w.seen_link[number] = w.tally[STAMP]
            w.links[w.tally[TOUCHED]] = number
            w.tally[TOUCHED] += 1


@njit(cache=True)
def put(p, w, f, sign):
    """Put a flow on its links, or take it off."""
    for e in range(p.start[f], p.start[f + 1]):
        number = p.link[e]
        w.all_count[number] += sign
        w.all_load[number] += sign * (1.0 if p.whole else p.share[e])
        if w.all_count[number] == 0:
            w.all_load[number] = 0.0  # no rounding error outlives the flows


@njit(cache=True)
def component(p, s, w, limit):
    """Extend the touched links by all that active flows connect to them; return how many flows, -1 past `limit`.

    Flows that have ended are dropped from the links on the way.
    """
    found, at = 0, 0
    while at < w.tally[TOUCHED]:
        number = w.links[at]
        at += 1
        base, kept = p.link_start[number], 0
        for place in range(base, base + w.link_count[number]):
            f = p.link_flow[place]
            if s.status[f] == DONE:
                continue
            p.link_flow[base + kept] = f
            kept += 1
            if s.status[f] == ACTIVE and w.seen_flow[f] != w.tally[STAMP]:
                w.seen_flow[f] = w.tally[STAMP]
                w.flows[found] = f
                found += 1
                touch(p, w, f)
        w.link_count[number] = kept
        if found > limit:
            return -1
    return found


@njit(cache=True)
def fill(p, s, w, links, count):
    """Give the active flows on `links` their max-min fair rates: progressive filling over a heap of shares.

    Shares only grow while flows freeze, so a stale entry is a lower bound and is pushed back at its present share.
    """
    free, load, unfrozen, keys, items = w.free, w.load, w.unfrozen, w.level_key, w.level_item
    size = 0
    for place in range(count):
        number = links[place]
        unfrozen[number] = w.all_count[number]
        if unfrozen[number] > 0:
            free[number] = p.bytes_per_s[number]
            load[number] = w.all_load[number]
            size = push(keys, items, size, free[number] / load[number], number)
    while size > 0:
        key, number = keys[0], items[0]
        if unfrozen[number] == 0:
            size = pop(keys, items, size)
            continue
        level = max(free[number], 0.0) / load[number]
        size = pop(keys, items, size)
        if level > key * (1.0 + 1e-12):
            size = push(keys, items, size, level, number)
            continue
        freeze(p, s, w, number, level)


@njit(cache=True)
def freeze(p, s, w, number, level):
    """Freeze the flows of a link at its level; flows that have ended are dropped from it on the way."""
    link, share, start, link_flow, whole = p.link, p.share, p.start, p.link_flow, p.whole
    free, load, unfrozen, frozen, status = w.free, w.load, w.unfrozen, s.frozen, s.status
    base, kept, solve_number = p.link_start[number], 0, w.tally[SOLVES]
    w.level[number] = level
    for place in range(base, base + w.link_count[number]):
        f = link_flow[place]
        if status[f] != ACTIVE:
            if status[f] == DONE:
                continue
        elif frozen[f] != solve_number:
            frozen[f] = solve_number
            s.bottleneck[f] = number
            for e in range(start[f], start[f + 1]):
                part = 1.0 if whole else share[e]
                free[link[e]] -= part * level
                load[link[e]] -= part
                unfrozen[link[e]] -= 1
        link_flow[base + kept] = f
        kept += 1
    w.link_count[number] = kept


@njit(cache=True)
def move_on(s, w, flows, found, now):
    """Move on the flows whose rate has changed: what they have left, and when they will end; return the first end."""
    level, bottleneck, rates, due = w.level, s.bottleneck, s.rate, s.due
    soon = np.inf
    for place in range(found):
        f = flows[place]
        rate = level[bottleneck[f]]
        if rate != rates[f]:
            s.left[f] -= rates[f] * (now - s.since[f])
            s.since[f] = now
            rates[f] = rate
            due[f] = now + max(s.left[f], 0.0) / rate if rate > 0.0 else np.inf
        soon = min(soon, due[f])
    return soon


@njit(cache=True)
def release(p, s, w, f, arrival):
    """Let those that waited for flow f begin where they wait for no other."""
    for place in range(p.follow_start[f], p.follow_start[f + 1]):
        who = p.follow[place]
        s.pending[who] -= 1
        s.begin[who] = max(s.begin[who], arrival)
        if s.pending[who] == 0:
            w.tally[WAITING] = push(w.begin_key, w.begin_item, w.tally[WAITING], s.begin[who], who)


@njit(cache=True)
def next_event(s, w):
    """Return when something ends or begins next; infinity when nothing does."""
    first = w.soon[0]
    if not w.tally[DENSE]:
        ends = w.tally[ENDS]
        while ends > 0 and (s.status[w.end_item[0]] != ACTIVE or s.due[w.end_item[0]] != w.end_key[0]):
            ends = pop(w.end_key, w.end_item, ends)
        w.tally[ENDS] = ends
        first = w.end_key[0] if ends > 0 else np.inf
    if w.tally[WAITING] > 0:
        first = min(first, w.begin_key[0])
    return first


@njit(cache=True)
def collect_ended(s, w, reach):
    """List the flows that end up to `reach`."""
    found = 0
    if w.tally[DENSE]:
        for place in range(w.tally[UNDER_WAY]):
            if s.due[w.active[place]] <= reach:
                w.ended[found] = w.active[place]
                found += 1
    else:
        ends = w.tally[ENDS]
        while ends > 0 and w.end_key[0] <= reach:
            f, key = w.end_item[0], w.end_key[0]
            ends = pop(w.end_key, w.end_item, ends)
            if s.status[f] == ACTIVE and s.due[f] == key:
                s.status[f] = DONE  # a second entry of the same end must not count
                w.ended[found] = f
                found += 1
        w.tally[ENDS] = ends
    w.tally[ENDED] = found


@njit(cache=True)
def end(p, s, w, first):
    """Take the ended flows off; return the time of the last of them."""
    now = first
    for place in range(w.tally[ENDED]):
        f = w.ended[place]
        s.status[f] = DONE
        s.finish[f] = s.due[f] + p.latency[f]
        now = max(now, s.due[f])
        last = w.active[w.tally[UNDER_WAY] - 1]
        w.active[w.where[f]] = last
        w.where[last] = w.where[f]
        w.tally[UNDER_WAY] -= 1
        touch(p, w, f)
        put(p, w, f, -1)
        release(p, s, w, f, s.finish[f])
    return now


@njit(cache=True)
def begin(p, s, w, now):
    """Let flows begin that may; those without bytes arrive at once."""
    while w.tally[WAITING] > 0 and w.begin_key[0] <= now * (1.0 + SAME):
        f = w.begin_item[0]
        w.tally[WAITING] = pop(w.begin_key, w.begin_item, w.tally[WAITING])
        w.tally[BEGUN] += 1
        s.since[f] = now
        if s.size[f] <= 0.0:
            s.status[f] = DONE
            s.finish[f] = now + p.latency[f]
            release(p, s, w, f, s.finish[f])
            continue
        s.status[f] = ACTIVE
        w.where[f] = w.tally[UNDER_WAY]
        w.active[w.tally[UNDER_WAY]] = f
        w.tally[UNDER_WAY] += 1
        touch(p, w, f)
        put(p, w, f, 1)


@njit(cache=True)
def solve(p, s, w, now):
    """Give new rates to what the event has touched: one component, or everything."""
    found = -1
    if w.tally[PAUSE] > 0:
        w.tally[PAUSE] -= 1
    else:
        found = component(p, s, w, w.tally[UNDER_WAY] // 2)
        w.tally[MISSES] = w.tally[MISSES] + 1 if found < 0 else 0
        w.tally[PAUSE] = min(2 ** w.tally[MISSES], PAUSE_MAX) if w.tally[MISSES] > 1 else 0
    if found == 0:  # nothing shares a link with what has ended
        w.soon[0] = move_on(s, w, w.active, w.tally[UNDER_WAY], now) if w.tally[DENSE] else np.inf
        return
    w.tally[SOLVES] += 1
    if found < 0:
        fill(p, s, w, w.every_link, len(w.every_link))
        w.soon[0] = move_on(s, w, w.active, w.tally[UNDER_WAY], now)
        w.tally[DENSE], w.tally[ENDS] = 1, 0
        return
    fill(p, s, w, w.links, w.tally[TOUCHED])
    move_on(s, w, w.flows, found, now)
    anew = w.tally[DENSE] == 1 or w.tally[ENDS] + found >= len(w.end_key)
    flows, count = (w.active, w.tally[UNDER_WAY]) if anew else (w.flows, found)
    ends = 0 if anew else w.tally[ENDS]
    for place in range(count):
        f = flows[place]
        if anew or s.since[f] == now:
            ends = push(w.end_key, w.end_item, ends, s.due[f], f)
    w.tally[DENSE], w.tally[ENDS] = 0, ends


@njit(cache=True)
def run_events(p, s, w, window):
    """Go from event to event until nothing is left."""
    w.tally[DENSE] = 1
    for f in range(len(s.size)):
        if s.pending[f] == 0:
            w.tally[WAITING] = push(w.begin_key, w.begin_item, w.tally[WAITING], s.begin[f], f)
    while True:
        first = next_event(s, w)
        if not np.isfinite(first):
            return
        w.tally[STAMP] += 1
        w.tally[TOUCHED] = 0
        collect_ended(s, w, first + max(SAME * first, window))
        now = end(p, s, w, first)
        begin(p, s, w, now)
        if w.tally[UNDER_WAY] == 0:
            w.soon[0] = np.inf
        elif w.tally[TOUCHED] > 0:
            solve(p, s, w, now)
