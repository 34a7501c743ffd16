"""Catalogue files: numbers and who said them, refusals that name the place, the user's own folder over the shipped."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from superpod.catalog.check import readers
from superpod.catalog.load import SHIPPED, Catalogue, parse_overrides
from superpod.catalog.provenance import FactReader
from superpod.compute.device import rate
from superpod.errors import CatalogueError, MissingFactError, NoBasisError, UnknownNameError

Write = Callable[..., Catalogue]


CHIP = """
schema = 1
id = "toy"
version = "2026-01"
name = "Toy"
vendor = "Us"
state = "shipping"
calibration = "nvidia-hopper"
aliases = ["toy-chip"]

[matrix_flop_per_s]
bf16 = { value = 1e15, low = 9e14, high = 1.1e15, kind = "vendor", source = "sheet" }
fp8 = { missing = true, note = "not printed", estimate = { value=2e15, low=1.5e15, high=2.5e15, basis="twice bf16" } }
fp4 = { unsupported = true, kind = "vendor", source = "sheet" }
int8 = { missing = true, note = "not printed" }

[memory]
capacity_bytes = { value = 80e9, kind = "vendor", source = "sheet", note = "five stacks" }
bandwidth_bytes_per_s = { value = 3e12, kind = "assumed" }

[power]
max_w = { value = 700, kind = "vendor", source = "sheet" }
"""
POD = """
schema = 1
id = "toy-pod"
version = "2026-01"
name = "Toy pod"
vendor = "Us"
state = "announced"
aliases = ["toys"]
chip = "toy"
chips_count = { value = 8, kind = "vendor", source = "sheet" }

[[tiers]]
name = "node"
structure = "full_mesh"
chips_count = 8
dims = [8]
bandwidth_bytes_per_s = { value = 392e9, kind = "vendor", source = "sheet" }
latency_s = { missing = true, note = "not printed", estimate = { value = 1e-6, basis = "as others" } }
medium = "electrical"
calibration = "nvlink4"

[power]
max_w = { value = 10e3, kind = "vendor", source = "sheet" }

[price]
usd = { value = 3e5, kind = "third-party", source = "sheet" }

[published]
memory_bytes = { value = 640e9, kind = "vendor", source = "sheet" }
"""
CASCADE = """
schema = 1
id = "many-toys"
version = "2026-02"
name = "Many toy pods"
vendor = "Us"
state = "roadmap"
base = "toys"
pods_count = { value = 4, kind = "computed", note = "32 / 8" }
"""
SOURCES = '[sheet]\ntitle = "Data sheet"\nurl = "https://example.org/sheet"\ndate = "2026-01"\n'
TOYS = {"chips/toy": CHIP, "pods/toy-pod": POD, "pods/many-toys": CASCADE, "sources/mine": SOURCES}


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Return a function that writes files into a user's folder and opens it over the shipped one."""

    def opened(files: dict[str, str | bytes], **options: Any) -> Catalogue:
        for name, text in files.items():
            path = tmp_path / f"{name}.toml"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return Catalogue(folders=(SHIPPED, tmp_path), **options)

    return opened


def refusal(catalogue: Catalogue, name: str = "toy") -> str:
    """Return what the catalogue says against a chip."""
    with pytest.raises(CatalogueError) as caught:
        catalogue.chip(name)
    return str(caught.value)


def replaced(text: str, *changes: tuple[str, str]) -> str:
    """Return the text with each old string replaced by the new one; each must be there."""
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    return text


