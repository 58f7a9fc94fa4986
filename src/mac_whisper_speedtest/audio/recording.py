"""The audio of a run: decoded recordings with their reference texts, alone or as a set."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from mac_whisper_speedtest import files
from mac_whisper_speedtest.audio.decode import SAMPLE_RATE
from mac_whisper_speedtest.errors import StorageError
from mac_whisper_speedtest.printable import printable_name
from mac_whisper_speedtest.privacy import scrub

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


_MAPPED_BYTES = 32_000_000
"""Larger files are mapped, so that their pages can be taken back."""


@dataclass(frozen=True, slots=True)
class StoredSamples:
    """Decoded samples in a file of the PCM cache, read when they are needed and not kept.

    Attributes:
        path: of raw little-endian float32.
        count: how many samples.
        start: the first one.
    """

    path: Path
    count: int
    start: int = 0

    def read(self) -> npt.NDArray[np.float32]:
        """The samples, read-only. Raises StorageError if the file is missing or too short."""
        import numpy as np

        try:
            if 4 * self.count >= _MAPPED_BYTES:
                return np.memmap(self.path, "<f4", "r", 4 * self.start, (self.count,))
            found = np.fromfile(self.path, "<f4", self.count, offset=4 * self.start)
        except (OSError, ValueError) as error:
            raise StorageError(f"cannot read {self.path}: {error}", hint=_AGAIN) from error
        if found.size != self.count:
            raise StorageError(f"{self.path} has become shorter", hint=_AGAIN)
        found.flags.writeable = False
        return found


_AGAIN = "run it again: the recording is decoded again"


@dataclass(frozen=True, eq=False)
class Recording:
    """Audio and, if known, the words in it.

    Attributes:
        name: its name in tables and options.
        pcm: its samples: in memory if they were created there (cut, joined, recorded), else a file.
        reference: the words spoken, or None without a transcript (accuracy is then unknown).
        language: two-letter code of the speech, or None if unknown.
        source: the origin of the audio, for a person; never a path of this machine.
        known_sha256: the hash of the samples if it is known already; see `pcm_sha256`.
        speaker: the dataset's name for the speaker; None if unknown.
    """

    name: str
    pcm: npt.NDArray[np.float32] | StoredSamples
    reference: str | None
    language: str | None
    source: str
    known_sha256: str | None = field(default=None, repr=False)
    speaker: str | None = None

    def __post_init__(self) -> None:
        """Check an array and keep a read-only view, so that every backend gets the same samples.

        Raises:
            ValueError: the samples are not one-dimensional float32.
        """
        if isinstance(self.pcm, StoredSamples):
            return
        if self.pcm.ndim != 1 or self.pcm.dtype.name != "float32":
            raise ValueError(f"samples must be 1-D float32, not {self.pcm.ndim}-D {self.pcm.dtype}")
        view = self.pcm.view()
        view.flags.writeable = False
        object.__setattr__(self, "pcm", view)

    @property
    def samples(self) -> npt.NDArray[np.float32]:
        """Shape ``[samples]``, 16 kHz mono float32, full scale at +-1; read-only.

        Do not keep them: a set can be larger than memory.

        Raises:
            StorageError: the file in the PCM cache is missing.
        """
        return self.pcm.read() if isinstance(self.pcm, StoredSamples) else self.pcm

    @property
    def count(self) -> int:
        """The number of samples."""
        return self.pcm.count if isinstance(self.pcm, StoredSamples) else self.pcm.size

    @property
    def seconds(self) -> float:
        """Duration of the audio."""
        return self.count / SAMPLE_RATE

    @cached_property
    def pcm_sha256(self) -> str:
        """SHA-256 of the little-endian float32 samples, as backends receive them."""
        return self.known_sha256 or hashlib.sha256(pcm_bytes(self.samples)).hexdigest()


READ_ONLY: Final = 0o400
"""Permissions of the samples that workers read: no worker can overwrite them for the next."""


def write_pcm(audio: Recording | npt.NDArray[np.float32], path: Path) -> None:
    """Write the ``.f32`` file that workers read: little-endian float32, no header, read-only.

    Raises:
        StorageError: the file could not be written.
    """
    samples = audio.samples if isinstance(audio, Recording) else audio
    files.write_bytes(path, pcm_bytes(samples).tobytes())
    path.chmod(READ_ONLY)


def write_wav(audio: Recording, path: Path) -> None:
    """Write a 16-bit mono wav at 16 kHz, for people to listen to, atomically.

    Raises:
        StorageError: the file could not be written.
    """
    import io
    import wave

    import numpy as np

    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(SAMPLE_RATE)
        full_scale = np.clip(np.rint(audio.samples * 32768.0), -32768, 32767)
        out.writeframes(full_scale.astype("<i2").tobytes())
    files.write_bytes(path, buffer.getvalue())


def pcm_bytes(samples: npt.NDArray[np.float32]) -> memoryview:
    """The bytes of the samples; copied only if they are not contiguous and little-endian."""
    import numpy as np

    return np.ascontiguousarray(samples, dtype="<f4").data


Kind = Literal["clip", "set", "durations"]
"""One recording; utterances scored as one corpus; cuts of one reading by length."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A requested recording that is not measured, or not scored, and why. Both are printable."""

    name: str
    reason: str


@dataclass(frozen=True)
class AudioSet:
    """The audio of a run.

    Attributes:
        name: its name in tables; printable, no path.
        recordings: at least one; their names are unique.
        source: the origin, for a person; never a path of this machine.
        left_out: requested but not measurable: a missing or damaged file, one without samples,
            samples that are not finite.
        unscored: measured for speed only, because the expected reference text is missing.
    """

    name: str
    recordings: tuple[Recording, ...]
    source: str
    kind: Kind
    left_out: tuple[LeftOut, ...] = ()
    unscored: tuple[LeftOut, ...] = ()

    def __post_init__(self) -> None:
        """Check the set.

        Raises:
            ValueError: no recordings, two of one name, or several in a "clip".
        """
        names = [recording.name for recording in self.recordings]
        if not names or len(set(names)) < len(names):
            raise ValueError(f"a set needs at least one recording, and unique names, not {names}")
        if self.kind == "clip" and len(names) > 1:
            raise ValueError(f"{len(names)} recordings are a set")

    @property
    def seconds(self) -> float:
        """Duration of all recordings together."""
        return sum(recording.seconds for recording in self.recordings)

    @property
    def language(self) -> str | None:
        """The common language of all recordings; None if they differ or it is unknown."""
        spoken = {recording.language for recording in self.recordings}
        return spoken.pop() if len(spoken) == 1 else None

    @cached_property
    def pcm_sha256(self) -> str:
        """One hash of all samples that backends receive.

        For one recording its own. For more, the SHA-256 of the sorted lines ``name pcm_sha256``,
        each ended by a newline, so that neither order nor folder matters.
        """
        if self.kind == "clip":
            return self.recordings[0].pcm_sha256
        lines = sorted(
            f"{recording.name} {recording.pcm_sha256}\n" for recording in self.recordings
        )
        return hashlib.sha256("".join(lines).encode()).hexdigest()


def display_name(name: str) -> str:
    """``name`` for tables and results: without user names and line breaks."""
    return printable_name(scrub(name)) or "unnamed"


def unique_name(name: str, taken: Collection[str]) -> str:
    """``name``, or ``name#2`` if it is taken, or the next free number."""
    number, chosen = 1, name
    while chosen in taken:
        number += 1
        chosen = f"{name}#{number}"
    return chosen
