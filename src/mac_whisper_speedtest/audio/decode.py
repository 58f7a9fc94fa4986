"""Decode any audio file to the input of backends: 16 kHz mono float32.

PyAV includes FFmpeg to decode. Mixing and resampling are done here: FFmpeg's float down-mix makes
identical stereo channels 3 dB louder, and its default resampler lets tones just above 8 kHz fold
back at -15 dB. Here channels are averaged and soxr HQ resamples.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from mac_whisper_speedtest.audio import container
from mac_whisper_speedtest.errors import AudioError

if TYPE_CHECKING:
    import av
    import numpy as np
    import numpy.typing as npt


MAX_AMPLITUDE: Final = 8.0
"""Largest accepted absolute sample of a float file. Speech peaks near 1; a loud float mix reaches
perhaps 4 (+12 dB). Above 8 (+18 dB) the samples cannot be scaled to +-1 (16-bit integers stored as
floats, for example), and backends treat those differently."""


class _Format(NamedTuple):
    dtype: str
    zero: float
    scale: float
    accumulator: str
    is_float: bool


# FFmpeg's sample formats (libavutil/samplefmt.h). Integers are full scale, so 24-bit audio arrives
# shifted up as s32. Scales are powers of two: dividing by them is exact. The accumulator is wide
# enough that averaging loses nothing before the final rounding to float32.
_FORMATS: Final = {
    "u8": _Format("u1", 128.0, 2.0**-7, "float32", is_float=False),
    "s16": _Format("i2", 0.0, 2.0**-15, "float32", is_float=False),
    "s32": _Format("i4", 0.0, 2.0**-31, "float64", is_float=False),
    "s64": _Format("i8", 0.0, 2.0**-63, "float64", is_float=False),
    "flt": _Format("f4", 0.0, 1.0, "float32", is_float=True),
    "dbl": _Format("f8", 0.0, 1.0, "float64", is_float=True),
}


def shape_of(frame: av.AudioFrame) -> tuple[int, str, int]:
    """Rate, sample format and number of channels: frames that share them can be mixed together."""
    return frame.sample_rate, frame.format.name, frame.layout.nb_channels


def mono(frames: Sequence[av.AudioFrame], name: str, seconds: float) -> npt.NDArray[np.float32]:
    """Average the channels of consecutive frames.

    Args:
        frames: at least one, all with the same `shape_of`; planar or packed.
        name: the recording, for messages.
        seconds: start of the first frame in the recording, for messages.

    Returns:
        Shape ``[samples of all frames]``, full scale at +-1.

    Raises:
        AudioError: an unknown sample format, or samples that are not finite or beyond
            ``MAX_AMPLITUDE``.
    """
    import numpy as np

    rate, format_name, channels = shape_of(frames[0])
    planar = frames[0].format.is_planar
    known = _FORMATS.get(format_name.removesuffix("p") if planar else format_name)
    if known is None:
        raise AudioError(
            f"{name} decodes to the unknown sample format {format_name}",
            hint="convert it to wav or flac",
        )
    # Planes are padded beyond the samples, so each is read by count.
    width = 1 if planar else channels
    by_frame = [
        [
            np.frombuffer(memoryview(plane), known.dtype, frame.samples * width)
            for plane in frame.planes
        ]
        for frame in frames
    ]
    planes = [np.concatenate(pieces) for pieces in zip(*by_frame, strict=True)]
    if known.is_float:
        for plane in planes:
            _check_range(plane, name, seconds, rate * width)
    if planar or channels == 1:
        mixed: npt.NDArray[Any] = planes[0].astype(known.accumulator, copy=False)
        for plane in planes[1:]:
            mixed += plane
        mixed /= len(planes)
    else:
        mixed = planes[0].reshape(-1, channels).mean(axis=1, dtype=known.accumulator)
    mixed -= known.zero
    mixed *= known.scale
    result: npt.NDArray[np.float32] = mixed.astype(np.float32, copy=False)
    return result


def _check_range(plane: npt.NDArray[Any], name: str, seconds: float, per_second: int) -> None:
    """Refuse NaN, infinities and samples that are not scaled to +-1."""
    import numpy as np

    # NaN wins every maximum and minimum, so two numbers suffice.
    low, high = float(plane.min()), float(plane.max())
    if low >= -MAX_AMPLITUDE and high <= MAX_AMPLITUDE:
        return
    wrong = int(np.argmin(np.abs(plane) <= MAX_AMPLITUDE))
    value = abs(float(plane[wrong]))
    where = f"{seconds + wrong / per_second:.1f} s from its start"
    if not np.isfinite(value):
        raise AudioError(
            f"{name} has a sample that is not finite ({value}) {where}",
            hint="export it again; backends loop for minutes on such samples",
        )
    raise AudioError(
        f"{name} has a sample of {value:g} {where}; "
        f"full scale is 1, and at most {MAX_AMPLITUDE:g} is accepted",
        hint="export it scaled to +-1, or as 16-bit integers",
    )


SAMPLE_RATE: Final = 16_000
"""Samples per second of everything a backend receives, as Whisper models are trained."""

DECODER: Final = 2
"""Version of the decoding: raised when the same file would give other samples than before."""

MIN_SECONDS: Final = 0.2
"""Shortest accepted audio, about a syllable. whisper.cpp 1.8.5 writes no text for 110 ms or less,
and reports that only in its log, so backends would do different work."""

MAX_SECONDS: Final = 3600.0
"""Longest cut and longest recording from the microphone: 230 MB of samples in memory."""

_BLOCK_SAMPLES: Final = 1 << 16
"""Source samples mixed and resampled at a time: about 1.5 s at 44.1 kHz. A frame of mp3 has 1152
samples; frame by frame, calls would cost more than the arithmetic."""


def decode(path: Path) -> npt.NDArray[np.float32]:
    """Decode the first audio stream of ``path`` to 16 kHz mono, all of it in memory.

    Returns:
        Shape ``[samples]``, full scale at +-1. Digital silence is allowed.

    Raises:
        AudioError: as `blocks`.
    """
    import numpy as np

    # A bytearray grows in place; joining a list of blocks would hold everything twice.
    pcm = bytearray()
    for block in blocks(path):
        pcm += block.data
    return np.frombuffer(pcm, dtype=np.float32)


def blocks(audio: Path | bytes, *, name: str = "") -> Iterator[npt.NDArray[np.float32]]:
    """Decode the first audio stream to 16 kHz mono, block by block in bounded memory.

    Channels are averaged with equal weight (identical channels keep their level, opposite ones
    cancel), then soxr HQ resamples. 16-bit mono files at 16 kHz come out as exactly ``int16 /
    32768``.

    Args:
        audio: a file in any container and codec that FFmpeg reads (wav, flac, mp3, m4a, ogg, ...),
            or its bytes.
        name: its name in messages; the path by default.

    Yields:
        Shape ``[samples]``, a second or two each, in order.

    Raises:
        AudioError: no readable file, no audio in it, shorter than ``MIN_SECONDS``, damaged (see
            `container.frames`), or samples that are not finite or beyond ``MAX_AMPLITUDE``. It may
            be raised after some blocks.
    """
    name = name or str(audio if isinstance(audio, Path) else "the recording")
    if isinstance(audio, Path):
        check_file(audio)
    samples = 0
    for block in resampled(_mono_blocks(audio, name)):
        samples += block.size
        yield block
    if not samples:
        raise AudioError(
            f"{name} contains no audio (0 samples)",
            hint="check how the file was recorded or exported",
        )
    if samples < MIN_SECONDS * SAMPLE_RATE:
        raise AudioError(
            f"{name} is too short: {samples / SAMPLE_RATE:.3f} s, "
            f"at least {MIN_SECONDS:g} s is needed",
            hint="use a longer recording, best several seconds of speech",
        )


def check_file(path: Path) -> None:
    """Refuse files that FFmpeg reports poorly, and pipes and devices, which it waits for forever.

    Raises:
        AudioError: not a readable regular file, or empty.
    """
    hint = "check the path, or leave --audio out to use the built-in clip"
    try:
        if path.is_dir():
            raise AudioError(
                f"{path} is a folder, not an audio file", hint="name one file inside it"
            )
        if path.exists() and not path.is_file():
            raise AudioError(f"{path} is not a regular file", hint="save the audio to a file first")
        with path.open("rb") as stream:
            empty = not stream.read(1)
    except (FileNotFoundError, ValueError):  # a name with a zero character
        raise AudioError(f"no audio file at {path}", hint=hint) from None
    except OSError as error:
        raise AudioError(
            f"cannot read {path}: {error.strerror or error}",
            hint="check the file's permissions (ls -l) and that its disk is mounted",
        ) from error
    if empty:
        raise AudioError(f"{path} is empty (0 bytes)", hint=hint)


def _mono_blocks(audio: Path | bytes, name: str) -> Iterator[tuple[int, npt.NDArray[np.float32]]]:
    """Yield ``(rate, samples)`` of several frames at a time, checked and mixed to mono."""
    waiting: list[av.AudioFrame] = []
    samples, seconds = 0, 0.0
    for frame in container.frames(audio, name):
        if waiting and (samples >= _BLOCK_SAMPLES or shape_of(frame) != shape_of(waiting[0])):
            yield waiting[0].sample_rate, mono(waiting, name, seconds)
            seconds += samples / waiting[0].sample_rate
            waiting, samples = [], 0
        waiting.append(frame)
        samples += frame.samples
    if waiting:
        yield waiting[0].sample_rate, mono(waiting, name, seconds)


def resampled(
    mixed: Iterator[tuple[int, npt.NDArray[np.float32]]],
) -> Iterator[npt.NDArray[np.float32]]:
    """Resample every block to ``SAMPLE_RATE``; each change of rate starts a new resampler.

    Args:
        mixed: rate and samples of each block.

    Yields:
        Shape ``[samples]`` at ``SAMPLE_RATE``, by soxr HQ unless the rate is the same.
    """
    import numpy as np
    import soxr

    nothing = np.zeros(0, dtype=np.float32)
    rate = SAMPLE_RATE
    resampler: Any = None
    for new_rate, block in mixed:
        if new_rate != rate:
            if resampler is not None:
                yield resampler.resample_chunk(nothing, last=True)
            rate, resampler = new_rate, None
            if rate != SAMPLE_RATE:
                resampler = soxr.ResampleStream(rate, SAMPLE_RATE, 1, "float32", quality="HQ")
        yield block if resampler is None else resampler.resample_chunk(block)
    if resampler is not None:
        yield resampler.resample_chunk(nothing, last=True)
