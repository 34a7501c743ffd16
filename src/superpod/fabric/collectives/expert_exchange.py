"""How many bytes a rank sends to experts: copies a token, after de-duplication and under limited routing."""

from dataclasses import dataclass

import numpy as np

from superpod.result import Num


@dataclass(frozen=True, slots=True, kw_only=True)
class Routing:
    """k experts a token at random, in at most `groups_limit_count` of `groups_count` groups of experts (1: no limit).

    Groups of experts lie on whole parts of the ranks, in order.
    """

    top_k_count: float
    groups_count: float = 1.0
    groups_limit_count: float = 1.0

    def parts_touched(self, parts: Num) -> Num:
        """Return how many of `parts` equal parts of the ranks a token's experts lie in, on average.

        D (1 - (1 - 1/D)^k) for k independent choices among D parts (occupancy; DeepSeek-V3, arXiv 2412.19437, section
        3.2.2, sends one copy to each); limited routing leaves D times the share of groups that it may use, and at
        least as many parts as groups it chooses where there are as many.
        """
        open_parts = parts
        if self.groups_count > 1.0:
            each = np.maximum(parts / self.groups_count, 1.0)
            open_parts = np.minimum(parts, self.groups_limit_count * each)
        return open_parts * (1.0 - (1.0 - 1.0 / np.maximum(open_parts, 1.0)) ** self.top_k_count)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """Bytes that a rank sends to everyone, itself included: within its pod, and over the scale-out network."""

    inside_bytes: Num
    outside_bytes: Num


def sent(
    routing: Routing, tokens: Num, token_bytes: Num, ranks: Num, pods: Num, *, deduplicated: bool, fullest: Num = 1.0
) -> Sent:
    """Return the bytes of `tokens` for experts over `ranks` in `pods`, `fullest` times as many for the fullest rank.

    Straight: each of the k copies goes to its expert, tokens x k x bytes. De-duplicated: one copy for each rank that
    holds one of the token's experts, and one for each pod over the scale-out network, where a forwarder multiplies it.
    Both count a share 1/n for the sender itself, as an all-to-all of n does.
    """
    whole = tokens * token_bytes * fullest
    if not deduplicated:
        return Sent(inside_bytes=whole * routing.top_k_count, outside_bytes=whole * routing.top_k_count)
    return Sent(inside_bytes=whole * routing.parts_touched(ranks), outside_bytes=whole * routing.parts_touched(pods))
