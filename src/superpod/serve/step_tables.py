"""The time of a step read off tables: a few loads and products, whatever the model and the machine.

Every function takes numbers and gives numbers, in the subset of Python that numba compiles: the same text runs either
way, with the same results. Tables are linear between knots (exact on them), go on straight beyond the last, and do not
fall where work grows.
"""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Column = npt.NDArray[np.float64]

PER_OCTAVE = 4  # knots from a size to its double


class Tables(NamedTuple):
    """Seconds by size; every size has knots `low`, then `first * 2^(k / PER_OCTAVE)`. Tables of two lie row by row.

    By (`batch_count`, `context_tokens`) of one attention group: `decode_s` a step that only decodes, drafts and host
    included; `attend_s` its kernels over the context alone, `halves_attend_s` the same run for two halves of the batch;
    `draft_s` proposing the drafts.

    By `pass_tokens` of a group in a pass that reads prompts: `own_s` all that follows the tokens of the fullest group,
    whatever they look at, `routed_s` the routed experts, which follow the mean of all groups. Of layers with experts
    `expert_own_s` is the part of `own_s`; run as two halves that overlap they are `halves_kernel_s` and
    `halves_wait_s`, and `halves_routed_s`. By `rows_count`: `projection_s` of the vocabulary.

    By (`chunk_tokens`, `behind_tokens`): the kernels over the context of a chunk of a prompt behind what has been read
    or was cached, `read_s` one among many, `first_s` a first wave of tiles; chunks of one pass take `read_launch_s` +
    ((sum of read)^p + (longest first)^p)^(1/p), p = `read_power`.

    `launch_s`: launching the kernels of a pass; `gap_s` and `sequence_s`: see `serve.host`. `expert_frac`: layers with
    experts among all. `overlap_tax_frac`: that of the links. `query_count`: tokens a sequence checks a step.
    `emitted_tokens`: those that it gains. `mixed`: prompts ride along in decode steps, else they take turns.
    """

    batch_count: Column
    context_tokens: Column
    decode_s: Column
    attend_s: Column
    halves_attend_s: Column
    draft_s: Column
    pass_tokens: Column
    own_s: Column
    routed_s: Column
    expert_own_s: Column
    halves_kernel_s: Column
    halves_routed_s: Column
    halves_wait_s: Column
    rows_count: Column
    projection_s: Column
    chunk_tokens: Column
    behind_tokens: Column
    read_s: Column
    first_s: Column
    read_launch_s: float
    read_power: float
    launch_s: float
    gap_s: float
    sequence_s: float
    expert_frac: float
    overlap_tax_frac: float
    query_count: float
    emitted_tokens: float
    mixed: bool


def segment(knots: Column, size: float) -> int:
    """Return the number of the segment that a size lies in: that of its lower knot; the last one goes on for ever."""
    if size < knots[1]:
        return 0
    last = len(knots) - 2
    found = min(1 + int(PER_OCTAVE * math.log2(size / knots[1])), last)
    if size < knots[found]:  # the logarithm may be off by a rounding
        return found - 1
    if found < last and size >= knots[found + 1]:
        return found + 1
    return found


def along(knots: Column, size: float, low: int) -> float:
    """Return where in its segment a size lies, from 0 to 1; beyond the last knot more, before the first 0."""
    return max(float((size - knots[low]) / (knots[low + 1] - knots[low])), 0.0)


def line(values: Column, low: int, part: float) -> float:
    """Return a column between two knots: v0 (1 - u) + v1 u."""
    return float(values[low] * (1.0 - part) + values[low + 1] * part)


def plane(values: Column, width: int, row: int, down: float, column: int, across: float) -> float:
    """Return a table of rows of `width` between four knots, linear along either axis."""
    upper, lower = row * width + column, (row + 1) * width + column
    above = values[upper] * (1.0 - across) + values[upper + 1] * across
    below = values[lower] * (1.0 - across) + values[lower + 1] * across
    return float(above * (1.0 - down) + below * down)


def decode_step(tables: Tables, batch: float, context: float) -> float:
    """Return the seconds of a step that decodes `batch` sequences a group at a mean context, host and drafts with it.

    0 where there is none.
    """
    if batch <= 0.0:
        return 0.0
    row = segment(tables.batch_count, batch)
    column = segment(tables.context_tokens, context)
    down, across = along(tables.batch_count, batch, row), along(tables.context_tokens, context, column)
    return plane(tables.decode_s, len(tables.context_tokens), row, down, column, across)


