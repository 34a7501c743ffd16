# mypy: disable-error-code="no-untyped-def,no-untyped-call,no-any-return"
"""Instances that fail, come back, become slower, start or end: what happens to their requests."""

import math

from superpod.serve.simulation import columns as c
from superpod.serve.simulation.lives import dequeue, forget, in_use, leave, let_go, release, unload
from superpod.serve.simulation.order import remove
from superpod.serve.simulation.prefix import shelf_of
from superpod.serve.simulation.route import pass_on, restart
from superpod.serve.simulation.series import spread
from superpod.serve.simulation.shelf import wipe
from superpod.serve.simulation.steps import account
from superpod.serve.simulation.stride import cut, steps_done
from superpod.serve.step_tables import steps_within


def put_up(w, i, now):
    """Let an instance take requests from now on."""
    w.instance[i + c.HEALTH] = c.UP
    w.hour[i + c.UP_SINCE] = now


def put_down(w, i, now, health):
    """Let an instance be off or down from now on; its caches are lost."""
    w.instance[i + c.HEALTH] = health
    if w.instance[i + c.POOL] == 0:
        for n in range(w.instance[i + c.GROUPS]):
            wipe(w, shelf_of(w.instance[i + c.FIRST_GROUP] + n * c.GROUP_ROW))
    since = w.hour[i + c.UP_SINCE]
    w.hour[i + c.UP_S] += now - since
    spread(w, c.UP_COUNT, since, now, now - since)
    w.hour[i + c.DUE], w.hour[i + c.USED] = c.NEVER, 0.0


def happen(w, tables, i, what, value, now):
    """Let something happen to an instance."""
    health = w.instance[i + c.HEALTH]
    if what == c.SLOWS:
        cut(w, tables, i, now)
        w.hour[i + c.SLOW] = value
    elif what == c.STRAINS:
        w.hour[i + c.STRAIN] = value
    elif what == c.FAILS:
        w.instance[i + c.BEFORE] = health
        if health == c.OFF:
            w.instance[i + c.HEALTH] = c.DOWN
        else:
            fail(w, tables, i, now)
    elif w.instance[i + c.BEFORE] == c.OFF:
        w.instance[i + c.HEALTH] = c.OFF
    else:
        put_up(w, i, now)


def fail(w, tables, i, now):
    """Take an instance down: its requests go elsewhere, with the tokens that they have; its caches are lost."""
    done = w.instance[i + c.STEP]
    if w.instance[i + c.PHASE] == c.DECODES:
        spent = (now - w.hour[i + c.CLOCK] - w.hour[i + c.LATE]) / w.hour[i + c.SLOW]
        batch, context = w.hour[i + c.SPAN_BATCH], w.hour[i + c.SPAN_CONTEXT]
        done += min(steps_within(tables, batch, context, spent, w.hour[i + c.GROWTH]), w.instance[i + c.PLAN])
    account(w, i, now)
    if w.instance[i + c.HEALTH] == c.STARTING:
        w.hour[i + c.UP_SINCE] = now
    put_down(w, i, now, c.DOWN)
    w.instance[i + c.PHASE], w.instance[i + c.PLAN] = c.IDLE, 0
    for n in range(w.instance[i + c.GROUPS]):
        g = w.instance[i + c.FIRST_GROUP] + n * c.GROUP_ROW
        while w.group[g + c.RUNS] != c.NONE:
            s = w.group[g + c.RUNS]
            leave(w, g, s)
            release(w, g, s)
            w.request[s + c.EVICTED] += 1
            forget(w, w.instance[i + c.POOL], s, done - w.request[s + c.JOIN])
            send_elsewhere(w, i, g, s, now)
        empty(w, i, i, g, now)
    w.instance[i + c.HEAP_COUNT] = 0
    if w.instance[i + c.POOL] > 0:
        return
    for n in range(w.pool[c.POOL_ROW + c.LANE_COUNT]):
        g = w.lanes[w.pool[c.POOL_ROW + c.LANES] + n]
        empty(w, w.group[g + c.OWNER], i, g, now)
    for n in range(w.instance[i + c.GROUPS]):
        wipe(w, shelf_of(w.instance[i + c.FIRST_GROUP] + n * c.GROUP_ROW))


def empty(w, i, failed, g, now):
    """Send elsewhere what waits or is being read in a group: all of it, or what the failed instance still holds."""
    for first in (c.READS, c.WAIT):
        s = w.group[g + first]
        while s != c.NONE:
            after, reader = w.request[s + c.NEXT], w.request[s + c.READER]
            if i == failed or (reader != c.NONE and w.group[reader + c.OWNER] == failed):
                w.request[s + c.CHUNK] = 0
                w.request[s + c.EVICTED] += first == c.READS or reader != c.NONE
                if first == c.WAIT:
                    dequeue(w, g, s)
                else:
                    remove(w.request, w.group, g + c.READS, s)
                    release(w, g, s)
                send_elsewhere(w, failed, g, s, now)
            s = after


