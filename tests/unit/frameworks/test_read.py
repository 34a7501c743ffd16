"""Configurations in the style of the public examples, and ones that are wrong."""

import builtins
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from superpod.catalog.load import Catalogue
from superpod.errors import ScenarioError, SuperpodError, UnknownNameError
from superpod.frameworks import FRAMEWORKS, Imported, exported, imported, recognise
from superpod.parallel.layout import Layout
from superpod.plan.scenario import Training
from superpod.plan.training.explain import described, layout_of
from superpod.plan.training.space import check_fixed, settled
from unit.frameworks import samples


def take(tmp_path: Path, text: str, suffix: str) -> Imported:
    path = tmp_path / f"run{suffix}"
    path.write_text(text, encoding="utf-8")
    return imported(path)


def test_a_script_of_megatron(tmp_path: Path) -> None:
    found = take(tmp_path, samples.MEGATRON, ".sh")
    assert found.framework == "megatron"
    assert Layout(**found.fixed) == Layout(
        tensor=2.0,
        pipeline=8.0,
        virtual=4.0,
        data=32.0,
        expert=32.0,
        micro_batch=1.0,
        recompute="mla_up_proj+layernorm+moe_act",
        overlap="data+expert",
    )
    assert (found.cards_count, found.batch_sequences, found.sequence_tokens) == (512, 8192, 4096)
    assert (found.precision, found.mtp_layers) == ("fp8", 1)
    assert found.model is not None
    assert found.model.layers == Catalogue().model("deepseek-v3").layers
    unread = " ".join(found.unread)
    assert "--pipeline-model-parallel-layout" in unread
    assert "--delay-wgrad-compute" in unread
    assert found.ignored_count == 5


def test_flags_as_keys_of_yaml(tmp_path: Path) -> None:
    found = take(tmp_path, samples.MEGATRON_KEYS, ".yaml")
    assert found.framework == "megatron"
    assert found.fixed["virtual"] == 6.0
    assert found.fixed["sequence_parallel"] is False
    assert "data" not in found.fixed
    assert found.missing == ("vocab_size",)


def test_yaml_of_megatron_bridge_fixes_what_it_says_and_nothing_else(tmp_path: Path) -> None:
    found = take(tmp_path, samples.BRIDGE, ".yaml")
    assert found.fixed == {
        "tensor": 4.0,
        "context": 2.0,
        "pipeline": 8.0,
        "virtual": 5.0,
        "micro_batch": 1.0,
        "schedule": "1f1b",
        "gradient_bytes": 4.0,  # as the recipe of the number format has it
        "overlap": "data",
        "tensor_overlap": "ring",
        "sequence_parallel": True,
        "scatter_gather": True,
    }
    assert (found.batch_sequences, found.sequence_tokens, found.precision) == (512, 8192, "fp8")
    assert found.cards_count is None


def test_overrides_of_megatron_bridge(tmp_path: Path) -> None:
    found = take(tmp_path, samples.BRIDGE_OVERRIDES, ".sh")
    assert found.framework == "bridge"
    assert found.fixed["data"] == 8.0
    assert (found.fixed["recompute"], found.fixed["context_kind"]) == ("full", "ulysses")
    assert "zero" not in found.fixed
    assert found.cards_count == 256


def test_a_job_file_of_torchtitan(tmp_path: Path) -> None:
    found = take(tmp_path, samples.TORCHTITAN, ".toml")
    assert found.framework == "torchtitan"
    assert found.model_id == "llama-3.1-405b"
    assert Layout(**found.fixed) == Layout(
        tensor=8.0,
        pipeline=4.0,
        virtual=4.0,  # 126 layers and two for the ends, 8 a chunk
        data=16.0,
        shard=8.0,
        zero="2",
        recompute="selective",
        split="counted",
        tensor_overlap="ring",
    )
    assert (found.batch_sequences, found.cards_count, found.precision) == (256, 512, "fp8")
    assert [note for note in found.unread if "selective" in note]
    assert [note for note in found.unread if "float8" in note]


