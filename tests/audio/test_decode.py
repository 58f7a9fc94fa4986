"""Every kind of audio file comes out as 16 kHz mono float32 at the level it went in."""

from __future__ import annotations

import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import pytest
import soxr

from mac_whisper_speedtest.audio.decode import SAMPLE_RATE, decode

Encode = Callable[..., Path]
Samples = npt.NDArray[np.floating[Any]]


def sine(rate: int, *, hertz: float = 440.0, seconds: float = 1.0, peak: float = 0.5) -> Samples:
    return peak * np.sin(2 * np.pi * hertz * np.arange(round(rate * seconds)) / rate)


def level(samples: Samples) -> float:
    """Root mean square away from the edges, where resamplers and codecs ring."""
    return float(np.sqrt(np.mean(np.square(samples[1600:-1600], dtype=np.float64))))


def test_16_khz_mono_int16_is_decoded_bit_exactly(tmp_path: Path) -> None:
    values = np.random.default_rng(1).integers(-32768, 32768, 20_000).astype("<i2")
    values[:4] = [-32768, 32767, 0, -1]
    with wave.open(str(tmp_path / "a.wav"), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(16_000)
        out.writeframes(values.tobytes())

    samples = decode(tmp_path / "a.wav")

    assert samples.dtype == np.float32
    np.testing.assert_array_equal(samples, values.astype(np.float32) / 32768)


@pytest.mark.parametrize(
    ("codec", "step"),
    [
        ("pcm_u8", 2.0**-7),
        ("pcm_s16le", 2.0**-15),
        ("pcm_s24le", 2.0**-23),
        ("pcm_s32le", 2.0**-31),
        ("pcm_s64le", 2.0**-63),
        ("pcm_f32le", 0.0),
        ("pcm_f64le", 0.0),
    ],
)
def test_every_raw_sample_format_keeps_its_values(
    codec: str, step: float, tmp_path: Path, encode: Encode
) -> None:
    expected = np.concatenate([[-1.0, 0.0, 0.5], sine(SAMPLE_RATE)])

    samples = decode(encode(tmp_path / "a.wav", expected[None], rate=SAMPLE_RATE, codec=codec))

    # Half a step of the file's own rounding (24-bit encoding truncates), half one of float32.
    np.testing.assert_allclose(samples, expected, rtol=0, atol=step + 2.0**-25)
    assert samples[0] == -1.0
    assert samples[1] == 0.0
    assert samples[2] == 0.5


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 44_100, 48_000])
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_identical_channels_keep_their_level_at_any_rate(
    rate: int, channels: int, tmp_path: Path, encode: Encode
) -> None:
    tone = sine(rate)
    path = encode(tmp_path / "a.wav", np.repeat(tone[None], channels, 0), rate=rate)

    samples = decode(path)

    assert samples.size == SAMPLE_RATE
    assert level(samples) / level(tone) == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("codec", ["pcm_s16le", "pcm_f32le", "flac", "wavpack", "alac"])
def test_opposite_channels_cancel_in_planar_and_packed_formats(
    codec: str, tmp_path: Path, encode: Encode
) -> None:
    name = {"flac": "a.flac", "wavpack": "a.wv", "alac": "a.m4a"}.get(codec, "a.wav")
    tone = sine(16_000)

    samples = decode(encode(tmp_path / name, np.stack([tone, -tone]), rate=16_000, codec=codec))

    assert np.abs(samples).max() <= 2.0**-15


