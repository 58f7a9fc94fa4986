"""Cuts of chosen lengths of one reading, to see how time depends on the length. Pure.

Every cut begins where the reading begins, so that a longer one is a shorter one and more: what
changes between them is the length, not the speaker or the text. A cut longer than the reading goes
on with its beginning.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from mac_whisper_speedtest.audio.decode import MIN_SECONDS, SAMPLE_RATE
from mac_whisper_speedtest.audio.recording import AudioSet, Recording
from mac_whisper_speedtest.errors import AudioError, UsageError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

DEFAULT_SECONDS: Final = (2.0, 5.0, 10.0, 20.0, 30.0, 31.0, 60.0, 120.0)
"""Lengths that show the fixed cost (2-10 s), the step behind Whisper's 30 s window, the slope."""

LONGEST_SECONDS: Final = 3600.0
"""Longest cut: 230 MB of samples."""

_FRAME: Final = SAMPLE_RATE // 100
"""10 ms: what loudness is compared over. Gaps between words and stops within them are longer."""

_SEARCH_SECONDS: Final = 0.4
"""How far before the end of a cut its quietest place is looked for: a spoken word lasts about as
long (English is read at 150 to 180 words a minute)."""

_FADE: Final = SAMPLE_RATE // 200
"""5 ms, in which sound goes to nothing without a click."""


def cut_to(reading: Recording, seconds: Sequence[float]) -> AudioSet:
    """One clip for each length, exact to the sample; without reference, because words are cut off.

    Args:
        reading: what is cut; at least a second long.
        seconds: the lengths, in the order the clips will have.

    Raises:
        UsageError: no lengths, or one that is too short or too long.
        AudioError: the reading is too short to be joined to anything.
    """
    lengths = list(dict.fromkeys(seconds))
    for length in lengths:
        # Written so that NaN, which compares with nothing, is refused as well.
        if not MIN_SECONDS <= length <= LONGEST_SECONDS:
            raise UsageError(
                f"--durations holds {length:g}; lengths are {MIN_SECONDS:g} to "
                f"{LONGEST_SECONDS:g} seconds",
                hint="such as --durations 2,5,10,20,30,31,60,120",
            )
    if not lengths:
        raise UsageError("--durations holds no lengths", hint="such as --durations 2,5,10,30")
    if reading.seconds < 1:
        raise AudioError(
            f"{reading.name} is {reading.seconds:.2f} s long, too short to cut and join",
            hint="use a reading of some seconds, or leave --audio out for the built-in one",
        )
    recordings = tuple(
        Recording(
            name=f"{length:g}s",
            samples=piece(reading.samples, round(length * SAMPLE_RATE)),
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


def piece(samples: npt.NDArray[np.float32], length: int) -> npt.NDArray[np.float32]:
    """The first ``length`` samples of the reading said over and over.

    It is cut and joined where it is quietest: a repetition ends and begins within `_SEARCH_SECONDS`
    of the reading's ends, and the last sounds up to so much before the end of the piece are left
    out, for silence to end on, rather than half a word.

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
    else:  # too little for a choice
        last = _faded(reading[:left])
    result[done : done + last.size] = last
    return result


def _search() -> int:
    return round(_SEARCH_SECONDS * SAMPLE_RATE)


def _quietest(samples: npt.NDArray[np.float32], start: int, end: int) -> int:
    """The middle of the quietest 10 ms between two places; the last such one."""
    import numpy as np

    frames = (end - start) // _FRAME
    by_frame = samples[end - frames * _FRAME : end].reshape(frames, _FRAME).astype(np.float64)
    energy = np.square(by_frame).sum(axis=1)
    last = frames - 1 - int(np.argmin(energy[::-1]))
    return end - (frames - last) * _FRAME + _FRAME // 2


def _faded(samples: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The same, coming out of nothing and going into it."""
    import numpy as np

    width = min(_FADE, samples.size // 2)
    ramp = np.linspace(0, 1, width, dtype=np.float32)
    result = samples.copy()
    result[:width] *= ramp
    result[result.size - width :] *= ramp[::-1]
    return result
