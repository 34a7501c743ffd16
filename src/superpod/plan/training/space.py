"""Which layouts a search considers: degrees that fit each other as rows, and each choice on an axis of its own."""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from superpod.catalog.model_spec import LinearAttention, MixtureOfExperts, ModelSpec
from superpod.errors import MissingFactError, ScenarioError
from superpod.parallel.layout import (
    AXES,
    CONTEXT_KINDS,
    MODULES,
    OFFLOAD,
    OVERLAP,
    RECOMPUTE,
    SPLITS,
    TENSOR_OVERLAP,
    ZERO,
    Layout,
    legal,
)
from superpod.parallel.place import packed_ranks
from superpod.plan.machine import Machine
from superpod.plan.scenario import Training
from superpod.serve.expert_load import in_order_ratio
from superpod.train.schedules import SCHEDULES

Columns = dict[str, np.ndarray[Any, np.dtype[np.float64]]]
DEGREES = ("tensor", "context", "pipeline", "virtual", "expert", "expert_tensor", "micro_batch")
CHOICES = (
    "zero",
    "recompute",
    "schedule",
    "split",
    "overlap",
    "tensor_overlap",
    "context_kind",
    "offload",
    "order",
)
FLAGS = ("sequence_parallel", "gather_again", "scatter_gather", "fused_attention")
DEPTHS = ("standard", "deep")
POINTS_AT_ONCE = 400_000  # of the lattice: a few hundred megabytes of columns


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """A lattice of layouts: rows of degrees on the first axis, one axis for each choice; what is `settled` for all."""

    degrees: Columns
    choices: Mapping[str, tuple[str, ...]]
    settled: Mapping[str, bool | float] = field(default_factory=dict)

    @property
    def rows_count(self) -> int:
        """Combinations of degrees."""
        return len(self.degrees["tensor"])

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows of degrees, then the values of each choice."""
        return (self.rows_count, *(len(values) for values in self.choices.values()))

    @property
    def points_count(self) -> int:
        """All layouts."""
        return int(np.prod(self.shape))

    def rows(self, picked: Any) -> "Space":
        """Return the space of some rows of degrees, by index or by flag."""
        return replace(self, degrees=keep(self.degrees, picked))

    def layout(self) -> Layout:
        """Return the whole lattice as one layout whose fields broadcast against each other."""
        axes = 1 + len(self.choices)
        words: dict[str, Any] = {**self.settled}
        words |= {name: values.reshape(-1, *(1,) * (axes - 1)) for name, values in self.degrees.items()}
        for place, (name, values) in enumerate(self.choices.items(), start=1):
            shape = [1] * axes
            shape[place] = len(values)
            words[name] = values[0] if len(values) == 1 else np.array(values).reshape(shape)
        return Layout(**words)

    def pieces(self, points: int = POINTS_AT_ONCE) -> Iterator["Space"]:
        """Yield the space in pieces of whole rows, about `points` layouts each."""
        each = max(1, points // max(1, self.points_count // max(1, self.rows_count)))
        for first in range(0, self.rows_count, each):
            yield self.rows(slice(first, first + each))


def space(machine: Machine, work: Training, fixed: Mapping[str, float | str], depth: str = "standard") -> Space:
    """Return the layouts worth a look; `fixed` pins degrees or choices. Raises ScenarioError for unknown names."""
    check_fixed(fixed)
    if work.expert_visits_count and len(work.expert_visits_count) != experts(machine.spec):
        raise ScenarioError(
            f"found visits of {len(work.expert_visits_count)} experts, expected {experts(machine.spec):g}",
            where=f"models/{machine.spec.id}",
            hint="one number for each routed expert of a layer",
        )
    return Space(
        degrees=enumerate_degrees(machine, work, fixed, depth),
        choices=choices(machine, work, fixed, depth),
        settled=settled(fixed),
    )


def settled(fixed: Mapping[str, float | str]) -> dict[str, bool | float]:
    """Return the pinned fields that no search varies: flags, and the width of reduced gradients."""
    found: dict[str, bool | float] = {name: bool(fixed[name]) for name in FLAGS if name in fixed}
    return found | ({"gradient_bytes": float(fixed["gradient_bytes"])} if "gradient_bytes" in fixed else {})


def enumerate_degrees(machine: Machine, work: Training, fixed: Mapping[str, float | str], depth: str) -> Columns:
    """Return every legal combination of degrees as columns; ranks left over by a combination stay idle.

    Data parallelism takes what the other axes leave, at most one rank a sequence.
    """
    spec, ranks = machine.spec, machine.ranks_count
    axes = [axis_values(name, spec, machine, work, fixed, depth) for name in DEGREES]
    grid = np.meshgrid(*[np.asarray(values, dtype=float) for values in axes], indexing="ij")
    columns: Columns = {name: values.ravel() for name, values in zip(DEGREES, grid, strict=True)}
    shape = {"heads": heads(spec), "layers": float(spec.layers_count), "experts": experts(spec)}
    columns = keep(columns, legal(Layout(**columns, data=_any_data(columns)), **shape))  # type: ignore[arg-type]
    columns["data"] = _data(machine, work, fixed, columns)
    columns = keep(columns, columns["data"] >= 1)
    sized = Layout(**columns)  # type: ignore[arg-type]
    good = legal(sized, **shape)
    good &= np.asarray(columns["micro_batch"] * columns["data"] <= work.batch_sequences)
    if "data" not in fixed:
        good &= np.asarray(sized.ranks_count >= 0.5 * ranks)  # a layout that idles half the machine is no plan for it
    columns = keep(columns, good)
    columns["shard"] = np.full(len(columns["data"]), float(fixed.get("shard", 0.0)))
    columns["imbalance_ratio"] = imbalance(work, columns["expert"])
    if not len(columns["tensor"]):
        raise ScenarioError(
            f"no combination of degrees fits {ranks:g} ranks, {work.batch_sequences} sequences and {spec.name}",
            where=f"pods/{machine.pod.id}",
            hint="fewer cards (--cards), a larger --batch, or fewer pinned degrees",
        )
    return _sharded_in_pods(machine, columns) if depth == "deep" and "shard" not in fixed else columns


def imbalance(work: Training, expert: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return the load of the fullest expert rank over the mean, for each row.

    Of measured visits, e ranks hold consecutive experts (`serve.expert_load.in_order_ratio`).
    """
    ratios = np.full(len(expert), work.imbalance_ratio)
    loads = np.asarray(work.expert_visits_count, dtype=float)
    for ranks in np.unique(expert) if loads.size else ():
        ratios[expert == ranks] = in_order_ratio(loads, int(ranks))
    return ratios


