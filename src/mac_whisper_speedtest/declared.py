"""What is declared at a field, once: its meaning and unit, and what a bundle does with it.

A field is annotated as ``Annotated[float | None, Doc("seconds of processing", unit="s"),
FieldPolicy.KEPT]``. Command line, Python interface, manifest, columns, index, bundles and the
reference pages read these declarations; nothing of them is written a second time. This module
imports the standard library alone, because ``--help`` imports it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

_Declared = TypeVar("_Declared")


@dataclass(frozen=True, slots=True)
class Doc:
    """One line for a reader who sees nothing else, and the unit (empty where there is none)."""

    meaning: str
    unit: str = ""


class FieldPolicy(StrEnum):
    """How a field goes into a bundle."""

    KEPT = "as it is: a number, a hash, or a word that only this tool writes"
    NAME = "as it is: a name that is needed; nothing is written if it names somebody"
    SCRUBBED = "scrubbed: a text from outside, or one that quotes such a text"
    SAID = "as it is: what a backend heard; empty with --without-texts"
    REFERENCE = "as it is: what was said; null with --without-texts"
    CLIP = "the name of public speech as it is, else one made of its hash"
    UTTERANCE = "likewise, else its number"
    CELL = "backend/model/clip, with the clip's name as it is in the bundle"
    SOURCE = "as it is where the speech is public, else in general words"
    NUMBERS = "only the version number that it begins with"
    FILES = "file names as published, else numbered; every hash as it is"
    DETAILS = "scrubbed, and only keys of the tool's own backends"
    MADE_ANEW = "computed again over the request as it is in the bundle"
    DROPPED = "emptied"
    INSIDE = "an object of this schema, field by field"


def declarations(owner: type, kind: type[_Declared]) -> dict[str, _Declared]:
    """What of ``kind`` is declared at each field of a class, by field name, in declaration order.

    Fields without such a declaration are left out.
    """
    found: dict[str, _Declared] = {}
    for name, hint in get_type_hints(owner, include_extras=True).items():
        extras: tuple[Any, ...] = get_args(hint)[1:] if get_origin(hint) is Annotated else ()
        for extra in extras:
            if isinstance(extra, kind):
                found[name] = extra
    return found
