"""vLLM: `vllm serve` commands and option files, and `vllm-router` or a proxy before them.

Flags: `vllm/engine/arg_utils.py`, `docs/serving/expert_parallel_deployment.md` and
`docs/features/nixl_connector_usage.md` of https://github.com/vllm-project/vllm; https://github.com/vllm-project/router.
"""

import re

from superpod.frameworks.serving.assemble import (
    Launched,
    Router,
    addresses,
    assembled,
    cache_of,
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
    json_paths,
    settings_of,
    share,
    yaml_settings,
)
from superpod.frameworks.serving.launch import PORT, Launch, flag_lines, spread_nodes, unsupported, written
from superpod.frameworks.serving.pool import Pool, ServingImport
from superpod.frameworks.settings import Settings, scalar

NAME = "vllm"
TABLE = {
    "mode": "`--kv-transfer-config` kv_role kv_producer, kv_consumer; else the lists of the proxy",
    "instances": "commands of the same flags; addresses of the router",
    "tensor": "`--tensor-parallel-size`",
    "context": "`--prefill-context-parallel-size`, of instances that read prompts alone",
    "pipeline": "`--pipeline-parallel-size`",
    "data": "`--data-parallel-size`",
    "expert": "tensor x context x data with `--enable-expert-parallel`, else 1",
    "redundant_experts": "`--eplb-config` num_redundant_experts, `--num-redundant-experts`",
    "sequences_max": "`--max-num-seqs`",
    "step_tokens_max": "`--max-num-batched-tokens`",
    "context_tokens_max": "`--max-model-len`",
    "scheduling": "mixed; alternate in releases before 0.8 without chunks",
    "chunked": "`--enable-chunked-prefill`",
    "block_tokens": "`--block-size`",
    "capacity_tokens": "`--num-gpu-blocks-override` x block (16)",
    "memory_frac": "`--gpu-memory-utilization`, of all memory",
    "cache_bytes": "`--kv-cache-dtype`",
    "draft_tokens": "`--speculative-config` num_speculative_tokens",
    "prefix_caching": "`--enable-prefix-caching`",
    "graphs": "off with `--enforce-eager`",
    "own_collectives": "off with `--disable-custom-all-reduce`",
    "precision": "`--quantization`, `--dtype`",
}
STARTS = {
    "router": (r"(?:.*/)?vllm-router", r".*proxy_server(?:_example)?\.py", r".*disagg\w*proxy\w*\.py"),
    "engine": (
        r"(?:.*/)?vllm serve",
        r"vllm\.entrypoints\.cli\.main serve",
        r"(?:.*[/.])?vllm\.entrypoints\.openai\.api_server",
        r"(?:.*/)?vllm/vllm-openai(?:[:@].*)?",
    ),
}
SHORT = {
    "-tp": "tensor_parallel_size",
    "-pp": "pipeline_parallel_size",
    "-dp": "data_parallel_size",
    "-ep": "enable_expert_parallel",
    "-q": "quantization",
    "-sc": "speculative_config",
    "-r": "node_rank",
    "-n": "nnodes",
    "-dpn": "data_parallel_rank",
    "-dpr": "data_parallel_start_rank",
}
SWITCHES = (
    *("enable_expert_parallel", "enable_chunked_prefill", "enable_prefix_caching", "enforce_eager", "headless"),
    *("disable_custom_all_reduce", "enable_eplb", "enable_dbo", "async_scheduling", "trust_remote_code"),
    *("disable_log_requests", "disable_log_stats", "enable_lora", "use_v2_block_manager", "enable_auto_tool_choice"),
    *("data_parallel_hybrid_lb", "data_parallel_external_lb", "vllm_pd_disaggregation", "enable_sleep_mode"),
)
NOTED = {
    "decode_context_parallel_size": "caches are not shared out over tensor ranks",
    "enable_dbo": "the two halves of a batch do not overlap",
    "cpu_offload_gb": "weights in host memory are not modelled; read as on the chip",
    "swap_space": "sequences are not swapped to the host",
    "kv_offloading_size": "caches in host memory are a choice of the simulation",
    "kv_cache_memory_bytes": "the size of the cache in bytes; read as the share of memory",
    "scheduling_policy": "requests are taken in order of arrival",
    "max_num_partial_prefills": "one prompt after the other fills a step",
    "long_prefill_token_threshold": "one prompt after the other fills a step",
    "num_scheduler_steps": "one step a turn of the scheduler",
    "enable_eplb": "experts are moved while serving; the load is `imbalance_ratio`",
    "expert_placement_strategy": "experts are placed in order",
    "all2all_backend": "the all-to-all is priced by the fabric",
    "attention_backend": "attention is priced by the chip's calibration",
    "compilation_config": "graphs and fusions are those of the release",
    "enable_lora": "adapters are not modelled",
    "max_concurrent_batches": "as many batches as stages are in flight",
}
OF_OLD = ("use_v2_block_manager", "num_scheduler_steps", "preemption_mode", "speculative_model")
FORMATS = {"fp8": "fp8", "fp4": "fp4", "int8": "int8"}
READ = frozenset(
    {
        *("tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size", "enable_expert_parallel"),
        "prefill_context_parallel_size",
        *("max_num_seqs", "max_num_batched_tokens", "max_model_len", "enable_chunked_prefill", "block_size"),
        *("num_gpu_blocks_override", "gpu_memory_utilization", "kv_cache_dtype", "speculative_config", "dtype"),
        *("enable_prefix_caching", "enforce_eager", "disable_custom_all_reduce", "quantization", "eplb_config"),
        *("kv_transfer_config", "num_redundant_experts", "model", "num_speculative_tokens", *OF_OLD, *NOTED),
    }
)
RANKS = ("node_rank", "data_parallel_rank", "data_parallel_start_rank")
BLOCK_TOKENS = 16  # CUDA's default (vllm/config/cache.py)