def test_numbers_are_bare_and_facts_ride_beside_them_by_path(write: Write) -> None:
    catalogue = write(TOYS)
    chip, pod = catalogue.chip("toy"), catalogue.pod("toy-pod")
    assert type(chip.memory.capacity_bytes) is float
    fact = chip.facts["memory.capacity_bytes"]
    assert (fact.value, fact.kind, fact.source, fact.note) == (80e9, "vendor", "sheet", "five stacks")
    assert (chip.facts["matrix_flop_per_s.bf16"].low, chip.facts["matrix_flop_per_s.bf16"].high) == (9e14, 1.1e15)
    assert pod.tiers[0].bandwidth_bytes_per_s == 392e9
    assert {"tiers.node.bandwidth_bytes_per_s", "tiers.node.latency_s", "power.max_w", "price.usd"} <= pod.facts.keys()
    assert pod.tiers[0].dims == (8,)
    assert catalogue.sources()["sheet"].url == "https://example.org/sheet"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (', kind = "vendor", source = "sheet", note = "five stacks" }', " }", "capacity_bytes: a fact needs its kind"),
        (', source = "sheet", note = "five stacks"', "", "memory.capacity_bytes: a vendor fact needs its source"),
        ("max_w = { value = 700", "max_w = 700 # {", "power.max_w: found the bare number 700"),
        ("vendor =", "vender =", "vender: unknown key; did you mean 'vendor'"),
        ("capacity_bytes =", "capacity_byte =", "memory.capacity_byte: unknown key; did you mean 'capacity_bytes'"),
        ("value = 700", "unsupported = true", "power.max_w: only a dtype can be unsupported"),
        ("[memory]", "[memroy]", "memory: this key is required"),
        ("value = 80e9", "valeu = 80e9, missing = true", "memory.capacity_bytes: valeu: unknown key; did you mean"),
        ('version = "2026-01"', "", "version: this key is required"),
        ('id = "toy"', 'id = "other"', "id: found 'other', expected the file's stem 'toy'"),
        ('id = "toy"', "", "id: found None, expected the file's stem 'toy'"),
        ("schema = 1", "schema = 2", "schema: expected 1"),
        ("schema = 1", "", "schema: expected 1"),
        ('"shipping"', '"sold out"', "state: input should be 'roadmap'"),
        ("bf16 =", "bf61 =", "matrix_flop_per_s.bf61"),
        ("value = 80e9", "value = 2026-01-01", "memory.capacity_bytes: value: input should be a valid number"),
        ("value = 80e9", 'value = "many"', "memory.capacity_bytes: value: input should be a valid number"),
        ('kind = "assumed"', 'kind = "guess"', "memory.bandwidth_bytes_per_s: kind: input should be 'vendor'"),
        ("[power]", "[power.more]", "power.more: unknown key"),
    ],
)
def test_a_wrong_file_says_what_is_wrong_and_where(write: Write, tmp_path: Path, old: str, new: str, said: str) -> None:
    text = refusal(write({"chips/toy": replaced(CHIP, (old, new))}))
    assert said in text
    assert text.startswith(str(tmp_path / "chips" / "toy.toml"))
    assert "docs/reference/catalogue-format.md" in text


def test_all_problems_of_a_file_come_in_one_error(write: Write) -> None:
    wrong = replaced(
        CHIP,
        ("schema = 1", "schema = 7"),
        ('id = "toy"', 'id = "yot"'),
        ("value = 700, ", "value = 700 } # "),
        ('state = "shipping"', "stats = 1"),
    )
    text = refusal(write({"chips/toy": wrong}))
    assert "7 problem(s)" in text
    for part in (
        "schema: expected 1",
        "id: found 'yot'",
        "power.max_w: a fact needs its kind",
        "stats: found the bare",
    ):
        assert part in text
    assert "state: this key is required" in text
    assert "did you mean 'state'" in text


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("schema = 1\nid = \n", "malformed TOML: Invalid value (at line 2"),
        (CHIP + '\nname = "open', "malformed TOML"),
        ("schema = 1\nschema = 1\n", "malformed TOML: Cannot overwrite a value (at line 2"),
        (b"\xff\xfe\x00\x01binary", "cannot read the file"),
        (b"\x00\x00\x00", "malformed TOML"),
    ],
)
def test_a_file_that_is_no_toml_is_named(write: Write, tmp_path: Path, content: str | bytes, said: str) -> None:
    text = refusal(write({"chips/toy": content}))
    assert text.startswith(str(tmp_path / "chips" / "toy.toml"))
    assert said in text


