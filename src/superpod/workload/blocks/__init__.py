"""One file per architecture block; a row here makes it known."""

from collections.abc import Callable
from typing import Any

from superpod.result import Num
from superpod.workload.blocks import dense, gqa, linear, mla, moe
from superpod.workload.op import Op

BLOCKS: dict[str, Callable[..., tuple[Op, ...]]] = {
    "gqa": gqa.operators,
    "mla": mla.operators,
    "linear": linear.operators,
    "dense": dense.operators,
    "moe": moe.operators,
}

KV_BYTES_PER_TOKEN: dict[str, Callable[[Any, Any, Any], Num]] = {
    "gqa": gqa.kv_bytes_per_token,
    "mla": mla.kv_bytes_per_token,
    "linear": linear.kv_bytes_per_token,
}
