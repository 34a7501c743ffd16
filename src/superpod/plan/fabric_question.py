"""A question about a fabric as one frozen object."""

from dataclasses import dataclass


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
