# mypy: disable-error-code="name-defined,call-arg"
"""The event loop as machine code: the very functions that run uncompiled, so that both give the same numbers.

Needs numba. The compiled code is kept on disk, under a name that follows from all the text it was made of.
"""

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

from numba import njit

from superpod.serve.simulation import columns, pointer
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


def told(code: CodeType) -> str:
    """Return what a function does, the same in every run."""
    consts = [told(item) if isinstance(item, CodeType) else repr(item) for item in code.co_consts]
    return f"{code.co_code!r} {code.co_names} {code.co_varnames} {consts}"


def digest(modules: tuple[ModuleType, ...]) -> str:
    """Return what tells this code from any other: the functions and constants of the modules, and how they compile.

    As imported: the files may have changed since, and old code would be kept under the name of new text.
    """
    found = hashlib.sha256(Path(str(pointer.__file__)).read_bytes() + Path(__file__).read_bytes())
    for module in (*modules, columns):
        for name, item in sorted(vars(module).items()):
            if isinstance(item, FunctionType):
                found.update(f"{name} {told(item.__code__)}".encode())
            elif isinstance(item, int | float):
                found.update(f"{name} {item!r}".encode())
    return found.hexdigest()[:16]
