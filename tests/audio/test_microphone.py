"""A recording has the length asked for and 16 kHz, and what keeps one from being made is said.

There is no microphone where these tests run: what one gives is constructed, and the library that
would ask for it is a stand-in with the calls, and the errors, of sounddevice 0.5.6.
"""

from __future__ import annotations

import builtins
import io
import math
import os
import sys
import wave
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from mac_whisper_speedtest.audio import microphone
from mac_whisper_speedtest.audio.microphone import gather, loudness, meter
from mac_whisper_speedtest.audio.recording import Recording, write_wav
from mac_whisper_speedtest.audio.select import load_audio
from mac_whisper_speedtest.errors import AudioError, UsageError
from mac_whisper_speedtest.request import Request

Block = npt.NDArray[np.float32]


def blocks(rate: int, seconds: float, size: int = 512) -> Iterator[Block]:
    """A tone of 440 Hz at half of full scale, as a microphone would give it."""
    for start in range(0, round(rate * seconds), size):
        time_s = np.arange(start, start + size) / rate
        yield (0.5 * np.sin(2 * np.pi * 440 * time_s)).astype(np.float32)


def ignore(_: object) -> None:
    """The level is ignored."""


@pytest.mark.parametrize("rate", [16_000, 44_100, 48_000])
def test_a_recording_stops_at_its_time_and_has_16_khz(rate: int) -> None:
    samples = gather(blocks(rate, 10), rate, 1.5, ignore)

    assert abs(samples.size - 24_000) <= 1
    assert float(np.sqrt(np.mean(np.square(samples[2000:-2000])))) == pytest.approx(0.354, abs=0.01)


def test_an_endless_microphone_is_read_only_as_long_as_needed() -> None:
    taken = []

    def endless() -> Iterator[Block]:
        while True:
            taken.append(1)
            yield np.full(1_600, 0.1, np.float32)

    assert gather(endless(), 16_000, 1.0, ignore).size == 16_000
    assert len(taken) == 10


def test_the_level_is_told_for_every_block() -> None:
    levels: list[float] = []

    gather(blocks(16_000, 1), 16_000, None, levels.append)

    assert len(levels) == 32
    assert levels[5] == pytest.approx(-9.03, abs=0.2)


@pytest.mark.parametrize(
    ("block", "dbfs"), [(np.ones(10), 0.0), (np.full(10, 0.1), -20.0), (np.zeros(10), -math.inf)]
)
def test_loudness_is_rms_below_full_scale(block: npt.NDArray[Any], dbfs: float) -> None:
    assert loudness(block.astype(np.float32)) == pytest.approx(dbfs)


@pytest.mark.parametrize(("dbfs", "full"), [(0, 30), (6, 30), (-30, 15), (-60, 0), (-math.inf, 0)])
def test_the_meter_is_a_bar_of_fixed_width(dbfs: float, full: int) -> None:
    assert meter(dbfs) == "#" * full + "-" * (30 - full)


def test_a_microphone_that_gives_nothing_is_said() -> None:
    with pytest.raises(AudioError, match=r"only 0\.00 s were recorded"):
        gather([], 16_000, None, ignore)


def test_a_microphone_that_is_not_allowed_gives_zeros_and_is_said() -> None:
    with pytest.raises(AudioError, match="delivered only silence") as caught:
        gather([np.zeros(16_000, np.float32)], 16_000, None, ignore)
    assert "Privacy" in caught.value.hint


class PortAudioError(Exception):
    """As the library's own."""


def library(**changes: Any) -> ModuleType:
    """A stand-in for sounddevice: a device of 48 kHz that gives a tone."""

    class InputStream:
        def __init__(self, *, callback: Callable[..., None], **asked: Any) -> None:
            assert asked == {"samplerate": 48_000, "channels": 1, "dtype": "float32"}
            self.callback = callback

        def __enter__(self) -> None:
            for block in blocks(48_000, 3):
                self.callback(block[:, None], block.size, None, "")

        def __exit__(self, *_: object) -> None:
            pass

    module = ModuleType("sounddevice")
    calls = {
        "PortAudioError": PortAudioError,
        "InputStream": InputStream,
        "query_devices": lambda kind: {"default_samplerate": 48_000.0, "kind": kind},
    }
    module.__dict__.update(calls | changes)
    return module


def recorded(**source: Any) -> tuple[Recording, list[str]]:
    said: list[str] = []
    speech = load_audio(Request(models=(), **source), notify=said.append)
    return speech.recordings[0], said


def test_what_the_microphone_gives_becomes_a_clip_that_is_nowhere_on_disk(
    monkeypatch: pytest.MonkeyPatch, own_cache: Path
) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", library())

    clip, said = recorded(mic_seconds=2.0, language="en")

    assert (clip.name, clip.source, clip.language) == ("microphone", "the microphone", "en")
    assert abs(clip.seconds - 2) < 0.001
    assert said == ["Recording for 2 s. Speak now."]
    assert not own_cache.exists()


