"""Launch commands in the style of the public guides, and ones that are wrong."""

from contextlib import suppress
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from superpod.catalog.load import Catalogue
from superpod.errors import ScenarioError, SuperpodError
from superpod.frameworks.serving import ENGINES, Pool, imported_engine
from superpod.parallel.layout import Layout
from superpod.plan.serving.search import SERVE_DEGREES
from unit.frameworks import serving_samples as samples


def test_a_command_of_vllm() -> None:
    found = imported_engine(samples.VLLM)
    assert (found.engine, found.software, found.model_id) == ("vllm", "vllm-1", "llama-3.1-70b")
    assert found.pools == (
        Pool(
            tensor=8,
            sequences_max=256,
            step_tokens_max=16000,
            context_tokens_max=32768,
            scheduling="mixed",
            block_tokens=32,
            capacity_tokens=32000,
            memory_frac=0.92,
            cache_bytes=1.0,
            draft_tokens=3,
            prefix_caching=False,
            graphs=False,
        ),
    )
    assert found.pools[0].blocks_count == 1000
    assert found.precision is None
    assert len(found.unread) == 2
    assert found.ignored_count == 2


def test_nodes_of_one_instance_count_once() -> None:
    found = imported_engine(samples.VLLM_NODES)
    assert len(found.pools) == 1
    pool = found.pools[0]
    assert (pool.instances, pool.tensor, pool.data, pool.expert, pool.redundant_experts) == (1, 1, 16, 16, 32)
    assert pool.layout(experts=True) == Layout(data=16.0, expert=16.0)
    assert pool.ranks_count == 16


def test_a_proxy_says_which_instances_read_and_which_decode() -> None:
    found = imported_engine(samples.VLLM_PROXY)
    assert found.mode == "disaggregated"
    assert [(pool.mode, pool.instances, pool.sequences_max) for pool in found.pools] == [
        ("decode", 2, 64),
        ("prefill", 1, None),
    ]
    assert not found.unread


def test_an_image_of_an_old_release_alternates() -> None:
    found = imported_engine(samples.VLLM_DOCKER)
    assert (found.software, found.model_id) == ("vllm-0.5", "mixtral-8x7b")
    assert (found.pools[0].tensor, found.pools[0].scheduling, found.pools[0].chunked) == (2, "alternate", False)
    assert "read as 0.5" in found.unread[0]


def test_options_in_a_file_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "options.yaml").write_text(samples.VLLM_OPTIONS, encoding="utf-8")
    script = tmp_path / "serve.sh"
    script.write_text("vllm serve --config conf/options.yaml --max-num-seqs 64\n", encoding="utf-8")
    found = imported_engine(script)
    alone = imported_engine(tmp_path / "options.yaml")
    assert alone.pools == imported_engine(samples.VLLM_OPTIONS).pools
    assert alone.pools[0].sequences_max == 128
    assert (found.pools[0].tensor, found.pools[0].expert, found.pools[0].sequences_max) == (4, 4, 64)
    assert found.model_id == "qwen3-30b-a3b"


def test_a_command_of_sglang() -> None:
    found = imported_engine(samples.SGLANG)
    assert found.pools == (
        Pool(
            instances=2,  # data parallelism without shared attention is two engines
            tensor=8,
            sequences_max=512,
            context_tokens_max=65536,
            scheduling="mixed",
            block_tokens=64,
            memory_frac=0.8,
            draft_tokens=3,
        ),
    )
    assert found.unread == ("--schedule-policy lpm: requests are taken in order of arrival",)


def test_pools_of_sglang_with_limits_of_all_groups_together() -> None:
    found = imported_engine(samples.SGLANG_POOLS)
    assert (found.mode, found.router) == ("disaggregated", "cache_aware")
    decode, prefill = found.pool("decode"), found.pool("prefill")
    assert decode is not None
    assert prefill is not None
    assert (decode.tensor, decode.data, decode.expert, decode.redundant_experts) == (2, 8, 16, 32)
    assert decode.sequences_max == 128
    assert (prefill.instances, prefill.step_tokens_max) == (3, 65536)
    assert found.pool("aggregated") is None


