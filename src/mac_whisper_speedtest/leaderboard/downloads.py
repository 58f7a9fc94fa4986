"""The leaderboard for other programs: JSON with everything, and CSV with a line per row.

Numbers have nine significant digits: more than any measurement has, and fewer than the last ones,
in which the mathematics libraries of two systems may differ. So the files are the same everywhere.
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from mac_whisper_speedtest.export import csv
from mac_whisper_speedtest.export.columns import Column, Kind, Value
from mac_whisper_speedtest.leaderboard import words
from mac_whisper_speedtest.leaderboard.boards import Board, Group, Leaderboard, Row
from mac_whisper_speedtest.leaderboard.intake import Refusal

FORMAT_VERSION = 1


@dataclass(frozen=True, slots=True)
class _Line:
    """A row with what it is a row of."""

    board: Board
    group: Group
    row: Row
    state: str
    bundles: int


_STRING, _INTEGER, _NUMBER = Kind.STRING, Kind.INTEGER, Kind.NUMBER
COLUMNS: tuple[Column, ...] = (
    Column("hardware", _STRING, "", "the kind of machine", "board.work.hardware"),
    Column("contract", _STRING, "", "name of the decode contract", "board.contract.name"),
    Column("contract_sha256", _STRING, "", "hash of its settings", "board.work.contract"),
    Column("model", _STRING, "", "canonical name of the model", "board.work.model"),
    Column("network_sha256", _STRING, "", "hash of its weights", "board.work.network"),
    Column("clip", _STRING, "", "name of the recording or set", "board.speech.name"),
    Column("audio_s", _NUMBER, "s", "duration of the speech", "board.speech.seconds"),
    Column("pcm_sha256", _STRING, "", "hash of the speech's samples", "board.work.speech"),
    Column("backend", _STRING, "", "name of the backend", "row.runner.backend"),
    Column("backend_version", _STRING, "", "its version", "row.runner.version"),
    Column("device", _STRING, "", "device in use", "row.runner.device"),
    Column("precision", _STRING, "", "precision in use", "row.runner.precision"),
    Column("threads", _STRING, "", "threads that were asked for", "row.runner.threads"),
    Column("state", _STRING, "", "ok, too wrong or failed", "state"),
    Column("group", _STRING, "", "letter of the rows that did equal work", "group.name"),
    Column("place", _INTEGER, "", "best place open to it in its group", "row.place"),
    Column("place_last", _INTEGER, "", "worst place open to it", "row.place_last"),
    Column("rtfx", _NUMBER, "", "audio seconds per processing second", "row.rtfx.value"),
    Column("rtfx_low", _NUMBER, "", "lower end of what rtfx_basis says", "row.rtfx.low"),
    Column("rtfx_high", _NUMBER, "", "upper end of it", "row.rtfx.high"),
    Column("rtfx_basis", _STRING, "", "rounds, bundles or range", "row.rtfx.basis"),
    Column("interval_level", _NUMBER, "", "level of the interval", "row.rtfx.level"),
    Column("metric", _STRING, "", "wer or cer", "board.metric"),
    Column("error_rate", _NUMBER, "", "of the texts, a fraction", "row.error_rate.value"),
    Column("error_rate_low", _NUMBER, "", "smallest of the bundles'", "row.error_rate.low"),
    Column("error_rate_high", _NUMBER, "", "largest of the bundles'", "row.error_rate.high"),
    Column("peak_rss_bytes", _NUMBER, "bytes", "memory of the worker", "row.peak_rss_bytes"),
    Column(
        "device_memory_bytes", _NUMBER, "bytes", "of the accelerator", "row.device_memory_bytes"
    ),
    Column(
        "joules_per_audio_hour", _NUMBER, "J/h", "energy above idle", "row.joules_per_audio_hour"
    ),
    Column("energy_quality", _STRING, "", "how good that figure is", "row.energy_quality"),
    Column("load_s", _NUMBER, "s", "loading the weights", "row.load_s"),
    Column("bundles", _INTEGER, "", "bundles that tried", "bundles"),
    Column("runs_ok", _INTEGER, "", "runs that ended ok", "row.runs_ok"),
    Column("runs", _INTEGER, "", "runs that tried", "row.runs"),
    Column("rounds", _INTEGER, "", "rounds that the speed rests on", "row.rounds"),
)


def to_csv(leaderboard: Leaderboard) -> bytes:
    """RFC 4180 in UTF-8; formulas are neutralised as in every CSV of this tool."""
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
    # A lone surrogate has no form in UTF-8; JSON's own escapes hold it.
    return text.encode(errors="backslashreplace") + b"\n"


def _lines(leaderboard: Leaderboard) -> Iterator[_Line]:
    for board in leaderboard.boards:
        for group in board.groups:
            for row in group.rows:
                yield _Line(board, group, row, words.state(group, row), len(row.bundles))


def _values(line: _Line) -> list[Value]:
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
