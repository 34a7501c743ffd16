"""The three spaces that Calculon's own search would visit, as lattices of our layouts: one point for each strategy.

A strategy is an execution of Calculon's `AllExecutions` (calculon-ai/calculon at caa4b11): degrees, recompute, ZeRO-1,
collectives, overlap, offload, and the network that each of three groups is put on. Rows of degrees lie on the first
axis, every choice on one of its own. With one rank on an axis there is less to choose, so rows are grouped by which of
them have several.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import compress, product
from typing import Any

import numpy as np
import numpy.typing as npt

from superpod.parallel.layout import Layout

# Calculon's tensor_par_comm_type with seq_par_ag_redo: our sequence_parallel, scatter_gather, gather_again.
COLLECTIVES = {
    ("ar", False): (False, False, False),
    ("p2p_rs_ag", False): (False, True, False),
    ("rs_ag", False): (True, True, False),
    ("rs_ag", True): (True, True, True),
}
RECOMPUTE = {"full": "full", "attn_only": "selective", "none": "none"}
# The networks of tensor, pipeline and data groups, 0 inside a server and 1 between servers: the axes from neighbouring
# ranks out. Three axes have six orders, so two pairs of Calculon's eight placements are the same to us.
ORDERS = {
    (0, 0, 0): "tp-cp-dp-pp",
    (0, 1, 0): "tp-cp-dp-pp",
    (0, 0, 1): "tp-cp-pp-dp",
    (0, 1, 1): "tp-cp-pp-dp",
    (1, 0, 0): "pp-dp-tp-cp",
    (1, 0, 1): "pp-tp-cp-dp",
    (1, 1, 0): "dp-tp-cp-pp",
    (1, 1, 1): "dp-pp-tp-cp",
}
OFFLOADED = ("weights", "activations", "optimizer")
DEGREES = ("tensor", "pipeline", "data", "virtual", "micro_batch")
SEQUENCE_TOKENS = 2048  # `seq_size` of the three models

Fields = dict[str, Any]
"""Of a layout."""

# What a value on each axis of choices says in our words, in the order of axes.
MEANING: Mapping[str, Callable[[Any], Fields]] = {
    "recompute": lambda word: {"recompute": RECOMPUTE[word]},
    "sharding": lambda on: {"zero": "1" if on else "0"},
    "collectives": lambda how: dict(
        zip(("sequence_parallel", "scatter_gather", "gather_again"), COLLECTIVES[how], strict=True)
    ),
    "data_overlap": lambda on: {"overlap": "data" if on else "none"},
    "tensor_overlap": lambda word: {"tensor_overlap": word},
    "offload": lambda flags: {"offload": "+".join(compress(OFFLOADED, flags)) or "none"},
    "networks": lambda tiers: {"order": ORDERS[tiers]},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A question to both: Calculon's files, and the catalogued model and pod that stand for them."""

    name: str
    calculon_model: str
    calculon_system: str
    model: str
    pod: str
    cards: int
    batch: int
    strategies: int  # as Calculon counts them


