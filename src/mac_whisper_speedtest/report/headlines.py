"""A table of a run in words, for the terminal and for pages: which cell is fastest, by how much."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence

from mac_whisper_speedtest.results.cells import (
    FAST_BUT_WRONG,
    CellTable,
    counted,
    error_rate_text,
    errors_above,
    range_text,
    speed_form,
    status_of,
    summary_of,
    with_bounds,
)
from mac_whisper_speedtest.results.schema import CellResult
from mac_whisper_speedtest.stats import intervals

_MUCH = 1.5
"""The largest detectable difference is named too if it exceeds the usual one by this factor."""


def answers(table: CellTable) -> Iterator[str]:
    """A sentence per group of equal work: its fastest cell, and the error rates.

    Groups of one cell are left out, unless there are no others.
    """
    groups = _ranked_groups(table)
    several = [cells for cells in groups if len(cells) > 1]
    for cells in several or groups[:1]:
        among = "Among cells with other decode settings, " if cells is not groups[0] else ""
        yield f"{among}{_speed(table, cells)}{_errors(cells)}."


def details(table: CellTable) -> Iterator[str]:
    """Which cells are slower and by how much, fast but wrong, unavailable or failed."""
    groups = _ranked_groups(table)
    for cells in groups:
        for cell in cells[1:]:
            it = summary_of(cell)
            if it.times_best is not None:
                times = with_bounds(it.times_best, it.times_best_bounds, speed_form(it.times_best))
                verdict = f": {it.verdict}" if it.verdict else ""
                best = table.names[cells[0].id]
                yield f"{table.names[cell.id]} takes {times} times as long as {best}{verdict}."
    absent = [cell for cell in table.cells if cell.status == "unavailable"]
    if not groups and len(absent) < len(table.cells):
        yield "No cell has a valid result."
    for cell in table.cells:
        it = summary_of(cell)
        if it.fast_but_wrong and it.accuracy is not None:
            against = it.accuracy.against or ""
            words = errors_above(it.accuracy, table.names.get(against, against))
            yield f"{table.names[cell.id]} is {FAST_BUT_WRONG} and ranked separately: its {words}."
    if absent:
        names = ", ".join(table.names[cell.id] for cell in absent)
        yield f"Not available on that machine: {names}."
    failed = [cell for cell in table.cells if cell.status not in {"ok", "unavailable"}]
    if failed:
        total = len(table.cells) - len(absent)
        words = "; ".join(f"{table.names[cell.id]} ({status_of(cell)})" for cell in failed)
        yield f"{len(failed)} of {counted(total, 'cell')} failed: {words}."


def detectable(cells: Sequence[CellResult]) -> Iterator[str]:
    """Which differences a run could detect; empty if unknown."""
    found = [it.detectable for cell in cells if (it := cell.summary) and it.detectable is not None]
    if not found:
        return
    usual, largest = statistics.median_high(found), max(found)
    between = f"{_difference(largest)} between any two cells"
    if largest > _MUCH * usual:
        between = f"{_difference(usual)} between most cells, {_difference(largest)} between any two"
    yield f"This run could detect a difference of {between} (power 0.9)."


def _difference(value: float) -> str:
    return f"{value:.1%}" if value < 0.1 else f"{value:.0%}"


def _ranked_groups(table: CellTable) -> list[list[CellResult]]:
    """The sound cells that are not too inaccurate, by group and time."""
    groups: dict[str | None, list[CellResult]] = {}
    for cell in table.cells:
        it = summary_of(cell)
        if it.group is not None and not it.fast_but_wrong:
            groups.setdefault(it.group, []).append(cell)
    return list(groups.values())


def _speed(table: CellTable, cells: Sequence[CellResult]) -> str:
    """The fastest cell of a group; ``cells`` are sorted by time."""
    names = [table.names[cell.id] for cell in cells]
    best = summary_of(cells[0])
    speed = f"{with_bounds(best.rtfx, None, speed_form(best.rtfx))} times real time"
    if len(cells) == 1:
        return f"{names[0]}: {speed}; no other cell did equal work"
    if best.rank is None:
        least = f"ranks need at least {intervals.MIN_ROUNDS} rounds"
        return f"{names[0]} was the quickest: about {speed}; {least}"
    tied = sum(summary_of(cell).rank == 1 for cell in cells)
    if tied > 1:
        slowest = summary_of(cells[tied - 1]).rtfx
        low = with_bounds(slowest, None, speed_form(slowest))
        return f"{_listed(names[:tied])} are tied for rank 1: {low} to {speed}"
    second = summary_of(cells[1])
    bounds, form = second.times_best_bounds, speed_form(second.times_best)
    if bounds is not None:
        times = f"{range_text(bounds.low, bounds.high, form)} times"
    else:
        times = f"about {with_bounds(second.times_best, None, form)} times"
    return f"{names[0]} is the fastest: {speed}, {times} as fast as {names[1]}"


def _errors(cells: Sequence[CellResult]) -> str:
    """The error rates of these cells; empty without reference texts."""
    found = [it for cell in cells if (it := summary_of(cell).accuracy) and it.rate is not None]
    if not found:
        return ""
    metric = (found[0].metric or "wer").upper()
    ordered = sorted(found, key=lambda it: it.rate or 0.0)
    low, high = (error_rate_text(each.rate, None) for each in (ordered[0], ordered[-1]))
    return f"; {metric} {low}" if low == high else f"; {metric} {low} to {high}"


def _listed(names: Sequence[str]) -> str:
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"
