"""The leaderboard's files: one page, JSON and CSV; written completely or not at all."""

from __future__ import annotations

import io
import json
import math
import shutil
import tempfile
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import msgspec

from mac_whisper_speedtest import files
from mac_whisper_speedtest.errors import UsageError
from mac_whisper_speedtest.export import csv
from mac_whisper_speedtest.leaderboard import sections
from mac_whisper_speedtest.leaderboard.build import Board, BoardGroup, BoardRow, Leaderboard
from mac_whisper_speedtest.leaderboard.intake import Intake, Refusal
from mac_whisper_speedtest.leaderboard.peers import MIN_PEERS, ODD_FACTOR
from mac_whisper_speedtest.printable import clipped, escaped_json
from mac_whisper_speedtest.report.html import page
from mac_whisper_speedtest.report.tables import ReportTable, TableColumn, TableRow
from mac_whisper_speedtest.results.cells import MISSING, counted
from mac_whisper_speedtest.results.columns import FlatColumn, Kind, Value
from mac_whisper_speedtest.stats.outliers import CUT

_TITLE = "Whisper leaderboard"
_LONGEST = 500


def index_page(leaderboard: Leaderboard, intake: Intake) -> str:
    """The page. It shows everything without a script, which only filters and sorts."""
    known = leaderboard.boards
    off = [each.name for kind in leaderboard.classes for each in kind.members if each.outlier.off]
    choices = {
        "hardware": sorted({sections.filter_value(each.workload.hardware) for each in known}),
        "model": sorted({sections.filter_value(each.workload.model) for each in known}),
        "contract": sorted({sections.filter_value(sections.contract_name(each)) for each in known}),
        "state": sections.STATES,
    }
    body = page.render(
        "leaderboard.html",
        package=__package__,
        title=_TITLE,
        totals=[
            counted(len(intake.accepted), "bundle"),
            counted(len(leaderboard.classes), "kind of machine", "kinds of machine"),
            counted(len(known), "board"),
        ],
        off=counted(len(off), "bundle") if off else "",
        repeated=counted(intake.repeated, "bundle") if intake.repeated else "",
        refused_total=counted(len(intake.refused), "bundle"),
        refused=_refused(intake.refused),
        choices=choices if known else None,
        filtered=[sections.table_id(number) for number in range(len(known))],
        kinds=_kinds(leaderboard, frozenset(off)),
        machines=sections.machines_section(leaderboard.classes),
        cut=CUT,
        min_peers=MIN_PEERS,
        odd_factor=ODD_FACTOR,
    )
    return page.page(
        title=_TITLE,
        body=body,
        styles=page.shared(__package__, "leaderboard.css"),
        scripts=page.shared(__package__, "leaderboard.js"),
    )


def _kinds(
    leaderboard: Leaderboard, off: Collection[str]
) -> list[tuple[str, list[dict[str, object]]]]:
    """Hardware class and its boards, as the template shows them."""
    numbered = enumerate(leaderboard.boards)

    def hardware(item: tuple[int, Board]) -> str:
        return item[1].workload.hardware

    return [
        (
            clipped(name, _LONGEST),
            [sections.board_section(number, board, off) for number, board in own],
        )
        for name, own in groupby(numbered, key=hardware)
    ]


def _refused(refused: tuple[Refusal, ...]) -> ReportTable | None:
    if not refused:
        return None
    columns = (TableColumn("file"), TableColumn("SHA-256"), TableColumn("reason", long=True))
    rows = [
        TableRow(
            [
                clipped(each.name, 200),
                sections.short_name(each.sha256) or MISSING,
                clipped(each.reason, 500),
            ]
        )
        for each in refused
    ]
    return ReportTable(columns, [rows], caption="Bundles that were refused", name="refused-files")


# JSON and CSV. Numbers have nine significant digits: more than any measurement has, but without the
# last ones, in which mathematics libraries differ. So the files are equal on every system.

FORMAT_VERSION = 1


@dataclass(frozen=True, slots=True)
class _DownloadLine:
    """A row with its board and group: what the columns' paths begin at."""

    board: Board
    group: BoardGroup
    row: BoardRow
    state: str
    bundles: int


