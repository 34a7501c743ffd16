"""Write the pages that follow from the code and the catalogue: `make docs`.

    python docs/generate.py [FOLDER]

docs/reference/cli.md comes from the verbs' own help, docs/catalog/*.md from the catalogue's facts,
docs/validation/scorecard.md and its drawing from the shipped cases.
"""

import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

import click

from superpod.catalog.load import SHIPPED, Catalogue, read_toml
from superpod.catalog.provenance import Fact, Source
from superpod.catalog.schema import DTYPES, Chip, Pod
from superpod.cli.main import cli
from superpod.cli.scatter import scatter
from superpod.cli.validate_markdown import FULL_SET, scorecard_markdown
from superpod.units import human, significant
from superpod.validate.bands import SHIPPED as SHIPPED_CASES
from superpod.validate.bands import recorded
from superpod.validate.point import shipped_points
from superpod.validate.run import predict
from superpod.validate.scorecard import scorecard
from superpod.workload.build import kv_cache_bytes
from superpod.workload.parameters import count_parameters
from superpod.workload.phase import Partition
from superpod.workload.precision import PRECISIONS

DOCS = Path(__file__).resolve().parent
NOTICE = "<!-- Written by docs/generate.py (`make docs`); edit the catalogue or the code, not this page. -->"
HELP_WIDTH = 100
FACT_HEADER = ("number", "value", "range", "kind", "source", "note")
UNITS = {"_bytes": "B", "_bytes_per_s": "B/s", "_flop_per_s": "FLOP/s", "_s": "s", "_w": "W", "usd": "USD"}


def pages() -> dict[str, str]:
    """Return every generated page by its path under docs/."""
    catalogue = Catalogue()
    return {
        "reference/cli.md": cli_page(),
        "catalog/pods.md": pods_page(catalogue),
        "catalog/chips.md": chips_page(catalogue),
        "catalog/models.md": models_page(catalogue),
        **validation_pages(catalogue),
    }


def validation_pages(catalogue: Catalogue) -> dict[str, str]:
    """Return the scorecard of the shipped cases and its drawing; the last run over a whole set stands beside them."""
    rows = predict(catalogue, shipped_points())
    card = scorecard(rows, recorded(SHIPPED_CASES), whole=True)
    kept = DOCS / "validation" / FULL_SET
    last = json.loads(kept.read_text(encoding="utf-8")) if kept.is_file() else None
    return {
        "validation/scorecard.md": scorecard_markdown(card, last),
        "validation/scatter.svg": scatter(rows, "Measured and predicted"),
    }


def cli_page() -> str:
    """Return the help of the command and of each verb."""
    root = help_context(cli, "superpod", None)
    sections = [f"# Command line\n\n{NOTICE}\n\n```text\n{plain_help(root)}\n```"]
    for verb in cli.list_commands(root):
        command = cli.get_command(root, verb)
        if command is not None:
            text = plain_help(help_context(command, verb, root))
            sections.append(f"## superpod {verb}\n\n```text\n{text}\n```")
    return "\n\n".join(sections) + "\n"


def help_context(command: click.Command, name: str, parent: click.Context | None) -> click.Context:
    """Return the context that a command's help is written in, of a fixed width."""
    width = {"terminal_width": HELP_WIDTH, "max_content_width": HELP_WIDTH}
    return click.Context(command, info_name=name, parent=parent, **{**command.context_settings, **width})


def plain_help(context: click.Context) -> str:
    """Return a command's help without trailing blanks."""
    return "\n".join(line.rstrip() for line in context.get_help().splitlines()).strip()


def pods_page(catalogue: Catalogue) -> str:
    """Return all pods: a summary, then each pod's facts."""
    pods = [catalogue.pod(name) for name in catalogue.names("pods")]
    header = ("pod", "vendor", "state", "chip", "cards", "tiers", "scale-up a card", "scale-out a card")
    summary = table(header, (pod_row(pod) for pod in pods))
    intro = "Bandwidths are one direction. A dash is a number that nobody has published."
    return page("Pods", intro, summary, pods, catalogue.sources())


def pod_row(pod: Pod) -> tuple[str, ...]:
    """Return one pod's summary."""
    tiers = " → ".join(f"{tier.name} ({tier.structure}, {tier.chips_count:,})" for tier in pod.tiers)
    outside = pod.scale_out.bandwidth_bytes_per_s if pod.scale_out else None
    inside = pod.tiers[-1].bandwidth_bytes_per_s
    cards = f"{pod.pods_count * pod.chips_count:,.0f}"
    return (anchor(pod.id), pod.vendor, pod.state, pod.chip, cards, tiers, shown(inside, "B/s"), shown(outside, "B/s"))


