"""YAML as settings by dotted path, read by a safe loader; PyYAML is imported here alone."""

from collections.abc import Iterator
from typing import Any

from superpod.errors import ScenarioError
from superpod.frameworks.settings import Setting

DEEPEST = 32
MOST = 20_000  # settings; aliases can multiply a short file without end


def paths(text: str, where: str = "") -> dict[str, Setting]:
    """Return every value by its path, `model.num_layers`; lists stay whole. Raise ScenarioError for malformed YAML."""
    try:
        import yaml
    except ModuleNotFoundError:
        raise ScenarioError(
            "reading YAML needs PyYAML, which is not installed", where=where, hint="pip install 'superpod[frameworks]'"
        ) from None
    try:
        loader = yaml.SafeLoader(text)
        root = loader.get_single_node()
        return dict(_leaves(yaml, loader, root, "", 0, where, [0])) if root is not None else {}
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f"line {mark.line + 1}: " if mark else ""
        raise ScenarioError(
            f"{line}found {getattr(error, 'problem', None) or error}, expected YAML",
            where=where,
            hint="check indentation and quotes there",
        ) from None


def _leaves(
    yaml: Any, loader: Any, node: Any, path: str, depth: int, where: str, seen: list[int]
) -> Iterator[tuple[str, Setting]]:
    """Yield the values under a node; `seen` counts them."""
    seen[0] += 1
    if depth > DEEPEST or seen[0] > MOST:
        raise ScenarioError(
            f"{path}: found more than {DEEPEST} levels or {MOST} values, expected a configuration",
            where=where,
            hint="write aliases out",
        )
    line = node.start_mark.line + 1
    if not isinstance(node, yaml.MappingNode):
        if not path:
            raise ScenarioError(
                f"line {line}: found {node.id}, expected keys and values", where=where, hint="sections such as model:"
            )
        value = loader.construct_object(node, deep=True)
        yield path, Setting(value=value, said=path, line=line)
        return
    for key, inner in node.value:
        name = str(key.value)
        yield from _leaves(yaml, loader, inner, f"{path}.{name}" if path else name, depth + 1, where, seen)
