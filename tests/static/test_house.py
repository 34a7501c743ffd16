"""House rules that no linter knows: sizes, names that carry units, complete tables, light imports, one set of pins."""

import ast
import dataclasses
import importlib
import json
import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest

import superpod
from superpod.fabric.collectives import ALGORITHMS, COLLECTIVES, LOWER_BOUNDS
from superpod.fabric.structures import EVERYONE, NEIGHBOUR
from superpod.units import ALLOWED_SUFFIXES
from superpod.workload.blocks import BLOCKS

PACKAGE = Path(superpod.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
EVERY_FILE = pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
LONGEST_FUNCTION = 60
LONGEST_FILE = 700
HEAVY = {"numpy", "pydantic", "rich", "click", "torch", "matplotlib", "scipy"}

# Numbers without a unit in their name, each for a reason. A pattern that no field needs any more fails a test.
EXEMPT = {
    # Counts and degrees whose name is the field's own noun.
    "Group.*": "ranks",
    "Layout.*": "degrees of parallelism",
    "Partition.*": "degrees of parallelism",
    "Op.*": "matrix dimensions",
    "AttentionShape.*": "sequences, tokens, heads and widths",
    "ExpertShape.*": "tokens, widths and ranks",
    "Measured.*": "logarithms of seconds",
    "Grid.*": "logarithms of sizes and of seconds",
    "Reading.*": "as Grid",
    "*Fit.*_power": "exponents",
    "Parameter.*": "the unit that the parameter's name says",
    "Measurement.*": "as Op and AttentionShape: columns of a file",
    "Phase.*": "sequences, tokens and keys of a pass",
    "Decode.sequences": "sequences",
    "Prefill.sequences": "sequences",
    "ParameterShare.*": "parameters",
    "Schedule.legal": "a condition",
    "Planned.reprice": "a function of a machine",
    "StepTime.micro_batches": "micro-batches",
    "Fabric.ranks_per_*": "ranks",
    "Trained.ranks_used": "ranks",
    "Space.degrees": "degrees of parallelism",
    "Screened.*": "layouts",
    "Simulated.series": "columns whose names carry their unit, as its docstring says",
    "Deployment.*_instances": "instances",
    "Facility.pue": "a ratio whose name is a standard's (ISO/IEC 30134-2)",
    "Lognormal.sigma": "spread of a logarithm",
    "Running.gap_squares": "square seconds",
    # Every field of the class has the unit that the class states.
    "Pass.*": "seconds",
    "Part.*": "seconds",
    # The unit stands in a field beside it, or in the path that the number is filed under.
    "Fact.*": "unit of the path",
    "Estimate.*": "unit of the path",
    "Limit.*": "unit beside it",
    "Claim.claimed": "unit beside it",
    "Finding.*": "unit of the claim",
    "Metric.*": "unit beside it",
    "Verdict.*": "unit beside it",
    "PodAnswer.*": "the unit of its verdict",
    "Candidate.value": "unit of the headline",
    "*.band": "unit of the headline",
    "Ranged.*": "unit of the path",
    "Bar.*": "unit of the headline",
    "Spread.p*": "unit of the headline",
    "SelfCheck.*": "what it says",
    # Published numbers in whatever unit their source prints, and what is said of their errors.
    "Point.*": "unit beside it",
    "Prediction.*": "unit beside it",
    "Summary.*": "shares of the measured number",
    "Floor.*": "shares of the measured number",
    "Excess.*": "shares of the measured number",
    "Ranking.tau": "a coefficient",
    "Place.cards": "a count",
    "Row.per_card": "a count",
    "Run.c*": "a count",
    "Sensitivity.elasticity": "a ratio of relative changes",
    # Tokens a second by what they are divided by.
    "*.tokens_per_s_rank": "tokens/s",
    "Contender.*per_*": "tokens/s",
    "Contender.system_efficiency": "a ratio",
}


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Yield every function of a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def body_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Return the lines of a function's body, its docstring not counted."""
    body = node.body[1:] if ast.get_docstring(node) is not None else node.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


@EVERY_FILE
def test_files_and_functions_stay_small(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= LONGEST_FILE
    long = {node.name: body_lines(node) for node in functions(ast.parse(text)) if body_lines(node) > LONGEST_FUNCTION}
    assert not long


@EVERY_FILE
def test_no_assert_guards_the_program(path: Path) -> None:
    """`python -O` drops asserts; bad input ends in an error of `superpod.errors`."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert not [node.lineno for node in ast.walk(tree) if isinstance(node, ast.Assert)]


def test_the_package_imports_nothing_heavy() -> None:
    code = "import json, sys, superpod; print(json.dumps(sorted({name.split('.')[0] for name in sys.modules})))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert not HEAVY & set(json.loads(loaded))


def record_fields() -> list[tuple[str, str]]:
    """Return (Class.field, field) of every number in a public dataclass; display code may use any unit."""
    found: list[tuple[str, str]] = []
    for module_info in pkgutil.walk_packages(superpod.__path__, "superpod."):
        if module_info.name.startswith("superpod.cli") or module_info.name.endswith("__main__"):
            continue
        module = importlib.import_module(module_info.name)
        for cls in vars(module).values():
            own = isinstance(cls, type) and cls.__module__ == module.__name__ and dataclasses.is_dataclass(cls)
            if own and not cls.__name__.startswith("_"):
                found += [
                    (f"{cls.__name__}.{item.name}", item.name) for item in dataclasses.fields(cls) if is_number(item)
                ]
    return found


def is_number(item: dataclasses.Field[object]) -> bool:
    """Return whether a field holds floats: bare, optional, in a column or a pair; a table's keys name its own."""
    kind = str(item.type)
    return ("float" in kind or "Num" in kind) and "Mapping" not in kind


def bare(name: str) -> bool:
    """Return whether a name ends with no unit."""
    return not f"_{name}".endswith(ALLOWED_SUFFIXES)


def test_numbers_carry_their_unit_in_their_name() -> None:
    unnamed = [
        where
        for where, name in record_fields()
        if bare(name) and not any(fnmatch(where, pattern) for pattern in EXEMPT)
    ]
    assert not unnamed, "end the name with one of units.ALLOWED_SUFFIXES"


def test_exemptions_are_needed() -> None:
    needed = [where for where, name in record_fields() if bare(name)]
    stale = [pattern for pattern in EXEMPT if not any(fnmatch(where, pattern) for where in needed)]
    assert not stale


def modules(folder: str) -> set[str]:
    """Return the names of the modules in a subpackage."""
    return {path.stem for path in (PACKAGE / folder).glob("*.py")} - {"__init__"}


def test_every_block_has_its_row() -> None:
    assert modules("workload/blocks") == set(BLOCKS)


def test_every_collective_algorithm_has_its_row() -> None:
    shared = {"bounds", "candidates", "choice", "exchange", "expert_exchange", "levels", "step"}
    assert modules("fabric/collectives") - shared == set(ALGORITHMS)
    assert {kind for row in ALGORITHMS.values() for kind in row.kinds} == set(COLLECTIVES)
    assert COLLECTIVES.keys() == LOWER_BOUNDS.keys()


def test_every_structure_has_both_shares() -> None:
    assert NEIGHBOUR.keys() == EVERYONE.keys()


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-dev.lock"])
def test_pins_are_exact_and_name_no_place(root: Path, name: str) -> None:
    """`make lock` writes both; an address or a path would tie a machine to one index."""
    lines = (root / name).read_text(encoding="utf-8").splitlines()
    assert lines
    assert all(re.fullmatch(r"[\w.\-]+==[\w.]+( ;.*)?", line) for line in lines), "one NAME==VERSION a line"


def test_the_runtime_pins_are_among_the_development_pins(root: Path) -> None:
    runtime, development = (
        (root / name).read_text(encoding="utf-8") for name in ("requirements.lock", "requirements-dev.lock")
    )
    assert set(runtime.splitlines()) <= set(development.splitlines())