_STRING, _INTEGER, _NUMBER = Kind.STRING, Kind.INTEGER, Kind.NUMBER
COLUMNS: tuple[FlatColumn, ...] = (
    FlatColumn("hardware", _STRING, "", "hardware class", "board.workload.hardware"),
    FlatColumn("contract", _STRING, "", "name of the decode contract", "board.contract.name"),
    FlatColumn("contract_sha256", _STRING, "", "hash of its settings", "board.workload.contract"),
    FlatColumn("model", _STRING, "", "canonical name of the model", "board.workload.model"),
    FlatColumn("network_sha256", _STRING, "", "hash of its weights", "board.workload.network"),
    FlatColumn("clip", _STRING, "", "name of the recording or set", "board.speech.name"),
    FlatColumn("audio_s", _NUMBER, "s", "duration of the speech", "board.speech.seconds"),
    FlatColumn("pcm_sha256", _STRING, "", "hash of the speech's samples", "board.workload.speech"),
    FlatColumn("backend", _STRING, "", "name of the backend", "row.configuration.backend"),
    FlatColumn("backend_version", _STRING, "", "its version", "row.configuration.version"),
    FlatColumn("device", _STRING, "", "device in use", "row.configuration.device"),
    FlatColumn("precision", _STRING, "", "precision in use", "row.configuration.precision"),
    FlatColumn("threads", _STRING, "", "threads requested", "row.configuration.threads"),
    FlatColumn("state", _STRING, "", "ok, fast but wrong, failed, disputed, left out", "state"),
    FlatColumn("group", _STRING, "", "letter shared by rows that did equal work", "group.name"),
    FlatColumn("rank", _INTEGER, "", "best possible rank in its group", "row.rank"),
    FlatColumn("rank_last", _INTEGER, "", "worst possible rank", "row.rank_last"),
    FlatColumn("rtfx", _NUMBER, "", "audio seconds per processing second", "row.rtfx.value"),
    FlatColumn("rtfx_low", _NUMBER, "", "lower end of the interval or range", "row.rtfx.low"),
    FlatColumn("rtfx_high", _NUMBER, "", "upper end", "row.rtfx.high"),
    FlatColumn(
        "rtfx_basis", _STRING, "", "what that is of: rounds, bundles or range", "row.rtfx.basis"
    ),
    FlatColumn("interval_level", _NUMBER, "", "confidence level of the interval", "row.rtfx.level"),
    FlatColumn("metric", _STRING, "", "wer or cer", "board.metric"),
    FlatColumn("error_rate", _NUMBER, "", "error rate, a fraction", "row.error_rate.value"),
    FlatColumn("error_rate_low", _NUMBER, "", "lowest end of its interval", "row.error_rate.low"),
    FlatColumn(
        "error_rate_high", _NUMBER, "", "highest end of its interval", "row.error_rate.high"
    ),
    FlatColumn(
        "peak_memory_bytes", _NUMBER, "bytes", "peak memory of the worker", "row.peak_memory_bytes"
    ),
    FlatColumn(
        "peak_memory_kind", _STRING, "", "which: footprint or resident", "row.peak_memory_kind"
    ),
    FlatColumn(
        "device_memory_bytes",
        _NUMBER,
        "bytes",
        "peak memory of the accelerator",
        "row.device_memory_bytes",
    ),
    FlatColumn(
        "joules_per_audio_hour", _NUMBER, "J/h", "energy above idle", "row.joules_per_audio_hour"
    ),
    FlatColumn(
        "energy_quality", _STRING, "", "how trustworthy that figure is", "row.energy_quality"
    ),
    FlatColumn("load_s", _NUMBER, "s", "time to load the weights", "row.load_s"),
    FlatColumn("bundles", _INTEGER, "", "bundles that tried it", "bundles"),
    FlatColumn("runs_ok", _INTEGER, "", "runs that ended ok", "row.runs_ok"),
    FlatColumn("runs", _INTEGER, "", "runs that tried it", "row.runs"),
    FlatColumn("rounds", _INTEGER, "", "rounds behind the speed", "row.rounds"),
)


