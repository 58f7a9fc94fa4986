"""Two backends' texts side by side: only where they differ, with what was said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.text import Text

_NOTHING = "∅"
"""Stands for no word at all."""
_GAP = "…"


@dataclass(frozen=True, slots=True)
class Row:
    """What one source has at a place; ``right`` is ``None`` where nobody knows."""

    label: str
    words: str
    right: bool | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """One place in which the texts differ, with the words around it."""

    before: str
    rows: tuple[Row, ...]
    after: str


@dataclass(frozen=True, slots=True)
class Part:
    """What there is to show of one recording; ``notes`` are lines under it."""

    name: str
    places: tuple[Place, ...]
    notes: tuple[str, ...] = ()


def show(title: str, parts: Sequence[Part], *, console: Console | None = None) -> None:
    """Print differences. On a terminal what is wrong is red and what is right green.

    Args:
        title: what is compared.
        parts: recordings, in order.
        console: where to; the terminal, or a pipe, where lines are never broken.
    """
    console = console or Console()
    wrap = console.is_terminal
    console.print(Text(title, style="bold"), soft_wrap=not wrap)
    for part in parts:
        if part.name:
            console.print(Text(f"\n{part.name}", style="bold"), soft_wrap=not wrap)
        for place in part.places:
            console.print()
            width = max(len(row.label) for row in place.rows)
            for row in place.rows:
                console.print(_line(place, row, width), soft_wrap=not wrap)
        for note in part.notes:
            console.print(Text(f"  {note}"), soft_wrap=not wrap)


def _line(place: Place, row: Row, width: int) -> Text:
    line = Text(f"  {row.label:<{width}}  ")
    line.append(f"{_GAP} {place.before} " if place.before else "", style="dim")
    style = {None: "bold", True: "bold green", False: "bold red"}[row.right]
    # Brackets, because a pipe has no colour.
    line.append(f"[{row.words or _NOTHING}]", style=style)
    line.append(f" {place.after} {_GAP}" if place.after else "", style="dim")
    if row.right is not None:
        line.append("  right" if row.right else "  wrong", style=style)
    return line
