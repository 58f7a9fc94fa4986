from __future__ import annotations

import zipfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mac_whisper_speedtest.convert import openai, torch_pickle
from mac_whisper_speedtest.convert.checkpoint import Checkpoint, expected_shapes, network_sha256
from mac_whisper_speedtest.convert.conversion import convert, detect_format
from mac_whisper_speedtest.convert.stored_zip import write_stored
from mac_whisper_speedtest.convert.torch_pickle import StoredTensor
from mac_whisper_speedtest.errors import WeightsError, WeightsMissingError


def test_tiny_en_is_the_same_network_bit_for_bit(
    tiny_en: Path, tiny_en_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    record = convert(tiny_en, "openai", tmp_path / "out")
    assert record.lossless
    product = openai.read(tmp_path / "out")
    for name, array in tiny_en_checkpoint.tensors.items():
        assert product.tensors[name].tobytes() == array.tobytes(), name
    assert detect_format(tmp_path / "out" / "model.pt") == "openai"


@pytest.mark.parametrize("precision", ["float16", "float32"])
def test_both_precisions_come_back_and_have_the_same_bytes_every_time(
    small: Checkpoint, tmp_path: Path, precision: str
) -> None:
    for name in ("one.pt", "two.pt"):
        openai.write(small, tmp_path / name, precision)
    assert (tmp_path / "one.pt").read_bytes() == (tmp_path / "two.pt").read_bytes()
    product = openai.read(tmp_path / "one.pt")
    assert {array.dtype.name for array in product.tensors.values()} == {precision}
    assert network_sha256(product) == network_sha256(small)


def test_values_start_at_multiples_of_64_bytes_uncompressed(
    small: Checkpoint, tmp_path: Path
) -> None:
    openai.write(small, tmp_path / "model.pt")
    content = (tmp_path / "model.pt").read_bytes()
    with zipfile.ZipFile(tmp_path / "model.pt") as archive:
        assert archive.testzip() is None
        for info in archive.infolist():
            at = info.header_offset
            name, extra = (int.from_bytes(content[at + p : at + p + 2], "little") for p in (26, 28))
            assert (at + 30 + name + extra) % 64 == 0
            assert info.date_time == (1980, 1, 1, 0, 0, 0)
            assert info.compress_type == zipfile.ZIP_STORED


def rewritten(path: Path, name: str, content: bytes) -> None:
    with zipfile.ZipFile(path) as archive:
        entries = {item: archive.read(item) for item in archive.namelist()}
    write_stored(path, {**entries, name: content}.items())


def described(small: Checkpoint, name: str, **changes: object) -> bytes:
    """The pickle of `small`, with one tensor described otherwise."""
    tensors = {}
    with_keys = enumerate(expected_shapes(small.dims).items())
    for key, (item, shape) in with_keys:
        strides = tuple(int(np.prod(shape[place + 1 :])) for place in range(len(shape)))
        values: dict[str, Any] = {"offset": 0, "shape": shape, "strides": strides}
        if item == name:
            values |= changes
        tensors[item] = StoredTensor(str(key), "half", int(np.prod(shape)), **values)
    return torch_pickle.dump(asdict(small.dims), tensors)


NAME = "decoder.blocks.0.mlp.0.weight"  # [32, 8]


def test_a_matrix_stored_by_columns_is_read(small: Checkpoint, tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    openai.write(small, path)
    rewritten(path, "archive/data.pkl", described(small, NAME, strides=(1, 32)))
    flat = small.tensors[NAME].reshape(-1)
    assert np.array_equal(openai.read(path).tensors[NAME], flat.reshape(8, 32).T)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"offset": 1}, "which reaches to 257"),
        ({"strides": (9, 1)}, "has 256 values for tensor"),
        ({"strides": (1,)}, "strides"),
        ({"shape": (8, 32)}, r"has shape \[8, 32\], expected \[32, 8\]"),
    ],
)
def test_a_tensor_outside_its_values_is_refused(
    small: Checkpoint, tmp_path: Path, change: dict[str, object], message: str
) -> None:
    path = tmp_path / "model.pt"
    openai.write(small, path)
    rewritten(path, "archive/data.pkl", described(small, NAME, **change))
    with pytest.raises(WeightsError, match=message):
        openai.read(path)


def test_bfloat16_is_refused_by_name(small: Checkpoint, tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    openai.write(small, path)
    with zipfile.ZipFile(path) as archive:
        content = archive.read("archive/data.pkl")
    rewritten(path, "archive/data.pkl", content.replace(b"HalfStorage", b"BFloat16Storage"))
    with pytest.raises(WeightsError, match="is bfloat16, expected half or float"):
        openai.read(path)


def test_damage_is_refused(small: Checkpoint, tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    openai.write(small, path)
    whole = path.read_bytes()
    for length in range(0, len(whole), 997):
        path.write_bytes(whole[:length])
        with pytest.raises(WeightsError):
            openai.read(path)
    flipped = bytearray(whole)
    flipped[whole.index(small.tensors[NAME].tobytes()) + 5] ^= 1
    path.write_bytes(flipped)
    with pytest.raises(WeightsError, match="the checksum of archive/data"):
        openai.read(path)


def test_the_old_format_is_refused_with_the_way_out(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(bytes.fromhex("80028a0a6cfc9c46f9206aa85019") + b".")
    assert detect_format(path) == "openai"
    with pytest.raises(WeightsError, match=r"from before PyTorch 1\.6"):
        openai.read(path)


def test_a_missing_file_and_a_foreign_archive_have_different_errors(tmp_path: Path) -> None:
    with pytest.raises(WeightsMissingError):
        openai.read(tmp_path / "model.pt")
    write_stored(tmp_path / "model.pt", [("a", b"b")])
    with pytest.raises(WeightsError, match=r"holds no single data\.pkl"):
        openai.read(tmp_path)
