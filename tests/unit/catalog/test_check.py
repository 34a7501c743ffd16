"""The consistency check: the shipped catalogue passes it, and every rule fires on a fault planted in an entry."""

import json
import shutil
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest

from superpod.catalog.check import TOLERANCE_FRAC, injection, link_bytes_per_s, problems
from superpod.catalog.load import SHIPPED, Catalogue
from superpod.catalog.model_spec import DenseFeedForward, LatentAttention, MixtureOfExperts
from superpod.catalog.schema import Medium

Tree = dict[str, Any]
Change = Callable[[Tree], object]


PODS = (
    "cloudmatrix384 cloudmatrix384-x432 atlas950-8192 atlas950-1024 atlas950-supercluster atlas960-15488 atlas960-4096 "
    "ub-mesh-1024 ub-mesh-8192 hgx-h100 hgx-h800 hgx-h200 hgx-h20 hgx-b200 hgx-b300 gb200-nvl72 gb300-nvl72 "
    "vr-nvl144 vr-nvl72 panjiu-al128 sd200 metax-c500x-optical metax-yaolong-3dmesh metax-shanghai-cube "
    "metax-liquid-pod kunlun-32 kunlun-64 tianchi-256 tianchi-512 tpu-v5p-8960 ironwood-9216 trn2-ultraserver "
    "trn3-ultraserver helios-72 scalex640 hgx-a100 mi355x-8 atlas950-1024-mesh tpu-8i-1024 "
)
FAMILIES = (
    "gpt3-175b mt-nlg-530b gpt-1t llama-2-70b llama-3.1-405b qwen3-32b qwen3-235b-a22b mixtral-8x7b deepseek-v3 "
    "deepseek-r1 deepseek-v3.2 kimi-k2 glm-4.5 gpt-oss-120b pangu-ultra-moe-718b moe-10t "
)


