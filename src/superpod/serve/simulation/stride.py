# mypy: disable-error-code="no-untyped-def,no-untyped-call,no-any-return"
"""Decode steps in one stride, up to the next event that changes a batch."""

from superpod.serve.simulation import columns as c
from superpod.serve.simulation.admission import admit
from superpod.serve.simulation.lives import FAR, emitted, first_finish, gained
from superpod.serve.step_tables import decode_span, steps_within


def plan_stride(w, tables, i, fits, awaited):
    """Begin as many decode steps as leave the batch as it is: to the next finish, full memory, or an awaited cache."""
    now, slow = w.hour[i + c.CLOCK], w.hour[i + c.SLOW]
    steps = min(fits, first_finish(w, i) - w.instance[i + c.STEP])
    if w.tally[c.ONE_BY_ONE]:
        steps = 1
    if awaited < c.NEVER:
        steps = min(steps, steps_until(w, tables, i, (awaited - now - w.hour[i + c.LATE]) / slow))
    w.instance[i + c.PHASE] = c.DECODES
    w.instance[i + c.PLAN] = steps
    w.hour[i + c.DUE] = now + w.hour[i + c.LATE] + stride(w, tables, i, steps) * slow


def stride(w, tables, i, steps):
    """Return the seconds of decode steps at the prices of the stride under way."""
    return decode_span(tables, w.hour[i + c.SPAN_BATCH], w.hour[i + c.SPAN_CONTEXT], steps, w.hour[i + c.GROWTH])


def steps_until(w, tables, i, seconds):
    """Return the first number of decode steps that last at least so long, one at least."""
    batch, context = w.hour[i + c.SPAN_BATCH], w.hour[i + c.SPAN_CONTEXT]
    steps = max(steps_within(tables, batch, context, seconds, w.hour[i + c.GROWTH]), 1)
    if stride(w, tables, i, steps) < seconds * (1.0 - 1e-12):
        steps += 1
    return steps


def steps_done(w, tables, i, now):
    """Return the decode steps of the stride under way that have ended by `now`."""
    if w.instance[i + c.PHASE] != c.DECODES:
        return 0
    seconds = (now - w.hour[i + c.CLOCK] - w.hour[i + c.LATE]) / w.hour[i + c.SLOW]
    batch, context = w.hour[i + c.SPAN_BATCH], w.hour[i + c.SPAN_CONTEXT]
    return min(steps_within(tables, batch, context, seconds, w.hour[i + c.GROWTH]), w.instance[i + c.PLAN] - 1)


def cut(w, tables, i, now):
    """Let a stride of decode steps end with the step that is under way at `now`."""
    if w.instance[i + c.PHASE] != c.DECODES or w.instance[i + c.PLAN] <= 1:
        return
    slow, begin = w.hour[i + c.SLOW], w.hour[i + c.CLOCK] + w.hour[i + c.LATE]
    steps = steps_until(w, tables, i, (now - begin) / slow)
    if steps < w.instance[i + c.PLAN]:
        w.instance[i + c.PLAN] = steps
        w.hour[i + c.DUE] = begin + stride(w, tables, i, steps) * slow


def answer_call(w, tables, i, now):
    """Look at an instance to which requests have come: its stride ends; caches that are elsewhere are sent for."""
    cut(w, tables, i, now)
    p = w.instance[i + c.POOL]
    if w.pool[p + c.KIND] == c.DECODERS:
        for n in range(w.instance[i + c.GROUPS]):
            g = w.instance[i + c.FIRST_GROUP] + n * c.GROUP_ROW
            if w.group[g + c.WAIT] != c.NONE:
                admit(w, p, g, w.instance[i + c.STEP] + w.instance[i + c.PLAN], now)


def price(w, p, i, k, batch, cached, leader):
    """Set what prices decode steps from step k on; return how many steps it holds.

    A step takes the mean batch of the groups, and the context that brings it to the `cached` tokens of the fullest one,
    whose batch is `leader`: products and collectives are spread over all groups, attention waits for the slowest. It
    holds until another group has more tokens.
    """
    mean = batch / w.instance[i + c.GROUPS]
    w.hour[i + c.SPAN_BATCH] = mean
    w.hour[i + c.SPAN_CONTEXT] = cached / mean if batch > 0 else 0.0
    w.hour[i + c.GROWTH] = emitted(w, p) * leader / mean if batch > 0 else 0.0
    holds = FAR
    if w.instance[i + c.GROUPS] > 1:
        for n in range(w.instance[i + c.GROUPS]):
            g = w.instance[i + c.FIRST_GROUP] + n * c.GROUP_ROW
            faster = w.group[g + c.BATCH] - leader
            if faster > 0:
                behind = cached - w.group[g + c.JOINED] - gained(w, p, g, k)
                holds = min(holds, int(behind / (emitted(w, p) * faster)) + 1)
    return holds
