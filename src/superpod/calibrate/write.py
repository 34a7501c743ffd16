"""A calibration file of the catalogue's format: fitted numbers with their errors, the rest borrowed by name."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from superpod.calibrate.fit import CURVES, Fitted
from superpod.units import significant

Tree = Mapping[str, Any]
TABLES = ("attention", "latent_attention", "training_attention", "decode", "latent_decode")
KEYED = ("gemm", "experts", "narrow_decode")  # by number format; the last by engine
SCALARS = ("backward_peak_frac", "memory_frac", "softmax_memory_frac", "kernel_s")
DIGITS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Where fitted numbers come from: a fact's kind, source and the words that begin its note."""

    kind: str
    source: str
    words: str


def calibration_text(
    *,
    name: str,
    title: str,
    version: str,
    note: str,
    fitted: Mapping[str, Fitted],
    provenance: Provenance,
    base: Tree,
    lender: str,
    ranges: Mapping[str, str],
) -> str:
    """Return the TOML text of a calibration; what no curve was fitted to is the base's, and its note says the lender.

    No lender: the base is the file's own last edition, which keeps its words.
    `ranges` says by curve between which sizes its rows lie.
    """
    tables = [f"[{key}]\n{_table(key, fitted, provenance, base, lender, ranges)}" for key in _keys(fitted, base)]
    whole = {key.partition(".")[0] for key in fitted}
    missing = [key for key in (*TABLES, "elementwise") if key not in whole]
    lines = [
        "schema = 1",
        f'id = "{name}"',
        f'version = "{version}"',
        f'name = "{title}"',
        *([f'borrowed_from = "{lender}"'] if lender and (missing or not whole & set(KEYED)) else []),
        f"note = {_quoted(note)}",
        *_scalars(fitted, provenance, base, lender),
    ]
    return "\n".join(lines) + "\n\n" + "\n".join(tables)


def log_p90(fitted: Sequence[Fitted]) -> float:
    """Return the P90 of |log(predicted / measured)| over the held-out rows of all curves."""
    logs = np.concatenate([np.abs(np.log1p(fit.errors_frac)) for fit in fitted])
    return float(np.quantile(logs, 0.9))


def _keys(fitted: Mapping[str, Fitted], base: Tree) -> list[str]:
    """Return the tables of the file in order: products and experts by format, decode by engine, then attention."""
    keys = [f"{kind}.{key}" for kind in KEYED for key in base.get(kind, {})]
    keys += [key for key in fitted if key.partition(".")[0] in KEYED and key not in keys]
    return [*sorted(keys, key=lambda key: KEYED.index(key.partition(".")[0])), *TABLES]


def _table(
    key: str, fitted: Mapping[str, Fitted], provenance: Provenance, base: Tree, whose: str, ranges: Mapping[str, str]
) -> str:
    """Return the lines of one curve's numbers."""
    kind, _, part = key.partition(".")
    if key not in fitted:
        old = base[kind][part] if part else base[kind]
        return "".join(f"{name} = {_borrowed(fact, whose)}\n" for name, fact in old.items())
    fit = fitted[key]
    words = f"{provenance.words}: {summary(fit)}"
    if ranges.get(key):
        words += f"; {ranges[key]}"
    lines = []
    for place, parameter in enumerate(CURVES[kind].parameters):
        said = words if place == 0 else "same fit"
        lines.append(f"{parameter.name} = {_fact(fit.values[parameter.name], provenance, said)}\n")
    return "".join(lines)


def summary(fit: Fitted) -> str:
    """Return what a fit stands on and how well it does on shapes that it was not fitted to."""
    refused = f", {fit.refused_count} refused as below the roofline or 1 us" if fit.refused_count else ""
    return (
        f"{fit.rows_count} rows{refused}; held out by {fit.families_count} shape families in {fit.folds_count} folds: "
        f"median error {fit.median_frac:.1%}, P90 {fit.p90_frac:.1%}".replace("%", " %")
    )


def _scalars(fitted: Mapping[str, Fitted], provenance: Provenance, base: Tree, whose: str) -> list[str]:
    """Return the file's bare facts: of elementwise kernels and softmax where measured, else the base's; the band."""
    found: dict[str, str] = {}
    moved = fitted.get("elementwise")
    if moved is not None:
        words = f"{provenance.words}: {summary(moved)}"
        found["memory_frac"] = _fact(moved.values["memory_frac"], provenance, words)
        found["kernel_s"] = _fact(moved.values["kernel_s"], provenance, "same fit: a kernel before it does any work")
    soft = fitted.get("softmax")
    if soft is not None:
        found["softmax_memory_frac"] = _fact(
            soft.values["memory_frac"], provenance, f"{provenance.words}: {summary(soft)}"
        )
    lines = [f"{name} = {found.get(name) or _borrowed(base[name], whose)}" for name in SCALARS]
    band = log_p90(list(fitted.values()))
    lines.append(
        f'band_frac = {{ value = {significant(band, 2)}, kind = "computed", '
        f'note = "P90 of the log error of all fits on held-out shapes" }}'
    )
    return lines


def _fact(value: float, provenance: Provenance, note: str) -> str:
    source = f', source = "{provenance.source}"' if provenance.source else ""
    return f'{{ value = {float(f"{value:.{DIGITS}g}"):g}, kind = "{provenance.kind}"{source}, note = {_quoted(note)} }}'


def _borrowed(fact: Mapping[str, Any], whose: str) -> str:
    """Return a fact of the base as an inline table, its note saying whose it is."""
    note = str(fact.get("note", ""))
    said = note
    if whose and not note.startswith("borrowed from"):
        said = f"borrowed from {whose}: {note}" if note else f"borrowed from {whose}"
    items = {**fact, "note": said}.items()
    return "{ " + ", ".join(f"{k} = {_quoted(v) if isinstance(v, str) else f'{v:g}'}" for k, v in items) + " }"


def _quoted(text: str) -> str:
    """Return a TOML basic string."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")
    return f'"{escaped}"'
