"""The bundles of each hardware class, and anomalies of bundles and rows."""

from __future__ import annotations

import collections
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from mac_whisper_speedtest.leaderboard import peers, placing
from mac_whisper_speedtest.leaderboard.peers import Dispute, MachineOutlier, Speed, Spread
from mac_whisper_speedtest.leaderboard.submissions import (
    Configuration,
    Submission,
    SubmittedCell,
    Workload,
)

_FIGURES = {
    "joules_per_audio_hour": "energy",
    "peak_memory_bytes": "peak memory",
    "device_memory_bytes": "memory of the device",
    "load_s": "time to load",
    "cores_used": "use of cores",
}
"""Fields of the summary that are compared between peers, with their names."""

RowKey = tuple[Workload, str, Configuration]
"""What makes cells of several bundles one row: workload, effective settings, configuration."""


@dataclass(frozen=True, slots=True)
class ClassMember:
    """A bundle among those of its hardware class; see ``Submission``.

    Attributes:
        cells: the number of cells of its run.
        outlier: its comparison with its peers.
        alike: other bundles with exactly the same timings, which independent runs never have.
        odd: anomalies of single cells, in words, sorted.
    """

    name: str
    signer: str
    started_at: str
    os_version: str
    python: str
    tool: str
    cells: int
    cells_ok: int
    outlier: MachineOutlier
    alike: tuple[str, ...]
    odd: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MachineClass:
    """All bundles of one hardware class; ``spread`` is ``None`` if too few can be compared."""

    hardware: str
    members: tuple[ClassMember, ...]
    spread: Spread | None


@dataclass(frozen=True, slots=True)
class OddRows:
    """What is odd about the cells of all bundles.

    Attributes:
        left_out: (bundle, row) → why that cell counts in no figure.
        named: (bundle, row) → other differences from its peers; the row counts.
        disputed: row → its bundles that contradict each other.
    """

    left_out: Mapping[tuple[str, RowKey], str]
    named: Mapping[tuple[str, RowKey], Sequence[str]]
    disputed: Mapping[RowKey, Dispute]


def row_key(cell: SubmittedCell) -> RowKey:
    """The row that a cell belongs to."""
    return cell.workload, cell.settings, cell.configuration


def odd_rows(known: Sequence[Submission]) -> OddRows:
    """Judge every cell alone and against its peers."""
    left_out = {
        (each.name, row_key(cell)): "; ".join(cell.doubts)
        for each in known
        for cell in each.cells
        if cell.rtf and cell.doubts
    }
    named: defaultdict[tuple[str, RowKey], list[str]] = defaultdict(list)
    disputed: dict[RowKey, Dispute] = {}
    classes: defaultdict[str, dict[str, Mapping[RowKey, Speed]]] = defaultdict(dict)
    for each in known:
        classes[each.hardware][each.name] = {
            key: speed for key, speed in _speeds(each).items() if (each.name, key) not in left_out
        }
    for speeds in classes.values():
        found = peers.judge_rows(speeds)
        disputed |= found.disputed
        for which, odd in found.odd.items():
            words = (
                f"{odd.ratio:.2g} times as fast as with its {odd.peers - 1} peers, "
                "judging by the other cells of its bundle"
            )
            if odd.ratio > 1:
                left_out[which] = words
            else:
                named[which].append(words)
    for field, words in _FIGURES.items():
        for which, ratio in _odd_figures(known, field):
            named[which].append(f"{ratio:.2g} times the {words} of its peers")
    return OddRows(left_out, named, disputed)


def _odd_figures(
    known: Sequence[Submission], field: str
) -> Iterator[tuple[tuple[str, RowKey], float]]:
    rows: defaultdict[RowKey, dict[str, float]] = defaultdict(dict)
    for each in known:
        for cell in each.cells:
            value = getattr(cell.summary, field)
            if cell.rtf and value is not None and value > 0:
                rows[row_key(cell)][each.name] = value
    for row, values in rows.items():
        for bundle, ratio in peers.odd_figures(values).items():
            yield (bundle, row), ratio


def classes_of(known: Sequence[Submission], odd: OddRows) -> tuple[MachineClass, ...]:
    """The hardware classes, sorted by name."""
    same_timings = collections.Counter(each.timings_sha256 for each in known)
    members: defaultdict[str, list[Submission]] = defaultdict(list)
    for each in known:
        members[each.hardware].append(each)
    return tuple(_class(name, members[name], known, same_timings, odd) for name in sorted(members))


def _speeds(each: Submission) -> dict[RowKey, Speed]:
    return {row_key(cell): placing.speed_of_cell(cell) for cell in each.cells if cell.rtf}


def _class(
    hardware: str,
    members: Sequence[Submission],
    known: Sequence[Submission],
    same_timings: Mapping[str, int],
    odd: OddRows,
) -> MachineClass:
    outliers, spread = peers.machine_outliers({each.name: _speeds(each) for each in members})
    words: defaultdict[str, list[str]] = defaultdict(list)
    for (bundle, key), why in odd.left_out.items():
        words[bundle].append(f"{key[2].backend}: {why}")
    for (bundle, key), several in odd.named.items():
        words[bundle].append(f"{key[2].backend}: {'; '.join(several)}")
    return MachineClass(
        hardware,
        tuple(
            ClassMember(
                name=each.name,
                signer=each.signer,
                started_at=each.started_at,
                os_version=each.os_version,
                python=each.python,
                tool=each.tool,
                cells=len(each.cells),
                cells_ok=sum(cell.status == "ok" for cell in each.cells),
                outlier=outliers[each.name],
                alike=tuple(
                    other.name
                    for other in known
                    if each.timings_sha256
                    and same_timings[each.timings_sha256] > 1
                    and other.timings_sha256 == each.timings_sha256
                    and other is not each
                ),
                odd=tuple(sorted(words[each.name])),
            )
            for each in members
        ),
        spread,
    )
