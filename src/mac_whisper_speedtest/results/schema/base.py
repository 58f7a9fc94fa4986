"""How a field of the schema is declared, and the bases of everything that is written down.

A field is written ``load_s: float = kept("loading weights, by the worker's clock")``: its policy,
then its meaning. The class keeps that as annotations (``Doc``, ``FieldPolicy`` and ``Column`` of
``declared``), which is what readers of declarations see.
"""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any, NamedTuple, dataclass_transform

import msgspec

from mac_whisper_speedtest.declared import Column, Doc, FieldPolicy

_UNITS = {"s": "s", "seconds": "s", "bytes": "byte"}
"""The last word of a field's name → its unit."""


class _Fact(NamedTuple):
    meaning: str
    unit: str | None
    null: str
    extras: tuple[Column | FieldPolicy, ...]
    default: Any

    def annotated(self, name: str, hint: Any) -> Any:
        """The annotation of the field with that name."""
        unit = _UNITS.get(name.rpartition("_")[2], "") if self.unit is None else self.unit
        return Annotated[hint, Doc(self.meaning, unit, self.null), *self.extras]


def fact(
    meaning: str,
    unit: str | None = None,
    *,
    null: str = "",
    column: Column | tuple[Column, ...] = (),
    policy: FieldPolicy | None = None,
    default: Any = msgspec.NODEFAULT,
) -> Any:
    """The declaration of a field, written in place of its default.

    Args:
        meaning: as in ``Doc``.
        unit: as in ``Doc``; by default what the field's name ends in, as in ``load_s``.
        null: as in ``Doc``.
        column: the columns of flat tables that the field is.
        policy: how it goes into a bundle; required unless the struct is ``Computed``.
        default: the field's default; without one it is required.
    """
    columns = (column,) if isinstance(column, Column) else column
    return _Fact(meaning, unit, null, (*columns, *([policy] if policy else ())), default)


kept = partial(fact, policy=FieldPolicy.KEPT)
named = partial(fact, policy=FieldPolicy.NAME)
scrubbed = partial(fact, policy=FieldPolicy.SCRUBBED)
inside = partial(fact, policy=FieldPolicy.INSIDE)


class _Declared(msgspec.StructMeta):
    """Turns facts into annotations and defaults; fields are given by name."""

    def __new__(
        cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **config: Any
    ) -> Any:
        hints = namespace.get("__annotations__", {})
        for field, value in [*namespace.items()]:
            if isinstance(value, _Fact):
                hints[field] = value.annotated(field, hints[field])
                namespace[field] = value.default
                if value.default is msgspec.NODEFAULT:
                    del namespace[field]
        return super().__new__(cls, name, bases, namespace, **{"kw_only": True, **config})


@dataclass_transform(
    kw_only_default=True,
    frozen_default=True,
    field_specifiers=(fact, kept, named, scrubbed, inside),
)
class Struct(msgspec.Struct, frozen=True, kw_only=True, gc=False, metaclass=_Declared):
    """Base of everything written: immutable, fields by name; unknown fields are passed over.

    Recorded data has no circles, so the garbage collector need not walk through it: with
    100 000 samples that took half of the time to read a run.
    """


class Computed(Struct):
    """Base of figures computed from the manifest and the journal; a bundle leaves them out."""
