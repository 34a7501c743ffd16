# mypy: disable-error-code="no-untyped-def,no-untyped-call"
"""Heaps and linked lists in columns."""

from superpod.serve.simulation.columns import NEXT, NONE, PREV


def push(heap, base, count, key):
    """Put `key` into the heap of `count` keys at `base`."""
    place = count
    while place > 0:
        above = (place - 1) // 2
        if heap[base + above] <= key:
            break
        heap[base + place] = heap[base + above]
        place = above
    heap[base + place] = key


def drop_first(heap, base, count):
    """Take the least of the `count` keys out of the heap."""
    key, size, place = heap[base + count - 1], count - 1, 0
    while True:
        below = 2 * place + 1
        if below >= size:
            break
        if below + 1 < size and heap[base + below + 1] < heap[base + below]:
            below += 1
        if heap[base + below] >= key:
            break
        heap[base + place] = heap[base + below]
        place = below
    heap[base + place] = key


def append(request, group, first, s):
    """Put request `s` at the end of the list whose first is at `group[first]`, its last after it."""
    last = group[first + 1]
    request[s + NEXT] = NONE
    request[s + PREV] = last
    if last == NONE:
        group[first] = s
    else:
        request[last + NEXT] = s
    group[first + 1] = s


def prepend(request, group, first, s):
    """Put request `s` at the head of a list."""
    head = group[first]
    request[s + NEXT] = head
    request[s + PREV] = NONE
    if head == NONE:
        group[first + 1] = s
    else:
        request[head + PREV] = s
    group[first] = s


def remove(request, group, first, s):
    """Take request `s` out of the list that it is in."""
    after, before = request[s + NEXT], request[s + PREV]
    if before == NONE:
        group[first] = after
    else:
        request[before + NEXT] = after
    if after == NONE:
        group[first + 1] = before
    else:
        request[after + PREV] = before