def to_csv(leaderboard: Leaderboard) -> bytes:
    """RFC 4180 in UTF-8; formulas are neutralized as in every CSV file of this tool."""
    out = io.BytesIO()
    csv.write_csv(COLUMNS, map(_values, _lines(leaderboard)), out)
    return out.getvalue()


def to_json(leaderboard: Leaderboard, refused: tuple[Refusal, ...], repeated: int) -> bytes:
    """Everything, keys in order, one trailing newline."""
    document = {
        "format": "mac-whisper-speedtest leaderboard",
        "format_version": FORMAT_VERSION,
        "boards": msgspec.to_builtins(leaderboard.boards),
        "machine_classes": msgspec.to_builtins(leaderboard.classes),
        "refused": msgspec.to_builtins(refused),
        "repeated": repeated,
    }
    text = json.dumps(
        _rounded(document), indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False
    )
    # UTF-8 cannot encode a lone surrogate; JSON's own escapes can.
    return escaped_json(text).encode() + b"\n"


def _lines(leaderboard: Leaderboard) -> Iterator[_DownloadLine]:
    for board in leaderboard.boards:
        for group in board.groups:
            for row in group.rows:
                yield _DownloadLine(
                    board, group, row, sections.row_state(group, row), len(row.bundles)
                )


def _values(line: _DownloadLine) -> list[Value]:
    found = [column.value(line) for column in COLUMNS]
    return [_short(value) if isinstance(value, float) else value for value in found]


def _rounded(value: object) -> object:
    if isinstance(value, float):
        return _short(value)
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(each) for each in value]
    return value


def _short(value: float) -> float | None:
    return float(f"{value:.9g}") if math.isfinite(value) else None


MARKER = ".speedtest-leaderboard"
"""Marker: this tool created the folder and may recreate it."""

_MARK = b"Made by: speedtest leaderboard build. It replaces all files of this folder.\n"


def site_files(leaderboard: Leaderboard, intake: Intake) -> dict[str, bytes]:
    """File name → content: the same bytes for the same bundles."""
    return {
        MARKER: _MARK,
        "index.html": index_page(leaderboard, intake).encode(),
        "leaderboard.csv": to_csv(leaderboard),
        "leaderboard.json": to_json(leaderboard, intake.refused, intake.repeated),
    }


def check_target(target: Path) -> None:
    """Make sure that at most an older site of this tool would be replaced.

    Raises:
        UsageError: ``target`` contains something else.
    """
    if not target.exists() and not target.is_symlink():
        return
    if not target.is_dir():
        raise UsageError(f"{target} is not a folder", hint="name another one with -o")
    existing = {each.name for each in target.iterdir()}
    if existing and MARKER not in existing:
        raise UsageError(
            f"{target} contains something other than a leaderboard of this tool",
            hint="name a new or an empty folder with -o",
        )
    others = sorted(existing - {MARKER, "index.html", "leaderboard.csv", "leaderboard.json"})
    if others:
        raise UsageError(
            f"{target} also contains {', '.join(others[:3])}, which this tool did not write",
            hint="move it elsewhere, or name another folder with -o",
        )


def write_site(target: Path, content: Mapping[str, bytes]) -> None:
    """Replace the site at ``target`` as a whole: the result is the old site or the new one.

    The site is missing briefly between the two renames; a failure then restores the old one.

    Raises:
        UsageError: ``target`` contains something else than a site.
        StorageError: it cannot be written.
    """
    check_target(target)
    target = target.resolve()
    aside: Path | None = None
    try:
        with files.staged_directory(target) as staging:
            for name, data in content.items():
                (staging / name).write_bytes(data)
            if target.is_dir():
                # Named like a staging folder, so that the next build removes leftovers.
                aside = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
                target.rename(aside / target.name)
    except BaseException:
        if aside is not None and (aside / target.name).is_dir() and not target.exists():
            (aside / target.name).rename(target)
        raise
    finally:
        if aside is not None and target.exists():
            shutil.rmtree(aside, ignore_errors=True)
