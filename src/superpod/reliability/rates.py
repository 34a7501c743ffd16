"""Failure rates and times as bare numbers or columns of them; see `catalog.failures.FailureBook` for the names."""

from dataclasses import dataclass, fields

from superpod.catalog.failures import FailureBook
from superpod.catalog.provenance import FactReader
from superpod.result import Num

ELSEWHERE = ("link_failure_per_s", "maintenance_frac")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """The numbers of a failure book, and two from elsewhere.

    `link_failure_per_s` is the rate at which one optical link fails; `maintenance_frac` the share of the time that the
    site stands for planned work, an operator's policy.
    """

    node_failure_per_s: Num
    node_chips_count: Num
    accelerator_frac: Num
    host_frac: Num
    network_frac: Num
    software_frac: Num
    switch_failure_per_s: Num
    shared_failure_per_s: Num
    feeds_count: Num
    cdu_cabinets_count: Num
    module_masked_frac: Num
    repair_median_s: Num
    repair_mean_s: Num
    swap_s: Num
    shared_repair_s: Num
    weekly_ratio: Num
    down_ratio: Num
    observed_nodes_count: Num
    detect_s: Num
    restart_s: Num
    elastic_restart_s: Num
    snapshot_s: Num
    coordinate_s: Num
    stall_s: Num
    storage_card_bytes_per_s: Num
    parameter_bytes: Num
    corruption_per_s: Num
    corruption_notice_s: Num
    slow_per_s: Num
    slow_s: Num
    slow_frac: Num
    planned_per_s: Num
    serving_restart_s: Num
    serving_elastic_s: Num
    exposed_frac: Num
    link_failure_per_s: Num = 0.0
    maintenance_frac: Num = 0.0

    @property
    def card_failure_per_s(self) -> Num:
        """Failures of one accelerator with its share of the server, all causes."""
        return self.node_failure_per_s / self.node_chips_count

    def cause_frac(self, cause: str) -> Num:
        """Return a cause's share of failures, the four shares made to add up to 1."""
        whole = self.accelerator_frac + self.host_frac + self.network_frac + self.software_frac
        share: Num = getattr(self, f"{cause}_frac") / whole
        return share


def read_rates(reader: FactReader, book: FailureBook, link_failure_per_s: Num = 0.0) -> Rates:
    """Return a book as bare numbers; raise MissingFactError for one that is not known."""
    names = [item.name for item in fields(Rates) if item.name not in ELSEWHERE]
    read = {name: reader.number(name, getattr(book, name)) for name in names}
    return Rates(**read, link_failure_per_s=link_failure_per_s)
