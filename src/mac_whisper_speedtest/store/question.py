"""The conditions of a question to the index, as SQL: names are this program's, values are bound."""

from __future__ import annotations


class Question:
    """Conditions that all have to hold, and the values in them. An empty text asks nothing."""

    def __init__(self) -> None:
        self._conditions: list[str] = []
        self.values: list[str | int] = []

    @property
    def where(self) -> str:
        """The clause, with a place for each of ``values``; empty without a condition."""
        return f"WHERE {' AND '.join(self._conditions)}" if self._conditions else ""

    def equal(self, column: str, value: str | int | None) -> None:
        """A column has that value."""
        if value not in {"", None}:
            self._add(f"{column} = ?", value)

    def version_of(self, column: str, backend: str) -> None:
        """A column has that backend, or a version of it: ``name`` or ``name@version``."""
        if backend:
            # Not LIKE: a name may have characters in it that mean something there.
            start = f"{backend}@"
            self._add(f"({column} = ? OR substr({column}, 1, ?) = ?)", backend, len(start), start)

    def tagged(self, tag: str) -> None:
        """The run has that tag."""
        if tag:
            self._add("runs.number IN (SELECT number FROM tags WHERE tag = ?)", tag)

    def having_cell(self, backend: str, model: str) -> None:
        """The run has a cell of that backend and model."""
        cell = Question()
        cell.version_of("cells.backend", backend)
        cell.equal("cells.model", model)
        if cell.where:
            inner = f"SELECT number FROM cells {cell.where}"  # noqa: S608 - our own names
            self._add(f"runs.number IN ({inner})", *cell.values)

    def _add(self, condition: str, *values: str | int) -> None:
        self._conditions.append(condition)
        self.values += values
