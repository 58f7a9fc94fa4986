from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pytest

from mac_whisper_speedtest.convert import mlx_npz
from mac_whisper_speedtest.convert.checkpoint import Checkpoint, network_sha256
from mac_whisper_speedtest.convert.conversion import convert
from mac_whisper_speedtest.convert.record import ConversionRecord
from mac_whisper_speedtest.errors import WeightsError


class Converted(Protocol):
    @property
    def folder(self) -> Path: ...
    @property
    def record(self) -> ConversionRecord: ...


def test_tiny_en_holds_the_arrays_of_the_mlx_format(tiny_en_mlx: Converted, tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    record = convert(tiny_en_mlx.folder, "mlx-npz", tmp_path / "out")
    assert record.lossless
    assert record.network_sha256 == tiny_en_mlx.record.network_sha256
    expected = load_file(tiny_en_mlx.folder / "weights.safetensors")
    with np.load(tmp_path / "out" / "weights.npz") as stored:
        assert set(stored.files) == set(expected)
        for name, array in expected.items():
            assert stored[name].dtype == array.dtype
            assert np.array_equal(stored[name], array)
    configs = [folder / "config.json" for folder in (tiny_en_mlx.folder, tmp_path / "out")]
    assert configs[0].read_bytes() == configs[1].read_bytes()


@pytest.mark.parametrize("precision", ["float16", "float32"])
def test_both_precisions_come_back_and_have_the_same_bytes_every_time(
    small: Checkpoint, tmp_path: Path, precision: str
) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        mlx_npz.write(small, tmp_path / name, precision)
    one, two = (tmp_path / name / "weights.npz" for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()
    product = mlx_npz.read(tmp_path / "one")
    assert network_sha256(product) == network_sha256(small)
    assert product.alignment_heads == small.alignment_heads


def stored(folder: Path) -> dict[str, Any]:
    """The arrays of an archive, as numpy reads them."""
    with np.load(folder / "weights.npz") as archive:
        return dict(archive)


def test_numpys_own_archive_is_read(small: Checkpoint, tmp_path: Path) -> None:
    mlx_npz.write(small, tmp_path)
    arrays: dict[str, Any] = stored(tmp_path)
    np.savez(tmp_path / "weights.npz", **arrays)
    assert network_sha256(mlx_npz.read(tmp_path)) == network_sha256(small)


def test_compressed_object_and_integer_arrays_are_refused(
    small: Checkpoint, tmp_path: Path
) -> None:
    mlx_npz.write(small, tmp_path)
    arrays: dict[str, Any] = stored(tmp_path)
    np.savez_compressed(tmp_path / "weights.npz", **arrays)
    with pytest.raises(WeightsError, match="is compressed"):
        mlx_npz.read(tmp_path)
    objects = np.array([{}], dtype=object)
    np.savez(tmp_path / "weights.npz", **{**arrays, "decoder.ln.bias": objects})
    with pytest.raises(WeightsError, match=r"decoder\.ln\.bias\.npy cannot be read: .*objects"):
        mlx_npz.read(tmp_path)
    np.savez(tmp_path / "weights.npz", **{**arrays, "decoder.ln.bias": np.ones(8, np.int8)})
    with pytest.raises(WeightsError, match=r"decoder\.ln\.bias is int8, expected float16"):
        mlx_npz.read(tmp_path)


def test_a_cut_archive_and_a_header_that_is_no_header_are_refused(
    small: Checkpoint, tmp_path: Path
) -> None:
    mlx_npz.write(small, tmp_path)
    path = tmp_path / "weights.npz"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(WeightsError):
        mlx_npz.read(tmp_path)
    for header in (b"", b"\x93NUMPY\x01\x00\xff\xff", b"\x93NUMPY\x01\x00\x04\x00(((\n"):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("decoder.ln.bias.npy", header)
        with pytest.raises(WeightsError):
            mlx_npz.read(tmp_path)
