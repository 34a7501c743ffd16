"""The scorecard as a page of the documentation, and what is recorded of a run over a whole file of points."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from superpod.cli.jsonform import to_json
from superpod.cli.validate_page import counted, share, signed, times
from superpod.cli.wording import DASH, quantity
from superpod.validate.bands import misses
from superpod.validate.prediction import Prediction
from superpod.validate.rankings import SYSTEMS
from superpod.validate.scorecard import Peer, Scorecard

NOTICE = "<!-- Written by docs/generate.py (`make docs`); edit the cases or the code, not this page. -->"
FULL_SET = "full-set.json"
FULL_DRAWING = "full-set.svg"
HEAD = (
    "kind",
    "of",
    "numbers",
    "median",
    "P90",
    "P90, factor",
    "signed median",
    "within 10 %",
    "within 20 %",
    "covered",
    "worst",
    "point",
)
POINTS = ("kind", "source", "points", "predicted", "not predicted", "of them incomplete")
COVERED_HEAD = ("kind", "of", "numbers", "covered", "target 70 to 90 %")
FLOORS = (
    "what",
    "trivial model",
    "fitted to these points",
    "numbers",
    "its median",
    "its P90",
    "within 20 %",
    "our median",
    "our P90",
    "within 20 %",
)
ORDERS = ("faster chip", "than", "of", "number format", "pairs", "order kept", "measured", "predicted")
WORST = ("point", "of", "measured", "predicted", "error", "where the predicted time goes")
INTRO = """Published measurements and what superpod predicts of them. No prediction is fitted to an end-to-end result.
Links are fitted to the collectives below ([collectives](../theory/collectives.md)), which show how well one set of
numbers describes them; operators are fitted to the tables of aiconfigurator-core and, in training attention, to
FlashAttention's charts ([operators](../theory/operators.md)), so that the other operator rows are checks. What a
measuring program adds to a kernel was read off its own rows: {in_sample}. Of bands, how far releases of TensorRT-LLM
and of Megatron lie apart is taken from sources below, so that coverage there is not out of sample.

An error is |predicted / measured - 1|, of a rate as of a time; `signed` keeps the sign, and above zero is too much.
Such an error cannot pass -100 %, so `P90, factor` counts twice and half alike, and `worst` is the largest factor.
`covered` is the share of measured numbers inside the predicted band from P10 to P90. A training point is scored by the
seconds of a step on its own layout, whatever its source prints. One point may hold several numbers; a point is complete
where its source says all that a prediction needs, and why others have none is printed by `superpod validate`.

```sh
superpod validate                       # the cases below; exit code 1 where a recorded limit is exceeded
superpod validate --points FILE         # a file of JSON lines of the same form as the cases
superpod validate --record              # limits anew, for a change that moves predictions and says why
```

Limits stand in `src/superpod/validate/bands.toml`: of each case, of each source's median and P90, of coverage, and of
every order. Cases stand in `src/superpod/validate/cases`. `benchmarks/choose_cases.py` spreads them evenly over each
source, whatever their error, and always takes CloudMatrix384's decode, prefill and attention points (`cm384-…`). Two
files are kept by hand: table 5 of arXiv 2205.05198, whole, and more serving points of CloudMatrix384."""
COVERED_NOTE = """Of quantities with ten numbers and more. What misses the target may not get worse: its share today is
recorded as an exception. Bands that are too narrow promise too much, bands that are too wide say too little."""
FLOORS_NOTE = """A share of peak is model FLOP over seconds and the chip's own peak. The first is the median of all
other sources, one number for all chips; the second is chosen for each chip family and number format so that its median
error on these very points is least, which no prediction made beforehand can have. Ours are fitted to none of them."""
ORDERS_NOTE = """Pairs ran the same model, lengths, layout and release of one source. Where two chips have no number
format in common, each stands with its own best (FP8 on Hopper, FP4 on Blackwell), so that such a ratio is one of chips
with their formats. The share of each pair is a recorded limit."""
PEERS_NOTE = """`measured` figures were recomputed from the peer's own published rows and code; the others are as
printed. Points differ from ours, so that figures compare in size only. Tools under 10 % profiled the machine that they
predict.

