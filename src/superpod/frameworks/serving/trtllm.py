"""TensorRT-LLM: `trtllm-serve` commands, their YAML of options, and the file of `trtllm-serve disaggregated`.

Names: `tensorrt_llm/commands/serve.py`, `tensorrt_llm/llmapi/llm_args.py` and `examples/disaggregated` of
https://github.com/NVIDIA/TensorRT-LLM. With attention data parallelism each rank is an attention group; the batch is
that of one stage.
"""

import json
import re
from collections.abc import Mapping

from superpod.catalog.load import Catalogue
from superpod.errors import SuperpodError
from superpod.frameworks.serving.assemble import (
    Launched,
    Router,
    addresses,
    assembled,
    cache_of,
    catalogued,
    divides,
    noted,
    precision_of,
)
from superpod.frameworks.serving.commands import (
    Command,
    Source,
    amount,
    basename,
    commands,
    renamed,
    settings_of,
    share,
    yaml_settings,
)
from superpod.frameworks.serving.launch import (
    PORT,
    Launch,
    experts_count,
    flag_lines,
    spread_nodes,
    title,
    unsupported,
    written,
)
from superpod.frameworks.serving.pool import Pool, ServingImport
from superpod.frameworks.settings import Setting, Settings, scalar

NAME = "trtllm"
TABLE = {
    "mode": "the server's address under `context_servers` or `generation_servers`; `--server_role`",
    "instances": "commands of the same flags; `urls`, `num_instances`",
    "tensor": "`--tp_size`; 1 with `enable_attention_dp`",
    "context": "1: not read, not written",
    "pipeline": "`--pp_size`",
    "data": "`--tp_size` with `enable_attention_dp`",
    "expert": "`--ep_size`",
    "redundant_experts": "`moe_config.load_balancer.num_slots` less the model's experts",
    "sequences_max": "`--max_batch_size` x pipeline",
    "step_tokens_max": "`--max_num_tokens`",
    "context_tokens_max": "`--max_seq_len`",
    "scheduling": "mixed",
    "chunked": "`--enable_chunked_prefill`",
    "block_tokens": "`kv_cache_config.tokens_per_block`",
    "capacity_tokens": "`kv_cache_config.max_tokens`",
    "memory_frac": "`--kv_cache_free_gpu_memory_fraction`, or as `kv_cache_config` has it; of what weights leave",
    "cache_bytes": "`kv_cache_config.dtype`",
    "draft_tokens": "`speculative_config.num_nextn_predict_layers`, `max_draft_len`",
    "prefix_caching": "`kv_cache_config.enable_block_reuse`",
    "graphs": "off with `cuda_graph_config: null`",
    "own_collectives": "off with `allreduce_strategy: NCCL`",
    "precision": "`quant_config.quant_algo`, `dtype`; narrower ones are written as a remark: the checkpoint has them",
}
STARTS = {
    "router": (r"(?:.*/)?trtllm-serve disaggregated",),
    "engine": (r"(?:.*/)?trtllm-serve serve", r"(?:.*/)?trtllm-serve"),
}
NAMES = {
    "tp_size": "tensor_parallel_size",
    "pp_size": "pipeline_parallel_size",
    "cp_size": "context_parallel_size",
    "ep_size": "moe_expert_parallel_size",
    "cluster_size": "moe_cluster_parallel_size",
    "free_gpu_memory_fraction": "kv_cache_config.free_gpu_memory_fraction",
    "kv_cache_free_gpu_memory_fraction": "kv_cache_config.free_gpu_memory_fraction",
    "extra_llm_api_options": "config",
}
SWITCHES = ("enable_chunked_prefill", "trust_remote_code", "fail_fast_on_attention_window_too_large")
NOTED = {
    "context_parallel_size": "prompts are not split over ranks",
    "moe_cluster_parallel_size": "experts are spread over all ranks",
    "moe_tensor_parallel_size": "experts are split over what `--ep_size` leaves",
    "disable_overlap_scheduler": "the gap between steps is that of the release, whose scheduler runs ahead",
    "kv_cache_config.host_cache_size": "caches in host memory are a choice of the simulation",
    "scheduler_config.capacity_scheduler_policy": "requests are admitted as the release does",
    "batch_wait_timeout_iters": "a step does not wait for more requests",
    "batch_wait_timeout_ms": "a step does not wait for more requests",
    "attention_dp_config.enable_balance": "groups are filled evenly",
    "attn_backend": "attention is priced by the chip's calibration",
    "moe_config.backend": "products of experts are priced by the chip's calibration",
    "moe_config.load_balancer.layer_updates_per_iter": "experts are moved while serving; the load is `imbalance_ratio`",
    "moe_config.use_low_precision_moe_combine": "the combine is as the number format has it",
    "sparse_attention_config": "attention is the model's own",
    "torch_compile_config": "kernels are those of the release",
    "max_beam_width": "one beam",
    "enable_lora": "adapters are not modelled",
}
FORMATS = {"fp8": "fp8", "fp4": "fp4"}
READ = frozenset(
    {
        *NAMES.values(),
        *("max_batch_size", "max_num_tokens", "max_seq_len", "enable_chunked_prefill", "enable_attention_dp", "dtype"),
        *("kv_cache_config.tokens_per_block", "kv_cache_config.max_tokens", "kv_cache_config.dtype", "server_role"),
        *("kv_cache_config.enable_block_reuse", "speculative_config.num_nextn_predict_layers", "allreduce_strategy"),
        *("speculative_config.decoding_type", "speculative_config.max_draft_len", "quant_config.quant_algo"),
        *("moe_config.load_balancer.num_slots", "cuda_graph_config", "cache_transceiver_config.backend"),
        *NOTED,
    }
)


