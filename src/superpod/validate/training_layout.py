"""How a published training run was laid out, read from its configuration: degrees, choices and number format."""

import re
from collections.abc import Mapping
from dataclasses import replace

from superpod.catalog.model_spec import DenseFeedForward, MixtureOfExperts, ModelSpec
from superpod.errors import NoBasisError
from superpod.parallel.layout import Layout
from superpod.validate.formats import meaning
from superpod.validate.point import Point
from superpod.validate.software import trainer
from superpod.validate.values import number
from superpod.workload.precision import PRECISIONS, Precision

MICRO_BATCH = ("mbs", "micro_batch", "micro_batch_size", "local_batch", "local_batch_size", "batch_per_gpu")
SHARDED = re.compile(r"fsdp|fully sharded|zero-?3", re.IGNORECASE)
EXPERTS_HIDDEN = re.compile(r"(all-to-all|a2a|ep)\b[^,;]*(overlap|hidden)", re.IGNORECASE)
NARROW_GRADIENTS = re.compile(r"bf16 grad(ient)?s? reduc", re.IGNORECASE)
DATA_HIDDEN = re.compile(r"overlap|prefetch|latency-hiding|hidden|defaults", re.IGNORECASE)
TENSOR_HIDDEN = re.compile(r"(?<!no )\bTP\b[^;.]*overlap", re.IGNORECASE)
NOTHING_HIDDEN = re.compile(r"^(none|no overlap|off)", re.IGNORECASE)
FLASH = re.compile(r"flash|fused attention|sdpa|triton", re.IGNORECASE)


def precision_of(config: Mapping[str, object]) -> Precision:
    """Return the number format; raise NoBasisError where the words mean none.

    Frameworks dispatch tokens in 16 bits; the fine-grained FP8 of DeepSeek-V3 in 8 (arXiv 2412.19437, section 3.3).
    """
    words = str(config.get("precision") or config.get("dtype") or "").lower()
    found = meaning(words, "training")
    if found is None:
        raise NoBasisError(f"number format {words or 'not stated'!r}", where="config.precision")
    made = PRECISIONS[found[0]]
    dispatch = made.dispatch_bytes if "fine-grained" in words else 2.0
    return replace(made, scaling=found[1], dispatch_bytes=dispatch, kv_bytes=2.0)


def layout_of(point: Point, spec: ModelSpec, ranks: float, *, old_kernels: bool) -> Layout:
    """Return the point's own layout on `ranks` ranks; raise NoBasisError for what it does not state.

    `old_kernels`: a chip of the time before fused attention was common; there a dense GPT without a word of it ran
    softmax and products apart (arXiv 2205.05198), and the ranks of a tensor group kept whole sequences.
    """
    config = point.config
    tensor, context, pipeline = (number(config, *names) or 1.0 for names in (("tp",), ("cp",), ("pp",)))
    data = number(config, "dp") or ranks / (tensor * context * pipeline)
    if abs(tensor * context * pipeline * data - ranks) > 0.5:
        raise NoBasisError(
            f"TP x CP x PP x DP is {tensor * context * pipeline * data:g} on {ranks:g} ranks", where="config"
        )
    micro_batch = number(config, *MICRO_BATCH)
    if micro_batch is None:
        raise NoBasisError("no micro-batch size", where="config.mbs")
    moe = any(isinstance(group.ffn, MixtureOfExperts) for group in spec.layers)
    plain = all(isinstance(group.ffn, DenseFeedForward) and not group.ffn.gated for group in spec.layers)
    zero = zero_of(point)
    unfused = old_kernels and plain and zero != "3" and not FLASH.search(text_of(point))
    shares_sequence = config.get("sequence_parallel")
    ran = trainer(point.title, point.table, spec.name)
    return Layout(
        tensor=tensor,
        context=context,
        pipeline=pipeline,
        virtual=virtual_of(config, pipeline),
        data=data,
        expert=(number(config, "ep") or 1.0) if moe else 1.0,
        expert_tensor=(number(config, "etp") or tensor) if moe else 1.0,
        micro_batch=micro_batch,
        gradient_bytes=2.0 if NARROW_GRADIENTS.search(text_of(point)) else ran.gradient_bytes,
        zero=zero,
        recompute=recompute_of(point),
        overlap=overlap_of(point, moe=moe),
        tensor_overlap="ring" if tensor > 1.0 and TENSOR_HIDDEN.search(text_of(point)) else "none",
        context_kind="ulysses" if re.search("all-to-all|a2a|ulysses", str(config.get("cp_comm")).lower()) else "ring",
        sequence_parallel=bool(shares_sequence) if shares_sequence is not None else not unfused,
        fused_attention=not unfused,
    )


def virtual_of(config: Mapping[str, object], pipeline: float) -> float:
    """Return the model chunks of a stage; raise NoBasisError where an interleaved schedule does not say how many."""
    virtual = number(config, "vp", "virtual")
    if virtual is not None:
        return virtual if pipeline > 1.0 else 1.0
    if pipeline > 1.0 and "interleaved" in str(config.get("schedule", "")).lower():
        raise NoBasisError("no interleaving degree", where="config.vp")
    return 1.0


def text_of(point: Point) -> str:
    """Return the words in which a source says what overlaps, what is sharded and what is recomputed."""
    config = point.config
    return "; ".join(
        str(part) for part in (config.get("overlap") or "", config.get("sharding") or "", point.notes) if part
    )


def zero_of(point: Point) -> str:
    """Return what is sharded over data ranks: FSDP is stage 3, a distributed optimizer stage 1."""
    config = point.config
    stated = config.get("zero")
    if any(key in config for key in ("fsdp", "sharding")) or SHARDED.search(f"{stated} {config.get('overlap')}"):
        kept = re.search(r"params kept", str(stated))
        return "2" if kept else "3"
    if isinstance(stated, int | float) and not isinstance(stated, bool):
        return str(round(stated))
    found = re.search(r"(?:zero|stage)[- ]?(\d)", str(stated), re.IGNORECASE)
    if found:
        return found[1]
    return "1" if re.search(r"distributed optimi[sz]er|DP grad/param", text_of(point)) else "0"


def overlap_of(point: Point, *, moe: bool) -> str:
    """Return what travels beside kernels: nothing where the source says nothing and shards nothing."""
    stated = str(point.config.get("overlap") or "")
    if NOTHING_HIDDEN.search(stated):
        return "none"
    words = text_of(point)
    if moe and EXPERTS_HIDDEN.search(words):
        return "data+expert"
    if DATA_HIDDEN.search(words) or zero_of(point) == "3":
        return "data"
    return "none" if zero_of(point) in {"0", "1"} else "data"


def recompute_of(point: Point) -> str:
    """Return what is computed again: nothing, all, or parts; raise NoBasisError where the source does not say.

    Modules that a list names (norms, up-projections of latent attention) count as `selective`, which for latent
    attention repeats the up-projections and the attention kernel.
    """
    words = str(point.config.get("recompute") or "").lower()
    if not words:
        chips = re.search(r"(\w+) recomputes", point.notes)
        return "selective" if chips and chips[1].lower() in point.hardware.lower() else "none"
    if "not stated" in words:
        raise NoBasisError("recompute policy not stated", where="config.recompute")
    if words.startswith(("none", "no ", "false", "off")):
        return "none"
    return "full" if words.startswith(("full", "true", "uniform", "block")) else "selective"