AIConfigurator publishes no predictions point by point for the points of this page, and the serving sample that its
figures stand on is not among them, so there is no row of both on the same points. What compares is the kind of number:
time of a token and time to the first token. Its sample ran TensorRT-LLM, SGLang and vLLM on H100 to GB300, with
operator tables measured on those chips; here those two numbers are mostly Splitwise's, of A100 and H100."""


def scorecard_markdown(card: Scorecard, full: Mapping[str, Any] | None) -> str:
    """Return the page: the shipped cases, then the last run over a whole set where one is recorded."""
    shipped = json.loads(full_set(card, date="", command=""))
    read_off = ", ".join(sorted({row.source for row in card.predictions if row.in_sample})) or "none here"
    intro = INTRO.replace("{in_sample}", read_off)
    parts = ["# Scorecard", NOTICE, intro, "![Measured and predicted](scatter.svg)", *_shipped(shipped)]
    if full is not None:
        parts += _full(full) if is_full_set(full) else ["## On the full published set", STALE]
    ours = [("the full set", full)] if full is not None and is_full_set(full) else []
    rows = [row for name, tree in [("the shipped cases", shipped), *ours] for row in _ours(name, tree)]
    parts += ["## What others print", PEERS_NOTE, _peers(card.peers, rows)]
    return "\n\n".join(parts) + "\n"


STALE = (
    "The last run was kept in an older form: `superpod validate --points FILE --page docs/validation` writes it anew."
)


def is_full_set(tree: object) -> bool:
    """Return whether a tree holds all that the page writes of a run over a whole set."""
    try:
        return isinstance(tree, Mapping) and bool(_full(tree)) and bool(_ours("", tree))
    except (AttributeError, LookupError, TypeError, ValueError, ArithmeticError):
        return False


def full_set(card: Scorecard, *, date: str, command: str) -> str:
    """Return what the page needs of a run over a whole set, as JSON."""
    document = {
        "date": date,
        "command": command,
        "points_count": card.points_count,
        "complete_count": card.complete_count,
        "predicted_count": card.predicted_count,
        "tallies": card.tallies,
        "total": card.total,
        "kinds": card.kinds,
        "sources": card.sources,
        "chips": card.chips,
        "coverages": card.coverages,
        "rankings": card.rankings,
        "orders": card.orders,
        "floors": card.floors,
        "worst": card.worst,
        "reasons": card.reasons,
    }
    return json.dumps(to_json(document), indent=1, ensure_ascii=False) + "\n"


def _shipped(tree: Mapping[str, Any]) -> list[str]:
    return ["## Shipped cases", f"{_counted(tree)}.", *_tables(tree)]


def _full(full: Mapping[str, Any]) -> list[str]:
    reasons = [f"- {count} × {reason}" for reason, count in full["reasons"].items()]
    return [
        "## On the full published set",
        f"{_counted(full)}; on {full['date']} by `{full['command']}`.",
        f"![Measured and predicted, the full set]({FULL_DRAWING})",
        *_tables(full),
        "### Points without a prediction",
        "\n".join(reasons) or "None.",
    ]


def _counted(tree: Mapping[str, Any]) -> str:
    return counted(tree["points_count"], tree["complete_count"], tree["predicted_count"])


def _tables(tree: Mapping[str, Any]) -> list[str]:
    """Return a set's tables from its JSON form, so that a recorded run and today's are written alike."""
    order = sorted(tree["rankings"], key=lambda item: (item["kind"], item["ladder"]))
    low = [item for item in order if item["kind"] in SYSTEMS]
    parts = [
        "### Points",
        table(POINTS, map(_tally, tree["tallies"])),
        "### By kind",
        table(HEAD, map(_row, tree["kinds"])),
        "### By source",
        table(HEAD, map(_row, tree["sources"])),
        "### By chip",
        table(HEAD, map(_row, tree["chips"])),
        "### Measured numbers inside their bands",
        COVERED_NOTE,
        table(COVERED_HEAD, map(_coverage, tree["coverages"])),
        "### Beside trivial models, on the same points",
        FLOORS_NOTE,
        table(FLOORS, map(_floor, tree["floors"])),
    ]
    if low:
        rows = ((item["ladder"].replace("|", ", "), str(item["count"]), f"{item['tau']:+.2f}") for item in low)
        parts += ["### Order kept (Kendall's tau)", table(("ladder", "steps", "tau"), rows)]
    if tree["orders"]:
        parts += ["### Chips on the same work", ORDERS_NOTE, table(ORDERS, map(_order, tree["orders"]))]
    return [*parts, "### Furthest off", table(WORST, map(_worst, tree["worst"]))]


