"""How a published serving point was run, read from its own words: number format, layout, requests and software."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from superpod.catalog.model_spec import MixtureOfExperts, ModelSpec
from superpod.errors import NoBasisError
from superpod.parallel.layout import Layout
from superpod.serve.steady import Requests
from superpod.validate.formats import WEIGHTS_ONLY, meaning
from superpod.validate.programs import program_fact, program_number
from superpod.validate.values import number
from superpod.workload.precision import PRECISIONS, Precision

WEIGHT_ONLY_BYTES = 0.53125  # four bits and an 8-bit scale for 32 elements (OCP Microscaling Formats 1.0, table 1)
TRACES = {"sharegpt": "sharegpt"}  # first words of a workload, and the table of programs.toml with its mean lengths


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """One point's run: `layout` of an instance, `instances_count` of them, and what they were asked.

    `held_count` are requests of one attention group at once where the point states them, else None; `requests_count`
    those of an offline run, else None; `borrowed` says which number of the run is another's.
    """

    layout: Layout
    instances_count: float
    requests: Requests
    held_count: float | None
    requests_count: float | None
    borrowed: str = ""


def precision_of(config: Mapping[str, Any], spec: ModelSpec) -> Precision:
    """Return the number format that a point's words mean; raise NoBasisError where they mean none.

    FP8 is scaled by blocks in mixtures of experts, as their authors publish them, and by tensors in dense models.
    """
    words = str(config.get("quantisation") or config.get("precision") or config.get("weights") or "").lower()
    found = meaning(words, "serving")
    if found is None:
        raise NoBasisError(f"number format {words or 'not stated'!r}", where="config.quantisation")
    name, scale = found
    moe = any(isinstance(group.ffn, MixtureOfExperts) for group in spec.layers)
    if name == WEIGHTS_ONLY:
        made = replace(PRECISIONS["bf16"], name=WEIGHTS_ONLY, weight_bytes=WEIGHT_ONLY_BYTES)
    elif name == "fp8":
        made = replace(PRECISIONS["fp8"], scaling="block" if moe else "tensor")
    else:
        made = replace(PRECISIONS[name], scaling=scale)
    if words.startswith("w4a8"):
        made = replace(made, weight_bytes=WEIGHT_ONLY_BYTES)
    narrow_cache = re.search(r"fp8 kv|kv[^,;]*fp8|c8", words) or str(config.get("kv", "")).lower().startswith("fp8")
    return replace(made, kv_bytes=1.0) if narrow_cache else made


def deployment_of(config: Mapping[str, Any], spec: ModelSpec, ranks: float, ranks_per_chip: float) -> Deployment:
    """Return how `ranks` ranks run the model; raise NoBasisError for what the point does not state."""
    imbalance, borrowed = imbalance_of(config)
    layout = replace(layout_of(config, spec, ranks), imbalance_ratio=imbalance)
    size = float(layout.tensor * layout.data * layout.pipeline)
    instances = max(ranks / size, 1.0)
    return Deployment(
        layout=layout,
        instances_count=instances,
        requests=requests_of(config),
        held_count=held_of(config, layout, instances, ranks_per_chip),
        requests_count=number(config, "num_requests") if _offline(config) else None,
        borrowed=borrowed,
    )


def _offline(config: Mapping[str, Any]) -> bool:
    return "offline" in str(config.get("arrival", "")).lower()


def _degree(config: Mapping[str, Any], words: str, name: str, *keys: str) -> float | None:
    """Return a degree from its key, or from words such as `EP32` or `TP8`."""
    found = number(config, *keys)
    match = re.search(rf"\b{name}[ =-]?(\d+)", words, re.IGNORECASE)
    return found if found is not None else (float(match[1]) if match else None)


def layout_of(config: Mapping[str, Any], spec: ModelSpec, ranks: float) -> Layout:
    """Return the layout of one instance.

    `attention dp` groups of tensor ranks share one set of experts. Without experts spread over them, data-parallel
    groups are instances of their own. Of a bare tensor degree the experts are split like dense layers.
    """
    words = f"{config.get('deployment', '')} {config.get('layout', '')}"
    moe = any(isinstance(group.ffn, MixtureOfExperts) for group in spec.layers)
    tensor = _degree(config, words, "TP", "tp", "tensor_parallel", "tp_size")
    pipeline = _degree(config, words, "PP", "pp", "pipeline_parallel", "pp_size") or 1.0
    expert = _degree(config, words, "EP", "ep", "expert_parallel", "moe_ep", "moe_ep_size") if moe else None
    shared = number(config, "attn_dp", "attention_dp", "attention_dp_size", "dp_attention")
    data = number(config, "dp", "data_parallel", "dp_size") or 1.0
    if moe and config.get("ep") is True:
        expert = ranks / pipeline if tensor is None else tensor * data
    if moe and expert and expert > 1.0 and tensor is None:
        tensor = 1.0
    if tensor is None:
        raise NoBasisError("no tensor-parallel degree", where="config.tp")
    if shared and shared > 1.0 and tensor >= shared and number(config, "attention_dp_size") is None:
        tensor, data = tensor / shared, shared  # the degree printed is that of the whole instance
    elif shared and shared > 1.0:
        data = shared
    whole = tensor * data
    expert = min(expert or 1.0, max(ranks, 1.0))
    if expert > whole:
        data = expert / tensor
        whole = expert
    expert_tensor = whole / expert if moe else 1.0
    return Layout(
        tensor=tensor,
        pipeline=pipeline,
        data=data if moe and (expert > 1.0 or (shared or 1.0) > 1.0) else 1.0,
        expert=expert,
        expert_tensor=expert_tensor if expert > 1.0 else (tensor if moe else 1.0),
        staged=expert if "staged" in words else 1.0,
    )


def imbalance_of(config: Mapping[str, Any]) -> tuple[float, str]:
    """Return (load of the fullest expert rank, where it is borrowed from) by what a point says of its balance.

    1 where that is perfect or not said. Experts placed by load (EPLB), and routing that nothing balances, are as uneven
    as the one published measurement of each says. Raises NoBasisError for other words.
    """
    words = str(config.get("balance") or "").strip().lower()
    if not words or re.match(r"perfect|forced", words):
        return 1.0, ""
    if re.match(r"(none|no|not|off|without|unbalanced|uneven)\b", words):
        name = "unplaced_ratio"
    elif re.search(r"\b(eplb|placed)\b", words):
        name = "placed_ratio"
    else:
        raise NoBasisError(f"balance {words!r}", where="config.balance", hint="perfect, EPLB or none")
    ratio = program_number(f"routing.{name}")
    return ratio, f"load of the fullest rank {ratio:g} borrowed from {program_fact(f'routing.{name}').source}"


def requests_of(config: Mapping[str, Any]) -> Requests:
    """Return prompt, output and drafts; what is decoded at a stated cache length has an output of nothing around it."""
    named = TRACES.get(str(config.get("workload", "")).split(",")[0].strip().lower(), "")
    prompt = number(config, "isl", "prompt_tokens", "mean_isl", "input_len")
    output = number(config, "osl", "output_tokens", "mean_osl", "output_len")
    if prompt is None and output is None and named:
        prompt, output = program_number(f"{named}.prompt_tokens"), program_number(f"{named}.output_tokens")
    cached = number(config, "kv_len", "avg_kv_len")
    if prompt is None and cached is None:
        raise NoBasisError("no prompt length", where="config.isl")
    drafts, accepted = drafts_of(config)
    return Requests(
        prompt_tokens=float(prompt if prompt is not None else cached or 0.0),
        output_tokens=float(output) if output is not None else 0.0,
        draft_tokens=drafts,
        acceptance_frac=accepted,
    )


def drafts_of(config: Mapping[str, Any]) -> tuple[int, float]:
    """Return (draft tokens a step, share accepted) from `mtp` or `speculative`."""
    words = str(config.get("mtp", "none")).lower()
    if config.get("speculative") is True:
        raise NoBasisError("drafts of an unstated acceptance", where="config.speculative")
    count = re.search(r"(\d+) draft", words)
    if count is None:
        return 0, program_number("drafts.accepted_frac")
    share = re.search(r"(\d+) ?%", words)
    return int(count[1]), float(share[1]) / 100.0 if share else program_number("drafts.accepted_frac")


def held_of(config: Mapping[str, Any], layout: Layout, instances: float, ranks_per_chip: float) -> float | None:
    """Return the requests that one attention group holds at once, where the point says."""
    each = number(config, "batch_per_npu", "batch_per_gpu", "batch_per_chip")
    if each is not None:
        return each / ranks_per_chip * float(layout.tensor)
    alone = number(config, "batch", "avg_batch")
    if alone is not None:
        return alone / float(layout.data)
    together = number(config, "concurrency", "silicon_concurrency")
    return together / (instances * float(layout.data)) if together is not None else None