def _any_data(columns: Columns) -> np.ndarray[Any, Any]:
    """Return a data degree that every expert group divides, to judge the other degrees alone."""
    return columns["expert"] * columns["expert_tensor"]


def _data(machine: Machine, work: Training, fixed: Mapping[str, float | str], columns: Columns) -> Any:
    """Return the data ranks that the other degrees leave, whole expert groups only; 0 where there is none."""
    inner = columns["tensor"] * columns["context"] * columns["pipeline"]
    unit = np.maximum(columns["tensor"] * columns["context"], columns["expert"] * columns["expert_tensor"])
    usable = packed_ranks(machine.fabric, float(machine.ranks_count), unit)
    data = np.minimum(np.floor(usable / inner), float(work.batch_sequences))
    experts_wide = (columns["expert"] * columns["expert_tensor"]).astype(int)
    common = np.gcd(experts_wide, (columns["tensor"] * columns["context"]).astype(int))
    block = experts_wide / common  # expert groups must divide tensor x context x data
    if "data" in fixed:
        asked = float(fixed["data"])
        return np.where((asked <= data) & (np.mod(asked, block) == 0), asked, 0.0)
    return np.floor(data / block) * block


def _sharded_in_pods(machine: Machine, columns: Columns) -> Columns:
    """Return the rows, and again those whose data ranks span pods with ZeRO inside each pod alone (HSDP)."""
    inside = np.floor(machine.fabric.ranks_per_pod / (columns["tensor"] * columns["context"])) * columns["context"]
    wide = (inside > 1) & (inside < columns["data"] * columns["context"])
    wide &= np.mod(columns["data"] * columns["context"], np.maximum(inside, 1.0)) == 0
    again = keep(columns, wide)
    again["shard"] = inside[wide]
    return {name: np.concatenate([values, again[name]]) for name, values in columns.items()}


def axis_values(
    name: str, spec: ModelSpec, machine: Machine, work: Training, fixed: Mapping[str, float | str], depth: str
) -> list[float]:
    """Return the degrees of one axis that are worth trying."""
    if name in fixed:
        return [float(fixed[name])]
    ranks, layers = machine.ranks_count, spec.layers_count
    powers = [float(2**power) for power in range(12) if 2**power <= ranks]
    moe, deep = experts(spec) > 1, depth == "deep"
    values: dict[str, list[float]] = {
        "tensor": [value for value in powers if value <= min(64.0, heads(spec))],
        "context": [value for value in powers if value <= max(1.0, work.sequence_tokens / 8192.0)],
        "pipeline": sorted(
            {1.0, *(value for value in powers if 2 <= value <= min(layers, 64)), *divisors(layers, ranks)}
        ),
        "virtual": [1.0, 2.0, 3.0, 4.0, 6.0, 8.0] if deep else [1.0, 2.0, 4.0],
        "expert": [value for value in powers if value <= experts(spec)] if moe else [1.0],
        "expert_tensor": [1.0, 2.0, 4.0] if moe and deep else [1.0],
        "micro_batch": [1.0, 2.0, 4.0, 8.0] if deep else [1.0, 2.0, 4.0],
    }
    return values[name]


def divisors(layers: int, ranks: float) -> list[float]:
    """Return divisors of the layer count up to 64 that also fit the machine."""
    return [float(stages) for stages in range(2, int(min(layers, ranks, 64)) + 1) if layers % stages == 0]


