"""XML as a tree that knows its lines; a document that declares a type or entities is refused, not expanded."""

from dataclasses import dataclass, field
from html import escape
from xml.parsers import expat

from superpod.errors import ScenarioError

DEPTH_MAX = 64
WHOLE_MAX = 2**31 - 1


@dataclass(slots=True)
class Element:
    """An element while it is read: its name without namespace, attributes, text, line and children."""

    tag: str
    attributes: dict[str, str]
    line: int
    text: str = ""
    children: list["Element"] = field(default_factory=list)


def parse(text: str, where: str) -> Element:
    """Return the root of a document; raise ScenarioError with the line of what is wrong."""
    parser = expat.ParserCreate()
    stack: list[Element] = []
    roots: list[Element] = []

    def start(name: str, attributes: dict[str, str]) -> None:
        if len(stack) >= DEPTH_MAX:
            raise ScenarioError("nested too deeply", where=f"{where}:{parser.CurrentLineNumber}")
        made = Element(tag=name.rpartition(":")[2], attributes=attributes, line=parser.CurrentLineNumber)
        (stack[-1].children if stack else roots).append(made)
        stack.append(made)

    def end(_name: str) -> None:
        stack.pop()

    def words(data: str) -> None:
        if stack:
            stack[-1].text += data

    def refused(*_: object) -> None:
        raise ScenarioError(
            "declares a document type or entities, which are not read",
            where=f"{where}:{parser.CurrentLineNumber}",
            hint="remove the <!DOCTYPE …> part",
        )

    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler = words
    parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = refused
    try:
        parser.Parse(text, True)
    except expat.ExpatError as error:
        reason = expat.errors.messages.get(error.code, "cannot be read")
        raise ScenarioError(f"malformed XML: {reason}", where=f"{where}:{error.lineno}") from None
    except ValueError:
        raise ScenarioError("malformed XML: cannot be read as text", where=where) from None
    return roots[0]


def number(item: Element, text: str, what: str, where: str) -> float:
    """Return a finite number from 0 up; raise ScenarioError with the element's line."""
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not 0.0 <= value < float("inf"):
        raise ScenarioError(
            f"<{item.tag}> {what}: found {text.strip()!r}, expected a number from 0 up", where=f"{where}:{item.line}"
        )
    return value


def whole(item: Element, text: str, what: str, where: str) -> int:
    """Return a whole number from 0 to WHOLE_MAX; raise ScenarioError with the element's line."""
    value = number(item, text, what, where)
    if value != int(value) or value > WHOLE_MAX:
        raise ScenarioError(
            f"<{item.tag}> {what}: found {text.strip()!r}, expected a whole number up to {WHOLE_MAX:,}",
            where=f"{where}:{item.line}",
        )
    return int(value)


def attribute(item: Element, name: str, where: str) -> str:
    """Return an attribute; raise ScenarioError where it is missing."""
    if name not in item.attributes:
        raise ScenarioError(f"<{item.tag}> lacks its attribute {name}", where=f"{where}:{item.line}")
    return item.attributes[name]


def tag(name: str, attributes: dict[str, object], inside: str | None = None) -> str:
    """Return an element as text; `inside` is already markup.

    >>> tag("net", {"dev": 0})
    '<net dev="0"/>'
    """
    head = "".join(f' {key}="{escape(str(value))}"' for key, value in attributes.items())
    return f"<{name}{head}/>" if inside is None else f"<{name}{head}>{inside}</{name}>"
