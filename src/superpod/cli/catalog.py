"""`superpod catalog`: what the catalogue holds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from superpod.catalog.facility_parts import Climate, Cooling
from superpod.catalog.schema import Chip, Facility, Pod
from superpod.catalog.software import Software
from superpod.cli import options as shared
from superpod.cli.deliver import deliver
from superpod.cli.facts import cell, kinds_unpublished, unpublished
from superpod.cli.page import Cell, Column, Page, Table
from superpod.cli.wording import DASH, count, fact_text, scaled

if TYPE_CHECKING:
    from superpod.catalog.load import Catalogue
    from superpod.catalog.model_spec import ModelSpec
    from superpod.catalog.provenance import Source

Row = tuple[Cell | str, ...]
STATES = ("roadmap", "announced", "listed", "shipping", "cancelled")
MISSING_SHOWN = 6
FREEZING_K = 273.15
KINDS = ("pods", "chips", "models", "software", "facilities", "cooling", "climates", "sources")
SIGNS = (
    "— not published · ~ the catalogue's estimate · no: the chip lacks this format",
    "superpod show NAME lists every fact and its source",
)


@click.command("catalog", short_help="List pods, chips, models, software, facilities, cooling, climates or sources.")
@click.argument("kind", type=click.Choice(KINDS), default="pods")
@click.option("--state", type=click.Choice(STATES), help="Only pods or chips in this state.")
@shared.common
def command(kind: str, state: str | None, **options: Any) -> None:
    """List pods (the default), chips, models, software, facilities, cooling designs, climates or sources."""
    if state is not None and kind not in {"pods", "chips"}:
        raise click.UsageError("--state applies to pods and chips")
    catalogue = shared.open_catalogue(options)
    entries = [entry for entry in ENTRIES[kind](catalogue) if state is None or entry.state == state]
    page = PAGES[kind](catalogue, entries)
    deliver("catalog", {"kind": kind, "entries": entries}, lambda _full: page, shared.outputs(options))


def pods_page(catalogue: Catalogue, pods: Sequence[Pod]) -> Page:
    """Return the table of pods."""
    columns = (
        Column(label="pod"),
        Column(label="vendor", drop=6),
        Column(label="state"),
        Column(label="chip", drop=7),
        Column(label="cards", right=True),
        Column(label="bf16\nPFLOP/s", right=True),
        Column(label="fp8\nPFLOP/s", right=True, drop=2),
        Column(label="HBM\nTB", right=True, drop=1),
        Column(label="scale-up\nGB/s a card", right=True, drop=4),
        Column(label="kW typical\n/ maximum", right=True, drop=5),
        Column(label="not published", wraps=True, drop=3),
    )
    rows = tuple(pod_row(pod, catalogue.chip(pod.chip)) for pod in pods)
    notes = (
        "rates are dense; scale-up is one card's bandwidth in one direction on the outermost tier of the pod",
        *SIGNS,
    )
    return listing("Pods", Table(title="", columns=columns, rows=rows, footnotes=notes))


def pod_row(pod: Pod, chip: Chip) -> Row:
    """Return one pod; totals are the chip's numbers times the cards."""
    cards = pod.chips_count * pod.pods_count
    outermost = pod.tiers[-1]
    power = [cell(getattr(pod.power, name), pod.facts.get(f"power.{name}"), 1e3) for name in ("typical_w", "max_w")]
    missing = (*kinds_unpublished(pod.facts), *kinds_unpublished(chip.facts, "chip "))
    return (
        f"{pod.id}@{pod.version}",
        pod.vendor,
        pod.state,
        pod.chip,
        count(cards),
        rate(chip, "bf16", 1e15, cards),
        rate(chip, "fp8", 1e15, cards),
        cell(chip.memory.capacity_bytes, chip.facts.get("memory.capacity_bytes"), 1e12, cards),
        cell(
            outermost.bandwidth_bytes_per_s,
            pod.facts.get(f"tiers.{outermost.name}.bandwidth_bytes_per_s"),
            1e9,
        ),
        " / ".join(power),
        Cell(text=shortened(missing), tone="faint"),
    )


def rate(chip: Chip, dtype: str, scale: float, times: float = 1.0) -> str:
    """Return a chip's dense matrix rate in units of `scale`."""
    values = {str(name): value for name, value in chip.matrix_flop_per_s.items()}
    return cell(values.get(dtype), chip.facts.get(f"matrix_flop_per_s.{dtype}"), scale, times)


