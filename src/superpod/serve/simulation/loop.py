# mypy: disable-error-code="no-untyped-def,no-untyped-call,no-any-return"
"""From event to event: arrivals, ends of steps, and what happens to instances, in order of time."""

from superpod.serve.simulation import columns as c
from superpod.serve.simulation.lives import emitted, end
from superpod.serve.simulation.order import drop_first
from superpod.serve.simulation.route import choose, place
from superpod.serve.simulation.series import note, observe
from superpod.serve.simulation.steps import commit, plan
from superpod.serve.simulation.stride import answer_call


def next_arrival(w, piece):
    """Return when the next request arrives; NEVER where none is left of the piece."""
    if w.tally[c.NEXT_ROW] == len(piece.arrival_s):
        return c.NEVER
    if not w.tally[c.CLOSED]:
        return piece.arrival_s[w.tally[c.NEXT_ROW]]
    return w.issue_heap[0] if w.tally[c.ISSUES] > 0 else c.NEVER


def next_instance(w):
    """Return (the instance whose steps end first, when)."""
    found, soonest = 0, c.NEVER
    for n in range(w.tally[c.INSTANCES]):
        due = w.hour[n * c.INSTANCE + c.DUE]
        if due < soonest:
            found, soonest = n * c.INSTANCE, due
    return found, soonest


def new_request(w, piece, now):
    """Give the next request of the piece a row."""
    n, s = w.tally[c.NEXT_ROW], w.tally[c.FREE_ROW]
    w.tally[c.NEXT_ROW] += 1
    w.tally[c.FREE_ROW] = w.request[s + c.NEXT]
    for k in range(c.REQUEST):
        w.request[s + k] = 0
    w.request[s + c.NUMBER] = w.tally[c.NEXT_NUMBER]
    w.tally[c.NEXT_NUMBER] += 1
    w.request[s + c.SESSION] = piece.session[n]
    w.request[s + c.GIVEN] = w.request[s + c.PROMPT] = piece.prompt[n]
    w.request[s + c.OUTPUT] = piece.output[n]
    w.request[s + c.READER] = w.request[s + c.READ_AT] = w.request[s + c.GROUP] = c.NONE
    w.request[s + c.BLOCK] = w.tally[c.ARENA] + piece.block_start[n]
    w.request[s + c.BLOCKS] = piece.block_start[n + 1] - piece.block_start[n]
    t = s // c.PLACE
    w.moment[t + c.ARRIVED] = now
    w.moment[t + c.ADMITTED] = w.moment[t + c.FIRST] = -1.0
    w.moment[t + c.READY] = w.moment[t + c.BEGAN] = now
    w.tally[c.UNDER_WAY] += 1
    return s


def fits(w, p, s):
    """Return whether a group of a pool could ever hold a request."""
    tokens = w.request[s + c.GIVEN] + w.pool[p + c.PAGE] - 1 + w.pool[p + c.STATE_TOKENS]
    if w.pool[p + c.KIND] != c.READERS:
        tokens += w.request[s + c.OUTPUT] + int(emitted(w, p) + 1.0)
    return tokens <= w.pool[p + c.CAPACITY]


def arrive(w, piece, now):
    """Route a request, or refuse it: it fits nowhere, or too many wait already."""
    if w.tally[c.CLOSED]:
        drop_first(w.issue_heap, 0, w.tally[c.ISSUES])
        w.tally[c.ISSUES] -= 1
    s = new_request(w, piece, now)
    note(w, c.ARRIVALS, now, 1.0)
    if not fits(w, 0, s) or (w.pool[c.KIND] == c.READERS and not fits(w, c.POOL_ROW, s)):
        end(w, s, c.TOO_LONG, now)
        return
    g = choose(w, 0, s)
    if g == c.NONE:
        end(w, s, c.FAILED, now)
    elif w.group[g + c.QUEUE_LENGTH] >= w.pool[c.QUEUE_MOST]:
        end(w, s, c.REFUSED, now)
    else:
        place(w, g, s, now)


def begin(w, reads, decodes, i, now):
    """Begin the next steps of an instance, at the prices of its pool."""
    if w.instance[i + c.POOL] == 0:
        plan(w, reads, i, now)
    else:
        plan(w, decodes, i, now)


def answer_calls(w, reads, decodes, now):
    """Look at the instances to which requests have come in the middle of their steps."""
    for n in range(w.tally[c.CALLED]):
        i = w.called[n]
        if w.instance[i + c.POOL] == 0:
            answer_call(w, reads, i, now)
        else:
            answer_call(w, decodes, i, now)
    w.tally[c.CALLED] = 0


def run_events(w, reads, decodes, piece, final):
    """Go on until the piece is used up, room is short, or, with the `final` piece, nothing is left; return why.

    At one time instances come last, so that all requests of that time are there when steps begin.
    """
    while True:
        arrival = next_arrival(w, piece)
        if arrival == c.NEVER and not final and w.tally[c.NEXT_ROW] == len(piece.arrival_s):
            return c.WANTS_PIECE
        if w.tally[c.OUT] + len(w.request) // c.REQUEST > len(w.result) // c.RESULT:
            return c.WANTS_SPACE
        i, due = next_instance(w)
        now = min(arrival, due)
        if now == c.NEVER:
            return c.IS_OVER
        if arrival <= due and w.tally[c.FREE_ROW] == c.NONE:
            return c.WANTS_ROOM
        if now > w.clock[c.NOW]:
            observe(w, now)
            w.clock[c.NOW] = now
        w.tally[c.EVENTS] += 1
        if arrival <= due:
            arrive(w, piece, now)
        elif w.instance[i + c.PHASE] != c.IDLE:
            commit(w, i, now)
        else:
            begin(w, reads, decodes, i, now)
        if w.tally[c.CALLED] > 0:
            answer_calls(w, reads, decodes, now)
