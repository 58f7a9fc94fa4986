"""From the frames a codec gives, of any sample format and channel count, to mono float32. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from mac_whisper_speedtest.errors import AudioError

if TYPE_CHECKING:
    import av
    import numpy as np
    import numpy.typing as npt

MAX_AMPLITUDE: Final = 8.0
"""Largest accepted absolute sample of a float file. Speech peaks near 1; a loud float mix reaches
perhaps 4 (+12 dB). Above 8 (+18 dB) the samples are surely not scaled to +-1, such as 16-bit
integers stored as floats, and backends disagree on what to do with those."""


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
    """What frames must share to be mixed together: rate, sample format, number of channels."""
    return frame.sample_rate, frame.format.name, frame.layout.nb_channels


def mono(frames: Sequence[av.AudioFrame], name: str, seconds: float) -> npt.NDArray[np.float32]:
    """Average the channels of consecutive frames.

    Args:
        frames: at least one, all of one `shape_of`; planar or packed.
        name: the recording, for messages.
        seconds: where in it the first frame begins, for messages.

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
    # Planes are padded beyond the samples, so each is read by count rather than to its end.
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

    # NaN wins every maximum and minimum, so that two numbers tell all.
    low, high = float(plane.min()), float(plane.max())
    if low >= -MAX_AMPLITUDE and high <= MAX_AMPLITUDE:
        return
    wrong = int(np.argmin(np.abs(plane) <= MAX_AMPLITUDE))
    value = abs(float(plane[wrong]))
    where = f"{seconds + wrong / per_second:.1f} s from its start"
    if not np.isfinite(value):
        raise AudioError(
            f"{name} holds a sample that is not finite ({value}) {where}",
            hint="export it again; backends loop for minutes on such samples",
        )
    raise AudioError(
        f"{name} has a sample of {value:g} {where}; "
        f"full scale is 1 and {MAX_AMPLITUDE:g} the most accepted",
        hint="export it scaled to +-1, or as 16-bit integers",
    )
