"""What a framework's configuration says, in the terms of a layout."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from superpod.catalog.model_spec import ModelSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """The layout that a file fixes, its batch, number format and model, and what of it has no counterpart here.

    `fixed` names fields of `Layout`. None stands for what the file does not say. `cards_count` is the processes that
    the file starts, one a rank. `model` is None where shapes are missing, and `missing` names them; `model_id` is a
    catalogue entry where the file names its model instead. `unread` lists settings that change speed or memory and
    are not represented, each with how it is read; `ignored_count` counts the settings that are of no concern here
    (learning rates, paths, logs).
    """

    framework: str
    where: str = ""
    fixed: Mapping[str, float | str] = field(default_factory=dict)
    batch_sequences: int | None = None
    sequence_tokens: int | None = None
    mtp_layers: int | None = None
    precision: str | None = None
    model: ModelSpec | None = None
    model_id: str = ""
    missing: tuple[str, ...] = ()
    cards_count: int | None = None
    unread: tuple[str, ...] = ()
    ignored_count: int = 0
