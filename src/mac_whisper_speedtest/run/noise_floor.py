"""Storage of the noise floors measured on this machine."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec

from mac_whisper_speedtest import files, paths
from mac_whisper_speedtest.machine import describe
from mac_whisper_speedtest.results import comparable
from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.stats.stopping import NoiseFloor


class _Kept(s.Struct, frozen=True, kw_only=True):
    """The file: the latest result of every backend tried on this machine."""

    found: dict[str, s.NoiseInfo]


def keep(run: s.Run, found: NoiseFloor) -> s.NoiseInfo:
    """Store the result for later runs on this machine.

    Raises:
        StorageError: the data folder cannot be written.
    """
    cell = run.cells[0]
    info = s.NoiseInfo(
        floor=found.floor,
        smallest_detectable=found.smallest_detectable,
        spread=found.spread,
        ratio=found.ratio.estimate,
        verdict=str(found.verdict),
        rounds=found.rounds,
        rounds_for={f"{each:g}": rounds for each, rounds in found.rounds_for.items()},
        backend=cell.backend.name,
        model=cell.model.name,
        measured_at=run.manifest.started_at,
    )
    kept = {**_read(), cell.backend.name: info}
    files.write_bytes(_path(), msgspec.json.encode(_Kept(found=kept)) + b"\n")
    return info


def last() -> s.NoiseInfo | None:
    """The largest floor measured on this machine; ``None`` if none was measured."""
    return max(_read().values(), key=lambda each: each.floor, default=None)


def _read() -> dict[str, s.NoiseInfo]:
    try:
        return files.decode_json(_path().read_bytes(), _Kept).found
    except (OSError, ValueError):
        return {}  # never measured, or by another version: measure again


def _path() -> Path:
    """Named by the machine's hardware and system, not by readings that change at each boot."""
    facts = describe.describe()
    steady = (comparable.hardware_class(facts), facts.architecture, facts.logical_cores)
    name = hashlib.sha256(repr(steady).encode()).hexdigest()[:16]
    return paths.data_dir() / "noise" / f"{name}.json"
