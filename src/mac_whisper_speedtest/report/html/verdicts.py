"""What a run found, in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mac_whisper_speedtest.report.html.cells import Ranked, name_of, summary_of
from mac_whisper_speedtest.report.numbers import with_bounds
from mac_whisper_speedtest.results.schema import CellResult


def of(table: Ranked) -> Iterator[str]:
    """Who is fastest, by how much, who is too wrong to count, and who gave no result."""
    sound = [
        cell
        for cell in table.cells
        if summary_of(cell).rank is not None and not summary_of(cell).fast_but_wrong
    ]
    groups: dict[str | None, list[CellResult]] = {}
    for cell in sound:
        groups.setdefault(summary_of(cell).group, []).append(cell)
    for number, cells in enumerate(groups.values()):
        yield from _group(cells, other_work=number > 0)
    absent = [cell for cell in table.cells if cell.status == "unavailable"]
    if not groups and len(absent) < len(table.cells):
        yield "No cell gave a figure that counts."
    for cell in table.cells:
        if summary_of(cell).fast_but_wrong:
            yield _wrong(cell)
    if absent:
        yield f"Not available on that machine: {', '.join(map(name_of, absent))}."
    failed = [cell for cell in table.cells if cell.status not in {"ok", "unavailable"}]
    if failed:
        total = len(table.cells) - len(absent)
        words = "; ".join(f"{name_of(cell)} ({cell.status})" for cell in failed)
        yield f"{len(failed)} of {total} {_cells(total)} did not end well: {words}."


def _group(cells: Sequence[CellResult], *, other_work: bool) -> Iterator[str]:
    """One group's order; ``cells`` are by time."""
    first = [cell for cell in cells if summary_of(cell).rank == 1]
    best = cells[0]
    speed = with_bounds(summary_of(best).rtfx, summary_of(best).rtfx_bounds, ".2f")
    among = " Among those that did other work" if other_work else ""
    if len(cells) == 1:
        alone = (
            "did other work and stands alone" if other_work else "has nobody to be compared with"
        )
        yield f"{name_of(best)} {alone}: RTFx {speed}."
        return
    if len(first) == 1:
        said = f"{name_of(best)} is the fastest: RTFx {speed}."
        yield f"{among}, {said}".strip() if among else said
    else:
        names = _listed([name_of(cell) for cell in first])
        tied = f"{names} share the first place: the rounds do not tell them apart."
        yield f"{among}, {tied}".strip() if among else tied
    for cell in cells[1:]:
        summary = summary_of(cell)
        if summary.times_best is None:
            continue
        times = with_bounds(summary.times_best, summary.times_best_bounds, ".2f")
        verdict = f": {summary.verdict}" if summary.verdict else ""
        yield f"{name_of(cell)} takes {times} times as long as {name_of(best)}{verdict}."


def _wrong(cell: CellResult) -> str:
    found = summary_of(cell).accuracy
    if found is None or found.delta is None:
        return f"{name_of(cell)} is too wrong for its speed to count."
    against = (found.against or "").partition("/")[0]
    return (
        f"{name_of(cell)} is too wrong for its speed to count: its {found.metric.upper()} is "
        f"{found.delta * 100:.1f} points above that of {against}."
    )


def _listed(names: Sequence[str]) -> str:
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"


def _cells(count: int) -> str:
    return "cell" if count == 1 else "cells"