def recognised(text: str) -> bool:
    """Return whether a text starts TensorRT-LLM, or has the keys of its option file."""
    keys = r"^(enable_attention_dp|kv_cache_config|cuda_graph_config|moe_config|cache_transceiver_config)\s*:"
    return bool(re.search(r"\btrtllm-serve\b", text) or re.search(keys, text, re.MULTILINE))


def read(source: Source) -> ServingImport:
    """Return the deployment that a file launches; raise ScenarioError for what is malformed or contradicts itself."""
    found = commands(source, STARTS)
    routers = [router_of(command, source) for command in found if command.kind == "router"]
    router = next((one for one in routers if one is not None), None)
    launched = [instance(command, source, router) for command in found if command.kind == "engine"]
    return assembled(NAME, "tensorrt-llm-1", source.where, launched, router, source.script.doubts)


def options(settings: Settings, source: Source) -> tuple[dict[str, Setting], list[str]]:
    """Return the settings of the option file that a command names, and a remark where it is not at hand."""
    if "config" not in settings:
        return {}, []
    name = str(scalar(settings.values["config"].value))
    inner = source.files.get(basename(name))
    if inner is None:
        return {}, [f"{settings.said('config')} {name}: the file is not beside the script; its settings are not read"]
    return yaml_settings(inner, f"{source.where}: {basename(name)}"), []


def instance(command: Command, source: Source, router: Router | None) -> Launched:
    """Return what one command starts; what the option file says goes before the flags."""
    settings, model = settings_of(command, source.where, switches=SWITCHES)
    settings = renamed(settings, NAMES)
    inner, missing = options(settings, source)
    settings = renamed(Settings(where=source.where, values={**settings.values, **inner}), NAMES)
    ranks, stages = settings.degree("tensor_parallel_size"), settings.degree("pipeline_parallel_size")
    expert = settings.degree("moe_expert_parallel_size")
    divides(settings, "moe_expert_parallel_size", expert, ranks, "--tp_size")
    data = ranks if settings.flag("enable_attention_dp") else 1
    address = (settings.word("host", default="localhost"), str(amount(settings, "port") or PORT))
    mode, roles = role(settings, address, router)
    batch = amount(settings, "max_batch_size")
    draft, drafts = drafted(settings)
    spare, slots = redundant(settings, model)
    renames = {"quant_config.quant_algo": "quantization"}
    precision, unlike = precision_of(renamed(settings, renames), FORMATS)
    captured = "cuda_graph_config" not in settings.values or settings.values["cuda_graph_config"].value is not None
    pool = Pool(
        mode=mode,
        tensor=ranks // data,
        data=data,
        pipeline=stages,
        expert=expert,
        redundant_experts=spare,
        sequences_max=batch * stages if batch else None,
        step_tokens_max=amount(settings, "max_num_tokens"),
        context_tokens_max=amount(settings, "max_seq_len"),
        scheduling="mixed" if mode == "aggregated" else "",
        chunked=settings.flag("enable_chunked_prefill"),
        block_tokens=amount(settings, "kv_cache_config.tokens_per_block"),
        capacity_tokens=amount(settings, "kv_cache_config.max_tokens"),
        memory_frac=share(settings, "kv_cache_config.free_gpu_memory_fraction"),
        cache_bytes=cache_of(settings, "kv_cache_config.dtype"),
        draft_tokens=draft,
        prefix_caching=settings.flag("kv_cache_config.enable_block_reuse", default=True),
        graphs=captured,
        own_collectives=settings.word("allreduce_strategy") != "nccl",
    )
    waits = {name: how for name, how in NOTED.items() if mode == "aggregated" or name != "disable_overlap_scheduler"}
    return Launched(
        pool=pool,
        model=model,
        precision=precision,
        address=address,
        unread=(*missing, *([unlike] if unlike else []), *roles, *drafts, *slots, *noted(settings, waits)),
        ignored=frozenset(name for name in settings.values if name not in READ),
    )


