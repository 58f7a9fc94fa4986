from __future__ import annotations

import hashlib
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mac_whisper_speedtest.convert import ggml
from mac_whisper_speedtest.convert.checkpoint import Checkpoint, Dims, expected_shapes
from mac_whisper_speedtest.convert.conversion import FORMATS, convert, prove
from mac_whisper_speedtest.convert.quantize import QUANTIZATIONS, Quantization
from mac_whisper_speedtest.errors import WeightsError

WIDE = "decoder.blocks.0.mlp.0.weight"


@pytest.fixture(scope="module")
def wide() -> Checkpoint:
    """A network of width 32, the least that ggml's blocks can store."""
    dims = Dims(80, 10, 32, 2, 1, 258, 6, 32, 2, 1)
    generator = np.random.default_rng(5)
    tensors = {
        name: generator.standard_normal(shape).astype(np.float16)
        for name, shape in expected_shapes(dims).items()
    }
    return Checkpoint(dims, tensors, tuple(bytes([number]) for number in range(256)))


def written(checkpoint: Checkpoint, folder: Path, precision: str) -> Checkpoint:
    writer = FORMATS["ggml"].writer
    assert writer is not None
    assert writer.read_back is not None
    writer.write(checkpoint, folder, precision)
    return writer.read_back(folder)


@pytest.mark.parametrize("name", QUANTIZATIONS)
def test_every_quantization_is_written_and_proved(
    wide: Checkpoint, tmp_path: Path, name: str
) -> None:
    product = written(wide, tmp_path, name)
    rounding = prove(wide, product, FORMATS["ggml"], name)
    assert rounding.values == sum(array.size for array in wide.tensors.values())
    matrices = [n for n, a in wide.tensors.items() if a.ndim == 2 and "positional" not in n]
    assert 0 < rounding.changed <= sum(wide.tensors[n].size for n in matrices)
    for kept in set(wide.tensors) - set(matrices):
        assert np.array_equal(product.tensors[kept], wide.tensors[kept])
    header = struct.unpack_from("<12i", (tmp_path / "ggml-model.bin").read_bytes())
    assert header[-1] == 2000 + QUANTIZATIONS[name].file_type


def test_a_quantized_file_is_no_source(wide: Checkpoint, tmp_path: Path) -> None:
    (tmp_path / "q").mkdir()
    written(wide, tmp_path / "q", "q8_0")
    with pytest.raises(
        WeightsError, match=r"2007 is q8_0.*quantized and the original values are g"
    ):
        convert(tmp_path / "q", "mlx", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("ftype", [2, 9, 1009, 2012, 77])
def test_files_of_other_quantizations_and_versions_are_refused(
    wide: Checkpoint, tmp_path: Path, ftype: int
) -> None:
    written(wide, tmp_path, "q8_0")
    path = tmp_path / "ggml-model.bin"
    content = bytearray(path.read_bytes())
    struct.pack_into("<i", content, 44, ftype)
    path.write_bytes(content)
    writer = FORMATS["ggml"].writer
    assert writer is not None
    assert writer.read_back is not None
    for read in (writer.read_back, ggml.read):
        with pytest.raises(WeightsError, match=f"type {ftype} is an unknown one"):
            read(tmp_path)


def test_a_tensor_of_another_kind_than_the_files_is_refused(
    wide: Checkpoint, tmp_path: Path
) -> None:
    written(wide, tmp_path, "q4_1")
    path = tmp_path / "ggml-model.bin"
    content = bytearray(path.read_bytes())
    struct.pack_into("<i", content, 44, 2003 + 4)  # says q8_0, holds q4_1
    path.write_bytes(content)
    writer = FORMATS["ggml"].writer
    assert writer is not None
    assert writer.read_back is not None
    with pytest.raises(WeightsError, match="has type 3, which is wrong in a q8_0 file"):
        writer.read_back(tmp_path)


def test_a_changed_block_is_found(wide: Checkpoint, tmp_path: Path) -> None:
    product = written(wide, tmp_path, "q8_0")
    wrong = product.tensors[WIDE].copy()
    wrong[3, 1] = np.nextafter(wrong[3, 1], np.float32(9))
    product = replace(product, tensors={**product.tensors, WIDE: wrong})
    with pytest.raises(WeightsError, match=rf"{WIDE} reads back from ggml differently at value 97"):
        prove(wide, product, FORMATS["ggml"], "q8_0")


def test_a_quantizer_that_is_consistent_but_wrong_is_found(
    wide: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = Quantization.quantize
    monkeypatch.setattr(
        Quantization, "quantize", lambda kind, values: honest(kind, values * np.float32(1.02))
    )
    with pytest.raises(WeightsError, match="is quantized wrongly: a value of block"):
        prove(wide, written(wide, tmp_path, "q8_0"), FORMATS["ggml"], "q8_0")


def test_rows_narrower_than_a_block_are_refused(small: Checkpoint, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="rows of 8 values cannot be stored as q5_1"):
        ggml.write(small, tmp_path / "small.bin", "q5_1")


@pytest.mark.parametrize(
    ("name", "version", "published"),
    [
        ("q8_0", 2, "802d6668e7d411123e672abe4cb6c18f12306abb"),
        # Made in 2023, when the quantization's version was 1; nothing else differs.
        ("q5_1", 1, "3fb92ec865cbbc769f08137f22470d6b66e071b6"),
    ],
)
def test_tiny_en_quantized_is_the_file_that_upstream_publishes(
    tiny_en_checkpoint: Checkpoint, tmp_path: Path, name: str, version: int, published: str
) -> None:
    ggml.write(tiny_en_checkpoint, tmp_path / "tiny.bin", name)
    content = bytearray((tmp_path / "tiny.bin").read_bytes())
    file_type = QUANTIZATIONS[name].file_type
    assert struct.unpack_from("<i", content, 44) == (2000 + file_type,)
    struct.pack_into("<i", content, 44, 1000 * version + file_type)
    assert hashlib.sha1(content).hexdigest() == published
