from __future__ import annotations

import numpy as np
import pytest

from mac_whisper_speedtest.convert.codec import cast, dtype_of
from mac_whisper_speedtest.errors import UsageError, WeightsError


def test_a_value_too_large_for_float16_is_refused_instead_of_becoming_infinite() -> None:
    with pytest.raises(WeightsError, match="tensor x reaches 70000, too large for float16"):
        cast("x", np.array([1, -70000], np.float32), dtype_of("float16"))


def test_the_largest_float16_is_kept() -> None:
    array = np.array([65504, 1e-9], np.float32)
    assert cast("x", array, dtype_of("float16")).tolist() == [65504, 0]


def test_nothing_is_copied_where_nothing_changes() -> None:
    array = np.ones(3, np.float16)
    assert cast("x", array, dtype_of("float16")) is array


def test_other_precisions_are_a_usage_error() -> None:
    with pytest.raises(UsageError, match="'bfloat16' is not one of float16, float32"):
        dtype_of("bfloat16")
