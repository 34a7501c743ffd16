"""One file per pipeline schedule; a row of SCHEDULES makes it known."""

from collections.abc import Callable

import numpy as np

from superpod.result import Num, Word, chosen
from superpod.train.schedules.dual_pipe import DUAL_PIPE
from superpod.train.schedules.dual_pipe_v import DUAL_PIPE_V
from superpod.train.schedules.gpipe import GPIPE
from superpod.train.schedules.one_forward_one_backward import ONE_FORWARD_ONE_BACKWARD
from superpod.train.schedules.schedule import Schedule
from superpod.train.schedules.zb_h1 import ZB_H1
from superpod.train.schedules.zb_h2 import ZB_H2
from superpod.train.schedules.zb_v import ZB_V

__all__ = ["SCHEDULES", "Schedule", "by_schedule"]

SCHEDULES: dict[str, Schedule] = {
    item.name: item for item in (GPIPE, ONE_FORWARD_ONE_BACKWARD, ZB_H1, ZB_H2, ZB_V, DUAL_PIPE, DUAL_PIPE_V)
}


def by_schedule(words: Word, formula: Callable[[Schedule], Num]) -> Num:
    """Return `formula` of the schedule that is chosen in each place; those that are chosen nowhere are not computed."""
    found: Num = 0.0
    for name, schedule in SCHEDULES.items():
        here = chosen(words, name)
        if np.any(here):
            found = np.where(here, formula(schedule), found)
    return found
