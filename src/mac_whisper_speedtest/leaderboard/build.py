"""Many machines' bundles as one ranking per kind of machine, contract, model and speech.

Everything here is made of :class:`~mac_whisper_speedtest.leaderboard.submissions.Submission`, whose
figures were computed from samples. The result is the same in whatever order they are given.
"""

from __future__ import annotations

import collections
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from mac_whisper_speedtest.leaderboard import boardwide, peers, placing, pooled
from mac_whisper_speedtest.leaderboard.boards import (
    Board,
    Group,
    Leaderboard,
    MachineClass,
    Member,
    Row,
)
from mac_whisper_speedtest.leaderboard.submissions import Entry, Runner, Submission, Work
from mac_whisper_speedtest.summary.grouping import letter


def build(submissions: Iterable[Submission]) -> Leaderboard:
    """The leaderboard of these bundles, each there once.

    Raises:
        ValueError: a bundle's figures are not what can be measured.
    """
    known = _joined(sorted(submissions, key=lambda each: (each.name, each.content)))
    works: defaultdict[Work, list[Entry]] = defaultdict(list)
    classes: defaultdict[str, list[Submission]] = defaultdict(list)
    for each in known:
        classes[each.hardware].append(each)
        for entry in each.entries:
            works[entry.work].append(entry)
    by_name = {each.name: each for each in known}
    boards = [_board(work, entries, by_name) for work, entries in works.items()]
    alike = collections.Counter(each.samples for each in known)
    return Leaderboard(
        boards=tuple(sorted((board for board in boards if board.groups), key=_order)),
        classes=tuple(_class(name, classes[name], known, alike) for name in sorted(classes)),
    )


def _joined(known: Sequence[Submission]) -> list[Submission]:
    """What was measured without knowing the words beside what was measured with them.

    Only where all who knew them knew the same ones: it is the same work, and the speeds compare.
    """
    with_words: defaultdict[Work, set[str]] = defaultdict(set)
    for each in known:
        for entry in each.entries:
            if entry.work.words:
                with_words[replace(entry.work, words="")].add(entry.work.words)

    def joined(entry: Entry) -> Entry:
        words = with_words.get(entry.work, set())
        if len(words) != 1:
            return entry
        return replace(entry, work=replace(entry.work, words=next(iter(words))))

    return [replace(each, entries=tuple(map(joined, each.entries))) for each in known]


def _order(board: Board) -> tuple[object, ...]:
    work = board.work
    return (
        work.hardware,
        work.model,
        str(board.contract.get("name")),
        board.speech.name,
        (work.contract, work.network, work.speech, work.words),
    )


def _board(work: Work, entries: Sequence[Entry], bundles: Mapping[str, Submission]) -> Board:
    here = [bundles[name] for name in sorted({each.bundle for each in entries})]
    unavailable = collections.Counter(
        each.runner.backend for each in entries if each.status == "unavailable"
    )
    margin = max(each.margin for each in here)
    return Board(
        work=work,
        contract=here[0].contracts[work.contract],
        speech=min((each.speech[work.speech] for each in here), key=lambda it: it.name),
        metric=min((each.metric for each in entries if each.metric), default=""),
        bundles=len(here),
        margin=margin,
        groups=tuple(_groups(entries, margin, {each.name: each.level for each in here})),
        unavailable=dict(sorted(unavailable.items())),
    )


_RowKey = tuple[str, bool, Runner]
"""What was done, whether it was wrong, and by what."""


def _groups(entries: Sequence[Entry], margin: float, level: Mapping[str, float]) -> list[Group]:
    """Cells of equal work together, as ``measure.grouping`` does it in one run."""
    wrong = boardwide.wrong(entries)
    rows: defaultdict[_RowKey, list[Entry]] = defaultdict(list)
    failed = []
    for number, each in enumerate(entries):
        if each.rtf:
            rows[each.settings, number in wrong, each.runner].append(each)
        elif each.status != "unavailable":
            failed.append(each)
    unplaced: defaultdict[Runner, list[Entry]] = defaultdict(list)
    for each in failed:
        own = [key for key in rows if _may_be(each.runner, key[2])]
        (rows[own[0]] if len(own) == 1 else unplaced[each.runner]).append(each)
    classes: defaultdict[tuple[str, bool], dict[Runner, list[Entry]]] = defaultdict(dict)
    for (settings, is_wrong, runner), own_entries in rows.items():
        classes[settings, is_wrong][runner] = own_entries
    found = [
        (_deviations(members), is_wrong, _rows(members, margin, level))
        for (_, is_wrong), members in classes.items()
    ]
    found.sort(key=lambda it: (it[1], bool(it[0]), -_speed(it[2][0]), it[0]))
    groups = [
        Group(letter(index), deviations, is_wrong, tuple(members))
        for index, (deviations, is_wrong, members) in enumerate(found)
    ]
    if unplaced:
        groups.append(Group("", (), wrong=False, rows=tuple(_rows(unplaced, margin, level))))
    return groups


