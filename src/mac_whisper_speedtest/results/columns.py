"""Columns of flat tables, derived from what the fields of a row declare.

Exports and the index have these columns. A field that is declared as a ``Column`` is one wherever
its object is reached from a row without passing a list.
"""

from __future__ import annotations

import math
import operator
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from typing import Annotated, Any, TypeAlias, Union, get_args, get_origin, get_type_hints

from mac_whisper_speedtest.declared import Column, Doc, declared
from mac_whisper_speedtest.results.schema.base import Struct

Value: TypeAlias = str | int | float | bool | list[str] | None


class Kind(StrEnum):
    """The type of a column's values. Any of them may be null."""

    STRING = "string"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    STRINGS = "list of strings"
    TIME = "time"
    """ISO 8601 text in UTC; a time stamp where a format has one."""


_KINDS: Mapping[object, Kind] = {
    str: Kind.STRING,
    int: Kind.INTEGER,
    float: Kind.NUMBER,
    bool: Kind.BOOLEAN,
    list[str]: Kind.STRINGS,
}

_IN_RUN = {
    "run": "",
    "cell": "cells[]",
    "sample": "cells[].samples[]",
    "score": "cells[].summary.accuracy.utterances[]",
}
"""What the first part of a path is called in ``run.json``."""


@dataclass(frozen=True, slots=True)
class FlatColumn:
    """One column.

    Attributes:
        name: with the unit in it, where there is one.
        kind: the type of its values.
        unit: empty if there is none.
        meaning: one line, understandable without its context.
        path: where a row has the value: names of attributes or keys, joined by dots.
        brief: whether it is in tables for people.
        on_request: whether it is only in tables that were requested with it.
    """

    name: str
    kind: Kind
    unit: str
    meaning: str
    path: str
    brief: bool = False
    on_request: bool = False
    _quick: operator.attrgetter[object] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_quick", operator.attrgetter(self.path))

    @property
    def in_run(self) -> str:
        """The value's path in ``run.json``; empty where it is computed from several."""
        first, _, rest = self.path.partition(".")
        if first not in _IN_RUN:
            return ""
        return ".".join(part for part in (_IN_RUN[first], rest) if part)

    def value(self, row: object) -> Value:
        """The row's value; ``None`` where it is not known, and for a number that is not finite."""
        try:
            found = self._quick(row)
        except AttributeError:  # something on the way is null, or an object of free keys
            found = _walk(row, self.path)
        if found is None:
            return None
        if self.kind is Kind.NUMBER:
            assert isinstance(found, (int, float)), self.name
            return float(found) if math.isfinite(found) else None
        assert isinstance(found, (str, int, list)), self.name
        return found


def _walk(row: object, path: str) -> object:
    found: object = row
    for part in path.split("."):
        if found is None:
            return None
        found = found.get(part) if isinstance(found, Mapping) else getattr(found, part)
    return found


def flat_columns(row: type, *, inherited: bool = True) -> tuple[FlatColumn, ...]:
    """The columns of a kind of row, in the order in which fields and properties are declared.

    Args:
        row: a class whose annotations, also those of its properties' results, are read.
        inherited: whether the columns that its parent has are among them.
    """
    return tuple(_columns(_members(row, inherited=inherited), ""))


@cache
def _members(owner: type, *, inherited: bool = True) -> dict[str, object]:
    """The annotations of a class's fields, then of its properties: a docstring is their Doc."""
    found = get_type_hints(owner, include_extras=True)
    for parent in reversed(owner.__mro__):
        for name, each in vars(parent).items():
            if isinstance(each, property) and each.fget is not None:
                hint = get_type_hints(each.fget, include_extras=True).get("return")
                first, _, _ = (each.__doc__ or "").partition(".\n")
                meaning = (first[:1].lower() + first[1:]).removesuffix(".")
                found[name] = Annotated[hint, Doc(meaning)]
    if inherited:
        return found
    return {name: hint for name, hint in found.items() if not hasattr(owner.__base__, name)}


def _columns(members: Mapping[str, object], above: str) -> Iterator[FlatColumn]:
    for name, hint in members.items():
        path, marks = f"{above}{name}", declared(hint, Column)
        inner = _struct(hint)
        if inner is None:
            yield from (_column(each, name, hint, path) for each in marks)
            continue
        parts = _members(inner)
        for each in marks:
            part = parts[each.of]
            meaning = each.meaning or f"{_doc(hint).meaning}: {_doc(part).meaning}"
            yield _column(each, each.of, part, f"{path}.{each.of}", meaning)
        if not marks:
            yield from _columns(parts, f"{path}.")


def _column(mark: Column, name: str, hint: object, path: str, meaning: str = "") -> FlatColumn:
    doc = _doc(hint)
    (kind,) = {_KINDS[each] for each in _options(hint) if each is not types.NoneType}
    return FlatColumn(
        name=mark.name or name,
        kind=Kind.TIME if mark.time else kind,
        unit=doc.unit,
        meaning=meaning or mark.meaning or doc.meaning,
        path=path,
        brief=mark.brief,
        on_request=mark.on_request,
    )


def _doc(hint: object) -> Doc:
    return next(iter(declared(hint, Doc)), Doc(""))


def _struct(hint: object) -> type[Struct] | None:
    """The class of the objects in a field, if any; the first of two."""
    kinds = (each for each in _options(hint) if isinstance(each, type))
    return next((each for each in kinds if issubclass(each, Struct)), None)


def _options(hint: object) -> tuple[Any, ...]:
    """The types that an annotation allows."""
    plain = get_args(hint)[0] if get_origin(hint) is Annotated else hint
    return get_args(plain) if get_origin(plain) in {types.UnionType, Union} else (plain,)