def send_elsewhere(w, failed, g, s, now):
    """Send a request on to where it decodes if its cache is left, else to where it is read anew."""
    unload(w, g, s)
    w.request[s + c.GROUP] = c.NONE
    reader = w.request[s + c.READER]
    if reader != c.NONE and w.group[reader + c.OWNER] != failed:
        w.moment[s // c.PLACE + c.BEGAN] = now
        pass_on(w, s, now)
        return
    if reader == c.NONE and w.request[s + c.READ] == w.request[s + c.PROMPT]:
        forget(w, w.instance[failed + c.POOL], s, 0)  # it was swapped out: its first token is among those it has
    let_go(w, s)
    w.request[s + c.READ] = 0
    restart(w, s, now)


def busy_until(w, i, now):
    """Return the seconds that an instance has been busy."""
    spent = w.hour[i + c.BUSY] + w.hour[i + c.BUSY_READS] + w.hour[i + c.BUSY_MIXED]
    return spent + (now - w.hour[i + c.CLOCK] if w.instance[i + c.PHASE] != c.IDLE else 0.0)


def measured(w, tables, i, now, every, measure):
    """Return what the scaler goes by: share of time busy, share of memory in use, or requests that wait."""
    if measure == c.BY_BUSY:
        busy = busy_until(w, i, now)
        share = (busy - w.hour[i + c.MARK]) / every
        w.hour[i + c.MARK] = busy
        return share
    p, tokens, waiting = w.instance[i + c.POOL], 0, 0
    k = w.instance[i + c.STEP] + steps_done(w, tables, i, now)
    for n in range(w.instance[i + c.GROUPS]):
        g = w.instance[i + c.FIRST_GROUP] + n * c.GROUP_ROW
        tokens += in_use(w, p, g, k)
        waiting += w.group[g + c.QUEUE_LENGTH]
    if measure == c.BY_QUEUE:
        return float(waiting)
    return tokens / (w.pool[p + c.CAPACITY] * w.instance[i + c.GROUPS])


def look(w, reads, decodes, now):
    """Start or end instances of the pools that are scaled, by what they have to do."""
    if w.scaler[c.EVERY] < c.NEVER:
        scale(w, reads, 0, 0, now)
    if w.scaler[c.SCALER + c.EVERY] < c.NEVER:
        scale(w, decodes, c.POOL_ROW, c.SCALER, now)


def scale(w, tables, p, row, now):
    """Bring a pool to sum of the measure / target instances; more at once, fewer one at a time."""
    total, count = 0.0, 0
    for n in range(w.tally[c.INSTANCES]):
        i = n * c.INSTANCE
        if w.instance[i + c.POOL] != p:
            continue
        health = w.instance[i + c.HEALTH]
        if health == c.DRAINING and w.instance[i + c.HOLDS] == 0 and waiting_in(w, i) == 0:
            put_down(w, i, now, c.OFF)
        if health in (c.UP, c.DRAINING):
            total += measured(w, tables, i, now, w.scaler[row + c.EVERY], w.scaler[row + c.MEASURE])
        if health in (c.UP, c.STARTING):
            count += 1
    wanted = math.ceil(total / w.scaler[row + c.TARGET] - 1e-9)
    wanted = min(max(wanted, int(w.scaler[row + c.FEWEST])), int(w.scaler[row + c.MOST]))
    if wanted > count:
        start(w, p, wanted - count, now, w.scaler[row + c.DELAY])
    elif wanted < count:
        end_one(w, p)


def waiting_in(w, i):
    """Return how many requests wait in an instance."""
    waiting = 0
    for n in range(w.instance[i + c.GROUPS]):
        waiting += w.group[w.instance[i + c.FIRST_GROUP] + n * c.GROUP_ROW + c.QUEUE_LENGTH]
    return waiting


def start(w, p, count, now, delay):
    """Take back instances that are about to end, and start others, which takes a while."""
    for health in (c.DRAINING, c.OFF):
        for n in range(w.tally[c.INSTANCES]):
            i = n * c.INSTANCE
            if count > 0 and w.instance[i + c.POOL] == p and w.instance[i + c.HEALTH] == health:
                count -= 1
                if health == c.DRAINING:
                    w.instance[i + c.HEALTH] = c.UP
                else:
                    w.instance[i + c.HEALTH] = c.STARTING
                    w.hour[i + c.DUE] = now + delay


def end_one(w, p):
    """Call off the start of an instance, or, where none is starting, let the last one take no more requests."""
    last, starting = c.NONE, c.NONE
    for n in range(w.tally[c.INSTANCES]):
        i = n * c.INSTANCE
        if w.instance[i + c.POOL] == p:
            if w.instance[i + c.HEALTH] == c.STARTING:
                starting = i
            elif w.instance[i + c.HEALTH] == c.UP:
                last = i
    if starting != c.NONE:
        w.instance[starting + c.HEALTH] = c.OFF
        w.hour[starting + c.DUE] = c.NEVER
    elif last != c.NONE:
        w.instance[last + c.HEALTH] = c.DRAINING
