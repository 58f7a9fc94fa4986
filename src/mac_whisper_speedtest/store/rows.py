"""What the index knows of a run and of its cells: a summary of each, in one row. Pure.

Every value is computed from the manifest and the journal and can be computed again; nothing stands
only here. docs/store.md has the columns.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from typing import TypeVar

from mac_whisper_speedtest.results import comparable, directory
from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.results.directory import RunDirectory

RUNNING, UNREADABLE = "running", "unreadable"
STATES = ("complete", "stopped", "interrupted", "recovered", RUNNING, UNREADABLE)
"""Those of ``Outcome``, and that of a run whose manifest or journal cannot be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRow:
    """A run.

    Attributes:
        number: its place in the order of runs here; ``manifest.run`` is that of its first machine.
        run_id: 32 hexadecimal digits; empty before version 3.
        started_at: ISO 8601, UTC; for people.
        state: as in ``Outcome``, or ``unreadable``.
        message: why it is in that state; may be empty.
        sealed: whether there is a ``run.json``.
        schema_version: of the manifest; 0 where it cannot be read.
        tool_version: of the tool that measured.
        tags: in the order given.
        request_sha256: equal requests, equal hashes.
        comparable: the key of ``results.comparable``.
        hardware: the kind of machine, in words.
        contract: the contract's name.
        speech: the names of the clips.
        backends: in the order asked for, with their versions where such were asked for.
        models: likewise.
        cells: how many there are.
        cells_ok: how many came to a good end.
        samples: transcriptions written down, warm-ups among them.
    """

    number: int
    run_id: str = ""
    started_at: str = ""
    state: str
    message: str = ""
    sealed: bool = False
    schema_version: int = 0
    tool_version: str = ""
    tags: tuple[str, ...] = ()
    request_sha256: str = ""
    comparable: str = ""
    hardware: str = ""
    contract: str = ""
    speech: tuple[str, ...] = ()
    backends: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    cells: int = 0
    cells_ok: int = 0
    samples: int = 0

    @property
    def directory(self) -> RunDirectory:
        """Where it lies."""
        return RunDirectory(directory.runs_dir() / directory.run_name(self.number))


@dataclass(frozen=True, slots=True, kw_only=True)
class CellRow:
    """A cell with its figures; those of ``Summary`` have its names, units and meaning.

    Attributes:
        number: of its run.
        place: its place in the run, from 0.
        id: ``backend/model/clip``.
        backend: its name.
        backend_version: as the worker said; ``None`` where none got ready.
        versions: of whatever else could change a number.
        device: in use.
        precision: computed in.
        model: canonical name.
        network_sha256: identity of the network; ``None`` where no weights are known.
        weights_form: such as ``ctranslate2``; ``None`` likewise.
        weights_precision: what they are stored in; ``None`` likewise.
        clip: its name.
        clip_kind: as in ``ClipInfo``.
        audio_s: seconds of audio.
        pcm_sha256: of the samples.
        contract: the contract's name.
        deviates: whether other work was done than the contract asks for.
        status: as in ``CellResult``.
        message: of its first bad ending; ``None`` where there is none.
        group: of equal work, within the run.
        rtfx_low: the lower end of RTFx's interval; ``None`` from too few rounds.
        rtfx_high: its upper end.
        interval_level: its level.
        cer: character error rate.
        normalizer: what texts were normalized with.
        accuracy_verdict: against the reference backend.
        findings: kinds of findings.
    """

    number: int
    place: int
    id: str
    backend: str
    backend_version: str | None
    versions: dict[str, str]
    device: str | None
    precision: str | None
    model: str
    network_sha256: str | None
    weights_form: str | None
    weights_precision: str | None
    clip: str
    clip_kind: str
    audio_s: float
    pcm_sha256: str
    contract: str
    deviates: bool
    status: str
    message: str | None
    group: str | None
    rank: int | None
    rank_last: int | None
    verdict: str
    rounds_ok: int
    timed_samples: int
    median_s: float | None
    min_s: float | None
    max_s: float | None
    rtfx: float | None
    rtfx_low: float | None
    rtfx_high: float | None
    interval_level: float | None
    times_best: float | None
    import_s: float | None
    load_s: float | None
    first_s: float | None
    peak_rss_bytes: int | None
    device_memory_bytes: int | None
    cores_used: float | None
    joules_per_audio_hour: float | None
    energy_quality: str
    wer: float | None
    cer: float | None
    normalizer: str | None
    accuracy_verdict: str | None
    fast_but_wrong: bool
    findings: tuple[str, ...]