def test_words_of_torchtitan(tmp_path: Path) -> None:
    found = take(tmp_path, samples.TORCHTITAN_WORDS, ".sh")
    assert Layout(**found.fixed) == Layout(
        tensor=2.0,
        pipeline=4.0,
        virtual=2.0,
        data=2.0,
        expert=4.0,
        zero="2",
        schedule="dualpipev",
        split="counted",
        overlap="data+expert",
        offload="weights+optimizer",
    )
    assert found.cards_count == 16


def test_a_script_of_mindspeed(tmp_path: Path) -> None:
    found = take(tmp_path, samples.MINDSPEED, ".sh")
    assert found.framework == "mindspeed"
    assert Layout(**found.fixed) == Layout(
        tensor=8.0,
        context=4.0,
        pipeline=2.0,
        data=6.0,
        recompute="layernorm+moe_act",
        overlap="none",
        tensor_overlap="ring",
        context_kind="ulysses",
        offload="activations+optimizer",
    )
    assert [note for note in found.unread if "reuse-fp32-param" in note]


def test_a_folded_pipeline_of_mindspeed_and_back(tmp_path: Path) -> None:
    found = take(tmp_path, samples.MINDSPEED_FOLDED, ".sh")
    assert (found.fixed["schedule"], found.fixed["virtual"]) == ("dualpipev", 2.0)
    assert (found.fixed["expert"], found.fixed["expert_tensor"]) == (8.0, 1.0)
    layout = Layout(tensor=2.0, pipeline=8.0, data=8.0, virtual=2.0, schedule="dualpipev", overlap="none", expert=8.0)
    text = exported("mindspeed", layout, Training(batch_sequences=256), precision="bf16")
    assert "--schedules-method dualpipev" in text
    assert "num-virtual" not in text
    assert Layout(**FRAMEWORKS["mindspeed"].read(text, "").fixed) == layout


def test_experts_beside_a_folded_pipeline_of_torchtitan() -> None:
    layout = Layout(
        pipeline=4.0, virtual=2.0, data=8.0, zero="3", schedule="dualpipev", overlap="data+expert", expert=8.0
    )
    text = exported("torchtitan", layout, Training(batch_sequences=64), precision="bf16")
    found = FRAMEWORKS["torchtitan"].read(text, "")
    assert found.fixed["overlap"] == "data+expert"


