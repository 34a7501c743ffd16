# mypy: disable-error-code="no-untyped-def,no-untyped-call,no-any-return"
"""From event to event: arrivals, ends of steps, and what happens to instances, in order of time."""

from superpod.serve.simulation import columns as c
from superpod.serve.simulation.admission import fits
from superpod.serve.simulation.health import happen, look, put_up
from superpod.serve.simulation.lives import end
from superpod.serve.simulation.order import drop_first
from superpod.serve.simulation.route import choose, place
from superpod.serve.simulation.series import note, observe
from superpod.serve.simulation.steps import account, commit, plan
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
    """Begin the next steps of an instance, at the prices of its pool; one that was starting takes requests now."""
    if w.instance[i + c.HEALTH] == c.STARTING:
        put_up(w, i, now)
    account(w, i, now)
    if w.instance[i + c.POOL] == 0:
        plan(w, reads, i, now)
    else:
        plan(w, decodes, i, now)


def control(w, reads, decodes, now):
    """Let what is due happen to instances."""
    if now == w.clock[c.NEXT_LOOK]:
        look(w, reads, decodes, now)
        w.clock[c.NEXT_LOOK] += min(w.scaler[c.EVERY], w.scaler[c.SCALER + c.EVERY])
        return
    row = w.tally[c.NEXT_CONTROL] * c.CONTROL
    w.tally[c.NEXT_CONTROL] += 1
    i, what, value = int(w.control[row + c.WHOM]), int(w.control[row + c.WHAT]), w.control[row + c.HOW_MUCH]
    if w.instance[i + c.POOL] == 0:
        happen(w, reads, i, what, value, now)
    else:
        happen(w, decodes, i, what, value, now)


def next_control(w):
    """Return when something happens to an instance next."""
    row = w.tally[c.NEXT_CONTROL] * c.CONTROL
    at = w.control[row + c.AT] if row < len(w.control) else c.NEVER
    return min(at, w.clock[c.NEXT_LOOK])


def answer_calls(w, reads, decodes, now):
    """Look at the instances to which requests have come in the middle of their steps."""
    for n in range(w.tally[c.CALLED]):
        i = w.called[n]
        if w.instance[i + c.POOL] == 0:
            answer_call(w, reads, i, now)
        else:
            answer_call(w, decodes, i, now)
    w.tally[c.CALLED] = 0


def lacks(w, piece, final, arrival, due):
    """Return why the loop has to stop before the next event, NONE where it need not.

    With nothing under way and nothing to come it is over; what waits where nobody will ever serve it is left.
    """
    if arrival == c.NEVER and not final and w.tally[c.NEXT_ROW] == len(piece.arrival_s):
        return c.WANTS_PIECE
    if w.tally[c.OUT] + len(w.request) // c.REQUEST > len(w.result) // c.RESULT:
        return c.WANTS_SPACE
    befalls = w.tally[c.NEXT_CONTROL] * c.CONTROL < len(w.control)  # it alone could still move who waits
    if arrival == c.NEVER and due == c.NEVER and not (befalls and w.tally[c.UNDER_WAY] > 0):
        return c.IS_OVER
    if arrival <= due and arrival < c.NEVER and w.tally[c.FREE_ROW] == c.NONE:
        return c.WANTS_ROOM
    return c.NONE


def run_events(w, reads, decodes, piece, final):
    """Go on until the piece is used up, room is short, or, with the `final` piece, nothing is left; return why.

    At one time instances come last, so that all requests of that time are there when steps begin.
    """
    while True:
        arrival = next_arrival(w, piece)
        i, due = next_instance(w)
        why = lacks(w, piece, final, arrival, due)
        if why != c.NONE:
            return why
        change = next_control(w)
        now = min(arrival, due, change)
        if now == c.NEVER:
            return c.IS_OVER
        if now > w.clock[c.NOW]:
            observe(w, now)
            w.clock[c.NOW] = now
        w.tally[c.EVENTS] += 1
        if change == now:
            control(w, reads, decodes, now)
        elif arrival == now:
            arrive(w, piece, now)
        elif w.instance[i + c.PHASE] != c.IDLE:
            commit(w, i, now)
        else:
            begin(w, reads, decodes, i, now)
        if w.tally[c.CALLED] > 0:
            answer_calls(w, reads, decodes, now)


def cut_off(w):
    """Write down what is under way as cut off: its end is not known."""
    for s in range(0, len(w.request), c.REQUEST):
        if w.request[s + c.STATE] != c.FREE:
            end(w, s, c.CUT_OFF, w.clock[c.NOW])
