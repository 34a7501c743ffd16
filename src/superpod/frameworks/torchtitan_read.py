"""torchtitan's job files and command lines, read."""

import re
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

from superpod.catalog.load import Catalogue
from superpod.catalog.model_spec import MixtureOfExperts, ModelSpec
from superpod.errors import ScenarioError, UnknownNameError
from superpod.frameworks.core import flags
from superpod.frameworks.core_read import cards_of, noted
from superpod.frameworks.imported import Imported
from superpod.frameworks.settings import Setting, Settings, listed
from superpod.frameworks.shell import read_script

NAME = "torchtitan"
SCHEDULES = {
    "gpipe": ("gpipe", False),
    "loopedbfs": ("gpipe", True),
    "1f1b": ("1f1b", False),
    "interleaved1f1b": ("1f1b", True),
    "interleavedzerobubble": ("1f1b", True),  # with a note: its bubble is smaller
    "zbvzerobubble": ("zb-v", True),
    "dualpipev": ("dualpipev", True),
}
WRITTEN = {
    ("gpipe", False): "GPipe",
    ("gpipe", True): "LoopedBFS",
    ("1f1b", False): "1F1B",
    ("1f1b", True): "Interleaved1F1B",
    ("zb-v", True): "ZBVZeroBubble",
    ("dualpipev", True): "DualPipeV",
}
# Models that torchtitan registers, by their catalogue entry.
FLAVOURS = {
    "llama-3.1-8b": ("llama3", "8B"),
    "llama-3.1-70b": ("llama3", "70B"),
    "llama-3.1-405b": ("llama3", "405B"),
    "llama-4-maverick": ("llama4", "17bx128e"),
    "deepseek-v3": ("deepseek_v3", "671B"),
    "qwen3-8b": ("qwen3", "8B"),
    "qwen3-32b": ("qwen3", "32B"),
    "qwen3-30b-a3b": ("qwen3", "30B-A3B"),
    "qwen3-235b-a22b": ("qwen3", "235B-A22B"),
    "gpt-oss-20b": ("gpt_oss", "20b"),
    "gpt-oss-120b": ("gpt_oss", "120b"),
}
NOTED = {
    "activation_checkpoint.memory_budget": "read as none",
    "parallelism.context_parallel_rotate_method": "keys and values are read as passed around a ring",
    "parallelism.module_fqns_per_model_part": "uneven stages by hand; read as evenly shared",
    "parallelism.pipeline_parallel_schedule_csv": "a schedule by hand; read as the named one",
    "training.dtype": "the optimizer is read as keeping 32-bit weights",
}
READ = listed(
    "training.local_batch_size training.global_batch_size training.seq_len training.enable_cpu_offload"
    " training.mixed_precision_param parallelism.data_parallel_replicate_degree parallelism.data_parallel_shard_degree"
    " parallelism.fsdp_reshard_after_forward parallelism.tensor_parallel_degree"
    " parallelism.enable_async_tensor_parallel parallelism.pipeline_parallel_degree"
    " parallelism.pipeline_parallel_first_stage_less_layers parallelism.pipeline_parallel_last_stage_less_layers"
    " parallelism.pipeline_parallel_layers_per_stage parallelism.pipeline_parallel_schedule"
    " parallelism.pipeline_parallel_microbatch_size parallelism.pipeline_parallel_expert_parallel_overlap"
    " parallelism.context_parallel_degree parallelism.expert_parallel_degree"
    " parallelism.expert_tensor_parallel_degree activation_checkpoint.mode activation_checkpoint.selective_ac_option"
    " compile.enable model.name model.flavor model.converters nnodes nproc_per_node"
)
Fixed = dict[str, float | str]


def read(text: str, where: str = "") -> Imported:
    """Return what a job file or a command line says; raise ScenarioError for what is malformed or no number."""
    settings = Settings(where=where, values=job_file(text, where) if is_toml(text) else command_line(text, where))
    model_id, spec = model_of(settings)
    cards, notes = cards_of(settings)
    fixed, said = degrees(settings, cards, spec)
    for part in (schedule, sharding, memory):
        more, also = part(settings, fixed, spec)
        fixed |= more
        said += also
    ranks = cards
    if "data" in fixed:
        ranks = int(float(fixed["data"]) * float(fixed["tensor"]) * float(fixed["context"]) * float(fixed["pipeline"]))
    batch, also = batch_of(settings, fixed)
    precision, scaled = precision_of(settings)
    known = {*READ, *NOTED}
    return Imported(
        framework=NAME,
        where=where,
        fixed=fixed,
        batch_sequences=batch,
        sequence_tokens=settings.whole("training.seq_len"),
        precision=precision,
        model=spec,
        model_id=model_id,
        missing=() if spec else ("a model that torchtitan and the catalogue both have",),
        cards_count=ranks,
        unread=(*notes, *said, *also, *scaled, *noted(settings, NOTED)),
        ignored_count=sum(name not in known for name in settings.values),
    )


def is_toml(text: str) -> bool:
    """Return whether a text has tables rather than words of a command."""
    return bool(re.search(r"^\s*\[[\w.]+\]", text, re.MULTILINE)) and not re.search(r"--parallelism\.\w+", text)


