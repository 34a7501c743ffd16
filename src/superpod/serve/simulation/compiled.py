# mypy: disable-error-code="name-defined,call-arg"
"""The event loop as machine code: the very functions that run uncompiled, so that both give the same numbers.

Needs numba. The compiled code is kept on disk, under a name that follows from all the text it was made of.
"""

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from numba import njit

from superpod.serve.simulation.pointer import pointer_to


@cache
def compiled(modules: tuple[ModuleType, ...], name: str) -> Callable[..., Any]:
    """Return function `name` of (world, costs of both pools, piece, final) compiled, with all that it calls.

    Nothing makes columns, so none are counted; only the function that is returned is called from Python.
    """
    space: dict[str, Any] = {"pointer_to": pointer_to}
    for module in modules:
        space.update({key: item for key, item in vars(module).items() if not isinstance(item, FunctionType)})
    wrap: Any = njit(_nrt=False, no_cpython_wrapper=True, no_cfunc_wrapper=True)  # type: ignore[call-overload]
    for module in modules:
        for key, item in vars(module).items():
            if isinstance(item, FunctionType) and item.__module__ == module.__name__:
                space[key] = wrap(FunctionType(item.__code__, space, key, item.__defaults__))
    space["whole"] = space[name]
    begin = FunctionType(_begin.__code__, space, name)
    begin.__qualname__ = f"{name}_{digest(modules)}"  # the file that the compiled code is kept in
    found: Callable[..., Any] = njit(cache=True, _nrt=False)(begin)  # type: ignore[call-overload]
    return found


def _begin(w: Any, reads: Any, decodes: Any, piece: Any, final: bool) -> Any:
    return whole(pointer_to(w), pointer_to(reads), pointer_to(decodes), pointer_to(piece), final)  # noqa: F821


def digest(modules: tuple[ModuleType, ...]) -> str:
    """Return what tells these texts from any others: the modules, and all beside this one, whose constants they use."""
    files = {Path(str(module.__file__)) for module in modules} | set(Path(__file__).parent.glob("*.py"))
    text = b"".join(path.read_bytes() for path in sorted(files))
    return hashlib.sha256(text).hexdigest()[:16]