def test_a_command_of_tensorrt_llm_with_its_option_file() -> None:
    found = imported_engine(samples.TRTLLM)
    assert (found.engine, found.model, found.model_id) == ("trtllm", "nvidia/DeepSeek-R1-FP4", "deepseek-v3")
    assert found.pools == (
        Pool(
            data=16,
            expert=8,
            sequences_max=128,
            step_tokens_max=4096,
            context_tokens_max=9216,
            scheduling="mixed",
            chunked=False,
            block_tokens=64,
            memory_frac=0.85,
            cache_bytes=1.0,
            draft_tokens=3,
            prefix_caching=False,
        ),
    )
    assert found.pools[0].layout(experts=True).expert_tensor == 2.0


def test_servers_of_tensorrt_llm_by_the_orchestrators_file() -> None:
    found = imported_engine(samples.TRTLLM_POOLS)
    assert (found.mode, found.router) == ("disaggregated", "kv_cache_aware")
    assert [(pool.mode, pool.instances) for pool in found.pools] == [("decode", 1), ("prefill", 2)]


def test_an_option_file_that_is_not_there_is_said() -> None:
    found = imported_engine("trtllm-serve Qwen/Qwen3-8B --tp_size 2 --extra_llm_api_options other.yml")
    assert "other.yml" in found.unread[0]


def test_without_experts_attention_groups_are_instances() -> None:
    pool = imported_engine("vllm serve Qwen/Qwen3-8B --data-parallel-size 4 --tensor-parallel-size 2").pools[0]
    assert (pool.layout(experts=False), pool.instances_of(experts=False)) == (Layout(tensor=2.0), 4)
    assert pool.layout(experts=True) == Layout(tensor=2.0, data=4.0, expert_tensor=8.0)
    assert pool.instances_of(experts=True) == 1


def test_a_pool_changes_what_its_release_assumes() -> None:
    release = Catalogue().software("vllm-1")
    changed = imported_engine(samples.VLLM).pools[0].software(release)
    assert (changed.step_tokens_count, changed.sequences_count, changed.memory_frac) == (16000, 256, 0.92)
    assert (changed.graphs, changed.own_collectives, changed.scheduling) == (False, True, "mixed")
    assert Pool().software(release) == release


def test_number_formats_that_a_command_names() -> None:
    assert imported_engine("vllm serve a --quantization fp8").precision == "fp8"
    assert imported_engine("python -m sglang.launch_server --model a --quantization w8a8_int8").precision == "int8"
    assert imported_engine("enable_attention_dp: true\nquant_config:\n  quant_algo: NVFP4\n").precision == "fp4"
    weights = imported_engine("vllm serve a --quantization awq_marlin")
    assert weights.precision is None
    assert "--precision" in weights.unread[0]
    assert not imported_engine("sglang serve --model a --cuda-graph-backend-decode disabled").pools[0].graphs


