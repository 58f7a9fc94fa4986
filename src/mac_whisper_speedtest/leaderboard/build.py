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
from mac_whisper_speedtest.leaderboard.machines import (
    MachineClass,
    OddRows,
    classes_of,
    odd_rows,
    row_key,
)
from mac_whisper_speedtest.leaderboard.peers import Dispute
from mac_whisper_speedtest.leaderboard.placing import PooledFigure
from mac_whisper_speedtest.leaderboard.submissions import (
    BoardSpeech,
    Configuration,
    Submission,
    SubmittedCell,
    Workload,
)
from mac_whisper_speedtest.summary.ranking import letter


@dataclass(frozen=True, slots=True)
class DoubtedCell:
    """A cell that is not believed; ``bundle`` is its name."""

    bundle: str
    why: str


@dataclass(frozen=True, slots=True)
class BoardRow:
    """One backend, version, device and precision on a board.

    Attributes:
        rank: the best rank in its group that the intervals allow; ``None`` if no run ended ``ok``.
        rank_last: the worst one.
        rtfx: audio seconds per processing second; ``None`` if no run ended ``ok``.
        error_rate: a fraction; ``None`` without reference texts.
        peak_memory_kind: see ``Summary``; one system, and so one board, has one.
        joules_per_audio_hour: energy above idle.
        energy_quality: how trustworthy that is.
        runs: how many runs tried it; those of machines where it is unavailable do not count.
        endings: status → number of runs.
        rounds: the number of rounds behind the speed.
        bundles: names of the bundles that tried it.
        dispute: its bundles that contradict each other; such a row has no rank.
        left_out: bundles with a cell that does not count in the row, and why.
    """

    configuration: Configuration
    rank: int | None
    rank_last: int | None
    rtfx: PooledFigure | None
    error_rate: PooledFigure | None
    peak_memory_bytes: float | None
    peak_memory_kind: str
    device_memory_bytes: float | None
    joules_per_audio_hour: float | None
    energy_quality: str
    load_s: float | None
    runs_ok: int
    runs: int
    endings: dict[str, int]
    rounds: int
    bundles: tuple[str, ...]
    dispute: Dispute | None
    left_out: tuple[DoubtedCell, ...]


@dataclass(frozen=True, slots=True)
class RankTie:
    """Two rows of which neither is ranked before the other, and why, in words."""

    a: Configuration
    b: Configuration
    why: str


@dataclass(frozen=True, slots=True)
class BoardGroup:
    """Rows that did equal work; groups are not ranked against each other.

    Attributes:
        name: its letter; empty for failed runs whose settings are unknown.
        deviations: how the work differs from the contract, in words.
        rows: the fastest first.
        ties: rows whose ranks overlap although their intervals do not.
    """

    name: str
    deviations: tuple[str, ...]
    fast_but_wrong: bool
    rows: tuple[BoardRow, ...]
    ties: tuple[RankTie, ...] = ()