def test_a_folder_where_a_file_should_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "chips" / "toy.toml").mkdir(parents=True)
    assert "cannot read the file" in refusal(Catalogue(folders=(SHIPPED, tmp_path)))


@pytest.mark.parametrize("depth", [100, 400, pytest.param(5000)])
def test_deep_nesting_is_refused(write: Write, tmp_path: Path, depth: int) -> None:
    text = refusal(write({"chips/toy": CHIP.replace("[power]", f"[power]\nx = {'[' * depth}{']' * depth}")}))
    assert str(tmp_path) in text


@pytest.mark.parametrize("value", ["nan", "inf", "-80e9", "true", '"80e9"'])
def test_a_value_is_a_finite_number(write: Write, value: str) -> None:
    assert "memory.capacity_bytes" in refusal(write({"chips/toy": CHIP.replace("value = 80e9", f"value = {value}")}))


@pytest.mark.parametrize(
    ("files", "ask"),
    [
        ({"pods/toy-pod": POD.replace('["toys"]', "5")}, lambda it: it.pod("no-such-pod")),
        ({"pods/many-toys": CASCADE.replace('"toys"', "5")}, lambda it: it.pod("many-toys")),
        ({"sources/mine": "sheet = 3\n"}, lambda it: it.sources()),
        ({"pods/toy-pod": POD.partition("[[tiers]]")[0] + "tiers = []\n"}, lambda it: it.pod("toy-pod")),
    ],
)
def test_a_key_of_the_wrong_shape_is_refused(write: Write, files: dict[str, str], ask: Callable[..., Any]) -> None:
    with pytest.raises(CatalogueError):
        ask(write(files))


def test_text_in_a_file_stays_text(write: Write) -> None:
    odd = "$(touch x) `id` ${HOME} {0} %s __import__('os') <script>"
    chip = write({"chips/toy": CHIP.replace('name = "Toy"', f'name = "{odd}"\nnote = "{odd}"')}).chip("toy")
    assert chip.name == chip.note == odd


def test_names_are_found_by_id_or_alias_in_any_case(write: Write) -> None:
    catalogue = write(TOYS)
    assert {catalogue.pod(name).id for name in ("toy-pod", "Toy-Pod", "toys", "TOYS")} == {"toy-pod"}
    assert catalogue.pod("toy-pod@2026-01") == catalogue.pod("toy-pod")
    assert catalogue.pod("CM384").id == "cloudmatrix384"
    assert catalogue.model("DeepSeek-R1").id == "deepseek-v3"


def test_the_users_own_names_are_found_in_any_case(write: Write) -> None:
    own = POD.replace('"toy-pod"', '"Toy-Pod"').replace('"toys"', '"Toys"')
    catalogue = write({"chips/toy": CHIP, "pods/Toy-Pod": own})
    assert {catalogue.pod(name).id for name in ("Toy-Pod", "toy-pod", "Toys", "toys")} == {"Toy-Pod"}


@pytest.mark.parametrize(
    ("kind", "name", "meant"),
    [
        ("pod", "cloudmatrix384@1999-01", "cloudmatrix384@"),
        ("pod", "clodmatrix384", "did you mean 'cloudmatrix384'"),
        ("model", "lama-3.1-70b", "'llama-3.1-70b'"),
        ("chip", "h100-sxn", "'h100-sxm'"),
        ("link", "nvlink44", "'nvlink4'"),
        ("calibration", "nvidia-hoper", "'nvidia-hopper'"),
        ("pod", "zzzzzz", "known: "),
        ("pod", "../pods/huawei/cloudmatrix384", "unknown pod"),
    ],
)
def test_an_unknown_name_suggests_the_closest(kind: str, name: str, meant: str) -> None:
    with pytest.raises(UnknownNameError) as caught:
        getattr(Catalogue(), kind)(name)
    assert repr(name) in str(caught.value)
    assert meant in str(caught.value)


