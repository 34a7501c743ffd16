"""How fast training layouts are searched, side by side with Calculon on the same strategies of its three spaces.

    git clone https://github.com/calculon-ai/calculon && git -C calculon checkout caa4b11
    python -m pip install psutil pandas
    python benchmarks/train_search.py [--calculon calculon] [--json FILE]

Each strategy gets the time of its step, its memory and whether it fits, and the best that fits is kept; one process,
strategies per second of process CPU time, medians of three repetitions in turn. Ours is the whole space, from its
degrees to its best, counting strategies only: points of the lattice that are none cost time too. Calculon's is a
sample drawn with seed 0, since all would take hours: with a fresh `logging.Logger` each as its own search does, which
formats messages that nobody reads, and with the logger at level 50. Catalogue and files are read beforehand. Ours is
checked too: it holds as many strategies as Calculon lists and each of the sample, and at random points its lattice
equals the layout priced alone. Without --calculon only ours runs.
"""

import argparse
import importlib
import itertools
import json
import logging
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from calculon_spaces import CASES, SEQUENCE_TOKENS, Block, Case, blocks, layout_of

from superpod.catalog.load import Catalogue
from superpod.parallel.layout import Layout
from superpod.plan.machine import Machine, machine
from superpod.plan.scenario import Scenario, Training
from superpod.plan.training.search import price
from superpod.plan.training.space import heads
from superpod.result import at_row, element

POINTS = 400_000  # of the lattice at once
SEED, REPETITIONS = 0, 3
CHECKED, SAMPLED = 50, 150


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What was measured on one space."""

    space: str
    strategies_count: int
    points_count: int
    feasible_count: int
    best_sequences_per_s: float
    best: dict[str, Any] | None  # the layout, where any fits
    ours_per_cpu_s: float
    wall_s: float
    peak_rss_bytes: int
    shipped_per_cpu_s: float | None = None
    quiet_per_cpu_s: float | None = None


@dataclass(slots=True, kw_only=True)
class Found:
    """What a search has found so far."""

    strategies: int = 0
    points: int = 0
    feasible: int = 0
    sequences_per_s: float = 0.0
    best: Layout | None = None


def lattices(made: Machine, case: Case) -> list[Block]:
    """Return the space of a case."""
    return blocks(case, int(heads(made.spec)), made.spec.layers_count)


def search(made: Machine, case: Case) -> Found:
    """Price a whole space, piece by piece, and keep its best strategy that fits."""
    found = Found()
    for block in lattices(made, case):
        work = Training(batch_sequences=block.batch, sequence_tokens=SEQUENCE_TOKENS)
        for piece in block.pieces(POINTS):
            layout = piece.layout()
            step, memory = price(made, work, layout)
            fits = (memory.total_bytes <= made.device.memory_bytes) & (memory.offloaded_bytes <= made.host.memory_bytes)
            spent = np.broadcast_to(np.where(fits & piece.legal, step.time_s, np.inf), piece.shape)
            place = np.unravel_index(int(np.argmin(spent)), piece.shape)
            found.strategies += piece.strategies_count
            found.points += piece.points_count
            found.feasible += int(np.sum(np.isfinite(spent)))
            if block.batch / spent[place] > found.sequences_per_s:
                found.sequences_per_s = float(block.batch / spent[place])
                found.best = at_row(layout, tuple(int(axis) for axis in place))
    return found


def check(made: Machine, case: Case) -> int:
    """Compare random strategies of every piece with the same layout priced alone; return how many."""
    draw, checked = np.random.default_rng(SEED), 0
    pieces = [piece for block in lattices(made, case) for piece in block.pieces(POINTS)]
    for piece in pieces:
        work = Training(batch_sequences=piece.batch, sequence_tokens=SEQUENCE_TOKENS)
        layout = piece.layout()
        step, memory = price(made, work, layout)
        for place in itertools.islice(_strategies(piece, draw), -(-CHECKED // len(pieces))):
            alone = price(made, work, at_row(layout, place))
            for name, whole, one in (
                ("time", step.time_s, alone[0].time_s),
                ("memory", memory.total_bytes, alone[1].total_bytes),
            ):
                off = element(np.asarray(whole), place) / float(one) - 1.0
                assert abs(off) <= 1e-12, f"{name} of {at_row(layout, place)} differs by {off}"
            checked += 1
    return checked


def _strategies(piece: Block, draw: np.random.Generator) -> Iterator[tuple[int, ...]]:
    """Yield random places of strategies."""
    while True:
        place = tuple(int(draw.integers(size)) for size in piece.shape)
        if element(piece.legal, place):
            yield place


class Calculon:
    """Calculon's own objects on one case, and a sample of its strategies."""

    def __init__(self, root: Path, case: Case, sample: int) -> None:
        if str(root) not in sys.path:
            sys.path.insert(0, str(root))
        llm: Any = importlib.import_module("calculon.llm")
        listing: Any = importlib.import_module("calculon.llm.all_executions").AllExecutions
        read: Callable[[str], Any] = importlib.import_module("calculon.io").read_json_file
        self.llm = llm.Llm
        self.app = llm.Llm.Application(read(f"{root}/models/{case.calculon_model}.json"))
        self.system = llm.System(read(f"{root}/systems/{case.calculon_system}.json"))
        self.fields = listing.execution_fields()

        def listed() -> Iterator[tuple[Any, ...]]:
            yield from listing.all_executions(self.app, self.system, case.cards, case.batch, "float16", [True])

        self.count = sum(1 for _ in listed())
        picked = set(np.random.default_rng(SEED).choice(self.count, sample, replace=False).tolist())
        self.sample = [execution for number, execution in enumerate(listed()) if number in picked]

    def strategies(self) -> list[dict[str, Any]]:
        """Return the sample by the names of its fields."""
        return [dict(zip(self.fields, execution, strict=True)) for execution in self.sample]

    def per_cpu_s(self, level: int) -> float:
        """Return evaluations per CPU second over the sample, with a fresh logger of a level for each."""
        start = time.process_time()
        for execution in self.sample:
            try:
                model = self.llm(self.app, logging.Logger("sub", level))
                model.compile(self.system, self.llm.Execution(*execution))
                model.run(self.system)
                model.get_stats_json(False)
            except self.llm.Error:
                continue  # priced, and found not to fit
        return len(self.sample) / (time.process_time() - start)


