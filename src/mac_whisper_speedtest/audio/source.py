"""What a run measures on: the user's audio file, or a built-in clip."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from mac_whisper_speedtest.audio import builtin, cache
from mac_whisper_speedtest.audio.clip import Clip
from mac_whisper_speedtest.audio.folder import text_beside
from mac_whisper_speedtest.audio.speech import presentable
from mac_whisper_speedtest.errors import AudioError, UsageError


def resolve(
    *,
    audio: Path | None,
    clip: str | None,
    reference: str | None = None,
    language: str | None = None,
    announce: Callable[[str], None],
) -> Clip:
    """Turn ``--audio FILE`` or ``--clip NAME`` into a clip; the default built-in clip when neither.

    For an audio file the reference is ``reference`` when given, else the text of the file beside it
    with the same stem and ``.txt`` (``talk.mp3`` -> ``talk.txt``) when there is one, else unknown.

    Args:
        audio: the user's file.
        clip: name of a built-in clip.
        reference: the words spoken in ``audio``, as text.
        language: two-letter code of the speech in ``audio``.
        announce: told before anything is downloaded.

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
        loaded = builtin.load(name, announce=announce)
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
) -> Clip:
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
    return Clip(
        name=presentable(name or audio.name),
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
