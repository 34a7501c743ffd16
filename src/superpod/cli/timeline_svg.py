"""A step's timeline as a picture: a row for each stage, time from left to right, without a script."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from superpod.cli.charts import WIDTH, drawing, rectangle, words
from superpod.cli.wording import count, duration
from superpod.train.schedules.schedule import BACKWARD, FORWARD, FULL, WEIGHT
from superpod.train.timeline import COMPUTE, DATA, HOST, OPTIMIZER, Spans, StepTimeline
from superpod.units import percent

ROWS = 24
LEFT, RIGHT = 74, 14
ROOM = WIDTH - LEFT - RIGHT
BREAK = 44  # width of what stands for the time that is left out
GRAIN = 0.5  # what is shorter than this on paper shows as what fills most of it
BLOCK_WIDTH = 10.0  # of a median block, where leaving out the steady middle gets there
PARTED_WIDTH = 4.0  # blocks from this width on are parted by a line
LETTER_WIDTH = 5.5  # of a number in a block
STEADY_COUNT = 3  # micro-batches of the steady middle that show on either side of what is left out
LEGEND_LINE = 22
TOLD_FRAC = 0.002  # of a step: about the least that can be seen
# Name in the legend, CSS class; the order is that of `_looks`.
LOOKS = (
    ("forward (F)", "h0"),
    ("backward (BW)", "h1"),
    ("backward, inputs (B)", "h5"),
    ("backward, weights (W)", "h2"),
    ("exposed communication", "h4"),
    ("optimizer", "h3"),
    ("waiting for the host", "rest"),
)
COMMUNICATION = 4
BLOCKS = {FORWARD: 0, FULL: 1, BACKWARD: 2, WEIGHT: 3}
PALE = len(LOOKS)  # what odd chunks add

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """Windows of time side by side, at one scale; what lies between two of them is left out."""

    windows: tuple[tuple[float, float], ...]

    @property
    def scale(self) -> float:
        """Width of a second."""
        shown = sum(end - start for start, end in self.windows)
        return (ROOM - BREAK * (len(self.windows) - 1)) / (shown or 1.0)

    def lefts(self) -> Iterator[tuple[float, float, float]]:
        """Yield each window with where it starts on paper."""
        left = float(LEFT)
        for start, end in self.windows:
            yield start, end, left
            left += (end - start) * self.scale + BREAK


def timeline_svg(timeline: StepTimeline) -> str:
    """Return the picture of a step as one SVG element: what each stage does, by what it does most at each place.

    At most `ROWS` stages, evenly chosen; of a long step the steady middle is left out.
    """
    axis, repeated = _axis(timeline)
    stages = np.unique(np.linspace(0, timeline.stages_count - 1, min(ROWS, timeline.stages_count)).round().astype(int))
    lines = [_line(timeline, stage, 1.0 / axis.scale) for stage in stages.tolist()]
    height = 26 if len(lines) <= 8 else 20 if len(lines) <= 16 else 16
    used = sorted({int(look) % PALE for line in lines for look in np.unique(line.looks[line.seen])})
    legend, top = _legend(used, pale=timeline.chunks_count > 1)
    top += LEGEND_LINE if repeated else 8.0
    bottom = top + len(lines) * (height + 3)
    parts = [*legend, *_ticks(axis, top, bottom)]
    drawn = [_row(line, axis, top + place * (height + 3), height) for place, line in enumerate(lines)]
    parts += drawn
    parts += _breaks(axis, repeated, top, bottom)
    numbered = any('class="inside' in row for row in drawn)
    notes = _notes(timeline, len(lines), numbered=numbered, waits=COMMUNICATION in used)
    parts += [words(LEFT, bottom + 40 + 18 * place, note, "soft") for place, note in enumerate(notes)]
    title = f"One step of {duration(timeline.step_s)}, schedule {timeline.schedule}"
    said = "; ".join(f"{line.name}: {line.said}" for line in lines)
    return drawing(bottom + 30 + 18 * len(notes), title, said, parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """What a stage spends its time on, in order of time, how each looks, and whether it is wide enough to be seen."""

    name: str
    said: str
    spans: Spans
    looks: npt.NDArray[np.int64]
    seen: npt.NDArray[np.bool_]


def _line(timeline: StepTimeline, stage: int, least_s: float) -> Line:
    """Return the row of a stage; waits shorter than `least_s` look like the block they are of."""
    spans = timeline.spans.keep((timeline.spans.stage == stage) & timeline.spans.exposed)
    spans = spans.keep(np.argsort(spans.start_s, kind="stable"))
    long = spans.end_s - spans.start_s >= least_s
    computes = spans.stream == COMPUTE
    looks = np.full(len(spans), COMMUNICATION)
    for kind, look in BLOCKS.items():
        looks = np.where((computes | ~long) & (spans.kind == kind), look + PALE * (spans.chunk % 2), looks)
    looks = np.where(spans.stream == OPTIMIZER, COMMUNICATION + 1, looks)
    return Line(
        name=f"stage {stage}",
        said=f"kernels {percent(timeline.kernels_s[stage] / timeline.step_s)} of the step",
        spans=spans,
        looks=np.where(spans.kind == HOST, COMMUNICATION + 2, looks),
        seen=computes & (spans.kind != HOST) | long,
    )


def _axis(timeline: StepTimeline) -> tuple[Axis, int]:
    """Return the time to show, and how many micro-batches lie in what is left out."""
    spans, gap, end = timeline.spans, timeline.gap, timeline.end_s
    blocks = spans.keep((spans.stream == COMPUTE) & (spans.kind != HOST))
    filled, drained = _ramps(blocks, timeline.stages_count)
    enough = ROOM / BLOCK_WIDTH * float(np.median(blocks.end_s - blocks.start_s))
    steady = max((enough - filled - (end - drained)) / 2.0, STEADY_COUNT * end / timeline.micro_batches_count)
    low, high = filled + steady, drained - steady
    if low >= high:
        low = high = 0.0
    if gap is not None:
        low, high = (min(low, gap.start_s), max(high, gap.end_s)) if low < high else (gap.start_s, gap.end_s)
    if high - low < end / 5.0 and gap is None:
        return Axis(windows=((0.0, end),)), 0
    left = (blocks.stage == 0) & (blocks.kind == FORWARD) & (blocks.chunk == 0)
    inside = left & (blocks.start_s >= low) & (blocks.start_s < high)
    repeated = int(inside.sum()) + (0 if gap is None else gap.micro_batches_count)
    return Axis(windows=((0.0, low), (high, end))), repeated


def _ramps(blocks: Spans, stages_count: int) -> tuple[float, float]:
    """Return when the last stage has begun its first backward pass, and when the first has done its last forward."""
    forward = blocks.kind == FORWARD
    first, last = np.full(stages_count, np.inf), np.full(stages_count, -np.inf)
    np.minimum.at(first, blocks.stage[~forward], blocks.start_s[~forward])
    np.maximum.at(last, blocks.stage[forward], blocks.end_s[forward])
    return float(first.max()), float(last.min())


def _row(line: Line, axis: Axis, top: float, height: float) -> str:
    """Return one stage: its idle time as the ground, on it a path for each look, lines between blocks and numbers."""
    parts = [f"<title>{line.name}: {line.said}</title>"]
    parts.append(words(LEFT - 8, top + height / 2 + 4, line.name, "soft", "end"))
    for start, end, left in axis.lefts():
        parts.append(rectangle(left, top, (end - start) * axis.scale, height, "spare"))
        parts += _painted(line, (start, end), left, axis.scale, top, height)
        parts += _marked(line, (start, end), left, axis.scale, top, height)
    return f"<g>{''.join(parts)}</g>"


def _painted(line: Line, window: tuple[float, float], left: float, scale: float, *box: float) -> list[str]:
    """Return a path for each look: at every grain of the paper what fills most of it."""
    top, height = box
    width = (window[1] - window[0]) * scale
    grains = max(1, round(width / GRAIN))
    grain = width / grains
    edges = np.linspace(window[0], window[1], grains + 1)
    names = np.unique(line.looks)
    shares = [np.diff(_spent_until(line.spans.keep(line.looks == look), edges)) for look in names]
    idle = edges[1] - edges[0] - np.sum(shares, axis=0) if shares else np.ones(grains)
    most = np.argmax([idle, *shares], axis=0)
    turns = np.flatnonzero(np.diff(most)) + 1
    starts, ends = np.concatenate([[0], turns]), np.concatenate([turns, [grains]])
    parts: list[str] = []
    for place, look in enumerate(names.tolist()):
        mine = most[starts] == place + 1
        path = "".join(
            f"M{left + low * grain:.1f},{top:g}h{(high - low) * grain:.1f}v{height:g}h{(low - high) * grain:.1f}z"
            for low, high in zip(starts[mine].tolist(), ends[mine].tolist(), strict=True)
        )
        css = LOOKS[look % PALE][1] + (" second" if look >= PALE else "")
        parts += [f'<path class="{css}" d="{path}"/>'] if path else []
    return parts


def _spent_until(spans: Spans, times: Floats) -> Floats:
    """Return the seconds that spans which do not overlap have taken until each time."""
    spent = np.cumsum(spans.end_s - spans.start_s)
    known = np.stack([spans.start_s, spans.end_s], axis=-1).ravel()
    taken = np.stack([np.append(0.0, spent[:-1]), spent], axis=-1).ravel()
    found: Floats = np.interp(times, known, taken)
    return found


def _marked(line: Line, window: tuple[float, float], left: float, scale: float, *box: float) -> list[str]:
    """Return lines where wide blocks start, and the numbers of their micro-batches where these fit."""
    (top, height), spans = box, line.spans
    chosen = (spans.start_s >= window[0]) & (spans.start_s < window[1]) & (spans.stream == COMPUTE)
    chosen &= spans.kind != HOST
    blocks = spans.keep(chosen)
    places = left + (blocks.start_s - window[0]) * scale
    widths = (np.minimum(blocks.end_s, window[1]) - blocks.start_s) * scale
    lines = "".join(f"M{place:.1f},{top:g}v{height:g}" for place in places[widths >= PARTED_WIDTH].tolist())
    parts = [f'<path class="parted" d="{lines}"/>'] if lines else []
    columns = (places, widths, blocks.micro_batch, line.looks[chosen])
    for place, width, number, look in zip(*(column.tolist() for column in columns), strict=True):
        if width >= LETTER_WIDTH * len(str(number)) + 2.5:
            css = "inside pale" if look >= PALE else "inside dark" if look == BLOCKS[WEIGHT] else "inside"
            parts.append(words(place + width / 2, top + height / 2 + 3.5, str(number), css, "middle"))
    return parts


def _legend(used: Sequence[int], *, pale: bool) -> tuple[list[str], float]:
    """Return what the colours mean, in as many lines as it takes, and where the rows begin."""
    parts: list[str] = []
    left, top = float(LEFT), 4.0
    entries = [LOOKS[look] for look in used] + [("idle", "spare")] + ([("odd chunks: paler", "")] if pale else [])
    for name, css in entries:
        width = 34 + 7.3 * len(name)
        if left + width > WIDTH:
            left, top = float(LEFT), top + LEGEND_LINE
        parts += [rectangle(left, top, 12, 12, css)] if css else []
        parts.append(words(left + (18 if css else 0), top + 11, name))
        left += width
    return parts, top + LEGEND_LINE


def _ticks(axis: Axis, top: float, bottom: float) -> list[str]:
    """Return the time under the rows."""
    step = _nice(100.0 / axis.scale)
    parts: list[str] = []
    for start, end, left in axis.lefts():
        first = int(np.ceil(start / step - 1e-9))
        for number in range(first, int(np.floor(end / step + 1e-9)) + 1):
            place = left + (number * step - start) * axis.scale
            parts.append(f'<line class="axis" x1="{place:.1f}" x2="{place:.1f}" y1="{top - 4:g}" y2="{bottom + 4:g}"/>')
            parts.append(words(place, bottom + 18, _moment(number * step, step, axis.windows[-1][1]), "soft", "middle"))
    return parts


def _nice(least: float) -> float:
    """Return the least of 1, 2 and 5 times a power of ten that is at least so much.

    >>> _nice(0.03), _nice(6.0)
    (0.05, 10.0)
    """
    power = 10.0 ** np.floor(np.log10(least))
    return float(next(factor * power for factor in (1.0, 2.0, 5.0, 10.0) if factor * power >= least * (1 - 1e-9)))


def _moment(seconds: float, step: float, end: float) -> str:
    """Return a time on an axis with such a step and end, in the unit of the end.

    >>> _moment(0.25, 0.05, 0.9), _moment(10.5, 0.5, 12.0), _moment(0.0, 2.0, 12.0)
    ('250 ms', '10.5 s', '0')
    """
    scale, unit = next((item for item in ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")) if end >= item[0]), (1e-9, "ns"))
    digits = max(0, -int(np.floor(np.log10(step / scale) + 1e-9)))
    return f"{seconds / scale:,.{digits}f} {unit}" if seconds else "0"


def _breaks(axis: Axis, repeated: int, top: float, bottom: float) -> list[str]:
    """Return the words over what is left out, and dots in it."""
    parts: list[str] = []
    for start, end, left in list(axis.lefts())[:-1]:
        middle = left + (end - start) * axis.scale + BREAK / 2
        text = f"{count(repeated)} micro-batches repeat"
        parts.append(words(middle, top - 10, text, "soft", "middle"))
        parts.append(words(middle, (top + bottom) / 2 + 4, "· · ·", anchor="middle"))
    return parts


def _notes(timeline: StepTimeline, rows_count: int, *, numbered: bool, waits: bool) -> list[str]:
    """Return what a reader must know besides."""
    notes = ["Numbers are micro-batches."] if numbered else []
    if waits:
        notes.append("A block's kernels come in one stretch, what it waits for after them.")
    elif np.any(timeline.spans.exposed & (timeline.spans.stream < DATA) & (timeline.spans.stream != COMPUTE)):
        notes.append("What blocks wait for is too short to be seen here.")
    late = timeline.spans.keep((timeline.spans.stream == DATA) & timeline.spans.exposed)
    if np.any(late.end_s - late.start_s > TOLD_FRAC * timeline.end_s):
        notes.append("Data-parallel collectives that nothing hides, of the whole step, are drawn before the optimizer.")
    if rows_count < timeline.stages_count:
        notes.append(f"{rows_count} of {timeline.stages_count} stages, evenly chosen.")
    if timeline.end_s > timeline.step_s * (1.0 + 1e-9):
        notes.append(f"Each stage starts its next step on its own: one step every {duration(timeline.step_s)}.")
    return notes
