"""Loading weights to see whether they load, and remembering that they did."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import msgspec

from mac_whisper_speedtest import catalog
from mac_whisper_speedtest.backends.backend import Backend
from mac_whisper_speedtest.environments import locks
from mac_whisper_speedtest.machine import describe
from mac_whisper_speedtest.weights import facts_cache
from mac_whisper_speedtest.weights.check import Subject
from mac_whisper_speedtest.weights.check_models import CheckRequest, Method, Row
from mac_whisper_speedtest.weights.inspect import Copy, State
from mac_whisper_speedtest.worker import load_check, process_tree, scratch
from mac_whisper_speedtest.worker import protocol as m
from mac_whisper_speedtest.worker.launch import in_place, interpreter, version_here
from mac_whisper_speedtest.worker.load_check import LoadCheck, Outcome, Trial

_LOADABLE = {State.COMPLETE, State.PARTIAL, State.CORRUPT, State.NOT_CHECKABLE}


def tried(rows: Sequence[Row], request: CheckRequest, loading: Callable[[Row], None]) -> list[Row]:
    """The rows after everything of them that is here was loaded, one after the other.

    Args:
        rows: what names, sizes and hashes say.
        request: deadline, device and threads; whether to ask again what is remembered.
        loading: told of each row before it is loaded.
    """
    process_tree.sweep_orphans()
    scratch.sweep()
    return [_tried(row, request, loading) for row in rows]


def _tried(row: Row, request: CheckRequest, loading: Callable[[Row], None]) -> Row:
    """The row after its weights were loaded, if there is anything to load and anyone to do it."""
    chosen = row.check.chosen
    if chosen is None or row.check.state not in _LOADABLE:
        return row
    if row.backend.broken:
        return replace(row, load=LoadCheck(Outcome.NOT_CHECKED, message=row.backend.broken))
    subject = row.check.subject
    key = _key(row.backend, subject, chosen, request.device)
    if not request.fresh and key and (known := _remembered(key)):
        return replace(row, load=known, load_remembered=True)
    limits = catalog.model(subject.network).time_outs
    trial = Trial(
        row.backend,
        m.ModelParams(
            subject.network,
            str(subject.own or chosen.path),
            subject.form or "own",
            row.backend.precision or "auto",
        ),
        request.device,
        request.threads or describe.default_threads(),
        request.timeout_s or limits.load_s,
    )
    loading(row)
    began = time.monotonic()
    outcome = load_check.check(trial)
    if key and outcome.outcome is Outcome.LOADED:
        facts_cache.tell(
            "insert or replace into loads values (?, ?)",
            [(key, msgspec.json.encode(outcome).decode())],
        )
    return replace(row, load=outcome, seconds=time.monotonic() - began)


def _remembered(key: str) -> LoadCheck | None:
    rows = facts_cache.ask("select outcome from loads where key = ?", (key,))
    try:
        return msgspec.json.decode(rows[0][0], type=LoadCheck) if rows else None
    except msgspec.MsgspecError:
        return None


def _key(backend: Backend, subject: Subject, chosen: Copy, device: str) -> str:
    """What a load's outcome depends on; empty where the backend's version is not known.

    Model, backend, version and method, and beside them what could make the same question have
    another answer: the interpreter, the device and the very files.
    """
    recipe = backend.recipe
    if recipe is None or backend.command:
        return ""
    here = in_place(backend)
    version = version_here(recipe) if here else backend.version or locks.default_version(recipe)
    files = [(str(file.path), file.size, file.path.stat().st_mtime_ns) for file in chosen.files]
    words = [
        str(Method.LOAD),
        subject.network,
        backend.label,
        version,
        interpreter(backend) or "",
        device,
        subject.precision,
        repr(sorted(files)),
    ]
    return hashlib.sha256("\0".join(words).encode()).hexdigest() if version else ""
