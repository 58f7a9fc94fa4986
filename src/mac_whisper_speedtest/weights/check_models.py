"""``check-models`` as a function: names and sizes, then hashes, then a load, as requested."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import msgspec

from mac_whisper_speedtest import catalog
from mac_whisper_speedtest.backends.backend import Backend
from mac_whisper_speedtest.catalog import ModelInfo
from mac_whisper_speedtest.declared import Word
from mac_whisper_speedtest.files import decode_json
from mac_whisper_speedtest.observer import Observer
from mac_whisper_speedtest.weights import custom, hashes
from mac_whisper_speedtest.weights.check import (
    CacheCheck,
    WeightsCheck,
    with_checksums,
)
from mac_whisper_speedtest.weights.inspect import CachedCopy, WeightsState

if TYPE_CHECKING:
    from mac_whisper_speedtest.weights.check import Cost
    from mac_whisper_speedtest.worker.load_check import LoadCheck


class CheckMethod(Word):
    """How thoroughly weights are checked."""

    AUTO = (
        "auto",
        "`checksum`; `load` with `--load`, and for weights in a backend's description",
    )
    CACHE_CHECK = (
        "cache-check",
        "names and sizes: starts no process, imports no backend",
    )
    CHECKSUM = (
        "checksum",
        "also every byte of files whose SHA-256 is known; remembered while a file stays the same",
    )
    LOAD = (
        "load",
        "also loads them, in a worker that reaches no network",
    )


@dataclass(frozen=True, slots=True)
class CheckRequest:
    """What to check, and how.

    Attributes:
        backends: whose weights.
        models: canonical names, or ``org/name@REVISION``; empty for every canonical one.
        load: with ``auto``: also load what is present.
        timeout_s: deadline of each load in seconds; ``None`` for the size class's own.
        fresh: ignore remembered results.
        device: for loads, as for a run.
        threads: for loads, as for a run; ``None`` for as many as a run would take.
    """

    backends: tuple[Backend, ...]
    models: tuple[str, ...] = ()
    method: CheckMethod = CheckMethod.AUTO
    load: bool = False
    timeout_s: float | None = None
    fresh: bool = False
    device: str = "auto"
    threads: int | None = None


@dataclass(frozen=True, slots=True)
class CheckRow:
    """One backend and model.

    Attributes:
        backend: whose weights.
        check: the state by names, sizes and hashes.
        load: result of loading; ``None`` if it was not tried.
        load_remembered: whether that result is from an earlier call.
        seconds: duration of the load, with the start of the worker.
    """

    backend: Backend
    check: WeightsCheck
    load: LoadCheck | None = None
    load_remembered: bool = False
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """Every row, and how long each stage took in seconds."""

    rows: tuple[CheckRow, ...]
    stages_s: dict[str, float]


def check_models(request: CheckRequest, observer: Observer | None = None) -> Report:
    """Check weights without opening a connection.

    Raises:
        UsageError: the catalog has no such model.
    """
    observer = observer or Observer()
    stages: dict[str, float] = {}
    with _timed(stages, "cache-check"):
        cache = CacheCheck()
        rows = [CheckRow(backend, cache.check(info)) for backend, info in subjects(request)]
    if request.method is not CheckMethod.CACHE_CHECK and any(kept_by_system(row) for row in rows):
        with _timed(stages, "asking the system"):
            rows = _asked(rows)
    if request.method is not CheckMethod.CACHE_CHECK:
        with _timed(stages, "checksum"):
            checks = with_checksums(
                [row.check for row in rows], fresh=request.fresh, progress=observer.reading
            )
            rows = [replace(row, check=check) for row, check in zip(rows, checks, strict=True)]
    everything = request.method is CheckMethod.LOAD or request.load
    if everything or request.method is CheckMethod.AUTO:
        to_load = [row for row in rows if everything or _only_a_load_can_tell(row)]
        if to_load:
            with _timed(stages, "load"):
                loaded = load_rows(to_load, request, observer)
            loads = {id(row): done for row, done in zip(to_load, loaded, strict=True)}
            rows = [loads.get(id(row), row) for row in rows]
    return Report(tuple(rows), stages)


def kept_by_system(row: CheckRow) -> bool:
    """Whether no file holds the row's weights, because the system keeps them."""
    return bool(row.check.info.kept_by)


def _asked(rows: Sequence[CheckRow]) -> list[CheckRow]:
    """The same rows, with the state of networks that the system keeps."""
    from mac_whisper_speedtest.weights.system_assets import AssetsCheck

    assets = AssetsCheck()
    found = []
    for row in rows:
        check = row.check
        if kept_by_system(row):
            state, reason = assets.check(check.info, row.backend)
            check = replace(check, state=state, reason=reason)
        found.append(replace(row, check=check))
    return found


@contextmanager
def _timed(stages: dict[str, float], name: str) -> Iterator[None]:
    began = time.perf_counter()
    yield
    stages[name] = time.perf_counter() - began


