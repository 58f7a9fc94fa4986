"""Cuts of chosen lengths of one reading, to see how time depends on the length. Pure.

Every cut begins where the reading begins, so a longer one only extends a shorter one: the length
changes, not the speaker or the text. A cut longer than the reading repeats it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from mac_whisper_speedtest.audio.decode import MAX_SECONDS, MIN_SECONDS, SAMPLE_RATE
from mac_whisper_speedtest.audio.recording import AudioSet, Recording
from mac_whisper_speedtest.errors import AudioError, UsageError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

DEFAULT_SECONDS: Final = (2.0, 5.0, 10.0, 20.0, 30.0, 31.0, 60.0, 120.0)
"""Lengths that show the fixed cost (2-10 s), the step at Whisper's 30 s window, and the slope."""

_EXAMPLE: Final = f"for example --durations {','.join(f'{each:g}' for each in DEFAULT_SECONDS)}"

_FRAME: Final = SAMPLE_RATE // 100
"""10 ms: the unit in which loudness is compared. Gaps between words, and the closures of stop
consonants, are longer."""

_SEARCH_SECONDS: Final = 0.4
"""How far before its end the quietest place of a cut is searched: about the length of a spoken word
(English is read at 150 to 180 words a minute)."""

_FADE: Final = SAMPLE_RATE // 200
"""5 ms: a fade that long makes no click."""


def cut_durations(reading: Recording, seconds: Sequence[float]) -> AudioSet:
    """One cut for each length, exact to the sample; without reference, because words are cut off.

    Args:
        reading: the recording to cut; at least a second long.
        seconds: the lengths, in the order of the result.

    Raises:
        UsageError: no lengths, or one that is too short or too long.
        AudioError: the reading is too short to be repeated.
    """
    lengths = list(dict.fromkeys(seconds))
    for length in lengths:
        # Written so that NaN is refused as well.
        if not MIN_SECONDS <= length <= MAX_SECONDS:
            raise UsageError(
                f"--durations contains {length:g}; lengths are {MIN_SECONDS:g} to "
                f"{MAX_SECONDS:g} seconds",
                hint=_EXAMPLE,
            )
    if not lengths:
        raise UsageError("--durations has no lengths", hint=_EXAMPLE)
    if reading.seconds < 1:
        raise AudioError(
            f"{reading.name} is {reading.seconds:.2f} s long, too short to cut and join",
            hint="use a reading of several seconds, or omit --audio to use the built-in one",
        )
    recordings = tuple(
        Recording(
            name=f"{length:g}s",
            pcm=repeat_to_length(reading.samples, round(length * SAMPLE_RATE)),
            reference=None,
            language=reading.language,
            source=f"cut from {reading.source}",
            speaker=reading.speaker,
        )
        for length in lengths
    )
    return AudioSet(
        name=f"{reading.name} cut",
        recordings=recordings,
        source=f"cut from {reading.source}",
        kind="durations",
    )


def repeat_to_length(samples: npt.NDArray[np.float32], length: int) -> npt.NDArray[np.float32]:
    """The first ``length`` samples of the reading, repeated as needed.

    It is cut and joined where it is quietest: repetitions begin and end within `_SEARCH_SECONDS` of
    the reading's ends. The last repetition is cut within `_SEARCH_SECONDS` of the end and padded
    with silence, so that the result does not end within a word.

    Args:
        samples: shape ``[samples]``, at least a second.
        length: of the result, in samples.

    Returns:
        Shape ``[length]``.
    """
    import numpy as np

    begin = _quietest(samples, 0, _search())
    end = _quietest(samples, samples.size - _search(), samples.size)
    reading = samples[begin:end]
    whole = _faded(reading)
    result = np.zeros(length, dtype=np.float32)
    done = 0
    while length - done >= whole.size:
        result[done : done + whole.size] = whole
        done += whole.size
    left = length - done
    if left > 2 * _search():
        last = _faded(reading[: _quietest(reading, left - _search(), left)])
    else:  # too short to search
        last = _faded(reading[:left])
    result[done : done + last.size] = last
    return result


def _search() -> int:
    return round(_SEARCH_SECONDS * SAMPLE_RATE)


def _quietest(samples: npt.NDArray[np.float32], start: int, end: int) -> int:
    """The middle of the last quietest 10 ms between two sample positions."""
    import numpy as np

    frames = (end - start) // _FRAME
    by_frame = samples[end - frames * _FRAME : end].reshape(frames, _FRAME).astype(np.float64)
    energy = np.square(by_frame).sum(axis=1)
    last = frames - 1 - int(np.argmin(energy[::-1]))
    return end - (frames - last) * _FRAME + _FRAME // 2


def _faded(samples: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    import numpy as np

    width = min(_FADE, samples.size // 2)
    ramp = np.linspace(0, 1, width, dtype=np.float32)
    result = samples.copy()
    result[:width] *= ramp
    result[result.size - width :] *= ramp[::-1]
    return result