def role(settings: Settings, address: tuple[str, str], router: Router | None) -> tuple[str, list[str]]:
    """Return what a server does by the orchestrator's file or its own role, a remark where neither says it.

    Servers of contexts run without the overlap scheduler, as the examples have it.
    """
    known = router.mode_of(address) if router else ""
    said = settings.word("server_role", ("context", "generation", "mm_encoder"), "")
    named = {"context": "prefill", "generation": "decode"}.get(said, known)
    if named:
        return named, []
    if not any(name.startswith("cache_transceiver_config") for name in settings.values):
        return "aggregated", []
    guess = "prefill" if settings.flag("disable_overlap_scheduler") else "decode"
    return guess, [f"cache_transceiver_config: read as a server of the {guess} pool, by its overlap scheduler"]


def drafted(settings: Settings) -> tuple[int, list[str]]:
    """Return the draft tokens of a step, and a remark where they do not come from the model's own layers."""
    prefix = "speculative_config."
    lengths = (amount(settings, f"{prefix}{name}") for name in ("max_draft_len", "num_nextn_predict_layers"))
    kind = settings.word(f"{prefix}decoding_type", default="none")
    count = next((length for length in lengths if length), 1 if kind == "mtp" else 0)
    return count, [] if kind in {"mtp", "none"} else [
        f"speculative_config {kind}: drafts are priced as the model's own layers"
    ]


def redundant(settings: Settings, model: str) -> tuple[int, list[str]]:
    """Return the experts that are held twice, and a remark where the model's own number is not known."""
    slots = amount(settings, "moe_config.load_balancer.num_slots")
    if not slots:
        return 0, []
    try:
        count = experts_count(Catalogue().model(catalogued(model)))
    except SuperpodError:
        count = 0
    unknown = [f"num_slots {slots}: the model's experts are not known; none are read as held twice"]
    return (max(slots - count, 0), []) if count else (0, unknown)


def router_of(command: Command, source: Source) -> Router | None:
    """Return what the orchestrator's file says, None where it is not at hand."""
    settings, _ = settings_of(command, source.where, short={"-c": "config_file"})
    name = str(scalar(settings.values["config_file"].value)) if "config_file" in settings else ""
    inner = source.files.get(basename(name))
    if inner is None:
        return None
    where = f"{source.where}: {basename(name)}"
    told = Settings(where=where, values=yaml_settings(inner, where))
    sides = {"prefill": "context_servers", "decode": "generation_servers"}
    found = {mode: addresses(told.words(f"{side}.urls")) for mode, side in sides.items()}
    counts = {mode: told.whole(f"{side}.num_instances", 0, least=0) or 0 for mode, side in sides.items()}
    return Router(policy=told.word("context_servers.router.type"), addresses=found, counts=counts)


def write(launch: Launch) -> str:
    """Return a script with its option files; raise ScenarioError for what TensorRT-LLM has no setting for."""
    return written(launch, arguments, node_arguments, router_lines, option_file)


def arguments(launch: Launch, pool: Pool) -> list[str]:
    """Return the command of an instance, a line a flag."""
    if pool.context > 1:
        raise unsupported(NAME, "context", pool.context, "1: no flag shares out the tokens of a prompt here")
    block = pool.tensor * pool.data
    if pool.data > 1 and pool.tensor > 1:
        raise unsupported(NAME, "tensor", pool.tensor, "1 with several attention groups: each rank is one")
    if block % pool.expert:
        raise unsupported(NAME, "expert", pool.expert, f"divisors of the {block} ranks of a stage")
    if pool.scheduling == "alternate":
        raise unsupported(NAME, "scheduling", pool.scheduling, "mixed: prompts ride along in decode steps")
    if (pool.sequences_max or 0) % pool.pipeline:
        raise unsupported(NAME, "sequences_max", pool.sequences_max, f"multiples of the {pool.pipeline} stages")
    return [
        'trtllm-serve "$MODEL"',
        *flag_lines(
            {
                "tp_size": block,
                "pp_size": pool.pipeline if pool.pipeline > 1 else None,
                "ep_size": pool.expert if pool.expert > 1 else None,
                "max_batch_size": pool.sequences_max // pool.pipeline if pool.sequences_max else None,
                "max_num_tokens": pool.step_tokens_max,
                "max_seq_len": pool.context_tokens_max,
                "enable_chunked_prefill": pool.chunked,
                "extra_llm_api_options": f"{title(launch, pool)}.yaml",
            }
        ),
    ]


