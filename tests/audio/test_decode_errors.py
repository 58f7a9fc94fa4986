"""Audio that cannot be measured on is refused in one line that says what was seen."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from mac_whisper_speedtest.audio.decode import decode
from mac_whisper_speedtest.errors import AudioError

Encode = Callable[..., Path]


def refusal(path: Path) -> str:
    with pytest.raises(AudioError) as caught:
        decode(path)
    assert "\n" not in caught.value.message
    assert str(path) in caught.value.message
    assert caught.value.hint
    return caught.value.message.removeprefix(str(path)).strip()


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert "no audio file at" in refusal(tmp_path / "absent.wav")


def test_a_folder_is_no_audio_file(tmp_path: Path) -> None:
    assert refusal(tmp_path) == "is a folder, not an audio file"


def test_a_pipe_is_refused_rather_than_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.wav")

    assert refusal(tmp_path / "pipe.wav") == "is not a regular file"


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may read everything")
def test_a_file_without_permission_says_so(tmp_path: Path, encode: Encode) -> None:
    path = encode(tmp_path / "a.wav", np.zeros((1, 16_000)), rate=16_000)
    path.chmod(0)

    assert "Permission denied" in refusal(path)


def test_a_name_that_leads_nowhere_says_why(tmp_path: Path) -> None:
    loop = tmp_path / "loop.wav"
    loop.symlink_to(loop)

    assert "cannot read" in refusal(loop)


def test_a_file_of_no_bytes_is_empty(tmp_path: Path) -> None:
    (tmp_path / "a.wav").touch()

    assert refusal(tmp_path / "a.wav") == "is empty (0 bytes)"


@pytest.mark.parametrize("text", ["hello, this is text\n" * 50, "a", "#EXTM3U\nhttp://[::1]/x\n"])
def test_text_named_wav_is_not_audio(text: str, tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_text(text)

    assert "cannot be read as audio: Invalid data" in refusal(tmp_path / "a.wav")


def test_a_disguised_playlist_cannot_reach_other_files(tmp_path: Path, encode: Encode) -> None:
    encode(tmp_path / "secret.wav", np.zeros((1, 16_000)), rate=16_000)
    playlist = tmp_path / "a.wav"
    playlist.write_text(f"ffconcat version 1.0\nfile '{tmp_path / 'secret.wav'}'\n")

    assert "cannot be read as audio" in refusal(playlist)


def test_a_playlist_is_not_followed(tmp_path: Path, encode: Encode) -> None:
    encode(tmp_path / "one.ts", np.zeros((1, 16_000)), rate=16_000, codec="aac")
    playlist = tmp_path / "a.m3u8"
    playlist.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\none.ts\n#EXT-X-ENDLIST\n")

    assert refusal(playlist) == "is a list of other files (hls)"


def test_a_name_that_no_file_can_have_is_not_there() -> None:
    with pytest.raises(AudioError, match="no audio file at"):
        decode(Path("a\0.wav"))
    assert "File name too long" in refusal(Path("a" * 300))


def test_a_film_without_sound_has_no_audio_stream(tmp_path: Path) -> None:
    path = tmp_path / "silent.mp4"
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        picture = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
        container.mux(stream.encode(picture))
        container.mux(stream.encode(None))

    assert refusal(path) == "has no audio stream (only video streams)"


def test_a_header_without_samples_holds_no_audio(tmp_path: Path, encode: Encode) -> None:
    path = encode(tmp_path / "a.wav", np.zeros((1, 16_000)), rate=16_000)
    path.write_bytes(path.read_bytes()[: -2 * 16_000])

    assert refusal(path) == "contains no audio (0 samples)"


def test_audio_below_the_shortest_length_says_how_short(tmp_path: Path, encode: Encode) -> None:
    path = encode(tmp_path / "a.wav", np.zeros((1, 44_100 // 20)), rate=44_100)

    assert refusal(path) == "is too short: 0.050 s, at least 0.2 s is needed"


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("codec", ["pcm_f32le", "pcm_f64le"])
def test_a_sample_that_is_not_finite_is_found_wherever_it_is(
    value: float, codec: str, tmp_path: Path, encode: Encode
) -> None:
    channels = np.zeros((2, 3 * 16_000))
    channels[1, 40_000] = value

    message = refusal(encode(tmp_path / "a.wav", channels, rate=16_000, codec=codec))

    assert f"not finite ({abs(value)}) 2." in message


@pytest.mark.parametrize(("value", "codec"), [(20_000.0, "pcm_f32le"), (-1e300, "pcm_f64le")])
def test_floats_that_are_not_scaled_to_one_are_named(
    value: float, codec: str, tmp_path: Path, encode: Encode
) -> None:
    channels = np.full((1, 16_000), 0.1)
    channels[0, 100] = value

    message = refusal(encode(tmp_path / "a.wav", channels, rate=16_000, codec=codec))

    assert f"a sample of {abs(value):g} " in message


def test_a_loud_float_mix_is_still_accepted(tmp_path: Path, encode: Encode) -> None:
    path = encode(tmp_path / "a.wav", np.full((1, 16_000), 7.5), rate=16_000, codec="pcm_f32le")

    assert decode(path).max() == 7.5


def test_an_impossible_rate_is_refused(tmp_path: Path, encode: Encode) -> None:
    path = encode(tmp_path / "a.wav", np.zeros((1, 16_000)), rate=16_000)
    header = bytearray(path.read_bytes())
    header[24:28] = (1).to_bytes(4, "little")
    path.write_bytes(header)

    assert refusal(path) == "states 1 samples per second"


@pytest.mark.parametrize(("name", "codec"), [("a.flac", "flac"), ("a.m4a", "aac")])
def test_damage_between_good_audio_is_an_error(
    name: str, codec: str, tmp_path: Path, encode: Encode
) -> None:
    noise = np.random.default_rng(4).normal(0, 0.1, (2, 5 * 44_100))
    path = encode(tmp_path / name, noise, rate=44_100, codec=codec)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 6_000] = np.random.default_rng(5).bytes(6_000)
    path.write_bytes(data)

    assert refusal(path).startswith("is damaged: ")


def test_a_flac_cut_short_says_how_much_is_there(tmp_path: Path, encode: Encode) -> None:
    noise = np.random.default_rng(6).normal(0, 0.1, (1, 5 * 16_000))
    path = encode(tmp_path / "a.flac", noise, rate=16_000, codec="flac")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])

    assert refusal(path).endswith("of the stated 5.00 s")