def test_one_loud_channel_of_six_counts_one_sixth(tmp_path: Path, encode: Encode) -> None:
    channels = np.zeros((6, 16_000))
    channels[3] = 0.75

    samples = decode(encode(tmp_path / "a.wav", channels, rate=16_000, codec="pcm_f32le"))

    np.testing.assert_allclose(samples, 0.125, rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "codec", "rate", "channels", "gain"),
    [
        ("a.flac", "flac", 44_100, 2, 1.0),
        ("a.mp3", "libmp3lame", 44_100, 2, 0.95),  # LAME itself scales its input by 0.95
        ("a.mp3", "libmp3lame", 22_050, 1, 0.95),
        ("a.m4a", "aac", 44_100, 2, 1.0),
        ("a.m4a", "aac", 16_000, 1, 1.0),
        ("a.m4a", "alac", 44_100, 2, 1.0),
        ("a.ogg", "vorbis", 44_100, 2, 1.0),
        ("a.opus", "libopus", 48_000, 2, 1.0),
        ("a.opus", "libopus", 48_000, 6, 1.0),
        ("a.webm", "libopus", 48_000, 1, 1.0),
    ],
)
def test_compressed_files_keep_level_onset_and_duration(
    name: str, codec: str, rate: int, channels: int, gain: float, tmp_path: Path, encode: Encode
) -> None:
    tone = np.concatenate([np.zeros(rate // 2), sine(rate, seconds=1.5)])
    path = encode(tmp_path / name, np.repeat(tone[None], channels, 0), rate=rate, codec=codec)

    samples = decode(path)

    assert samples.size / SAMPLE_RATE == pytest.approx(2.0, abs=0.07)  # one codec frame
    onset = np.argmax(np.abs(samples) > 0.25) / SAMPLE_RATE
    assert onset == pytest.approx(0.5, abs=0.005)  # the encoder's delay is not left in
    assert level(samples[12_000:28_000]) == pytest.approx(gain * 0.5 / 2**0.5, rel=0.02)


@pytest.mark.parametrize(("rate", "hertz"), [(44_100, 9_000), (48_000, 8_500), (22_050, 8_500)])
def test_a_tone_above_8_khz_does_not_fold_back(
    rate: int, hertz: int, tmp_path: Path, encode: Encode
) -> None:
    tone = sine(rate, hertz=hertz, peak=1.0)

    samples = decode(encode(tmp_path / "a.wav", tone[None], rate=rate, codec="pcm_f32le"))

    assert 20 * np.log10(level(samples) / level(tone)) < -100


def test_resampling_in_pieces_equals_resampling_at_once(tmp_path: Path, encode: Encode) -> None:
    noise = np.random.default_rng(2).normal(0, 0.1, 3 * 44_100 + 17).astype(np.float32)

    samples = decode(encode(tmp_path / "a.wav", noise[None], rate=44_100, codec="pcm_f32le"))

    np.testing.assert_array_equal(samples, soxr.resample(noise, 44_100, SAMPLE_RATE, "HQ"))


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [("a.ogg", "flac", {}), ("a.mp3", "libmp3lame", {"write_xing": "0", "id3v2_version": "0"})],
)
def test_rate_and_channels_may_change_within_a_file(
    name: str, codec: str, options: dict[str, str], tmp_path: Path, encode: Encode
) -> None:
    stereo = np.repeat(sine(44_100, seconds=2)[None], 2, 0)
    first = encode(tmp_path / f"1{name}", stereo, rate=44_100, codec=codec, **options)
    mono = sine(22_050, seconds=2)[None]
    second = encode(tmp_path / f"2{name}", mono, rate=22_050, codec=codec, **options)
    joined = tmp_path / name
    joined.write_bytes(first.read_bytes() + second.read_bytes())

    samples = decode(joined)

    assert samples.size / SAMPLE_RATE == pytest.approx(4.0, abs=0.15)
    for part in (samples[8_000:24_000], samples[40_000:56_000]):
        assert level(part) == pytest.approx(0.5 / 2**0.5, rel=0.06)


def test_only_the_first_audio_stream_is_heard(tmp_path: Path) -> None:
    path = tmp_path / "a.mka"
    with av.open(str(path), "w") as container:
        streams: list[Any] = [container.add_stream("pcm_f32le", rate=16_000) for _ in range(2)]
        packets = []
        for stream, value in zip(streams, (0.25, 1.0), strict=True):
            stream.layout = "mono"
            block = np.full((1, 16_000), value, dtype=np.float32)
            frame = av.AudioFrame.from_ndarray(block, format="flt", layout="mono")
            frame.sample_rate = 16_000
            packets += [*stream.encode(frame), *stream.encode(None)]
        container.mux(packets)
    np.testing.assert_array_equal(decode(path), np.full(16_000, 0.25, dtype=np.float32))


def test_digital_silence_is_audio_too(tmp_path: Path, encode: Encode) -> None:
    samples = decode(encode(tmp_path / "a.wav", np.zeros((1, 44_100)), rate=44_100))

    assert samples.size == SAMPLE_RATE
    assert not samples.any()


def test_junk_before_and_after_an_mp3_is_passed_over(tmp_path: Path, encode: Encode) -> None:
    path = encode(
        tmp_path / "a.mp3", sine(44_100, seconds=3)[None], rate=44_100, codec="libmp3lame"
    )
    path.write_bytes(bytes(2_000) + path.read_bytes() + np.random.default_rng(3).bytes(5_000))

    assert decode(path).size / SAMPLE_RATE == pytest.approx(3.0, abs=0.1)


def test_strange_file_names_are_just_names(tmp_path: Path, encode: Encode) -> None:
    made = encode(tmp_path / "a.wav", sine(16_000)[None], rate=16_000)

    odd = made.rename(tmp_path / "concat:söng | 100%20 #1?.wav")

    assert decode(odd).size == SAMPLE_RATE


def test_exactly_the_shortest_length_is_accepted(tmp_path: Path, encode: Encode) -> None:
    samples = decode(encode(tmp_path / "a.wav", sine(16_000, seconds=0.2)[None], rate=16_000))

    assert samples.size == 3_200
