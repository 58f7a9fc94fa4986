"""Submissions of many machines as one ranking per hardware class, contract, model and speech.

The result does not depend on the order of the submissions.
"""

from __future__ import annotations

import collections
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from mac_whisper_speedtest.accuracy import gate
from mac_whisper_speedtest.accuracy.score import Score
from mac_whisper_speedtest.backends.contract import SettingValue
from mac_whisper_speedtest.leaderboard import placing
from mac_whisper_speedtest.leaderboard.placing import MachineOutlier, PooledFigure, Spread
from mac_whisper_speedtest.leaderboard.submissions import (
    BoardSpeech,
    Configuration,
    Submission,
    SubmittedCell,
    Workload,
)
from mac_whisper_speedtest.summary.ranking import letter


@dataclass(frozen=True, slots=True)
class BoardRow:
    """One backend, version, device and precision on a board.

    Attributes:
        rank: the best rank in its group that the intervals allow; ``None`` if no run ended ``ok``.
        rank_last: the worst one.
        rtfx: audio seconds per processing second; ``None`` if no run ended ``ok``.
        error_rate: a fraction; ``None`` without reference texts.
        joules_per_audio_hour: energy above idle.
        energy_quality: how trustworthy that is.
        runs: how many runs tried it; those of machines where it is unavailable do not count.
        endings: status → number of runs.
        rounds: the number of rounds behind the speed.
        bundles: names of the bundles that tried it.
    """

    configuration: Configuration
    rank: int | None
    rank_last: int | None
    rtfx: PooledFigure | None
    error_rate: PooledFigure | None
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
    """Rows that did equal work; groups are not ranked against each other.

    Attributes:
        name: its letter; empty for failed runs whose settings are unknown.
        deviations: how the work differs from the contract, in words.
        rows: the fastest first.
    """

    name: str
    deviations: tuple[str, ...]
    fast_but_wrong: bool
    rows: tuple[BoardRow, ...]


@dataclass(frozen=True, slots=True)
class Board:
    """One hardware class, contract, model and speech.

    Attributes:
        contract: the requested settings.
        metric: ``wer`` or ``cer``; empty without reference texts.
        bundles: how many took part.
        margin: the relative difference below which nothing is ranked: the largest of its bundles'.
        groups: those that met the contract first; fast but wrong and failed ones last.
        unavailable: backend → in how many bundles it could not run.
    """

    workload: Workload
    contract: dict[str, SettingValue]
    speech: BoardSpeech
    metric: str
    bundles: int
    margin: float
    groups: tuple[BoardGroup, ...]
    unavailable: dict[str, int]


@dataclass(frozen=True, slots=True)
class ClassMember:
    """A bundle among those of its hardware class; see ``Submission``.

    Attributes:
        cells: the number of cells of its run.
        outlier: its comparison with its peers.
        alike: other bundles with exactly the same timings, which no two measurements have.
    """

    name: str
    started_at: str
    os_version: str
    python: str
    tool: str
    cells: int
    cells_ok: int
    outlier: MachineOutlier
    alike: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MachineClass:
    """All bundles of one hardware class; ``spread`` is ``None`` if too few can be compared."""

    hardware: str
    members: tuple[ClassMember, ...]
    spread: Spread | None


@dataclass(frozen=True, slots=True)
class Leaderboard:
    """Boards sorted by hardware, model, contract and speech, and the hardware classes."""

    boards: tuple[Board, ...]
    classes: tuple[MachineClass, ...]


def below_reference(cells: Sequence[SubmittedCell]) -> set[int]:
    """The indices of cells that are less accurate than a reference backend, beyond the margin.

    A run judges its cells by its own reference backend. Cells of a run without one are judged by
    the reference of the whole board: of these cells, those of the first of
    ``gate.REFERENCE_BACKENDS``, and of them the one with the median error rate, so that neither an
    invented perfect text nor a bad one decides.

    Args:
        cells: of one board, in a fixed order.
    """
    found = {number for number, each in enumerate(cells) if each.summary.fast_but_wrong}
    unjudged = {number: each.score for number, each in enumerate(cells) if each.score is not None}
    reference = _reference(cells, unjudged)
    if reference is None:
        return found
    against = unjudged[reference]
    for number, score in unjudged.items():
        if number != reference and _worse(against, score):
            found.add(number)
    return found


