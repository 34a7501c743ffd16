"""Megatron-Core's settings as an import, for the frameworks that are built on it."""

from collections.abc import Callable, Iterable, Mapping

from superpod.frameworks.core_model import OTHER_KINDS, SHAPES, read_model
from superpod.frameworks.core_read import NOTED, READ, cards_of, layout_fields, noted, precision_of
from superpod.frameworks.imported import Imported
from superpod.frameworks.settings import Setting, Settings
from superpod.frameworks.shell import Script, Token

KNOWN = frozenset({*READ, *SHAPES, *NOTED, *OTHER_KINDS})
# What frameworks of one ancestry call differently on the command line.
RENAMED = {"fp8_format": "fp8", "fp4_format": "fp4"}
FLAGS = {name: flag for flag, name in RENAMED.items()}

Own = Callable[[Settings, dict[str, float | str]], tuple[Mapping[str, float | str], list[str]]]


def core_import(
    framework: str, settings: Settings, doubts: Iterable[str] = (), own: Own | None = None, known: Iterable[str] = ()
) -> Imported:
    """Return what the settings say; `own` adds what a framework has beyond Megatron-Core, `known` names it."""
    cards, notes = cards_of(settings)
    fixed, said = layout_fields(settings, cards)
    notes += said
    if own:
        more, said = own(settings, fixed)
        fixed |= more
        notes += said
    precision, scaled = precision_of(settings)
    model, missing = read_model(settings)
    return Imported(
        framework=framework,
        where=settings.where,
        fixed=fixed,
        batch_sequences=settings.whole("global_batch_size"),
        sequence_tokens=settings.whole("seq_length"),
        mtp_layers=settings.whole("mtp_num_layers", least=0),
        precision=precision,
        model=model,
        missing=missing,
        cards_count=cards,
        unread=(*notes, *scaled, *doubts),
        ignored_count=sum(name not in KNOWN and name not in known for name in settings.values),
    )


def flag_settings(script: Script, where: str, switches: Iterable[str]) -> Settings:
    """Return the `--flags` of a script's commands, or of its variables where no command has any; the last one wins."""
    words = [*script.words]
    if not any(word.text.startswith("--") for word in words):
        words = [Token(text=part, line=0) for value in script.variables.values() for part in value.split()]
    values = flags(words, frozenset(switches))
    world = script.variables.get("WORLD_SIZE", "")
    if world.isdecimal() and "world_size" not in values:
        values["world_size"] = Setting(value=world, said="WORLD_SIZE")
    return Settings(where=where, values=values)


def flags(words: Iterable[Token], switches: frozenset[str]) -> dict[str, Setting]:
    """Return flags by name: words after a flag are its values, up to the next flag."""
    found: dict[str, Setting] = {}
    name = ""
    for word in words:
        if word.text.startswith("--") and len(word.text) > 2:
            said, _, value = word.text.partition("=")
            name = said[2:].replace("-", "_")
            name = RENAMED.get(name, name)
            found[name] = Setting(value=[value] if value else True, said=said, line=word.line)
        elif name and name not in switches:
            before = found[name]
            held = before.value if isinstance(before.value, list) else []
            found[name] = Setting(value=[*held, word.text], said=before.said, line=before.line)
    return found


def flag_line(name: str, value: object) -> str:
    """Return a setting as a flag with its values; a switch has none."""
    said = "--" + FLAGS.get(name, name).replace("_", "-")
    if value is True:
        return said
    if isinstance(value, list):
        return " ".join([said, *map(str, value)])
    text = str(value)
    return f"{said} '{text}'" if any(letter in text for letter in "*|()[] ") else f"{said} {text}"


__all__ = ["KNOWN", "core_import", "flag_line", "flag_settings", "flags", "noted"]
