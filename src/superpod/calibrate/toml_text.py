"""Text of TOML files: strings, numbers and inline tables of facts, as any reader takes them back."""

import json
from collections.abc import Mapping
from typing import Any


def quoted(words: str) -> str:
    r"""Return a basic string: its escapes are JSON's, and the one control character that JSON leaves is escaped too.

    >>> print(quoted('a "name"'))
    "a \"name\""
    """
    printable = words.encode("utf-8", "replace").decode("utf-8")  # half a surrogate pair is no text
    return json.dumps(printable, ensure_ascii=False).replace("\x7f", "\\u007f")


def value_text(value: Any) -> str:
    """Return a value of a fact: text, a truth, a table, a list, or a number as short as it is exact.

    >>> value_text(1e6), value_text(0.1234567), value_text(True), value_text({"low": 1.0})
    ('1e+06', '0.1234567', 'true', '{ low = 1 }')
    """
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {value_text(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(value_text(item) for item in value) + "]"
    short = f"{value:g}"
    return short if float(short) == value else repr(value)


def borrowed_note(note: str, whose: str) -> str:
    """Return a fact's note with whose number it is in front, unless it says so already or it is nobody else's.

    >>> borrowed_note("table 3", "nvidia-hopper 2026-11")
    'borrowed from nvidia-hopper 2026-11: table 3'
    """
    if not whose or note.startswith("borrowed from"):
        return note
    return f"borrowed from {whose}: {note}" if note else f"borrowed from {whose}"
