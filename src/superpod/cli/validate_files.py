"""What `superpod validate` writes beside its answer, the scorecard's page and the limits, and when it must not."""

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from superpod.cli.deliver import check_places
from superpod.errors import MeasurementError, ScenarioError

if TYPE_CHECKING:
    from superpod.validate.bands import Bands
    from superpod.validate.point import Point
    from superpod.validate.scorecard import Scorecard

PAGE, DRAWING = "scorecard.md", "scatter.svg"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What is read, and what is written beside the answer: a table, a page into `folder`, limits into `place`."""

    points: Path | None
    csv: Path | None
    folder: Path | None
    place: Path
    record: bool

    @property
    def writes(self) -> str:
        """The option that writes what the project keeps; empty without one."""
        return "--record" if self.record else "--page" if self.folder is not None else ""


def refuse_unfit(job: Job, options: Mapping[str, Any], *, filtered: bool) -> None:
    """Raise ScenarioError where limits or a page would be written from a part of the points or a changed catalogue."""
    if not job.writes:
        return
    if filtered:
        raise ScenarioError(
            "limits and the page are written from all points",
            where=job.writes,
            hint="leave out --kind, --source and --hardware",
        )
    names = {"settings": "--set", "folders": "--catalog (or SUPERPOD_CATALOG)", "estimates": "--estimates"}
    changes = [name for key, name in names.items() if options[key]]
    if changes:
        raise ScenarioError(
            "limits and the page are written from the shipped catalogue",
            where=job.writes,
            hint=f"leave out {', '.join(changes)}",
        )


def check(job: Job, html: Path | None, *, given: bool) -> None:
    """Raise SuperpodError, before anything is computed, for files that cannot be written, or limits that are missing.

    `given` is whether the user named the file of limits.
    """
    page = {f"--page's {path.name}": path for path in page_places(job)}
    check_places({"--csv": job.csv, "--html": html, **page, **({"--record": job.place} if job.record else {})})
    if given and not job.record and not job.place.is_file():
        raise ScenarioError("no such file of limits", where=f"--limits {job.place}", hint="--record writes one")


def refuse_other(job: Job, chosen: Sequence[Point], held: Bands) -> None:
    """Raise ScenarioError where the recorded full set would be replaced by another file, or by a part of itself."""
    if not job.writes or job.points is None or not held.file:
        return
    if job.points.name != held.file:
        raise ScenarioError(
            f"the full set is recorded from {held.file}, not from {job.points.name}",
            where=job.writes,
            hint="call a newer version by the same name; for another set, take [full] out of the file of limits first",
        )
    titles = {(point.kind, point.title) for point in chosen}
    lost = sorted(key for key in held.sources if not any(_is_of(key, kind, title) for kind, title in titles))
    if lost:
        raise ScenarioError(
            f"the file has no points of {'; '.join(lost)}",
            where=job.writes,
            hint="where that is meant, take their lines out of the file of limits by hand first",
        )


def _is_of(key: str, kind: str, title: str) -> bool:
    """Return whether a limit's key, `kind|title` or `kind|title: what`, is of that source."""
    return key == f"{kind}|{title}" or key.startswith(f"{kind}|{title}: ")


def digest_of(points: Path | None) -> str:
    """Return the SHA-256 of a file of points."""
    return "" if points is None else hashlib.sha256(points.read_bytes()).hexdigest()


def folder_of(page: str | None) -> Path | None:
    """Return the folder of the page; raise ScenarioError where it is none."""
    if page is None:
        return None
    if not page.strip() or not Path(page).is_dir():
        raise ScenarioError("is no folder", where=f"--page {page!r}", hint="name a folder that exists")
    return Path(page)


def page_places(job: Job) -> tuple[Path, ...]:
    """Return the files that a page consists of: of the shipped cases, or of a run over a file."""
    from superpod.cli.validate_markdown import FULL_DRAWING, FULL_SET

    if job.folder is None:
        return ()
    return tuple(job.folder / name for name in ((PAGE, DRAWING) if job.points is None else (FULL_SET, FULL_DRAWING)))


def kept_full_set(job: Job) -> Mapping[str, Any] | None:
    """Return what the folder keeps of the last run over a file, None without; raise MeasurementError for another file.

    It is read before anything is predicted, so that a broken one is said at once.
    """
    from superpod.cli.validate_markdown import FULL_SET, is_full_set

    if job.folder is None or job.points is not None or not (job.folder / FULL_SET).is_file():
        return None
    path = job.folder / FULL_SET
    again = f"superpod validate --points FILE --page {job.folder} writes it anew"
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise MeasurementError(f"cannot be read: {error}", where=str(path), hint=again) from None
    if not is_full_set(tree):
        raise MeasurementError("is not what this release keeps of a run over a file", where=str(path), hint=again)
    found: Mapping[str, Any] = tree
    return found


def beside(
    job: Job, card: Scorecard, kept: Mapping[str, Any] | None, digest: str
) -> tuple[list[tuple[Path, str]], tuple[str, ...]]:
    """Return all files of a run with their texts, and the limits among them that are wider than before, in words."""
    found: list[tuple[Path, str]] = []
    if job.csv is not None:
        from superpod.cli.validate_markdown import csv_text

        found.append((job.csv, csv_text(card.predictions)))
    if job.folder is not None:
        found += zip(page_places(job), page_texts(job, card, kept), strict=True)
    if not job.record:
        return found, ()
    text, wider = limits_anew(job, card, digest)
    return [*found, (job.place, text)], wider


def page_texts(job: Job, card: Scorecard, kept: Mapping[str, Any] | None) -> tuple[str, str]:
    """Return the scorecard's page and its drawing, or of a run over a file what the page keeps of it."""
    from superpod.cli.scatter import scatter
    from superpod.cli.validate_markdown import full_set, scorecard_markdown

    if job.points is None:
        return scorecard_markdown(card, kept), scatter(card.predictions, "Measured and predicted")
    today = datetime.datetime.now(tz=datetime.UTC).date().isoformat()
    document = full_set(card, date=today, command=f"superpod validate --points {job.points.name}")
    return document, scatter(card.predictions, "Measured and predicted, the full set")


def limits_anew(job: Job, card: Scorecard, digest: str) -> tuple[str, tuple[str, ...]]:
    """Return the file of limits with this set's written anew, and which of them are wider than before."""
    from superpod.validate.bands import FULL, SHIPPED, anew, bands_of, eased, recorded, text_of

    sets = {which: recorded(which, job.place) for which in (SHIPPED, FULL)}
    which = SHIPPED if job.points is None else FULL
    old, made = sets[which], bands_of(card.predictions, with_cases=job.points is None)
    sets[which] = anew(old, made, file="" if job.points is None else job.points.name, sha256=digest)
    return text_of(sets), eased(old, made)