def same_space(made: Machine, case: Case, theirs: Calculon) -> None:
    """Check that both search the same strategies: as many, and each of the sample at its place of our lattice."""
    ours = lattices(made, case)
    assert sum(block.strategies_count for block in ours) == theirs.count == case.strategies
    for strategy in theirs.strategies():
        degrees = tuple(strategy[name] > 1 for name in ("tensor_par", "pipeline_par", "data_par"))
        block = next(
            block for block in ours if block.batch == strategy["batch_size"] and tuple(block.rows[0][:3] > 1) == degrees
        )
        place = block.place(strategy)
        assert element(block.legal, place)
        assert at_row(block.layout(), place) == layout_of(strategy)


def measure(made: Machine, case: Case, calculon: Path | None, sample: int) -> Row:
    """Check one space, then time both in turn."""
    check(made, case)
    found, *first = timed(made, case)
    ours = [first]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # of this process so far, before Calculon's
    theirs = Calculon(calculon, case, sample) if calculon else None
    if theirs is not None:
        same_space(made, case, theirs)
    shipped, quiet = [], []
    for repetition in range(REPETITIONS):
        if theirs is not None:
            shipped.append(theirs.per_cpu_s(logging.NOTSET))
            quiet.append(theirs.per_cpu_s(logging.CRITICAL))
        if repetition:
            _, *again = timed(made, case)
            ours.append(again)
    assert found.strategies == case.strategies
    return Row(
        space=case.name,
        strategies_count=found.strategies,
        points_count=found.points,
        feasible_count=found.feasible,
        best_sequences_per_s=found.sequences_per_s,
        best=asdict(found.best) if found.best else None,
        ours_per_cpu_s=statistics.median(rate for rate, _ in ours),
        wall_s=statistics.median(wall for _, wall in ours),
        peak_rss_bytes=peak,
        shipped_per_cpu_s=statistics.median(shipped) if shipped else None,
        quiet_per_cpu_s=statistics.median(quiet) if quiet else None,
    )


def timed(made: Machine, case: Case) -> tuple[Found, float, float]:
    """Search a whole space; return what it found, strategies per CPU second, and seconds on the wall."""
    wall, cpu = time.perf_counter(), time.process_time()
    found = search(made, case)
    return found, found.strategies / (time.process_time() - cpu), time.perf_counter() - wall


def table(rows: list[Row]) -> str:
    """Return the measurements as a table in Markdown; strategies per CPU second."""
    lines = [
        "| space | strategies | ours | Calculon as shipped | ratio | silenced | ratio | peak RSS | whole space |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        theirs = [
            f"{rate:,.0f} | {row.ours_per_cpu_s / rate:,.0f}" if rate else "- | -"
            for rate in (row.shipped_per_cpu_s, row.quiet_per_cpu_s)
        ]
        measured = f"{row.peak_rss_bytes / 1e6:.0f} MB | {row.wall_s:.2f} s"
        ours = f"{row.strategies_count:,} | {row.ours_per_cpu_s:,.0f}"
        lines.append(f"| {row.space} | {ours} | {' | '.join(theirs)} | {measured} |")
    return "\n".join(lines)


def main() -> None:
    """Measure the three spaces and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calculon", type=Path, help="a checkout of calculon-ai/calculon at caa4b11")
    parser.add_argument(
        "--sample", type=int, default=SAMPLED, help="Calculon's strategies that are timed (%(default)s)"
    )
    parser.add_argument("--json", type=Path, help="write the measurements here too")
    asked = parser.parse_args()
    rows = []
    for case in CASES:
        work = Training(batch_sequences=case.batch, sequence_tokens=SEQUENCE_TOKENS)
        scenario = Scenario(model=case.model, pod=case.pod, cards=case.cards, precision="fp16", work=work)
        rows.append(measure(machine(Catalogue(), scenario), case, asked.calculon, asked.sample))
        row = rows[-1]
        best = f"best {row.best_sequences_per_s:.1f} sequences/s" if row.best else "none fits"
        print(
            f"{row.space}: {row.points_count:,} points, {row.feasible_count:,} strategies fit, {best}", file=sys.stderr
        )
    print(table(rows))
    if asked.json:
        asked.json.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n")


if __name__ == "__main__":
    main()
