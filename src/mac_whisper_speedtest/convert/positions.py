"""The encoder's positions: sines and cosines that some forms store and others recompute."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mac_whisper_speedtest.convert.checkpoint import Tensor
from mac_whisper_speedtest.errors import WeightsError

_LONGEST_WAVELENGTH = 10_000.0
# Half a step of bfloat16 just below 1 is 0.002, and sines of angles up to 1500 rad computed in
# float32 are off by up to 0.0001. A trained or reordered table is off by far more.
_TOLERANCE = 0.004


def sinusoids(length: int, width: int) -> NDArray[np.float32]:
    """The table of Whisper's audio encoder (Vaswani et al. 2017, sines first, then cosines).

    Returns:
        Values of shape [length, width]; the first half of a row is sines.

    Raises:
        WeightsError: ``width`` is odd or below 4, for which the table is not defined.
    """
    if width < 4 or width % 2:
        raise WeightsError(f"no sinusoidal positions of width {width}")
    half = width // 2
    rates = np.exp(-np.log(_LONGEST_WAVELENGTH) / (half - 1) * np.arange(half))
    angles = np.arange(length)[:, None] * rates[None, :]
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1).astype(np.float32)


def check_sinusoidal(table: Tensor) -> None:
    """Refuse a table that a form which recomputes the positions would silently replace.

    Raises:
        WeightsError: a value is further from the sines than rounding explains.
    """
    expected = sinusoids(*table.shape)
    apart = float(np.abs(table.astype(np.float32) - expected).max())
    if apart > _TOLERANCE:
        raise WeightsError(
            "the encoder's positions are not Whisper's table of sines "
            f"(up to {apart:.3g} away), and this form cannot store others",
            hint="convert to a form that stores them, such as ggml",
        )
