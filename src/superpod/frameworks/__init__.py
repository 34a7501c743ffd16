"""Configurations of training frameworks, read into layouts and written from them; nothing in a file is ever run."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from superpod.catalog.model_spec import ModelSpec
from superpod.errors import ScenarioError, UnknownNameError
from superpod.frameworks import bridge, megatron, mindspeed, torchtitan
from superpod.frameworks.core_write import Export
from superpod.frameworks.imported import Imported
from superpod.parallel.layout import Layout
from superpod.plan.scenario import Training

__all__ = ["FRAMEWORKS", "Framework", "Imported", "exported", "imported", "recognise"]

LARGEST_BYTES = 4_000_000  # a configuration is text of some pages


@dataclass(frozen=True, slots=True, kw_only=True)
class Framework:
    """How files of a framework are told, read and written; `table` has its words for each field of a layout."""

    suffixes: tuple[str, ...]
    recognised: Callable[[str], bool]
    read: Callable[[str, str], Imported]
    write: Callable[[Export], str]
    table: dict[str, str]


# In the order in which files are tried: MindSpeed's scripts have Megatron-LM's flags too.
FRAMEWORKS: dict[str, Framework] = {
    module.NAME: Framework(
        suffixes=suffixes, recognised=module.recognised, read=module.read, write=module.write, table=module.TABLE
    )
    for module, suffixes in (
        (torchtitan, (".toml", ".sh")),
        (bridge, (".yaml", ".yml", ".sh")),
        (mindspeed, (".sh",)),
        (megatron, (".sh", ".txt", ".yaml", ".yml")),
    )
}


def imported(path: Path) -> Imported:
    """Return what a framework's file says; raise ScenarioError where it cannot be read, told or made sense of."""
    where = str(path)
    try:
        if path.stat().st_size > LARGEST_BYTES:
            raise ScenarioError(f"found more than {LARGEST_BYTES} bytes, expected a configuration", where=where)
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ScenarioError(
            f"cannot read the file: {error}", where=where, hint="give a launch script, a YAML or a TOML file"
        ) from None
    return FRAMEWORKS[recognise(text, path.suffix.lower(), where)].read(text, where)


def recognise(text: str, suffix: str, where: str = "") -> str:
    """Return the framework whose words a text has; raise ScenarioError for none. The suffix decides where both fit."""
    found = [name for name, framework in FRAMEWORKS.items() if framework.recognised(text)]
    fitting = [name for name in found if suffix in FRAMEWORKS[name].suffixes]
    if not found:
        raise ScenarioError(
            f"found no setting of {', '.join(FRAMEWORKS)}, expected a launch script, a YAML or a TOML file of one",
            where=where,
            hint="Megatron-LM and MindSpeed: a script with --tensor-model-parallel-size; Megatron-Bridge: YAML with"
            " model: and train:; torchtitan: TOML with [parallelism]",
        )
    return (fitting or found)[0]


def exported(
    name: str,
    layout: Layout,
    work: Training,
    *,
    precision: str,
    model: ModelSpec | None = None,
    cards_per_node: int = 8,
) -> str:
    """Return a layout of plain numbers as a framework's file.

    `precision` is a row of PRECISIONS; without a `model` its flags are left out. Raise UnknownNameError for an unknown
    framework, ScenarioError naming the field that it cannot express.
    """
    if name not in FRAMEWORKS:
        raise UnknownNameError("framework", name, FRAMEWORKS)
    export = Export(
        framework=name, layout=layout, work=work, precision=precision, model=model, cards_per_node=cards_per_node
    )
    return FRAMEWORKS[name].write(export)
