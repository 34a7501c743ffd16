"""One file per pipeline schedule; a row of SCHEDULES makes it known."""

from superpod.train.schedules.dual_pipe import DUAL_PIPE
from superpod.train.schedules.dual_pipe_v import DUAL_PIPE_V
from superpod.train.schedules.gpipe import GPIPE
from superpod.train.schedules.one_forward_one_backward import ONE_FORWARD_ONE_BACKWARD
from superpod.train.schedules.schedule import Schedule
from superpod.train.schedules.zb_h1 import ZB_H1
from superpod.train.schedules.zb_h2 import ZB_H2
from superpod.train.schedules.zb_v import ZB_V

__all__ = ["SCHEDULES", "Schedule"]

SCHEDULES: dict[str, Schedule] = {
    item.name: item for item in (GPIPE, ONE_FORWARD_ONE_BACKWARD, ZB_H1, ZB_H2, ZB_V, DUAL_PIPE, DUAL_PIPE_V)
}
