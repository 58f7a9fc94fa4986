"""Sections about declared types: structs, TypedDicts, and enumerations of words."""

from __future__ import annotations

import re
import types
from collections.abc import Iterator
from typing import Any, Union, get_args, get_origin, get_type_hints

from mac_whisper_speedtest.backends.contract import SettingValue
from mac_whisper_speedtest.bundle.fields import structs_in
from mac_whisper_speedtest.declared import Doc, Word, declarations
from mac_whisper_speedtest.reference.markdown import NOTHING, code, docstring, table
from mac_whisper_speedtest.results import schema as s

PLAIN = {str: "string", int: "integer", float: "number", bool: "boolean"}


def documented(*roots: Any) -> list[type[s.Struct]]:
    """The structs below some types that say what their fields mean, each once."""
    found = dict.fromkeys(each for root in roots for each in structs_in(root))
    return [each for each in found if declarations(each, Doc)]


def struct_section(kind: type) -> str:
    """A struct or a TypedDict with a table of its fields; those of its parent by a link."""
    tag = kind.__struct_config__.tag if issubclass(kind, s.Struct) else None
    title = f"### `{tag}` (`{kind.__name__}`)" if tag else f"### `{kind.__name__}`"
    (parent,) = kind.__bases__
    inherited = parent.__struct_fields__ if issubclass(parent, s.Struct) else ()
    body = [
        [f"`{name}`", type_name(hint), doc.unit, doc.meaning, doc.null or NOTHING]
        for name, hint, doc in declared_fields(kind)
        if name not in inherited
    ]
    parts = [title, docstring(kind)]
    if inherited:
        link = f"[`{parent.__name__}`](#{parent.__name__.lower()})"
        parts.append(f"Every field of {link}, and {'these:' if body else 'no other.'}")
    if body:
        parts.append(table(("name", "type", "unit", "meaning", "null when"), body))
    return "\n\n".join(parts)


def declared_fields(kind: type) -> Iterator[tuple[str, Any, Doc]]:
    """Name, type and meaning of each field."""
    docs = declarations(kind, Doc)
    for name, hint in get_type_hints(kind).items():
        yield name, hint, docs.get(name, Doc(""))


def type_name(hint: Any) -> str:
    """A field's type in JSON's words; without null, which has a column of its own."""
    if hint == SettingValue:
        return "any"
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in {types.UnionType, Union}:
        return " or ".join(type_name(each) for each in arguments if each is not types.NoneType)
    if origin in {list, tuple}:
        pair = origin is tuple and arguments[-1] is not ...
        return f"{'pair' if pair else 'list'} of {_many(type_name(arguments[0]))}"
    if origin is dict:
        inner = type_name(arguments[1])
        return "object" if inner == "any" else f"object of {_many(inner)}"
    return PLAIN.get(hint) or f"[`{hint.__name__}`](#{hint.__name__.lower()})"


def _many(words: str) -> str:
    """Several of a type: "strings", "lists of strings", "numbers or strings"."""
    return re.sub(r"\b(string|integer|number|boolean|list|pair)\b", r"\1s", words)


def words(kind: type[Word]) -> str:
    """The words of an enumeration with their meanings."""
    return "\n\n".join(
        (
            f"### {spoken_name(kind)}",
            docstring(kind),
            table(("word", "meaning"), ([code(each), each.meaning] for each in kind)),
        )
    )


def spoken_name(kind: type[Word]) -> str:
    """The name of an enumeration as a heading: ``FindingKind`` is "Finding kind"."""
    return re.sub(r"(?<=[a-z])[A-Z]", lambda found: f" {found[0].lower()}", kind.__name__)
