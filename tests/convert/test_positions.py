from __future__ import annotations

import numpy as np
import pytest

from mac_whisper_speedtest.convert.checkpoint import check_sinusoidal, sinusoids
from mac_whisper_speedtest.errors import WeightsError


def test_a_row_is_sines_then_cosines_of_falling_rates() -> None:
    table = sinusoids(3, 4)
    rates = np.array([1.0, 1e-4])
    assert table[2].tolist() == pytest.approx([*np.sin(2 * rates), *np.cos(2 * rates)])
    assert table[0].tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize("width", [2, 7])
def test_a_width_without_such_a_table_is_refused(width: int) -> None:
    with pytest.raises(WeightsError, match=f"positions of width {width}"):
        sinusoids(3, width)


def test_a_table_rounded_to_float16_is_accepted() -> None:
    check_sinusoidal(sinusoids(1500, 384).astype(np.float16))


def test_a_table_with_two_rows_swapped_is_refused() -> None:
    table = sinusoids(1500, 384)
    table[[7, 8]] = table[[8, 7]]
    with pytest.raises(WeightsError, match="cannot store others"):
        check_sinusoidal(table)
