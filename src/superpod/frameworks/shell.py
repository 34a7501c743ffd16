"""The words of a shell script read as text: variables, arrays, defaults, sums, `if`. Nothing is ever run."""

import ast
import operator
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from superpod.errors import ScenarioError

NAME = re.compile(r"[A-Za-z_]\w*")
ASSIGNMENT = re.compile(r"(?P<name>[A-Za-z_]\w*)(?P<more>\+?)=(?P<value>.*)", re.DOTALL)
KEPT = "\0"  # stands for a dollar sign that is meant as one
SUMS: dict[type[ast.operator], Callable[[int, int], int]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
    ast.Div: operator.floordiv,  # whole numbers, as the shell divides
    ast.Mod: operator.mod,
}
TESTS: dict[str, Callable[[str, str], bool]] = {
    "==": operator.eq,
    "=": operator.eq,
    "!=": operator.ne,
    "-eq": operator.eq,
    "-ne": operator.ne,
    "-gt": lambda left, right: int(left) > int(right),
    "-ge": lambda left, right: int(left) >= int(right),
    "-lt": lambda left, right: int(left) < int(right),
    "-le": lambda left, right: int(left) <= int(right),
}
LINE_ENDS = "\n;&|"
LONGEST_VALUE = 100_000  # characters; a script that doubles a variable in a row of lines ends here


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """One word with its line, or (`mark`) a line end or a parenthesis that no quote hides."""

    text: str
    line: int
    mark: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """The words of each command with their lines, the values of the variables, and what could not be decided."""

    commands: tuple[tuple[Token, ...], ...]
    variables: dict[str, str]
    doubts: tuple[str, ...]

    @property
    def words(self) -> tuple[Token, ...]:
        """The words of all commands in a row."""
        return tuple(word for command in self.commands for word in command)


@dataclass(slots=True, kw_only=True)
class _Reading:
    """What is known at a place of the script."""

    where: str
    variables: dict[str, str] = field(default_factory=dict)
    commands: list[list[Token]] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)
    branches: list["_Branch"] = field(default_factory=list)

    @property
    def dead(self) -> bool:
        """Whether the script would not come here."""
        return any(not branch.live for branch in self.branches)


@dataclass(slots=True, kw_only=True)
class _Branch:
    """One `if`: whether the branch at hand is taken, whether one was taken before, and what was left undecided."""

    live: bool
    taken: bool
    doubts: list[str] = field(default_factory=list)


def read_script(text: str, where: str = "") -> Script:
    """Return what a shell script would say to its commands; raise ScenarioError for a quote that never closes.

    Variables, arrays, `${NAME:-default}` and `$((sums))` are filled in; of an `if` whose condition compares words the
    right branch is read, of any other the first, and `doubts` says so. Command substitutions stay as they stand.
    """
    reading = _Reading(where=where)
    for statement in _statements(list(tokens(text, where))):
        _take(statement, reading)
    return Script(
        commands=tuple(map(tuple, reading.commands)), variables=reading.variables, doubts=tuple(reading.doubts)
    )


def tokens(text: str, where: str = "") -> Iterator[Token]:
    """Yield words and marks; comments are left out, quotes taken off."""
    position, line = 0, 1
    while position < len(text):
        letter = text[position]
        if text.startswith("\\\n", position):
            position, line = position + 2, line + 1
        elif letter in LINE_ENDS or letter in "()":
            yield Token(text=letter, line=line, mark=True)
            line += letter == "\n"
            position += 1
        elif letter.isspace():
            position += 1
        elif letter == "#":
            position = _until(text, position, "\n")
        else:
            word, end = _word(text, position, line, where)
            yield Token(text=word, line=line)
            line += text.count("\n", position, end)
            position = end


def _until(text: str, start: int, end: str) -> int:
    found = text.find(end, start)
    return len(text) if found < 0 else found


def _word(text: str, start: int, line: int, where: str) -> tuple[str, int]:
    """Return the word that starts here, without its quotes, and where it ends."""
    parts: list[str] = []
    position = start
    while position < len(text):
        letter = text[position]
        if letter == "\\":
            parts.append("" if text[position + 1 : position + 2] == "\n" else _plain(text[position + 1 : position + 2]))
            position += 2
        elif letter in "'\"":
            part, position = _quoted(text, position, line + text.count("\n", start, position), where)
            parts.append(part)
        elif letter == "$" and text[position + 1 : position + 2] in {"{", "("}:
            end = _closing(text, position + 1)
            parts.append(text[position:end])
            position = end
        elif letter.isspace() or letter in LINE_ENDS or letter in "()":
            break
        else:
            parts.append(letter)
            position += 1
    return "".join(parts), position