def option_file(launch: Launch, pool: Pool) -> list[str]:
    """Return the option file of a pool as the script writes it."""
    caches = {2.0: None, 1.0: "fp8", 0.5625: "nvfp4"}
    if pool.cache_bytes not in caches:
        raise unsupported(NAME, "cache_bytes", pool.cache_bytes, "2, 1 (fp8) and 0.5625 (4 bits with scales)")
    formats: dict[str | None, dict[str, object]] = {
        None: {},
        "bf16": {"dtype": "bfloat16"},
        "fp16": {"dtype": "float16"},
        "fp8": {},
        "fp4": {},
    }
    if launch.precision not in formats:
        raise unsupported(NAME, "precision", launch.precision, "bf16, fp16, fp8, fp4")
    if pool.redundant_experts and not launch.experts_count:
        raise unsupported(
            NAME, "redundant_experts", pool.redundant_experts, "0 where the model's experts are not known"
        )
    slots = {"load_balancer": {"num_slots": launch.experts_count + pool.redundant_experts}}
    caching = {
        "enable_block_reuse": pool.prefix_caching,
        "tokens_per_block": pool.block_tokens,
        "max_tokens": pool.capacity_tokens,
        "free_gpu_memory_fraction": pool.memory_frac,
        "dtype": caches[pool.cache_bytes],
    }
    apart = pool.mode != "aggregated"
    values: dict[str, object] = {
        "enable_attention_dp": pool.data > 1,
        "kv_cache_config": {name: value for name, value in caching.items() if value is not None},
        **formats[launch.precision],
        **({"moe_config": slots} if pool.redundant_experts else {}),
        **({"speculative_config": drafts(pool)} if pool.draft_tokens else {}),
        **({} if pool.graphs else {"cuda_graph_config": None}),
        **({} if pool.own_collectives else {"allreduce_strategy": "NCCL"}),
        **({"cache_transceiver_config": {"backend": "DEFAULT"}} if apart else {}),
        **({"disable_overlap_scheduler": True} if pool.mode == "prefill" else {}),
    }
    narrow = [f"# MODEL is to be a checkpoint in {launch.precision}, from which TensorRT-LLM takes the number format."]
    said = narrow if launch.precision in {"fp8", "fp4"} else []
    return [*said, f"cat > {title(launch, pool)}.yaml <<'EOF'", *yaml_lines(values), "EOF"]


def drafts(pool: Pool) -> dict[str, object]:
    """Return the settings of multi-token prediction."""
    return {"decoding_type": "MTP", "num_nextn_predict_layers": pool.draft_tokens}


def yaml_lines(values: Mapping[str, object], indent: str = "") -> list[str]:
    """Return nested settings as YAML."""
    lines: list[str] = []
    for name, value in values.items():
        if isinstance(value, dict):
            lines += [f"{indent}{name}:", *yaml_lines(value, indent + "  ")]
        elif isinstance(value, list):
            lines += [f"{indent}{name}:", *(f'{indent}  - "{item}"' for item in value)]
        else:
            lines.append(f"{indent}{name}: {value if isinstance(value, str) else json.dumps(value)}")
    return lines


def node_arguments(launch: Launch, pool: Pool, host: str) -> tuple[str, str]:
    """Return what stands before and after the command of an instance on several nodes."""
    nodes, each = spread_nodes(launch, pool)
    ranks = pool.ranks_count
    start = f"srun -N {nodes} --ntasks {ranks} --ntasks-per-node {each} --mpi=pmix trtllm-llmapi-launch"
    return start if nodes > 1 else "", ""


def router_lines(launch: Launch, urls: dict[str, list[str]]) -> list[str]:
    """Return the orchestrator's file and command; one pool alone has none."""
    if "aggregated" in urls:
        said = ["# trtllm-serve has no router for one pool: put a balancer of your own before the instances."]
        return said if len(urls["aggregated"]) > 1 else []
    router = {"router": {"type": launch.router}} if launch.router else {}
    sides = {
        side: {"num_instances": len(urls[mode]), **router, "urls": urls[mode]}
        for mode, side in (("prefill", "context_servers"), ("decode", "generation_servers"))
        if mode in urls
    }
    values = {"hostname": "localhost", "port": PORT + 1, "backend": "pytorch", **sides}
    lines = ["# router", "cat > router.yaml <<'EOF'", *yaml_lines(values), "EOF"]
    return [*lines, "trtllm-serve disaggregated -c router.yaml &"]
