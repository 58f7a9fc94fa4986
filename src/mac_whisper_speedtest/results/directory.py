"""Run directories: ``<data>/runs/000042/{manifest.json, journal.jsonl, run.json}``.

The number orders runs; clocks do not. The three files are all there is to a run: they can be copied
to another machine and shown there.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec

from mac_whisper_speedtest import durable, paths
from mac_whisper_speedtest.errors import StorageError, UsageError
from mac_whisper_speedtest.results import journal
from mac_whisper_speedtest.results.assemble import assemble
from mac_whisper_speedtest.results.schema import SCHEMA_VERSION, Manifest, Run


@dataclass(frozen=True, slots=True)
class RunDirectory:
    """One run on disk."""

    path: Path

    @property
    def journal_path(self) -> Path:
        """Where samples go as they are measured."""
        return self.path / "journal.jsonl"

    @property
    def sealed_path(self) -> Path:
        """The run as one file, written when it has ended."""
        return self.path / "run.json"

    @property
    def recording_path(self) -> Path:
        """What the microphone heard, where it was to be kept."""
        return self.path / "recording.wav"

    @property
    def number(self) -> int:
        """The run's place in the order of runs."""
        return int(self.path.name)

    def write_manifest(self, manifest: Manifest) -> None:
        """Write what is known beforehand. Raises StorageError."""
        durable.write_bytes(self.path / "manifest.json", pretty(manifest))

    def seal(self, run: Run) -> None:
        """Write the finished run. Raises StorageError."""
        durable.write_bytes(self.sealed_path, pretty(run))

    def replay(self) -> Run:
        """Assemble the run from its manifest and journal, whatever became of the tool.

        Raises:
            StorageError: a file is missing or damaged.
        """
        path = self.path / "manifest.json"
        try:
            manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
        except OSError as error:
            raise StorageError(f"cannot read {path}: {error.strerror}") from error
        except msgspec.MsgspecError as error:
            raise StorageError(f"{path} is damaged: {error}") from error
        if manifest.schema_version > SCHEMA_VERSION:
            raise StorageError(
                f"{path} has schema version {manifest.schema_version}; this tool reads up to "
                f"{SCHEMA_VERSION}",
                hint="install a newer mac-whisper-speedtest",
            )
        running = journal.is_being_written(self.journal_path)
        events, damaged = journal.read(self.journal_path)
        return assemble(manifest, events, damaged_lines=damaged, running=running)


def runs_dir() -> Path:
    """The folder that holds every run."""
    return paths.data_dir() / "runs"


def create() -> RunDirectory:
    """Make the next run's directory; two tools at once get two numbers.

    Raises:
        StorageError: no folder can be made there.
    """
    root = runs_dir()
    try:
        root.mkdir(parents=True, exist_ok=True)
        number = max(_numbers(root), default=0)
        while True:
            number += 1
            path = root / f"{number:06d}"
            try:
                path.mkdir()
            except FileExistsError:
                continue
            durable.fsync_dir(root)
            return RunDirectory(path)
    except OSError as error:
        raise StorageError(
            f"cannot create a run in {root}: {error.strerror}",
            hint="set SPEEDTEST_DATA_DIR to a folder you can write to",
        ) from error


def find(name: str) -> RunDirectory:
    """The run called ``name``: ``latest``, a number, or a path to a run directory.

    Raises:
        UsageError: there is no such run.
    """
    root = runs_dir()
    numbers = _shown(root)
    if name == "latest":
        if not numbers:
            raise UsageError("there is no run yet", hint="make one: speedtest run --model tiny.en")
        return RunDirectory(root / f"{numbers[-1]:06d}")
    if name.isdigit():
        if int(name) not in numbers:
            known = f"the last is {numbers[-1]}" if numbers else "there is none yet"
            raise UsageError(f"there is no run {int(name)}", hint=known)
        return RunDirectory(root / f"{int(name):06d}")
    path = Path(name)
    if path.is_file():
        path = path.parent
    if (path / "manifest.json").is_file():
        return RunDirectory(path)
    raise UsageError(
        f"{name!r} is not a run",
        hint="say latest, a run's number, or a run's directory",
    )


def name_of(run: RunDirectory) -> str:
    """What to call ``run`` on the command line: its number, or its path if it lies elsewhere."""
    return str(run.number) if run.path.parent == runs_dir() else str(run.path)


def pretty(value: Manifest | Run) -> bytes:
    """JSON for people: indented, one trailing newline, no NaN."""
    return msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"


def _numbers(root: Path) -> list[int]:
    if not root.is_dir():
        return []
    return sorted(int(item.name) for item in root.iterdir() if item.name.isdigit())


def _shown(root: Path) -> list[int]:
    """The runs that have a manifest; a tool may have died before it."""
    return [
        number for number in _numbers(root) if (root / f"{number:06d}" / "manifest.json").is_file()
    ]