def job_file(text: str, where: str) -> dict[str, Setting]:
    """Return the keys of a job file by their path; raise ScenarioError for malformed TOML."""
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ScenarioError(f"{error}: expected TOML", where=where, hint="check that line") from None
    except RecursionError:
        raise ScenarioError("nested too deeply to be read", where=where) from None
    values = {path: Setting(value=value, said=path) for path, value in leaves(tables, "")}
    comments = " ".join(re.findall(r"^\s*#(.*)$", text, re.MULTILINE))
    launch = flags(read_script(re.sub(r"['\"`]", "", comments)).words, frozenset())
    return values | {name: launch[name] for name in ("nnodes", "nproc_per_node") if name in launch}


def leaves(table: Mapping[str, Any], path: str) -> Iterator[tuple[str, Any]]:
    """Yield the values under a table by their path."""
    for key, value in table.items():
        inner = f"{path}.{key}" if path else key
        if isinstance(value, Mapping):
            yield from leaves(value, inner)
        else:
            yield inner, value


def command_line(text: str, where: str) -> dict[str, Setting]:
    """Return the `--section.key value` words of a script; `--section.no_key` says no."""
    found = {}
    for name, setting in flags(read_script(text, where).words, frozenset()).items():
        section, _, key = name.rpartition(".")
        denied = key.startswith("no_") and setting.value is True
        found[f"{section}.{key[3:]}" if denied else name] = Setting(
            value=False if denied else setting.value, said=setting.said, line=setting.line
        )
    return found


def model_of(settings: Settings) -> tuple[str, ModelSpec | None]:
    """Return the catalogue entry of the model that the file names."""
    named = (settings.word("model.name"), settings.word("model.flavor").removesuffix("_flex").removesuffix("_varlen"))
    for model_id, (name, flavour) in FLAVOURS.items():
        if named == (name, flavour.lower()):
            try:
                return model_id, Catalogue().model(model_id)
            except UnknownNameError:
                return "", None
    return "", None


def degrees(settings: Settings, cards: int | None, spec: ModelSpec | None) -> tuple[Fixed, list[str]]:
    """Return the degrees; a shard degree of -1 takes the cards that are left, if their number is known."""
    axes = {axis: settings.degree(f"parallelism.{axis}_parallel_degree") for axis in ("tensor", "context", "pipeline")}
    fixed: Fixed = {axis: float(value) for axis, value in axes.items()}
    copies = settings.degree("parallelism.data_parallel_replicate_degree")
    shards = settings.whole("parallelism.data_parallel_shard_degree", -1, least=-1)
    block = axes["tensor"] * axes["context"] * axes["pipeline"] * copies
    if shards == 0:
        raise settings.problem("parallelism.data_parallel_shard_degree", "-1, or 1 or more")
    if cards is not None and (cards % block or (shards != -1 and block * (shards or 1) != cards)):
        raise ScenarioError(
            f"degrees multiply to {block * max(shards or 1, 1)}, found {cards} cards, expected a match",
            where=settings.where,
            hint="change a degree, or the nodes and cards a node",
        )
    notes = []
    if shards == -1 and cards is None:
        notes.append("parallelism.data_parallel_shard_degree = -1: the number of cards is not stated")
    else:
        shards = cards // block if shards == -1 and cards is not None else shards
        fixed["data"] = float(copies * (shards or 1))
        fixed["shard"] = float((shards or 1) * axes["context"]) if copies > 1 and (shards or 1) > 1 else 0.0
    expert = settings.degree("parallelism.expert_parallel_degree")
    apart = settings.degree("parallelism.expert_tensor_parallel_degree")
    if expert > 1 and apart not in {1, axes["tensor"]}:
        raise settings.problem("parallelism.expert_tensor_parallel_degree", f"1 or the tensor degree {axes['tensor']}")
    whole = axes["tensor"] if spec is None or has_experts(spec) else 1
    fixed |= {"expert": float(expert), "expert_tensor": float(apart if expert > 1 else whole)}
    if spec is None and expert == 1:
        del fixed["expert_tensor"]  # it depends on whether the model has experts
    return fixed, notes


def has_experts(spec: ModelSpec) -> bool:
    """Return whether a model has routed experts."""
    return any(isinstance(group.ffn, MixtureOfExperts) for group in spec.layers)