def test_enter_ends_a_recording(monkeypatch: pytest.MonkeyPatch) -> None:
    leader, follower = os.openpty()
    monkeypatch.setitem(sys.modules, "sounddevice", library())
    with os.fdopen(follower, encoding="utf-8") as terminal:
        monkeypatch.setattr(sys, "stdin", terminal)
        heard = []

        def level(_: float) -> None:
            heard.append(1)
            if len(heard) == 100:
                os.write(leader, b"\n")

        speech = load_audio(Request(models=(), mic=True), notify=ignore, level=level)
    os.close(leader)

    assert 0.5 < speech.seconds < 3


def test_without_a_terminal_a_time_has_to_be_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO())

    with pytest.raises(UsageError, match="needs a terminal"):
        recorded(mic=True)


@pytest.mark.parametrize("seconds", [0.0, -1.0, 3601.0, float("nan")])
def test_impossible_lengths_are_refused(seconds: float) -> None:
    with pytest.raises(UsageError, match="seconds cannot be recorded"):
        recorded(mic_seconds=seconds)


def test_without_the_library_the_hint_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)

    with pytest.raises(UsageError, match="sounddevice library") as caught:
        recorded(mic_seconds=1.0)
    assert "mac-whisper-speedtest[mic]" in caught.value.hint


def test_without_portaudio_the_hint_names_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    really = builtins.__import__

    def without(name: str, *rest: Any, **options: Any) -> Any:
        if name == "sounddevice":
            raise OSError("PortAudio library not found")
        return really(name, *rest, **options)

    monkeypatch.setattr(builtins, "__import__", without)

    with pytest.raises(UsageError, match="needs PortAudio: PortAudio library not found") as caught:
        recorded(mic_seconds=1.0)
    assert "libportaudio2" in caught.value.hint


def test_a_machine_without_any_sound_system_has_no_microphone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    message = "Error initializing PortAudio: Unanticipated host error [PaErrorCode -9999]"
    really = builtins.__import__

    def failing(name: str, *rest: Any, **options: Any) -> Any:
        if name == "sounddevice":
            raise PortAudioError(message)
        return really(name, *rest, **options)

    monkeypatch.setattr(builtins, "__import__", failing)

    with pytest.raises(UsageError, match="there is no microphone: Error initializing PortAudio"):
        recorded(mic_seconds=1.0)


def test_without_a_device_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(kind: str) -> None:
        raise PortAudioError("Error querying device -1")

    monkeypatch.setitem(sys.modules, "sounddevice", library(query_devices=none))

    with pytest.raises(UsageError, match="there is no microphone: Error querying device -1"):
        recorded(mic_seconds=1.0)


def test_a_device_that_cannot_be_opened_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def busy(**_: Any) -> None:
        raise PortAudioError("Device unavailable [PaErrorCode -9985]")

    monkeypatch.setitem(sys.modules, "sounddevice", library(InputStream=busy))

    with pytest.raises(UsageError, match="cannot be used: Device unavailable"):
        recorded(mic_seconds=1.0)


def test_a_device_that_falls_silent_does_not_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", library())
    monkeypatch.setattr(microphone, "_DEVICE_TIMEOUT_S", 0.2)

    clip, _ = recorded(mic_seconds=60.0)

    assert clip.seconds == pytest.approx(3.0, abs=0.02)


def test_lost_samples_are_announced(monkeypatch: pytest.MonkeyPatch) -> None:
    lossy = library()
    stream = lossy.InputStream

    def lossily(*, callback: Callable[..., None], **asked: Any) -> Any:
        def arrived(data: Block, frames: int, when: object, _status: object) -> None:
            callback(data, frames, when, "input overflow")

        return stream(callback=arrived, **asked)

    lossy.__dict__["InputStream"] = lossily
    monkeypatch.setitem(sys.modules, "sounddevice", lossy)

    _, said = recorded(mic_seconds=1.0)

    assert (
        said[-1]
        == "Parts of the recording were lost because the machine was too busy: input overflow."
    )


def test_only_a_recording_can_be_kept() -> None:
    with pytest.raises(UsageError, match="only recordings from the microphone can be kept"):
        recorded(clip="short", keep_recording=True)


def test_a_kept_recording_can_be_played(tmp_path: Path) -> None:
    samples = np.array([0.0, 0.5, -1.0, 1.0], dtype=np.float32)
    clip = Recording(name="x", pcm=samples, reference=None, language=None, source="test")

    write_wav(clip, tmp_path / "run" / "microphone.wav")

    with wave.open(str(tmp_path / "run" / "microphone.wav")) as played:
        assert (played.getframerate(), played.getnchannels()) == (16_000, 1)
        values = np.frombuffer(played.readframes(9), "<i2")
    assert values.tolist() == [0, 16384, -32768, 32767]