def chips_page(catalogue: Catalogue) -> str:
    """Return all chips: a summary, then each chip's facts."""
    chips = [catalogue.chip(name) for name in catalogue.names("chips")]
    header = ("chip", "vendor", "state", *DTYPES, "memory", "bandwidth", "limit")
    summary = table(header, (chip_row(chip) for chip in chips))
    intro = (
        "Rates are dense and for one package. A dash is a number that nobody has published; `no` means no such engine."
    )
    return page("Chips", intro, summary, chips, catalogue.sources())


def chip_row(chip: Chip) -> tuple[str, ...]:
    """Return one chip's summary."""
    rates = []
    for dtype in DTYPES:
        fact = chip.facts.get(f"matrix_flop_per_s.{dtype}")
        rates.append("no" if fact and fact.unsupported else shown(chip.matrix_flop_per_s.get(dtype), "FLOP/s"))
    memory = (shown(chip.memory.capacity_bytes, "B"), shown(chip.memory.bandwidth_bytes_per_s, "B/s"))
    return (anchor(chip.id), chip.vendor, chip.state, *rates, *memory, shown(chip.power.max_w, "W"))


def models_page(catalogue: Catalogue) -> str:
    """Return all models with the parameters counted from their shapes, and their cache."""
    header = (
        "model",
        "name",
        "by",
        "layers",
        "attention",
        "feed-forward",
        "parameters",
        "active",
        "cache a token",
        "source",
    )
    files = {path.stem: path for path in (SHIPPED / "models").rglob("*.toml")}
    rows = []
    for name in catalogue.names("models"):
        spec = catalogue.model(name)
        count = count_parameters(spec)
        # The cache's growth between two contexts, so that windows and constant states do not count.
        cache = [float(kv_cache_bytes(spec, tokens, Partition(), PRECISIONS["bf16"])) for tokens in (1e6, 1e6 + 1.0)]
        rows.append(
            (
                f"`{name}`",
                spec.name,
                spec.org,
                str(spec.layers_count),
                " + ".join(dict.fromkeys(group.attention.kind for group in spec.layers)),
                " + ".join(dict.fromkeys(group.ffn.kind for group in spec.layers)),
                f"{significant(count.total / 1e9)} G",
                f"{significant(count.active / 1e9)} G",
                human(round(cache[1] - cache[0], 3), "B"),
                source_link(str(read_toml(files[name]).get("source", "")), catalogue.sources()),
            )
        )
    intro = (
        "Parameters are counted from the shapes, multi-token-prediction layers left out; `active` are those that one\n"
        "token passes. The cache is what one more token of a long context costs in 16 bits, all layers, unsplit."
    )
    return f"# Models\n\n{NOTICE}\n\n{intro}\n\n{table(header, rows)}\n"


def page(
    title: str, intro: str, summary: str, entries: Iterable[Pod] | Iterable[Chip], sources: Mapping[str, Source]
) -> str:
    """Return a page of entries with their facts."""
    parts = [f"# {title}", NOTICE, intro, summary]
    for entry in entries:
        parts.append(f"## {entry.id}\n\n{entry.name}, {entry.vendor}, {entry.state}; facts of {entry.version}.")
        parts += [note for note in (getattr(entry, "structure_note", ""), entry.note) if note]
        parts.append(table(FACT_HEADER, (fact_row(path, fact, sources) for path, fact in entry.facts.items())))
    return "\n\n".join(parts) + "\n"


def fact_row(path: str, fact: Fact, sources: Mapping[str, Source]) -> tuple[str, ...]:
    """Return one fact's line."""
    unit = next((unit for suffix, unit in UNITS.items() if path.rsplit(".", 1)[-1].endswith(suffix)), "")
    unit = "FLOP/s" if "flop_per_s" in path else unit
    value = "no such engine" if fact.unsupported else shown(fact.value, unit)
    span = "" if fact.low is None or fact.high is None else f"{human(fact.low, unit)} to {human(fact.high, unit)}"
    note = fact.note
    if fact.estimate is not None:
        note = f"{note}; estimate {human(fact.estimate.value, unit)}: {fact.estimate.basis}"
    kind = "missing" if fact.missing else fact.kind or ""
    return (f"`{path}`", value, span, kind, source_link(fact.source, sources), note)


def source_link(name: str, sources: Mapping[str, Source]) -> str:
    """Return a source's id as a link where it has an address."""
    source = sources.get(name)
    return f"[{name}]({source.url})" if source is not None and source.url else name


def shown(value: float | None, unit: str) -> str:
    """Return a number for people, or a dash."""
    return "—" if value is None else human(value, unit)


def anchor(name: str) -> str:
    """Return a link to the entry's section on the same page."""
    return f"[{name}](#{name.replace('.', '')})"


def table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a Markdown table."""
    names = list(header)
    lines = [
        names,
        ["---"] * len(names),
        *([cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in rows),
    ]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def main() -> None:
    """Write every page under the folder given, or under docs/."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else DOCS
    for name, text in pages().items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
