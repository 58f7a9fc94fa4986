"""Many machines' bundles as one ranking per kind of machine, contract, model and speech.

Everything here is made of :class:`~mac_whisper_speedtest.leaderboard.submissions.Submission`, whose
figures were computed from samples. The result is the same in whatever order they are given.
"""

from __future__ import annotations

import collections
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from mac_whisper_speedtest.accuracy import gate
from mac_whisper_speedtest.accuracy.score import Score
from mac_whisper_speedtest.backends.contract import SettingValue
from mac_whisper_speedtest.leaderboard import placing
from mac_whisper_speedtest.leaderboard.placing import Figure, MachineOutlier, Spread
from mac_whisper_speedtest.leaderboard.submissions import (
    BoardSpeech,
    Configuration,
    Submission,
    SubmittedCell,
    Workload,
)
from mac_whisper_speedtest.summary.ranking import letter

# What a leaderboard is: boards of rows, and classes of machines. Types only.


@dataclass(frozen=True, slots=True)
class BoardRow:
    """One backend, version, device and precision on a board.

    Attributes:
        runner: what did the work.
        rank: the best rank in its group that is left open to it; ``None`` where no run of it
            ended ``ok``.
        rank_last: the worst.
        rtfx: audio seconds per processing second; ``None`` likewise.
        error_rate: a fraction; ``None`` where no words are known.
        peak_rss_bytes: memory of the worker.
        device_memory_bytes: of the accelerator.
        joules_per_audio_hour: energy above idle.
        energy_quality: how far that is to be trusted.
        load_s: seconds to load the weights.
        runs_ok: how many of its runs ended ``ok``.
        runs: how many tried, those that could not run there left out.
        endings: status → how many runs.
        rounds: how many rounds the speed rests on.
        bundles: names of the bundles that tried.
    """

    runner: Configuration
    rank: int | None
    rank_last: int | None
    rtfx: Figure | None
    error_rate: Figure | None
    peak_rss_bytes: float | None
    device_memory_bytes: float | None
    joules_per_audio_hour: float | None
    energy_quality: str
    load_s: float | None
    runs_ok: int
    runs: int
    endings: dict[str, int]
    rounds: int
    bundles: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BoardGroup:
    """Rows that did equal work; across groups there is no ranking.

    Attributes:
        name: its letter; empty for runs of which it is not known what they would have done.
        deviations: how the work differs from the contract, in words.
        wrong: whether they are fast but wrong.
        rows: the fastest first.
    """

    name: str
    deviations: tuple[str, ...]
    wrong: bool
    rows: tuple[BoardRow, ...]


@dataclass(frozen=True, slots=True)
class Board:
    """One kind of machine, contract, model and speech.

    Attributes:
        work: what was to be done.
        contract: its settings.
        speech: the audio.
        metric: ``wer`` or ``cer``; empty where no words are known.
        bundles: how many took part.
        margin: the relative difference below which nothing is ranked: the largest of its bundles'.
        groups: those that kept the contract first, what is wrong and what failed last.
        unavailable: backend → in how many bundles it could not run.
    """

    work: Workload
    contract: dict[str, SettingValue]
    speech: BoardSpeech
    metric: str
    bundles: int
    margin: float
    groups: tuple[BoardGroup, ...]
    unavailable: dict[str, int]


@dataclass(frozen=True, slots=True)
class ClassMember:
    """A bundle among those of its class.

    Attributes:
        name: see ``Submission``.
        started_at: as its run says.
        os_version: likewise.
        python: likewise.
        tool: likewise.
        cells: of its run.
        cells_ok: of these, ended ``ok``.
        standing: whether it is off its peers.
        alike: other bundles with exactly the same timings, which no two measurements have.
    """

    name: str
    started_at: str
    os_version: str
    python: str
    tool: str
    cells: int
    cells_ok: int
    standing: MachineOutlier
    alike: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MachineClass:
    """All bundles of one hardware class; ``spread`` is ``None`` where too few can be compared."""

    hardware: str
    members: tuple[ClassMember, ...]
    spread: Spread | None


@dataclass(frozen=True, slots=True)
class Leaderboard:
    """Boards in the order of hardware, model, contract and speech, and the classes of machines."""

    boards: tuple[Board, ...]
    classes: tuple[MachineClass, ...]


# Which entries of a board are fast but wrong.


def below_reference(entries: Sequence[SubmittedCell]) -> set[int]:
    """The indices of those that are worse than a reference backend beyond the gate's margin.

    A run compares its cells with its own reference backend. A run of one backend alone has nothing
    to compare it with; it is compared with the reference of the whole board: of the entries that
    were not judged either, those of the first of ``gate.REFERENCE_BACKENDS``, and of these the one
    with the median error rate, so that neither a text made up to be perfect nor a bad one decides.

    Args:
        entries: of one board, in a fixed order.
    """
    found = {number for number, each in enumerate(entries) if each.wrong}
    alone = {number: each.score for number, each in enumerate(entries) if each.score is not None}
    reference = _reference(entries, alone)
    if reference is None:
        return found
    against = alone[reference]
    for number, score in alone.items():
        if number != reference and _worse(against, score):
            found.add(number)
    return found


