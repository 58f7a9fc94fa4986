"""Whisper's mel filter bank, computed instead of shipped."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE_HZ = 16_000
FFT_SIZE = 400
"""Samples in one 25 ms analysis window."""

# Slaney's mel scale (Auditory Toolbox, 1998): linear below 1 kHz, logarithmic above.
_HZ_PER_MEL = 200.0 / 3
_BREAK_HZ = 1000.0
_BREAK_MEL = _BREAK_HZ / _HZ_PER_MEL
_LOG_STEP = math.log(6.4) / 27.0  # 27 mels for each factor of 6.4 above the break


@cache
def filter_bank(n_mels: int) -> NDArray[np.float32]:
    """Triangular mel filters of equal area, from 0 to 8 kHz.

    The order of operations is librosa's (``librosa.filters.mel``, ``norm="slaney"``), because
    OpenAI made its table with that: triangles in float64 rounded to float32, then scaled in place.
    The result is bit for bit the published table, the negative zero at [0, 0] included.

    Args:
        n_mels: the number of filters; Whisper uses 80, and 128 from large-v3 on.

    Returns:
        Read-only weights of shape [n_mels, 201], one column for each FFT bin.
    """
    bins_hz = np.fft.rfftfreq(n=FFT_SIZE, d=1.0 / SAMPLE_RATE_HZ)
    edges_hz = _hz(np.linspace(0.0, _mel(SAMPLE_RATE_HZ / 2), n_mels + 2))
    widths_hz = np.diff(edges_hz)
    ramps_hz = np.subtract.outer(edges_hz, bins_hz)
    weights = np.zeros((n_mels, bins_hz.size), dtype=np.float32)
    for row in range(n_mels):
        rising = -ramps_hz[row] / widths_hz[row]
        falling = ramps_hz[row + 2] / widths_hz[row + 1]
        weights[row] = np.maximum(0, np.minimum(rising, falling))
    weights *= (2.0 / (edges_hz[2:] - edges_hz[:n_mels]))[:, None]
    weights.setflags(write=False)
    return weights


def _mel(hz: float) -> float:
    """The mel value of a frequency above the break."""
    return float(_BREAK_MEL + np.log(hz / _BREAK_HZ) / _LOG_STEP)


def _hz(mels: NDArray[np.float64]) -> NDArray[np.float64]:
    hz = _HZ_PER_MEL * mels
    above = mels >= _BREAK_MEL
    hz[above] = _BREAK_HZ * np.exp(_LOG_STEP * (mels[above] - _BREAK_MEL))
    return hz
