"""The length of a file's audio as its container states it, and where tags end.

FFmpeg reports how much of a shortened wav or ASF file is there, and estimates the length of an mp3
file from its bit rate; here the headers themselves are read.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

if TYPE_CHECKING:
    from fractions import Fraction

    import av

MOV: Final = "mov,mp4,m4a,3gp,3g2,mj2"
_RIFF: Final = frozenset({"wav", "w64"})
TO_THE_SAMPLE: Final = _RIFF | {"aiff", "ape", "au", "caf", "flac", "nist", "ogg", "tta", "wv"}
"""Containers that state how many samples they decode to."""

BY_CLOCK: Final = frozenset({"asf", "avi", "flv", "matroska,webm"})
"""Containers with a stated length that may come from the clock of the recorder."""

_UNKNOWN_BYTES: Final = 0x7FFF_0000
"""Programs that write into a pipe state this length or more in a 32-bit header (sox, arecord)."""


def stated_seconds(
    audio: Path | bytes, container: av.container.InputContainer, stream: av.AudioStream
) -> float | None:
    """The length that the container states for the stream; None if it states none.

    FFmpeg otherwise estimates it from the bit rate, which proves nothing.
    """
    name, codec = container.format.name, stream.codec_context
    if name == "mp3" and not _mp3_states_length(audio):
        return None
    if codec.name == "speex":  # its encoder rounds up to whole packets
        return None
    stated = seconds(stream.duration, stream.time_base)
    if name in {"avi", "caf"}:
        stated = max(stated, seconds(stream.frames, stream.time_base))
    elif name == "asf":
        stated = _asf_seconds(audio) or 0.0
    elif name == "matroska,webm" or not stated:
        stated = _of_clock(stream.metadata.get("DURATION", ""))
        if not stated and len(container.streams) == 1:
            stated = (container.duration or 0) / 1_000_000
    bit_rate = codec.bit_rate or 0
    if name in _RIFF and bit_rate:  # FFmpeg states the bytes present
        stated += _missing_bytes(audio) * 8 / bit_rate
    if codec.name in {"opus", "libopus"}:  # FFmpeg includes the samples to skip
        stated -= codec.delay / codec.sample_rate
    known = {"mp3", MOV} | TO_THE_SAMPLE | BY_CLOCK
    if stated <= 0 or not (name in known or codec.name.startswith("pcm_")):
        return None
    return stated if stated * bit_rate / 8 < _UNKNOWN_BYTES else None


def _missing_bytes(audio: Path | bytes) -> int:
    """How many bytes of the data that its header states a wav or Wave64 file does not have."""
    with _stream(audio) as file:
        size = file.seek(0, io.SEEK_END)
        file.seek(0)
        kind = file.read(4)
        if kind not in {b"RIFF", b"riff"}:  # RF64: FFmpeg states what the header does
            return 0
        wave64 = kind == b"riff"
        name, number = (16, 8) if wave64 else (4, 4)
        at = 40 if wave64 else 12
        while at < size:
            file.seek(at)
            header = file.read(name + number)
            stated = int.from_bytes(header[name:], "little")
            begins = at + len(header)
            ends = at + stated if wave64 else begins + stated
            if header.startswith(b"data"):
                return max(0, ends - size)
            if ends <= at:
                break
            at = -(-ends // 8) * 8 if wave64 else ends + ends % 2
    return 0


def _of_clock(text: str) -> float:
    """Seconds of a duration in a tag, such as ``00:00:15.008000000``; 0 without one."""
    try:
        hours, minutes, seconds = text.split(":")
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    except ValueError:
        return 0.0


def _mp3_states_length(audio: Path | bytes) -> bool:
    """Whether the first frame is an Xing header with a count of frames for a file of this size.

    FFmpeg does not use the count in a file that is a sixteenth larger: it was joined.
    """
    with _stream(audio) as file:
        size = file.seek(0, io.SEEK_END)
        file.seek(0)
        begins = tags_length(file.read(10))
        file.seek(begins)
        head = file.read(4096)
    at = max(head.find(b"Xing"), head.find(b"Info"))
    if at < 0 or len(head) < at + 16:
        return False
    flags, _frames, stated = (int.from_bytes(head[at + i : at + i + 4], "big") for i in (4, 8, 12))
    has_frames, has_bytes = flags & 1, flags & 2
    return bool(has_frames) and (not has_bytes or size - begins <= stated * 17 // 16)


_ASF_FILE_PROPERTIES: Final = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")


def _asf_seconds(audio: Path | bytes) -> float | None:
    """The length in the file properties of an ASF file; None if it was broadcast.

    (Advanced Systems Format specification, section 3.2.) FFmpeg ignores it in a shortened file.
    """
    with _stream(audio) as file:
        head = file.read(1 << 16)
    at = head.find(_ASF_FILE_PROPERTIES)
    fields = head[at + 64 : at + 92]
    if at < 0 or len(fields) < 28 or fields[24] & 1:
        return None
    play_100ns, preroll_ms = (int.from_bytes(fields[i : i + 8], "little") for i in (0, 16))
    return play_100ns / 1e7 - preroll_ms / 1e3


def tags_length(data: bytes) -> int:
    """How many bytes at the beginning are tags: ID3 (id3.org), APE. May be more than ``data`` has.

    They are where mp3 files were joined.
    """
    end = 0
    while True:
        rest = data[end:]
        if rest.startswith(b"ID3") and len(rest) >= 10:  # ID3v2: four digits of 7 bits
            size = 0
            for digit in rest[6:10]:
                size = size << 7 | digit & 0x7F
            end += 10 + size + (10 if rest[5] & 0x10 else 0)
        elif rest.startswith(b"TAG"):  # ID3v1
            end += 128
        elif rest.startswith(b"APETAGEX") and len(rest) >= 32:
            end += 32 + int.from_bytes(rest[12:16], "little")
        else:
            return end


def is_chain(audio: Path | bytes, link: Callable[[IO[bytes]], int]) -> bool:
    """Whether frames or pages follow each other to the end of the file, with tags at most between.

    Args:
        audio: a file, or its bytes.
        link: reads the frame that begins at the file's position, and returns its length; 0 if none
            begins there, or it is damaged.
    """
    at = 0
    with _stream(audio) as file:
        size = file.seek(0, io.SEEK_END)
        while at < size:
            file.seek(at)
            step = link(file)
            if not step:
                file.seek(at)
                step = tags_length(file.read(32))
            if not step:
                return False
            at += step
    return at == size


def ogg_page(file: IO[bytes]) -> int:
    """The length of a page with the right checksum (RFC 3533, section 6)."""
    head = file.read(27)
    if len(head) < 27 or not head.startswith(b"OggS"):
        return 0
    lacing = file.read(head[26])
    page = head[:22] + bytes(4) + head[26:] + lacing + file.read(sum(lacing))
    return len(page) if _ogg_checksum(page) == int.from_bytes(head[22:26], "little") else 0


_MIRRORED: Final = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def _ogg_checksum(page: bytes) -> int:
    """The CRC of Ogg: zlib's polynomial with the bits of everything in the other order."""
    mirrored = zlib.crc32(page.translate(_MIRRORED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int.from_bytes(mirrored.to_bytes(4, "little").translate(_MIRRORED), "big")


def adts_frame(file: IO[bytes]) -> int:
    """The length of a frame of AAC (ISO 14496-3, 1.A.2.2)."""
    head = file.read(7)
    if len(head) < 7 or head[0] != 0xFF or head[1] & 0xF6 != 0xF0:
        return 0
    return (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5


def flv_tag(file: IO[bytes]) -> int:
    """The length of a tag of Flash Video, or of the file's header (specification 10.1, annex E)."""
    head = file.read(11)
    if head.startswith(b"FLV"):
        return 13
    if len(head) < 11 or head[0] & 0x1F not in {8, 9, 18}:
        return 0
    return 11 + int.from_bytes(head[1:4], "big") + 4


def _stream(audio: Path | bytes) -> IO[bytes]:
    return audio.open("rb") if isinstance(audio, Path) else io.BytesIO(audio)


def seconds(ticks: int | None, time_base: Fraction | None) -> float:
    """A duration in seconds; 0 if FFmpeg does not know it."""
    return float(ticks * time_base) if ticks and time_base else 0.0
