"""``--mic``: record speech until Enter is pressed or for a given time.

The recording stays in memory and in the run's temporary files. It is kept only on request, and
never written to the PCM cache.
"""

from __future__ import annotations

import math
import queue
import select
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final

from mac_whisper_speedtest.audio.decode import MAX_SECONDS, MIN_SECONDS, SAMPLE_RATE, resampled
from mac_whisper_speedtest.audio.recording import Recording
from mac_whisper_speedtest.errors import AudioError, UsageError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

QUIETEST_DBFS: Final = -60.0
"""The left end of the level meter: about the level of a quiet room."""

_METER_WIDTH: Final = 30
_DEVICE_TIMEOUT_S: Final = 5.0
"""Recording ends after the device delivers nothing for this long."""


def record(
    *,
    seconds: float | None,
    language: str | None,
    notify: Callable[[str], None],
    level: Callable[[float], None],
) -> Recording:
    """Record from the default microphone.

    Args:
        seconds: duration; None until Enter is pressed.
        language: two-letter code of the speech.
        notify: receives a line when to speak, and one if samples were lost.
        level: receives the loudness of every block, in dB below full scale.

    Raises:
        UsageError: no library or device to record with, no terminal to read Enter from, or an
            impossible duration.
        AudioError: nothing was recorded, or only digital silence.
    """
    # Written so that NaN is refused as well.
    if seconds is not None and not MIN_SECONDS <= seconds <= MAX_SECONDS:
        raise UsageError(
            f"{seconds:g} seconds cannot be recorded",
            hint=f"record for {MIN_SECONDS:g} to {MAX_SECONDS:g} seconds",
        )
    if seconds is None and not sys.stdin.isatty():
        raise UsageError(
            "recording until Enter is pressed needs a terminal",
            hint="set a duration, such as --mic-seconds 10",
        )
    library = _library()
    rate = _rate(library)
    until = f"for {seconds:g} s" if seconds is not None else "until Enter is pressed"
    notify(f"Recording {until}. Speak now.")
    lost: list[str] = []
    stream = _blocks(library, rate, seconds is None, lost)
    samples = gather(stream, rate, seconds, level)
    if lost:
        notify(f"Parts of the recording were lost because the machine was too busy: {lost[0]}.")
    return Recording(
        name="microphone",
        pcm=samples,
        reference=None,
        language=language,
        source="the microphone",
    )


def gather(
    blocks: Iterable[npt.NDArray[np.float32]],
    rate: int,
    seconds: float | None,
    level: Callable[[float], None],
) -> npt.NDArray[np.float32]:
    """Join the blocks of a microphone, resampled to 16 kHz.

    Args:
        blocks: shape ``[samples]`` each, at ``rate``.
        rate: samples per second of the blocks.
        seconds: duration, exact to the sample; None for all blocks.
        level: receives the loudness of every block, in dB below full scale.

    Returns:
        Shape ``[samples]``, at 16 kHz.

    Raises:
        AudioError: the recording is too short, or only zeros.
    """
    import numpy as np

    requested = None if seconds is None else round(seconds * rate)

    def enough() -> Iterator[tuple[int, npt.NDArray[np.float32]]]:
        here = 0
        for block in blocks:
            part = block if requested is None else block[: requested - here]
            level(loudness(part))
            here += part.size
            yield rate, part
            if requested is not None and here >= requested:
                return

    pieces = list(resampled(enough()))
    samples = np.concatenate(pieces) if pieces else np.zeros(0, np.float32)
    if samples.size < MIN_SECONDS * SAMPLE_RATE:
        raise AudioError(
            f"only {samples.size / SAMPLE_RATE:.2f} s were recorded",
            hint="speak for several seconds before you press Enter",
        )
    if not samples.any():
        raise AudioError(
            "the microphone delivered only silence",
            hint="check that it is on and that this terminal may use it (macOS: System Settings, "
            "Privacy & Security, Microphone)",
        )
    return np.clip(samples, -1, 1)  # resampling may overshoot full scale a little


def loudness(block: npt.NDArray[np.float32]) -> float:
    """The block's RMS in dB below full scale; minus infinity for silence."""
    import numpy as np

    power = float(np.mean(np.square(block, dtype=np.float64))) if block.size else 0.0
    return 10 * math.log10(power) if power > 0 else -math.inf


def meter(dbfs: float) -> str:
    """A bar of fixed width that is full at 0 dB and empty at `QUIETEST_DBFS` and below."""
    share = (dbfs - QUIETEST_DBFS) / -QUIETEST_DBFS
    full = round(_METER_WIDTH * min(1.0, max(0.0, share)))
    return "#" * full + "-" * (_METER_WIDTH - full)


def _library() -> Any:
    """The sounddevice library, with PortAudio."""
    try:
        import sounddevice
    except ImportError:
        raise UsageError(
            "recording needs the sounddevice library, which is not installed",
            hint='run: pip install "mac-whisper-speedtest[mic]"',
        ) from None
    except OSError as error:  # installed, but without PortAudio
        raise UsageError(
            f"recording needs PortAudio: {error}",
            hint="install it (Debian and Ubuntu: apt install libportaudio2)",
        ) from error
    except Exception as error:
        # The import starts PortAudio, which fails without a sound system (seen with 0.5.6 in a
        # container). The error's class cannot be imported then, so it is known by its name.
        if type(error).__name__ != "PortAudioError":
            raise
        raise _no_microphone(error) from error
    return sounddevice


def _rate(library: Any) -> int:
    """The native rate of the default microphone: this tool resamples, not PortAudio."""
    try:
        device = library.query_devices(kind="input")
    except (library.PortAudioError, ValueError) as error:
        raise _no_microphone(error) from error
    return round(float(device["default_samplerate"]))


def _no_microphone(error: Exception) -> UsageError:
    return UsageError(
        f"there is no microphone: {error}",
        hint="connect one, or use a recording with --audio FILE",
    )


def _blocks(
    library: Any, rate: int, until_enter: bool, lost: list[str]
) -> Iterator[npt.NDArray[np.float32]]:
    """The microphone's blocks, endless unless Enter ends them; ``lost`` receives its warnings."""
    waiting: queue.SimpleQueue[npt.NDArray[np.float32]] = queue.SimpleQueue()

    def arrived(data: npt.NDArray[np.float32], _frames: int, _when: object, status: Any) -> None:
        if status:
            lost.append(str(status))
        waiting.put(data[:, 0].copy())

    try:
        with library.InputStream(samplerate=rate, channels=1, dtype="float32", callback=arrived):
            last_block_s = time.monotonic()
            while (
                not (until_enter and _enter_pressed())
                and time.monotonic() - last_block_s < _DEVICE_TIMEOUT_S
            ):
                try:
                    block = waiting.get(timeout=0.05)
                except queue.Empty:
                    continue
                last_block_s = time.monotonic()
                yield block
    except library.PortAudioError as error:
        raise UsageError(
            f"the microphone cannot be used: {error}",
            hint="check that no other program uses it, and that this terminal may use it",
        ) from error


def _enter_pressed() -> bool:
    """Whether a line was typed at the terminal; it is consumed."""
    if not select.select([sys.stdin], [], [], 0)[0]:
        return False
    sys.stdin.readline()
    return True
