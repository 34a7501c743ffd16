"""A question about a fabric as one frozen object."""

from dataclasses import dataclass

from superpod.errors import ScenarioError

BYTES_MAX = 1e18
"""More bytes than this, an exabyte, are taken for a slip of the pen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MatrixFile:
    """A traffic matrix as it was read: the name of its file, and what is in it."""

    name: str
    content: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphFile:
    """A topology in place of a pod's own drawing: the name of its file, and its text."""

    name: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JobQuestion:
    """One collective of several at once: `ranks_count` ranks from `first` on, every `stride`-th one."""

    name: str
    kind: str
    message_bytes: float
    first: int
    ranks_count: int
    stride: int = 1
    start_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FabricQuestion:
    """A pod, or a graph, and what to run on it.

    `pod` is a name of the catalogue or the path of a TOML file. `ranks` members of the collective, every `stride`-th
    rank; all where None. `level` is a row of `fabric.transfer.LEVELS`, `routing` auto or one of `fabric.walk.MODES`.
    """

    pod: str = ""
    graph: GraphFile | None = None
    pods: int | None = None
    collective: str = ""
    message_bytes: float = 1e9
    ranks: int | None = None
    stride: int = 1
    algorithm: str = ""
    traffic: MatrixFile | None = None
    faults: tuple[str, ...] = ()
    jobs: tuple[JobQuestion, ...] = ()
    routing: str = "auto"
    seed: int = 0
    level: str = "auto"
    batch_frac: float = 1e-3


def checked_question(question: FabricQuestion) -> FabricQuestion:
    """Return a question whose parts go together; raise ScenarioError for one with a part that would go unused."""
    if question.algorithm and not question.collective and not question.jobs:
        raise ScenarioError(
            f"{question.algorithm!r} is a way to run a collective, and none is asked for",
            where="--algorithm",
            hint="add --collective NAME, or a --job",
        )
    if question.pods is not None and not question.pod:
        raise ScenarioError(
            "a graph is as large as it is drawn", where="--pods", hint="leave --pods out, or name a POD"
        )
    for where, size in (
        ("--bytes", question.message_bytes),
        *((f"--job {j.name}", j.message_bytes) for j in question.jobs),
    ):
        if not 0 < size <= BYTES_MAX:
            raise ScenarioError(f"found {size:g} bytes, expected over 0 and at most {BYTES_MAX:g}", where=where)
    return question