def _may_be(failed: Runner, other: Runner) -> bool:
    """Whether what failed may have been ``other``: it does not contradict in what it could say."""
    same = failed.backend == other.backend and failed.threads == other.threads
    pairs = (
        (failed.version, other.version),
        (failed.device, other.device),
        (failed.precision, other.precision),
    )
    return same and all(mine in {None, theirs} for mine, theirs in pairs)


def _deviations(members: Mapping[Runner, Sequence[Entry]]) -> tuple[str, ...]:
    found = {each for own in members.values() for entry in own for each in entry.deviations}
    return tuple(sorted(found))


def _rows(
    members: Mapping[Runner, Sequence[Entry]], margin: float, level: Mapping[str, float]
) -> list[Row]:
    """The rows of one group, the fastest first, with their places."""
    names = {str(number): runner for number, runner in enumerate(sorted(members, key=_identity))}
    rounds = {
        name: {each.bundle: each.rtf for each in members[runner] if each.rtf}
        for name, runner in names.items()
    }
    placed = placing.places(
        {name: own for name, own in rounds.items() if own}, margin=margin, level=level
    )
    rows = []
    for name, runner in names.items():
        own = members[runner]
        sound = [each for each in own if each.rtf]
        place = placed.get(name)
        energy = [each for each in sound if each.joules_per_audio_hour is not None]
        rows.append(
            Row(
                runner=runner,
                place=place.first if place else None,
                place_last=place.last if place else None,
                rtfx=pooled.rtfx(sound) if sound else None,
                error_rate=pooled.error_rate(sound),
                peak_rss_bytes=_median(sound, lambda each: each.peak_rss_bytes),
                device_memory_bytes=_median(sound, lambda each: each.device_memory_bytes),
                joules_per_audio_hour=_median(energy, lambda each: each.joules_per_audio_hour),
                energy_quality="; ".join(sorted({each.energy_quality for each in energy} - {""})),
                load_s=_median(sound, lambda each: each.load_s),
                runs_ok=len(sound),
                runs=len(own),
                endings=dict(sorted(collections.Counter(each.status for each in own).items())),
                rounds=sum(len(each.rtf) for each in sound),
                bundles=tuple(sorted({each.bundle for each in own})),
            )
        )
    return sorted(rows, key=lambda row: (-_speed(row), _identity(row.runner)))


def _identity(runner: Runner) -> tuple[str, ...]:
    known = (runner.version, runner.device, runner.precision)
    return (runner.backend, *(each or "" for each in known), runner.threads)


def _speed(row: Row) -> float:
    return row.rtfx.value if row.rtfx else 0.0


def _median(entries: Sequence[Entry], look: Callable[[Entry], float | int | None]) -> float | None:
    known = [value for each in entries if (value := look(each)) is not None]
    return statistics.median(known) if known else None


def _class(
    hardware: str,
    members: Sequence[Submission],
    known: Sequence[Submission],
    alike: Mapping[str, int],
) -> MachineClass:
    standings, spread = peers.standings(
        {
            each.name: {
                (entry.work, entry.settings, entry.runner): pooled.speed(entry)
                for entry in each.entries
                if entry.rtf
            }
            for each in members
        }
    )
    return MachineClass(
        hardware,
        tuple(
            Member(
                name=each.name,
                started_at=each.started_at,
                os_version=each.os_version,
                python=each.python,
                tool=each.tool,
                cells=len(each.entries),
                cells_ok=sum(entry.status == "ok" for entry in each.entries),
                standing=standings[each.name],
                alike=tuple(
                    other.name
                    for other in known
                    if each.samples
                    and alike[each.samples] > 1
                    and other.samples == each.samples
                    and other is not each
                ),
            )
            for each in members
        ),
        spread,
    )
