"""One file per pipeline schedule; a row of SCHEDULES makes it known."""

from superpod.train.schedules.gpipe import GPIPE
from superpod.train.schedules.one_forward_one_backward import ONE_FORWARD_ONE_BACKWARD
from superpod.train.schedules.schedule import Schedule

__all__ = ["SCHEDULES", "Schedule"]

SCHEDULES: dict[str, Schedule] = {
    item.name: item
    for item in (
        GPIPE,
        ONE_FORWARD_ONE_BACKWARD,
    )
}
