"""The columns in which a simulation lives: rows of numbers, so that the same text runs compiled and uncompiled.

A row is known by the place of its first number, `column[row + NAME]`; lists of numbers serve as well as arrays. A
request is a row of `request` while it is under way, its times a row of `moment` at a quarter of the place.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Whole = npt.NDArray[np.int64]
Reals = npt.NDArray[np.float64]

NONE = -1
NEVER = np.inf

# request: what it is, what is left of it, and where it stands.
REQUEST = 24
NUMBER, SESSION, GIVEN, OUTPUT, PROMPT, MADE, READ, CHUNK = range(8)
"""GIVEN prompt; PROMPT of this life: with what had been MADE before; READ of it; CHUNK being read in this step."""
HIT, GROUP, READER, READER_KEPT, READ_AT, JOIN, LEFT, FINISH = range(8, 16)
"""READER: the group that read the prompt and still holds it; JOIN, FINISH: steps of the instance; LEFT: steps to go."""
NEXT, PREV, BLOCK, BLOCKS, SHARED, KEPT, EVICTED, STATE = range(16, 24)
"""KEPT: tokens of memory held in its group; SHARED: blocks of its prefix that it holds; EVICTED: times preempted."""

# moment: seconds. ADMITTED: to memory, the first time. READY: when what it waits for is there. BEGAN: its last chunk.
MOMENT = 6
ARRIVED, ADMITTED, FIRST, READY, BEGAN = range(5)
PLACE = REQUEST // MOMENT

# What a request is doing.
FREE, WAITING, READING, DECODING = range(4)
# How a request ended.
FINISHED, REFUSED, TOO_LONG, FAILED, CUT_OFF = range(5)

# group: an attention group with its memory. Lists have a first and a last.
GROUP_ROW = 16
OWNER, BATCH, JOINED, STEPS_SUM, HELD, COUNT, LOAD, QUEUE_LENGTH = range(8)
"""BATCH decode, with JOINED tokens when they joined, at steps that sum to STEPS_SUM; COUNT hold memory, HELD tokens."""
WAIT, WAIT_LAST, READS, READS_LAST, RUNS, RUNS_LAST = range(8, 14)

# instance: groups whose steps are one.
INSTANCE = 24
(
    FIRST_GROUP,
    GROUPS,
    STEP,
    PLAN,
    PHASE,
    POOL,
    HEALTH,
    HEAP,
    HEAP_COUNT,
    HEAP_ROOM,
    HOLDS,
    DONE,
    MADE_TOKENS,
    READ_TOKENS,
    LINKS,
    BEFORE,
) = range(16)
"""LINKS: the row whose links it uses, one for all that steps alone in an instance; BEFORE: health when it failed."""
IDLE, DECODES, READS_ONLY, MIXED = range(4)
OFF, STARTING, UP, DRAINING, DOWN = range(5)

# hour: seconds of an instance. SLOW: how much longer its steps take. PIPE and what follows: when a link is free.
HOUR = 24
(
    CLOCK,
    DUE,
    SLOW,
    USED,
    UP_SINCE,
    UP_S,
    BUSY,
    BUSY_READS,
    BUSY_MIXED,
    PIPE,
    PEER_PIPE,
    POOL_PIPE,
    DISK_PIPE,
    MARK,
    SPAN_BATCH,
    SPAN_CONTEXT,
    GROWTH,
    LATE,
    STRAIN,
    SWAP_PIPE,
) = range(20)
"""BUSY, then by phase: decoding, reading, both. MARK: busy seconds at the last look of the autoscaler.
SPAN_BATCH, SPAN_CONTEXT, GROWTH: what prices the steps under way; LATE: seconds before the first of them.
STRAIN: how much longer caches take to it over the fabric."""

# pool: instances of one kind, two rows; the second is that which decodes where prompts are read apart.
POOL_ROW = 16
(
    CAPACITY,
    PAGE,
    SEQUENCES,
    STEP_TOKENS,
    RESERVES,
    ORDER,
    SWAPS,
    QUEUE_MOST,
    ROUTER,
    KIND,
    LANES,
    LANE_COUNT,
    STATE_TOKENS,
) = range(13)
RIDE_ALONG, TAKE_TURNS, PROMPTS_FIRST = range(3)
ROUND_ROBIN, LEAST_LOAD, PREFIX_AWARE, STICKY = range(4)
WHOLE, READERS, DECODERS = range(3)

# link: seconds and bytes of what moves caches.
LINK_ROW = 16
BYTES_PER_TOKEN, STATE_BYTES, TRANSFER_RATE, TRANSFER_LATENCY, OVERLAPS, SWAP_RATE, SWAP_LATENCY = range(7)
PEER_RATE, PEER_LATENCY = range(7, 9)
"""And the same of host memory and of disks after them."""

# shelf: a prefix cache, that of a group of the first pool, or a tier behind them. LOOSE: entries that no request holds,
# from the OLDEST to the NEWEST; SPARE: the first that is free. DIRECTORY: which shelf had a block last.
SHELF = 10
FIRST_ENTRY, ROOM_FOR, FIRST_BUCKET, MASK, NEWEST, OLDEST, SPARE, LOOSE = range(8)
DIRECTORY, HOST, DISK = range(3)
# entry: a block on a shelf; CHAIN leads through its bucket.
ENTRY = 6
KEY, CHAIN, OLDER, NEWER, HOLDERS, WHERE = range(6)

# control: what happens to instances, four numbers each, in order of time.
CONTROL = 4
AT, WHAT, WHOM, HOW_MUCH = range(4)
FAILS, RECOVERS, SLOWS, STRAINS = range(4)

# scaler: of each pool. EVERY: seconds between looks, NEVER without a scaler; FEWEST and MOST instances.
SCALER = 8
EVERY, DELAY, FEWEST, MOST, TARGET, MEASURE = range(6)
BY_BUSY, BY_MEMORY, BY_QUEUE = range(3)

# tally: counters.
TALLY = 24
FREE_ROW, OUT, NEXT_ROW, NEXT_NUMBER, TURN, QUEUED, UNDER_WAY, NEXT_CONTROL = range(8)
ISSUES, TO_ISSUE, ARENA, EVENTS, ROWS_LEFT, CLOSED, TURN_DECODE, ONE_BY_ONE = range(8, 16)
INSTANCES, CALLED, BLOCK_TOKENS, TIERS, SEED, LOGGED = range(16, 22)
"""BLOCK_TOKENS: of prefix blocks, 0 where none are kept; TIERS: the first shelf that is no group's."""

