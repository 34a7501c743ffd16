# mypy: disable-error-code="no-untyped-def,no-untyped-call,no-any-return"
"""The steps of an instance: who is admitted, what a step does, how many go in one stride, and what they leave."""

import math

from superpod.serve.simulation import columns as c
from superpod.serve.simulation.admission import admit, cache_bytes, loses_patience, swap_time
from superpod.serve.simulation.lives import (
    FAR,
    complete,
    emitted,
    enqueue_ahead,
    finish_those,
    forget,
    gained,
    in_use,
    join,
    leave,
    release,
    steps_left,
    unload,
)
from superpod.serve.simulation.order import remove
from superpod.serve.simulation.prefix import keep_prefix, trim
from superpod.serve.simulation.route import hand_over, restart
from superpod.serve.simulation.series import note, record, spread
from superpod.serve.simulation.stride import plan_stride, price
from superpod.serve.step_tables import mixed_step, prompt_pass, read_chunk


def evict(w, p, g, k, now):
    """Take memory from the request that was admitted last, which has to wait at the head of the queue.

    That is one that does not decode yet, where there is any. The cache of one that decodes is written to host memory,
    or read anew with what it had made. Returns the seconds that takes.
    """
    s, spent = w.group[g + c.READS_LAST], 0.0
    if s != c.NONE:
        give_back(w, g, s)
        return spent
    s = w.group[g + c.RUNS_LAST]
    leave(w, g, s)
    release(w, g, s)
    steps = k - w.request[s + c.JOIN]
    w.request[s + c.EVICTED] += 1
    if w.pool[p + c.SWAPS]:
        made = math.ceil(emitted(w, p) * steps - 1e-9)
        made = min(made, w.request[s + c.OUTPUT] - w.request[s + c.MADE] - 1)
        w.request[s + c.MADE] += made
        w.request[s + c.PROMPT] += made
        w.request[s + c.READ] = w.request[s + c.PROMPT]
        w.request[s + c.LEFT] -= steps
        spent = swap_time(w, s)
        note(w, c.SWAP_BYTES, now, cache_bytes(w, w.request[s + c.PROMPT]))
    else:
        forget(w, p, s, steps)
        if w.pool[p + c.KIND] == c.DECODERS:
            unload(w, g, s)
            restart(w, s, now)
            return spent
    enqueue_ahead(w, g, s)
    return spent


def give_back(w, g, s):
    """Take memory from a request that does not decode yet: what is elsewhere comes again, what was read is lost."""
    remove(w.request, w.group, g + c.READS, s)
    release(w, g, s)
    w.request[s + c.EVICTED] += 1
    if w.request[s + c.READ] < w.request[s + c.PROMPT]:
        w.request[s + c.READ] = 0
    enqueue_ahead(w, g, s)


