"""Settings by name, read as numbers, truths and words; each remembers how its file writes it and where."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from superpod.errors import ScenarioError


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One value as the file has it: a scalar, or a list of words."""

    value: Any
    said: str  # the flag or key as the file writes it
    line: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Settings by their normalised name, of one file."""

    where: str
    values: Mapping[str, Setting] = field(default_factory=dict)

    def __contains__(self, name: str) -> bool:
        return name in self.values and self.values[name].value is not None

    def said(self, name: str) -> str:
        """Return a setting as the file writes it, or its name where it is absent."""
        return self.values[name].said if name in self.values else name

    def problem(self, name: str, expected: str, hint: str = "") -> ScenarioError:
        """Say what is wrong with a setting: where it stands, what was found, what was expected."""
        setting = self.values.get(name, Setting(value=None, said=name))
        line = f"line {setting.line}: " if setting.line else ""
        found = "no value" if setting.value in (None, True) else repr(scalar(setting.value))
        if isinstance(scalar(setting.value), str) and "$" in str(setting.value):
            hint = hint or "the file does not set this variable; write its value"
        return ScenarioError(
            f"{line}{setting.said}: found {found}, expected {expected}",
            where=self.where,
            hint=hint or "the framework itself would refuse it too",
        )

    def whole(self, name: str, default: int | None = None, *, least: int = 1) -> int | None:
        """Return a whole number of `least` or more; raise ScenarioError for anything else."""
        if name not in self:
            return default
        value = scalar(self.values[name].value)
        try:
            number = float(value) if not isinstance(value, bool) else float("nan")
        except (TypeError, ValueError):
            raise self.problem(name, "a whole number") from None
        if not math.isfinite(number) or int(number) != number:
            raise self.problem(name, "a whole number")
        if number < least:
            raise self.problem(name, f"a whole number, {least} or more")
        return int(number)

    def degree(self, name: str) -> int:
        """Return a degree, 1 where the file is silent."""
        return self.whole(name, 1) or 1

    def flag(self, name: str, *, default: bool = False) -> bool:
        """Return a truth; raise ScenarioError for what is none."""
        if name not in self:
            return default
        value = scalar(self.values[name].value)
        words = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
        if str(value).lower() not in words:
            raise self.problem(name, "true or false")
        return words[str(value).lower()]

    def word(self, name: str, allowed: tuple[str, ...] = (), default: str = "") -> str:
        """Return a word, lower case; raise ScenarioError where it is none of `allowed`."""
        if name not in self:
            return default
        value = str(scalar(self.values[name].value)).lower()
        if allowed and value not in allowed:
            raise self.problem(name, " or ".join(allowed))
        return value

    def words(self, name: str) -> tuple[str, ...]:
        """Return a list of words, empty where the file is silent."""
        if name not in self:
            return ()
        value = self.values[name].value
        items = value if isinstance(value, list | tuple) else str(value).replace(",", " ").split()
        return tuple(str(item).strip("[]\"' ,").lower() for item in items)


def scalar(value: Any) -> Any:
    """Return a value, the first of a list of several words."""
    return value[0] if isinstance(value, list | tuple) and value else value


def listed(text: str) -> tuple[str, ...]:
    """Return the names in a text."""
    return tuple(text.split())
