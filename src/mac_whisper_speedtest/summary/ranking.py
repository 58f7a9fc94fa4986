"""Ranking of cells that did equal work, from the rounds measured so far."""

from __future__ import annotations

import json
import statistics
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from mac_whisper_speedtest.backends.contract import SETTING_NAMES
from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.stats import intervals, ranking
from mac_whisper_speedtest.stats.intervals import Interval
from mac_whisper_speedtest.stats.ranking import Ranking
from mac_whisper_speedtest.summary import accuracy, samples
from mac_whisper_speedtest.summary.accuracy import CellAccuracy

# Which cells may be ranked against each other: those that did equal work.


_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def equal_work_groups(
    cells: Sequence[s.CellResult],
    medians: Mapping[str, float],
    *,
    strict: bool,
    wrong: Collection[str] = (),
) -> dict[str, str]:
    """The group of every cell that has a median: cell id → letter, starting at A per table.

    Two cells share a group if they ran the same network on the same clip with exactly the same
    effective decode settings; ``strict`` also requires the same device, precision and remarks.
    Cells that are fast but wrong have separate groups. In a table the group that kept the contract
    comes first, then the others by their fastest cell; fast but wrong comes last.

    Args:
        cells: of one run.
        medians: cell id → seconds.
        strict: see above.
        wrong: ids of cells that the accuracy gate judged worse.
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
    turn, at = divmod(index, len(_LETTERS))
    return _LETTERS[at] + (str(turn) if turn else "")


def _key(cell: s.CellResult, *, strict: bool) -> str:
    values = {name: cell.contract.effective.get(name) for name in SETTING_NAMES}
    if not strict:
        return json.dumps(values)
    rest = [cell.backend.device, cell.backend.precision, sorted(cell.contract.remarks)]
    return json.dumps([values, rest])


@dataclass(frozen=True, slots=True)
class EqualWorkGroup:
    """Cells that did equal work.

    Attributes:
        name: its letter.
        ranking: of all of its cells.
    """

    name: str
    ranking: Ranking


@dataclass(frozen=True, slots=True)
class RunComparison:
    """What follows from the rounds and texts of a run's cells.

    Attributes:
        rtf: cell id → round → processing seconds per audio second; sound cells only.
        medians: cell id → RTF with its interval, ``None`` from too few rounds.
        groups: cell id → its group.
        judged: cell id → accuracy.
        margin: smaller relative differences are not ranked.
        level: of the ranking's intervals; single cells have 95 %.
    """

    rtf: Mapping[str, Mapping[int, float]]
    medians: Mapping[str, Interval | None]
    groups: Mapping[str, EqualWorkGroup]
    judged: Mapping[str, CellAccuracy]
    margin: float
    level: float

    def median_rtf(self, cell: str) -> float | None:
        """A sound cell's median RTF over rounds."""
        rounds = self.rtf.get(cell)
        return statistics.median(rounds.values()) if rounds else None


def margin(manifest: s.Manifest) -> float:
    """What was asked for, else by the machine's noise floor, else the least that matters."""
    if manifest.request.margin is not None:
        return manifest.request.margin
    return ranking.margin(manifest.noise.floor if manifest.noise else None)


def level_of(run: s.Run) -> float:
    """The confidence with which all intervals of a ranking hold together."""
    return run.decisions[-1].level if run.decisions else intervals.LEVEL


def compare(run: s.Run, *, level: float | None = None) -> RunComparison:
    """Compare all cells of a run, sealed or not.

    Args:
        run: with samples; summaries are not used.
        level: of the ranking; ``None`` is what the stopping rule left for it, else 95 %. A cell's
            own interval decides nothing and stays at 95 %.
    """
    if level is None:
        level = level_of(run)
    sound = [cell for cell in run.cells if cell.status == "ok" or _running(run, cell)]
    rtf = {cell.id: each for cell in sound if (each := samples.round_rtf(cell, run.rounds))}
    request = run.manifest.request
    judged = accuracy.judge_accuracy(run.cells, reference_backend=request.reference_backend)
    wrong = {name for name, each in judged.items() if each.wrong}
    medians = {name: statistics.median(rounds.values()) for name, rounds in rtf.items()}
    letters = equal_work_groups(run.cells, medians, strict=request.strict, wrong=wrong)
    tables: dict[tuple[str, str, str], list[str]] = {}
    for cell in run.cells:
        if cell.id in letters:
            key = (cell.model.name, cell.clip.name, letters[cell.id])
            tables.setdefault(key, []).append(cell.id)
    least = margin(run.manifest)
    groups: dict[str, EqualWorkGroup] = {}
    for (_, _, letter), names in tables.items():
        ranked = ranking.rank({name: rtf[name] for name in names}, margin=least, level=level)
        groups |= dict.fromkeys(names, EqualWorkGroup(letter, ranked))
    return RunComparison(
        rtf=rtf,
        medians={name: intervals.of_median(list(rounds.values())) for name, rounds in rtf.items()},
        groups=groups,
        judged=judged,
        margin=least,
        level=level,
    )


def bounds(interval: Interval | None) -> s.Bounds | None:
    """An interval in the form of the results."""
    if interval is None:
        return None
    return s.Bounds(low=interval.low, high=interval.high, level=interval.level, rounds=interval.n)


def _running(run: s.Run, cell: s.CellResult) -> bool:
    """Whether the cell of a running run has not failed so far."""
    outcome = run.manifest.outcome
    going_on = outcome is not None and outcome.state == "running"
    last = {each.round: each.status for each in cell.endings}
    return going_on and all(status == "ok" for status in last.values())