def chunks(w, tables, p, g, k, now):
    """Share out the step's tokens among a group's prompts, and let caches that have come decode.

    Returns (tokens, prompts, sum and maximum of `read_chunk`, when the next awaited cache is there).
    """
    i = w.group[g + c.OWNER]
    budget = w.pool[p + c.STEP_TOKENS]
    if w.pool[p + c.ORDER] == c.RIDE_ALONG:
        budget -= math.ceil(w.group[g + c.BATCH] * tables.query_count)
    tokens, prompts, read, first, awaited = 0, 0, 0.0, 0.0, c.NEVER
    s = w.group[g + c.READS]
    while s != c.NONE:
        after = w.request[s + c.NEXT]
        ready, left = w.moment[s // c.PLACE + c.READY], w.request[s + c.PROMPT] - w.request[s + c.READ]
        if ready > now:
            awaited = min(awaited, ready)
        elif left == 0:
            if in_use(w, p, g, k + 1) + math.ceil(emitted(w, p)) <= w.pool[p + c.CAPACITY]:
                join(w, i, g, s, k)
        elif budget > 0:
            part = min(left, budget)
            budget -= part
            w.request[s + c.CHUNK] = part
            w.moment[s // c.PLACE + c.BEGAN] = now
            beside, alone = read_chunk(tables, float(part), float(w.request[s + c.READ]))
            tokens, prompts, read, first = tokens + part, prompts + 1, read + beside, max(first, alone)
            if budget == 0:
                break
        s = after
    return tokens, prompts, read, first, awaited


def plan(w, tables, i, now):
    """Begin the next step of an instance, or a stride of decode steps up to the next that changes a batch."""
    p, k = w.instance[i + c.POOL], w.instance[i + c.STEP]
    batch, cached, leader, fits, memory, spent, awaited = 0, 0.0, 0, FAR, 0, 0.0, c.NEVER
    most, total, prompts, read, first = 0, 0, 0, 0.0, 0.0
    for n in range(w.instance[i + c.GROUPS]):
        g = w.instance[i + c.FIRST_GROUP] + n * c.GROUP_ROW
        if in_use(w, p, g, k + 1) > w.pool[p + c.CAPACITY]:
            spent += make_room(w, p, g, k, now)
            fits = 1  # whoever waits may have room after this step
        if w.group[g + c.WAIT] != c.NONE:
            admit(w, p, g, k, now)
            awaited = min(awaited, loses_patience(w, g, now))
        if w.group[g + c.READS] != c.NONE:
            tokens, count, beside, alone, ready = chunks(w, tables, p, g, k, now)
            most, prompts, total = max(most, tokens), max(prompts, count), total + tokens
            read, first, awaited = max(read, beside), max(first, alone), min(awaited, ready)
        if w.group[g + c.BATCH] > 0:
            here, tokens = w.group[g + c.BATCH], w.group[g + c.JOINED] + gained(w, p, g, k)
            batch += here
            if tokens > cached or (tokens == cached and here > leader):
                cached, leader = tokens, here
            fits = min(fits, steps_that_fit(w, p, g, k))
        memory += in_use(w, p, g, k)
        trim_to(w, p, g, k + 1)
    w.hour[i + c.CLOCK], w.hour[i + c.USED], w.hour[i + c.LATE] = now, float(memory), spent
    fits = min(fits, price(w, p, i, k, batch, cached, leader))
    if total > 0:
        plan_mixed(w, tables, i, most, total / w.instance[i + c.GROUPS], prompts, read, first)
    elif batch > 0:
        plan_stride(w, tables, i, fits, awaited)
    else:
        w.hour[i + c.DUE] = awaited


def trim_to(w, p, g, k):
    """Drop cached blocks that have no room beside what is in use at step k."""
    if p == 0 and w.tally[c.BLOCK_TOKENS] > 0:
        trim(w, g, w.pool[p + c.CAPACITY] - in_use(w, p, g, k))


def steps_that_fit(w, p, g, k):
    """Return how many decode steps a group has memory for."""
    if w.pool[p + c.RESERVES]:
        return FAR
    room = w.pool[p + c.CAPACITY] - in_use(w, p, g, k)
    return max(int(room / (emitted(w, p) * w.group[g + c.BATCH])), 1)


def make_room(w, p, g, k, now):
    """Preempt requests until the next decode step fits; return the seconds that takes."""
    spent = 0.0
    while in_use(w, p, g, k + 1) > w.pool[p + c.CAPACITY]:
        spent += evict(w, p, g, k, now)
    return spent


def plan_mixed(w, tables, i, tokens, mean, prompts, read, first):
    """Begin a step that reads prompts; where prompts come first, nobody decodes in it."""
    batch, context = w.hour[i + c.SPAN_BATCH], w.hour[i + c.SPAN_CONTEXT]
    alone = batch == 0.0 or w.pool[w.instance[i + c.POOL] + c.ORDER] == c.PROMPTS_FIRST
    if alone:
        seconds = prompt_pass(tables, float(tokens), mean, float(prompts), read, first)
    else:
        seconds = mixed_step(tables, batch, context, float(tokens), mean, float(prompts), read, first)
    w.instance[i + c.PHASE] = c.READS_ONLY if alone else c.MIXED
    w.instance[i + c.PLAN] = 0 if alone else 1
    w.hour[i + c.DUE] = w.hour[i + c.CLOCK] + w.hour[i + c.LATE] + seconds * w.hour[i + c.SLOW]


def commit(w, i, now):
    """Let the steps under way end: prompts are read further, tokens made, requests finished."""
    phase, p = w.instance[i + c.PHASE], w.instance[i + c.POOL]
    account(w, i, now)
    w.instance[i + c.PHASE] = c.IDLE
    w.instance[i + c.STEP] += w.instance[i + c.PLAN]
    w.instance[i + c.PLAN] = 0
    w.hour[i + c.DUE] = now
    for n in range(w.instance[i + c.GROUPS] if p == 0 else 0):
        g = w.instance[i + c.FIRST_GROUP] + n * c.GROUP_ROW
        trim_to(w, p, g, w.instance[i + c.STEP])
        if phase != c.DECODES and w.group[g + c.READS] != c.NONE:
            read_on(w, i, p, g, now)
    finish_those(w, i, now)


def account(w, i, now):
    """Count the seconds of the steps that end, by phase, and the memory in use meanwhile, idle or not."""
    phase, begin = w.instance[i + c.PHASE], w.hour[i + c.CLOCK]
    seconds = now - begin
    if phase != c.IDLE:
        w.hour[i + c.BUSY + phase - 1] += seconds
        spread(w, c.DECODES_BUSY + phase - 1, begin, now, seconds)
        held = w.hour[i + c.SPAN_BATCH] * w.instance[i + c.GROUPS] if phase != c.READS_ONLY else 0.0
        record(w, i, phase, begin, now, max(w.instance[i + c.PLAN], 1), held)
    spread(w, c.MEMORY, begin, now, w.hour[i + c.USED] * seconds)
    w.hour[i + c.CLOCK] = now


def read_on(w, i, p, g, now):
    """Advance a group's prompts by their chunks; one that is read gives a token and decodes or is handed over."""
    s = w.group[g + c.READS]
    while s != c.NONE:
        after, part = w.request[s + c.NEXT], w.request[s + c.CHUNK]
        if part > 0:
            w.request[s + c.CHUNK] = 0
            w.request[s + c.READ] += part
            w.instance[i + c.READ_TOKENS] += part
            note(w, c.IN_TOKENS, now, float(part))
            if w.request[s + c.READ] == w.request[s + c.PROMPT]:
                is_read(w, i, p, g, s, now)
        s = after


def is_read(w, i, p, g, s, now):
    """Go on with a request whose prompt has been read."""
    t = s // c.PLACE
    w.request[s + c.READ_AT] = g
    w.request[s + c.LEFT] = steps_left(w, p, s)
    if w.tally[c.BLOCK_TOKENS] > 0:
        keep_prefix(w, g, s, w.pool[p + c.CAPACITY] - in_use(w, p, g, w.instance[i + c.STEP]))
    apart = w.pool[p + c.KIND] == c.READERS
    if w.moment[t + c.FIRST] < 0.0 and not (apart and w.request[s + c.LEFT] > 0):
        w.moment[t + c.FIRST] = now
    if w.request[s + c.LEFT] == 0:
        remove(w.request, w.group, g + c.READS, s)
        complete(w, g, s, now)
    elif apart:
        remove(w.request, w.group, g + c.READS, s)
        w.request[s + c.LEFT] = steps_left(w, c.POOL_ROW, s)
        hand_over(w, g, s, now)
    else:
        join(w, i, g, s, w.instance[i + c.STEP])