def schedule(settings: Settings, fixed: Fixed, spec: ModelSpec | None) -> tuple[Fixed, list[str]]:
    """Return the pipeline schedule, chunks and how layers lie on stages."""
    if fixed["pipeline"] == 1.0:
        return {"schedule": "1f1b", "virtual": 1.0, "split": "even"}, []
    key = "parallelism.pipeline_parallel_schedule"
    word = settings.word(key, default="1f1b")
    if word not in SCHEDULES:
        raise settings.problem(key, " or ".join(WRITTEN.values()))
    name, several = SCHEDULES[word]
    notes = [f"{key} = {word}: read as Interleaved1F1B"] if word == "interleavedzerobubble" else []
    ends = [
        settings.whole(f"parallelism.pipeline_parallel_{end}_stage_less_layers", 1, least=0)
        for end in ("first", "last")
    ]
    found: Fixed = {"schedule": name, "split": "even" if ends == [0, 0] else "counted"}
    if ends not in ([0, 0], [1, 1]):
        notes.append(f"stages that are {ends[0]} and {ends[1]} layers short: read as one layer each")
    each = settings.whole("parallelism.pipeline_parallel_layers_per_stage")
    if each is None or not several or name in {"zb-v", "dualpipev"}:
        return {**found, "virtual": 2.0 if several else 1.0}, notes
    if spec is None:
        return found, [*notes, "parallelism.pipeline_parallel_layers_per_stage: the number of layers is not known"]
    chunks = -(-(spec.layers_count + sum(end or 0 for end in ends)) // each)
    if chunks % int(float(fixed["pipeline"])) or chunks < 2 * float(fixed["pipeline"]):
        raise settings.problem(
            "parallelism.pipeline_parallel_layers_per_stage", "2 chunks or more on each stage, as many on every one"
        )
    return {**found, "virtual": chunks / float(fixed["pipeline"])}, notes


def sharding(settings: Settings, fixed: Fixed, spec: ModelSpec | None) -> tuple[Fixed, list[str]]:
    """Return what is sharded and what travels beside kernels."""
    key = "parallelism.fsdp_reshard_after_forward"
    policy = settings.word(key, ("default", "always", "never"), "default")
    shards = settings.whole("parallelism.data_parallel_shard_degree", -1, least=-1)
    if "data" in fixed:
        shards = int(float(fixed["data"])) // settings.degree("parallelism.data_parallel_replicate_degree")
    replicated = shards == 1 and fixed["context"] == 1.0
    kept = policy == "never" or (policy == "default" and fixed["pipeline"] != 1.0)
    tokens = settings.flag("parallelism.pipeline_parallel_expert_parallel_overlap", default=True)
    tokens = tokens and settings.word("parallelism.pipeline_parallel_schedule") == "dualpipev"
    tokens = tokens and fixed["expert"] != 1.0 and fixed["pipeline"] != 1.0
    ring = settings.flag("parallelism.enable_async_tensor_parallel") and fixed["tensor"] != 1.0
    return {
        "zero": "0" if replicated else "2" if kept else "3",
        "overlap": "data+expert" if tokens else "data",
        "tensor_overlap": "ring" if ring else "none",
        "gradient_bytes": 4.0,
        "context_kind": "ring",
        "order": "tp-cp-dp-pp",
        "sequence_parallel": True,
        "scatter_gather": True,
        "fused_attention": True,
    }, []


def memory(settings: Settings, fixed: Fixed, spec: ModelSpec | None) -> tuple[Fixed, list[str]]:
    """Return what is computed again and what lives in host memory; `selective` is torchtitan's default."""
    key = "activation_checkpoint.mode"
    mode = settings.word(key, ("none", "selective", "full", "memory_budget"), "selective")
    option = settings.word("activation_checkpoint.selective_ac_option", default="2")
    what = "every second product is computed again" if option == "op" else f"every layer of {option} is computed again"
    notes = [f"{key} = selective ({option}): {what}; read as the attention kernel"] if mode == "selective" else []
    host = "weights+optimizer" if settings.flag("training.enable_cpu_offload") else "none"
    return {"recompute": "none" if mode == "memory_budget" else mode, "offload": host}, notes


def batch_of(settings: Settings, fixed: Fixed) -> tuple[int | None, list[str]]:
    """Return the sequences of a step, and set the micro-batch; stages cut the local batch into micro-batches."""
    local = settings.degree("training.local_batch_size") if "training.local_batch_size" in settings else 8
    micro = settings.degree("parallelism.pipeline_parallel_microbatch_size") if fixed["pipeline"] != 1.0 else local
    if local % micro:
        raise settings.problem("training.local_batch_size", f"a multiple of the micro-batch {micro}")
    fixed["micro_batch"] = float(micro)
    batch = settings.whole("training.global_batch_size", -1, least=-1)
    data = int(float(fixed.get("data", 0.0)))
    if batch in {None, -1, 0}:
        return (local * data or None), []
    if data and (batch or 0) % (local * data):
        raise settings.problem("training.global_batch_size", f"a multiple of local batch {local} x data {data}")
    drained = fixed["pipeline"] != 1.0 and data and batch != local * data
    return batch, ["gradients add up over several drained pipelines; read as one"] if drained else []


def precision_of(settings: Settings) -> tuple[str | None, list[str]]:
    """Return a row of PRECISIONS, None for 32 bits."""
    converters = settings.words("model.converters")
    if any("mx" in word for word in converters):
        return "fp8", []
    if any("float8" in word for word in converters):
        return "fp8", ["float8: a scale a tensor or row; read as a scale a block"]
    wide = settings.word("training.mixed_precision_param", default="bfloat16") != "bfloat16"
    return (None, ["32-bit weights in products are not modelled"]) if wide else ("bf16", [])
