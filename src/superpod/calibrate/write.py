"""A calibration file of the catalogue's format: fitted numbers with their errors, the rest borrowed by name."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from superpod.calibrate.fit import CURVES, Fitted
from superpod.calibrate.toml_text import borrowed_note, quoted, value_text
from superpod.units import significant

Tree = Mapping[str, Any]
TABLES = ("attention", "latent_attention", "training_attention", "decode", "latent_decode")
KEYED = ("gemm", "experts", "narrow_decode", "earlier_attention")  # by number format, engine or generation
SCALARS = ("backward_peak_frac", "memory_frac", "softmax_memory_frac", "kernel_s", "chip_spread_frac")
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

    No lender: the base is the file's own last edition, which keeps its words. A lender of the file's own name is an
    edition that this one replaces. `ranges` says by curve between which sizes its rows lie.
    """
    whose = f"{lender} {base['version']}" if lender else ""
    tables = [f"[{key}]\n{_table(key, fitted, provenance, base, whose, ranges)}" for key in _keys(fitted, base)]
    lines = [
        "schema = 1",
        f"id = {quoted(name)}",
        f"version = {quoted(version)}",
        f"name = {quoted(title)}",
        *([f"borrowed_from = {quoted(lender)}"] if lender not in {"", name} else []),
        f"note = {quoted(note)}",
        *_scalars(fitted, provenance, base, whose),
        _band(fitted, base, whose),
    ]
    return "\n".join(lines) + "\n\n" + "\n".join(tables)


def band_frac(fitted: Sequence[Fitted]) -> float:
    """Return by what share nine in ten held-out rows of all curves are off at most, up or down: e^P90 - 1.

    P90 is that of |log(predicted / measured)|; readers take a band as log(1 + band).
    """
    logs = np.concatenate([np.abs(np.log1p(fit.errors_frac)) for fit in fitted])
    return float(np.expm1(np.quantile(logs, 0.9)))


def _band(fitted: Mapping[str, Fitted], base: Tree, whose: str) -> str:
    """Return the band; never below the lender's, whose numbers answer for what no curve was fitted to."""
    own, lent = band_frac(list(fitted.values())), float(base["band_frac"]["value"]) if whose else 0.0
    note = "e^P90 - 1 of the log error of all fits on held-out shapes"
    if lent > own:
        note = f"that of {whose}, from which the rest is borrowed; of the own fits on held-out shapes: {own:.2g}"
    return f'band_frac = {{ value = {significant(max(own, lent), 2)}, kind = "computed", note = {quoted(note)} }}'


def _keys(fitted: Mapping[str, Fitted], base: Tree) -> list[str]:
    """Return the tables of the file in order: products and experts by format, decode by engine, attention."""
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
    """Return the file's bare facts: of elementwise kernels and softmax where measured, else the base's."""
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
    return [f"{name} = {found.get(name) or _borrowed(base[name], whose)}" for name in SCALARS if name in base]


def _fact(value: float, provenance: Provenance, note: str) -> str:
    fact: dict[str, Any] = {"value": float(f"{value:.{DIGITS}g}"), "kind": provenance.kind}
    if provenance.source:
        fact["source"] = provenance.source
    return value_text({**fact, "note": note})


def _borrowed(fact: Mapping[str, Any], whose: str) -> str:
    """Return a fact of the base as an inline table, its note saying whose it is."""
    return value_text({**fact, "note": borrowed_note(str(fact.get("note", "")), whose)})
