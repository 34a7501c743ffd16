# mypy: disable-error-code="no-untyped-call,untyped-decorator,override,misc"
"""Columns handed to compiled functions as one pointer, not as hundreds of numbers: a call costs what a call should.

numba hands over a named tuple by value, array by array; with some fifty columns most of the time goes into copying, and
compiling takes minutes. A pointer has the same fields, so that the text of the functions is the same.
"""

from typing import Any

from numba.core import cgutils, types
from numba.core.datamodel import models
from numba.core.imputils import impl_ret_borrowed, lower_getattr_generic
from numba.core.typing.templates import AttributeTemplate, infer_getattr
from numba.extending import intrinsic, register_model


class Pointer(types.Type):
    """Where a named tuple lies; a named tuple within it is a pointer too."""

    def __init__(self, held: Any) -> None:
        self.held = held
        super().__init__(name=f"Pointer({held})")

    def field(self, name: str) -> Any:
        """Return the type of a field."""
        found = self.held.types[self.held.fields.index(name)]
        return Pointer(found) if isinstance(found, types.BaseNamedTuple) else found


register_model(Pointer)(models.OpaqueModel)


@infer_getattr
class PointerFields(AttributeTemplate):
    """The types of its fields."""

    key = Pointer

    def generic_resolve(self, typ: Pointer, attr: str) -> Any:
        """Return the type of a field, None where there is none."""
        return typ.field(attr) if attr in typ.held.fields else None


@lower_getattr_generic(Pointer)
def load_field(context: Any, builder: Any, typ: Pointer, value: Any, attr: str) -> Any:
    """Return the value of a field, or the pointer to it."""
    place = builder.bitcast(value, context.get_value_type(typ.held).as_pointer())
    found = cgutils.gep_inbounds(builder, place, 0, typ.held.fields.index(attr))
    kind = typ.field(attr)
    if isinstance(kind, Pointer):
        return builder.bitcast(found, cgutils.voidptr_t)
    return impl_ret_borrowed(context, builder, kind, builder.load(found))


@intrinsic
def pointer_to(typingctx: Any, held: Any) -> Any:
    """Return a pointer to a named tuple, good until the calling function returns."""

    def store(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(cgutils.alloca_once_value(builder, arguments[0]), cgutils.voidptr_t)

    return Pointer(held)(held), store