def choices(
    machine: Machine, work: Training, fixed: Mapping[str, float | str], depth: str
) -> Mapping[str, tuple[str, ...]]:
    """Return the values of each choice: what Megatron-Core runs, or, deep, all that is modelled."""
    spec = machine.spec
    moe = experts(spec) > 1
    options: dict[str, tuple[str, ...]] = {
        "zero": ("1", "3"),
        "recompute": ("none", "selective", "full"),
        "schedule": ("1f1b",),
        "split": ("even", "counted"),
        "overlap": ("data", "data+expert") if moe else ("data",),
        "tensor_overlap": ("none",),
        "context_kind": ("ring",),
        "offload": ("none",),
        "order": ("tp-cp-dp-pp", "tp-cp-pp-dp"),
    }
    if depth == "deep":
        options |= {
            "zero": ("1", "2", "3"),
            "recompute": (*options["recompute"], *_modules(spec)),
            "schedule": tuple(name for name in SCHEDULES if name != "gpipe"),
            "tensor_overlap": ("none", "ring"),
            "context_kind": ("ring", "ulysses") if work.sequence_tokens > 8192 else ("ring",),
            "offload": (OFFLOAD[0], *OFFLOAD[2:]) if machine.host.bytes_per_s else OFFLOAD[:1],
            "order": orders(context=work.sequence_tokens > 8192),
        }
    for name in CHOICES:
        if name in fixed:
            options[name] = (str(fixed[name]),)
    if options["offload"] != ("none",) and not machine.host.bytes_per_s:
        raise MissingFactError(
            "the way from a card to host memory is not published, and offloading needs it",
            where=f"pods/{machine.pod.id}:host.link_bytes_per_s",
            hint=f"give it with --set pods/{machine.pod.id}:host.link_bytes_per_s=NUMBER",
        )
    return options


def _modules(spec: ModelSpec) -> tuple[str, ...]:
    """Return sets of modules that are cheap to recompute for what they free, where the model has them."""
    names = ["core_attn", "layernorm"]
    if any(group.attention.kind == "mla" for group in spec.layers):
        names.append("mla_up_proj")
    if experts(spec) > 1:
        names.append("moe_act")
    return ("+".join(sorted(names[1:], key=MODULES.index)), "+".join(sorted(names, key=MODULES.index)))


def orders(*, context: bool) -> tuple[str, ...]:
    """Return the orders of axes that differ: context parallelism stays beside tensor parallelism where it is not used.

    Tensor ranks are neighbours: no other axis sends as often.
    """
    found = ["-".join(("tp", *rest)) for rest in itertools.permutations(AXES[1:])]
    return tuple(order for order in found if context or order.startswith("tp-cp"))


def keep(columns: Columns, rows: Any) -> Columns:
    """Return the columns at some rows, by index or by flag."""
    return {name: values[rows] for name, values in columns.items()}


def heads(spec: ModelSpec) -> float:
    """Return the heads that tensor ranks can share; linear layers count their key heads."""
    return float(
        min(
            group.attention.key_heads_count
            if isinstance(group.attention, LinearAttention)
            else group.attention.heads_count
            for group in spec.layers
        )
    )


def experts(spec: ModelSpec) -> float:
    """Return the routed experts of a layer, 1 for a dense model."""
    return float(
        max((group.ffn.experts_count for group in spec.layers if isinstance(group.ffn, MixtureOfExperts)), default=1)
    )


WORDS: Mapping[str, tuple[str, ...]] = {
    "zero": ZERO,
    "schedule": tuple(SCHEDULES),
    "split": SPLITS,
    "overlap": OVERLAP,
    "tensor_overlap": TENSOR_OVERLAP,
    "context_kind": CONTEXT_KINDS,
    "order": tuple("-".join(axes) for axes in itertools.permutations(AXES)),
}
LISTS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "recompute": (RECOMPUTE, MODULES),
    "offload": (OFFLOAD[:1], OFFLOAD[1:]),
}


def check_fixed(fixed: Mapping[str, float | str]) -> None:
    """Raise ScenarioError for a pinned name that is no degree and no choice, and for a word that a choice has not."""
    known = {*DEGREES, "data", "shard", "gradient_bytes", *CHOICES, *FLAGS}
    for name, value in fixed.items():
        if name not in known:
            raise ScenarioError(f"cannot pin {name!r}", where="layout", hint=f"known: {', '.join(sorted(known))}")
        if name in WORDS and value not in WORDS[name]:
            raise ScenarioError(
                f"found {value!r}, expected one of {', '.join(WORDS[name])}", where=f"layout: {name.replace('_', ' ')}"
            )
        if name in LISTS and value not in LISTS[name][0] and not set(str(value).split("+")) <= set(LISTS[name][1]):
            single, joined = LISTS[name]
            raise ScenarioError(
                f"found {value!r}, expected {', '.join(single)}, or {', '.join(joined)} joined by +",
                where=f"layout: {name}",
            )