CASES = (
    Case(
        name="turing-530B on 5,128 A100",
        calculon_model="turing-530B",
        calculon_system="a100_80g",
        model="mt-nlg-530b",
        pod="hgx-a100",
        cards=5128,
        batch=2520,
        strategies=10_944,
    ),
    Case(
        name="gpt3-175B on 512 A100",
        calculon_model="gpt3-175B",
        calculon_system="a100_80g",
        model="gpt3-175b",
        pod="hgx-a100",
        cards=512,
        batch=512,
        strategies=6_582_816,
    ),
    Case(
        name="megatron-1T on 4,096 H100",
        calculon_model="megatron-1T",
        calculon_system="h100_80g_nvl8",
        model="gpt-1t",
        pod="hgx-h100",
        cards=4096,
        batch=4096,
        strategies=7_276_848,
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A lattice whose rows share the batch and the choices; `legal` says which combinations are strategies."""

    batch: int
    rows: npt.NDArray[np.float64]  # one a row, DEGREES along
    values: tuple[tuple[Any, ...], ...]  # of each axis of MEANING
    legal: npt.NDArray[np.bool_]  # over all axes, one entry where it does not matter

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows, then values of each choice."""
        return (len(self.rows), *(len(values) for values in self.values))

    @property
    def points_count(self) -> int:
        """All combinations, legal or not."""
        return int(np.prod(self.shape))

    @property
    def strategies_count(self) -> int:
        """Legal ones."""
        return len(self.rows) * int(np.sum(np.broadcast_to(self.legal, (1, *self.shape[1:]))))

    def pieces(self, points: int) -> Iterator["Block"]:
        """Yield whole rows, about `points` points at once."""
        each = max(1, points * len(self.rows) // self.points_count)
        for first in range(0, len(self.rows), each):
            yield replace(self, rows=self.rows[first : first + each])

    def layout(self) -> Layout:
        """Return the lattice as one layout whose fields broadcast against each other."""
        axes = len(self.shape)
        fields: Fields = {
            name: self.rows[:, column].reshape(-1, *(1,) * (axes - 1)) for column, name in enumerate(DEGREES)
        }
        for axis, (meaning, values) in enumerate(zip(MEANING.values(), self.values, strict=True), start=1):
            said = [meaning(value) for value in values]
            for name in said[0]:
                column = np.array([one[name] for one in said]).reshape(-1, *(1,) * (axes - 1 - axis))
                fields[name] = column if len(values) > 1 else said[0][name]
        return Layout(fused_attention=False, **fields)

    def place(self, strategy: Mapping[str, Any]) -> tuple[int, ...]:
        """Return where a strategy lies, by the fields of Calculon's executions; ValueError or IndexError if nowhere."""
        row = np.flatnonzero((self.rows == degrees(strategy)).all(axis=1))[0]
        return (int(row), *(values.index(value) for values, value in zip(self.values, choices(strategy), strict=True)))


def degrees(strategy: Mapping[str, Any]) -> tuple[float, ...]:
    """Return DEGREES of one of Calculon's executions."""
    names = ("tensor_par", "pipeline_par", "data_par", "pipeline_interleaving", "microbatch_size")
    return tuple(float(strategy[name]) for name in names)


def choices(strategy: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return the values of one of Calculon's executions on the axes of MEANING."""
    return (
        strategy["activation_recompute"],
        strategy["optimizer_sharding"],
        (strategy["tensor_par_comm_type"], strategy["seq_par_ag_redo"]),
        strategy["data_par_overlap"],
        strategy["tensor_par_overlap"],
        (strategy["weight_offload"], strategy["activations_offload"], strategy["optimizer_offload"]),
        (strategy["tensor_par_net"], strategy["pipeline_par_net"], strategy["data_par_net"]),
    )


def layout_of(strategy: Mapping[str, Any]) -> Layout:
    """Return one of Calculon's executions as a layout of its own."""
    fields: Fields = dict(zip(DEGREES, degrees(strategy), strict=True))
    for meaning, value in zip(MEANING.values(), choices(strategy), strict=True):
        fields |= meaning(value)
    return Layout(fused_attention=False, **fields)


def blocks(case: Case, heads: int, layers: int) -> list[Block]:
    """Return the whole space of a case: rows that have the same axes in use, and the same batch, together."""
    found: dict[tuple[Any, ...], list[tuple[int, ...]]] = {}
    for batch, row in rows(case, heads, layers):
        several = tuple(degree > 1 for degree in row[:3])
        found.setdefault((batch, *several), []).append(row)
    return [_block(key[0], key[1:], np.array(group, dtype=float)) for key, group in found.items()]


def rows(case: Case, heads: int, layers: int) -> Iterator[tuple[int, tuple[int, ...]]]:
    """Yield (batch, degrees) as Calculon enumerates them; the batch is the largest that all data ranks share evenly."""
    for tensor in divisors(case.cards):
        if heads % tensor:
            continue
        for pipeline in divisors(min(case.cards // tensor, layers)):
            if case.cards % (tensor * pipeline) or layers % pipeline:
                continue
            data = case.cards // (tensor * pipeline)
            chunks = divisors(layers // pipeline) if pipeline > 1 else [1]
            for virtual, micro_batch in product(chunks, divisors(case.batch // data)):
                if micro_batch * SEQUENCE_TOKENS % tensor == 0:
                    yield case.batch // data * data, (tensor, pipeline, data, virtual, micro_batch)


def divisors(number: int) -> list[int]:
    """Return all divisors; none of 0."""
    return [divisor for divisor in range(1, number + 1) if number % divisor == 0]


def _block(batch: int, several: tuple[bool, ...], group: npt.NDArray[np.float64]) -> Block:
    tensor, pipeline, data = several
    switch: tuple[bool, ...] = (True, False)
    values: tuple[tuple[Any, ...], ...] = (
        tuple(RECOMPUTE),
        switch if data else (False,),
        tuple(COLLECTIVES),
        switch if data else (False,),
        ("none", "ring", "pipe") if tensor else ("none",),
        tuple(product((False, True), repeat=3)),
        tuple(product(*((0, 1) if there else (0,) for there in (tensor, pipeline, data)))),
    )
    full = _along(0, values[0], lambda word: word == "full")
    again = _along(2, values[2], lambda how: how[1])
    kept_away = _along(5, values[5], lambda flags: flags[1])
    return Block(batch=batch, rows=group, values=values, legal=~(full & (again | kept_away))[None])


def _along(axis: int, values: tuple[Any, ...], true: Callable[[Any], bool]) -> npt.NDArray[np.bool_]:
    return np.array([true(value) for value in values]).reshape(-1, *(1,) * (len(MEANING) - 1 - axis))
