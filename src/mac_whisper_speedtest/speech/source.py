"""What a run measures on: the user's audio file, or a built-in clip."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from mac_whisper_speedtest.errors import AudioError, UsageError
from mac_whisper_speedtest.speech import builtin
from mac_whisper_speedtest.speech.clip import Clip


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
    from mac_whisper_speedtest.speech.decode import decode

    samples = decode(audio)
    return Clip(
        name=audio.name,
        samples=samples,
        reference=_given(reference) if reference is not None else _sidecar(audio),
        language=language,
        source=str(audio),
    )


def _given(reference: str) -> str:
    if not reference.strip():
        raise UsageError(
            "the reference text is blank", hint="leave it out if the words are not known"
        )
    return reference.strip()


def _sidecar(audio: Path) -> str | None:
    """The text beside the audio. A blank or unreadable one is an error: someone meant it."""
    path = audio.with_suffix(".txt")
    if path == audio or not path.exists():
        return None
    try:
        text = path.read_text(encoding="utf-8-sig").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise AudioError(
            f"cannot read the reference {path}: {reason}",
            hint="save it as UTF-8 text, or rename it if it is no transcript",
        ) from error
    if not text:
        raise AudioError(
            f"the reference {path} is blank",
            hint="write the spoken words into it, or remove it",
        )
    return text
