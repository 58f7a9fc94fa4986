from __future__ import annotations

import hashlib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import numpy as np
import pytest

from mac_whisper_speedtest.convert.checkpoint import filter_bank

# SHA-256 of the little-endian float32 tables in OpenAI's mel_filters.npz (as mlx-whisper 0.4.3
# ships it), so that the comparison holds where that package is not installed.
PUBLISHED = {
    80: "4f2701b1d287d74a0dc9871026e9519d98cb76426615f2539b0d151a0ae4ec2e",
    128: "2a5f9822897750e047c85dea37cc268d3be0ecfd23c28a5f10da129d99d05afe",
}


@pytest.mark.parametrize("n_mels", [80, 128])
def test_the_bank_has_the_published_bits(n_mels: int) -> None:
    content = filter_bank(n_mels).astype("<f4").tobytes()
    assert hashlib.sha256(content).hexdigest() == PUBLISHED[n_mels]


@pytest.mark.parametrize("n_mels", [80, 128])
def test_the_bank_is_bit_for_bit_the_table_that_mlx_whisper_ships(n_mels: int) -> None:
    try:
        installed = distribution("mlx-whisper")
    except PackageNotFoundError:
        pytest.skip("mlx-whisper is not installed")
    path = Path(str(installed.locate_file("mlx_whisper/assets/mel_filters.npz")))
    with np.load(path) as tables:
        assert filter_bank(n_mels).tobytes() == tables[f"mel_{n_mels}"].tobytes()


def test_filters_are_triangles_of_equal_area() -> None:
    bank = filter_bank(80).astype(float)
    assert bank.shape == (80, 201)
    assert bank.min() == 0
    # A triangle of area one over bins of 40 Hz; only the wide ones are sampled finely enough.
    assert bank[60:].sum(axis=1) * 40 == pytest.approx(1, abs=0.03)