def _reference(cells: Sequence[SubmittedCell], unjudged: dict[int, Score]) -> int | None:
    backends = {number: cells[number].configuration.backend for number in sorted(unjudged)}
    chosen = gate.choose_reference(backends.values())
    rated = [
        (score.rate, cells[number].bundle, number)
        for number, score in unjudged.items()
        if backends[number] == chosen and score.rate is not None
    ]
    return sorted(rated)[(len(rated) - 1) // 2][2] if rated else None


def _worse(reference: Score, other: Score) -> bool:
    try:
        return gate.judge_gate(reference, other).verdict == "worse"
    except ValueError:  # other utterances, metric or rules cannot be compared
        return False


def build_leaderboard(submissions: Iterable[Submission]) -> Leaderboard:
    """The leaderboard of these submissions, which are of different runs.

    Raises:
        ValueError: a submission has impossible figures.
    """
    ordered = sorted(submissions, key=lambda each: (each.name, each.content_sha256))
    known = _with_references(ordered)
    workloads: defaultdict[Workload, list[SubmittedCell]] = defaultdict(list)
    classes: defaultdict[str, list[Submission]] = defaultdict(list)
    for each in known:
        classes[each.hardware].append(each)
        for cell in each.cells:
            workloads[cell.workload].append(cell)
    by_name = {each.name: each for each in known}
    boards = [_board(workload, cells, by_name) for workload, cells in workloads.items()]
    same_timings = collections.Counter(each.timings_sha256 for each in known)
    return Leaderboard(
        boards=tuple(sorted((board for board in boards if board.groups), key=_order)),
        classes=tuple(_class(name, classes[name], known, same_timings) for name in sorted(classes)),
    )


def _with_references(known: Sequence[Submission]) -> list[Submission]:
    """Puts cells without reference texts on the board of equal work with them.

    Only if all cells with reference texts have the same ones.
    """
    with_words: defaultdict[Workload, set[str]] = defaultdict(set)
    for each in known:
        for cell in each.cells:
            if cell.workload.words:
                with_words[replace(cell.workload, words="")].add(cell.workload.words)

    def completed(cell: SubmittedCell) -> SubmittedCell:
        words = with_words.get(cell.workload, set())
        if len(words) != 1:
            return cell
        return replace(cell, workload=replace(cell.workload, words=next(iter(words))))

    return [replace(each, cells=tuple(map(completed, each.cells))) for each in known]


def _order(board: Board) -> tuple[object, ...]:
    workload = board.workload
    return (
        workload.hardware,
        workload.model,
        str(board.contract.get("name")),
        board.speech.name,
        (workload.contract, workload.network, workload.speech, workload.words),
    )


def _board(
    workload: Workload, cells: Sequence[SubmittedCell], bundles: Mapping[str, Submission]
) -> Board:
    here = [bundles[name] for name in sorted({each.bundle for each in cells})]
    unavailable = collections.Counter(
        each.configuration.backend for each in cells if each.status == "unavailable"
    )
    margin = max(each.margin for each in here)
    return Board(
        workload=workload,
        contract=here[0].contracts[workload.contract],
        speech=min((each.speech[workload.speech] for each in here), key=lambda it: it.name),
        metric=min((it.metric for each in cells if (it := each.summary.accuracy)), default=""),
        bundles=len(here),
        margin=margin,
        groups=tuple(_groups(cells, margin, {each.name: each.level for each in here})),
        unavailable=dict(sorted(unavailable.items())),
    )


_RowKey = tuple[str, bool, Configuration]
"""Effective settings, whether fast but wrong, and the configuration."""


def _groups(
    cells: Sequence[SubmittedCell], margin: float, level: Mapping[str, float]
) -> list[BoardGroup]:
    """Groups cells by equal work, as ``summary.ranking`` does in one run."""
    wrong = below_reference(cells)
    rows: defaultdict[_RowKey, list[SubmittedCell]] = defaultdict(list)
    for number, each in enumerate(cells):
        if each.rtf:
            rows[each.settings, number in wrong, each.configuration].append(each)
    unplaced: defaultdict[Configuration, list[SubmittedCell]] = defaultdict(list)
    for each in cells:
        if each.rtf or each.status == "unavailable":
            continue
        own = [key for key in rows if _may_be(each.configuration, key[2])]
        (rows[own[0]] if len(own) == 1 else unplaced[each.configuration]).append(each)
    classes: defaultdict[tuple[str, bool], dict[Configuration, list[SubmittedCell]]]
    classes = defaultdict(dict)
    for (settings, is_wrong, configuration), members in rows.items():
        classes[settings, is_wrong][configuration] = members
    found = [
        (_deviations(members), is_wrong, _rows(members, margin, level))
        for (_, is_wrong), members in classes.items()
    ]
    found.sort(key=lambda it: (it[1], bool(it[0]), -_speed(it[2][0]), it[0]))
    groups = [
        BoardGroup(letter(index), deviations, is_wrong, tuple(ranked))
        for index, (deviations, is_wrong, ranked) in enumerate(found)
    ]
    if unplaced:
        failed = tuple(_rows(unplaced, margin, level))
        groups.append(BoardGroup("", (), fast_but_wrong=False, rows=failed))
    return groups


def _may_be(failed: Configuration, other: Configuration) -> bool:
    """Whether a failed cell may be of ``other``: nothing that it reported contradicts that."""
    same = failed.backend == other.backend and failed.threads == other.threads
    pairs = (
        (failed.version, other.version),
        (failed.device, other.device),
        (failed.precision, other.precision),
    )
    return same and all(mine in {None, theirs} for mine, theirs in pairs)


def _deviations(members: Mapping[Configuration, Sequence[SubmittedCell]]) -> tuple[str, ...]:
    found = {each for own in members.values() for cell in own for each in cell.deviations}
    return tuple(sorted(found))


def _rows(
    members: Mapping[Configuration, Sequence[SubmittedCell]],
    margin: float,
    level: Mapping[str, float],
) -> list[BoardRow]:
    """The ranked rows of one group, the fastest first."""
    names = {
        str(number): configuration
        for number, configuration in enumerate(sorted(members, key=_identity))
    }
    rounds = {
        name: {each.bundle: each.rtf for each in members[configuration] if each.rtf}
        for name, configuration in names.items()
    }
    ranks = placing.rank_rows(
        {name: own for name, own in rounds.items() if own}, margin=margin, level=level
    )
    rows = []
    for name, configuration in names.items():
        own = members[configuration]
        ok = [each for each in own if each.rtf]
        rank = ranks.get(name)
        qualities = {
            each.summary.energy_quality
            for each in ok
            if each.summary.joules_per_audio_hour is not None
        }
        rows.append(
            BoardRow(
                configuration=configuration,
                rank=rank.first if rank else None,
                rank_last=rank.last if rank else None,
                rtfx=placing.pooled_rtfx(ok) if ok else None,
                error_rate=placing.pooled_error_rate(ok),
                peak_rss_bytes=_median(ok, "peak_rss_bytes"),
                device_memory_bytes=_median(ok, "device_memory_bytes"),
                joules_per_audio_hour=_median(ok, "joules_per_audio_hour"),
                energy_quality="; ".join(sorted(qualities - {""})),
                load_s=_median(ok, "load_s"),
                runs_ok=len(ok),
                runs=len(own),
                endings=dict(sorted(collections.Counter(each.status for each in own).items())),
                rounds=sum(len(each.rtf) for each in ok),
                bundles=tuple(sorted({each.bundle for each in own})),
            )
        )
    return sorted(rows, key=lambda row: (-_speed(row), _identity(row.configuration)))


def _identity(configuration: Configuration) -> tuple[str, ...]:
    known = (configuration.version, configuration.device, configuration.precision)
    return (configuration.backend, *(each or "" for each in known), configuration.threads)


def _speed(row: BoardRow) -> float:
    return row.rtfx.value if row.rtfx else 0.0


def _median(cells: Sequence[SubmittedCell], figure: str) -> float | None:
    """Of the cells in which that field of the summary is known."""
    known = [value for each in cells if (value := getattr(each.summary, figure)) is not None]
    return statistics.median(known) if known else None


def _class(
    hardware: str,
    members: Sequence[Submission],
    known: Sequence[Submission],
    same_timings: Mapping[str, int],
) -> MachineClass:
    outliers, spread = placing.machine_outliers(
        {
            each.name: {
                (cell.workload, cell.settings, cell.configuration): placing.speed_of_cell(cell)
                for cell in each.cells
                if cell.rtf
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
            )
            for each in members
        ),
        spread,
    )
