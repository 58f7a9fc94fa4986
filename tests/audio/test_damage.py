"""A file in which audio is missing is refused, in every container; a whole one never is."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import pytest

from fakes import sound_files
from mac_whisper_speedtest.audio.decode import SAMPLE_RATE, blocks, decode
from mac_whisper_speedtest.audio.recording import Recording
from mac_whisper_speedtest.errors import AudioError

Encode = Callable[..., Path]
Make = Callable[[str], bytes]
FIXTURES = Path(__file__).parents[1] / "fixtures" / "sound"
ID3V1 = b"TAG" + bytes(125)


def id3v2(size: int) -> bytes:
    """A tag with a picture, which holds what looks like frames."""
    digits = bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0))
    return b"ID3\x03\x00\x00" + digits + random.Random(1).randbytes(size)


def seconds(data: bytes) -> float:
    return sum(block.size for block in blocks(data)) / SAMPLE_RATE


def refusal(data: bytes) -> str:
    with pytest.raises(AudioError) as caught:
        list(blocks(data, name="x"))
    assert caught.value.hint
    return caught.value.message


@pytest.fixture(scope="module")
def make(short_clip: Recording, tmp_path_factory: pytest.TempPathFactory) -> Make:
    """``make(kind)``: the first five seconds of the short clip in a file of that kind."""
    folder = tmp_path_factory.mktemp("damage")
    made: dict[str, bytes] = {}

    def once(kind: str) -> bytes:
        if kind not in made:
            made[kind] = sound_files.sound_file(kind, short_clip.samples[: 5 * 16_000], folder)
        return made[kind]

    return once


@pytest.mark.parametrize("kind", sound_files.KINDS)
@pytest.mark.parametrize("length", [0.25, 0.5, 1.3])
def test_a_whole_file_is_accepted_however_short(
    kind: str, length: float, short_clip: Recording, tmp_path: Path
) -> None:
    samples = short_clip.samples[8_000 : 8_000 + round(length * 16_000)]

    found = seconds(sound_files.sound_file(kind, samples, tmp_path))

    assert found == pytest.approx(length, abs=0.07)


@pytest.mark.parametrize("kind", sound_files.STATED)
def test_a_file_cut_in_half_is_refused(kind: str, make: Make) -> None:
    data = make(kind)

    message = refusal(data[: len(data) // 2])

    # A WavPack file of one block, and an mp4 file whose table of contents is at its end.
    without_any = ("contains no audio", "cannot be read as audio: Invalid data")
    assert "is damaged" in message or any(each in message for each in without_any)


@pytest.mark.parametrize("kind", ["wav", "aiff", "caf", "au", "w64", "mp3", "webm", "wma"])
def test_what_is_there_and_what_is_stated_is_said(kind: str, make: Make) -> None:
    data = make(kind)

    assert "s of the stated 5.0" in refusal(data[: len(data) // 2])


@pytest.mark.parametrize(
    "kind", ["mp3", "mp3 without a header", "aac", "ac3", "mkv", "webm", "wma"]
)
@pytest.mark.parametrize("damage", ["zeroed", "cut out"])
def test_a_tenth_that_is_zeroed_or_cut_out_is_missed(kind: str, damage: str, make: Make) -> None:
    data = make(kind)
    at, size = len(data) // 3, len(data) // 10
    zeros = bytes(size) if damage == "zeroed" else b""

    assert "is damaged" in refusal(data[:at] + zeros + data[at + size :])


@pytest.mark.parametrize("kind", ["wv", "tta", "flac"])
def test_a_wrong_checksum_is_not_played_as_noise(kind: str, make: Make) -> None:
    data = make(kind)
    at = len(data) // 3

    assert "is damaged" in refusal(data[:at] + bytes(1_000) + data[at + 1_000 :])


@pytest.mark.parametrize(
    ("kind", "before", "behind"),
    [
        ("mp3", b"", b""),
        ("mp3 without a header", b"", b""),
        ("mp3", b"", ID3V1),
        ("mp3 without a header", b"", ID3V1),
        ("mp3", id3v2(60_000), ID3V1),
        ("mp3 without a header", id3v2(200_000), b""),
        ("aac", id3v2(73), b""),
    ],
)
def test_ten_joined_files_are_whole(kind: str, before: bytes, behind: bytes, make: Make) -> None:
    joined = (before + make(kind) + behind) * 10

    assert seconds(joined) == pytest.approx(50, abs=1)


@pytest.mark.parametrize(
    ("name", "length"),
    [
        ("clicks.ogg", 4),  # oggenc -q -1: long and short blocks take turns
        ("speech.spx", 3),  # speexenc -w --nframes 5: five frames in a packet
    ],
)
@pytest.mark.parametrize("times", [1, 3])
def test_files_of_encoders_that_ffmpeg_lacks_are_whole(name: str, length: int, times: int) -> None:
    data = (FIXTURES / name).read_bytes()

    assert seconds(data * times) == pytest.approx(length * times, abs=0.1)


def test_a_file_that_ends_within_a_frame_can_be_joined(make: Make) -> None:
    data = make("mp3")

    assert seconds(data[: len(data) // 2] + data) == pytest.approx(7.5, abs=0.2)


def test_a_tag_that_would_hide_the_rest_of_the_file_hides_nothing(make: Make) -> None:
    data = make("mp3 without a header")
    huge = b"ID3\x03\x00\x00\x7f\x7f\x7f\x7f"

    assert seconds(data + huge + data) == pytest.approx(10, abs=0.2)


@pytest.mark.parametrize("skipped", [0, 3_840, 65_535])
def test_samples_that_an_opus_file_skips_are_not_missing(skipped: int, make: Make) -> None:
    data = make("opus")
    page = bytearray(data[: 27 + data[26] + sum(data[27 : 27 + data[26]])])
    at = page.index(b"OpusHead") + 10
    page[at : at + 2] = skipped.to_bytes(2, "little")
    page[22:26] = bytes(4)
    page[22:26] = ogg_checksum(page).to_bytes(4, "little")

    found = seconds(bytes(page) + data[len(page) :])

    assert found == pytest.approx(5 - skipped / 48_000, abs=0.02)


def ogg_checksum(page: bytearray) -> int:
    """RFC 3533, section 6."""
    register = 0
    for byte in page:
        register ^= byte << 24
        for _ in range(8):
            register = (register << 1 ^ (0x04C11DB7 if register >> 31 else 0)) & 0xFFFFFFFF
    return register


@pytest.mark.parametrize("size", [0, 0x7FFFF024, 0xFFFFFFFF])
def test_a_wav_from_a_pipe_has_no_length(size: int, make: Make) -> None:
    data = make("wav")
    at = data.index(b"data") + 4

    assert seconds(data[:at] + size.to_bytes(4, "little") + data[at + 4 :]) == 5


def test_what_an_edit_list_hides_is_not_missing(make: Make) -> None:
    data = make("m4a")
    at = data.index(b"elst") + 12
    hidden = data[:at] + struct.pack(">Ii", 2_000, 2 * 44_100) + data[at + 8 :]

    assert seconds(hidden) == pytest.approx(2, abs=0.05)


def test_sound_may_end_before_the_film(tmp_path: Path) -> None:
    path = tmp_path / "film.mkv"
    with av.open(str(path), "w") as container:
        film: Any = container.add_stream("mpeg4", rate=10)
        film.width, film.height, film.pix_fmt = 64, 64, "yuv420p"
        sound: Any = container.add_stream("pcm_s16le", rate=16_000)
        sound.layout = "mono"
        picture = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
        for _ in range(40):
            container.mux(film.encode(picture))
        silence: npt.NDArray[np.int16] = np.zeros((1, 32_000), np.int16)
        frame = av.AudioFrame.from_ndarray(silence, format="s16", layout="mono")
        frame.sample_rate = 16_000
        container.mux([*sound.encode(frame), *sound.encode(None), *film.encode(None)])

    assert decode(path).size == 32_000


def test_an_error_without_a_text_is_put_into_words(make: Make) -> None:
    data = bytearray(make("ac3"))
    for at in range(len(data)):
        data[at] ^= 0x55 if at % 7 == 5 else 0

    message = refusal(bytes(data))

    assert "Error number" not in message
    assert "cannot be read as audio: " in message


def test_a_recording_of_a_stream_may_begin_at_any_time(make: Make) -> None:
    """Ogg from a radio stream: its first page is a late one."""
    data = make("ogg")
    pages = []
    while data:
        length = 27 + data[26] + sum(data[27 : 27 + data[26]])
        pages.append(data[:length])
        data = data[length:]
    later = b"".join(pages[:2] + pages[4:])  # two headers, and not the first two seconds

    assert 2 < seconds(later) < 4