def recognised(text: str) -> bool:
    """Return whether a text starts vLLM, or has the keys of its option file."""
    return bool(
        re.search(r"\bvllm\s+serve\b|vllm\.entrypoints|vllm/vllm-openai", text)
        or re.search(r"^(tensor-parallel-size|max-num-seqs|gpu-memory-utilization)\s*:", text, re.MULTILINE)
    )


def read(source: Source) -> ServingImport:
    """Return the deployment that a file launches; raise ScenarioError for what is malformed or contradicts itself."""
    found = commands(source, STARTS)
    routers = [router_of(command, source.where) for command in found if command.kind == "router"]
    router = routers[0] if routers else None
    software, notes = release(source)
    launched = [
        one
        for command in found
        if command.kind == "engine" and (one := instance(command, source, software, router)) is not None
    ]
    doubts = [*source.script.doubts, *notes]
    return assembled(NAME, software, source.where, launched, router, doubts)


def release(source: Source) -> tuple[str, list[str]]:
    """Return the catalogue's release, by the image or package that the script names or flags that only old ones had."""
    text = source.text.lower()
    version = re.search(r"vllm-openai:v?(\d{1,4})\.(\d{1,4})|vllm==(\d{1,4})\.(\d{1,4})", text)
    numbers = [int(part) for part in version.groups() if part] if version else []
    if re.search(r"vllm[-_]ascend|ascend_rt_visible_devices", text):
        return "vllm-ascend", []
    if numbers and numbers < [0, 8]:
        other = [] if numbers == [0, 5] else [f"vLLM {numbers[0]}.{numbers[1]}: read as 0.5, the nearest known"]
        return "vllm-0.5", other
    old = any(f"--{name.replace('_', '-')}" in text for name in OF_OLD) or "vllm_use_v1=0" in text
    if old and not numbers:
        return "vllm-0.5", ["flags of releases before 0.8: read as vLLM 0.5"]
    return "vllm-1", []


