"""How fast histories of failures are drawn, and whether a seed repeats them.

    python benchmarks/reliability_histories.py [HISTORIES]

Plays 10,000 histories of 90 days of one training job on 432 CloudMatrix384, 165,888 cards, on two threads.
"""

import sys
import time

import numpy as np

from superpod.catalog.load import Catalogue
from superpod.plan.goodput.subject import GoodputQuestion, machine_of, priced, setting_of
from superpod.reliability.montecarlo import DAY_S, histories

POD, MODEL, THREADS, SEED = "cloudmatrix384-x432", "deepseek-v3", 2, 0


def main(count: int) -> None:
    """Draw the histories twice and print the time of the first and whether both agree."""
    question = GoodputQuestion(model=MODEL, spares="warm", seed=SEED)
    subject = machine_of(Catalogue(), POD, question)
    cards = subject.site.cards_count
    base = priced(subject, question, subject.rates, cards, question.spares)
    setting = setting_of(subject, base, question.spares)
    began = time.perf_counter()
    first = histories(setting, count, 90.0 * DAY_S, SEED, threads=THREADS)
    wall = time.perf_counter() - began
    again = histories(setting, count, 90.0 * DAY_S, SEED, threads=1)
    same, effective = np.array_equal(first.goodput_frac, again.goodput_frac), first.effective_frac.mean()
    print(f"{count:,} histories of 90 days, {cards:,.0f} cards, {first.stops_count.sum():,.0f} failures: {wall:.1f} s")
    print(f"the same seed on one thread gives the same histories: {same}")
    print(f"effective {100 * effective:.2f} %, closed form {100 * float(base.goodput.effective_frac):.2f} %")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)
