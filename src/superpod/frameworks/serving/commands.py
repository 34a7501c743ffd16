"""Launch commands and option files as settings; shell scripts and YAML are read as text."""

import json
import re
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from superpod.frameworks.settings import Setting, Settings, scalar
from superpod.frameworks.shell import Script, Token, read_script
from superpod.frameworks.yaml_text import paths

HEREDOC = re.compile(r"(?<!<)<<-?\s*['\"]?(\w+)")
TARGET = re.compile(r"(?:>|\btee\b)\s*([^\s<>|&;]+)")
NOTHING = Script(commands=(), variables={}, doubts=())
SHORT = re.compile(r"-[A-Za-z]")
SPOKEN = ("echo", "printf", "pip", "kill", "pkill", "curl", "which", "grep")  # commands that name programs only
LONGEST_WORD = 4096  # characters of a word that may name a program
FACTORS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "K": 2**10, "M": 2**20, "G": 2**30}


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One command of a script: its words after the program, or the settings of an option file."""

    kind: str  # engine or router
    words: tuple[Token, ...] = ()
    settings: Mapping[str, Setting] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A file in parts: its script without embedded files, the embedded files by name, and its text."""

    where: str
    text: str
    script: Script = NOTHING
    files: Mapping[str, str] = field(default_factory=dict)


def source_of(text: str, where: str, beside: Mapping[str, str]) -> Source:
    """Return a script with the files that it writes, and those that lie `beside` it under the names it uses."""
    kept, files = [], dict(beside)
    lines = text.split("\n")
    ends: dict[str, list[int]] = {}
    for index, line in enumerate(lines):
        ends.setdefault(line.strip(), []).append(index)
    index = 0
    while index < len(lines):
        start = HEREDOC.search(lines[index])
        places = ends.get(start[1], []) if start else []
        place = bisect_right(places, index)
        if place == len(places):
            kept.append(lines[index])
            index += 1
            continue
        target = TARGET.search(lines[index])
        if target:
            files[basename(target[1].strip("'\""))] = "\n".join(lines[index + 1 : places[place]])
        kept += [""] * (places[place] + 1 - index)
        index = places[place] + 1
    return Source(where=where, text=text, script=read_script("\n".join(kept), where), files=files)


def basename(name: str) -> str:
    """Return the last part of a path."""
    return name.rsplit("/", 1)[-1]


def commands(source: Source, starts: Mapping[str, tuple[str, ...]]) -> list[Command]:
    """Return the commands that start a program of `starts`: kinds and patterns of the words that name the program.

    A pattern is matched against one word or two, joined by a space. A line that begins with a flag continues the
    command before it, as where a comment follows the backslash. A file of options alone is one command of an engine.
    """
    if source.script is NOTHING:
        return [Command(kind="engine", settings=yaml_settings(source.text, source.where))]
    found: list[Command] = []
    for words in source.script.commands:
        if words and words[0].text in SPOKEN:
            continue
        if words and words[0].text.startswith("--") and found:
            last = found[-1]
            found[-1] = Command(kind=last.kind, words=(*last.words, *words))
            continue
        made = _started(words, starts)
        if made:
            found.append(made)
    return found


def _started(words: tuple[Token, ...], starts: Mapping[str, tuple[str, ...]]) -> Command | None:
    for index in range(len(words)):
        if len(words[index].text) > LONGEST_WORD:
            continue
        two = " ".join(word.text for word in words[index : index + 2])
        for kind, patterns in starts.items():
            pattern = "|".join(patterns)
            for text, taken in ((two, 2), (words[index].text, 1)):
                if re.fullmatch(pattern, text):
                    return Command(kind=kind, words=words[index + taken :])
    return None


