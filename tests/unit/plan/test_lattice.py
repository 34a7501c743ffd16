"""A lattice of layouts against each of its points alone, and a search that prunes against one that does not."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from superpod.catalog.load import Catalogue
from superpod.parallel.layout import Layout
from superpod.plan.machine import Machine, machine
from superpod.plan.scenario import Scenario, Training
from superpod.plan.training import screen as train_screen
from superpod.plan.training import search as train_search
from superpod.plan.training import space as train_space
from superpod.plan.training.space import Space
from superpod.result import at_row, element
from superpod.train.replayed import replayed_step
from superpod.train.step import micro_batches

CATALOGUE = Catalogue()
WORK = Training(batch_sequences=256, sequence_tokens=16384)  # long enough for context parallelism
SMALL = Training(batch_sequences=32, sequence_tokens=2048)
# Every word of a choice that the space of a search leaves out.
MORE = {
    "zero": ("0", "1", "2", "3"),
    "tensor_overlap": ("none", "ring", "pipe"),
    "overlap": ("none", "data", "data+expert"),
}


def made(model: str, pod: str, cards: int, work: Training) -> Machine:
    return machine(CATALOGUE, Scenario(model=model, pod=pod, work=work, cards=cards))


def places(whole: Space, work: Training, count: int, draw: np.random.Generator) -> Iterator[tuple[int, ...]]:
    """Yield random places of layouts that may run."""
    layout = whole.layout()
    runs = train_search.runnable(layout, micro_batches(layout, float(work.batch_sequences)))
    allowed = np.flatnonzero(np.broadcast_to(runs, whole.shape))
    for item in draw.choice(allowed, count, replace=False):
        yield tuple(int(axis) for axis in np.unravel_index(item, whole.shape))


@pytest.mark.parametrize(
    ("model", "pod", "cards"),
    [
        ("gpt3-175b", "hgx-a100", 64),
        ("qwen3-235b-a22b", "gb200-nvl72", 72),
        ("deepseek-v3", "cloudmatrix384", 384),
        ("minimax-m2.5", "hgx-h100", 64),
    ],
)
def test_a_lattice_prices_each_of_its_layouts_as_alone(model: str, pod: str, cards: int) -> None:
    system, draw = made(model, pod, cards, WORK), np.random.default_rng(cards)
    whole = train_space.space(system, WORK, {}, "deep")
    rows = draw.choice(whole.rows_count, min(6, whole.rows_count), replace=False)
    some = Space(degrees=train_space.keep(whole.degrees, rows), choices={**whole.choices, **MORE})
    step, memory = train_search.price(system, WORK, some.layout())
    for place in places(some, WORK, 40, draw):
        layout = at_row(some.layout(), place)
        alone, held = train_search.price(system, WORK, layout)
        whole_row, held_row = at_row(step, place), at_row(memory, place)
        assert whole_row.time_s == pytest.approx(float(alone.time_s), rel=1e-12), layout
        assert held_row.total_bytes == pytest.approx(float(held.total_bytes), rel=1e-12), layout
        whole_parts, parts = (
            {leaf.name: float(leaf.time_s) for leaf in term.leaves()} for term in (whole_row.term, alone.term)
        )
        assert {name: whole_parts[name] for name in parts} == pytest.approx(parts, rel=1e-9, abs=1e-12 * alone.time_s)
        assert all(whole_parts[name] == 0.0 for name in whole_parts.keys() - parts.keys())  # what others offload


@pytest.mark.parametrize(
    ("model", "pod", "cards"), [("llama-3.1-70b", "hgx-h100", 32), ("mixtral-8x7b", "hgx-a100", 16)]
)
def test_flags_lie_on_axes_too(model: str, pod: str, cards: int) -> None:
    system, draw = made(model, pod, cards, WORK), np.random.default_rng(cards)
    degrees = train_space.space(system, WORK, {}, "standard").degrees
    rows = draw.choice(len(degrees["tensor"]), 8, replace=False)
    fields: dict[str, Any] = {name: values[rows].reshape(-1, 1, 1, 1, 1) for name, values in degrees.items()}
    flag = np.array([True, False])
    lattice = Layout(
        **fields,
        sequence_parallel=flag.reshape(-1, 1, 1, 1),
        gather_again=flag.reshape(-1, 1, 1),
        scatter_gather=flag.reshape(-1, 1),
        recompute=np.array(["none", "selective", "full"]),
        fused_attention=False,
    )
    step, memory = train_search.price(system, WORK, lattice)
    for place in np.ndindex(8, 2, 2, 2, 3):
        if draw.integers(4):
            continue
        alone, held = train_search.price(system, WORK, at_row(lattice, place))
        assert element(np.asarray(step.time_s), place) == pytest.approx(float(alone.time_s), rel=1e-12)
        assert element(np.asarray(memory.total_bytes), place) == pytest.approx(float(held.total_bytes), rel=1e-12)


# Few enough layouts to price one by one.
PINNED: list[tuple[str, str, int, dict[str, float | str]]] = [
    (
        "llama-2-7b",
        "hgx-a100",
        4,
        {"schedule": "1f1b", "offload": "none", "micro_batch": 1.0, "tensor_overlap": "none", "zero": "1"},
    ),
    (
        "mixtral-8x7b",
        "hgx-h100",
        16,
        {"tensor": 2.0, "virtual": 1.0, "micro_batch": 1.0, "recompute": "full", "zero": "1", "tensor_overlap": "none"},
    ),
    (
        "gpt-oss-20b",
        "gb200-nvl72",
        4,
        {"virtual": 1.0, "micro_batch": 1.0, "zero": "1", "recompute": "none", "schedule": "1f1b", "split": "even"},
    ),
]


@pytest.mark.parametrize(("model", "pod", "cards", "fixed"), PINNED)
def test_the_best_is_that_of_pricing_one_by_one(
    model: str, pod: str, cards: int, fixed: dict[str, float | str]
) -> None:
    system = made(model, pod, cards, SMALL)
    whole = train_space.space(system, SMALL, fixed, "deep")
    found = train_search.search(system, SMALL, fixed, "deep")
    assert found.best is not None
    lattice, priced = whole.layout(), []
    for place in np.ndindex(whole.shape):
        layout = at_row(lattice, place)
        if train_search.runnable(layout, micro_batches(layout, float(SMALL.batch_sequences))):
            step, memory = train_search.price(system, SMALL, layout)
            if memory.total_bytes <= system.device.memory_bytes:
                priced.append((float(step.time_s), layout))
    assert priced
    priced.sort(key=lambda item: item[0])
    batch = (float(SMALL.batch_sequences), float(SMALL.sequence_tokens))
    exact = [float(replayed_step(system.engine, layout, batch)[0].time_s) for _, layout in priced[:60]]
    assert found.best.time_s <= min(exact[:12]) * (1.0 + 1e-12)
    assert found.best.time_s >= min(exact) * (1.0 - 1e-12)


@pytest.mark.parametrize(
    ("model", "pod", "cards"),
    [("llama-2-7b", "hgx-a100", 8), ("mixtral-8x7b", "hgx-h100", 16), ("gpt-oss-20b", "gb200-nvl72", 8)],
)
def test_kernels_alone_are_a_lower_bound(model: str, pod: str, cards: int) -> None:
    system = made(model, pod, cards, SMALL)
    whole = train_space.space(system, SMALL, {}, "deep")
    layout = whole.layout()
    runs = train_search.runnable(layout, micro_batches(layout, float(SMALL.batch_sequences)))
    time = np.where(runs, train_search.price(system, SMALL, layout)[0].time_s, np.inf)
    least = np.broadcast_to(time, whole.shape).reshape(whole.rows_count, -1).min(axis=1)
    assert np.all(train_screen.bounds(system, SMALL, whole) <= least * (1.0 + 1e-12))


@pytest.mark.parametrize(
    ("model", "pod", "cards"), [("llama-3.1-70b", "hgx-h100", 64), ("mixtral-8x7b", "hgx-a100", 32)]
)
def test_a_search_that_prunes_finds_what_one_that_does_not_finds(
    monkeypatch: pytest.MonkeyPatch, model: str, pod: str, cards: int
) -> None:
    system, pieces = made(model, pod, cards, SMALL), Space.pieces
    monkeypatch.setattr(Space, "pieces", lambda self: pieces(self, 500))  # many, so that there is something to prune
    pruned = train_search.search(system, SMALL, {})
    monkeypatch.setattr(train_search, "bounds", lambda machine, work, whole: np.zeros(whole.rows_count))
    whole = train_search.search(system, SMALL, {})
    assert pruned.best is not None
    assert whole.best is not None
    assert pruned.pruned_count > whole.pruned_count
    assert pruned.best.time_s == pytest.approx(whole.best.time_s, rel=1e-12)
    assert [item.layout for item in pruned.front] == [item.layout for item in whole.front]
