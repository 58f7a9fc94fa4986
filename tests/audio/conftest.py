"""Audio files made on the spot, and the real built-in clip."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import pytest

from mac_whisper_speedtest import paths
from mac_whisper_speedtest.audio import builtin, cache
from mac_whisper_speedtest.audio.recording import Recording

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


def _encode(
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


@pytest.fixture(scope="session")
def encode() -> Callable[..., Path]:
    """``encode(path, channels, rate=..., codec=...)`` writes an audio file and returns its path."""
    return _encode


@pytest.fixture(scope="session")
def short_clip() -> Recording:
    """The real built-in clip, from the user's cache or fetched into it."""
    return builtin.load("short", notify=print)


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A cache of the test's own; where decoded samples lie in it."""
    monkeypatch.setenv("SPEEDTEST_CACHE_DIR", str(tmp_path / "cache"))
    folder = paths.cache_dir() / "pcm"
    yield folder
    if (handle := cache._lock_handles.pop(folder, None)) is not None:
        os.close(handle)