def _plain(text: str) -> str:
    return text.replace("$", KEPT)


def _quoted(text: str, start: int, line: int, where: str) -> tuple[str, int]:
    """Return what stands between quotes, and where the closing one is passed."""
    quote, position = text[start], start + 1
    while position < len(text) and text[position] != quote:
        if quote == '"' and text[position] == "\\":
            position += 1
        elif quote == '"' and text[position] == "$" and text[position + 1 : position + 2] in {"{", "("}:
            position = _closing(text, position + 1) - 1
        position += 1
    if position >= len(text):
        raise ScenarioError(
            f"line {line}: found an opening {quote} and no closing one, expected a pair of quotes",
            where=where,
            hint="close the quote",
        )
    inside = text[start + 1 : position]
    if quote == "'":
        return _plain(inside), position + 1
    return re.sub(r'\\(["\\`])', r"\1", inside.replace("\\\n", " ").replace("\\$", KEPT)), position + 1


def _closing(text: str, start: int) -> int:
    """Return the place after the bracket that closes the one at `start`."""
    opening = text[start]
    closing = {"{": "}", "(": ")"}[opening]
    depth = 0
    for position in range(start, len(text)):
        depth += (text[position] == opening) - (text[position] == closing)
        if not depth:
            return position + 1
    return len(text)


def _statements(items: list[Token]) -> Iterator[list[Token]]:
    """Yield the commands: the tokens up to a line end, those of an array's parentheses kept together."""
    statement: list[Token] = []
    depth = 0
    for item in items:
        if item.mark and item.text in "()":
            depth = max(depth + (1 if item.text == "(" else -1), 0)
            statement.append(item)
        elif item.mark and (depth or (item.text in "&|" and statement and statement[0].text in {"if", "elif"})):
            continue  # an array, or a condition of several parts, which is not decided
        elif item.mark:
            if statement:
                yield statement
            statement = []
        else:
            statement.append(item)
    if statement:
        yield statement


def _take(statement: list[Token], reading: _Reading) -> None:
    """Add one command to what is known."""
    words = [item for item in statement if not item.mark]
    first = words[0].text if words else ""
    if first in {"then", "do", "export", "local", "readonly", "declare", "exec", "{", "}"}:
        rest = statement[statement.index(words[0]) + 1 :]
        if rest:
            _take(rest, reading)
    elif first in {"if", "elif", "else", "fi"}:
        _branch(first, words[1:], reading)
        if first == "else" and len(words) > 1:
            _take(statement[1:], reading)
    else:
        _act(statement, words, reading)


def _act(statement: list[Token], words: list[Token], reading: _Reading) -> None:
    """Set variables or keep the words of a command, where the script comes here; doubts count where that matters."""
    sets = bool(words and ASSIGNMENT.fullmatch(words[0].text))
    if sets or any("--" in item.text for item in words):
        for branch in reading.branches:
            reading.doubts += branch.doubts
            branch.doubts.clear()
    if reading.dead:
        return
    if sets:
        _assign(statement, words, reading)
    else:
        reading.commands.append(_expanded(words, reading))


def _branch(kind: str, words: list[Token], reading: _Reading) -> None:
    """Follow `if`, `elif`, `else` and `fi`."""
    if kind == "if":
        branch = _Branch(live=False, taken=False)
        branch.live = branch.taken = not reading.dead and _condition(words, reading, branch)
        reading.branches.append(branch)
    elif reading.branches and kind == "fi":
        reading.branches.pop()
    elif reading.branches:
        branch = reading.branches[-1]
        branch.live = not branch.taken
        if branch.live and kind == "elif":
            branch.live = _condition(words, reading, branch)
        branch.taken = branch.taken or branch.live


