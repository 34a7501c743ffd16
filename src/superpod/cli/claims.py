"""`superpod claims`: published claims recomputed from the catalogue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from superpod.cli import options as shared
from superpod.cli.deliver import deliver
from superpod.cli.page import Block, Cell, Column, Page, Section, Table, Text, Tone
from superpod.cli.wording import DASH, quantity
from superpod.errors import UnknownNameError
from superpod.units import significant

if TYPE_CHECKING:
    from superpod.catalog.provenance import Source
    from superpod.plan.claims.verdict import Verdict

# A sign beside each outcome, so that colour is never the only carrier of meaning.
OUTCOMES: dict[str, tuple[str, Tone]] = {
    "reproduces": ("✔", "good"),
    "only under these assumptions": ("≈", "warn"),
    "does not reproduce": ("✘", "bad"),
    "not checkable": ("?", "faint"),
}


ANSWERS: dict[str, Tone] = {"yes": "good", "no": "bad", "refused": "faint"}


@click.command("claims", short_help="Published claims recomputed, each with a verdict.")
@click.argument("claim", required=False, metavar="[ID]")
@click.option("--details", is_flag=True, help="Show every claim's arithmetic below the table.")
@shared.common
def command(claim: str | None, details: bool, **options: Any) -> None:
    """Recompute published claims, each with its arithmetic and a verdict; ID shows one of them in full."""
    from superpod.plan.claims.answer import all_claims

    catalogue = shared.open_catalogue(options)
    verdicts = all_claims(catalogue)
    if claim is not None:
        chosen = tuple(verdict for verdict in verdicts if verdict.id == claim.lower())
        if not chosen:
            raise UnknownNameError("claim", claim, [verdict.id for verdict in verdicts])
        verdicts = chosen
    sources = catalogue.sources()
    named = [name for verdict in verdicts for name in (verdict.source, *(one.source for one in verdict.pods))]
    cited = {name: sources[name] for name in named if name in sources}
    deliver(
        "claims",
        {"verdicts": verdicts, "sources": cited},
        lambda full: claims_page(verdicts, cited, details=full or details or claim is not None),
        shared.outputs(options),
    )


def claims_page(verdicts: Sequence[Verdict], sources: Mapping[str, Source], *, details: bool) -> Page:
    """Return the table of verdicts, and with `details` each one's arithmetic."""
    outcomes = [verdict.outcome for verdict in verdicts]
    tally = ", ".join(f"{outcomes.count(name)} {name}" for name in OUTCOMES if name in outcomes)
    table = Table(title="", columns=COLUMNS, rows=tuple(claim_row(verdict) for verdict in verdicts))
    blocks: list[Block] = [table] if len(verdicts) > 1 else []
    if details:
        blocks.extend(claim_section(verdict, sources) for verdict in verdicts)
    else:
        blocks.append(
            Text(
                title="", lines=("superpod claims ID shows one claim's arithmetic, --details shows all.",), tone="faint"
            )
        )
    return Page(title="Published claims, recomputed", subtitle=tally, blocks=tuple(blocks))


COLUMNS = (
    Column(label="id"),
    Column(label="claim", wraps=True),
    Column(label="claimed", right=True),
    Column(label="computed", right=True),
    Column(label="verdict", wraps=True),
)


def claim_row(verdict: Verdict) -> tuple[Cell | str, ...]:
    """Return one line of the table."""
    return (
        verdict.id,
        verdict.claim,
        amount(verdict.claimed, verdict.unit),
        amount(verdict.computed, verdict.unit),
        outcome_cell(verdict),
    )


def outcome_cell(verdict: Verdict) -> Cell:
    """Return a verdict with its sign."""
    sign, tone = OUTCOMES[verdict.outcome]
    return Cell(text=f"{sign} {verdict.outcome}", tone=tone)


def claim_section(verdict: Verdict, sources: Mapping[str, Source]) -> Section:
    """Return a claim in full: who said it, where, the arithmetic and the reason for the verdict."""
    source = sources.get(verdict.source)
    published = Cell(text=source.title, url=source.url) if source else verdict.source or DASH
    rows: tuple[tuple[Cell | str, ...], ...] = (
        ("claim", verdict.claim),
        ("said by", verdict.who),
        ("source", published),
        ("arithmetic", verdict.arithmetic),
        ("claimed", amount(verdict.claimed, verdict.unit)),
        ("computed", amount(verdict.computed, verdict.unit)),
        ("verdict", outcome_cell(verdict)),
        ("because", verdict.because),
    )
    columns = (Column(label="item"), Column(label="content", wraps=True))
    told = Table(title="", columns=columns, rows=rows, compact=True)
    return Section(title=verdict.id, blocks=(told, *pods_table(verdict, sources)))


def pods_table(verdict: Verdict, sources: Mapping[str, Source]) -> tuple[Block, ...]:
    """Return the answers pod by pod; nothing where the claim is of one thing."""
    if not verdict.pods:
        return ()
    columns = (
        Column(label="pod", wraps=True),
        Column(label="published", right=True),
        Column(label="by its parts", right=True),
        Column(label="answer"),
        Column(label="source", wraps=True),
        Column(label="note", wraps=True),
    )
    rows = tuple(
        (
            one.pod,
            amount(one.published, verdict.unit),
            amount(one.computed, verdict.unit),
            Cell(text=one.answer, tone=ANSWERS.get(one.answer.split(",")[0], "plain")),
            Cell(text=sources[one.source].title, url=sources[one.source].url) if one.source in sources else one.source,
            one.because,
        )
        for one in verdict.pods
    )
    return (Table(title="Pod by pod", columns=columns, rows=rows),)


def amount(value: float | None, unit: str) -> str:
    """Return a claim's number: a factor where the unit is x, a share where it is %, SI otherwise."""
    if value is None:
        return DASH
    if unit in {"x", "×"}:
        return f"× {significant(value)}"
    return quantity(value, unit) if unit else significant(value)