def instance(command: Command, source: Source, software: str, router: Router | None) -> Launched | None:
    """Return what one command starts, None where it is another node or rank of an instance."""
    settings, model = settings_of(command, source.where, switches=SWITCHES, short=SHORT)
    if "config" in settings:
        inner = source.files.get(basename(str(scalar(settings.values["config"].value))), "")
        settings = Settings(
            where=source.where, values={**(yaml_settings(inner, source.where) if inner else {}), **settings.values}
        )
    for name in ("speculative_config", "kv_transfer_config", "eplb_config"):
        settings = json_paths(settings, name)
    if settings.flag("headless") or any(later(settings, name) for name in RANKS):
        return None
    address = (settings.word("host", default="localhost"), str(amount(settings, "port") or PORT))
    mode, roles = role(settings, address, router)
    old = software == "vllm-0.5"
    chunked = settings.flag("enable_chunked_prefill", default=not old)
    precision, unlike = precision_of(settings, FORMATS)
    tensor, data = settings.degree("tensor_parallel_size"), settings.degree("data_parallel_size")
    context = settings.degree("prefill_context_parallel_size")
    if context > 1 and mode != "prefill":
        raise settings.problem("prefill_context_parallel_size", "1 for instances that also decode")
    block = amount(settings, "block_size")
    blocks = amount(settings, "num_gpu_blocks_override")
    draft, drafts = drafted(settings)
    pool = Pool(
        mode=mode,
        tensor=tensor,
        context=context,
        data=data,
        pipeline=settings.degree("pipeline_parallel_size"),
        expert=tensor * context * data if settings.flag("enable_expert_parallel") else 1,
        redundant_experts=redundant(settings),
        sequences_max=amount(settings, "max_num_seqs"),
        step_tokens_max=amount(settings, "max_num_batched_tokens"),
        context_tokens_max=amount(settings, "max_model_len"),
        scheduling=("alternate" if old and not chunked else "mixed") if mode == "aggregated" else "",
        chunked=chunked,
        block_tokens=block,
        capacity_tokens=blocks * (block or BLOCK_TOKENS) if blocks else None,
        memory_frac=share(settings, "gpu_memory_utilization"),
        cache_bytes=cache_of(settings, "kv_cache_dtype"),
        draft_tokens=draft,
        prefix_caching=settings.flag("enable_prefix_caching", default=not old),
        graphs=not settings.flag("enforce_eager"),
        own_collectives=not settings.flag("disable_custom_all_reduce"),
    )
    return Launched(
        pool=pool,
        model=named(settings, "model", model),
        precision=precision,
        address=address,
        unread=(
            *([unlike] if unlike else []),
            *roles,
            *drafts,
            *noted(settings, NOTED),
        ),
        ignored=frozenset(name for name in settings.values if name.split(".")[0] not in READ),
    )


def role(settings: Settings, address: tuple[str, str], router: Router | None) -> tuple[str, list[str]]:
    """Return what an instance does by its part in the transfer of caches, and a remark where that is not said."""
    if "kv_transfer_config" not in settings:
        return "aggregated", []
    name = "kv_transfer_config.kv_role"
    said = settings.word(name, ("kv_producer", "kv_consumer", "kv_both"), "kv_both")
    if said != "kv_both":
        return {"kv_producer": "prefill", "kv_consumer": "decode"}[said], []
    known = router.mode_of(address) if router else ""
    if known:
        return known, []
    connector = settings.word("kv_transfer_config.kv_connector", default="a connector")
    return "aggregated", [f"--kv-transfer-config {connector} kv_both: read as an instance that does both phases"]


def drafted(settings: Settings) -> tuple[int, list[str]]:
    """Return the draft tokens of a step, and a remark where they do not come from the model's own layers."""
    name = "speculative_config.num_speculative_tokens"
    count = amount(settings, name) or amount(settings, "num_speculative_tokens") or 0
    method = settings.word("speculative_config.method", default="a draft model")
    own = method.endswith("mtp") or not count
    return count, [] if own else [f"--speculative-config {method}: drafts are priced as the model's own layers"]


def redundant(settings: Settings) -> int:
    """Return the experts that are held twice, all ranks together."""
    name = "eplb_config.num_redundant_experts"
    return settings.whole(name if name in settings else "num_redundant_experts", 0, least=0) or 0


def router_of(command: Command, where: str) -> Router:
    """Return the policy and the addresses that a router or proxy is given."""
    settings, _ = settings_of(command, where, switches=SWITCHES, several=("prefill", "decode"))
    pairs = {"prefill": "prefiller", "decode": "decoder"}
    found = {mode: addresses(settings.words(mode)) for mode in pairs}
    for mode, word in pairs.items():
        hosts = settings.words(f"{word}_hosts")
        ports = settings.words(f"{word}_ports") or settings.words(f"{word}_port")
        found[mode] += tuple(zip(hosts, ports * len(hosts) if len(ports) == 1 else ports, strict=False))
    found["aggregated"] = addresses(settings.words("worker_urls"))
    return Router(policy=settings.word("policy"), addresses=found)


def write(launch: Launch) -> str:
    """Return a script; raise ScenarioError for what vLLM has no flag for."""
    return written(launch, arguments, node_arguments, router_lines, headless)


