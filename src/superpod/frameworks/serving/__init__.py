"""Launch commands of serving engines, read into pools of instances and written from found deployments; none is run."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from superpod.catalog.model_spec import ModelSpec
from superpod.catalog.software import Software
from superpod.errors import ScenarioError, UnknownNameError
from superpod.frameworks.serving import sglang, trtllm, vllm
from superpod.frameworks.serving.commands import Source, basename, source_of
from superpod.frameworks.serving.launch import Launch, experts_count, pools_of
from superpod.frameworks.serving.pool import Pool, ServingImport
from superpod.plan.scenario import Serving
from superpod.plan.serving.search import Deployment

__all__ = ["ENGINES", "Launch", "Pool", "ServingEngine", "ServingImport", "exported_engine", "imported_engine"]

LARGEST_BYTES = 4_000_000  # a script and its option files are text of some pages
LARGEST_FILES = 64  # option files beside a script
YAML_BEGINS = r"(?:[ \t]*(?:#.*|---)?\n)*[\w-]+:(?:\s|$)"
BESIDE = (".yaml", ".yml")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingEngine:
    """How files of an engine are told, read and written; `table` has its words for each field of a pool."""

    recognised: Callable[[str], bool]
    read: Callable[[Source], ServingImport]
    write: Callable[[Launch], str]
    table: dict[str, str]


ENGINES: dict[str, ServingEngine] = {
    module.NAME: ServingEngine(recognised=module.recognised, read=module.read, write=module.write, table=module.TABLE)
    for module in (sglang, trtllm, vllm)
}


def imported_engine(source: Path | str) -> ServingImport:
    """Return what launch commands say; a path is read with the option files beside it, a string is the text itself.

    Raise ScenarioError where the file cannot be read, told or made sense of.
    """
    where = str(source) if isinstance(source, Path) else "text"
    text = read_text(source, where) if isinstance(source, Path) else source
    found = [name for name, engine in ENGINES.items() if engine.recognised(text)]
    if len(found) != 1:
        said = f"found {', '.join(found)}" if found else f"found no command of {', '.join(ENGINES)}"
        raise ScenarioError(
            f"{said}, expected the launch commands of one engine",
            where=where,
            hint="vllm serve, python -m sglang.launch_server or trtllm-serve in a script, or the YAML of their options",
        )
    return ENGINES[found[0]].read(parts(text, where, source))


def parts(text: str, where: str, source: Path | str) -> Source:
    """Return a script in parts; YAML alone has no commands."""
    path = source if isinstance(source, Path) else None
    if re.match(YAML_BEGINS, text) or (path and path.suffix.lower() in BESIDE):
        return Source(where=where, text=text)
    return source_of(text, where, siblings(path, text) if path else {})


def siblings(path: Path, text: str) -> Mapping[str, str]:
    """Return the option files beside a script that it names, by name."""
    files = sorted(item for item in path.parent.iterdir() if item.suffix.lower() in BESIDE and item.is_file())
    named = [item for item in files if item.name in text][:LARGEST_FILES]
    return {basename(item.name): read_text(item, str(item)) for item in named}


def read_text(path: Path, where: str) -> str:
    """Return a file's text; raise ScenarioError where it is no text of some pages."""
    try:
        if path.stat().st_size > LARGEST_BYTES:
            raise ScenarioError(
                f"found more than {LARGEST_BYTES} bytes, expected launch commands", where=where, hint="give the script"
            )
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ScenarioError(
            f"cannot read the file: {error}", where=where, hint="give a launch script or a YAML of options"
        ) from None


def exported_engine(
    name: str,
    deployment: Deployment,
    work: Serving,
    *,
    model: str,
    software: Software,
    precision: str = "bf16",
    spec: ModelSpec | None = None,
    cards_per_node: int = 8,
) -> str:
    """Return a deployment of plain numbers as the launch script of an engine.

    `model` is what the checkpoint is called, `precision` a row of PRECISIONS, `software` the release that was assumed;
    `spec` tells how many experts must be held twice. Raise UnknownNameError for an unknown engine, ScenarioError naming
    the field that it cannot express.
    """
    if name not in ENGINES:
        raise UnknownNameError("serving engine", name, ENGINES)
    pools = pools_of(name, deployment, work, software, precision, spec)
    return ENGINES[name].write(
        Launch(
            engine=name,
            pools=pools,
            model=model,
            precision=precision,
            experts_count=experts_count(spec),
            cards_per_node=cards_per_node,
        )
    )
