# mypy: disable-error-code="no-untyped-def,no-untyped-call"
"""What happened over time, in a fixed number of bins that grow wider as time goes on."""

from superpod.serve.simulation.columns import (
    AMOUNT,
    BIN_S,
    BINS,
    DOER,
    IN_FLIGHT,
    IN_QUEUE,
    LAST,
    LOG,
    LOG_FROM,
    LOG_TO,
    LOGGED,
    QUEUED,
    SERIES,
    SPAN_BEGIN,
    SPAN_END,
    SPAN_STEPS,
    UNDER_WAY,
    WHAT_DONE,
)


def widen(w):
    """Join each two bins into one of twice the width."""
    half = BINS // 2
    for row in range(SERIES):
        base = row * BINS
        for b in range(half):
            w.series[base + b] = w.series[base + 2 * b] + w.series[base + 2 * b + 1]
        for b in range(half, BINS):
            w.series[base + b] = 0.0
    w.clock[BIN_S] *= 2.0


def bin_of(w, now):
    """Return the bin of a time; bins become wider until there is one."""
    while now >= w.clock[BIN_S] * BINS:
        widen(w)
    return int(now / w.clock[BIN_S])


def note(w, row, now, amount):
    """Add an amount at a time."""
    w.series[row * BINS + bin_of(w, now)] += amount


def spread(w, row, begin, end, amount):
    """Add an amount, evenly from `begin` to `end`."""
    if end <= begin or amount == 0.0:
        return
    last = bin_of(w, end)
    width = w.clock[BIN_S]
    first = int(begin / width)
    base = row * BINS
    if first == last:
        w.series[base + first] += amount
        return
    rate = amount / (end - begin)
    w.series[base + first] += rate * ((first + 1) * width - begin)
    for b in range(first + 1, last):
        w.series[base + b] += rate * width
    w.series[base + last] += rate * (end - last * width)


def observe(w, now):
    """Count what waits and what is under way up to now."""
    last = w.clock[LAST]
    if now > last:
        spread(w, IN_QUEUE, last, now, w.tally[QUEUED] * (now - last))
        spread(w, IN_FLIGHT, last, now, w.tally[UNDER_WAY] * (now - last))
        w.clock[LAST] = now


def record(w, i, what, begin, end, steps, amount):
    """Write down what an instance does, where it touches the window that is looked at and there is room."""
    row = w.tally[LOGGED] * LOG
    if begin < w.clock[LOG_TO] and end > w.clock[LOG_FROM] and row < len(w.log):
        w.tally[LOGGED] += 1
        w.log[row + DOER] = float(i)
        w.log[row + WHAT_DONE] = float(what)
        w.log[row + SPAN_BEGIN] = begin
        w.log[row + SPAN_END] = end
        w.log[row + SPAN_STEPS] = float(steps)
        w.log[row + AMOUNT] = amount
