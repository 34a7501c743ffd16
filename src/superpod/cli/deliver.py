"""The last step of every verb: write the files asked for, then print."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from superpod.cli.options import Outputs
from superpod.cli.page import Page
from superpod.errors import SuperpodError


def deliver(verb: str, answer: Mapping[str, Any], page: Callable[[bool], Page], chosen: Outputs) -> None:
    """Print an answer as text or JSON; files come first, so that an error leaves nothing on stdout.

    `page(full)` builds the page: short for the terminal, with everything for HTML.
    """
    from superpod.cli import tables
    from superpod.cli.jsonform import dumps

    document = dumps(verb, answer) if chosen.json else ""
    short = page(False) if chosen.svg or not chosen.json else None
    if chosen.html is not None:
        from superpod.cli.html import render

        write_atomically(chosen.html, render(page(True), chosen.command))
    if chosen.svg is not None and short is not None:
        write_atomically(chosen.svg, tables.picture(short, chosen.command))
    if short is None or chosen.json:
        click.echo(document)
    else:
        tables.show(short)
    for path in (chosen.html, chosen.svg):
        if path is not None:
            click.echo(f"wrote {path}", err=True)


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a whole file or none: beside its place first, then renamed over it."""
    target = path.resolve()
    draft = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        with draft.open("xb") as stream:
            stream.write(content.encode() if isinstance(content, str) else content)
        draft.replace(target)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise SuperpodError(
            f"cannot write the file: {error.strerror or error}",
            where=str(path),
            hint="name a file in a folder that you may write",
        ) from None