def _reference(entries: Sequence[SubmittedCell], alone: dict[int, Score]) -> int | None:
    backends = {number: entries[number].runner.backend for number in sorted(alone)}
    chosen = gate.choose_reference(backends.values())
    rated = [
        (score.rate, entries[number].bundle, number)
        for number, score in alone.items()
        if backends[number] == chosen and score.rate is not None
    ]
    return sorted(rated)[(len(rated) - 1) // 2][2] if rated else None


def _worse(reference: Score, other: Score) -> bool:
    try:
        return gate.judge_gate(reference, other).verdict == "worse"
    except ValueError:  # other utterances, metric or rules: nothing to compare
        return False


def build(submissions: Iterable[Submission]) -> Leaderboard:
    """The leaderboard of these bundles, each there once.

    Raises:
        ValueError: a bundle's figures are not what can be measured.
    """
    known = _joined(sorted(submissions, key=lambda each: (each.name, each.content)))
    works: defaultdict[Workload, list[SubmittedCell]] = defaultdict(list)
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
    with_words: defaultdict[Workload, set[str]] = defaultdict(set)
    for each in known:
        for entry in each.entries:
            if entry.work.words:
                with_words[replace(entry.work, words="")].add(entry.work.words)

    def joined(entry: SubmittedCell) -> SubmittedCell:
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


def _board(
    work: Workload, entries: Sequence[SubmittedCell], bundles: Mapping[str, Submission]
) -> Board:
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


_RowKey = tuple[str, bool, Configuration]
"""What was done, whether it was wrong, and by what."""


def _groups(
    entries: Sequence[SubmittedCell], margin: float, level: Mapping[str, float]
) -> list[BoardGroup]:
    """Cells of equal work together, as ``summary.ranking`` does it in one run."""
    wrong = below_reference(entries)
    rows: defaultdict[_RowKey, list[SubmittedCell]] = defaultdict(list)
    failed = []
    for number, each in enumerate(entries):
        if each.rtf:
            rows[each.settings, number in wrong, each.runner].append(each)
        elif each.status != "unavailable":
            failed.append(each)
    unplaced: defaultdict[Configuration, list[SubmittedCell]] = defaultdict(list)
    for each in failed:
        own = [key for key in rows if _may_be(each.runner, key[2])]
        (rows[own[0]] if len(own) == 1 else unplaced[each.runner]).append(each)
    classes: defaultdict[tuple[str, bool], dict[Configuration, list[SubmittedCell]]] = defaultdict(
        dict
    )
    for (settings, is_wrong, runner), own_entries in rows.items():
        classes[settings, is_wrong][runner] = own_entries
    found = [
        (_deviations(members), is_wrong, _rows(members, margin, level))
        for (_, is_wrong), members in classes.items()
    ]
    found.sort(key=lambda it: (it[1], bool(it[0]), -_speed(it[2][0]), it[0]))
    groups = [
        BoardGroup(letter(index), deviations, is_wrong, tuple(members))
        for index, (deviations, is_wrong, members) in enumerate(found)
    ]
    if unplaced:
        groups.append(BoardGroup("", (), wrong=False, rows=tuple(_rows(unplaced, margin, level))))
    return groups


def _may_be(failed: Configuration, other: Configuration) -> bool:
    """Whether what failed may have been ``other``: it does not contradict in what it could say."""
    same = failed.backend == other.backend and failed.threads == other.threads
    pairs = (
        (failed.version, other.version),
        (failed.device, other.device),
        (failed.precision, other.precision),
    )
    return same and all(mine in {None, theirs} for mine, theirs in pairs)


def _deviations(members: Mapping[Configuration, Sequence[SubmittedCell]]) -> tuple[str, ...]:
    found = {each for own in members.values() for entry in own for each in entry.deviations}
    return tuple(sorted(found))


def _rows(
    members: Mapping[Configuration, Sequence[SubmittedCell]],
    margin: float,
    level: Mapping[str, float],
) -> list[BoardRow]:
    """The rows of one group, the fastest first, with their ranks."""
    names = {str(number): runner for number, runner in enumerate(sorted(members, key=_identity))}
    rounds = {
        name: {each.bundle: each.rtf for each in members[runner] if each.rtf}
        for name, runner in names.items()
    }
    ranks = placing.ranks(
        {name: own for name, own in rounds.items() if own}, margin=margin, level=level
    )
    rows = []
    for name, runner in names.items():
        own = members[runner]
        sound = [each for each in own if each.rtf]
        rank = ranks.get(name)
        energy = [each for each in sound if each.joules_per_audio_hour is not None]
        rows.append(
            BoardRow(
                runner=runner,
                rank=rank.first if rank else None,
                rank_last=rank.last if rank else None,
                rtfx=placing.rtfx(sound) if sound else None,
                error_rate=placing.error_rate(sound),
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


def _identity(runner: Configuration) -> tuple[str, ...]:
    known = (runner.version, runner.device, runner.precision)
    return (runner.backend, *(each or "" for each in known), runner.threads)


def _speed(row: BoardRow) -> float:
    return row.rtfx.value if row.rtfx else 0.0


def _median(
    entries: Sequence[SubmittedCell], look: Callable[[SubmittedCell], float | int | None]
) -> float | None:
    known = [value for each in entries if (value := look(each)) is not None]
    return statistics.median(known) if known else None


def _class(
    hardware: str,
    members: Sequence[Submission],
    known: Sequence[Submission],
    alike: Mapping[str, int],
) -> MachineClass:
    standings, spread = placing.standings(
        {
            each.name: {
                (entry.work, entry.settings, entry.runner): placing.speed(entry)
                for entry in each.entries
                if entry.rtf
            }
            for each in members
        }
    )
    return MachineClass(
        hardware,
        tuple(
            ClassMember(
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