@dataclass(frozen=True, slots=True)
class Board:
    """One hardware class, contract, model and speech.

    Attributes:
        contract: the requested settings.
        metric: ``wer`` or ``cer``; empty without reference texts.
        bundles: how many took part.
        margin: smaller relative differences are not ranked: the largest margin of its bundles.
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
    found = {
        number for number, each in enumerate(cells) if each.rtf and each.summary.fast_but_wrong
    }
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
    odd = odd_rows(known)
    workloads: defaultdict[Workload, list[SubmittedCell]] = defaultdict(list)
    for cell in (cell for each in known for cell in each.cells):
        workloads[cell.workload].append(cell)
    by_name = {each.name: each for each in known}
    boards = [_board(workload, cells, by_name, odd) for workload, cells in workloads.items()]
    return Leaderboard(
        boards=tuple(sorted((board for board in boards if board.groups), key=_order)),
        classes=classes_of(known, odd),
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
    workload: Workload,
    cells: Sequence[SubmittedCell],
    bundles: Mapping[str, Submission],
    odd: OddRows,
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
        groups=tuple(_groups(cells, _Rules(margin, bundles, odd))),
        unavailable=dict(sorted(unavailable.items())),
    )


_RowKey = tuple[str, bool, Configuration]
"""Effective settings, whether fast but wrong, and the configuration."""


@dataclass(frozen=True, slots=True)
class _Rules:
    """What rows of a board are made by."""

    margin: float
    bundles: Mapping[str, Submission]
    odd: OddRows


def _groups(cells: Sequence[SubmittedCell], rules: _Rules) -> list[BoardGroup]:
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
        (_deviations(members), is_wrong, _rows(members, rules))
        for (_, is_wrong), members in classes.items()
    ]
    found.sort(key=lambda it: (it[1], bool(it[0]), -_speed(it[2][0][0]), it[0]))
    groups = [
        BoardGroup(letter(index), deviations, is_wrong, tuple(ranked), tuple(ties))
        for index, (deviations, is_wrong, (ranked, ties)) in enumerate(found)
    ]
    if unplaced:
        failed = tuple(_rows(unplaced, rules)[0])
        groups.append(BoardGroup("", (), fast_but_wrong=False, rows=failed))
    return groups


def _may_be(failed: Configuration, other: Configuration) -> bool:
    """Whether a failed cell may belong to ``other``: its reports do not contradict it."""
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
    members: Mapping[Configuration, Sequence[SubmittedCell]], rules: _Rules
) -> tuple[list[BoardRow], list[RankTie]]:
    """The ranked rows of one group, the fastest first; those without a rank come last."""
    names = {
        str(number): configuration
        for number, configuration in enumerate(sorted(members, key=_identity))
    }
    counted = {name: _counted(members[names[name]], rules) for name in names}
    disputes = {name: _dispute(members[names[name]], rules.odd) for name in names}
    placed = placing.rank_rows(
        {
            name: {each.bundle: each.rtf for each in own}
            for name, own in counted.items()
            if own and disputes[name] is None
        },
        margin=rules.margin,
        level={
            each.bundle: rules.bundles[each.bundle].level
            for own in counted.values()
            for each in own
        },
    )
    rows = []
    for name, configuration in names.items():
        own, good, rank = members[configuration], counted[name], placed.ranks.get(name)
        ok = [each for each in own if each.rtf]
        qualities = {
            each.summary.energy_quality
            for each in good
            if each.summary.joules_per_audio_hour is not None
        }
        rows.append(
            BoardRow(
                configuration=configuration,
                rank=rank.first if rank else None,
                rank_last=rank.last if rank else None,
                rtfx=placing.pooled_rtfx(good) if good else None,
                error_rate=placing.pooled_error_rate(good),
                peak_memory_bytes=_median(good, "peak_memory_bytes"),
                peak_memory_kind=good[0].summary.peak_memory_kind if good else "",
                device_memory_bytes=_median(good, "device_memory_bytes"),
                joules_per_audio_hour=_median(good, "joules_per_audio_hour"),
                energy_quality="; ".join(sorted(qualities - {""})),
                load_s=_median(good, "load_s"),
                runs_ok=len(ok),
                runs=len(own),
                endings=dict(sorted(collections.Counter(each.status for each in own).items())),
                rounds=sum(len(each.rtf) for each in good),
                bundles=tuple(sorted({each.bundle for each in own})),
                dispute=disputes[name],
                left_out=tuple(
                    DoubtedCell(each.bundle, why)
                    for each in ok
                    if (why := rules.odd.left_out.get((each.bundle, row_key(each))))
                ),
            )
        )
    by_configuration = {row.configuration: row for row in rows}
    ties = [
        RankTie(names[a], names[b], why)
        for (a, b), why in placed.ties.items()
        if _apart(by_configuration[names[a]].rtfx, by_configuration[names[b]].rtfx)
    ]
    rows.sort(key=lambda row: (row.rank is None, -_speed(row), _identity(row.configuration)))
    return rows, sorted(ties, key=lambda tie: (_identity(tie.a), _identity(tie.b)))


def _apart(one: PooledFigure | None, other: PooledFigure | None) -> bool:
    """Whether two intervals (or ranges) do not overlap."""
    if one is None or other is None or None in {one.low, one.high, other.low, other.high}:
        return False
    return one.high < other.low or other.high < one.low  # type: ignore[operator]


def _counted(own: Sequence[SubmittedCell], rules: _Rules) -> list[SubmittedCell]:
    """The cells behind figures and ranks: of one signer only the newest run's."""
    good = [
        each for each in own if each.rtf and (each.bundle, row_key(each)) not in rules.odd.left_out
    ]
    newest: dict[str, tuple[str, str]] = {}
    for each in good:
        bundle = rules.bundles[each.bundle]
        age = (bundle.started_at, bundle.name)
        newest[bundle.signer] = max(newest.get(bundle.signer, age), age)
    return [
        each
        for each in good
        if not (signer := rules.bundles[each.bundle].signer) or newest[signer][1] == each.bundle
    ]


def _dispute(own: Sequence[SubmittedCell], odd: OddRows) -> Dispute | None:
    return next((found for each in own if (found := odd.disputed.get(row_key(each)))), None)


def _identity(configuration: Configuration) -> tuple[str, ...]:
    known = (configuration.version, configuration.device, configuration.precision)
    return (configuration.backend, *(each or "" for each in known), configuration.threads)


def _speed(row: BoardRow) -> float:
    return row.rtfx.value if row.rtfx else 0.0


def _median(cells: Sequence[SubmittedCell], figure: str) -> float | None:
    """Of the cells in which that field of the summary is known."""
    known = [value for each in cells if (value := getattr(each.summary, figure)) is not None]
    return statistics.median(known) if known else None
