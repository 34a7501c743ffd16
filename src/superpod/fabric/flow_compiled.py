# mypy: disable-error-code="no-untyped-def,no-untyped-call,misc,no-any-return"
"""The flow simulation as compiled loops: only what changes is solved anew.

What an event can change is bounded twice. *By level*: progressive filling up to the rate of the slowest flow that ends
runs as before, so slower flows keep their rates; equal flows that begin together are thus solved once. *By component*:
an event touches links, and only flows that can be reached from them over shared links change.

While components are small, they are searched for, and times of ends live in a heap (selective). Where a component would
hold more than half of the flows in question, all those from the level up are solved, without a search (dense): flows
are kept in the order of their rates then. Where searches fail again and again, they pause. Needs numba; the compiled
code is kept on disk. Numbers of links and flows are unsigned: an index that may be negative costs a comparison.
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
FEW = 16
"""So few flows are solved without a search for their component."""
kernel = njit(cache=True, _nrt=False)  # type: ignore[call-overload]  # the flag has no public name
"""For loops that make no columns: references to columns need no counting, which would cost more than small solves."""
# Places of the counters in `Work.tally`.
WAITING, QUEUED, ENDS, UNDER_WAY, LISTED, NEW, BEGUN, SOLVES, STAMP, MISSES, PAUSE, DENSE, ENDED = range(13)


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

    `queue` lists the flows that wait for none, by the time they may begin; `thawed` is the number of the
    solve that is about to give the flow a rate, 0 once it has.
    """

    size: FloatArray
    begin: FloatArray
    queue: IntArray
    pending: IntArray
    status: IntArray
    finish: FloatArray
    rate: FloatArray
    left: FloatArray
    since: FloatArray
    due: FloatArray
    bottleneck: IntArray
    thawed: IntArray


class Work(NamedTuple):
    """Room to work in: counters, lists of flows and links, heaps of keys and items.

    `active` lists flows under way, those that began last at its end; dense, the others by rate; selective, those that
    have ended too. By link: `all_load` and `all_count` are what active flows put on it, `free` what none of them has;
    `load` and `unfrozen` count those without a rate during a solve. `soon` holds when the next flow ends, while dense.
    """

    tally: IntArray
    active: IntArray
    ended: IntArray
    flows: IntArray
    links: IntArray
    solved: IntArray
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
    flows, begin_s = len(paths), start_s.astype(np.float64)
    pending, follow_start = np.zeros(flows, dtype=np.int64), np.zeros(flows + 1, dtype=np.int64)
    if len(after):
        after = after[np.argsort(after[:, 1], kind="stable")]
        pending = np.bincount(after[:, 0], minlength=flows)
        np.cumsum(np.bincount(after[:, 1], minlength=flows), out=follow_start[1:])
    queue = np.flatnonzero(pending == 0)
    if begin_s.any():
        queue = queue[np.argsort(begin_s[queue], kind="stable")]
    finish, rate, bottleneck, tally = play(
        (paths.start, paths.link, paths.share_frac, paths.latency_s, bytes_per_s.astype(np.float64)),
        (size_bytes.astype(np.float64), begin_s, queue, pending, follow_start, after[:, 0].copy()),
        window_s,
    )
    stuck = flows - int(tally[BEGUN])
    if stuck:
        raise ScenarioError(
            f"{stuck} flows wait for each other",
            where="flows: after",
            hint="a flow may only wait for flows that do not wait for it",
        )
    return finish, rate, bottleneck.view(np.int32).astype(np.int64), int(tally[SOLVES])