def toml(value: Any) -> str:
    """Return a value as TOML writes it in one line."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(key)} = {toml(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(toml(item) for item in value) + "]"
    return json.dumps(value, ensure_ascii=False)


def planted(folder: Path, kind: str, name: str, change: Change, copy: str = "") -> list[str]:
    """Return what the check says after one change to a shipped entry, or to a copy of it under another id."""
    (path,) = (SHIPPED / kind).rglob(f"{name}.toml")
    tree = tomllib.loads(path.read_text(encoding="utf-8"))
    if copy:
        tree.update(id=copy)
        tree.pop("aliases", None)
    change(tree)
    mine = folder / kind / f"{copy or name}.toml"
    mine.parent.mkdir(parents=True)
    mine.write_text("".join(f"{key} = {toml(item)}\n" for key, item in tree.items()), encoding="utf-8")
    return problems(Catalogue(folders=(SHIPPED, folder)))


def fact(path: str, **values: object) -> Change:
    """Return a change that sets keys of the fact at a path."""

    def change(tree: Tree) -> None:
        for part in path.split("."):
            tree = tree[int(part) if isinstance(tree, list) else part]
        tree.update(values)

    return change


def scaled(path: str, factor: float) -> Change:
    """Return a change that multiplies the fact at a path and drops its range."""

    def change(tree: Tree) -> None:
        for part in path.split("."):
            tree = tree[int(part) if isinstance(tree, list) else part]
        tree["value"] *= factor
        tree.pop("low", None)
        tree.pop("high", None)

    return change


@pytest.mark.parametrize("estimates", [False, True])
def test_the_shipped_catalogue_agrees_with_itself(estimates: bool) -> None:
    assert problems(Catalogue(estimates=estimates)) == []


def test_a_copy_of_an_entry_is_no_fault(tmp_path: Path) -> None:
    assert planted(tmp_path, "pods", "cloudmatrix384", lambda tree: None) == []
    assert planted(tmp_path / "other", "chips", "h100-sxm", lambda tree: None) == []


@pytest.mark.parametrize(
    ("kind", "name", "change", "said"),
    [
        # Printed totals against the sum of the parts.
        ("pods", "cloudmatrix384", scaled("published.memory_bytes", 1.03), "published.memory_bytes: 5.0"),
        ("pods", "cloudmatrix384", scaled("published.bf16_flop_per_s", 0.97), "published.bf16_flop_per_s"),
        ("pods", "hgx-h100", scaled("published.fabric_bytes_per_s", 1.03), "published.fabric_bytes_per_s"),
        ("pods", "hgx-h100", scaled("published.fp8_flop_per_s", 2.0), "published.fp8_flop_per_s"),
        ("pods", "hgx-h100", fact("published.memory_bytes", conflict="old"), "so its conflict note is stale"),
        ("pods", "hgx-h100", fact("chips_count", value=16), "tiers: hold [8] chips, expected to grow to 16"),
        # A value outside its own range.
        ("pods", "hgx-h100", fact("power.typical_w", value=9e3), "power.typical_w: value 9000 lies outside its own"),
        ("pods", "hgx-h100", fact("power.typical_w", value=6e3), "power.typical_w: value 6000 lies outside its own"),
        # A slip of a prefix, or of bits for bytes.
        ("chips", "h100-sxm", fact("memory.capacity_bytes", value=80), "capacity_bytes: 80 is not believable"),
        ("chips", "h100-sxm", scaled("memory.bandwidth_bytes_per_s", 1e3), "memory.bandwidth_bytes_per_s: 3.35e+15"),
        ("chips", "h100-sxm", fact("matrix_flop_per_s.bf16", value=989), "matrix_flop_per_s.bf16: 989 is not"),
        ("chips", "h100-sxm", fact("power.max_w", value=0.7), "power.max_w: 0.7 is not believable"),
        ("chips", "h100-sxm", fact("memory.capacity_bytes", value=-80e9), "from 0 up"),
        ("pods", "hgx-h100", scaled("tiers.0.bandwidth_bytes_per_s", 1e-9), "tiers.node.bandwidth_bytes_per_s: 450"),
        ("pods", "hgx-h100", scaled("tiers.0.latency_s", 1e6), "tiers.node.latency_s: 1 is not believable"),
        ("pods", "hgx-h100", scaled("scale_out.bandwidth_bytes_per_s", 1e-3), "scale_out.bandwidth_bytes_per_s"),
        ("pods", "cloudmatrix384", scaled("tiers.2.bisection_frac", 100), "tiers.pod.bisection_frac: 100"),
        ("pods", "hgx-h100", scaled("price.usd", 1e-3), "price.usd: 270 is not believable"),
        ("links", "nvlink4", scaled("band_frac", 100), "nvlink4:band_frac: 1"),
        ("cables", "optical", fact("modules.1.power_w", value=9e3), "modules.400G.power_w: 9000 is not believable"),
        ("cables", "optical", fact("failure_per_s", value=0.0068), "failure_per_s: 0.0068 is not believable"),
        # Sources, notes and what a fact must say.
        ("pods", "hgx-h100", fact("power.max_w", source="hearsay"), "power.max_w: source 'hearsay' is not in sources/"),
        ("chips", "zhenwu-m890", fact("matrix_flop_per_s.bf16.estimate", source="rumour"), "source 'rumour'"),
        ("facilities", "us-large", fact("pue", source="hearsay"), "facilities/us-large:pue: source 'hearsay'"),
        ("calibration", "nvidia-hopper", fact("kernel_s", source="hearsay"), "kernel_s: source 'hearsay'"),
        ("chips", "zhenwu-m890", fact("matrix_flop_per_s.bf16", note=""), "matrix_flop_per_s.bf16: missing without"),
        ("pods", "panjiu-al128", lambda tree: tree["price"]["usd"].pop("note"), "price.usd: missing without a note"),
        ("pods", "panjiu-al128", fact("price.usd", missing=False), "price.usd: neither a value, nor missing"),
        ("chips", "h100-sxm", lambda tree: tree["matrix_flop_per_s"].pop("fp4"), "says nothing about fp4"),
        # Tiers.
        ("pods", "cloudmatrix384", lambda tree: tree["tiers"][1].update(chips_count=1024), "hold [1, 1024, 384]"),
        ("pods", "cloudmatrix384", lambda tree: tree["tiers"].pop(), "hold [1, 8] chips, expected to grow to 384"),
        ("pods", "ub-mesh-1024", lambda tree: tree["tiers"][1].update(dims=[4, 5]), "tiers.pod.dims: (4, 5)"),
        ("pods", "ub-mesh-1024", lambda tree: tree["tiers"][0].update(dims=[8, 7]), "tiers.rack.dims: (8, 7)"),
        ("pods", "atlas950-1024", lambda tree: tree["tiers"][0].update(dims=[64]), "tiers.blade.dims: (64,)"),
        # Wiring: whole switches, planes that pair, cables as wide as their links.
        (
            "pods",
            "cloudmatrix384",
            fact("tiers.1.wiring.planes_count", value=7.5),
            "planes_count: found 7.5, expected a",
        ),
        (
            "pods",
            "cloudmatrix384",
            fact("tiers.2.wiring.planes_count", value=6),
            "planes_count: found 6.0 planes over 7",
        ),
        (
            "pods",
            "cloudmatrix384",
            fact("tiers.2.wiring.switches_count", value=0),
            "switches_count: found 0, expected a",
        ),
        ("pods", "cloudmatrix384", fact("tiers.2.wiring.switches_count", value=15), "but 2 link(s) of 2.66667e+10"),
        ("pods", "cloudmatrix384", fact("tiers.2.wiring.lanes_per_cable_count", value=1), "but 1 link(s) of 2.5e+10"),
        (
            "pods",
            "cloudmatrix384",
            scaled("scale_out.wiring.cable_bytes_per_s", 2),
            "scale_out.wiring.cable_bytes_per_s",
        ),
        ("pods", "helios-72", fact("tiers.0.wiring.cable_bytes_per_s", value=60e9), "6e+10 a cable, but 1 link(s) of"),
        ("pods", "ironwood-9216", scaled("tiers.2.wiring.cable_bytes_per_s", 2), "tiers.pod.wiring.cable_bytes_per_s"),
        ("pods", "hgx-h100", lambda tree: tree["tiers"][0]["wiring"].update(attach="inside"), "no switches inside"),
        # CPUs and side networks on tiers that are there.
        (
            "pods",
            "cloudmatrix384",
            lambda tree: tree["host"].update(tier="rack"),
            "host.tier: found 'rack', expected one",
        ),
        (
            "pods",
            "cloudmatrix384",
            lambda tree: tree["host"].pop("bandwidth_bytes_per_s"),
            "need host.bandwidth_bytes_per_s",
        ),
        ("pods", "cloudmatrix384", lambda tree: tree["side_networks"][0].update(tier="rack"), "side_networks.vpc.tier"),
        ("cables", "optical", lambda tree: tree["modules"].reverse(), "expected each once and rising"),
        # A file that does not load.
        ("pods", "hgx-h100", lambda tree: tree.pop("version"), "version: this key is required"),
        ("models", "llama-3.1-8b", lambda tree: tree.pop("layers"), "layers: this key is required"),
        pytest.param("pods", "hgx-h100", lambda tree: tree.update(tiers=[]), "tiers"),
        pytest.param("pods", "hgx-h100", lambda tree: tree.update(chip="nope"), "unknown chip 'nope'"),
        pytest.param("chips", "h100-sxm", lambda tree: tree.update(calibration="nope"), "'nope'"),
        pytest.param("pods", "hgx-h100", lambda tree: tree["tiers"][0].update(calibration="nope"), "'nope'"),
    ],
)
def test_a_planted_fault_is_found(tmp_path: Path, kind: str, name: str, change: Change, said: str) -> None:
    found = planted(tmp_path, kind, name, change)
    assert [text for text in found if said in text and text.startswith(f"{kind}/{name}")], found


def test_a_fault_in_a_chip_shows_in_the_totals_of_its_pods(tmp_path: Path) -> None:
    found = planted(tmp_path, "chips", "ascend-910c", scaled("memory.capacity_bytes", 1.05))
    assert [text.partition(" ")[0] for text in found] == ["pods/cloudmatrix384:published.memory_bytes:"]


def test_a_conflict_excuses_a_total_only_while_it_lasts(tmp_path: Path) -> None:
    off = scaled("published.memory_bytes", 1 + 1.5 * TOLERANCE_FRAC)

    def change(tree: Tree) -> None:
        off(tree)
        tree["published"]["memory_bytes"]["conflict"] = "another page"

    assert planted(tmp_path, "pods", "hgx-h100", change) == []


def test_totals_of_the_headline_are_compared_with_the_headline_rate(tmp_path: Path) -> None:
    found = planted(tmp_path, "pods", "atlas950-1024", lambda tree: tree["published"]["bf16_flop_per_s"].pop("basis"))
    assert [text.partition(" ")[0] for text in found] == ["pods/atlas950-1024:published.bf16_flop_per_s:"]


def test_totals_of_a_cascade_are_those_of_all_its_pods(tmp_path: Path) -> None:
    def change(tree: Tree) -> None:
        tree["published"]["fp8_flop_per_s"].update(value=64 * 8e18)
        tree["published"]["fp8_flop_per_s"].pop("conflict")

    assert planted(tmp_path, "pods", "atlas950-supercluster", change) == []


def test_a_new_pod_of_the_users_is_checked_too(tmp_path: Path) -> None:
    found = planted(tmp_path, "pods", "hgx-h100", fact("power.max_w", source="hearsay"), copy="mine")
    assert found == ["pods/mine:power.max_w: source 'hearsay' is not in sources/"]


def test_injection_adds_ports_of_their_own_and_not_those_of_the_package() -> None:
    catalogue = Catalogue()
    assert injection(catalogue.pod("cloudmatrix384")) == 2 * 350e9
    blade, cabinet, pod = catalogue.pod("atlas950-1024").tiers
    assert injection(catalogue.pod("atlas950-1024")) == 2 * (
        blade.bandwidth_bytes_per_s + max(cabinet.bandwidth_bytes_per_s, pod.bandwidth_bytes_per_s)
    )
    assert injection(catalogue.pod("ub-mesh-1024")) is None


def test_every_medium_has_its_cable() -> None:
    assert set(Catalogue().names("cables")) == set(get_args(Medium))


def test_a_medium_without_its_cable_is_found(tmp_path: Path) -> None:
    shutil.copytree(SHIPPED, tmp_path / "data")
    (tmp_path / "data" / "cables" / "mixed.toml").unlink()
    found = [text for text in problems(Catalogue(folders=(tmp_path / "data",))) if "cable" in text]
    assert {text.partition(":")[0] for text in found} >= {"pods/cloudmatrix384", "pods/ub-mesh-1024"}
    assert all("unknown cable 'mixed'" in text for text in found)


def test_cloudmatrix384_is_wired_as_published() -> None:
    pod = Catalogue().pod("cloudmatrix384")
    node, top = pod.tiers[1].wiring, pod.tiers[2].wiring
    nodes = pod.chips_count / pod.tiers[1].chips_count
    assert nodes * node.planes_count * node.switches_count == 336
    assert top.planes_count * top.switches_count == 112
    links = nodes * top.planes_count * node.switches_count * top.switches_count
    assert links / top.lanes_per_cable_count == 2688
    assert pod.chips_count * pod.tiers[2].bandwidth_bytes_per_s / top.cable_bytes_per_s == 2688
    out = pod.chips_count * pod.scale_out.bandwidth_bytes_per_s / pod.scale_out.wiring.cable_bytes_per_s
    assert 2 * 2688 == 5376
    assert 2 * out * pod.scale_out.wiring.levels_count == 1536
    assert (pod.host.tier, pod.host.bandwidth_bytes_per_s) == ("node", 160e9)
    assert [(side.name, side.tier, side.bandwidth_bytes_per_s) for side in pod.side_networks] == [("vpc", "node", 50e9)]
    cascade = Catalogue().pod("cloudmatrix384-x432")
    assert (cascade.tiers, cascade.host, cascade.side_networks) == (pod.tiers, pod.host, pod.side_networks)


@pytest.mark.parametrize(
    ("name", "rates"),
    [
        # 7 planes of one chip a node, 16 chips a plane above them; 200 Gb/s a die to the outside.
        ("cloudmatrix384", [None, 25e9, 25e9, 25e9]),
        ("gb200-nvl72", [50e9, 50e9]),
        ("hgx-h100", [112.5e9, 50e9]),
        ("hgx-b300", [450e9, 50e9]),
        ("helios-72", [150e9, 300e9]),
        ("atlas950-1024-mesh", [56e9, None, None]),
        ("mi355x-8", [76.5e9, 50e9]),
        ("trn2-ultraserver", [128e9, 64e9, 25e9]),
        # A package's own links, and those that leave a face of a cube.
        ("ironwood-9216", [None, 100e9, 100e9, 6.25e9]),
        ("tpu-8i-1024", [200e9, 550e9 / 7, None]),
        ("ub-mesh-1024", [None, None, None]),
    ],
)
def test_the_rate_of_one_link_follows_from_the_wiring(name: str, rates: list[float | None]) -> None:
    catalogue = Catalogue()
    pod = catalogue.pod(name)
    chip = catalogue.chip(pod.chip)
    tiers = (*pod.tiers, *((pod.scale_out,) if pod.scale_out else ()))
    inside = (None, *pod.tiers)
    found = [link_bytes_per_s(pod, chip, tier, inner) for tier, inner in zip(tiers, inside, strict=False)]
    assert found == [None if rate is None else pytest.approx(rate) for rate in rates]


@pytest.mark.parametrize("name", PODS.split())
def test_a_pod_that_people_ask_for_is_in_the_catalogue(name: str) -> None:
    catalogue = Catalogue()
    pod = catalogue.pod(name)
    assert pod.id == name
    assert catalogue.chip(pod.chip).calibration in catalogue.names("calibration")
    links = {tier.calibration for tier in pod.tiers} | ({pod.scale_out.calibration} if pod.scale_out else set())
    assert links <= set(catalogue.names("links"))


def test_the_models_are_many_and_of_every_kind() -> None:
    catalogue = Catalogue()
    models = [catalogue.model(name) for name in catalogue.names("models")]
    assert len(models) >= 25
    groups = {model.id: model.layers for model in models}
    dense = [name for name, layers in groups.items() if all(isinstance(item.ffn, DenseFeedForward) for item in layers)]
    experts = [
        name for name, layers in groups.items() if any(isinstance(item.ffn, MixtureOfExperts) for item in layers)
    ]
    latent = [
        name for name, layers in groups.items() if any(isinstance(item.attention, LatentAttention) for item in layers)
    ]
    assert min(len(dense), len(experts), len(latent)) >= 3


@pytest.mark.parametrize("name", FAMILIES.split())
def test_a_model_that_people_ask_for_is_in_the_catalogue(name: str) -> None:
    assert Catalogue().model(name).layers_count > 0