def shortened(names: Sequence[str]) -> str:
    """Return the first few names and how many more there are."""
    rest = len(names) - MISSING_SHOWN
    shown = ", ".join(names[:MISSING_SHOWN])
    return f"{shown} and {rest} more" if rest > 0 else shown


def chips_page(_catalogue: Catalogue, chips: Sequence[Chip]) -> Page:
    """Return the table of chips."""
    columns = (
        Column(label="chip"),
        Column(label="vendor", drop=7),
        Column(label="state"),
        Column(label="bf16\nTFLOP/s", right=True),
        Column(label="fp8\nTFLOP/s", right=True),
        Column(label="fp4\nTFLOP/s", right=True, drop=5),
        Column(label="int8\nTOP/s", right=True, drop=4),
        Column(label="memory\nGB", right=True),
        Column(label="memory\nTB/s", right=True),
        Column(label="maximum\nW", right=True, drop=3),
        Column(label="not published", wraps=True, drop=6),
    )
    rows = tuple(chip_row(chip) for chip in chips)
    notes = ("rates are dense, of one package", *SIGNS)
    return listing("Chips", Table(title="", columns=columns, rows=rows, footnotes=notes))


def chip_row(chip: Chip) -> Row:
    """Return one chip."""
    return (
        f"{chip.id}@{chip.version}",
        chip.vendor,
        chip.state,
        *(rate(chip, dtype, 1e12) for dtype in ("bf16", "fp8", "fp4", "int8")),
        cell(chip.memory.capacity_bytes, chip.facts.get("memory.capacity_bytes"), 1e9),
        cell(chip.memory.bandwidth_bytes_per_s, chip.facts.get("memory.bandwidth_bytes_per_s"), 1e12),
        cell(chip.power.max_w, chip.facts.get("power.max_w"), 1.0),
        Cell(text=shortened(unpublished(chip.facts)), tone="faint"),
    )


def models_page(_catalogue: Catalogue, models: Sequence[ModelSpec]) -> Page:
    """Return the table of models; parameters are counted from the shapes."""
    columns = (
        Column(label="model"),
        Column(label="by", drop=2),
        Column(label="parameters\n10⁹", right=True),
        Column(label="active\n10⁹", right=True),
        Column(label="layers", right=True),
        Column(label="hidden", right=True, drop=3),
        Column(label="attention"),
        Column(label="feed-forward"),
        Column(label="context", right=True, drop=1),
    )
    rows = tuple(model_row(model) for model in models)
    return listing(
        "Models", Table(title="", columns=columns, rows=rows, footnotes=("parameters are counted from the shapes",))
    )


def model_row(model: ModelSpec) -> Row:
    """Return one model."""
    from superpod.workload.parameters import count_parameters

    parameters = count_parameters(model)
    return (
        f"{model.id}@{model.version}",
        model.org,
        scaled(parameters.total, 1e9),
        scaled(parameters.active, 1e9),
        count(model.layers_count),
        count(model.hidden_count),
        "+".join(dict.fromkeys(group.attention.kind for group in model.layers)),
        "+".join(dict.fromkeys(group.ffn.kind for group in model.layers)),
        count(model.context_max_count),
    )


def facilities_page(_catalogue: Catalogue, facilities: Sequence[Facility]) -> Page:
    """Return the table of facilities."""
    columns = (
        Column(label="facility"),
        Column(label="name", wraps=True),
        Column(label="PUE", right=True),
        Column(label="electricity", right=True),
        Column(label="hardware life", right=True),
        Column(label="discount rate", right=True, drop=1),
    )
    paths = ("pue", "electricity_usd_per_j", "life_s", "discount_rate_per_s")
    rows = tuple(
        (f"{place.id}@{place.version}", place.name, *(fact_text(path, getattr(place, path)) for path in paths))
        for place in facilities
    )
    return listing("Facilities", Table(title="", columns=columns, rows=rows, footnotes=SIGNS[1:]))


