"""Writing a run for other programs: JSON (everything) and CSV (one row per cell).

The columns and fields are documented in docs/results.md; ``schema_version`` is in both.
"""

from __future__ import annotations

import csv
import io
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from mac_whisper_speedtest import durable
from mac_whisper_speedtest.errors import UsageError
from mac_whisper_speedtest.results.directory import pretty
from mac_whisper_speedtest.results.schema import CellResult, Run

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def to_json(run: Run) -> str:
    """The whole run, exactly as ``run.json``."""
    return pretty(run).decode()


def to_csv(run: Run) -> str:
    """One row per cell, RFC 4180, a header line first; what is not known is an empty field."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(_COLUMNS)
    for cell in run.cells:
        writer.writerow([_cell_text(look(run, cell)) for look in _COLUMNS.values()])
    return out.getvalue()


_FORMATS: Mapping[str, Callable[[Run], str]] = MappingProxyType({".json": to_json, ".csv": to_csv})


def check_writable(path: Path) -> None:
    """Find out before anything is measured whether ``path`` can be written.

    Raises:
        UsageError: an unknown ending, or a place that cannot be written to.
    """
    if path.suffix.lower() not in _FORMATS:
        raise UsageError(
            f"cannot write {path}: unknown ending {path.suffix!r}",
            hint=f"use one of {', '.join(_FORMATS)}",
        )
    hint = "name a file in a folder that exists and that you may write to"
    if path.is_dir():
        raise UsageError(f"cannot write {path}: it is a folder", hint=hint)
    try:
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}", hint=hint) from error
    if path.exists() and not os.access(path, os.W_OK):
        raise UsageError(f"cannot write {path}: Permission denied", hint=hint)


def write(run: Run, path: Path) -> None:
    """Write the run in the format that the ending of ``path`` names. Raises StorageError."""
    durable.write_bytes(path, _FORMATS[path.suffix.lower()](run).encode())


_Look = Callable[[Run, CellResult], object]


def _summary(name: str) -> _Look:
    return lambda _run, cell: getattr(cell.summary, name) if cell.summary else None


def _part(whole: str, name: str) -> _Look:
    def look(_run: Run, cell: CellResult) -> object:
        found = getattr(cell.summary, whole) if cell.summary else None
        return getattr(found, name) if found is not None else None

    return look


_COLUMNS: Mapping[str, _Look] = MappingProxyType(
    {
        "schema_version": lambda run, _cell: run.schema_version,
        "run": lambda run, _cell: run.manifest.run,
        "backend": lambda _run, cell: cell.backend.name,
        "backend_version": lambda _run, cell: cell.backend.version,
        "device": lambda _run, cell: cell.backend.device,
        "precision": lambda _run, cell: cell.backend.precision,
        "model": lambda _run, cell: cell.model.name,
        "clip": lambda _run, cell: cell.clip.name,
        "audio_s": lambda _run, cell: cell.clip.seconds,
        "pcm_sha256": lambda _run, cell: cell.clip.pcm_sha256,
        "contract": lambda _run, cell: cell.contract.requested.get("name"),
        "status": lambda _run, cell: cell.status,
        "group": _summary("group"),
        "rank": _summary("rank"),
        "rank_last": _summary("rank_last"),
        "median_s": _summary("median_s"),
        "min_s": _summary("min_s"),
        "max_s": _summary("max_s"),
        "rtfx": _summary("rtfx"),
        "rtfx_low": _part("rtfx_bounds", "low"),
        "rtfx_high": _part("rtfx_bounds", "high"),
        "interval_level": _part("rtfx_bounds", "level"),
        "times_best": _summary("times_best"),
        "times_best_low": _part("times_best_bounds", "low"),
        "times_best_high": _part("times_best_bounds", "high"),
        "verdict": _summary("verdict"),
        "import_s": _summary("import_s"),
        "load_s": _summary("load_s"),
        "load_cold_s": _summary("load_cold_s"),
        "load_warm_s": _summary("load_warm_s"),
        "first_s": _summary("first_s"),
        "first_segment_s": _summary("first_segment_s"),
        "timed_samples": _summary("timed_samples"),
        "timed_samples_asked": _summary("timed_samples_asked"),
        "rounds_ok": _summary("rounds_ok"),
        "rounds_asked": _summary("rounds_asked"),
        "retries": _summary("retries"),
        "peak_rss_bytes": _summary("peak_rss_bytes"),
        "cores_used": _summary("cores_used"),
        "device_memory_bytes": _summary("device_memory_bytes"),
        "joules_per_audio_hour": _summary("joules_per_audio_hour"),
        "wer": _summary("wer"),
        "cer": _part("accuracy", "cer"),
        "normaliser": _part("accuracy", "normaliser"),
        "substitutions": _part("accuracy", "substitutions"),
        "deletions": _part("accuracy", "deletions"),
        "insertions": _part("accuracy", "insertions"),
        "reference_words": _part("accuracy", "reference_words"),
        "failed_utterances": _part("accuracy", "failed"),
        "accuracy_delta": _part("accuracy", "delta"),
        "accuracy_verdict": _part("accuracy", "verdict"),
        "fast_but_wrong": _summary("fast_but_wrong"),
        "findings": lambda _run, cell: "; ".join(
            f"{finding.kind}: {finding.message}"
            for finding in (cell.summary.findings if cell.summary else [])
        ),
        "message": lambda _run, cell: next(
            (end.message for end in cell.endings if end.status != "ok"), None
        ),
    }
)


def _cell_text(value: object) -> str:
    """A field's text; one that a spreadsheet would run as a formula gets a quote in front."""
    if value is None:
        return ""
    text = str(value).lower() if isinstance(value, bool) else str(value)
    if isinstance(value, str) and text.startswith(_FORMULA_STARTS):
        return f"'{text}"
    return text
