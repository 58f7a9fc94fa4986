from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import numpy as np
import pytest

from mac_whisper_speedtest.convert import conversion
from mac_whisper_speedtest.convert.checkpoint import Checkpoint, network_sha256
from mac_whisper_speedtest.convert.conversion import FORMATS, convert
from mac_whisper_speedtest.convert.record import ConversionRecord, read_record
from mac_whisper_speedtest.errors import StorageError, UsageError, WeightsError
from mac_whisper_speedtest.files import sha256_file

WriteSmall = Callable[..., Path]


class Converted(Protocol):
    @property
    def folder(self) -> Path: ...
    @property
    def record(self) -> ConversionRecord: ...


def contents(folder: Path) -> dict[str, bytes]:
    return {item.name: item.read_bytes() for item in folder.iterdir()}


def test_tiny_en_is_one_network_in_every_format(
    tiny_en_ggml: Converted, tiny_en_mlx: Converted
) -> None:
    for record in (tiny_en_ggml.record, tiny_en_mlx.record):
        assert record.lossless
        assert record.changed_values == 0
        assert record.network_sha256 == record.source_network_sha256
    assert tiny_en_ggml.record.network_sha256 == tiny_en_mlx.record.network_sha256


def test_the_record_describes_the_real_files(tiny_en: Path, tiny_en_ggml: Converted) -> None:
    record = tiny_en_ggml.record
    assert read_record(tiny_en_ggml.folder) == record
    assert (record.source_format, record.target_format, record.precision) == (
        "ctranslate2",
        "ggml",
        "float16",
    )
    names = [item.name for item in record.source_files]
    assert names == ["model.bin", "config.json", "tokenizer.json", "vocabulary.txt"]
    for item, folder in (
        *((item, tiny_en) for item in record.source_files),
        *((item, tiny_en_ggml.folder) for item in record.output_files),
    ):
        assert (folder / item.name).stat().st_size == item.size
        assert sha256_file(folder / item.name) == item.sha256
    assert {item.name for item in tiny_en_ggml.folder.iterdir()} == {
        "ggml-model.bin",
        "provenance.json",
    }


def test_the_record_is_plain_json_without_folders(
    small_ctranslate2: WriteSmall, tmp_path: Path
) -> None:
    upstream = {"revision": "abc", "repository": "openai/whisper-tiny.en"}
    convert(small_ctranslate2(), "mlx", tmp_path / "out", provenance=upstream)
    text = (tmp_path / "out" / "provenance.json").read_text(encoding="utf-8")
    assert str(tmp_path) not in text
    record = json.loads(text)
    assert record["format_version"] == 1
    assert record["upstream"] == upstream
    assert [item["name"] for item in record["output_files"]] == [
        "weights.safetensors",
        "config.json",
    ]


@pytest.mark.parametrize("target", ["ggml", "mlx"])
@pytest.mark.parametrize("precision", ["float16", "float32"])
def test_converting_twice_gives_the_same_bytes(
    small_ctranslate2: WriteSmall, tmp_path: Path, target: str, precision: str
) -> None:
    source = small_ctranslate2()
    for name in ("one", "two"):
        convert(source, target, tmp_path / name, precision=precision)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_a_network_survives_conversion_through_both_formats(
    small_ctranslate2: WriteSmall, small: Checkpoint, tmp_path: Path
) -> None:
    source = small_ctranslate2()
    first = convert(source, "ggml", tmp_path / "ggml")
    second = convert(tmp_path / "ggml", "mlx", tmp_path / "mlx", precision="float32")
    assert first.network_sha256 == second.network_sha256 == network_sha256(small)
    assert second.source_format == "ggml"
    assert second.lossless
    third = convert(tmp_path / "mlx", "mlx", tmp_path / "again")
    assert third.lossless  # float16 values kept as float32 are rounded back without change


def test_narrowing_is_allowed_counted_and_reported(
    small: Checkpoint, small_ctranslate2: WriteSmall, tmp_path: Path
) -> None:
    name = "decoder.blocks.0.mlp.0.weight"
    precise = small.tensors[name].astype(np.float32)
    precise[0, :4] = [0.1, 0.25, 1 / 3, 1e-12]
    source = small_ctranslate2({name: precise})
    record = convert(source, "mlx", tmp_path / "out")
    assert not record.lossless
    assert record.changed_values == 3
    assert record.network_sha256 != record.source_network_sha256
    product = FORMATS["mlx"].read(tmp_path / "out")
    assert np.array_equal(product.tensors[name], precise.astype(np.float16))
    assert record.network_sha256 == network_sha256(product)


