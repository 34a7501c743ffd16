"""Generated pages are current, tables are documented, and links lead somewhere."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from superpod.cli.main import VERBS
from superpod.fabric.collectives import ALGORITHMS, COLLECTIVES
from superpod.fabric.structures import EVERYONE
from superpod.workload.blocks import BLOCKS

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")],
    key=lambda path: path.relative_to(ROOT).as_posix(),
)
EVERY_PAGE = pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())


def generator() -> ModuleType:
    """Return docs/generate.py as a module."""
    spec = importlib.util.spec_from_file_location("generate_docs", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def generated() -> dict[str, str]:
    """Every page as the code and the catalogue would write it now."""
    written: dict[str, str] = generator().pages()
    return written


WRITTEN = (
    "reference/cli.md",
    "catalog/pods.md",
    "catalog/chips.md",
    "catalog/models.md",
    "validation/scorecard.md",
    "validation/scatter.svg",
)


@pytest.mark.parametrize("name", WRITTEN)
def test_generated_pages_are_current(generated: dict[str, str], name: str) -> None:
    path = ROOT / "docs" / name
    assert path.is_file(), "run: make docs"
    assert path.read_text(encoding="utf-8") == generated[name], "run: make docs"


def test_all_generated_pages_are_looked_at(generated: dict[str, str]) -> None:
    assert set(generated) == set(WRITTEN)


@pytest.mark.parametrize("name", ["README.md", "README.zh-CN.md"])
def test_readmes_show_every_verb_and_both_commands(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    assert not [verb for verb in VERBS if f"superpod {verb}" not in text]
    assert re.search(r"^make$", text, re.MULTILINE)
    assert re.search(r"^make test$", text, re.MULTILINE)


@pytest.mark.parametrize(
    ("page", "rows"),
    [
        ("theory/operators.md", tuple(BLOCKS)),
        ("theory/fabric.md", tuple(EVERYONE)),
        ("theory/collectives.md", (*COLLECTIVES, *ALGORITHMS)),
    ],
)
def test_every_table_row_is_explained(page: str, rows: tuple[str, ...]) -> None:
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    assert not [row for row in rows if f"`{row}`" not in text]


@EVERY_PAGE
def test_links_between_pages_lead_somewhere(path: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8"))
    inside = [target for target in targets if "://" not in target and not target.startswith("mailto:")]
    assert not [target for target in inside if not (path.parent / target).exists()]


@EVERY_PAGE
def test_named_functions_exist(path: Path) -> None:
    """`module.function` references of the form `superpod.x.y.z` can be imported."""
    missing = []
    for name in set(re.findall(r"`superpod\.([a-z_.]+)\.([A-Za-z_]+)`", path.read_text(encoding="utf-8"))):
        module, attribute = f"superpod.{name[0]}", name[1]
        try:
            found = hasattr(importlib.import_module(module), attribute)
        except ModuleNotFoundError:
            found = False
        if not found and importlib.util.find_spec(f"{module}.{attribute}") is None:
            missing.append(f"{module}.{attribute}")
    assert not missing