def arguments(launch: Launch, pool: Pool) -> list[str]:
    """Return the command of an instance, a line a flag."""
    block = pool.block_tokens or BLOCK_TOKENS
    stage = pool.group_count * pool.data
    if pool.expert not in {1, stage}:
        raise unsupported(NAME, "expert", pool.expert, f"1 or all {stage} ranks of a stage")
    if pool.scheduling == "alternate":
        raise unsupported(NAME, "scheduling", pool.scheduling, "mixed: prompts ride along in decode steps")
    if (pool.capacity_tokens or 0) % block:
        raise unsupported(NAME, "capacity_tokens", pool.capacity_tokens, f"multiples of a block, {block} tokens")
    formats: dict[str | None, dict[str, object]] = {
        None: {},
        "bf16": {"dtype": "bfloat16"},
        "fp16": {"dtype": "float16"},
        "fp8": {"quantization": "fp8"},
        "fp4": {"quantization": "modelopt_fp4"},
    }
    if launch.precision not in formats:
        raise unsupported(NAME, "precision", launch.precision, "bf16, fp16, fp8, fp4")
    caches = {2.0: None, 1.0: "fp8", 0.5625: "nvfp4"}
    if pool.cache_bytes not in caches:
        raise unsupported(NAME, "cache_bytes", pool.cache_bytes, "2, 1 (fp8) and 0.5625 (4 bits with scales)")
    drafts = {"method": "mtp", "num_speculative_tokens": pool.draft_tokens}
    roles = {"prefill": "kv_producer", "decode": "kv_consumer"}
    transfer = {"kv_connector": "NixlConnector", "kv_role": roles.get(pool.mode)}
    return [
        'vllm serve "$MODEL"',
        *flag_lines(
            {
                "tensor-parallel-size": pool.tensor,
                "prefill-context-parallel-size": pool.context if pool.context > 1 else None,
                "pipeline-parallel-size": pool.pipeline if pool.pipeline > 1 else None,
                "data-parallel-size": pool.data if pool.data > 1 else None,
                "enable-expert-parallel": pool.expert > 1,
                "enable-eplb": pool.redundant_experts > 0,
                "eplb-config": {"num_redundant_experts": pool.redundant_experts} if pool.redundant_experts else None,
                "max-num-seqs": pool.sequences_max,
                "max-num-batched-tokens": pool.step_tokens_max,
                "max-model-len": pool.context_tokens_max,
                "no-enable-chunked-prefill": not pool.chunked,
                "block-size": pool.block_tokens,
                "num-gpu-blocks-override": pool.capacity_tokens // block if pool.capacity_tokens else None,
                "gpu-memory-utilization": pool.memory_frac,
                "kv-cache-dtype": caches[pool.cache_bytes],
                **formats[launch.precision],
                "speculative-config": drafts if pool.draft_tokens else None,
                "no-enable-prefix-caching": not pool.prefix_caching,
                "enforce-eager": not pool.graphs,
                "disable-custom-all-reduce": not pool.own_collectives,
                "kv-transfer-config": transfer if pool.mode in roles else None,
            }
        ),
    ]


def node_arguments(launch: Launch, pool: Pool, host: str) -> tuple[str, str]:
    """Return what stands before and after the command of an instance on several nodes."""
    nodes, each = spread_nodes(launch, pool)
    block = pool.group_count * pool.pipeline
    if nodes == 1:
        return "", ""
    if pool.data == 1:
        return "", f'--nnodes {nodes} --node-rank "$NODE_RANK" --master-addr {host}'
    if each % block:
        raise unsupported(NAME, "tensor", pool.tensor, f"tensor x pipeline that divides the {each} cards of a node")
    local = each // block
    return (
        "",
        f"--data-parallel-size-local {local} --data-parallel-start-rank $((NODE_RANK*{local}))"
        f" --data-parallel-address {host} $HEADLESS",
    )


def headless(launch: Launch, pool: Pool) -> list[str]:
    """Return what to know of instances whose attention groups lie on several nodes."""
    apart = pool.data > 1 and spread_nodes(launch, pool)[0] > 1
    return ["# On the nodes after the first of an instance: HEADLESS=--headless"] if apart else []


def router_lines(launch: Launch, urls: dict[str, list[str]]) -> list[str]:
    """Return the command of vllm-router, none for one instance."""
    policy = [f"--policy {launch.router}"] if launch.router else []
    apart = [f"--{mode} http://{url}" for mode in ("prefill", "decode") for url in urls.get(mode, [])]
    if apart:
        return ["vllm-router --vllm-pd-disaggregation", *policy, *apart]
    workers = urls["aggregated"]
    named = ["--worker-urls " + " ".join(f"http://{url}" for url in workers)]
    return ["vllm-router", *policy, *named] if len(workers) > 1 else []
