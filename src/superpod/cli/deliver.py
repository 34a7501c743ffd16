"""The last step of every verb: write the files asked for, then print."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from superpod.cli.options import Outputs
from superpod.cli.page import Page
from superpod.errors import ScenarioError, SuperpodError

Content = str | bytes


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
            target = path.resolve()
            draft = target.with_name(f".{target.name}.{os.getpid()}.tmp")
            drafts.append((draft, target))
            with draft.open("xb") as stream:
                stream.write(content.encode() if isinstance(content, str) else content)
        for draft, path in drafts:
            draft.replace(path)
    except OSError as error:
        for draft, _ in drafts:
            draft.unlink(missing_ok=True)
        raise SuperpodError(
            f"cannot write the file: {error.strerror or error}",
            where=str(path),
            hint="name a file in a folder that you may write",
        ) from None