def test_a_cascade_takes_its_parts_but_not_their_totals(write: Write) -> None:
    catalogue = write(TOYS)
    base, cascade = catalogue.pod("toy-pod"), catalogue.pod("many-toys")
    assert cascade.tiers == base.tiers
    assert (cascade.chip, cascade.chips_count, cascade.pods_count) == ("toy", 8.0, 4.0)
    assert (cascade.name, cascade.state, cascade.version) == ("Many toy pods", "roadmap", "2026-02")
    assert (cascade.power.max_w, cascade.price.usd, cascade.published.memory_bytes) == (None, None, None)
    assert cascade.aliases == ()
    assert cascade.facts["tiers.node.latency_s"].missing
    assert not [path for path in cascade.facts if path.startswith(("power", "price", "published"))]
    assert base.pods_count == 1.0


def test_overrides_are_parsed() -> None:
    words = ["pods/a-1:tiers.node.latency_s=2e-6", " chips/b.2:power.max_w=700 "]
    assert parse_overrides(words) == {"pods/a-1:tiers.node.latency_s": 2e-6, "chips/b.2:power.max_w": 700.0}
    assert parse_overrides([]) == {}


@pytest.mark.parametrize("text", ["", "nonsense", "pods/a:x", "pods/a:x=", "a:x=1", "pods/a=1", "=1", "pods/a:x=1 W"])
def test_a_malformed_override_is_refused(text: str) -> None:
    with pytest.raises(CatalogueError) as caught:
        parse_overrides([text])
    assert "--set" in str(caught.value)
    assert caught.value.hint


def test_an_override_replaces_the_value_and_says_that_the_user_gave_it(write: Write) -> None:
    given = {"pods/toy-pod:tiers.node.latency_s": 3e-6, "chips/toy:matrix_flop_per_s.int8": 7e14}
    catalogue = write(TOYS, overrides=given, estimates=True)
    pod, chip = catalogue.pod("toys"), catalogue.chip("toy")
    assert pod.tiers[0].latency_s == 3e-6
    assert pod.facts["tiers.node.latency_s"].kind == "user"
    assert chip.matrix_flop_per_s["int8"] == 7e14
    assert chip.facts["matrix_flop_per_s.int8"].kind == "user"
    assert chip.facts["matrix_flop_per_s.bf16"].kind == "vendor"


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("tiers.nod.latency_s", "did you mean 'tiers.node.latency_s'"),
        ("powr.max_w", "powr: unknown key; did you mean 'power'"),
        ("power.maxim_w", "power.maxim_w: unknown key; did you mean 'max_w'"),
        ("tiers", "tiers: input should be"),
        ("chips_count.x", "no such number"),
        ("power", "power: input should be"),
        ("name", "name: input should be a valid string"),
    ],
)
def test_an_override_of_an_unknown_path_is_refused(write: Write, path: str, said: str) -> None:
    with pytest.raises(CatalogueError) as caught:
        write(TOYS, overrides={f"pods/toy-pod:{path}": 1.0}).pod("toy-pod")
    assert said in str(caught.value)


@pytest.mark.parametrize("where", ["pods/toys:power.max_w", "pods/TOY-POD:power.max_w"])
def test_an_override_may_name_the_entry_as_any_verb_does(write: Write, where: str) -> None:
    assert write(TOYS, overrides={where: 5e3}).pod("toy-pod").power.max_w == 5e3


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_an_override_is_a_finite_number(value: str) -> None:
    with pytest.raises(CatalogueError):
        parse_overrides([f"chips/toy:memory.capacity_bytes={value}"])


def test_an_unpublished_number_stays_unknown_and_using_it_says_how_to_supply_it(write: Write) -> None:
    chip = write(TOYS).chip("toy")
    path = "matrix_flop_per_s.fp8"
    assert chip.matrix_flop_per_s["fp8"] is None
    with pytest.raises(MissingFactError) as caught:
        FactReader(kind="chips", entry=chip).number(path, None)
    parts = (f"chips/toy:{path}", "not printed", f"--set chips/toy:{path}=", "--catalog", "--estimates")
    for part in (*parts, "2e+15 (range 1.5e+15 to 2.5e+15)", "twice bf16"):
        assert part in str(caught.value)
    with pytest.raises(MissingFactError) as bare:
        FactReader(kind="chips", entry=chip).number("matrix_flop_per_s.int8", None)
    assert "--set chips/toy:matrix_flop_per_s.int8=" in str(bare.value)
    assert "--estimates" not in str(bare.value)