@njit(cache=True)
def play(given, flow_columns, window):
    """Return (finish, rate, bottleneck, counters); the columns are made here, where that costs little."""
    start, wide_link, share, latency, bytes_per_s = given
    size, begin, queue, pending, follow_start, follow = flow_columns
    flows, links, link = len(size), len(bytes_per_s), wide_link.astype(np.uint32)
    link_start, link_flow = transposed(start, link, links)
    whole = bool(np.all(share == 1.0))
    p = Paths(
        start.astype(np.uint64), link, share, whole, link_start, link_flow, bytes_per_s, latency, follow_start, follow
    )
    s = State(
        size,
        begin,
        queue,
        pending,
        np.zeros(flows, dtype=np.int8),
        np.full(flows, np.inf),
        np.zeros(flows),
        size.copy(),
        np.zeros(flows),
        np.full(flows, np.inf),
        np.full(flows, 2**32 - 1, dtype=np.uint32),
        np.zeros(flows, dtype=np.int32),
    )
    w = Work(
        np.zeros(ENDED + 1, dtype=np.int64),
        np.empty(flows, dtype=np.uint32),
        np.empty(flows, dtype=np.uint32),
        np.empty(flows, dtype=np.uint32),
        np.empty(links, dtype=np.uint32),
        np.empty(links, dtype=np.uint32),
        np.zeros(links, dtype=np.int64),
        np.zeros(flows, dtype=np.int64),
        p.link_start[1:] - p.link_start[:-1],
        np.zeros(links),
        np.zeros(links, dtype=np.int64),
        p.bytes_per_s.copy(),
        np.zeros(links),
        np.zeros(links, dtype=np.int64),
        np.zeros(links),
        np.full(1, np.inf),
        np.empty(links + 1),
        np.empty(links + 1, dtype=np.uint32),
        np.empty(flows + 1),
        np.empty(flows + 1, dtype=np.uint32),
        np.empty(2 * flows + 8),
        np.empty(2 * flows + 8, dtype=np.uint32),
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
    flow = np.empty(len(link), dtype=np.uint32)
    for f in range(len(start) - 1):
        for place in range(start[f], start[f + 1]):
            flow[to[link[place]]] = f
            to[link[place]] += 1
    return count, flow


@kernel
def push(keys, items, size, key, item):
    """Add to a binary heap held in two columns, equal keys in the order of their items; return its new size."""
    place = size
    while place > 0:
        above = (place - 1) >> 1
        if keys[above] < key or (keys[above] == key and items[above] <= item):
            break
        keys[place] = keys[above]
        items[place] = items[above]
        place = above
    keys[place] = key
    items[place] = item
    return size + 1


@kernel
def pop(keys, items, size):
    """Take the least off a binary heap, whose head the caller has read; return its new size."""
    size -= 1
    key, item = keys[size], items[size]
    place = 0
    while True:
        child = 2 * place + 1
        if child >= size:
            break
        after = child + 1
        if after < size and (keys[after] < keys[child] or (keys[after] == keys[child] and items[after] < items[child])):
            child = after
        if keys[child] > key or (keys[child] == key and items[child] >= item):
            break
        keys[place] = keys[child]
        items[place] = items[child]
        place = child
    keys[place] = key
    items[place] = item
    return size


@kernel
def touch(link, first, last, seen_link, stamp, links, touched):
    """Add the links of a flow, `link[first:last]`, to those that an event touches; return how many those are."""
    for e in range(first, last):
        number = link[e]
        if seen_link[number] != stamp:
            seen_link[number] = stamp
            links[touched] = number
            touched += 1
    return touched


@kernel
def put(p, w, f):
    """Put a flow on its links."""
    for e in range(p.start[f], p.start[f + 1]):
        w.all_count[p.link[e]] += 1
        w.all_load[p.link[e]] += 1.0 if p.whole else p.share[e]


@kernel
def take_off(p, w, f, rate):
    """Take a flow off its links, with its rate."""
    for e in range(p.start[f], p.start[f + 1]):
        number = p.link[e]
        part = 1.0 if p.whole else p.share[e]
        w.all_count[number] -= 1
        w.all_load[number] -= part
        w.free[number] += part * rate
        if w.all_count[number] == 0:
            w.all_load[number] = 0.0  # no rounding error outlives the flows


@kernel
def component(p, s, w, floor, limit):
    """List the flows that an event can change; return how many, or -1 where there are more than `limit`.

    They are those from rate `floor` up, or just begun, that share links with what has ended or begun, and so on. Flows
    that have ended are dropped from the links on the way.
    """
    links, flows, seen_link, seen_flow, stamp = w.links, w.flows, w.seen_link, w.seen_flow, w.tally[STAMP]
    start, link, link_start, link_flow, link_count = p.start, p.link, p.link_start, p.link_flow, w.link_count
    status, rate, touched, found, at = s.status, s.rate, 0, 0, 0
    for place in range(w.tally[ENDED]):
        f = w.ended[place]
        touched = touch(link, start[f], start[f + 1], seen_link, stamp, links, touched)
    for place in range(w.tally[LISTED] - w.tally[NEW], w.tally[LISTED]):
        f = w.active[place]
        touched = touch(link, start[f], start[f + 1], seen_link, stamp, links, touched)
    while at < touched:
        number = links[at]
        at += 1
        base, kept = link_start[number], 0
        for place in range(base, base + link_count[number]):
            f = link_flow[place]
            if status[f] == DONE:
                continue
            link_flow[base + kept] = f
            kept += 1
            if status[f] == ACTIVE and seen_flow[f] != stamp and (rate[f] >= floor or rate[f] == 0.0):
                seen_flow[f] = stamp
                flows[found] = f
                found += 1
                touched = touch(link, start[f], start[f + 1], seen_link, stamp, links, touched)
        link_count[number] = kept
        if found > limit:
            return -1
    return found


@kernel
def thaw(p, s, w, flows, first, last):
    """Take the rates of `flows[first:last]` back, and heap up their links by the share a flow; return (links, heap)."""
    start, link, share, whole, thawed, rate = p.start, p.link, p.share, p.whole, s.thawed, s.rate
    free, load, unfrozen, solved, solve_number = w.free, w.load, w.unfrozen, w.solved, w.tally[SOLVES]
    found, size = 0, 0
    for place in range(first, last):
        thawed[flows[place]] = solve_number
    if last - first == w.tally[UNDER_WAY]:
        for number in range(len(free)):
            unfrozen[number] = w.all_count[number]
            if unfrozen[number] > 0:
                solved[found] = number
                found += 1
    else:
        for place in range(first, last):
            f = flows[place]
            for e in range(start[f], start[f + 1]):
                number = link[e]
                part = 1.0 if whole else share[e]
                if unfrozen[number] == 0:
                    solved[found] = number
                    found += 1
                unfrozen[number] += 1
                load[number] += part
                free[number] += part * rate[f]
    for place in range(found):
        number = solved[place]
        if unfrozen[number] == w.all_count[number]:  # no rounding error outlives a solve of the whole link
            free[number], load[number] = p.bytes_per_s[number], w.all_load[number]
        size = push(w.level_key, w.level_item, size, max(free[number], 0.0) / load[number], number)
    return found, size


@kernel
def fill(p, s, w, flows, first, last):
    """Give `flows[first:last]` their max-min fair rates beside all others, and put them in the order of their rates.

    Progressive filling over a heap of shares. Shares only grow while flows freeze, so a stale entry is a lower bound
    and is pushed back at its present share. Flows that have ended are dropped from the links on the way.
    """
    found, size = thaw(p, s, w, flows, first, last)
    free, load, unfrozen, keys, items, levels = w.free, w.load, w.unfrozen, w.level_key, w.level_item, w.level
    start, link, share, whole, link_start, link_flow = p.start, p.link, p.share, p.whole, p.link_start, p.link_flow
    status, thawed, bottleneck, link_count = s.status, s.thawed, s.bottleneck, w.link_count
    solve_number, at = w.tally[SOLVES], first
    while at < last:
        key, number = keys[0], items[0]
        size = pop(keys, items, size)
        if unfrozen[number] == 0:
            continue
        level = max(free[number], 0.0) / load[number]
        if level > key * (1.0 + 1e-12):
            size = push(keys, items, size, level, number)
            continue
        levels[number] = level
        base, kept = link_start[number], 0
        for place in range(base, base + link_count[number]):
            f = link_flow[place]
            if thawed[f] == solve_number:
                thawed[f] = 0
                bottleneck[f] = number
                flows[at] = f
                at += 1
                for e in range(start[f], start[f + 1]):
                    part = 1.0 if whole else share[e]
                    free[link[e]] -= part * level
                    load[link[e]] -= part
                    unfrozen[link[e]] -= 1
            elif status[f] == DONE:
                continue
            link_flow[base + kept] = f
            kept += 1
        link_count[number] = kept
    for place in range(found):
        load[w.solved[place]] = 0.0


@kernel
def move_on(s, w, flows, first, last, now):
    """Move on the flows whose rate has changed: what they have left, and when they will end."""
    level, bottleneck, rates, due, left, since = w.level, s.bottleneck, s.rate, s.due, s.left, s.since
    for place in range(first, last):
        f = flows[place]
        rate = level[bottleneck[f]]
        if rate != rates[f]:
            left[f] -= rates[f] * (now - since[f])
            since[f] = now
            rates[f] = rate
            due[f] = now + max(left[f], 0.0) / rate if rate > 0.0 else np.inf


@kernel
def release(p, s, w, f, arrival):
    """Let those that waited for flow f begin where they wait for no other."""
    for place in range(p.follow_start[f], p.follow_start[f + 1]):
        who = p.follow[place]
        s.pending[who] -= 1
        s.begin[who] = max(s.begin[who], arrival)
        if s.pending[who] == 0:
            w.tally[WAITING] = push(w.begin_key, w.begin_item, w.tally[WAITING], s.begin[who], who)


@kernel
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
    if w.tally[QUEUED] < len(s.queue):
        first = min(first, s.begin[s.queue[w.tally[QUEUED]]])
    return first


@kernel
def collect_ended(s, w, reach):
    """List the flows that end up to `reach`."""
    ended, active, due, status, found = w.ended, w.active, s.due, s.status, 0
    if w.tally[DENSE]:
        for place in range(w.tally[LISTED]):
            if due[active[place]] <= reach:
                ended[found] = active[place]
                found += 1
    else:
        ends, keys, items = w.tally[ENDS], w.end_key, w.end_item
        while ends > 0 and keys[0] <= reach:
            f, key = items[0], keys[0]
            ends = pop(keys, items, ends)
            if status[f] == ACTIVE and due[f] == key:
                status[f] = DONE  # a second entry of the same end must not count
                ended[found] = f
                found += 1
        w.tally[ENDS] = ends
    w.tally[ENDED] = found


@kernel
def end(p, s, w, first):
    """Take the ended flows off; return (time of the last of them, rate of the slowest)."""
    now, floor = first, np.inf
    for place in range(w.tally[ENDED]):
        f = w.ended[place]
        s.status[f] = DONE
        s.finish[f] = s.due[f] + p.latency[f]
        now, floor = max(now, s.due[f]), min(floor, s.rate[f])
        if p.follow_start[f + 1] > p.follow_start[f]:
            release(p, s, w, f, s.finish[f])
    w.tally[UNDER_WAY] -= w.tally[ENDED]
    if w.tally[UNDER_WAY] == 0:
        w.tally[LISTED] = 0
        for number in range(len(w.free)):
            w.all_count[number], w.all_load[number], w.free[number] = 0, 0.0, p.bytes_per_s[number]
    else:
        for place in range(w.tally[ENDED]):
            take_off(p, w, w.ended[place], s.rate[w.ended[place]])
    return now, floor


@kernel
def collect_begun(s, w, reach):
    """List the flows that may begin up to `reach`; return how many."""
    queue, at, found = s.queue, w.tally[QUEUED], 0
    while at < len(queue) and s.begin[queue[at]] <= reach:
        w.flows[found] = queue[at]
        at, found = at + 1, found + 1
    w.tally[QUEUED] = at
    while w.tally[WAITING] > 0 and w.begin_key[0] <= reach:
        w.flows[found] = w.begin_item[0]
        w.tally[WAITING] = pop(w.begin_key, w.begin_item, w.tally[WAITING])
        found += 1
    return found


@kernel
def begin(p, s, w, now):
    """Let flows begin that may, at the end of the list; those without bytes arrive at once."""
    before, found = w.tally[LISTED], collect_begun(s, w, now * (1.0 + SAME))
    while found > 0:
        for place in range(found):
            f = w.flows[place]
            s.since[f] = now
            if s.size[f] <= 0.0:
                s.status[f] = DONE
                s.finish[f] = now + p.latency[f]
                release(p, s, w, f, s.finish[f])
                continue
            s.status[f] = ACTIVE
            w.active[w.tally[LISTED]] = f
            w.tally[LISTED] += 1
            put(p, w, f)
        w.tally[BEGUN] += found
        found = collect_begun(s, w, now * (1.0 + SAME))
    w.tally[NEW] = w.tally[LISTED] - before
    w.tally[UNDER_WAY] += w.tally[NEW]


@kernel
def least_level(p, w, floor):
    """Return a rate below which nothing changes: flows that began fill no link before all its flows have this rate."""
    if 2 * w.tally[NEW] > w.tally[UNDER_WAY]:
        return 0.0
    for place in range(w.tally[LISTED] - w.tally[NEW], w.tally[LISTED]):
        f = w.active[place]
        for e in range(p.start[f], p.start[f + 1]):
            floor = min(floor, p.bytes_per_s[p.link[e]] / w.all_load[p.link[e]])
    return floor


@kernel
def compact(s, w, first):
    """Drop the flows that have ended from the list, from place `first` on."""
    kept = first
    for place in range(first, w.tally[LISTED]):
        f = w.active[place]
        if s.status[f] == ACTIVE:
            w.active[kept] = f
            kept += 1
    w.tally[LISTED] = kept


@kernel
def place_of(rate, active, count, floor):
    """Return the first place of the list, sorted by rate, whose rate is at least `floor`."""
    low, high = 0, count
    while low < high:
        middle = (low + high) >> 1
        if rate[active[middle]] < floor:
            low = middle + 1
        else:
            high = middle
    return low


@kernel
def searched(p, s, w, floor, candidates):
    """Return how many flows an event changes, by a search of at most half the candidates; -1 where it gave up."""
    tally = w.tally
    if tally[PAUSE] > 0:
        tally[PAUSE] -= 1
        return -1
    if candidates <= FEW and tally[DENSE]:
        return -1
    found = component(p, s, w, floor, candidates // 2)
    tally[MISSES] = tally[MISSES] + 1 if found < 0 else 0
    tally[PAUSE] = min(2 ** tally[MISSES], PAUSE_MAX) if tally[MISSES] > 1 else 0
    return found


@kernel
def solve(p, s, w, now, floor):
    """Give new rates to what the event can change: one component, or all flows from a rate up."""
    tally, first = w.tally, 0
    floor = least_level(p, w, floor) * (1.0 - SAME)
    if tally[DENSE]:
        first = place_of(s.rate, w.active, tally[LISTED] - tally[NEW], floor)
        compact(s, w, first)
    candidates = tally[LISTED] - first if tally[DENSE] else tally[UNDER_WAY]
    found = searched(p, s, w, floor, candidates) if candidates and floor > 0.0 else -1
    if found >= 0:
        selective(p, s, w, found, now)
        return
    if not tally[DENSE]:
        compact(s, w, 0)
        tally[DENSE], tally[ENDS] = 1, 0
    if tally[LISTED] > first:
        tally[SOLVES] += 1
        fill(p, s, w, w.active, first, tally[LISTED])
        move_on(s, w, w.active, first, tally[LISTED], now)
    soon, active, due = np.inf, w.active, s.due
    for place in range(tally[LISTED]):
        soon = min(soon, due[active[place]])
    w.soon[0] = soon


@kernel
def selective(p, s, w, found, now):
    """Solve one component, and heap up when its flows end; all flows where they have not been heaped up yet."""
    tally, flows, due = w.tally, w.flows, s.due
    if found:
        tally[SOLVES] += 1
        fill(p, s, w, flows, 0, found)
        move_on(s, w, flows, 0, found, now)
    ends = tally[ENDS]
    if tally[DENSE] or ends + found >= len(w.end_key):
        compact(s, w, 0)
        flows, found, ends = w.active, tally[LISTED], 0
    for place in range(found):
        ends = push(w.end_key, w.end_item, ends, due[flows[place]], flows[place])
    tally[DENSE], tally[ENDS] = 0, ends


@kernel
def run_events(p, s, w, window):
    """Go from event to event until nothing is left."""
    w.tally[DENSE] = 1
    while True:
        first = next_event(s, w)
        if not np.isfinite(first):
            return
        w.tally[STAMP] += 1
        collect_ended(s, w, first + max(SAME * first, window))
        now, floor = end(p, s, w, first)
        begin(p, s, w, now)
        if w.tally[UNDER_WAY] == 0:
            w.soon[0] = np.inf
        elif w.tally[ENDED] + w.tally[NEW] > 0:
            solve(p, s, w, now, floor)