def _series(tables: Tables, row: int, down: float, here: float, column: int, growth: float) -> tuple[float, float, int]:
    """Return (time of a step here, what each further one takes more, steps until the context leaves the segment)."""
    knots = tables.context_tokens
    start = plane(tables.decode_s, len(tables.context_tokens), row, down, column, 0.0)
    rise = (plane(tables.decode_s, len(tables.context_tokens), row, down, column, 1.0) - start) / (
        knots[column + 1] - knots[column]
    )
    if here < knots[0]:  # flat before the first knot
        return start, 0.0, max(math.ceil((knots[0] - here) / growth), 1)
    count = max(math.ceil((knots[column + 1] - here) / growth), 1)
    return start + rise * (here - knots[column]), rise * growth, count


def _fitting(first: float, more: float, seconds: float) -> int:
    """Return the most n with n first + more n (n - 1) / 2 <= seconds."""
    if seconds < first:
        return 0
    half = first - 0.5 * more
    count = int(2.0 * seconds / (half + math.sqrt(half * half + 2.0 * more * seconds)))
    while count > 0 and count * first + more * (0.5 * count * (count - 1)) > seconds:
        count -= 1
    while (count + 1) * first + more * (0.5 * (count + 1) * count) <= seconds:
        count += 1
    return count


def decode_span(tables: Tables, batch: float, context: float, steps: int, growth: float = 0.0) -> float:
    """Return the seconds of `steps` decode steps in a row, the context growing by `growth` (0: `emitted_tokens`) each.

    Within a segment the step times are an arithmetic series: n t + d n (n - 1) / 2.
    """
    if batch <= 0.0:
        return 0.0
    row = segment(tables.batch_count, batch)
    down = along(tables.batch_count, batch, row)
    last = len(tables.context_tokens) - 2
    grows = growth if growth > 0.0 else tables.emitted_tokens
    spent, done, here = 0.0, 0, context
    while done < steps:
        column = segment(tables.context_tokens, here)
        first, more, count = _series(tables, row, down, here, column, grows)
        if column == last or count > steps - done:
            count = steps - done
        spent += count * first + more * (0.5 * count * (count - 1))
        done += count
        here = context + done * grows
    return spent


def steps_within(tables: Tables, batch: float, context: float, seconds: float, growth: float = 0.0) -> int:
    """Return how many decode steps in a row end within `seconds`: the most with decode_span(steps) <= seconds.

    A span that misses by a rounding (1e-12 of the time) counts as ended.
    """
    if batch <= 0.0 or seconds <= 0.0:
        return 0
    row = segment(tables.batch_count, batch)
    down = along(tables.batch_count, batch, row)
    last = len(tables.context_tokens) - 2
    grows = growth if growth > 0.0 else tables.emitted_tokens
    left, done, here = seconds * (1.0 + 1e-12), 0, context
    while True:
        column = segment(tables.context_tokens, here)
        first, more, count = _series(tables, row, down, here, column, grows)
        whole = count * first + more * (0.5 * count * (count - 1))
        if column == last or whole > left:
            return done + _fitting(first, more, left)
        left -= whole
        done += count
        here = context + done * grows


def read_chunk(tables: Tables, chunk: float, behind: float) -> tuple[float, float]:
    """Return the seconds that `chunk` tokens of a prompt look at it: (among many, a first wave of tiles).

    `behind` tokens of the prompt were read before or were cached. `reading` takes the sum of the former over the chunks
    of a pass, and the largest of the latter.
    """
    if chunk <= 0.0:
        return 0.0, 0.0
    row = segment(tables.chunk_tokens, chunk)
    column = segment(tables.behind_tokens, behind)
    down, across = along(tables.chunk_tokens, chunk, row), along(tables.behind_tokens, behind, column)
    return plane(tables.read_s, len(tables.behind_tokens), row, down, column, across), plane(
        tables.first_s, len(tables.behind_tokens), row, down, column, across
    )