def index_rows(run: s.Run, *, number: int, sealed: bool) -> tuple[RunRow, list[CellRow]]:
    """The rows of a run.

    Args:
        run: with its summaries.
        number: of its folder.
        sealed: whether there is a ``run.json``.
    """
    manifest = run.manifest
    outcome = manifest.outcome or s.Outcome(state="recovered")
    row = RunRow(
        number=number,
        run_id=manifest.run_id,
        started_at=manifest.started_at,
        state=outcome.state,
        message=outcome.message,
        sealed=sealed,
        schema_version=manifest.schema_version,
        tool_version=manifest.tool.version,
        tags=tuple(manifest.tags),
        request_sha256=manifest.request_sha256,
        comparable=comparable.comparable_part(manifest).key,
        hardware=comparable.hardware_class(manifest.machine),
        contract=_contract(manifest.request.contract),
        speech=tuple(clip.name for clip in manifest.clips),
        backends=tuple(dict.fromkeys(cell.backend.name for cell in run.cells)),
        models=tuple(dict.fromkeys(cell.model.name for cell in run.cells)),
        cells=len(run.cells),
        cells_ok=sum(cell.status == "ok" for cell in run.cells),
        samples=sum(len(cell.samples) for cell in run.cells),
    )
    return row, [_cell(cell, number, place) for place, cell in enumerate(run.cells)]


def _cell(cell: s.CellResult, number: int, place: int) -> CellRow:
    summary = cell.summary
    assert summary is not None, "a run has to be summarized first"
    weights, right, speed = cell.model.weights, summary.accuracy, summary.rtfx_bounds
    return CellRow(
        number=number,
        place=place,
        id=cell.id,
        backend=cell.backend.name,
        backend_version=cell.backend.version,
        versions=cell.backend.versions,
        device=cell.backend.device,
        precision=cell.backend.precision,
        model=cell.model.name,
        network_sha256=comparable.network_sha256(weights),
        weights_form=weights.form if weights else None,
        weights_precision=weights.precision if weights else None,
        clip=cell.clip.name,
        clip_kind=cell.clip.kind,
        audio_s=cell.clip.seconds,
        pcm_sha256=cell.clip.pcm_sha256,
        contract=_contract(cell.contract.requested),
        deviates=bool(cell.contract.deviations),
        status=cell.status,
        message=next((end.message for end in cell.endings if end.status != "ok"), None),
        group=summary.group,
        rank=summary.rank,
        rank_last=summary.rank_last,
        verdict=summary.verdict,
        rounds_ok=summary.rounds_ok,
        timed_samples=summary.timed_samples,
        median_s=summary.median_s,
        min_s=summary.min_s,
        max_s=summary.max_s,
        rtfx=summary.rtfx,
        rtfx_low=speed.low if speed else None,
        rtfx_high=speed.high if speed else None,
        interval_level=speed.level if speed else None,
        times_best=summary.times_best,
        import_s=summary.import_s,
        load_s=summary.load_s,
        first_s=summary.first_s,
        peak_rss_bytes=summary.peak_rss_bytes,
        device_memory_bytes=summary.device_memory_bytes,
        cores_used=summary.cores_used,
        joules_per_audio_hour=summary.joules_per_audio_hour,
        energy_quality=summary.energy_quality,
        wer=summary.wer,
        cer=right.cer if right else None,
        normalizer=right.normalizer if right else None,
        accuracy_verdict=right.verdict if right else None,
        fast_but_wrong=summary.fast_but_wrong,
        findings=tuple(finding.kind for finding in summary.findings),
    )


def _contract(settings: Mapping[str, object]) -> str:
    return str(settings.get("name") or "")


# The index's tables: which there are, and how a row becomes an object and the other way round.
#
# Tables and objects have the same columns, so that neither can be forgotten in the other.


