"""The last step of every verb: write the files asked for, then print."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import click

from superpod.cli.options import Outputs
from superpod.cli.page import Page
from superpod.errors import ScenarioError, SuperpodError

if TYPE_CHECKING:
    from superpod.catalog.load import Catalogue
    from superpod.catalog.provenance import UsedFact

Content = str | bytes


class FactsReport(Protocol):
    """An answer that says which facts it rests on."""

    @property
    def facts(self) -> tuple[UsedFact, ...]:
        """The facts that were read."""
        ...


def deliver(
    verb: str,
    answer: Mapping[str, Any],
    page: Callable[[bool], Page],
    chosen: Outputs,
    beside: Sequence[tuple[Path, Content]] = (),
) -> None:
    """Print an answer as text or JSON; files come first, so that an error leaves nothing on stdout, and no file either.

    `page(full)` builds the page: short for the terminal, with everything for HTML. `beside` are a verb's own files.
    """
    from superpod.cli import tables
    from superpod.cli.jsonform import dumps

    document = dumps(verb, answer) if chosen.json else ""
    short = page(False) if chosen.svg or not chosen.json else None
    files: list[tuple[Path, Content]] = []
    if chosen.html is not None:
        from superpod.cli.html import render

        files.append((chosen.html, render(page(True), chosen.command)))
    if chosen.svg is not None and short is not None:
        files.append((chosen.svg, tables.picture(short, chosen.command)))
    files += beside
    write_atomically(files)
    if short is None or chosen.json:
        click.echo(document)
    else:
        tables.show(short)
    for path, _ in files:
        click.echo(f"wrote {path}", err=True)


def deliver_report(
    verb: str,
    catalogue: Catalogue,
    report: FactsReport,
    page: Callable[..., Page],
    chosen: Outputs,
    beside: Sequence[tuple[Path, Content]] = (),
) -> None:
    """Deliver a report with the publications that its facts cite; `page` is called as page(report, cited, full=...)."""
    sources = catalogue.sources()
    cited = {used.fact.source: sources[used.fact.source] for used in report.facts if used.fact.source in sources}
    deliver(verb, {"report": report, "sources": cited}, lambda full: page(report, cited, full=full), chosen, beside)


def check_places(places: Mapping[str, Path | None]) -> None:
    """Raise SuperpodError, before anything is computed, for two options that name one file, or a file out of reach."""
    taken: dict[Path, str] = {}
    for option, path in places.items():
        if path is None:
            continue
        target = path.resolve()
        if target in taken:
            raise ScenarioError(
                f"names the same file as {taken[target]}", where=f"{option} {path}", hint="give each its own file"
            )
        taken[target] = option
        folder = target.parent
        if target.exists() and not target.is_file():
            raise SuperpodError("is no plain file, so it is not replaced", where=str(path), hint="name a new file")
        if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
            problem = "may not be written" if folder.is_dir() else "is no folder"
            raise SuperpodError(
                f"cannot write the file: {folder} {problem}",
                where=str(path),
                hint="name a file in a folder that you may write",
            )


def write_atomically(files: Sequence[tuple[Path, Content]]) -> None:
    """Write all files whole or none: each beside its place first, then all renamed over their places."""
    drafts: list[tuple[Path, Path]] = []
    path = Path()
    try:
        for path, content in files:
            draft = draft_of(path)
            drafts.append((draft, path.resolve()))
            with draft.open("xb") as stream:
                stream.write(content.encode() if isinstance(content, str) else content)
        for draft, path in drafts:
            draft.replace(path)
    except OSError as error:
        for draft, _ in drafts:
            draft.unlink(missing_ok=True)
        raise unwritable(path, error) from None


def write_streamed(path: Path, pieces: Iterable[str]) -> None:
    """Write a file piece by piece beside its place, then rename it over it: whole or not at all.

    Raises:
        SuperpodError: the file cannot be written.
    """
    target, draft = path.resolve(), draft_of(path)
    try:
        with draft.open("x", encoding="utf-8") as stream:
            stream.writelines(pieces)
        draft.replace(target)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise unwritable(path, error) from None


def draft_of(path: Path) -> Path:
    """Return where a file is written before it takes its place."""
    target = path.resolve()
    return target.with_name(f".{target.name}.{os.getpid()}.tmp")


def unwritable(path: Path, error: OSError) -> SuperpodError:
    """Return the error of a file that cannot be written."""
    return SuperpodError(
        f"cannot write the file: {error.strerror or error}",
        where=str(path),
        hint="name a file in a folder that you may write",
    )
