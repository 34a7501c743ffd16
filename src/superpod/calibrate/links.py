"""A link family's efficiencies from measured collectives: fitted, checked on rows left out, written as a link file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from superpod.calibrate.measurements import COLLECTIVES, Measurement
from superpod.calibrate.toml_text import borrowed_note, quoted, value_text
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
    """Absolute relative errors of one collective on rows that took no part in the fit that predicts them.

    `band_frac` is e^P90 - 1 of |log(predicted / measured)|, as readers take a band.
    """

    kind: str
    rows_count: int
    median_frac: float
    p90_frac: float
    band_frac: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkFit:
    """A fitted link, the numbers that moved by path, and its errors on rows left out."""

    link: LinkCalibration
    values: Mapping[str, float]
    errors: tuple[KindError, ...]
    left_out: str

    @property
    def band_frac(self) -> float:
        """The largest band of all collectives."""
        return max(error.band_frac for error in self.errors)


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
    """Return the link of a fabric's innermost tier with the numbers that its measured collectives decide.

    Least squares of log errors, softly, so that one slow row moves nothing; numbers that no row decides stay those of
    the link that the fabric has, the relative. Errors are cross-validated: each rank count is predicted from a fit to
    the others, or every other size where there is one rank count. Raises MeasurementError where no row is a collective,
    or where a group does not fit.
    """
    inside = fabric.tiers[0].ranks_count
    fabric = replace(fabric, tiers=fabric.tiers[:1], ranks_per_pod=inside, pods_count=1.0, hosts=None)
    rows = _columns(measurements, fabric)
    start = _start(fabric.tiers[0].link, rows)
    values = _fitted(fabric, start, rows)
    groups, left_out = _groups(rows)
    errors = np.zeros(len(rows.time_s))
    for group in np.unique(groups):
        out = groups == group
        made = _fitted(fabric, start, rows.where(~out)) if not np.all(out) else start
        errors[out] = _predicted(fabric, made, rows.where(out)) / rows.time_s[out] - 1.0
    found = tuple(_error(kind, errors[rows.kind == kind]) for kind in COLLECTIVES if np.any(rows.kind == kind))
    return LinkFit(link=_moved(fabric.tiers[0].link, values), values=values, errors=found, left_out=left_out)


def _error(kind: str, errors: Floats) -> KindError:
    sizes = np.abs(errors)
    return KindError(
        kind=kind,
        rows_count=len(errors),
        median_frac=float(np.median(sizes)),
        p90_frac=float(np.quantile(sizes, 0.9)),
        band_frac=float(np.expm1(np.quantile(np.abs(np.log1p(errors)), 0.9))),
    )


def link_toml(fit: LinkFit, link_id: str, *, name: str, version: str, measured_on: str) -> str:
    """Return a link file: fitted numbers with their error, the others as the relative has them, named as borrowed.

    A relative of the same id is an edition that this one replaces.
    """
    link = fit.link
    error = "; ".join(
        f"{row.kind} {row.rows_count} rows, median {row.median_frac:.1%}, P90 {row.p90_frac:.1%}" for row in fit.errors
    )
    note = f"fitted to collectives of {measured_on}; {fit.left_out}: {error}"
    whose = f"{link.id} {link.version}"
    facts = {path: _lent(fact, whose) for path, fact in link.facts.items() if fact.value is not None}
    facts |= {path: {"value": value, "kind": "computed", "note": note} for path, value in fit.values.items()}
    told = f"largest e^P90 - 1 of the log errors, {fit.left_out}"
    facts["band_frac"] = {"value": fit.band_frac, "kind": "computed", "note": told}
    lines = ["schema = 1", f"id = {quoted(link_id)}", f"version = {quoted(version)}", f"name = {quoted(name)}"]
    lines += [f"borrowed_from = {quoted(link.id)}"] if link.id != link_id else []
    lines.append(f"algorithms = {value_text(link.algorithms)}")
    sections: dict[str, list[str]] = {}
    for path, fact in facts.items():
        section, _, leaf = path.rpartition(".")
        sections.setdefault(section, []).append(f"{leaf} = {value_text(fact)}")
    lines += sections.pop("", [])
    for regime in link.regimes:
        lines += ["", "[[regimes]]", f"name = {quoted(regime.name)}", *sections.pop(f"regimes.{regime.name}")]
    for section, rows in sections.items():
        lines += ["", f"[{section}]", *rows]
    return "\n".join(lines) + "\n"


def _lent(fact: Fact, whose: str) -> dict[str, Any]:
    """Return a relative's fact as a table; what the user gave in passing has no source, so it is an assumption."""
    given = {name: getattr(fact, name) for name in ("value", "low", "high", "kind", "source", "conflict", "basis")}
    kept = {name: value for name, value in given.items() if value not in {None, ""}}
    if fact.kind not in {"computed", "assumed"} and not fact.source:
        kept["kind"] = "assumed"
    return {**kept, "note": borrowed_note(fact.note, whose)}


def _columns(measurements: Sequence[Measurement], fabric: Fabric) -> _Rows:
    """Return the collectives among measurements as columns."""
    found = [row for row in measurements if row.kind in COLLECTIVES]
    if not found:
        raise MeasurementError(
            "no row is a collective", where="measurements", hint=f"kinds are {', '.join(COLLECTIVES)}"
        )
    ranks = np.array([row.ranks or 0.0 for row in found])
    most = fabric.tiers[0].ranks_count
    if np.any(ranks > most) or np.any(ranks <= 1.0):
        raise MeasurementError(
            f"found groups of {ranks.min():g} to {ranks.max():g} ranks, expected 2 to {most:g}",
            where="measurements",
            hint="collectives inside the innermost tier of a pod can be fitted, on a pod that holds them",
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