def cooling_page(_catalogue: Catalogue, designs: Sequence[Cooling]) -> Page:
    """Return the table of cooling designs."""
    columns = (
        Column(label="cooling"),
        Column(label="name", wraps=True),
        Column(label="in liquid", right=True),
        Column(label="supply", right=True),
        Column(label="heat goes to", drop=1),
    )
    rows = tuple(
        (
            f"{design.id}@{design.version}",
            design.name,
            fact_text("liquid_frac", design.liquid_frac),
            f"{design.supply_c:g} °C",
            design.liquid_to,
        )
        for design in designs
    )
    return listing("Cooling designs", Table(title="", columns=columns, rows=rows, footnotes=SIGNS[1:]))


def climates_page(_catalogue: Catalogue, places: Sequence[Climate]) -> Page:
    """Return the table of climates."""
    columns = (
        Column(label="climate"),
        Column(label="name", wraps=True),
        Column(label="coldest month", right=True),
        Column(label="warmest month", right=True),
    )
    rows = tuple((f"{place.id}@{place.version}", place.name, *extremes(place)) for place in places)
    return listing("Climates", Table(title="", columns=columns, rows=rows, footnotes=SIGNS[1:]))


def extremes(place: Climate) -> tuple[str, str]:
    """Return the means of the coldest and of the warmest month."""
    means = [month.mean_k - FREEZING_K for month in place.months]
    return f"{min(means):.1f} °C", f"{max(means):.1f} °C"


def software_page(_catalogue: Catalogue, releases: Sequence[Software]) -> Page:
    """Return the table of serving engines and training frameworks."""
    columns = (
        Column(label="software"),
        Column(label="name", wraps=True),
        Column(label="for", drop=2),
        Column(label="launches\na layer", right=True),
        Column(label="gap a step", right=True),
        Column(label="tokens\na step", right=True, drop=3),
        Column(label="prompts", drop=4),
        Column(label="decode", drop=1),
        Column(label="releases apart", right=True, drop=5),
    )
    return listing("Software", Table(title="", columns=columns, rows=tuple(map(software_row, releases))))


def software_row(release: Software) -> Row:
    """Return one release's line; what only serving has is left out of a training framework's."""
    serving = release.phase == "serving"
    riding = "ride along" if release.scheduling == "mixed" else "take turns"
    return (
        f"{release.id}@{release.version}",
        release.name,
        release.phase,
        fact_text("layer_s", release.layer_s),
        fact_text("gap_s", release.gap_s),
        count(release.step_tokens_count) if serving else DASH,
        riding if serving else DASH,
        ("captured" if release.graphs else "launched") if serving else DASH,
        fact_text("band_frac", release.band_frac),
    )


def sources_page(_catalogue: Catalogue, sources: Sequence[Source]) -> Page:
    """Return the table of cited publications."""
    columns = (
        Column(label="source"),
        Column(label="date", drop=1),
        Column(label="title", wraps=True),
        Column(label="address", wraps=True, drop=2),
    )
    rows = tuple((item.id, item.date, item.title, Cell(text=item.url, url=item.url)) for item in sources)
    return listing("Sources", Table(title="", columns=columns, rows=rows))


def listing(title: str, table: Table) -> Page:
    """Return a page of one table."""
    return Page(title=title, subtitle=f"{len(table.rows)} entries", blocks=(table,))


ENTRIES: dict[str, Callable[[Catalogue], list[Any]]] = {
    "pods": lambda catalogue: [catalogue.pod(name) for name in catalogue.names("pods")],
    "chips": lambda catalogue: [catalogue.chip(name) for name in catalogue.names("chips")],
    "models": lambda catalogue: [catalogue.model(name) for name in catalogue.names("models")],
    "software": lambda catalogue: [catalogue.software(name) for name in catalogue.names("software")],
    "facilities": lambda catalogue: [catalogue.facility(name) for name in catalogue.names("facilities")],
    "cooling": lambda catalogue: [catalogue.cooling(name) for name in catalogue.names("cooling")],
    "climates": lambda catalogue: [catalogue.climate(name) for name in catalogue.names("climates")],
    "sources": lambda catalogue: [source for _, source in sorted(catalogue.sources().items())],
}
PAGES: dict[str, Callable[[Catalogue, Sequence[Any]], Page]] = {
    "pods": pods_page,
    "chips": chips_page,
    "models": models_page,
    "software": software_page,
    "facilities": facilities_page,
    "cooling": cooling_page,
    "climates": climates_page,
    "sources": sources_page,
}
