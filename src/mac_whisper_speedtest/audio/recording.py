"""One piece of speech, ready to be measured on, and what is known about it."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from mac_whisper_speedtest import files
from mac_whisper_speedtest.audio.decode import SAMPLE_RATE
from mac_whisper_speedtest.printable import printable_name
from mac_whisper_speedtest.privacy import scrub

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


@dataclass(frozen=True, eq=False)
class Recording:
    """Audio with, where known, the words in it.

    Attributes:
        name: how tables and options call it.
        samples: shape ``[samples]``, 16 kHz mono float32, full scale at +-1; read-only.
        reference: the words spoken, or None without a transcript (accuracy is then unknown).
        language: two-letter code of the speech, or None when not known.
        source: where the audio came from, for a person; never a path of this machine.
        pcm_path: a file in the cache that holds exactly these samples, for workers to read; None
            where there is none (cuts, recordings from the microphone): see `write_pcm`.
        known_sha256: the hash of the samples where it is known already; see `pcm_sha256`.
        speaker: whose voice it is, by whatever name a dataset uses; None when not known.
    """

    name: str
    samples: npt.NDArray[np.float32]
    reference: str | None
    language: str | None
    source: str
    pcm_path: Path | None = None
    known_sha256: str | None = field(default=None, repr=False)
    speaker: str | None = None

    def __post_init__(self) -> None:
        """Check the array and keep a read-only view of it: every backend must get the same.

        Raises:
            ValueError: the samples are not one-dimensional float32.
        """
        if self.samples.ndim != 1 or self.samples.dtype.name != "float32":
            raise ValueError(
                f"samples must be 1-D float32, not {self.samples.ndim}-D {self.samples.dtype}"
            )
        view = self.samples.view()
        view.flags.writeable = False
        object.__setattr__(self, "samples", view)

    @property
    def seconds(self) -> float:
        """Duration of the audio."""
        return self.samples.size / SAMPLE_RATE

    @cached_property
    def pcm_sha256(self) -> str:
        """SHA-256 of the little-endian float32 samples: what backends are really fed."""
        return self.known_sha256 or hashlib.sha256(_pcm_bytes(self.samples)).hexdigest()


def write_pcm(audio: Recording | npt.NDArray[np.float32], path: Path) -> None:
    """Write raw little-endian float32 samples, no header, atomically; the ``.f32`` workers read.

    Raises:
        StorageError: the file could not be written.
    """
    samples = audio.samples if isinstance(audio, Recording) else audio
    files.write_bytes(path, _pcm_bytes(samples).tobytes())


def write_wav(audio: Recording, path: Path) -> None:
    """Write a file for people to listen to: 16-bit mono wav at 16 kHz, atomically.

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


def _pcm_bytes(samples: npt.NDArray[np.float32]) -> memoryview:
    """The samples as they are in memory; they are copied only where they do not lie so."""
    import numpy as np

    return np.ascontiguousarray(samples, dtype="<f4").data


# What one run measures on: a recording, a set of utterances, or cuts of chosen lengths.


Kind = Literal["clip", "set", "durations"]
"""One recording; utterances that are scored as one corpus; cuts of one reading, by length."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Something that was asked for and is not measured on, or not scored, and why.

    Attributes:
        name: of the recording, printable.
        reason: in words, printable.
    """

    name: str
    reason: str


@dataclass(frozen=True)
class AudioSet:
    """The audio of a run.

    Attributes:
        name: how tables call it; printable, no path.
        recordings: at least one; their names are unique.
        source: where it came from, for a person; never a path of this machine.
        kind: see `Kind`.
        left_out: what was asked for and cannot be measured on: a missing or damaged file, one
            without samples, samples that are not finite.
        unscored: what is measured but has no say in accuracy although a text was meant to be there.
    """

    name: str
    recordings: tuple[Recording, ...]
    source: str
    kind: Kind
    left_out: tuple[LeftOut, ...] = ()
    unscored: tuple[LeftOut, ...] = ()

    def __post_init__(self) -> None:
        """Check the shape of the set.

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
        """The language of all recordings; None when it differs or is not known of any one."""
        spoken = {recording.language for recording in self.recordings}
        return spoken.pop() if len(spoken) == 1 else None

    @cached_property
    def pcm_sha256(self) -> str:
        """What was fed to backends, in one hash.

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
    """``name`` as it may stand in tables and results: no user names, no line breaks."""
    return printable_name(scrub(name)) or "unnamed"


def unused(name: str, taken: Collection[str]) -> str:
    """``name``, or where it is taken ``name#2``, or whatever number comes next."""
    number, chosen = 1, name
    while chosen in taken:
        number += 1
        chosen = f"{name}#{number}"
    return chosen
