"""The command that measures again what a run measured: pure, from what the run was asked for."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass

from mac_whisper_speedtest.results import schema as s

_CUT = " cut"  # what the name of a reading ends with that was cut to several lengths
_CUT_FROM = "cut from "
_HUB = " on the Hugging Face hub"


@dataclass(frozen=True, slots=True)
class Reproduction:
    """How to measure it again.

    Attributes:
        arguments: the program, the command and its options, as a shell would part them.
        notes: what the command alone does not say, a sentence each.
    """

    arguments: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def line(self) -> str:
        """The command as it is typed, quoted for a POSIX shell."""
        return shlex.join(self.arguments)


def reproduction_of(manifest: s.Manifest) -> Reproduction:
    """The command of a run; every option that is not a default is in it, and every limit."""
    request = manifest.request
    notes = [*_speech_notes(manifest), *_notes(request)]
    return Reproduction(("speedtest", "run", *_options(manifest)), tuple(notes))


def _options(manifest: s.Manifest) -> Iterator[str]:
    request = manifest.request
    for model in request.models:
        yield from _option("--model", model)
    if request.backends_named:
        for backend in request.backends:
            yield from _option("--backend", backend)
    yield from _speech(manifest)
    yield from _option("--contract", request.contract.get("name"))
    yield from _option("--rounds", request.rounds)
    yield from _option("--passes", request.passes)
    yield from _option("--seed", request.seed)
    yield from _option("--threads", request.threads)
    yield from _option("--device", request.device)
    yield from _option("--precision", request.precision)
    yield from _option("--budget", _plain(request.budget_s))
    yield from _option("--ci-width", _plain(request.ci_width))
    yield from _option("--max-rounds", request.max_rounds)
    yield from _option("--margin", _plain(request.margin))
    yield from _option("--reference", request.reference_backend)
    yield from _option("--affinity", ",".join(map(str, request.affinity or ())) or None)
    yield from _option("--nice", request.nice or None)
    yield from _option("--max-time", _plain(request.max_time_s))
    yield from _option("--timeout", _plain(request.timeout_s))
    yield from _option("--max-memory", request.max_memory_bytes)
    yield from _option("--retries", request.retries or None)
    yield from _option("--max-failures", request.max_failures)
    for name, given in (
        ("--strict", request.strict),
        ("--cold-load", request.cold_load),
        ("--repair", request.repair),
        ("--fail-fast", request.fail_fast),
    ):
        if given:
            yield name
    # Always said: an environment variable may say otherwise.
    yield "--retake" if request.retake else "--no-retake"


def _option(name: str, value: object) -> tuple[str, ...]:
    if value is None:
        return ()
    text = str(value)
    # A value like this would be taken for an option.
    return (f"{name}={text}",) if text.startswith("-") else (name, text)


def _plain(value: float | None) -> str | None:
    """A number without an exponent, which the options do not read: 61.5, 300, 0.02."""
    if value is None:
        return None
    text = repr(value)
    if "e" in text or "E" in text:
        text = f"{value:.12f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _speech(manifest: s.Manifest) -> Iterator[str]:
    """What it was measured on."""
    clip = manifest.clips[0] if manifest.clips else None
    if clip is None:
        return
    name, source = clip.name, clip.source
    durations = manifest.request.durations
    if durations:
        name = name.removesuffix(_CUT)
        source = source.removeprefix(_CUT_FROM)
    if source == "a manifest of the user's":
        yield from _option("--manifest", name)
    elif name.startswith("librispeech:") and source.startswith("LibriSpeech"):
        yield from _option("--dataset", name)
    elif name.startswith("hf:") and source.endswith(_HUB):
        yield from _option("--dataset", _pinned(name, source))
    elif _is_users(source):
        yield from _option("--audio", "recording.wav" if source == "the microphone" else name)
    else:
        yield from _option("--clip", name)
    if durations:
        yield from _option("--durations", ",".join(_plain(each) or "" for each in durations))
    language = manifest.request.contract.get("language")
    if isinstance(language, str):
        yield from _option("--language", language)


def _is_users(source: str) -> bool:
    return (
        source in {"a file of the user's", "a folder of the user's", "the microphone", "file"}
        or ", from " in source
    )


def _pinned(name: str, source: str) -> str:
    """``hf:org/name:split:n=5`` with the revision, which stands in the source."""
    collection, repository, *rest = name.split(":")
    revision = source.removesuffix(_HUB).rpartition(" at ")[2]
    return ":".join([collection, f"{repository}@{revision}", *rest])


def _speech_notes(manifest: s.Manifest) -> Iterator[str]:
    for clip in manifest.clips[:1]:
        source = clip.source.removeprefix(_CUT_FROM)
        if source == "the microphone":
            yield (
                "The speech was recorded from a microphone. Where that recording was kept, it lies "
                "with the run as recording.wav; else it cannot be measured again."
            )
        elif ", from " in source:
            yield f"The speech was fetched: {source}. Put its whole address after --audio."
        elif source in {"a file of the user's", "a folder of the user's", "file"} or (
            source == "a manifest of the user's"
        ):
            yield (
                f"{clip.name} is the user's own speech ({source}). It is the same speech where "
                f"the new run has pcm_sha256 {clip.pcm_sha256}."
            )
        elif ":" in clip.name and "--dataset" in tuple(_speech(manifest)):
            yield "Add --download where the dataset is not on the machine yet."


def _notes(request: s.RequestInfo) -> Iterator[str]:
    if not request.backends_named:
        yield (
            "No backend was named, so the run took every one it knew: "
            f"{', '.join(request.backends)}."
        )
    yield (
        "A backend's release is pinned by writing NAME@VERSION; those that were measured are "
        "listed below. Backends described by a file of the user's are named by that file."
    )
