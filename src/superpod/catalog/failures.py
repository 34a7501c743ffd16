"""What is known of failures: how often parts fail, how long repairs and restarts take, and how failures cluster."""

from collections.abc import Mapping
from dataclasses import field

from superpod.catalog.provenance import Fact
from superpod.catalog.record import record


@record
class FailureBook:
    """Rates and times of a fleet, as bare SI numbers; `facts` says who measured each.

    `node_failure_per_s` is that of a server of `node_chips_count` accelerators, and the four shares are its causes.
    `weekly_ratio` and `down_ratio` are variance over mean of failures a week and of servers down at once, on
    `observed_nodes_count` servers; 1 would be independence. Repairs have the median and mean of a log-normal. Storage
    writes `storage_card_bytes_per_s` for each accelerator of a site. A server turns slow at `slow_per_s`, for `slow_s`,
    and takes `slow_frac` of the whole job's speed meanwhile. A job is interrupted on purpose at `planned_per_s`.
    """

    id: str
    version: str
    name: str
    node_failure_per_s: float | None
    node_chips_count: float | None
    accelerator_frac: float | None
    host_frac: float | None
    network_frac: float | None
    software_frac: float | None
    switch_failure_per_s: float | None
    shared_failure_per_s: float | None
    feeds_count: float | None
    cdu_cabinets_count: float | None
    module_masked_frac: float | None
    repair_median_s: float | None
    repair_mean_s: float | None
    swap_s: float | None
    shared_repair_s: float | None
    weekly_ratio: float | None
    down_ratio: float | None
    observed_nodes_count: float | None
    detect_s: float | None
    restart_s: float | None
    elastic_restart_s: float | None
    snapshot_s: float | None
    coordinate_s: float | None
    stall_s: float | None
    storage_card_bytes_per_s: float | None
    parameter_bytes: float | None
    corruption_per_s: float | None
    corruption_notice_s: float | None
    slow_per_s: float | None
    slow_s: float | None
    slow_frac: float | None
    planned_per_s: float | None
    serving_restart_s: float | None
    serving_elastic_s: float | None
    exposed_frac: float | None
    aliases: tuple[str, ...] = ()
    note: str = ""
    facts: Mapping[str, Fact] = field(default_factory=dict, repr=False, compare=False)
