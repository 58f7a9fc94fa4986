"""The command that repeats a run, derived from its manifest."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass

from mac_whisper_speedtest import request
from mac_whisper_speedtest.option import AUTO, argument, arguments_of
from mac_whisper_speedtest.results import schema as s

_CUT = " cut"  # ends the name of speech that was cut to several lengths
_CUT_FROM = "cut from "
_HUB = " on the Hugging Face hub"


@dataclass(frozen=True, slots=True)
class Reproduction:
    """How to repeat a run.

    Attributes:
        arguments: the program, the command and its options.
        notes: what else a reader needs, one sentence each.
    """

    arguments: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def line(self) -> str:
        """The command, quoted for a POSIX shell."""
        return shlex.join(self.arguments)


def reproduction_of(manifest: s.Manifest) -> Reproduction:
    """The command of a run; every option that is not a default is in it, and every limit."""
    notes = [*_speech_notes(manifest), *_notes(manifest.request)]
    return Reproduction(("speedtest", "run", *_options(manifest)), tuple(notes))


def _options(manifest: s.Manifest) -> Iterator[str]:
    recorded = manifest.request
    unnamed = () if recorded.backends_named else ("backends",)
    yield from arguments_of(recorded, request.OPTIONS, request.default_of, unnamed)
    yield from _speech(manifest)


def _speech(manifest: s.Manifest) -> Iterator[str]:
    """The options that select the audio."""
    clip = manifest.clips[0] if manifest.clips else None
    if clip is None:
        return
    name, source = clip.name, clip.source
    if manifest.request.durations:
        name = name.removesuffix(_CUT)
        source = source.removeprefix(_CUT_FROM)
    if source == "a manifest of the user's":
        yield from argument("--manifest", name)
    elif name.startswith("librispeech:") and source.startswith("LibriSpeech"):
        yield from argument("--dataset", name)
    elif name.startswith("hf:") and source.endswith(_HUB):
        yield from argument("--dataset", _pinned(name, source))
    elif _is_users(source):
        yield from argument("--audio", "recording.wav" if source == "the microphone" else name)
    else:
        yield from argument("--clip", name)
    contract = manifest.request.contract
    language = contract.get("language")
    if language is None and contract.get("task") is not None:  # else the contract leaves both
        language = AUTO
    if isinstance(language, str) and (language == AUTO or len(clip.languages) < 2):
        yield from argument("--language", language)


def _is_users(source: str) -> bool:
    return (
        source in {"a file of the user's", "a folder of the user's", "the microphone", "file"}
        or ", from " in source
    )


def _pinned(name: str, source: str) -> str:
    """``hf:org/name:split:n=5`` with the revision that the source names."""
    collection, repository, *rest = name.split(":")
    revision = source.removesuffix(_HUB).rpartition(" at ")[2]
    return ":".join([collection, f"{repository}@{revision}", *rest])


def _speech_notes(manifest: s.Manifest) -> Iterator[str]:
    for clip in manifest.clips[:1]:
        source = clip.source.removeprefix(_CUT_FROM)
        if source == "the microphone":
            yield (
                "The speech was recorded from a microphone. If the recording was kept, it is "
                "recording.wav in the run's folder; else the run cannot be repeated."
            )
        elif ", from " in source:
            yield f"The speech was downloaded: {source}. Put its full address after --audio."
        elif source in {"a file of the user's", "a folder of the user's", "file"} or (
            source == "a manifest of the user's"
        ):
            yield (
                f"{clip.name} is the user's own speech ({source}). It is the same speech if the "
                f"new run has pcm_sha256 {clip.pcm_sha256}."
            )
        elif ":" in clip.name and "--dataset" in tuple(_speech(manifest)):
            yield "Add --download if the dataset is not on the machine yet."


def _notes(request: s.RequestInfo) -> Iterator[str]:
    if not request.backends_named:
        yield (
            "No backend was named, so the run used all that it knew: "
            f"{', '.join(request.backends)}."
        )
    yield (
        "NAME@VERSION pins a backend's release; the measured ones are listed below. A backend that "
        "the user described in a file is named by that file."
    )