def reading(tables: Tables, read: float, first: float, parts: float) -> float:
    """Return the seconds of a pass's kernels over the context of its prompts, run in so many equal `parts`."""
    if read <= 0.0:
        return 0.0
    power = tables.read_power
    joined: float = ((read / parts) ** power + first**power) ** (1.0 / power)
    return parts * (tables.read_launch_s + joined)


def _together(
    tables: Tables, tokens: float, mean_tokens: float, sequences: float, rows: float, core: float, halves_core: float
) -> float:
    """Return one pass with `core` seconds over the context: in one go, or its experts' layers in two halves.

    The faster of the two, max(t, launches) for a host that launches kernels one by one, and its gap.
    """
    own, mean = segment(tables.pass_tokens, tokens), segment(tables.pass_tokens, mean_tokens)
    part, mean_part = along(tables.pass_tokens, tokens, own), along(tables.pass_tokens, mean_tokens, mean)
    routed = line(tables.routed_s, mean, mean_part)
    spent = core + line(tables.own_s, own, part) + routed
    if tables.expert_frac > 0.0 and tokens >= 2.0:
        plain = tables.expert_frac * core + line(tables.expert_own_s, own, part) + routed
        kernels = tables.expert_frac * halves_core + line(tables.halves_kernel_s, own, part)
        kernels += line(tables.halves_routed_s, mean, mean_part)
        waits = line(tables.halves_wait_s, own, part)
        overlapped = max(kernels, waits) + tables.overlap_tax_frac * min(kernels, waits)
        spent -= max(plain - overlapped, 0.0)
    row = segment(tables.rows_count, rows)
    spent += line(tables.projection_s, row, along(tables.rows_count, rows, row))
    return max(spent, tables.launch_s) + tables.gap_s + sequences * tables.sequence_s


def prompt_pass(tables: Tables, tokens: float, mean_tokens: float, prompts: float, read: float, first: float) -> float:
    """Return the seconds of a pass over prompts alone, the host's with it; 0 without tokens.

    `tokens` are those of the fullest group and `mean_tokens` the mean of all groups; `prompts` how many chunks the
    group reads; `read` and `first` the sum and the maximum over them of `read_chunk`.
    """
    if tokens <= 0.0:
        return 0.0
    return _together(
        tables,
        tokens,
        mean_tokens,
        prompts,
        prompts,
        reading(tables, read, first, 1.0),
        reading(tables, read, first, 2.0),
    )


def mixed_step(
    tables: Tables,
    batch: float,
    context: float,
    tokens: float,
    mean_tokens: float,
    prompts: float,
    read: float,
    first: float,
) -> float:
    """Return the seconds of a step that decodes `batch` sequences a group and reads prompts, as `prompt_pass`.

    Riding along, one pass does both and drafts follow, and it is never shorter than the decode step alone; taking
    turns, a pass over prompts stands before the decode step. `mean_tokens` are prompt tokens; the decoding ones are
    taken to be alike in all groups.
    """
    plain = decode_step(tables, batch, context)
    if not tables.mixed or batch <= 0.0 or tokens <= 0.0:
        return plain + prompt_pass(tables, tokens, mean_tokens, prompts, read, first)
    row = segment(tables.batch_count, batch)
    column = segment(tables.context_tokens, context)
    down, across = along(tables.batch_count, batch, row), along(tables.context_tokens, context, column)
    queries = batch * tables.query_count
    spent = _together(
        tables,
        tokens + queries,
        mean_tokens + queries,
        batch + prompts,
        queries + prompts,
        reading(tables, read, first, 1.0)
        + plane(tables.attend_s, len(tables.context_tokens), row, down, column, across),
        reading(tables, read, first, 2.0)
        + plane(tables.halves_attend_s, len(tables.context_tokens), row, down, column, across),
    )
    return max(spent + plane(tables.draft_s, len(tables.context_tokens), row, down, column, across), plain)


def listed(tables: Tables) -> Tables:
    """Return the tables with lists for columns, which code that is not compiled reads faster; the same numbers."""
    return Tables(*(part.tolist() if isinstance(part, np.ndarray) else part for part in tables))  # type: ignore[arg-type]


FUNCTIONS = (
    segment,
    along,
    line,
    plane,
    decode_step,
    _series,
    _fitting,
    decode_span,
    steps_within,
    read_chunk,
    reading,
    _together,
    prompt_pass,
    mixed_step,
)
"""Those that compile, each after what it calls."""