def _condition(words: list[Token], reading: _Reading, branch: _Branch) -> bool:
    """Return whether a comparison of words holds; one that cannot be decided counts as true, `-n` as false."""
    said = [fill(item.text, reading.variables) for item in words if item.text not in {"[", "]", "[[", "]]"}]
    known = not any("$" in text or "`" in text for text in said)
    try:
        if known and len(said) == 3 and said[1] in TESTS:
            return TESTS[said[1]](said[0], said[2])
        if known and len(said) == 2 and said[0] in {"-z", "-n"}:
            return bool(said[1]) == (said[0] == "-n")
    except ValueError:
        pass
    verdict = said[:1] != ["-n"]
    line = words[0].line if words else 0
    branch.doubts.append(f"line {line}: `if {' '.join(said)}` cannot be decided; read as {str(verdict).lower()}")
    return verdict


def _assign(statement: list[Token], words: list[Token], reading: _Reading) -> None:
    """Set variables; an array is kept as its words in a row."""
    for index, item in enumerate(statement):
        match = None if item.mark else ASSIGNMENT.fullmatch(item.text)
        if match is None:
            break
        value = fill(match["value"], reading.variables)
        array = index + 1 < len(statement) and statement[index + 1].text == "(" and statement[index + 1].mark
        if array:
            value = " ".join(token.text for token in _expanded(words[index + 1 :], reading))
        before = reading.variables.get(match["name"], "") if match["more"] else ""
        joined = f"{before} {value}" if array and before else before + value
        if len(joined) > LONGEST_VALUE:
            raise ScenarioError(
                f"line {item.line}: {match['name']} grows beyond {LONGEST_VALUE} characters", where=reading.where
            )
        reading.variables[match["name"]] = joined
        if array:
            return
    else:
        return
    # VAR=value command …: what follows is a command.
    rest = [item for item in statement[index:] if not item.mark]
    reading.commands.append(_expanded(rest, reading))


def _expanded(words: list[Token], reading: _Reading) -> list[Token]:
    """Return words with variables filled in, split where a value holds several."""
    return [
        Token(text=part.replace(KEPT, "$"), line=item.line)
        for item in words
        for part in fill(item.text, reading.variables).split()
    ]


def fill(text: str, variables: dict[str, str]) -> str:
    """Return a word with `$NAME`, `${NAME:-default}`, `${NAME[@]}` and `$((sum))` filled in; what is unknown stays."""
    parts: list[str] = []
    position = 0
    while position < len(text):
        if text[position] != "$":
            end = _until(text, position, "$")
            parts.append(text[position:end])
        elif text.startswith("$((", position):
            end = _closing(text, position + 1)
            parts.append(_sum(text[position + 3 : end - 2], variables) or text[position:end])
        elif text[position + 1 : position + 2] in {"{", "("}:
            end = _closing(text, position + 1)
            whole = text[position:end]
            parts.append(_braced(whole, variables) if whole.startswith("${") else whole)
        else:
            match = NAME.match(text, position + 1)
            end = match.end() if match else min(position + 2, len(text))
            parts.append(variables.get(text[position + 1 : end], text[position:end]))
        position = end
    return "".join(parts)


def _braced(whole: str, variables: dict[str, str]) -> str:
    """Return `${NAME}`, with a default or as an array."""
    match = re.fullmatch(r"(?P<name>\w+)(?:\[[@*]\])?(?:(?P<how>:?[-=])(?P<default>.*))?", whole[2:-1], re.DOTALL)
    if match is None:
        return whole
    value = variables.get(match["name"])
    if value is not None and (value or match["how"] not in {":-", ":="}):
        return value
    if match["how"]:
        return fill(match["default"].strip("\"'"), variables)
    return whole


def _sum(text: str, variables: dict[str, str]) -> str:
    """Return the value of a sum of whole numbers, or an empty string."""
    filled = NAME.sub(lambda match: variables.get(match[0], match[0]), fill(text, variables))
    if not re.fullmatch(r"[\d\s+\-*/%()]*", filled, re.ASCII):
        return ""
    try:
        return str(_number(ast.parse(filled.strip(), mode="eval").body))
    except (SyntaxError, ValueError, ZeroDivisionError, RecursionError, MemoryError):
        return ""


def _number(node: ast.expr) -> int:
    """Return the value of a sum's tree; raise ValueError for anything else."""
    if isinstance(node, ast.Constant) and isinstance(node.value, int):
        return node.value
    if isinstance(node, ast.BinOp) and type(node.op) in SUMS:
        return SUMS[type(node.op)](_number(node.left), _number(node.right))
    raise ValueError(ast.dump(node))