def _tally(item: Mapping[str, Any]) -> tuple[str, ...]:
    keys = ("points_count", "predicted_count", "refused_count", "incomplete_count")
    return (item["kind"], item["source"], *(f"{item[key]:,}" for key in keys))


def _coverage(item: Mapping[str, Any]) -> tuple[str, ...]:
    missed = misses(item["covered_frac"])
    said = f"**missed: bands {missed}**" if missed else "within"
    return (item["kind"], item["what"], str(item["count"]), share(item["covered_frac"]), said)


def _row(group: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        group["kind"],
        group["name"],
        f"{group['count']:,}",
        share(group["median"]),
        share(group["p90"]),
        times(group["factor_p90"]),
        signed(group["signed_median"]),
        share(group["within_10_frac"]),
        share(group["within_20_frac"]),
        share(group["covered_frac"]),
        signed(group["worst_error"]),
        group["worst_point"] or DASH,
    )


def _floor(floor: Mapping[str, Any]) -> tuple[str, ...]:
    keys = ("median", "p90", "within_20_frac", "our_median", "our_p90", "our_within_20_frac")
    fitted = "yes" if floor["fitted"] else "no"
    return (floor["what"], floor["name"], fitted, str(floor["count"]), *(share(floor[key]) for key in keys))


def _order(pair: Mapping[str, Any]) -> tuple[str, ...]:
    ratios = (times(pair["measured_ratio"]), times(pair["predicted_ratio"]))
    names = (pair["first"], pair["second"], pair["kind"], pair["formats"])
    return (*names, str(pair["count"]), share(pair["kept_frac"]), *ratios)


def _worst(row: Mapping[str, Any]) -> tuple[str, ...]:
    error = row["predicted"] / row["measured"] - 1.0
    numbers = (quantity(row["measured"], row["unit"]), quantity(row["predicted"], row["unit"]))
    return (row["point"], row["what"], *numbers, signed(error), row["parts"] or DASH)


def _ours(name: str, tree: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Return our own errors in the form of what peers print."""
    found: list[tuple[str, ...]] = []
    for kind in sorted(SYSTEMS):
        groups = [group for group in tree["kinds"] if group["kind"] == kind]
        figures = [f"{item['name']} median {share(item['median'])}, P90 {share(item['p90'])}" for item in groups]
        count = sum(group["count"] for group in groups)
        if groups:
            found.append(("**superpod**", kind, "; ".join(figures), f"{count:,} numbers of {name}", "this page"))
    return found


def _peers(peers: Sequence[Peer], ours: Iterable[tuple[str, ...]]) -> str:
    rows = ((f"[{peer.name}]({peer.url})", peer.kind, peer.figure, peer.on, peer.mark) for peer in peers)
    return table(("simulator", "of", "figure", "on", "said by"), [*ours, *rows])


def table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a Markdown table.

    >>> print(table(("a", "b"), [("1", "2")]))
    | a | b |
    | --- | --- |
    | 1 | 2 |
    """
    names = list(header)
    lines = [names, ["---"] * len(names), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def csv_text(rows: Iterable[Prediction]) -> str:
    """Return every number as RFC 4180 lines: names of the fields, then one line a prediction."""
    names = [name for name in Prediction.__dataclass_fields__ if name not in {"ladder_scale", "more_is_better", "twin"}]
    lines = [",".join([*names, "error_frac"])]
    lines += [",".join(_csv(value) for value in [*(getattr(row, name) for name in names), _error(row)]) for row in rows]
    return "\r\n".join(lines) + "\r\n"


def _error(row: Prediction) -> float | None:
    return None if row.predicted is None else row.error_frac


def _csv(value: object) -> str:
    text = "" if value is None else f"{value:.9g}" if isinstance(value, float) else str(value)
    quoted = text.replace('"', '""')
    return f'"{quoted}"' if any(mark in text for mark in ',"\r\n') else text