# clock: seconds.
CLOCKS = 10
NOW, BIN_S, THINK, LAST, EMITTED, _, NEXT_LOOK, LOG_FROM, LOG_TO, PATIENCE = range(10)
"""EMITTED: tokens of a decode step, of the first pool and of the second. PATIENCE: after so long a wait who was never
admitted is refused."""

# series: a row of bins each.
BINS = 512
IN_QUEUE, IN_FLIGHT, MEMORY, DECODES_BUSY, READS_BUSY, MIXED_BUSY, ARRIVALS, FINISHES = range(8)
OUT_TOKENS, IN_TOKENS, TRANSFER_BYTES, SWAP_BYTES, PEER_BYTES, HOST_BYTES, DISK_BYTES, UP_COUNT = range(8, 16)
SERIES = 16

# log: spans that touch the window from LOG_FROM to LOG_TO. WHAT_DONE: a phase of an instance, or CARRIES, a cache that
# comes to it. SPAN_STEPS of how many sequences (AMOUNT), or bytes.
LOG = 6
DOER, WHAT_DONE, SPAN_BEGIN, SPAN_END, SPAN_STEPS, AMOUNT = range(6)
CARRIES = 4

# result: rows of what has ended.
RESULT = 8
R_NUMBER, R_STATUS, R_READER, R_DECODER, R_HIT, R_EVICTED, R_PROMPT, R_OUTPUT = range(8)
TIMES = 4
T_ARRIVED, T_ADMITTED, T_FIRST, T_ENDED = range(4)

# Why the loop came back.
WANTS_PIECE, WANTS_ROOM, WANTS_SPACE, IS_OVER = range(4)


class World(NamedTuple):
    """Everything that a simulation knows, as columns; see the names above."""

    request: Whole
    moment: Reals
    group: Whole
    instance: Whole
    hour: Reals
    pool: Whole
    link: Reals
    finish_heap: Whole
    issue_heap: Reals
    lanes: Whole
    arena: Whole
    called: Whole
    control: Reals
    scaler: Reals
    shelf: Whole
    entry: Whole
    bucket: Whole
    tally: Whole
    clock: Reals
    series: Reals
    log: Reals
    result: Whole
    times: Reals


class Piece(NamedTuple):
    """Requests that arrive next."""

    arrival_s: Reals
    prompt: Whole
    output: Whole
    session: Whole
    block_start: Whole
