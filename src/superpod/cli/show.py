"""`superpod show`: one catalogue entry with every fact and its source."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from superpod.catalog.costs import CostBook, Currency
from superpod.catalog.facility_parts import ChipPower, Climate, Cooling, FacilityParts
from superpod.catalog.failures import FailureBook
from superpod.catalog.model_spec import ModelSpec
from superpod.catalog.schema import Chip, Facility, Pod, ScaleOut, SideNetwork, Tier
from superpod.catalog.software import Software
from superpod.cli import options as shared
from superpod.cli.deliver import deliver
from superpod.cli.facts import facts_table, unpublished
from superpod.cli.model_page import model_section
from superpod.cli.page import Block, Cell, Column, Page, Section, Table, Text, Tone
from superpod.cli.wording import DASH, count, quantity
from superpod.errors import UnknownNameError

if TYPE_CHECKING:
    from superpod.catalog.load import Catalogue
    from superpod.catalog.provenance import Source

Dated = (
    Chip | Pod | Facility | Software | Cooling | Climate | ChipPower | FacilityParts | CostBook | Currency | FailureBook
)
Entry = Dated | ModelSpec
STATE_TONES: dict[str, Tone] = {
    "shipping": "good",
    "listed": "good",
    "announced": "warn",
    "roadmap": "warn",
    "cancelled": "bad",
}


@click.command("show", short_help="Show an entry with all its facts and who said them.")
@click.argument("name")
@shared.common
def command(name: str, **options: Any) -> None:
    """Show a chip, pod, model, facility, cooling design or release of software with all its facts and who said them.

    NAME is an id or another name of an entry, or the path of a Hugging Face config.json.
    """
    from superpod.workload.parameters import count_parameters

    catalogue = shared.open_catalogue(options)
    found = find(catalogue, name)
    sources = catalogue.sources()
    entries = [
        {
            "kind": kind,
            "entry": entry,
            **({"parameters": count_parameters(entry)} if isinstance(entry, ModelSpec) else {}),
        }
        for kind, entry in found
    ]
    deliver(
        "show",
        {"entries": entries},
        lambda full: show_page(catalogue, found, sources, full=full),
        shared.outputs(options),
    )


def find(catalogue: Catalogue, name: str) -> list[tuple[str, Entry]]:
    """Return every entry of that name with its kind; raise UnknownNameError where there is none."""
    path = Path(name)
    if path.suffix == ".json" or path.is_dir():
        from superpod.catalog.huggingface import read_config, spec_from_config

        return [("model", spec_from_config(read_config(path), name))]
    readers: tuple[tuple[str, str, Callable[[str], Entry]], ...] = (
        ("pod", "pods", catalogue.pod),
        ("chip", "chips", catalogue.chip),
        ("model", "models", catalogue.model),
        ("facility", "facilities", catalogue.facility),
        ("software", "software", catalogue.software),
        ("cooling", "cooling", catalogue.cooling),
        ("climate", "climates", catalogue.climate),
        ("chip_power", "chip_power", catalogue.chip_power),
        ("facility_parts", "facility_parts", catalogue.facility_parts),
        ("costs", "costs", catalogue.costs),
        ("currency", "currencies", catalogue.currency),
        ("failures", "failures", catalogue.failures),
    )
    wanted, _, rest = name.partition("/")
    plain = name.partition("@")[0]
    found: list[tuple[str, Entry]] = []
    for kind, plural, read in readers:
        if rest and wanted not in {kind, plural}:
            continue
        try:
            found.append((kind, read(rest or plain)))
        except UnknownNameError:
            continue
    if not found:
        known = [entry for _, plural, _ in readers for entry in catalogue.names(plural)]
        raise UnknownNameError("entry", name, known)
    return found


def show_page(
    catalogue: Catalogue, found: list[tuple[str, Entry]], sources: Mapping[str, Source], *, full: bool
) -> Page:
    """Return the page of all entries of one name."""
    blocks: list[Block] = []
    for kind, entry in found:
        if isinstance(entry, ModelSpec):
            parts = model_section(entry, declared_source(catalogue, entry), sources)
        else:
            parts = entry_blocks(entry, sources, full=full)
        blocks.extend(parts if len(found) == 1 else (Section(title=f"{kind} {entry.id}", blocks=parts),))
    kind, first = found[0]
    state = getattr(first, "state", "")
    badges = (Cell(text=state, tone=STATE_TONES.get(state, "plain")),) if state else ()
    version = f"@{first.version}" if first.version else ""
    return Page(title=first.name, subtitle=f"{kind} {first.id}{version}", blocks=tuple(blocks), badges=badges)


def entry_blocks(entry: Dated, sources: Mapping[str, Source], *, full: bool) -> tuple[Block, ...]:
    """Return the description and the facts of an entry that is not a model."""
    rows = [(label, text) for label, text in described(entry) if text]
    columns = (Column(label="item"), Column(label="content", wraps=True))
    blocks: list[Block] = [Table(title="", columns=columns, rows=tuple(rows), compact=True)]
    if isinstance(entry, Pod):
        blocks.append(tiers_table(entry))
    blocks.append(facts_table("Facts", entry.facts.items(), sources, full=full))
    missing = unpublished(entry.facts)
    if missing:
        blocks.append(Text(title="Not published", lines=(", ".join(missing),)))
    return tuple(blocks)


def described(entry: Dated) -> list[tuple[str, str]]:
    """Return what an entry says about itself in words."""
    lines = [("also called", ", ".join(entry.aliases))]
    if isinstance(entry, Chip):
        lines = [("vendor", entry.vendor), ("state", entry.state), ("operator efficiencies", entry.calibration), *lines]
    if isinstance(entry, Software):
        lines = [
            ("for", entry.phase),
            (
                "prompts",
                "ride along in decode steps" if entry.scheduling == "mixed" else "take turns with decode steps",
            ),
            ("decode steps", "captured graphs" if entry.graphs else "kernels launched one by one"),
            ("small all-reduces", "kernels of its own" if entry.own_collectives else "the collective library's"),
            *lines,
        ]
    if isinstance(entry, Pod):
        cards = f"{count(entry.chips_count * entry.pods_count)} of {entry.chip}"
        several = (
            f", {count(entry.pods_count)} pods of {entry.base or count(entry.chips_count)}"
            if entry.pods_count > 1
            else ""
        )
        lines = [
            ("vendor", entry.vendor),
            ("state", entry.state),
            ("cards", cards + several),
            *lines,
            ("structure", entry.structure_note),
            ("side networks", "; ".join(side_network(side) for side in entry.side_networks)),
        ]
    return [*lines, ("note", entry.note)]


def side_network(side: SideNetwork) -> str:
    """Return a network beside the two of the cards in words."""
    rate = quantity(side.bandwidth_bytes_per_s, "B/s")
    return f"{side.name}, {rate} a {side.tier}{f' ({side.protocol})' if side.protocol else ''}"


def tiers_table(pod: Pod) -> Table:
    """Return the fabric from the innermost tier out; columns that say nothing of this pod are left out."""
    columns = (
        Column(label="tier"),
        Column(label="cards", right=True),
        Column(label="structure"),
        Column(label="medium"),
        Column(label="planes", right=True),
        Column(label="switches", right=True),
        Column(label="cable", right=True),
        Column(label="protocol", drop=1),
        Column(label="reduces in network", drop=2),
        Column(label="link efficiencies", drop=3),
    )
    places = (*pod.tiers, *((pod.scale_out,) if pod.scale_out else ()))
    rows = [tier_row(pod, place) for place in places]
    said = [place for place in range(len(columns)) if any(row[place] != DASH for row in rows)]
    return Table(
        title="Fabric, innermost tier first",
        columns=tuple(columns[place] for place in said),
        rows=tuple(tuple(row[place] for place in said) for row in rows),
    )


def tier_row(pod: Pod, tier: Tier | ScaleOut) -> tuple[str, ...]:
    """Return one tier's line: planes, switch chips of the whole pod and lanes of a cable where they are published."""
    where = f"tiers.{tier.name}.wiring" if isinstance(tier, Tier) else "scale_out.wiring"
    wiring = tier.wiring
    planes = wiring.planes_count if f"{where}.planes_count" in pod.facts else None
    chips = None
    if isinstance(tier, Tier) and wiring.switches_count is not None and wiring.planes_count is not None:
        chips = wiring.planes_count * wiring.switches_count * pod.chips_count / tier.chips_count
    lanes, rate = wiring.lanes_per_cable_count or 1.0, wiring.cable_bytes_per_s
    held = f"{count(lanes)} × " if rate is not None and lanes > 1 else ""
    return (
        tier.name,
        count(tier.chips_count) if isinstance(tier, Tier) else DASH,
        structure(tier.structure, tier.dims),
        tier.medium,
        count(planes),
        count(chips),
        f"{held}{quantity(None if rate is None else rate / lanes, 'B/s')}",
        tier.protocol or DASH,
        "yes" if tier.in_network_reduction else "no",
        tier.calibration,
    )


def structure(name: str, dims: tuple[int, ...]) -> str:
    """Return a structure with its axes.

    >>> structure("full_mesh", (8, 8))
    'full mesh 8 × 8'
    """
    return f"{name.replace('_', ' ')} {' × '.join(str(size) for size in dims)}".strip()


def declared_source(catalogue: Catalogue, model: ModelSpec) -> str:
    """Return the source that stands for a model's whole file; empty for a model that is not in the catalogue."""
    from superpod.catalog.read import read_toml

    files = [path for folder in catalogue.folders for path in (folder / "models").rglob(f"{model.id}.toml")]
    return str(read_toml(files[-1]).get("source", "")) if files else ""