APPLICATION_ID = 0x73706478
"""Written into the database's header: ``spdx``, for this program's index and nobody else's."""
VERSION = 1
"""Of the tables below. An index of another version is made anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FilesRow:
    """The files that a run's rows were made from, as they were then.

    Attributes:
        number: of the run.
        manifest_size: bytes.
        manifest_mtime_ns: when it was changed, in ns; only compared for being equal.
        journal_size: bytes; 0 where there is none.
        journal_mtime_ns: likewise; 0 where there is none.
        sha256: of the bytes of both.
        computed_by: version of the program that computed the rows.
    """

    number: int
    manifest_size: int
    manifest_mtime_ns: int
    journal_size: int
    journal_mtime_ns: int
    sha256: str
    computed_by: str


Row = TypeVar("Row", RunRow, CellRow, FilesRow)

_NAMES = {RunRow: "runs", CellRow: "cells", FilesRow: "files"}
_TYPES = {"int": "INTEGER", "bool": "INTEGER", "float": "REAL"}  # all others are texts
_AS_JSON = ("tuple", "dict")

CREATE = (
    *(
        f"CREATE TABLE {name} ("
        + ", ".join(
            f'"{field.name}" {_TYPES.get(str(field.type).removesuffix(" | None"), "TEXT")}'
            for field in fields(kind)
        )
        + (", PRIMARY KEY (number, place))" if kind is CellRow else ", PRIMARY KEY (number))")
        for kind, name in _NAMES.items()
    ),
    "CREATE TABLE tags (tag TEXT, number INTEGER, PRIMARY KEY (tag, number)) WITHOUT ROWID",
    "CREATE INDEX runs_comparable ON runs (comparable)",
    "CREATE INDEX runs_hardware ON runs (hardware)",
    "CREATE INDEX runs_run_id ON runs (run_id)",
    "CREATE INDEX runs_state ON runs (state)",
    "CREATE INDEX cells_backend ON cells (backend, model)",
    "CREATE INDEX cells_model ON cells (model, pcm_sha256)",
    "CREATE INDEX tags_number ON tags (number)",
)
DROP = tuple(f"DROP TABLE IF EXISTS {name}" for name in (*_NAMES.values(), "tags"))
REMOVE = tuple(
    f"DELETE FROM {name} WHERE number = ?"  # noqa: S608 - our own names
    for name in (*_NAMES.values(), "tags")
)
"""Each takes a run's number, and takes away what is known of it."""


def columns(kind: type[Row], table: str = "") -> str:
    """The columns of a table in order, for a ``SELECT``."""
    start = f"{table}." if table else ""
    return ", ".join(f'{start}"{field.name}"' for field in fields(kind))


@cache
def insert(kind: type[Row]) -> str:
    """The statement that writes one row."""
    places = ", ".join("?" for _ in fields(kind))
    return f"INSERT INTO {_NAMES[kind]} VALUES ({places})"  # noqa: S608 - our own names


def values(row: Row) -> tuple[object, ...]:
    """A row as ``insert`` takes it."""
    return tuple(_stored(getattr(row, field.name)) for field in fields(row))


def rows(kind: type[Row], found: Iterable[Sequence[object]]) -> list[Row]:
    """What a ``SELECT`` of all ``columns`` gave, as objects.

    Raises:
        sqlite3.DatabaseError: it holds what was never written there.
    """
    known = [(field.name, str(field.type)) for field in fields(kind)]
    try:
        return [
            kind(
                **{
                    name: _read(type_, value)
                    for (name, type_), value in zip(known, each, strict=True)
                }  # type: ignore[arg-type]
            )
            for each in found
        ]
    except (ValueError, TypeError) as error:
        raise sqlite3.DatabaseError(f"it holds a value that is none: {error}") from error


def _stored(value: object) -> object:
    return json.dumps(value) if isinstance(value, tuple | dict) else value


def _read(type_: str, value: object) -> object:
    if type_ == "bool":
        return bool(value)
    if isinstance(value, str) and type_.startswith(_AS_JSON):
        parsed = json.loads(value)
        return tuple(parsed) if type_.startswith("tuple") else parsed
    return value
