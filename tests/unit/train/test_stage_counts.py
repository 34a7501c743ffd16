"""Stages hold every layer once, counted by closed forms and laid one by one."""

import itertools

import numpy as np
import pytest

from superpod.catalog.load import Catalogue
from superpod.parallel.layout import Layout
from superpod.parallel.stages import part_layers, stages
from superpod.train.stage_layers import stage_layers


def layout_of(schedule: str, split: str, stage_count: int) -> Layout:
    virtual = 2.0 if schedule == "zb-v" else 1.0
    return Layout(pipeline=float(stage_count), virtual=virtual, schedule=schedule, split=split)


@pytest.mark.parametrize("split", ["even", "counted"])
@pytest.mark.parametrize("schedule", ["1f1b", "zb-v"])
def test_counts_are_those_of_layers_laid_one_by_one(schedule: str, split: str) -> None:
    folded = schedule == "zb-v"
    for layers, stage_count in itertools.product(range(12, 40), (2, 3, 4, 5)):
        layout = layout_of(schedule, split, stage_count)
        chunks = np.arange(stage_count * (2 if folded else 1))
        parts = np.stack((chunks[:stage_count], chunks[::-1][:stage_count]), axis=1) if folded else chunks[:, None]
        held = part_layers(layers, layout, parts)
        each = [sum(held[part] for part in row) for row in parts.tolist()]
        laid = stages(float(layers), layout)
        middle = each[1:] if folded else each[1:-1]
        assert sum(each) == layers
        assert float(laid.first_count) == each[0]
        assert float(laid.last_count) == each[0 if folded else -1]
        assert not middle or float(laid.middle_count) == max(middle)


@pytest.mark.parametrize("split", ["even", "counted"])
@pytest.mark.parametrize("schedule", ["1f1b", "zb-v", "dualpipe"])
def test_two_stages_hold_the_model(schedule: str, split: str) -> None:
    spec = Catalogue().model("llama-2-7b")
    first, second, _ = stage_layers(spec, layout_of(schedule, split, 2))
    copies = 2.0 if schedule == "dualpipe" else 1.0
    assert float(first.layers_count) + float(second.layers_count) == copies * spec.layers_count
