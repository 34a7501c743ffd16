"""One layer of experts, forward: the kernels of a rank and its two exchanges of tokens, one after another."""

from superpod.catalog.load import Catalogue
from superpod.catalog.model_spec import GroupedQueryAttention, LayerGroup, MixtureOfExperts, ModelSpec
from superpod.errors import NoBasisError
from superpod.parallel.axes.expert import exchange_times
from superpod.parallel.layout import Layout
from superpod.parallel.place import groups
from superpod.plan.machine import machine
from superpod.plan.scenario import Scenario, Training
from superpod.validate.hardware import place_of
from superpod.validate.point import Point
from superpod.validate.training_layout import precision_of
from superpod.validate.values import number
from superpod.workload.blocks import moe
from superpod.workload.phase import training_phase


def layer_seconds(catalogue: Catalogue, point: Point) -> float:
    """Return the seconds of a forward pass of one layer of experts with balanced routing."""
    config = point.config
    sizes = {name: number(config, name) for name in ("seq", "hidden", "moe_ffn", "experts", "top_k")}
    lacking = [name for name, size in sizes.items() if size is None]
    if lacking:
        raise NoBasisError(f"no {', '.join(lacking)}", where="config")
    tokens, hidden, width, experts, top_k = (float(size or 0.0) for size in sizes.values())
    ffn = MixtureOfExperts(
        kind="moe",
        experts_count=round(experts),
        top_k=round(top_k),
        width_count=round(width),
        shared_width_count=round(number(config, "shared_ffn") or 0.0),
    )
    place = place_of(catalogue, point.hardware, point.chips or 1.0)
    tensor, expert = number(config, "tp") or 1.0, number(config, "ep") or 1.0
    layout = Layout(tensor=tensor, data=place.cards / tensor, expert=expert, micro_batch=number(config, "mbs") or 1.0)
    spec = _one_layer(ffn, round(hidden))
    scenario = Scenario(model=spec.id, pod=place.pod, work=Training(), cards=round(place.cards))
    made = machine(catalogue, scenario, spec=spec, precision=precision_of(config))
    phase = training_phase(layout.micro_batch, tokens, 1.0, fused_attention=True)
    kernels = moe.operators(ffn, round(hidden), phase, layout.partition, made.precision)
    sent = exchange_times(made.engine, groups(layout).expert, ffn, phase, layout.partition)
    return float(made.engine.seconds(kernels)) + float(sent[0] + sent[1])


def _one_layer(ffn: MixtureOfExperts, hidden: int) -> ModelSpec:
    """Return a model of one such layer; its attention is not asked for."""
    attention = GroupedQueryAttention(kind="gqa", heads_count=1, kv_heads_count=1, head_dim=hidden)
    return ModelSpec(
        id="one-layer",
        version="",
        name="one layer of experts",
        org="",
        hidden_count=hidden,
        vocab_count=1,
        context_max_count=0,
        layers=(LayerGroup(count=1, attention=attention, ffn=ffn),),
    )
