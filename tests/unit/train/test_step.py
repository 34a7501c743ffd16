"""A training step against numbers worked by hand."""

from dataclasses import replace

import numpy as np
import pytest

from superpod.catalog.load import Catalogue
from superpod.parallel.layout import Layout
from superpod.parallel.place import groups
from superpod.plan.machine import Machine, machine
from superpod.plan.scenario import Scenario, Training
from superpod.train.memory import training_memory
from superpod.train.step import edges, mean_layer, micro_batches, model_flop, step_time
from superpod.workload.phase import training_phase

CATALOGUE = Catalogue()


def made(model: str, pod: str, cards: int) -> Machine:
    return machine(CATALOGUE, Scenario(model=model, pod=pod, work=Training(), cards=cards, precision="bf16"))


def test_model_flop_of_gpt3_is_the_published_formula() -> None:
    """96 B s L h^2 (1 + s/(6h) + V/(16 L h)) counts recompute; without it 72 (arXiv 2104.04473, equation 3).

    That formula counts the whole attention square; a causal one is half of it.
    """
    spec = CATALOGUE.model("gpt3-175b")
    layers, hidden, vocabulary, tokens, batch = 96, 12288, 51200, 2048, 64
    square = tokens / (6 * hidden) / 2
    expected = 72 * batch * tokens * layers * hidden**2 * (1 + square + vocabulary / (12 * layers * hidden))
    assert model_flop(spec, batch, tokens) == pytest.approx(expected, rel=1e-3)


def test_the_bubble_is_p_minus_one_passes_of_the_other_stages() -> None:
    """1F1B: the way through all stages and back, less the slowest stage's own part (arXiv 2104.04473, section 2.2)."""
    system = made("gpt3-175b", "hgx-a100", 64)
    layout = Layout(tensor=8.0, pipeline=8.0, virtual=1.0, data=1.0, overlap="none")
    work, placed = training_phase(1.0, 2048.0, 1.0, fused_attention=True), groups(layout)
    layer = mean_layer(system.engine, layout, work, placed)
    ends = edges(system.engine, layout, work, layer)
    step = step_time(system.engine, layout, (64.0, 2048.0))
    parts = {leaf.name: float(leaf.time_s) for leaf in step.term.leaves()}
    assert parts["pipeline bubble"] == pytest.approx(84 * layer.time_s + ends.embedding_s, rel=1e-9)


def test_interleaving_shrinks_the_bubble_by_v() -> None:
    system = made("gpt3-175b", "hgx-a100", 64)
    bubbles = []
    for virtual in (1.0, 3.0):
        free = replace(system.fabric, ideal=True)
        layout = Layout(tensor=8.0, pipeline=8.0, virtual=virtual)
        step = step_time(replace(system.engine, fabric=free), layout, (64.0, 2048.0))
        bubbles.append(next(float(leaf.time_s) for leaf in step.term.leaves() if leaf.name == "pipeline bubble"))
    assert bubbles[0] / bubbles[1] == pytest.approx(3.0, rel=1e-9)


def test_micro_batches_round_up() -> None:
    assert micro_batches(Layout(data=3.0, micro_batch=2.0), 64.0) == 11.0


def test_full_recompute_keeps_less_and_takes_longer() -> None:
    system = made("llama-3.1-70b", "hgx-h100", 64)
    layouts = [Layout(tensor=8.0, pipeline=4.0, data=2.0, recompute=word) for word in ("none", "full")]
    steps = [step_time(system.engine, item, (64.0, 4096.0)) for item in layouts]
    kept = [
        training_memory(system.spec, item, 4096.0, step.micro_batches)
        for item, step in zip(layouts, steps, strict=True)
    ]
    assert kept[1].activations_bytes < kept[0].activations_bytes
    assert steps[1].time_s > steps[0].time_s


def test_a_group_that_spans_nodes_costs_more_than_one_inside() -> None:
    system = made("llama-3.1-70b", "hgx-h100", 64)
    times = []
    for tensor in (8.0, 16.0):
        layout = Layout(tensor=np.float64(tensor), data=64.0 / tensor)
        step = step_time(system.engine, layout, (64.0, 4096.0))
        times.append(next(float(leaf.time_s) for leaf in step.term.leaves() if leaf.name.startswith("tensor")))
    assert times[1] > 2 * times[0]