def settings_of(
    command: Command,
    where: str,
    *,
    switches: Iterable[str] = (),
    short: Mapping[str, str] | None = None,
    several: Iterable[str] = (),
) -> tuple[Settings, str]:
    """Return the flags of a command and its positional argument, which may stand last.

    `switches` take no value; `--no-x` is x = false. `short` has the names of flags with one dash. Of a flag that is
    given twice the last counts, or all where it is one of `several`.
    """
    off, known, all_of = frozenset(switches), short or {}, frozenset(several)
    found: dict[str, Setting] = dict(command.settings)
    loose: list[str] = []
    name = ""
    for word in command.words:
        text = word.text
        if (text.startswith("--") and len(text) > 2) or text.partition("=")[0] in known or SHORT.match(text):
            said, _, value = text.partition("=")
            name = known.get(said, said.lstrip("-").replace("-", "_"))
            no = name.startswith("no_") and name[3:] in off
            name = name[3:] if no else name
            held = found[name].value if name in all_of and name in found else []
            values: Any = False if no else [*held, value] if value else held or True
            found[name] = Setting(value=values, said=said, line=word.line)
        elif name and _takes(found[name].value, name in off, text):
            before = found[name]
            if isinstance(before.value, list):
                before.value.append(text)
            else:
                found[name] = Setting(value=[text], said=before.said, line=before.line)
        else:
            loose.append(text)
    return Settings(where=where, values=found), loose[0] if loose else last_word(found)


def _takes(value: Any, switch: bool, text: str) -> bool:
    """Return whether a word is a value of the flag before it."""
    return text.lower() in {"true", "false"} and value is True if switch else value is not False


def last_word(found: Mapping[str, Setting]) -> str:
    """Return the last of several words after the last flag: a positional argument that stands at the end."""
    last = [*found.values()][-1].value if found else None
    return str(last[-1]) if isinstance(last, list) and len(last) > 1 else ""


def renamed(settings: Settings, names: Mapping[str, str]) -> Settings:
    """Return settings under their first names, where an engine has several for one."""
    return Settings(
        where=settings.where, values={names.get(name, name): setting for name, setting in settings.values.items()}
    )


def yaml_settings(text: str, where: str) -> dict[str, Setting]:
    """Return the values of a YAML file by path, dashes as underscores."""
    return {path.replace("-", "_"): setting for path, setting in paths(text, where).items()}


def json_paths(settings: Settings, name: str) -> Settings:
    """Return settings with a flag's JSON spread out by dotted path; raise ScenarioError where it is no JSON object."""
    if name not in settings:
        return settings
    setting = settings.values[name]
    value = setting.value
    if not isinstance(value, dict):
        text = " ".join(map(str, value)) if isinstance(value, list) else str(value)
        try:
            value, _ = json.JSONDecoder().raw_decode(text.strip())
        except (ValueError, RecursionError):
            value = None
    if not isinstance(value, dict):
        raise settings.problem(name, "a JSON object", "quote it: '{\"key\": 1}'")
    inner = {
        f"{name}.{key}": Setting(value=held, said=f"{setting.said} {key}", line=setting.line)
        for key, held in value.items()
    }
    return Settings(where=settings.where, values={**settings.values, **inner})


def amount(settings: Settings, name: str, *, least: int = 1) -> int | None:
    """Return a whole number such as 8192 or 32k; None where absent, `auto` or -1. 1k is 1,000 and 1K 1,024."""
    if name not in settings:
        return None
    match = re.fullmatch(r"(\d{1,15}(?:\.\d{1,15})?)([kKmMgG]?)", str(scalar(settings.values[name].value)))
    if match is None or not match[2]:
        silent = str(scalar(settings.values[name].value)) in {"auto", "-1", "None"}
        return None if silent else settings.whole(name, least=least)
    return int(float(match[1]) * FACTORS[match[2]])


def share(settings: Settings, name: str) -> float | None:
    """Return a share above 0 and up to 1, None where absent; raise ScenarioError for anything else."""
    if name not in settings:
        return None
    try:
        value = float(scalar(settings.values[name].value))
    except (TypeError, ValueError):
        value = 0.0
    if not 0.0 < value <= 1.0:
        raise settings.problem(name, "a share above 0, up to 1")
    return value
