"""The recordings of a run as files for its workers: copies, held against the originals."""

from __future__ import annotations

import hashlib
import shutil
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mac_whisper_speedtest import files
from mac_whisper_speedtest.audio.recording import Recording, pcm_bytes
from mac_whisper_speedtest.errors import StorageError
from mac_whisper_speedtest.worker import protocol as m

_READ_ONLY = 0o400


class LostFolderError(StorageError):
    """The folder of a run's temporary files was removed during the run."""


@dataclass(frozen=True, slots=True)
class TaskRecording:
    """A recording to transcribe: its name in a set (empty for a single one), and its file."""

    name: str
    audio: m.AudioParams

    @property
    def seconds(self) -> float:
        """Duration of the audio."""
        return self.audio.samples / self.audio.sample_rate


class WorkerInputs:
    """A read-only file for every recording, which exists until the run has ended.

    All workers read the same files, and one that may not write them may still replace them. So they
    are copies, not links to the cache, and are compared with what they held after every worker.

    Attributes:
        recordings: in the order of the run.
    """

    def __init__(self, originals: Sequence[Recording], folder: Path) -> None:
        """Write the files.

        Raises:
            StorageError: there is no room for them.
        """
        self._originals = originals
        self._folder = folder
        self._paths = [folder / f"{number:05d}.f32" for number in range(len(originals))]
        self.recordings = tuple(
            TaskRecording(
                original.name if len(originals) > 1 else "",
                m.AudioParams(str(path), int(original.samples.size)),
            )
            for path, original in zip(self._paths, originals, strict=True)
        )
        self._written = [self._write(number) for number in range(len(originals))]

    def restore_changed(self) -> list[str]:
        """Write the files again that are not as they were; return the names of those that differed.

        A file whose inode and times are as they were is not read.

        Raises:
            LostFolderError: the folder is gone.
            StorageError: a file cannot be written, or the original has changed, too.
        """
        self.require_folder()
        changed = []
        for number, (path, original) in enumerate(zip(self._paths, self._originals, strict=True)):
            if _identity(path) == self._written[number]:
                continue
            if not _holds(path, original):
                changed.append(original.name)
            self._written[number] = self._write(number)
        return changed

    def require_folder(self) -> None:
        """Raise LostFolderError if the folder is gone."""
        if not self._folder.is_dir():
            raise LostFolderError(
                f"the folder of temporary files {self._folder} was removed during the run",
                hint="what was measured so far is kept: type the same again with --resume",
            )

    def _write(self, number: int) -> tuple[int, ...]:
        path, original = self._paths[number], self._originals[number]
        data = pcm_bytes(original.samples)
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
        if hashlib.sha256(data).hexdigest() != original.pcm_sha256:
            raise StorageError(
                f"the decoded recording {original.name} has changed in the cache",
                hint="speedtest clips clear, then run it again",
            )
        return _identity(path)


def _identity(path: Path) -> tuple[int, ...]:
    """What changes when a file is written, replaced or renamed; empty if there is none."""
    try:
        found = path.lstat()
    except OSError:
        return ()
    return (
        found.st_dev,
        found.st_ino,
        found.st_mode,
        found.st_size,
        found.st_mtime_ns,
        found.st_ctime_ns,
    )


def _holds(path: Path, original: Recording) -> bool:
    try:
        if not stat.S_ISREG(path.lstat().st_mode):  # reading a pipe would not end
            return False
        return files.sha256_file(path) == original.pcm_sha256
    except OSError:
        return False
