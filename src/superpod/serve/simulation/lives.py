# mypy: disable-error-code="no-untyped-def,no-untyped-call,no-any-return"
"""The life of a request: it waits, holds memory of a group, decodes, and leaves a row of results."""

import math

from superpod.serve.simulation import columns as c
from superpod.serve.simulation.order import append, drop_first, prepend, push, remove
from superpod.serve.simulation.prefix import drop_prefix
from superpod.serve.simulation.series import note

ROOM = 2**32
"""A finish is kept as step x ROOM + row: ordered by step, then by row."""
FAR = 2**30
"""More steps than anything takes."""


def emitted(w, p):
    """Return the tokens that a decode step gives a sequence."""
    return w.clock[c.EMITTED + p // c.POOL_ROW]


def gained(w, p, g, k):
    """Return the tokens that the sequences of a group have gained since they joined, up to step k: e (b k - sum k0)."""
    return emitted(w, p) * (w.group[g + c.BATCH] * k - w.group[g + c.STEPS_SUM])


def in_use(w, p, g, k):
    """Return the tokens of memory that a group uses at step k, cached prefixes that no request holds left out."""
    if w.pool[p + c.RESERVES]:
        return w.group[g + c.HELD]
    return w.group[g + c.HELD] + math.ceil(gained(w, p, g, k) - 1e-9)


def steps_left(w, p, s):
    """Return the decode steps that a request still needs once its prompt is read, which gives one token."""
    return math.ceil((w.request[s + c.OUTPUT] - w.request[s + c.MADE] - 1) / emitted(w, p) - 1e-9)


def enqueue(w, g, s):
    """Let a request wait for memory of a group, behind all others."""
    append(w.request, w.group, g + c.WAIT, s)
    queued(w, g, s)


def enqueue_ahead(w, g, s):
    """Let a request wait for memory of a group, before all others."""
    prepend(w.request, w.group, g + c.WAIT, s)
    queued(w, g, s)


def queued(w, g, s):
    """Count a request that now waits."""
    w.request[s + c.GROUP] = g
    w.request[s + c.STATE] = c.WAITING
    w.group[g + c.QUEUE_LENGTH] += 1
    w.tally[c.QUEUED] += 1


def dequeue(w, g, s):
    """Take a request out of a queue."""
    remove(w.request, w.group, g + c.WAIT, s)
    w.group[g + c.QUEUE_LENGTH] -= 1
    w.tally[c.QUEUED] -= 1


def forget(w, p, s, steps):
    """Let a request that made tokens for `steps` steps be read anew, with what it has made."""
    made = w.request[s + c.MADE] + 1 + int(emitted(w, p) * steps + 1e-9)
    w.request[s + c.MADE] = min(made, w.request[s + c.OUTPUT] - 1)
    w.request[s + c.PROMPT] = w.request[s + c.GIVEN] + w.request[s + c.MADE]
    w.request[s + c.READ] = 0


def hold(w, g, s, tokens):
    """Give a request memory of a group."""
    w.request[s + c.KEPT] = tokens
    w.group[g + c.HELD] += tokens
    w.group[g + c.COUNT] += 1
    w.instance[w.group[g + c.OWNER] + c.HOLDS] += 1


def release(w, g, s):
    """Take back the memory that a request holds in its group; blocks of its prefix stay cached there."""
    w.group[g + c.HELD] -= w.request[s + c.KEPT]
    w.request[s + c.KEPT] = 0
    w.group[g + c.COUNT] -= 1
    w.instance[w.group[g + c.OWNER] + c.HOLDS] -= 1
    if w.request[s + c.READER] == c.NONE:
        drop_prefix(w, g, s)


def let_go(w, s):
    """Release what a request still holds where its prompt was read; who waits there may go on."""
    g = w.request[s + c.READER]
    if g == c.NONE:
        return
    w.request[s + c.READER] = c.NONE
    w.group[g + c.HELD] -= w.request[s + c.READER_KEPT]
    w.group[g + c.COUNT] -= 1
    owner = w.group[g + c.OWNER]
    w.instance[owner + c.HOLDS] -= 1
    drop_prefix(w, g, s)
    wake(w, owner, w.clock[c.NOW])


def wake(w, i, now):
    """Let an idle instance look for work."""
    if w.instance[i + c.PHASE] == c.IDLE and w.instance[i + c.HEALTH] in (c.UP, c.DRAINING):
        w.hour[i + c.DUE] = min(w.hour[i + c.DUE], now)


def call(w, i):
    """Note that an instance with steps under way has to be looked at: see `stride.answer_calls`."""
    for n in range(w.tally[c.CALLED]):
        if w.called[n] == i:
            return
    w.called[w.tally[c.CALLED]] = i
    w.tally[c.CALLED] += 1


def come(w, g, now):
    """Let an instance know of a request that has come to the empty queue of a group."""
    i = w.group[g + c.OWNER]
    if w.instance[i + c.PHASE] == c.IDLE:
        wake(w, i, now)
    elif w.instance[i + c.PHASE] == c.DECODES:
        call(w, i)


def join(w, i, g, s, k):
    """Let a request whose prompt is in memory decode from step k on; one handed over has its first token by now."""
    t = s // c.PLACE
    if w.moment[t + c.FIRST] < 0.0:
        w.moment[t + c.FIRST] = w.moment[t + c.READY]
    remove(w.request, w.group, g + c.READS, s)
    let_go(w, s)
    append(w.request, w.group, g + c.RUNS, s)
    w.request[s + c.STATE] = c.DECODING
    w.request[s + c.JOIN] = k
    w.request[s + c.FINISH] = k + w.request[s + c.LEFT]
    w.group[g + c.BATCH] += 1
    w.group[g + c.JOINED] += w.request[s + c.PROMPT]
    w.group[g + c.STEPS_SUM] += k
    if w.instance[i + c.HEAP_COUNT] == w.instance[i + c.HEAP_ROOM]:
        tidy(w, i)
    push(w.finish_heap, w.instance[i + c.HEAP], w.instance[i + c.HEAP_COUNT], w.request[s + c.FINISH] * ROOM + s)
    w.instance[i + c.HEAP_COUNT] += 1


def leave(w, g, s):
    """Take a request out of the batch that decodes."""
    remove(w.request, w.group, g + c.RUNS, s)
    w.group[g + c.BATCH] -= 1
    w.group[g + c.JOINED] -= w.request[s + c.PROMPT]
    w.group[g + c.STEPS_SUM] -= w.request[s + c.JOIN]


def is_stale(w, i, key):
    """Return whether a finish in an instance's heap is of a request that has left since, maybe to decode elsewhere."""
    s = key % ROOM
    if w.request[s + c.STATE] != c.DECODING or w.request[s + c.FINISH] != key // ROOM:
        return True
    return w.group[w.request[s + c.GROUP] + c.OWNER] != i


def tidy(w, i):
    """Make the heap of finishes anew, without those that are stale."""
    base, count, size = w.instance[i + c.HEAP], w.instance[i + c.HEAP_COUNT], 0
    for n in range(count):
        key = w.finish_heap[base + n]
        if not is_stale(w, i, key):
            push(w.finish_heap, base, size, key)
            size += 1
    w.instance[i + c.HEAP_COUNT] = size


def first_finish(w, i):
    """Return the step at which the next request finishes; what is stale before it is dropped."""
    base = w.instance[i + c.HEAP]
    while w.instance[i + c.HEAP_COUNT] > 0:
        key = w.finish_heap[base]
        if not is_stale(w, i, key):
            return key // ROOM
        drop_first(w.finish_heap, base, w.instance[i + c.HEAP_COUNT])
        w.instance[i + c.HEAP_COUNT] -= 1
    return FAR


def finish_those(w, i, now):
    """End the requests whose last step is over."""
    base = w.instance[i + c.HEAP]
    while first_finish(w, i) <= w.instance[i + c.STEP]:
        s = w.finish_heap[base] % ROOM
        drop_first(w.finish_heap, base, w.instance[i + c.HEAP_COUNT])
        w.instance[i + c.HEAP_COUNT] -= 1
        g = w.request[s + c.GROUP]
        leave(w, g, s)
        complete(w, g, s, now)


def complete(w, g, s, now):
    """End a request with all its tokens."""
    release(w, g, s)
    owner = w.group[g + c.OWNER]
    w.instance[owner + c.DONE] += 1
    w.instance[owner + c.MADE_TOKENS] += w.request[s + c.OUTPUT]
    note(w, c.FINISHES, now, 1.0)
    note(w, c.OUT_TOKENS, now, float(w.request[s + c.OUTPUT]))
    end(w, s, c.FINISHED, now)


def unload(w, g, s):
    """Take a request out of what its group has before it."""
    w.group[g + c.LOAD] -= w.request[s + c.GIVEN] + w.request[s + c.OUTPUT]


def end(w, s, status, now):
    """Write down how a request ended and free its row; in a closed loop another one is sent."""
    g = w.request[s + c.GROUP]
    if g != c.NONE:
        unload(w, g, s)
    row, at, t = w.tally[c.OUT] * c.RESULT, w.tally[c.OUT] * c.TIMES, s // c.PLACE
    w.tally[c.OUT] += 1
    w.result[row + c.R_NUMBER] = w.request[s + c.NUMBER]
    w.result[row + c.R_STATUS] = status
    w.result[row + c.R_READER] = w.request[s + c.READ_AT]
    w.result[row + c.R_DECODER] = g
    w.result[row + c.R_HIT] = w.request[s + c.HIT]
    w.result[row + c.R_EVICTED] = w.request[s + c.EVICTED]
    w.result[row + c.R_PROMPT] = w.request[s + c.GIVEN]
    w.result[row + c.R_OUTPUT] = w.request[s + c.OUTPUT]
    w.times[at + c.T_ARRIVED] = w.moment[t + c.ARRIVED]
    w.times[at + c.T_ADMITTED] = w.moment[t + c.ADMITTED]
    w.times[at + c.T_FIRST] = w.moment[t + c.FIRST]
    w.times[at + c.T_ENDED] = now
    w.request[s + c.STATE] = c.FREE
    w.request[s + c.NEXT] = w.tally[c.FREE_ROW]
    w.tally[c.FREE_ROW] = s
    w.tally[c.UNDER_WAY] -= 1
    if w.tally[c.CLOSED]:
        push(w.issue_heap, 0, w.tally[c.ISSUES], now + w.clock[c.THINK])
        w.tally[c.ISSUES] += 1
