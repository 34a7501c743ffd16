"""SGLang: `sglang.launch_server` commands and option files, and its router.

Flags: `python/sglang/srt/server_args.py` and `docs/advanced_features/pd_disaggregation.md` of
https://github.com/sgl-project/sglang. With attention data parallelism `--tp-size` counts all ranks of a stage, and the
limits of requests and of chunks are those of all attention groups together.
"""

import re

from superpod.frameworks.serving.assemble import (
    Launched,
    Router,
    addresses,
    assembled,
    cache_of,
    divides,
    later,
    named,
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
from superpod.frameworks.serving.launch import Launch, flag_lines, spread_nodes, unsupported, written
from superpod.frameworks.serving.pool import Pool, ServingImport
from superpod.frameworks.settings import Settings, scalar

NAME = "sglang"
TABLE = {
    "mode": "`--disaggregation-mode` prefill, decode",
    "instances": "commands of the same flags; `--dp-size` without `--enable-dp-attention`; addresses of the router",
    "tensor": "`--tp-size`, over `--dp-size` with `--enable-dp-attention`",
    "context": "1: not read, not written",
    "pipeline": "`--pp-size`",
    "data": "`--dp-size` with `--enable-dp-attention`",
    "expert": "`--ep-size`; `--tp-size` with a `--moe-a2a-backend`",
    "redundant_experts": "`--ep-num-redundant-experts`",
    "sequences_max": "`--max-running-requests` / data",
    "step_tokens_max": "`--chunked-prefill-size` / data; without chunks `--max-prefill-tokens`",
    "context_tokens_max": "`--context-length`",
    "scheduling": "alternate; mixed with `--enable-mixed-chunk`",
    "chunked": "off with `--chunked-prefill-size -1`",
    "block_tokens": "`--page-size`",
    "capacity_tokens": "`--max-total-tokens`",
    "memory_frac": "`--mem-fraction-static`, of all memory",
    "cache_bytes": "`--kv-cache-dtype`",
    "draft_tokens": "`--speculative-num-draft-tokens` less 1; `--speculative-num-steps`",
    "prefix_caching": "off with `--disable-radix-cache`",
    "graphs": "off with `--disable-cuda-graph`, `--disable-decode-cuda-graph`",
    "own_collectives": "off with `--disable-custom-all-reduce`",
    "precision": "`--quantization`, `--dtype`",
}
STARTS = {
    "router": (r"(?:sglang_router|smg)\.launch_router", r"(?:.*/)?(?:sglang-router|smg) launch"),
    "engine": (r"(?:sglang|sglang_router)\.launch_server", r"(?:.*/)?sglang serve", r".*sglang/launch_server\.py"),
}
NAMES = {
    "tensor_parallel_size": "tp_size",
    "tp": "tp_size",
    "pipeline_parallel_size": "pp_size",
    "pp": "pp_size",
    "data_parallel_size": "dp_size",
    "dp": "dp_size",
    "expert_parallel_size": "ep_size",
    "ep": "ep_size",
    "model": "model_path",
}
SWITCHES = (
    *("enable_dp_attention", "enable_dp_lm_head", "enable_mixed_chunk", "enable_eplb", "enable_two_batch_overlap"),
    *("disable_radix_cache", "disable_cuda_graph", "disable_custom_all_reduce", "enable_hierarchical_cache"),
    "disable_decode_cuda_graph",
    *("trust_remote_code", "disable_overlap_schedule", "enable_torch_compile", "enable_single_batch_overlap"),
    *("enable_deepep_moe", "enable_ep_moe", "enable_metrics", "enable_lora", "enable_priority_scheduling"),
    *(
        "enable_dynamic_chunking",
        "disable_shared_experts_fusion",
        "pd_disaggregation",
        "enable_flashinfer_allreduce_fusion",
    ),
)
NOTED = {
    "enable_two_batch_overlap": "the two halves of a batch do not overlap",
    "enable_single_batch_overlap": "kernels of one batch do not overlap",
    "attn_cp_size": "prompts are not split over ranks",
    "attention_context_parallel_size": "prompts are not split over ranks",
    "moe_dp_size": "experts are spread over all ranks",
    "moe_dense_tp_size": "dense layers are split over the ranks of an attention group",
    "enable_hierarchical_cache": "caches in host memory are a choice of the simulation",
    "hicache_ratio": "caches in host memory are a choice of the simulation",
    "hicache_size": "caches in host memory are a choice of the simulation",
    "cpu_offload_gb": "weights in host memory are not modelled; read as on the chip",
    "disable_overlap_schedule": "the gap between steps is that of the release, whose scheduler runs ahead",
    "num_continuous_decode_steps": "one step a turn of the scheduler",
    "prefill_decode_interval": "prompts go first",
    "schedule_policy": "requests are taken in order of arrival",
    "enable_priority_scheduling": "requests are taken in order of arrival",
    "schedule_conservativeness": "requests are admitted while their caches fit",
    "prefill_max_requests": "as many prompts as the chunk holds are read together",
    "enable_dynamic_chunking": "chunks are of one size",
    "load_balance_method": "groups are filled evenly",
    "enable_eplb": "experts are moved while serving; the load is `imbalance_ratio`",
    "init_expert_location": "experts are placed in order",
    "attention_backend": "attention is priced by the chip's calibration",
    "moe_runner_backend": "products of experts are priced by the chip's calibration",
    "deepep_mode": "the all-to-all is priced by the fabric",
    "enable_torch_compile": "kernels are those of the release",
    "enable_flashinfer_allreduce_fusion": "all-reduces are not fused with what follows",
    "disable_shared_experts_fusion": "shared experts run apart",
    "num_reserved_decode_tokens": "decode instances admit requests while their caches fit",
    "enable_lora": "adapters are not modelled",
}
FORMATS = {"fp8": "fp8", "fp4": "fp4", "int8": "int8"}
READ = frozenset(
    {
        *("tp_size", "pp_size", "dp_size", "ep_size", "enable_dp_attention", "moe_a2a_backend", "model_path", "dtype"),
        *("max_running_requests", "chunked_prefill_size", "max_prefill_tokens", "context_length", "page_size"),
        *("enable_mixed_chunk", "max_total_tokens", "mem_fraction_static", "kv_cache_dtype", "disaggregation_mode"),
        *("speculative_algorithm", "speculative_num_steps", "speculative_eagle_topk", "speculative_num_draft_tokens"),
        *("disable_radix_cache", "disable_cuda_graph", "disable_custom_all_reduce", "ep_num_redundant_experts"),
        *("disable_decode_cuda_graph", "cuda_graph_backend_decode"),
        *("quantization", "enable_deepep_moe", "enable_ep_moe", *NOTED),
    }
)


def recognised(text: str) -> bool:
    """Return whether a text starts SGLang, or has the keys of its option file."""
    return bool(
        re.search(r"\bsglang(?:_router)?\.launch_|\bsglang\s+serve\b|sglang/launch_server", text)
        or re.search(r"^(mem-fraction-static|model-path|tp-size|chunked-prefill-size)\s*:", text, re.MULTILINE)
    )


def read(source: Source) -> ServingImport:
    """Return the deployment that a file launches; raise ScenarioError for what is malformed or contradicts itself."""
    found = commands(source, STARTS)
    routers = [router_of(command, source.where) for command in found if command.kind == "router"]
    starting = [instance(command, source) for command in found if command.kind == "engine"]
    launched = [one for one in starting if one is not None]
    version = re.search(r"sglang(?:\[\w+\])?(?:==|:)v?(\d+)\.(\d+)", source.text)
    other = version and (version[1], version[2]) != ("0", "5")
    doubts = [f"SGLang {version[1]}.{version[2]}: read as 0.5, the nearest known"] if version and other else []
    router = routers[0] if routers else None
    return assembled(NAME, "sglang-0.5", source.where, launched, router, [*source.script.doubts, *doubts])


def instance(command: Command, source: Source) -> Launched | None:
    """Return what one command starts, None where it is another node of an instance."""
    settings, _ = settings_of(command, source.where, switches=SWITCHES)
    if "config" in settings:
        inner = source.files.get(basename(str(scalar(settings.values["config"].value))), "")
        values = {**(yaml_settings(inner, source.where) if inner else {}), **settings.values}
        settings = Settings(where=source.where, values=values)
    settings = renamed(settings, NAMES)
    if later(settings, "node_rank"):
        return None
    ranks, groups = settings.degree("tp_size"), settings.degree("dp_size")
    shared = settings.flag("enable_dp_attention")
    if shared:
        divides(settings, "dp_size", groups, ranks, "--tp-size, which counts all ranks of a stage,")
    data = groups if shared else 1
    expert = experts_of(settings, ranks)
    said = settings.word("disaggregation_mode", ("null", "none", "prefill", "decode"), "null")
    mode = said if said in {"prefill", "decode"} else "aggregated"
    draft, drafts = drafted(settings)
    precision, unlike = precision_of(settings, FORMATS)
    alternate = "mixed" if settings.flag("enable_mixed_chunk") else "alternate"
    limits, chunked = chunks(settings, data)
    pool = Pool(
        mode=mode,
        instances=1 if shared else groups,
        tensor=ranks // data,
        data=data,
        pipeline=settings.degree("pp_size"),
        expert=expert,
        redundant_experts=settings.whole("ep_num_redundant_experts", 0, least=0) or 0,
        sequences_max=part(amount(settings, "max_running_requests"), data),
        step_tokens_max=limits,
        context_tokens_max=amount(settings, "context_length"),
        scheduling=alternate if mode == "aggregated" else "",
        chunked=chunked,
        block_tokens=amount(settings, "page_size"),
        capacity_tokens=amount(settings, "max_total_tokens"),
        memory_frac=share(settings, "mem_fraction_static"),
        cache_bytes=cache_of(settings, "kv_cache_dtype"),
        draft_tokens=draft,
        prefix_caching=not settings.flag("disable_radix_cache"),
        graphs=captured(settings),
        own_collectives=not settings.flag("disable_custom_all_reduce"),
    )
    return Launched(
        pool=pool,
        model=named(settings, "model_path"),
        precision=precision,
        unread=(*([unlike] if unlike else []), *drafts, *noted(settings, NOTED)),
        ignored=frozenset(name for name in settings.values if name not in READ),
    )


def experts_of(settings: Settings, ranks: int) -> int:
    """Return the degree of expert parallelism; an all-to-all backend spreads experts over all ranks of a stage."""
    expert = settings.degree("ep_size")
    divides(settings, "ep_size", expert, ranks, "--tp-size")
    backend = settings.word("moe_a2a_backend", default="none") != "none"
    return ranks if backend or settings.flag("enable_deepep_moe") or settings.flag("enable_ep_moe") else expert


def chunks(settings: Settings, data: int) -> tuple[int | None, bool]:
    """Return the tokens of a step and whether prompts are read in chunks."""
    name = "chunked_prefill_size"
    if name in settings and (settings.whole(name, least=-1) or 0) <= 0:
        return amount(settings, "max_prefill_tokens"), False
    return part(amount(settings, name), data), True


def captured(settings: Settings) -> bool:
    """Return whether decode steps run as captured graphs; releases differ in how they say no."""
    off = settings.flag("disable_cuda_graph") or settings.flag("disable_decode_cuda_graph")
    return not off and settings.word("cuda_graph_backend_decode") != "disabled"


def part(total: int | None, data: int) -> int | None:
    """Return each attention group's part of a limit."""
    return None if total is None else max(total // data, 1)


def drafted(settings: Settings) -> tuple[int, list[str]]:
    """Return the draft tokens of a step, and a remark where they form a tree or do not come from the model's layers."""
    method = settings.word("speculative_algorithm", default="none")
    if method == "none":
        return 0, []
    verified = amount(settings, "speculative_num_draft_tokens")
    count = verified - 1 if verified else settings.whole("speculative_num_steps", 0, least=0) or 0
    if not verified and not count:
        return 0, [f"--speculative-algorithm {method}: how many drafts is left to the engine; read as none"]
    branches = settings.degree("speculative_eagle_topk")
    notes = [f"--speculative-eagle-topk {branches}: a tree of drafts is read as a chain"] if branches > 1 else []
    if method not in {"eagle", "nextn"} or "speculative_draft_model_path" in settings:
        notes.append(f"--speculative-algorithm {method}: drafts are priced as the model's own layers")
    return count, notes


def router_of(command: Command, where: str) -> Router:
    """Return the policy and the addresses that the router is given."""
    settings, _ = settings_of(command, where, switches=SWITCHES, several=("prefill", "decode", "worker_urls"))
    lists = {"prefill": "prefill", "decode": "decode", "aggregated": "worker_urls"}
    found = {mode: addresses(settings.words(name)) for mode, name in lists.items()}
    return Router(policy=settings.word("policy"), addresses=found)


def write(launch: Launch) -> str:
    """Return a script; raise ScenarioError for what SGLang has no flag for."""
    return written(launch, arguments, node_arguments, router_lines, lambda _launch, _pool: [])


def arguments(launch: Launch, pool: Pool) -> list[str]:
    """Return the command of an instance, a line a flag."""
    if pool.context > 1:
        raise unsupported(NAME, "context", pool.context, "1: no flag shares out the tokens of a prompt here")
    block = pool.tensor * pool.data
    if block % pool.expert:
        raise unsupported(NAME, "expert", pool.expert, f"divisors of the {block} ranks of a stage")
    formats: dict[str | None, dict[str, object]] = {
        None: {},
        "bf16": {"dtype": "bfloat16"},
        "fp16": {"dtype": "float16"},
        "fp8": {"quantization": "fp8"},
        "fp4": {"quantization": "modelopt_fp4"},
        "int8": {"quantization": "w8a8_int8"},
    }
    caches = {2.0: None, 1.0: "fp8_e4m3", 0.5625: "fp4_e2m1"}
    if pool.cache_bytes not in caches:
        raise unsupported(NAME, "cache_bytes", pool.cache_bytes, "2, 1 (fp8) and 0.5625 (4 bits with scales)")
    limit = pool.step_tokens_max * pool.data if pool.step_tokens_max else None
    wide = pool.expert == block and pool.data > 1
    drafts: dict[str, object] = {
        "speculative-algorithm": "EAGLE",
        "speculative-num-steps": pool.draft_tokens,
        "speculative-eagle-topk": 1,
        "speculative-num-draft-tokens": pool.draft_tokens + 1,
    }
    return [
        'python -m sglang.launch_server --model-path "$MODEL"',
        *flag_lines(
            {
                "tp-size": block,
                "pp-size": pool.pipeline if pool.pipeline > 1 else None,
                "dp-size": pool.data if pool.data > 1 else None,
                "enable-dp-attention": pool.data > 1,
                "ep-size": pool.expert if pool.expert > 1 else None,
                "moe-a2a-backend": "deepep" if wide else None,
                "ep-num-redundant-experts": pool.redundant_experts or None,
                "max-running-requests": pool.sequences_max * pool.data if pool.sequences_max else None,
                "chunked-prefill-size": limit if pool.chunked else -1,
                "max-prefill-tokens": None if pool.chunked else pool.step_tokens_max,
                "context-length": pool.context_tokens_max,
                "enable-mixed-chunk": pool.scheduling == "mixed",
                "page-size": pool.block_tokens,
                "max-total-tokens": pool.capacity_tokens,
                "mem-fraction-static": pool.memory_frac,
                "kv-cache-dtype": caches[pool.cache_bytes],
                **formats[launch.precision],
                **(drafts if pool.draft_tokens else {}),
                "disable-radix-cache": not pool.prefix_caching,
                "disable-cuda-graph": not pool.graphs,
                "disable-custom-all-reduce": not pool.own_collectives,
                "disaggregation-mode": pool.mode if pool.mode != "aggregated" else None,
            }
        ),
    ]


def node_arguments(launch: Launch, pool: Pool, host: str) -> tuple[str, str]:
    """Return what stands before and after the command of an instance on several nodes."""
    nodes, _ = spread_nodes(launch, pool)
    return "", f'--nnodes {nodes} --node-rank "$NODE_RANK" --dist-init-addr {host}:5000' if nodes > 1 else ""


def router_lines(launch: Launch, urls: dict[str, list[str]]) -> list[str]:
    """Return the command of SGLang's router, none for one instance."""
    start = "python -m sglang_router.launch_router"
    policy = [f"--policy {launch.router}"] if launch.router else []
    apart = [f"--{mode} http://{url}" for mode in ("prefill", "decode") for url in urls.get(mode, [])]
    if apart:
        return [f"{start} --pd-disaggregation", *policy, *apart]
    workers = urls["aggregated"]
    return [start, *policy, "--worker-urls " + " ".join(f"http://{url}" for url in workers)] if workers[1:] else []