BASE = "run --nproc_per_node 8 --nnodes 1 --tensor-model-parallel-size 8 --micro-batch-size 1 "
TOML = "[parallelism]\n"
WRONG = {
    "unknown file": ("hello: world\n", ".yaml", "found no setting of", "model: and train:"),
    "malformed YAML": ("model:\n  a: [1\ntrain:\n  x: 1\n", ".yaml", r"line 3: found .*expected YAML", "indentation"),
    "malformed TOML": (TOML + "tensor_parallel_degree = \n", ".toml", r"at line 2.*expected TOML", "check that line"),
    "a degree in words": (BASE + "--context-parallel-size two", ".sh", "line 1: .*found 'two', expected a whole", ""),
    "a degree of nothing": (BASE + "--context-parallel-size", ".sh", "found no value, expected a whole number", ""),
    "half a degree": (TOML + "tensor_parallel_degree = 1.5\n", ".toml", "found 1.5, expected a whole number", ""),
    "a degree of 0": (BASE + "--context-parallel-size 0", ".sh", "found '0', expected a whole number, 1 or more", ""),
    "a degree of parts": (
        "model:\n  tensor_model_parallel_size: [2, x]\n  pipeline_model_parallel_size: a\ntrain:\n  y: 1\n",
        ".yaml",
        "line 3: .*found 'a', expected a whole number",
        "",
    ),
    "an unset variable": (BASE + "--context-parallel-size $CP", ".sh", r"found '\$CP'", "write its value"),
    "too few cards": (
        BASE + "--pipeline-model-parallel-size 2",
        ".sh",
        "is 16, found 8 cards, expected a",
        "",
    ),
    "chunks of one stage": (BASE + "--num-virtual-stages-per-pipeline-rank 2", ".sh", "expected a pipeline of 2", ""),
    "chunks said twice": (
        BASE + "--num-virtual-stages-per-pipeline-rank 1 --num-layers-per-virtual-pipeline-stage 2",
        ".sh",
        "expected nothing beside",
        "one of the two",
    ),
    "layers over chunks": (
        "run --pipeline-model-parallel-size 2 --num-layers 10 --num-layers-per-virtual-pipeline-stage 4"
        " --micro-batch-size 1",
        ".sh",
        "expected a divisor of the 10 layers over 2 stages",
        "",
    ),
    "an odd batch": (BASE.replace(" 8 --m", " 1 --m") + "--global-batch-size 12", ".sh", "micro-batch 1 x data 8", ""),
    "experts of a dense model": (BASE + "--num-layers 2 --expert-model-parallel-size 2", ".sh", "without experts", ""),
    "experts that do not divide": (
        BASE + "--num-experts 8 --expert-model-parallel-size 3",
        ".sh",
        "a divisor of 8 experts",
        "",
    ),
    "overlap without tensors": (
        BASE.replace("size 8", "size 1") + "--tp-comm-overlap",
        ".sh",
        "tensor parallelism with sequence parallelism",
        "",
    ),
    "a strange layout": (BASE + "--pipeline-model-parallel-layout Etx|L", ".sh", "chunks of E, t, m and L", ""),
    "an unknown word": (BASE + "--recompute-granularity some", ".sh", "expected full or selective or none", ""),
    "an unknown schedule": (
        TOML + "pipeline_parallel_degree = 2\npipeline_parallel_schedule = 'Best'\n",
        ".toml",
        "expected GPipe or",
        "",
    ),
    "an unknown recipe": ("model:\n  x: 1\nmixed_precision: best\n", ".yaml", "a recipe's name", ""),
    "a strange pattern": (
        BASE + "--num-layers 4 --hidden-size 64 --num-attention-heads 8 --vocab-size 9 --seq-length 8 --num-experts 4"
        " --moe-layer-freq '([0]*1+[1]*2)'",
        ".sh",
        "a list of 0 and 1 for 4 layers",
        "",
    ),
    "an open quote": (BASE + "--context-parallel-size '2", ".sh", "line 1: found an opening '", "close the quote"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_said_once(tmp_path: Path, case: str) -> None:
    text, suffix, message, hint = WRONG[case]
    with pytest.raises(ScenarioError, match=message) as caught:
        take(tmp_path, text, suffix)
    assert caught.value.where == str(tmp_path / f"run{suffix}")
    assert "expected" in caught.value.message
    assert hint in caught.value.hint
    assert caught.value.hint


@pytest.mark.parametrize("content", [b"\xff\xfe\x00\x01", None])
def test_a_file_that_is_no_text_or_is_missing(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "run.sh"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ScenarioError, match="cannot read the file"):
        imported(path)


def test_a_huge_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="expected a configuration"):
        take(tmp_path, "# model:\n" * 500_000, ".yaml")


def test_yaml_that_multiplies_without_end_is_refused(tmp_path: Path) -> None:
    lines = ["model:", "  a0: &a0 {x: 1, y: 2}"]
    lines += [f"  a{n}: &a{n} {{{', '.join(f'k{k}: *a{n - 1}' for k in range(9))}}}" for n in range(1, 12)]
    with pytest.raises(ScenarioError, match="expected a configuration"):
        take(tmp_path, "\n".join(lines), ".yaml")


def test_yaml_makes_no_objects(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="expected YAML"):
        take(tmp_path, "model:\n  a: !!python/object/apply:os.system ['exit 1']\n", ".yaml")


def test_without_the_extra_yaml_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = builtins.__import__

    def missing(name: str, *rest: Any) -> Any:
        if name == "yaml":
            raise ModuleNotFoundError(name)
        return there(name, *rest)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(ScenarioError, match="needs PyYAML") as caught:
        take(tmp_path, samples.BRIDGE, ".yaml")
    assert "superpod[frameworks]" in caught.value.hint


@pytest.mark.parametrize(
    ("name", "layout", "field"),
    [
        ("megatron", Layout(pipeline=2.0, schedule="zb-h1"), "schedule"),
        ("megatron", Layout(tensor=2.0, tensor_overlap="pipe"), "tensor_overlap"),
        ("megatron", Layout(staged=2.0), "staged"),
        ("megatron", Layout(gather_again=False), "gather_again"),
        ("megatron", Layout(data=4.0, shard=3.0), "shard"),
        ("bridge", Layout(pipeline=2.0, schedule="dualpipe"), "schedule"),
        ("torchtitan", Layout(data=4.0, zero="1"), "zero"),
        ("torchtitan", Layout(data=4.0, zero="3", recompute="selective"), "recompute"),
        ("torchtitan", Layout(data=4.0, zero="3", context=2.0, context_kind="ulysses"), "context_kind"),
        ("mindspeed", Layout(offload="weights"), "offload"),
        ("mindspeed", Layout(pipeline=2.0, virtual=2.0, schedule="dualpipev"), "overlap"),
    ],
)
def test_what_a_framework_lacks_is_named(name: str, layout: Layout, field: str) -> None:
    with pytest.raises(ScenarioError, match=rf"^export to {name}: {field} .*supports") as caught:
        exported(name, layout, Training(batch_sequences=16), precision="bf16")
    assert caught.value.hint


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_a_batch_that_a_schedule_refuses_is_named(name: str) -> None:
    layout = Layout(pipeline=4.0, virtual=2.0, data=2.0, zero="3" if name == "torchtitan" else "1", recompute="full")
    for sequences in (21, 22):
        with pytest.raises(ScenarioError, match=rf"batch {sequences}: .*supports multiples") as caught:
            exported(name, layout, Training(batch_sequences=sequences), precision="bf16")
    assert caught.value.hint == "a batch of 24"


def test_a_model_that_a_framework_lacks_is_named() -> None:
    for name in ("megatron", "torchtitan"):
        with pytest.raises(ScenarioError, match=r"^export to .*model.*supports"):
            exported(name, Layout(), Training(), precision="bf16", model=Catalogue().model("mimo-v2-flash"))


def test_an_unknown_framework_is_named() -> None:
    with pytest.raises(UnknownNameError, match="unknown framework 'megatrom'"):
        exported("megatrom", Layout(), Training(), precision="bf16")


def test_every_error_is_ours(tmp_path: Path) -> None:
    """Files cut off anywhere end in an answer or in one clear error."""
    problems: list[SuperpodError] = []
    for name, text in vars(samples).items():
        suffix = ".toml" if name == "TORCHTITAN" else ".yaml" if ":\n" in str(text) else ".sh"
        for end in range(0, len(text) if name.isupper() else 0, 37):
            try:
                take(tmp_path, text[:end], suffix)
            except SuperpodError as error:
                problems.append(error)
    assert all(error.where and error.hint for error in problems)


def test_the_suffix_decides_where_words_of_two_frameworks_meet() -> None:
    both = "[parallelism]\nx = '--micro-batch-size'\n"
    assert recognise(both, ".toml") == "torchtitan"


def test_every_field_of_a_layout_has_its_words_or_is_refused() -> None:
    """A field that is added to Layout has to be read, written or refused here, never dropped."""
    refused = {"staged", "gather_again", "imbalance_ratio"}  # the last is said in a comment
    for framework in FRAMEWORKS.values():
        assert set(framework.table) | refused == {item.name for item in fields(Layout)}


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_the_guide_has_the_table_of_the_code(root: Path, name: str) -> None:
    guide = (root / "docs" / "guide" / "import-a-layout.md").read_text(encoding="utf-8")
    rows = [f"| `{field}` | {words} |" for field, words in FRAMEWORKS[name].table.items()]
    assert "\n".join([f"| field | `{name}` |", "|---|---|", *rows]) in guide


def test_what_a_file_fixes_can_be_pinned() -> None:
    found = FRAMEWORKS["megatron"].read(samples.MEGATRON.replace("--bf16", "--bf16 --grad-reduce-in-bf16"), "")
    check_fixed(found.fixed)
    assert settled(found.fixed) == {
        "sequence_parallel": True,
        "scatter_gather": True,
        "fused_attention": True,
        "gradient_bytes": 2.0,
    }
    layout = Layout(**found.fixed)
    assert layout_of(described(layout)) == layout


def test_pinned_flags_come_back_from_a_report() -> None:
    layout = Layout(tensor=2.0, sequence_parallel=False, scatter_gather=False, gradient_bytes=2.0)
    assert layout_of(described(layout)) == layout
