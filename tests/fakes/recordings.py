"""Speech that nobody spoke, as a run is given it."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from fakes.events import SAID, SPOKEN
from mac_whisper_speedtest.audio.recording import AudioSet, Kind, LeftOut, Recording

AUDIO_S = 10.0
"""Seconds of a recording."""


def recording(
    name: str = "speech", reference: str | None = SPOKEN, source: str = "a file of the user's"
) -> AudioSet:
    """One recording of 10 s."""
    clip = Recording(name, _tone(AUDIO_S), reference, "en", source, known_sha256="ab" * 32)
    return AudioSet(name, (clip,), source, "clip")


def collection(
    texts: Mapping[str, str | None] = SAID,
    *,
    name: str = "speech",
    source: str = "a manifest of the user's",
    seconds: float = AUDIO_S,
    left_out: Sequence[LeftOut] = (),
    unscored: Sequence[LeftOut] = (),
) -> AudioSet:
    """A set: what is said in each of its recordings, by name."""
    lengths = dict.fromkeys(texts, seconds)
    return _several("set", name, source, texts, lengths, tuple(left_out), tuple(unscored))


def cuts(*seconds: float) -> AudioSet:
    """One reading cut to several lengths."""
    lengths = {f"{each:g}s": each for each in seconds}
    source = "cut from moonshine-voice 0.1.5, moonshine_voice/assets/two_cities.wav"
    return _several("durations", "cities cut", source, dict.fromkeys(lengths), lengths)


def _several(
    kind: Kind,
    name: str,
    source: str,
    texts: Mapping[str, str | None],
    lengths: Mapping[str, float],
    left_out: tuple[LeftOut, ...] = (),
    unscored: tuple[LeftOut, ...] = (),
) -> AudioSet:
    clips = tuple(
        Recording(each, _tone(lengths[each]), text, "en", source, known_sha256=f"{place:064x}")
        for place, (each, text) in enumerate(texts.items())
    )
    return AudioSet(name, clips, source, kind, left_out, unscored)


@functools.cache
def _tone(seconds: float) -> npt.NDArray[np.float32]:
    return np.full(int(seconds * 16_000), 0.1, np.float32)
