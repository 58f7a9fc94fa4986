"""Declarations at a field: its meaning and unit, and its treatment in a bundle.

A field is annotated as ``Annotated[float | None, Doc("seconds of processing", unit="s"),
FieldPolicy.KEPT]``; ``results.schema.base`` has a shorter form for structs. Command line, Python
interface, manifest, columns, index, bundles and the reference pages read these declarations;
nothing of them is written a second time. This module imports the standard library alone, because
``--help`` imports it.
"""

from __future__ import annotations

from enum import StrEnum
from functools import cache
from typing import Annotated, Any, NamedTuple, Self, TypeVar, get_args, get_origin, get_type_hints

_Declared = TypeVar("_Declared")


class Word(StrEnum):
    """A word of results or of output, with its meaning.

    A member is written as the word, its meaning and, where there is something, what to do about it,
    as Markdown in one line.
    """

    meaning: str
    action: str

    def __new__(cls, word: str, meaning: str = "", action: str = "") -> Self:
        """A word, its meaning, and what to do about it."""
        member = str.__new__(cls, word)
        member._value_ = word
        member.meaning, member.action = meaning, action
        return member


class Doc(NamedTuple):
    """One line, understandable without its context.

    Attributes:
        meaning: in words, as Markdown.
        unit: empty if there is none.
        null: when the value is null; empty where it never is.
    """

    meaning: str
    unit: str = ""
    null: str = ""


class Column(NamedTuple):
    """The field is a column of flat tables: of exports, and of the index.

    Where the field is an object, ``of`` names the one of its fields that is the column; the field
    may have several such columns, and its object then has no others.

    Attributes:
        name: of the column; empty: the field's.
        of: a field of the object.
        meaning: empty: the field's.
        brief: whether it is in tables for people.
        time: whether its texts are ISO 8601 times in UTC.
        on_request: whether it is only in tables that were requested with it.
    """

    name: str = ""
    of: str = ""
    meaning: str = ""
    brief: bool = False
    time: bool = False
    on_request: bool = False


class FieldPolicy(StrEnum):
    """How a field goes into a bundle."""

    KEPT = "as it is: a number, a hash, or a word that only this tool writes"
    NAME = "as it is: the name of a backend, a model, a setting; nothing is written if it names you"
    SCRUBBED = "scrubbed: a text from outside, or one that quotes such a text"
    SAID = "what a backend heard, word for word; empty with `--without-texts`"
    REFERENCE = "the spoken text; null with `--without-texts`"
    CLIP = "the name of public speech; else its kind and 8 digits of its hash: `set-0123abcd`"
    UTTERANCE = "likewise; else its number: `utterance-0001`, or `entry-0001` of what was left out"
    CELL = "`backend/model/clip`, with the clip's name as it is in the bundle"
    SOURCE = "as it is where the speech is public; else `a file of the user's`, or as general words"
    NUMBERS = "the version number that it begins with: `6.18.44` of `6.18.44-annas-box`"
    FILES = "names as published; of files of your own `file-0001`, ...; every hash as it is"
    DETAILS = "scrubbed, and only what this tool's own backends write"
    RECOMPUTED = "computed again over the request as it is in the bundle"
    DROPPED = "emptied"
    INSIDE = "an object of this list"
    COMPUTED = "in no bundle: its reader computes it again"


def declarations(owner: type, kind: type[_Declared]) -> dict[str, _Declared]:
    """What of ``kind`` is declared at each field of a class, by field name, in declaration order.

    Fields without such a declaration are left out.
    """
    found = {name: declared(hint, kind) for name, hint in _annotations(owner).items()}
    return {name: each[-1] for name, each in found.items() if each}


@cache
def _annotations(owner: type) -> dict[str, Any]:
    return get_type_hints(owner, include_extras=True)


def declared(hint: object, kind: type[_Declared]) -> tuple[_Declared, ...]:
    """What of ``kind`` is declared in one annotation, in order."""
    extras: tuple[Any, ...] = get_args(hint)[1:] if get_origin(hint) is Annotated else ()
    return tuple(extra for extra in extras if isinstance(extra, kind))
