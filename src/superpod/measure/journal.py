"""The file that rows are written to as they come, and that a later run goes on with."""

from collections.abc import Iterable
from pathlib import Path
from typing import TextIO

from superpod.calibrate.measurements import Measurement, cells_of, check_header, format_measurements, parse_measurements
from superpod.errors import MeasurementError
from superpod.measure.case import Case, row_key

PART = ".part"


def earlier_rows(path: Path, *, killed: bool) -> tuple[Measurement, ...]:
    """Return the rows of an earlier run; a run that was killed may have left half a line, or half a header.

    Raises MeasurementError for a file that is none of measurements: it would be written over.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise MeasurementError(f"cannot be read: {error}", where=str(path), hint="name another file") from error
    if killed:
        header = format_measurements(())
        text = text[: text.rfind("\n") + 1] if "\n" in text or not header.startswith(text) else ""
    if not text.strip():
        return ()
    head, _, rest = text.partition("\n")
    check_header(next(cells_of(head.strip(), str(path)))[1], str(path))
    return parse_measurements(text, where=str(path)) if rest.strip() else ()


class Journal:
    """A CSV of measurements in the making.

    Rows go to `FILE.part`, each flushed; `finish` renames it to FILE, which until then is as it was. A run that was
    killed leaves the part, which `resume` takes up.
    """

    def __init__(self, path: Path, *, chip: str, resume: bool) -> None:
        self.path = path
        self.part = path.with_name(path.name + PART)
        kept = self._kept(resume=resume, chip=chip)
        self.done = {row_key(row) for row in kept}
        self.rows_count = len(kept)
        try:
            self.part.write_text(format_measurements(kept), encoding="utf-8", newline="")
            self._file: TextIO = self.part.open("a", encoding="utf-8", newline="")
        except OSError as error:
            raise MeasurementError(f"cannot be written: {error}", where=str(self.part)) from error

    def _kept(self, *, resume: bool, chip: str) -> tuple[Measurement, ...]:
        """Return the rows of an earlier run; MeasurementError where there are some and nobody said to go on."""
        found = next((place for place in (self.part, self.path) if place.exists()), None)
        if found is None:
            return ()
        if not resume:
            raise MeasurementError(
                "exists already", where=str(found), hint="--resume adds what it lacks; or name another file"
            )
        rows = earlier_rows(found, killed=found == self.part)
        others = sorted({row.chip for row in rows} - {chip})
        if others:
            raise MeasurementError(
                f"holds measurements of {', '.join(map(repr, others))}, this is {chip!r}",
                where=str(found),
                hint="a file a machine; --chip NAME renames this one",
            )
        return rows

    def missing(self, chosen: Iterable[Case]) -> tuple[Case, ...]:
        """Return the cases that the file does not have yet."""
        return tuple(case for case in chosen if case.key() not in self.done)

    def add(self, row: Measurement) -> None:
        """Write a row, at once."""
        self._file.write(format_measurements((row,)).partition("\n")[2])
        self._file.flush()
        self.done.add(row_key(row))
        self.rows_count += 1

    def finish(self) -> None:
        """Close the file and give it its name; a file without rows goes away."""
        self._file.close()
        if self.rows_count:
            self.part.replace(self.path)
        else:
            self.part.unlink()
