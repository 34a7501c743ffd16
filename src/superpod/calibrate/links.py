"""A link family's efficiencies from measured collectives: fitted, checked on rows left out, written as a link file."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from superpod.calibrate.measurements import COLLECTIVES, Measurement
from superpod.catalog.calibration import LinkCalibration, Regime
from superpod.catalog.provenance import Fact
from superpod.errors import MeasurementError
from superpod.fabric.collectives import collective_time
from superpod.fabric.tiers import Fabric, Group

Floats = npt.NDArray[np.float64]
RINGS, EXCHANGES = ("all_reduce", "all_gather", "reduce_scatter"), ("all_to_all",)
# Constants of the fit, none of the world: when a residual counts as an outlier (as a log error), how firmly a
# number that no row decides stays where the relative has it, the step of a derivative, the gain that ends, tries.
SOFT, STAY, NUDGE, ENOUGH, TRIES = 0.05, 1e-3, 1e-4, 1e-3, 24


@dataclass(frozen=True, slots=True, kw_only=True)
class KindError:
    """Absolute relative errors of one collective on rows that took no part in the fit that predicts them."""

    kind: str
    rows_count: int
    median_frac: float
    p90_frac: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkFit:
    """A fitted link, the numbers that moved by path, and its errors on rows left out."""

    link: LinkCalibration
    values: Mapping[str, float]
    errors: tuple[KindError, ...]
    left_out: str

    @property
    def band_frac(self) -> float:
        """The largest P90 of all collectives."""
        return max(error.p90_frac for error in self.errors)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rows:
    kind: npt.NDArray[np.str_]
    ranks_count: Floats
    size_bytes: Floats
    time_s: Floats

    def where(self, mask: npt.NDArray[np.bool_]) -> "_Rows":
        return _Rows(
            kind=self.kind[mask],
            ranks_count=self.ranks_count[mask],
            size_bytes=self.size_bytes[mask],
            time_s=self.time_s[mask],
        )


def fit_link(measurements: Sequence[Measurement], fabric: Fabric) -> LinkFit:
    """Return the link of a one-tier fabric with the numbers that its measured collectives decide.

    Least squares of log errors, softly, so that one slow row moves nothing; numbers that no row decides stay those of
    the link that the fabric has, the relative. Errors are cross-validated: each rank count is predicted from a fit to
    the others, or every other size where there is one rank count. Raises MeasurementError where no row is a collective,
    or where a group does not fit.
    """
    rows = _columns(measurements, fabric)
    start = _start(fabric.tiers[0].link, rows)
    values = _fitted(fabric, start, rows)
    groups, left_out = _groups(rows)
    errors = np.zeros(len(rows.time_s))
    for group in np.unique(groups):
        out = groups == group
        made = _fitted(fabric, start, rows.where(~out)) if not np.all(out) else start
        errors[out] = np.abs(_predicted(fabric, made, rows.where(out)) / rows.time_s[out] - 1.0)
    found = tuple(
        KindError(
            kind=kind,
            rows_count=int(np.sum(rows.kind == kind)),
            median_frac=float(np.median(errors[rows.kind == kind])),
            p90_frac=float(np.quantile(errors[rows.kind == kind], 0.9)),
        )
        for kind in COLLECTIVES
        if np.any(rows.kind == kind)
    )
    return LinkFit(link=_moved(fabric.tiers[0].link, values), values=values, errors=found, left_out=left_out)


def link_toml(fit: LinkFit, link_id: str, *, name: str, version: str, measured_on: str) -> str:
    """Return a link file: fitted numbers with their error, the others as the relative has them, named as borrowed."""
    link = fit.link
    error = "; ".join(
        f"{row.kind} {row.rows_count} rows, median {row.median_frac:.1%}, P90 {row.p90_frac:.1%}" for row in fit.errors
    )
    note = f"fitted to collectives of {measured_on}; {fit.left_out}: {error}"
    facts = {path: _borrowed(fact, link.id) for path, fact in link.facts.items() if fact.value is not None}
    facts |= {path: Fact(value=value, kind="computed", note=note) for path, value in fit.values.items()}
    facts["band_frac"] = Fact(value=fit.band_frac, kind="computed", note=f"largest P90, {fit.left_out}")
    lines = ["schema = 1", f"id = {json.dumps(link_id)}", f"version = {json.dumps(version)}"]
    lines += [f"name = {_text(name)}", f"borrowed_from = {json.dumps(link.id)}"]
    lines.append(f"algorithms = {json.dumps(list(link.algorithms))}")
    sections: dict[str, list[str]] = {}
    for path, fact in facts.items():
        section, _, leaf = path.rpartition(".")
        sections.setdefault(section, []).append(f"{leaf} = {_inline(fact)}")
    lines += sections.pop("", [])
    for regime in link.regimes:
        lines += ["", "[[regimes]]", f"name = {json.dumps(regime.name)}", *sections.pop(f"regimes.{regime.name}")]
    for section, rows in sections.items():
        lines += ["", f"[{section}]", *rows]
    return "\n".join(lines) + "\n"


def _columns(measurements: Sequence[Measurement], fabric: Fabric) -> _Rows:
    """Return the collectives among measurements as columns."""
    found = [row for row in measurements if row.kind in COLLECTIVES]
    if not found:
        raise MeasurementError(
            "no row is a collective", where="measurements", hint=f"kinds are {', '.join(COLLECTIVES)}"
        )
    ranks = np.array([row.ranks or 0.0 for row in found])
    if len(fabric.tiers) > 1 or np.any(ranks > fabric.ranks_count) or np.any(ranks <= 1.0):
        raise MeasurementError(
            f"found groups of {ranks.min():g} to {ranks.max():g} ranks, expected 2 to {fabric.ranks_count:g}",
            where="measurements",
            hint="collectives inside one scale-up tier can be fitted, on a pod that holds them",
        )
    return _Rows(
        kind=np.array([row.kind for row in found]),
        ranks_count=ranks,
        size_bytes=np.array([row.bytes or 0.0 for row in found]),
        time_s=np.array([row.time_s for row in found]),
    )


def _groups(rows: _Rows) -> tuple[Floats, str]:
    """Return what is left out together, and its name."""
    if len(np.unique(rows.ranks_count)) > 1:
        return rows.ranks_count, "each rank count left out in turn"
    sizes, place = np.unique(rows.size_bytes, return_inverse=True)
    return np.asarray(place % min(2, len(sizes)), dtype=np.float64), "every other size left out"


def _start(link: LinkCalibration, rows: _Rows) -> dict[str, float]:
    """Return the numbers that measured kinds can move, as the relative has them."""
    start: dict[str, float] = {}
    if np.any(np.isin(rows.kind, RINGS)):
        for regime in link.regimes:
            start |= {f"regimes.{regime.name}.base_s": regime.base_s, f"regimes.{regime.name}.step_s": regime.step_s}
        start["efficiency_frac"] = link.efficiency_frac
    if link.in_network is not None and "all_reduce" in rows.kind:
        start |= {"in_network.base_s": link.in_network.base_s, "in_network.rate_frac": link.in_network.rate_frac}
    if np.any(np.isin(rows.kind, EXCHANGES)):
        ways = {"exchange": link.exchange, **{f"exchanges.{name}": way for name, way in link.exchanges.items()}}
        for path, way in ways.items():
            start |= {f"{path}.base_s": way.base_s, f"{path}.everyone_frac": way.everyone_frac}
            if way.pair_frac < way.everyone_frac:
                start[f"{path}.pair_frac"] = way.pair_frac
    return {path: value for path, value in start.items() if value > 0.0}


def _fitted(fabric: Fabric, start: Mapping[str, float], rows: _Rows) -> dict[str, float]:
    """Return the numbers of least soft squares of log errors (Levenberg 1944, doi:10.1090/qam/10666)."""
    first = np.array(list(start.values()))

    def values(x: Floats) -> dict[str, float]:
        return dict(zip(start, (np.exp(x) * first).tolist(), strict=True))

    def residual(x: Floats) -> Floats:
        return np.log(_predicted(fabric, values(x), rows) / rows.time_s)

    def loss(r: Floats, x: Floats) -> float:
        return float(np.sum(np.sqrt(1.0 + (r / SOFT) ** 2) - 1.0) + STAY / SOFT**2 * np.sum(x**2))

    x = np.zeros(len(first))
    damping = 1.0
    off = residual(x)
    for _ in range(TRIES):
        slope = np.array([(residual(x + NUDGE * axis) - off) / NUDGE for axis in np.eye(len(x))]).T
        weight = 1.0 / np.sqrt(1.0 + (off / SOFT) ** 2)
        normal = slope.T @ (weight[:, None] * slope) + (2.0 * STAY + damping * NUDGE) * np.eye(len(x))
        normal += damping * np.diag(np.diag(normal))
        tried = x - np.linalg.solve(normal, slope.T @ (weight * off) + 2.0 * STAY * x)
        moved = residual(tried)
        gained = loss(off, x) - loss(moved, tried)
        if gained > 0.0:
            x, off, damping = tried, moved, damping / 4.0
        else:
            damping = damping * 4.0
        if abs(gained) < ENOUGH * loss(off, x):
            break
    return {path: _kept(path, value) for path, value in values(x).items()}


def _kept(path: str, value: float) -> float:
    """Return a share as at most 1."""
    return min(value, 1.0) if path.endswith("_frac") else value


def _predicted(fabric: Fabric, values: Mapping[str, float], rows: _Rows) -> Floats:
    tier = fabric.tiers[0]
    made = replace(fabric, tiers=(replace(tier, link=_moved(tier.link, values)),))
    spent = np.zeros(len(rows.time_s))
    for kind in np.unique(rows.kind):
        mask = rows.kind == kind
        spent[mask] = collective_time(str(kind), made, Group(size=rows.ranks_count[mask]), rows.size_bytes[mask])
    return spent


def _moved(link: LinkCalibration, values: Mapping[str, float]) -> LinkCalibration:
    """Return a link with numbers of `regimes.<name>`, `exchange`, `exchanges.<name>`, `in_network` and its own."""
    for path, number in values.items():
        section, _, leaf = path.rpartition(".")
        part, _, name = section.partition(".")
        value = {leaf: _kept(path, number)}
        if part == "regimes":
            link = replace(link, regimes=tuple(_regime(row, name, leaf, value[leaf]) for row in link.regimes))
        elif part == "exchanges":
            link = replace(link, exchanges={**link.exchanges, name: replace(link.exchanges[name], **value)})
        elif part == "exchange":
            link = replace(link, exchange=replace(link.exchange, **value))
        elif part == "in_network" and link.in_network is not None:
            link = replace(link, in_network=replace(link.in_network, **value))
        elif leaf == "efficiency_frac":
            link = replace(link, efficiency_frac=value[leaf])
    return link


def _regime(row: Regime, name: str, leaf: str, value: float) -> Regime:
    if row.name != name:
        return row
    return replace(row, base_s=value) if leaf == "base_s" else replace(row, step_s=value)


def _borrowed(fact: Fact, link_id: str) -> Fact:
    return (
        fact if fact.note.startswith("borrowed from") else replace(fact, note=f"borrowed from {link_id}: {fact.note}")
    )


def _inline(fact: Fact) -> str:
    """Return a fact as an inline table."""
    cells = [f"value = {fact.value!r}"]
    cells += [f"{key} = {edge!r}" for key, edge in (("low", fact.low), ("high", fact.high)) if edge is not None]
    cells += [f"kind = {json.dumps(fact.kind)}"]
    cells += [f"source = {json.dumps(fact.source)}"] if fact.source else []
    return "{ " + ", ".join([*cells, f"note = {_text(fact.note)}"]) + " }"


def _text(words: str) -> str:
    """Return a TOML basic string, whose escapes are JSON's."""
    return json.dumps(words, ensure_ascii=False)
