"""What a column of a table is: its name, type and unit, what it means, and how it is read.

Every tabular format (CSV, TSV, JSON lines, Parquet, Markdown, HTML) writes the same columns, and
docs/results.md describes exactly these. The columns themselves are in ``cell_columns`` and
``sample_columns``, the rows that they are read from in ``rows``.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

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


_PLACES = {
    "run": "",
    "cell": "cells[]",
    "sample": "cells[].samples[]",
    "score": "cells[].summary.accuracy.utterances[]",
}
"""What the first part of a path is called in ``run.json``."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column.

    Attributes:
        name: with the unit in it, where there is one.
        kind: the type of its values.
        unit: in words of docs/results.md; empty where there is none.
        meaning: one line for a reader who sees nothing else.
        path: where a row has the value: names of attributes or keys, joined by dots.
        brief: whether it is in tables that are made to be looked at.
    """

    name: str
    kind: Kind
    unit: str
    meaning: str
    path: str
    brief: bool = False
    _quick: operator.attrgetter[object] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_quick", operator.attrgetter(self.path))

    @property
    def place(self) -> str:
        """Where the value stands in ``run.json``; empty where it is computed from several."""
        first, _, rest = self.path.partition(".")
        if first not in _PLACES:
            return ""
        return ".".join(part for part in (_PLACES[first], rest) if part)

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
