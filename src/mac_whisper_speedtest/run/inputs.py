"""The audio and weights that all workers of a run read, and whether a worker changed them."""

from __future__ import annotations

import hashlib
import shutil
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mac_whisper_speedtest import files
from mac_whisper_speedtest.audio.recording import Recording, pcm_bytes
from mac_whisper_speedtest.errors import StorageError
from mac_whisper_speedtest.weights.locate import Weights
from mac_whisper_speedtest.worker import protocol as m

_READ_ONLY = 0o400


class LostFolderError(StorageError):
    """The folder of a run's temporary files was removed during the run."""


@dataclass(frozen=True, slots=True)
class TaskRecording:
    """A recording to transcribe.

    Attributes:
        name: in a set; empty for a single one.
        audio: its file.
        language: that it is spoken in, if it is known.
    """

    name: str
    audio: m.AudioParams
    language: str | None = None

    @property
    def seconds(self) -> float:
        """Duration of the audio."""
        return self.audio.samples / self.audio.sample_rate


class WorkerInputs:
    """A read-only file for every recording, which exists until the run has ended; and weights.

    All workers read the same files, and one that may not write them may still replace them. So
    recordings are copies, not links to the cache. After every worker, the files are compared with
    their content: recordings are then rewritten, and cells with other weights cannot continue.

    Attributes:
        recordings: in the order of the run.
    """

    def __init__(
        self, originals: Sequence[Recording], folder: Path, weights: Mapping[str, Weights]
    ) -> None:
        """Write the files.

        Args:
            originals: the recordings.
            folder: for the files; an empty one.
            weights: cell id → its weights, also those that take their place during the run.

        Raises:
            StorageError: the disk is full, or a decoded recording has changed.
        """
        self._originals = originals
        self._folder = folder
        self._paths = [folder / f"{number:05d}.f32" for number in range(len(originals))]
        self.recordings = tuple(
            TaskRecording(
                original.name if len(originals) > 1 else "",
                m.AudioParams(str(path), original.count),
                original.language,
            )
            for path, original in zip(self._paths, originals, strict=True)
        )
        self._written = [self._write(number) for number in range(len(originals))]
        self._weights = weights
        self._before: dict[Path, tuple[int, ...]] = {}
        self._changed: set[Path] = set()

    def restore_changed(self) -> list[str]:
        """Write the files again that are not as they were; return the names of those that differed.

        A file with the same inode and times is not read again.

        Raises:
            LostFolderError: the folder is gone.
            StorageError: a file cannot be written, or the original has changed, too.
        """
        self.require_folder()
        changed = []
        for number, (path, original) in enumerate(zip(self._paths, self._originals, strict=True)):
            if _identity(path) == self._written[number]:
                continue
            if not _holds(path, original.pcm_sha256):
                changed.append(original.name)
            self._written[number] = self._write(number)
        return changed

    def remember_weights(self) -> None:
        """Remember the state of all weights; call it before a worker starts."""
        self._before = {path: _identity(path) for _, path, _ in self._weights_files()}

    def changed_weights(self) -> set[str]:
        """The names of files with other content than at `remember_weights`.

        A file with the same inode and times is not read again.
        """
        found = {
            path
            for _, path, sha256 in self._weights_files()
            if _identity(path) != self._before.get(path) and not _holds(path, sha256)
        }
        self._changed |= found
        return {path.name for path in found}

    def lost_weights(self) -> dict[str, str]:
        """Cell id → a file of its weights that a worker changed, and that was not repaired."""
        return {
            cell: path.name
            for cell, path, sha256 in self._weights_files()
            if path in self._changed and not _holds(path, sha256)
        }

    def _weights_files(self) -> Iterator[tuple[str, Path, str]]:
        """The cell id, path and hash of every file of weights."""
        for cell, weights in self._weights.items():
            folder = weights.path if weights.path.is_dir() else weights.path.parent
            yield from ((cell, folder / name, sha256) for name, sha256 in weights.files.items())

    def require_folder(self) -> None:
        """Raise LostFolderError if the folder is gone."""
        if not self._folder.is_dir():
            raise LostFolderError(
                f"the folder of temporary files {self._folder} was removed during the run",
                hint="the results so far are kept: repeat the command with --resume",
            )

    def _write(self, number: int) -> tuple[int, ...]:
        path, original = self._paths[number], self._originals[number]
        data = pcm_bytes(original.samples)
        if hashlib.sha256(data).hexdigest() != original.pcm_sha256:
            raise StorageError(
                f"the decoded recording {original.name} has changed in the cache",
                hint="speedtest clips clear, then run it again",
            )
        unfinished = path.with_suffix(".new")
        try:
            unfinished.write_bytes(data)
            unfinished.chmod(_READ_ONLY)
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            unfinished.replace(path)
        except OSError as error:
            raise StorageError(
                f"cannot write {path}: {error.strerror}",
                hint=f"set TMPDIR to a folder with {files.megabytes(data.nbytes)} of free space",
            ) from error
        return _identity(path)


def _identity(path: Path) -> tuple[int, ...]:
    """The stamp that changes when a file is written, replaced or renamed; empty without a file."""
    try:
        found = path.stat()
    except OSError:
        return ()
    times = found.st_mtime_ns, found.st_ctime_ns
    return found.st_dev, found.st_ino, found.st_mode, found.st_size, *times


def _holds(path: Path, sha256: str) -> bool:
    try:
        # Reading a pipe would not end.
        return stat.S_ISREG(path.stat().st_mode) and files.sha256_file(path) == sha256
    except OSError:
        return False