def test_a_value_beyond_float16_is_refused_and_leaves_nothing(
    small_ctranslate2: WriteSmall, tmp_path: Path
) -> None:
    large = np.full(8, 1e6, dtype=np.float32)
    source = small_ctranslate2({"encoder.blocks.0.mlp.2.bias": large})
    with pytest.raises(WeightsError, match="reaches 1e\\+06, too large for float16"):
        convert(source, "mlx", tmp_path / "out")
    assert sorted(item.name for item in tmp_path.iterdir()) == ["ctranslate2"]


def test_a_source_that_is_not_finite_is_refused(
    small_ctranslate2: WriteSmall, tmp_path: Path
) -> None:
    source = small_ctranslate2({"decoder.ln.bias": np.full(8, np.nan, dtype=np.float16)})
    with pytest.raises(WeightsError, match=r"decoder\.ln\.bias is nan"):
        convert(source, "ggml", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_writer_that_damages_one_value_is_caught_before_publishing(
    small_ctranslate2: WriteSmall, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = FORMATS["ggml"]
    assert good.writer is not None
    write = good.writer.write

    def damaging(checkpoint: Checkpoint, folder: Path, precision: str) -> None:
        write(checkpoint, folder, precision)
        path = folder / "ggml-model.bin"
        content = bytearray(path.read_bytes())
        content[-20] ^= 1
        path.write_bytes(content)

    bad = replace(good, writer=replace(good.writer, write=damaging))
    monkeypatch.setattr(conversion, "format_named", {**FORMATS, "ggml": bad}.__getitem__)
    with pytest.raises(WeightsError, match=r"encoder\.ln_post\.bias reads back from ggml diff"):
        convert(small_ctranslate2(), "ggml", tmp_path / "out")
    assert sorted(item.name for item in tmp_path.iterdir()) == ["ctranslate2"]


def test_the_same_conversion_again_writes_nothing(
    small_ctranslate2: WriteSmall, tmp_path: Path
) -> None:
    source = small_ctranslate2()
    first = convert(source, "ggml", tmp_path / "out")
    written = (tmp_path / "out" / "ggml-model.bin").stat().st_mtime_ns
    assert convert(source, "ggml", tmp_path / "out") == first
    assert (tmp_path / "out" / "ggml-model.bin").stat().st_mtime_ns == written


def test_a_destination_with_anything_else_is_kept_and_refused(
    small_ctranslate2: WriteSmall, tmp_path: Path
) -> None:
    source, out = small_ctranslate2(), tmp_path / "out"
    convert(source, "ggml", out)
    with pytest.raises(UsageError, match="holds another conversion"):
        convert(source, "mlx", out)
    with pytest.raises(UsageError, match="holds another conversion"):
        convert(source, "ggml", out, precision="float32")
    (out / "ggml-model.bin").write_bytes(b"cut")
    with pytest.raises(UsageError, match=r"its ggml-model\.bin is damaged"):
        convert(source, "ggml", out)
    (out / "provenance.json").write_text("{}", encoding="utf-8")
    with pytest.raises(UsageError, match="is no conversion by this tool"):
        convert(source, "ggml", out)
    assert (out / "ggml-model.bin").read_bytes() == b"cut"


def test_an_empty_destination_is_filled(small_ctranslate2: WriteSmall, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    convert(small_ctranslate2(), "mlx", tmp_path / "out")
    assert (tmp_path / "out" / "weights.safetensors").is_file()


def test_a_destination_that_cannot_be_made_is_a_storage_error(
    small_ctranslate2: WriteSmall, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match="cannot create"):
        convert(small_ctranslate2(), "mlx", tmp_path / "file" / "out")


@pytest.mark.parametrize(
    ("target", "precision", "message"),
    [
        ("ctranslate2", "float16", "format ctranslate2 is only read"),
        ("onnx", "float16", "format 'onnx' is not one of"),
        ("ggml", "int8", "format ggml cannot store 'int8'"),
    ],
)
def test_an_impossible_request_is_refused_before_reading(
    tmp_path: Path, target: str, precision: str, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        convert(tmp_path / "nowhere", target, tmp_path / "out", precision=precision)


def test_the_source_format_can_be_named(small_ctranslate2: WriteSmall, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"weights\.safetensors"):
        convert(small_ctranslate2(), "ggml", tmp_path / "out", source_format="mlx")


def test_a_record_of_a_later_version_is_not_guessed_at(
    small_ctranslate2: WriteSmall, tmp_path: Path
) -> None:
    convert(small_ctranslate2(), "mlx", tmp_path / "out")
    path = tmp_path / "out" / "provenance.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**record, "format_version": 2}), encoding="utf-8")
    with pytest.raises(WeightsError, match="has format version 2, not 1"):
        read_record(tmp_path / "out")
