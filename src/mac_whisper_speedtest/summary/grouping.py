"""Which cells may be ranked against each other: those that did equal work."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence

from mac_whisper_speedtest.backends.contract import SETTING_NAMES
from mac_whisper_speedtest.results import schema as s

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def groups(
    cells: Sequence[s.CellResult],
    medians: Mapping[str, float],
    *,
    strict: bool,
    wrong: Collection[str] = (),
) -> dict[str, str]:
    """The group of every cell that has a median: cell id → letter, starting at A per table.

    Two cells share a group when they ran the same network on the same clip and decoded with the
    same effective settings, every one of them; ``strict`` also wants the same device and precision,
    and no remark in which they differ. Cells that are fast but wrong are classes of their own. In a
    table the group that kept the contract comes first, then the others by their quickest cell, and
    what is wrong comes last.

    Args:
        cells: of one run.
        medians: cell id → seconds.
        strict: whether to refuse to rank across any difference at all.
        wrong: ids of cells that the accuracy gate calls worse.
    """
    found: dict[str, str] = {}
    tables: dict[tuple[str, str], dict[tuple[str, bool], list[s.CellResult]]] = {}
    for cell in cells:
        if cell.id in medians:
            work = tables.setdefault((cell.model.name, cell.clip.name), {})
            key = (_key(cell, strict=strict), cell.id in wrong)
            work.setdefault(key, []).append(cell)
    for work in tables.values():
        ordered = sorted(
            work.values(),
            key=lambda group: (
                group[0].id in wrong,
                any(cell.contract.deviations for cell in group),
                min(medians[cell.id] for cell in group),
            ),
        )
        for index, group in enumerate(ordered):
            found |= dict.fromkeys((cell.id for cell in group), letter(index))
    return found


def letter(index: int) -> str:
    """A, B, ..., Z, A1, B1, ..."""
    turn, place = divmod(index, len(_LETTERS))
    return _LETTERS[place] + (str(turn) if turn else "")


def _key(cell: s.CellResult, *, strict: bool) -> str:
    values = {name: cell.contract.effective.get(name) for name in SETTING_NAMES}
    if not strict:
        return json.dumps(values)
    rest = [cell.backend.device, cell.backend.precision, sorted(cell.contract.remarks)]
    return json.dumps([values, rest])
