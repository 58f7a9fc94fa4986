"""One cell over time: its speed in every run that compares, and where it changed for good."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mac_whisper_speedtest.backends.registry import canonical
from mac_whisper_speedtest.compare import document as h
from mac_whisper_speedtest.compare import facts, sources
from mac_whisper_speedtest.errors import UsageError, nearest_names
from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.results.cells import without_version
from mac_whisper_speedtest.stats import changepoints, ranking
from mac_whisper_speedtest.store.index import open_index
from mac_whisper_speedtest.store.rows import CellRow, RunRow
from mac_whisper_speedtest.summary import ranking as ranking_module

LIMIT = 200
"""Runs of a series that are used: the newest."""


@dataclass(frozen=True, slots=True)
class HistoryPoint:
    """What is known of a cell in one run.

    Attributes:
        name: of its series: without a version, unless the run has several versions of the backend.
        run: the run.
        cell: the cell in it, without its samples.
        figures: its figures.
        network_sha256: hash of its network.
        manifest: of the run.
    """

    name: str
    run: RunRow
    cell: s.CellResult
    figures: s.Summary
    network_sha256: str | None
    manifest: s.Manifest


def history(
    backend: str, *, model: str = "", clip: str = "", contract: str = "", limit: int = LIMIT
) -> h.History:
    """Every series of a backend, those with the newest run first.

    Args:
        backend: its name, with a precision where such was asked for; with a version, only cells
            for which that version was requested.
        model: only this model.
        clip: only speech of this name.
        contract: only contracts of this name.
        limit: how many runs of a series to use: the newest.

    Raises:
        UsageError: no run has such a cell.
        StorageError: the runs cannot be read.
    """
    name = canonical(backend)
    cells, runs = _looked_up(name, model=model, clip=clip, contract=contract)
    names = _series_names(cells)
    groups: dict[tuple[object, ...], list[HistoryPoint]] = {}
    left_out = 0
    for row, series_name in reversed(list(zip(cells, names, strict=True))):  # the newest first
        if row.cell.status != "ok" or not _figures(row).rtfx:
            left_out += 1
            continue
        run = runs[row.number]
        manifest = sources.manifest_of(run.directory)
        if manifest is None:
            left_out += 1
            continue
        visit = HistoryPoint(
            series_name, run, row.cell, _figures(row), row.network_sha256, manifest
        )
        visits = groups.setdefault(_key(visit), [])
        if visits and visits[-1].run.number == run.number:  # as `speedtest noise` does
            left_out += 1
        elif len(visits) < limit:
            visits.append(visit)
    return h.History(
        schema_version=h.SCHEMA_VERSION,
        backend=name,
        limit=limit,
        left_out=left_out,
        series=[series(list(reversed(visits))) for visits in groups.values()],
    )


def _series_names(cells: Sequence[CellRow]) -> list[str]:
    """What the series of each cell is called; two versions in one run are never one series."""
    versions: dict[tuple[object, ...], set[str]] = {}
    for row in cells:
        versions.setdefault(_work(row), set()).add(row.cell.backend.name)
    return [
        row.cell.backend.name
        if len(versions[_work(row)]) > 1
        else without_version(row.cell.backend.name)
        for row in cells
    ]


def _work(row: CellRow) -> tuple[object, ...]:
    backend = without_version(row.cell.backend.name)
    return row.number, backend, row.cell.model.name, row.cell.clip.name


def _looked_up(
    name: str, *, model: str, clip: str, contract: str
) -> tuple[list[CellRow], dict[int, RunRow]]:
    """The matching cells in order of their runs, and these runs, in one read of the store."""
    with open_index() as index:
        # The index knows `name@version...` as a version of `name`; `name:precision` it does not.
        plain = without_version(name)
        found = {
            (cell.number, cell.place): cell
            for asked in dict.fromkeys((plain.partition(":")[0], plain))
            for cell in index.cells(backend=asked, model=model, clip=clip)
        }
        runs = {run.number: run for run in index.runs()}
    cells = [
        found[place]
        for place in sorted(found)
        if name in {found[place].cell.backend.name, without_version(found[place].cell.backend.name)}
        and contract in {"", _contract(found[place].cell)}
    ]
    if not cells:
        known = {without_version(each) for run in runs.values() for each in run.backends}
        filters = {"model": model, "clip": clip, "contract": contract}
        asked_for = "".join(f", {what} {value}" for what, value in filters.items() if value)
        listed_by = "speedtest results list"
        raise UsageError(
            f"no run has measured {name}{asked_for}",
            hint=nearest_names(name, sorted(known), listed_by=listed_by)
            if known and name not in known
            else f"all runs: {listed_by}",
        )
    return cells, runs


def _figures(row: CellRow) -> s.Summary:
    assert row.cell.summary is not None, "the index has figures of every cell"
    return row.cell.summary


def _contract(cell: s.CellResult) -> str:
    return str(cell.contract.requested.get("name") or "")


def _key(visit: HistoryPoint) -> tuple[object, ...]:
    """What runs of one series have in common."""
    return (
        visit.name,
        visit.run.comparable,
        visit.network_sha256,
        visit.cell.model.name,
        visit.cell.clip.pcm_sha256,
        settings(visit.manifest.request),
    )


def settings(request: s.RequestInfo) -> str:
    """What else was asked for that changes a time, in words."""
    parts = [f"{request.threads} threads", f"device {request.device}"]
    parts += [f"precision {request.precision}"] if request.precision != "auto" else []
    parts += [f"processors {','.join(map(str, request.affinity))}"] if request.affinity else []
    parts += [f"nice {request.nice}"] if request.nice else []
    return ", ".join(parts)


def series(visits: Sequence[HistoryPoint]) -> h.Series:
    """The series of runs that compare, with its lasting changes. Pure.

    Args:
        visits: in order of runs; one at least.
    """
    last = visits[-1]
    margin = ranking_module.margin(last.manifest)
    points = [_point(each) for each in visits]
    found = changepoints.find([each.rtf for each in points], margin=margin)
    return h.Series(
        backend=last.name,
        model=last.cell.model.name,
        clip=last.cell.clip.name,
        contract=_contract(last.cell),
        hardware=last.run.hardware,
        comparable=last.run.comparable,
        network_sha256=last.network_sha256,
        settings=settings(last.manifest.request),
        margin=margin,
        points=points,
        changes=[_change(visits, each, margin) for each in found],
    )


def _point(visit: HistoryPoint) -> h.Point:
    backend, figures = visit.cell.backend, visit.figures
    assert figures.rtfx is not None  # others were left out
    bounds, accuracy = figures.rtfx_bounds, figures.accuracy
    return h.Point(
        run=visit.run.number,
        run_id=visit.run.run_id,
        tags=list(visit.run.tags),
        started_at=visit.run.started_at,
        tool=visit.run.tool_version,
        backend=backend.name,
        backend_version=backend.version,
        rtf=1 / figures.rtfx,
        rtfx=figures.rtfx,
        rtfx_low=bounds.low if bounds else None,
        rtfx_high=bounds.high if bounds else None,
        rounds=figures.rounds_ok,
        wer=figures.wer,
        wer_low=accuracy.rate_low if accuracy and figures.wer is not None else None,
        wer_high=accuracy.rate_high if accuracy and figures.wer is not None else None,
        peak_memory_bytes=figures.peak_memory_bytes,
        peak_memory_kind=figures.peak_memory_kind,
    )


def _change(
    visits: Sequence[HistoryPoint], found: changepoints.ChangePoint, margin: float
) -> h.LastingChange:
    before, after = visits[found.index - 1], visits[found.index]
    ratio = h.RatioInfo.of(found.ratio)
    assert ratio is not None
    return h.LastingChange(
        run=after.run.number,
        before=before.run.number,
        verdict=ranking.verdict_of(found.ratio, margin).value,
        ratio=ratio,
        p=found.p,
        facts=[
            *facts.of_cells(before.cell, after.cell),
            *facts.of_manifests(before.manifest, after.manifest),
        ],
    )