def test_an_estimate_fills_the_number_and_is_marked(write: Write) -> None:
    chip = write(TOYS, estimates=True).chip("toy")
    fact = chip.facts["matrix_flop_per_s.fp8"]
    assert chip.matrix_flop_per_s["fp8"] == 2e15
    assert (fact.kind, fact.value, fact.low, fact.high, fact.note) == ("estimate", 2e15, 1.5e15, 2.5e15, "twice bf16")
    assert chip.matrix_flop_per_s["int8"] is None
    assert chip.facts["matrix_flop_per_s.bf16"].kind == "vendor"


def test_a_reader_remembers_what_it_read(write: Write) -> None:
    chip = write(TOYS).chip("toy")
    reader = FactReader(kind="chips", entry=chip)
    assert reader.number("memory.capacity_bytes", chip.memory.capacity_bytes) == 80e9
    assert [(used.where, used.fact.source) for used in reader.cited()] == [("chips/toy:memory.capacity_bytes", "sheet")]


def test_a_format_that_the_chip_lacks_differs_from_one_that_nobody_printed(write: Write) -> None:
    chip = write(TOYS).chip("toy")
    assert "fp4" not in chip.matrix_flop_per_s
    assert chip.facts["matrix_flop_per_s.fp4"].unsupported
    reader = FactReader(kind="chips", entry=chip)
    with pytest.raises(NoBasisError, match="no fp4 matrix engine"):
        rate(reader, chip, "fp4")
    with pytest.raises(MissingFactError, match="has not been published"):
        rate(reader, chip, "int8")
    assert rate(reader, chip, "bf16") == 1e15


def test_the_users_folder_lies_over_the_shipped_one(write: Write) -> None:
    shipped = Catalogue()
    own = replaced(CHIP, ('id = "toy"', 'id = "h100-sxm"'), ("value = 80e9", "value = 96e9"))
    mine = write({**TOYS, "chips/deeper/down/h100-sxm": own})
    assert mine.chip("h100-sxm").memory.capacity_bytes == 96e9
    assert shipped.chip("h100-sxm").memory.capacity_bytes == 80e9
    assert set(mine.names("pods")) == {*shipped.names("pods"), "toy-pod", "many-toys"}
    assert mine.pod("cloudmatrix384") == shipped.pod("cloudmatrix384")
    assert mine.sources().keys() == {*shipped.sources(), "sheet"}


@pytest.mark.parametrize("estimates", [False, True])
@pytest.mark.parametrize("kind", [*readers(Catalogue()), "claims"])
def test_every_shipped_entry_loads(kind: str, estimates: bool) -> None:
    catalogue = Catalogue(estimates=estimates)
    read = {**readers(catalogue), "claims": catalogue.claim}[kind]
    names = catalogue.names(kind)
    assert names
    assert [getattr(read(name), "id", None) for name in names] == list(names)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("calibration/nvidia-hopper:gemm.bf16.peak_frac", 1.8),
        ("calibration/nvidia-hopper:decode.memory_frac", 0.0),
        ("calibration/nvidia-hopper:decode.join_power", 0.0),
        ("calibration/nvidia-hopper:decode.latency_power", 2.0),
        ("links/nvlink4:efficiency_frac", 1.2),
        ("software/serving-2026:step_tokens_count", 0.0),
    ],
)
def test_a_fitted_number_that_would_break_a_bound_is_refused(path: str, value: float) -> None:
    catalogue = Catalogue(overrides={path: value})
    kind, _, rest = path.partition("/")
    read = {"calibration": catalogue.calibration, "links": catalogue.link, "software": catalogue.software}[kind]
    with pytest.raises(CatalogueError, match=rf"{rest.partition(':')[2]}: found {value:g}, expected"):
        read(rest.partition(":")[0])
