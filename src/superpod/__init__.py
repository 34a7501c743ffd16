"""superpod: what a model will do on a supernode, and whether the system beats the chip.

The public names load on first use, so that `import superpod` and the command line start without numpy.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from superpod.catalog.load import Catalogue
    from superpod.errors import SuperpodError
    from superpod.plan.claims.answer import all_claims
    from superpod.plan.compare.answer import compare
    from superpod.plan.evaluate import evaluate
    from superpod.plan.report import Report
    from superpod.plan.scenario import Scenario, Serving, Training

_HOMES = {
    "Catalogue": "superpod.catalog.load",
    "Report": "superpod.plan.report",
    "Scenario": "superpod.plan.scenario",
    "Serving": "superpod.plan.scenario",
    "SuperpodError": "superpod.errors",
    "Training": "superpod.plan.scenario",
    "all_claims": "superpod.plan.claims.answer",
    "compare": "superpod.plan.compare.answer",
    "evaluate": "superpod.plan.evaluate",
}

__all__ = [
    "Catalogue",
    "Report",
    "Scenario",
    "Serving",
    "SuperpodError",
    "Training",
    "all_claims",
    "compare",
    "evaluate",
]


def __getattr__(name: str) -> Any:
    """Load a public name from the module that defines it."""
    if name not in _HOMES:
        raise AttributeError(f"module 'superpod' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    """List the public names beside the module's own."""
    return sorted([*globals(), *__all__])
