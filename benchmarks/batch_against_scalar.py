"""How much one call over columns saves against one call a layout, measured side by side in one run.

    python benchmarks/batch_against_scalar.py [MODEL] [POD]

Prints microseconds per layout for both and their ratio. Both price the same rows and must agree.
"""

import sys
import time

import numpy as np

from superpod.catalog.load import Catalogue
from superpod.parallel.layout import Layout
from superpod.plan.machine import machine
from superpod.plan.scenario import Scenario, Training
from superpod.plan.train_search import choices, enumerate_degrees, price
from superpod.result import at_row

SAMPLE = 300


def main(model: str = "deepseek-v3", pod: str = "cloudmatrix384") -> None:
    """Time a whole group of layouts in one call, and a sample of them one by one."""
    work = Training()
    made = machine(Catalogue(), Scenario(model=model, pod=pod, work=work))
    columns = enumerate_degrees(made, work, {})
    batch = Layout(**columns, **choices(made.spec, {})[0])
    rows = len(columns["tensor"])
    price(made, work, batch)  # the first call warms caches

    start = time.perf_counter()
    step, _ = price(made, work, batch)
    together = (time.perf_counter() - start) / rows

    picked = np.random.default_rng(0).integers(rows, size=SAMPLE)
    start = time.perf_counter()
    alone = [float(price(made, work, at_row(batch, int(row)))[0].time_s) for row in picked]
    apart = (time.perf_counter() - start) / SAMPLE

    worst = float(np.max(np.abs(np.asarray(step.time_s)[picked] / np.asarray(alone) - 1.0)))
    print(f"{rows:,} layouts of {model} on {pod}")
    print(f"one call:      {together * 1e6:8.2f} us a layout")
    print(f"one at a time: {apart * 1e6:8.1f} us a layout")
    print(f"ratio:         {apart / together:8.0f}; largest relative difference {worst:.1e}")


if __name__ == "__main__":
    main(*sys.argv[1:3])
