"""Which layers of each kind the first, second and last pipeline stage hold, and what else is on them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from superpod.catalog.model_spec import DenseFeedForward, ModelSpec
from superpod.parallel.layout import Layout
from superpod.parallel.stages import FOLDED, stages
from superpod.result import Num, chosen
from superpod.train.schedules import by_schedule


@dataclass(frozen=True, slots=True, kw_only=True)
class StageLayers:
    """What one rank of a stage holds: layers of each group of the model, copies counted, and the edges of the model.

    `stage_count` is the stage's place, from 0. `embedding_frac` and `head_frac` are 1 where it holds that edge, else 0.
    """

    name: str
    stage_count: Num
    group_layers_count: tuple[Num, ...]
    embedding_frac: Num
    head_frac: Num

    @property
    def layers_count(self) -> Num:
        """Layers of all groups."""
        return self.sum_over([1.0] * len(self.group_layers_count))

    def sum_over(self, amounts: Sequence[Num]) -> Num:
        """Return the sum over all layers of an amount for each group."""
        return sum(
            (count * each for count, each in zip(self.group_layers_count, amounts, strict=True)), np.float64(0.0)
        )

    def largest(self, amounts: Sequence[Num]) -> Num:
        """Return the largest amount among the groups that the stage has layers of."""
        most: Num = 0.0
        for count, amount in zip(self.group_layers_count, amounts, strict=True):
            most = np.maximum(most, np.where(np.asarray(count) > 0.0, amount, 0.0))
        return most


def copies_count(layout: Layout) -> Num:
    """Return how many copies of the parameters the schedule keeps over all stages."""
    return by_schedule(layout.schedule, lambda item: item.copies_count)


def stage_layers(spec: ModelSpec, layout: Layout) -> tuple[StageLayers, StageLayers, StageLayers]:
    """Return the first, second and last stage: of all stages one of these is the fullest.

    Dense layers that lead a mixture of experts lie in front; all other kinds are spread evenly, as models alternate
    them. Of the stages between the edges the second one keeps most activations. With one stage all three are that
    stage, with two the second is the last; a folded pipeline has both edges on the first.
    """
    held, copies, pipeline = stages(float(spec.layers_count), layout), copies_count(layout), np.asarray(layout.pipeline)
    single, folded = pipeline <= 1.0, np.asarray(held.folded)
    between = np.where((pipeline > 2.0) | folded, held.middle_count, held.last_count)
    first, second, last = (count * copies for count in (held.first_count, between, held.last_count))
    # Leading layers are in the first chunk: the whole stage, a v-th of it, or the front half of a folded one.
    halves = np.where(chosen(layout.schedule, *FOLDED), 2.0, layout.virtual)
    chunks = np.where(single, 1.0, halves)
    leading = float(sum(spec.layers[row].count for row in leading_groups(spec)))
    on_first = np.minimum(leading, first / chunks)
    on_second = np.minimum(leading - on_first, second / chunks)
    behind = np.where(pipeline > 2.0, np.maximum(leading - spec.layers_count + last, 0.0), leading - on_first)
    on_last = np.where(folded, on_first, np.minimum(behind, last))
    on_second = np.where(single, on_first, on_second)
    edge = np.where(folded, 1.0, 0.0)
    return (
        _stage(spec, "first", 0.0, (first, on_first), (1.0, edge)),
        _stage(spec, "middle", np.minimum(pipeline - 1.0, 1.0), (second, on_second), (edge * single, edge * single)),
        _stage(spec, "last", np.where(folded, 0.0, pipeline - 1.0), (last, on_last), (edge, 1.0)),
    )


def leading_groups(spec: ModelSpec) -> tuple[int, ...]:
    """Return the dense groups in front of the experts, where they are fewer than half of the layers."""
    rows: list[int] = []
    for row, group in enumerate(spec.layers):
        if not isinstance(group.ffn, DenseFeedForward):
            break
        rows.append(row)
    count = sum(spec.layers[row].count for row in rows)
    return tuple(rows) if 2 * count < spec.layers_count else ()


def layer_kinds(spec: ModelSpec) -> list[int]:
    """Return the group of each layer in order: leading dense layers first, the others mixed evenly."""
    front = leading_groups(spec)
    kinds = [row for row in front for _ in range(spec.layers[row].count)]
    mixed = [
        ((number + 0.5) / group.count, row)
        for row, group in enumerate(spec.layers)
        if row not in front
        for number in range(group.count)
    ]
    return kinds + [row for _, row in sorted(mixed)]


def _stage(spec: ModelSpec, name: str, stage: Num, layers: tuple[Num, Num], edges: tuple[Num, Num]) -> StageLayers:
    """Return a stage of `layers` = (all, leading ones), each dealt to its groups by their counts."""
    front = leading_groups(spec)
    leading = sum(spec.layers[row].count for row in front)
    counts = tuple(
        layers[1] * (group.count / leading)
        if row in front
        else (layers[0] - layers[1]) * (group.count / (spec.layers_count - leading))
        for row, group in enumerate(spec.layers)
    )
    return StageLayers(
        name=name, stage_count=stage, group_layers_count=counts, embedding_frac=edges[0], head_frac=edges[1]
    )
