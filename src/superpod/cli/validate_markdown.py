"""The scorecard as a page of the documentation, and what is recorded of a run over a whole file of points."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from superpod.cli.jsonform import to_json
from superpod.cli.validate_page import share, signed
from superpod.cli.wording import DASH, quantity
from superpod.validate.prediction import Prediction
from superpod.validate.scorecard import Peer, Scorecard

NOTICE = "<!-- Written by docs/generate.py (`make docs`); edit the cases or the code, not this page. -->"
FULL_SET = "full-set.json"
FULL_DRAWING = "full-set.svg"
HEAD = ("kind", "of", "n", "median", "P90", "signed median", "within 10 %", "within 20 %", "covered", "worst", "point")
INTRO = """Published measurements and what superpod predicts of them. Nothing is fitted to an end-to-end result:
operators and links are fitted to operator and collective measurements ([operators](../theory/operators.md),
[collectives](../theory/collectives.md)), so those two kinds show how well one set of numbers describes them, while
training and inference show what follows from it.

An error is |predicted / measured - 1|, of a rate as of a time; `signed` keeps the sign, and above zero is too much.
`covered` is the share of measured numbers inside the predicted band from P10 to P90: 80 % would be right. A training
point is scored by the seconds of a step on its own layout, whatever its source prints. `n (+m)`: m more points have no
prediction, for a reason that `superpod validate` prints.

```sh
superpod validate                       # the cases below; exit code 1 where a recorded limit is exceeded
superpod validate --points FILE         # a file of JSON lines of the same form as the cases
superpod validate --record              # limits anew, for a change that moves predictions and says why
```

Limits stand in `src/superpod/validate/bands.toml`, one a case and two a source; cases in `src/superpod/validate/cases`,
chosen evenly from their sources by `benchmarks/choose_cases.py`, whatever their error."""


def scorecard_markdown(card: Scorecard, full: Mapping[str, Any] | None) -> str:
    """Return the page: the shipped cases, then the last run over a whole set where one is recorded."""
    parts = ["# Scorecard", NOTICE, INTRO, "![Measured and predicted](scatter.svg)", *_sums(card)]
    if full is not None:
        parts += _full(full)
    parts += ["## What others print", PEERS_NOTE, _peers(card.peers)]
    return "\n\n".join(parts) + "\n"


PEERS_NOTE = """`measured` figures were recomputed from the peer's own published rows and code; the others are as
printed. Points differ from ours, so that figures compare in size only. Tools under 10 % profiled the machine that they
predict."""


def full_set(card: Scorecard, *, date: str, command: str) -> str:
    """Return what the page needs of a run over a whole set, as JSON."""
    document = {
        "date": date,
        "command": command,
        "points_count": card.points_count,
        "predicted_count": card.predicted_count,
        "total": card.total,
        "kinds": card.kinds,
        "sources": card.sources,
        "chips": card.chips,
        "rankings": card.rankings,
        "orders": card.orders,
        "floors": card.floors,
        "worst": card.worst,
        "reasons": card.reasons,
    }
    return json.dumps(to_json(document), indent=1, ensure_ascii=False) + "\n"


def _sums(card: Scorecard) -> list[str]:
    shipped = json.loads(full_set(card, date="", command=""))
    return ["## Shipped cases", f"{card.predicted_count} of {card.points_count} cases predicted.", *_tables(shipped)]


def _full(full: Mapping[str, Any]) -> list[str]:
    head = (
        f"{full['predicted_count']:,} of {full['points_count']:,} complete points predicted on {full['date']} by"
        f" `{full['command']}`."
    )
    reasons = [f"- {count} × {reason}" for reason, count in full["reasons"].items()]
    return [
        "## On the full published set",
        head,
        f"![Measured and predicted, the full set]({FULL_DRAWING})",
        *_tables(full),
        "### Points without a prediction",
        "\n".join(reasons) or "None.",
    ]


def _tables(tree: Mapping[str, Any]) -> list[str]:
    """Return a set's tables from its JSON form, so that a recorded run and today's are written alike."""
    order = sorted(tree["rankings"], key=lambda item: (item["kind"], item["ladder"]))
    low = [item for item in order if item["kind"] in {"training", "inference"}]
    parts = [
        "### By kind",
        _errors(tree["kinds"]),
        "### By source",
        _errors(tree["sources"]),
        "### By chip",
        _errors(tree["chips"]),
        "### Beside trivial models, on the same points",
        table(
            (
                "what",
                "trivial model",
                "n",
                "its median",
                "its P90",
                "within 20 %",
                "our median",
                "our P90",
                "within 20 %",
            ),
            (_floor(floor) for floor in tree["floors"]),
        ),
    ]
    if low:
        rows = ((item["ladder"].replace("|", ", "), str(item["count"]), f"{item['tau']:+.2f}") for item in low)
        parts += ["### Order kept (Kendall's tau)", table(("ladder", "n", "tau"), rows)]
    if tree["orders"]:
        names = ("faster chip", "than", "of", "n", "order kept", "measured", "predicted")
        parts += ["### Chips on the same work", table(names, map(_order, tree["orders"]))]
    head = ("point", "of", "measured", "predicted", "error", "where the predicted time goes")
    parts += ["### Furthest off", table(head, map(_worst, tree["worst"]))]
    return parts


def _errors(groups: Sequence[Mapping[str, Any]]) -> str:
    return table(HEAD, (_row(group) for group in groups if group["count"]))


def _row(group: Mapping[str, Any]) -> tuple[str, ...]:
    count = str(group["count"]) + (f" (+{group['refused_count']})" if group["refused_count"] else "")
    return (
        group["kind"],
        group["name"],
        count,
        share(group["median"]),
        share(group["p90"]),
        signed(group["signed_median"]),
        share(group["within_10_frac"]),
        share(group["within_20_frac"]),
        share(group["covered_frac"]),
        signed(group["worst_error"]),
        group["worst_point"] or DASH,
    )


def _floor(floor: Mapping[str, Any]) -> tuple[str, ...]:
    keys = ("median", "p90", "within_20_frac", "our_median", "our_p90", "our_within_20_frac")
    return (floor["what"], floor["name"], str(floor["count"]), *(share(floor[key]) for key in keys))


def _order(pair: Mapping[str, Any]) -> tuple[str, ...]:
    ratios = (f"× {pair['measured_ratio']:.2f}", f"× {pair['predicted_ratio']:.2f}")
    return (pair["first"], pair["second"], pair["kind"], str(pair["count"]), share(pair["kept_frac"]), *ratios)


def _worst(row: Mapping[str, Any]) -> tuple[str, ...]:
    error = row["predicted"] / row["measured"] - 1.0
    numbers = (quantity(row["measured"], row["unit"]), quantity(row["predicted"], row["unit"]))
    return (row["point"], row["what"], *numbers, signed(error), row["parts"] or DASH)


def _peers(peers: Sequence[Peer]) -> str:
    rows = ((f"[{peer.name}]({peer.url})", peer.kind, peer.figure, peer.on, peer.mark) for peer in peers)
    return table(("simulator", "of", "figure", "on", "said by"), rows)


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