@pytest.mark.parametrize(
    ("name", "model_id"),
    [
        ("deepseek-ai/DeepSeek-V3-0324", "deepseek-v3"),
        ("deepseek-ai/DeepSeek-V3.2-Exp", "deepseek-v3.2"),
        ("deepseek-ai/DeepSeek-V3.1", ""),
        ("deepseek-ai/DeepSeek-R1-Distill-Llama-70B", ""),
        ("meta-llama/Meta-Llama-3.1-8B-Instruct", "llama-3.1-8b"),
        ("Qwen/Qwen3-235B-A22B-Instruct-2507-FP8", "qwen3-235b-a22b"),
        ("/models/own", ""),
    ],
)
def test_models_by_the_name_of_their_checkpoint(name: str, model_id: str) -> None:
    assert imported_engine(f"vllm serve {name}").model_id == model_id


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "found no command"),
        ("echo vllm serve x", "no command that starts an instance of vllm"),
        ("vllm serve a --headless", "no command that starts an instance"),
        ("vllm serve a\nvllm serve b", "several models"),
        ("vllm serve a\npython -m sglang.launch_server --model-path a", "found sglang, vllm"),
        ("vllm serve a --tensor-parallel-size eight", "expected a whole number"),
        ("vllm serve a --tensor-parallel-size $TP", "expected a whole number"),
        ("vllm serve a --tensor-parallel-size 0", "1 or more"),
        ("vllm serve a --gpu-memory-utilization 90", "a share above 0"),
        ("vllm serve a --kv-cache-dtype int3", "fp8"),
        ("vllm serve a --speculative-config {method:mtp}", "a JSON object"),
        ('vllm serve a --kv-transfer-config \'{"kv_role":"kv_reader"}\'', "kv_producer"),
        ("vllm serve a --max-model-len 'long", "no closing one"),
        ("python -m sglang.launch_server --model-path a --tp 8 --dp 3 --enable-dp-attention", "a divisor of"),
        ("python -m sglang.launch_server --model-path a --tp 8 --ep-size 3", "a divisor of --tp-size 8"),
        ("python -m sglang.launch_server --model-path a --disaggregation-mode both", "prefill or decode"),
        ("trtllm-serve a --tp_size 8 --ep_size 3", "a divisor of --tp_size 8"),
        ("trtllm-serve a --server_role both", "context or generation"),
        ("cat > o.yml <<EOF\na: [1\nEOF\ntrtllm-serve a --config o.yml", "expected YAML"),
        ("cat > o.yml <<EOF\nenable_attention_dp: maybe\nEOF\ntrtllm-serve a --config o.yml", "true or false"),
    ],
)
def test_what_is_wrong_is_one_error(text: str, said: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        imported_engine(text)
    assert said in caught.value.message
    assert caught.value.where
    assert caught.value.hint


def test_files_that_are_no_text(tmp_path: Path) -> None:
    for path in (tmp_path / "none.sh", tmp_path):
        with pytest.raises(ScenarioError, match="cannot read"):
            imported_engine(path)
    binary = tmp_path / "binary.sh"
    binary.write_bytes(b"\xff\xfe vllm serve")
    with pytest.raises(ScenarioError, match="cannot read"):
        imported_engine(binary)


def test_a_search_of_what_a_file_launches() -> None:
    pool = imported_engine(samples.SGLANG_POOLS).pools[0]
    assert pool.fixed(experts=True) == {
        "tensor": 2.0,
        "data": 8.0,
        "pipeline": 1.0,
        "expert": 16.0,
        "expert_tensor": 1.0,
        "batch": 128.0,
    }
    assert "batch" not in imported_engine(samples.VLLM_NODES).pools[0].fixed(experts=True)
    assert {*pool.fixed(experts=True)} == {*SERVE_DEGREES}


@pytest.mark.parametrize(
    "text",
    [
        "vllm serve a " + "cat <<EOF\n" * 50_000,
        "vllm serve a\n" + "x <<E\n" * 50_000 + "E\n",
        "vllm serve a\n" + "disagg" * 100_000 + "proxy",
        "vllm serve a --max-num-seqs " + "9" * 5000 + "k",
        "vllm serve a --node-rank " + "9" * 5000,
        "vllm serve a --max-num-seqs " + "9" * 5000,
        "# vllm==" + "9" * 5000 + ".1\nvllm serve a",
        'vllm serve a --speculative-config \'{"num_speculative_tokens": ' + "9" * 5000 + "}'",
        "vllm serve a --speculative-config '" + "[" * 100_000 + "'",
        "cat > r.yml <<EOF\ncontext_servers:\n  num_instances: 999999999999\nEOF\n"
        "trtllm-serve a --server_role context\ntrtllm-serve disaggregated -c r.yml",
    ],
)
def test_hostile_files_end_soon(text: str) -> None:
    with suppress(SuperpodError):
        assert imported_engine(text).pools


@settings(max_examples=150, deadline=None)
@given(
    name=st.sampled_from(sorted(samples.ALL)),
    cut=st.tuples(st.floats(0, 1), st.floats(0, 0.2)),
    put=st.sampled_from(["", "'", '"', "$(", "${", "{", "EOF", " -1 ", "--", "\\", "nan", "<<EOF", ": ["]),
)
def test_damaged_files_end_in_an_answer_or_one_error(name: str, cut: tuple[float, float], put: str) -> None:
    text = samples.ALL[name]
    start = int(cut[0] * len(text))
    damaged = text[:start] + put + text[start + int(cut[1] * len(text)) :]
    with suppress(SuperpodError):
        assert imported_engine(damaged).pools


@pytest.mark.parametrize("name", ENGINES)
def test_every_field_has_a_word(name: str) -> None:
    assert {*ENGINES[name].table} == {*(item.name for item in fields(Pool)), "precision"}


@pytest.mark.parametrize("name", ENGINES)
def test_the_guide_has_the_table_of_the_code(root: Path, name: str) -> None:
    guide = (root / "docs" / "guide" / "import-a-deployment.md").read_text(encoding="utf-8")
    rows = [f"| `{field}` | {said} |" for field, said in ENGINES[name].table.items()]
    assert "\n".join([f"| field | `{name}` |", "|---|---|", *rows]) in guide