def subjects(request: CheckRequest) -> list[tuple[Backend, ModelInfo]]:
    """The weights of the request, grouped by backend, each once.

    A backend's own networks are listed only if no other backend runs a requested
    model: a run would also measure them, but they were not requested.
    """
    found: dict[tuple[str, str], tuple[Backend, ModelInfo]] = {}
    run = {
        (each.label, name)
        for each in request.backends
        for name in request.models
        if each.network_for(name) == name
    }
    run_by_some = {name for _, name in run}
    for backend in request.backends:
        own = backend.networks or tuple(catalog.whisper_models())
        for model in request.models or own:
            if model in run_by_some and (backend.label, model) not in run:
                continue
            info = custom.with_listing(backend.model_info(model))
            found.setdefault((backend.label, info.model), (backend, info))
    return list(found.values())


def _only_a_load_can_tell(row: CheckRow) -> bool:
    """Whether weights are present whose sizes and hashes are unknown."""
    chosen = row.check.chosen
    return (
        not row.backend.broken
        and row.check.state is WeightsState.COMPLETE
        and chosen is not None
        and row.check.info.path is not None
    )


def make_complete(report: Report, cost: Cost, *, notify: Callable[[str], None]) -> None:
    """Fetch missing weights and convert them to the formats that backends load.

    Raises:
        DownloadError: a download failed; earlier ones are kept.
        WeightsError: fetched files are not the published ones.
        StorageError: a cache cannot be written.
    """
    from mac_whisper_speedtest.weights import locate, pull

    for need in cost.needs:
        pull.pull_row(need.row, notify=notify)
    cache = CacheCheck()
    for row in report.rows:
        if cache.check(row.check.info).can_be_converted:
            locate.locate(row.check.info, notify=notify)


# Test loads, and remembering those that succeeded.


_LOADABLE = {
    WeightsState.COMPLETE,
    WeightsState.PARTIAL,
    WeightsState.CORRUPT,
    WeightsState.NOT_CHECKABLE,
    WeightsState.SYSTEM,
}


def load_rows(
    rows: Sequence[CheckRow], request: CheckRequest, observer: Observer
) -> list[CheckRow]:
    """Load the present weights of each row, one after the other.

    Args:
        rows: the states by names, sizes and hashes.
        request: deadline, device and threads; whether to repeat remembered checks.
        observer: receives each row before it is loaded, and notices of slow loads.
    """
    from mac_whisper_speedtest.worker import ownership

    ownership.kill_orphans()
    ownership.remove_leftover_folders()
    return [_loaded(row, request, observer) for row in rows]


def _loaded(row: CheckRow, request: CheckRequest, observer: Observer) -> CheckRow:
    """Load one row's weights, if they are present and the backend works."""
    from mac_whisper_speedtest.backends.adapter import ModelParams
    from mac_whisper_speedtest.machine import describe
    from mac_whisper_speedtest.worker import load_check
    from mac_whisper_speedtest.worker.load_check import LoadCheck, LoadOutcome, Trial

    chosen = row.check.chosen
    if row.check.state not in _LOADABLE or (chosen is None and not kept_by_system(row)):
        return row
    if row.backend.broken:
        return replace(row, load=LoadCheck(LoadOutcome.NOT_CHECKED, message=row.backend.broken))
    info = row.check.info
    # A load from the system's own store depends on the system, which no file shows.
    key = _key(row.backend, info, chosen, request.device) if chosen else ""
    if not request.fresh and key and (known := _remembered(key)):
        return replace(row, load=known, load_remembered=True)
    trial = Trial(
        row.backend,
        ModelParams(
            info.model,
            str(info.path or chosen.path) if chosen else "",
            info.weights_format or "own",
            row.backend.precision or "auto",
        ),
        request.device,
        request.threads or describe.default_threads(),
        request.timeout_s or info.timeouts.load_s,
        load_s_requested=request.timeout_s is not None,
    )
    observer.loading(row)
    began = time.monotonic()
    outcome = load_check.check(trial, observer)
    if key and outcome.outcome is LoadOutcome.LOADED:
        hashes.store_facts(
            "insert or replace into loads values (?, ?)",
            [(key, msgspec.json.encode(outcome).decode())],
        )
    return replace(row, load=outcome, seconds=time.monotonic() - began)


def _remembered(key: str) -> LoadCheck | None:
    from mac_whisper_speedtest.worker.load_check import LoadCheck

    rows = hashes.query_facts("select outcome from loads where key = ?", (key,))
    try:
        return decode_json(rows[0][0].encode(), LoadCheck) if rows else None
    except ValueError:
        return None


def _key(backend: Backend, info: ModelInfo, chosen: CachedCopy, device: str) -> str:
    """Key of a remembered load; empty if the backend's version is not known.

    It covers everything that the outcome depends on: model, backend, version, method, interpreter,
    device and files.
    """
    from mac_whisper_speedtest.worker.launch import (
        installed_version,
        program,
        requested_version,
        runs_in_place,
    )

    recipe = backend.recipe
    if recipe is None or backend.command:
        return ""
    here = runs_in_place(backend)
    version = installed_version(recipe) if here else requested_version(backend, recipe)
    files = [(str(file.path), file.size, file.path.stat().st_mtime_ns) for file in chosen.files]
    words = [
        "loaded without a network",
        info.model,
        backend.label,
        version,
        program(backend) or "",
        device,
        info.precision,
        repr(sorted(files)),
    ]
    return hashlib.sha256("\0".join(words).encode()).hexdigest() if version else ""
