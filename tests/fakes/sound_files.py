"""Sound files of every container, made on the spot, and damage to them."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import soxr

# What each raw codec is given: FFmpeg's sample format, numpy's, and the largest integer's exponent.
_PCM = {
    "pcm_u8": ("u8", np.uint8, 7),
    "pcm_s16le": ("s16", np.int16, 15),
    "pcm_s24le": ("s32", np.int32, 31),
    "pcm_s32le": ("s32", np.int32, 31),
    "pcm_s64le": ("s64", np.int64, 63),
    "pcm_f32le": ("flt", np.float32, None),
    "pcm_f64le": ("dbl", np.float64, None),
}


@dataclass(frozen=True)
class Kind:
    """How a sound file is made: ending, FFmpeg's encoder, rate, and options of the container."""

    suffix: str
    codec: str
    rate: int
    options: dict[str, str] = field(default_factory=dict)


STATED = {
    "wav": Kind("wav", "pcm_s16le", 16_000),
    "wav 24": Kind("wav", "pcm_s24le", 48_000),
    "wav float": Kind("wav", "pcm_f32le", 16_000),
    "wav a-law": Kind("wav", "pcm_alaw", 8_000),
    "rf64": Kind("wav", "pcm_s16le", 16_000, {"rf64": "always"}),
    "w64": Kind("w64", "pcm_s16le", 16_000),
    "aiff": Kind("aiff", "pcm_s16be", 44_100),
    "caf": Kind("caf", "pcm_s16be", 16_000),
    "au": Kind("au", "pcm_s16be", 16_000),
    "flac": Kind("flac", "flac", 16_000),
    "wv": Kind("wv", "wavpack", 16_000),
    "tta": Kind("tta", "tta", 16_000),
    "ogg": Kind("ogg", "vorbis", 44_100),
    "opus": Kind("opus", "libopus", 48_000),
    "ogg flac": Kind("ogg", "flac", 16_000),
    "mp3": Kind("mp3", "libmp3lame", 44_100),
    "m4a": Kind("m4a", "aac", 44_100),
    "alac": Kind("m4a", "alac", 44_100),
    "mp4": Kind("mp4", "aac", 44_100, {"movflags": "faststart"}),
    "fragments": Kind("mp4", "aac", 44_100, {"movflags": "frag_keyframe+empty_moov"}),
    "mov": Kind("mov", "pcm_s16le", 16_000),
    "mka": Kind("mka", "libopus", 48_000),
    "mkv": Kind("mkv", "aac", 44_100),
    "webm": Kind("webm", "libopus", 48_000),
    "wma": Kind("wma", "wmav2", 44_100),
    "avi": Kind("avi", "libmp3lame", 44_100),
    "flv": Kind("flv", "aac", 44_100),
}
"""Files that state their length."""

UNSTATED = {
    "mp3 without a header": Kind(
        "mp3", "libmp3lame", 44_100, {"write_xing": "0", "id3v2_version": "0"}
    ),
    "aac": Kind("aac", "aac", 44_100),
    "ac3": Kind("ac3", "ac3", 44_100),
    "eac3": Kind("eac3", "eac3", 44_100),
    "mp2": Kind("mp2", "mp2", 44_100),
    "ts": Kind("ts", "aac", 44_100),
}
"""Streams that state no length: a missing end, and junk in its place, cannot be noticed."""

KINDS = {**STATED, **UNSTATED}


def encode(
    path: Path,
    channels: npt.NDArray[Any],
    *,
    rate: int,
    codec: str = "pcm_s16le",
    layout: str | None = None,
    **options: str,
) -> Path:
    """Write ``channels`` (shape [channels, samples], +-1) with FFmpeg's encoder for ``codec``."""
    layout = layout or {1: "mono", 2: "stereo", 6: "5.1"}[len(channels)]
    stream_options = {"strict": "experimental"} if codec == "vorbis" else {}
    with av.open(str(path), "w", options=options) as container:
        stream: Any = container.add_stream(codec, rate=rate, options=stream_options)
        stream.layout = layout
        if codec.startswith("wma"):
            stream.bit_rate = 64_000
        if codec in _PCM:
            name, dtype, bits = _PCM[codec]
            if bits is not None:
                top = 2.0**bits
                channels = np.clip(np.round(channels * top), -top, np.nextafter(top, 0))
                channels = np.minimum(channels, top - 1) + (top if name == "u8" else 0)
            stream.format = name
            block = np.ascontiguousarray(channels.T.astype(dtype)).reshape(1, -1)
            frame = _packed_frame(block, name, layout, channels.shape[1])
        else:
            planar = np.ascontiguousarray(channels, dtype=np.float32)
            frame = av.AudioFrame.from_ndarray(planar, format="fltp", layout=layout)
        frame.sample_rate = rate
        frame.pts, frame.time_base = 0, Fraction(1, rate)
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def _packed_frame(block: npt.NDArray[Any], name: str, layout: str, samples: int) -> av.AudioFrame:
    """A frame filled byte for byte: PyAV's own constructor does not know every format."""
    frame = av.AudioFrame(format=name, layout=layout, samples=samples, align=True)
    frame.planes[0].update(block.tobytes())
    return frame


def sound_file(kind: str, samples: npt.NDArray[Any], folder: Path) -> bytes:
    """The bytes of a file of ``KINDS`` with these samples (mono, 16 kHz)."""
    made = KINDS[kind]
    heard = soxr.resample(samples, 16_000, made.rate, "HQ") if made.rate != 16_000 else samples
    channels = np.repeat(heard[None], 2 if made.codec == "vorbis" else 1, 0)
    path = folder / f"made.{made.suffix}"
    return encode(path, channels, rate=made.rate, codec=made.codec, **made.options).read_bytes()


def damaged(data: bytes, seed: int, *, until: float = 1.0) -> dict[str, bytes]:
    """The file with 5 to 30 % of it zeroed, replaced by noise or cut out, and with its end cut off.

    The damage begins behind the header, and ends before this share of the file.
    """
    chance = random.Random(seed)
    size = int(len(data) * chance.choice((0.05, 0.1, 0.3)))
    at = chance.randrange(len(data) // 50, int(len(data) * until) - size)
    before, after = data[:at], data[at + size :]
    return {
        "zeroed": before + bytes(size) + after,
        "noise": before + chance.randbytes(size) + after,
        "cut out": before + after,
        "cut off": data[: chance.randrange(len(data) // 10, len(data) * 9 // 10)],
    }
