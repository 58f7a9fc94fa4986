from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mac_whisper_speedtest.convert import ctranslate2
from mac_whisper_speedtest.convert.checkpoint import Checkpoint, Dims, validate
from mac_whisper_speedtest.errors import WeightsError, WeightsMissingError
from mac_whisper_speedtest.files import sha256_file

WriteSmall = Callable[..., Path]
MODEL_SHA256 = "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a"


def test_the_real_tiny_en_is_read_whole(tiny_en: Path, tiny_en_checkpoint: Checkpoint) -> None:
    assert sha256_file(tiny_en / "model.bin") == MODEL_SHA256
    validate(tiny_en_checkpoint)
    assert tiny_en_checkpoint.dims == Dims(80, 1500, 384, 6, 4, 51864, 448, 384, 6, 4)
    assert {array.dtype.name for array in tiny_en_checkpoint.tensors.values()} == {"float16"}
    assert len(tiny_en_checkpoint.vocabulary) == 50256
    assert tiny_en_checkpoint.vocabulary[50255] == b" gazed"
    assert tiny_en_checkpoint.alignment_heads[:2] == ((1, 0), (2, 0))


def test_tensors_are_views_of_the_mapped_file(tiny_en_checkpoint: Checkpoint) -> None:
    for array in tiny_en_checkpoint.tensors.values():
        assert not array.flags.owndata
        assert not array.flags.writeable


def test_stacked_projections_are_split(small: Checkpoint, small_ctranslate2: WriteSmall) -> None:
    found = ctranslate2.read(small_ctranslate2())
    validate(found)
    assert found.dims == small.dims
    assert found.vocabulary == small.vocabulary
    assert found.alignment_heads == small.alignment_heads
    assert set(found.tensors) == set(small.tensors)
    for name, array in small.tensors.items():
        assert found.tensors[name].tobytes() == array.tobytes(), name


def test_float32_values_stay_float32(small: Checkpoint, small_ctranslate2: WriteSmall) -> None:
    precise = {name: array.astype(np.float32) / 3 for name, array in small.tensors.items()}
    found = ctranslate2.read(small_ctranslate2(precise))
    assert all(np.array_equal(found.tensors[name], precise[name]) for name in precise)
    assert found.tensors["decoder.ln.bias"].dtype == np.float32


def test_bfloat16_values_are_widened_without_change(
    small: Checkpoint, small_ctranslate2: WriteSmall
) -> None:
    bits = np.array([0x3F80, 0xC000, 0x0001, 0x7F7F, 0, 0x8000, 0x3DCD, 1], dtype=np.uint16)
    found = ctranslate2.read(small_ctranslate2({"decoder.ln.bias": bits}))
    array = found.tensors["decoder.ln.bias"]
    assert array.dtype == np.float32
    assert array.tobytes() == (bits.astype(np.uint32) << 16).tobytes()
    assert array[:2].tolist() == [1.0, -2.0]


def test_a_bias_for_the_keys_is_refused(small_ctranslate2: WriteSmall) -> None:
    bias = np.zeros(24, dtype=np.float16)
    bias[12] = 1
    name = "encoder/layer_0/self_attention/linear_0/bias"
    with pytest.raises(WeightsError, match=f"{name} has a bias for the keys"):
        ctranslate2.read(small_ctranslate2(variables={name: bias}))


def test_quantized_weights_are_refused_by_name(small_ctranslate2: WriteSmall) -> None:
    weight = np.zeros((8, 8), dtype=np.int8)
    name = "encoder/layer_0/self_attention/linear_1/weight"
    with pytest.raises(WeightsError, match=f"{name} is int8, so this model is quantized"):
        ctranslate2.read(small_ctranslate2(variables={name: weight}))


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"decoder/activation": np.array(0, np.int8)}, "decoder/activation is not 3"),
        ({"decoder/layer_1/strange": np.ones(2, np.float16)}, "layer_1/strange is not part of"),
        ({"encoder/num_heads": np.array(3, np.int16)}, "n_audio_state 8 is not a multiple of 3"),
        ({"encoder/num_heads": np.array(-1, np.int16)}, "n_audio_head is -1"),
        ({"encoder/num_heads": np.array(np.nan, np.float16)}, "no integer encoder/num_heads"),
        ({"decoder/ln": np.ones((1,) * 9, np.float16)}, "decoder/ln has 9 dimensions"),
        ({"decoder/ln": np.ones(0, np.float16)}, "decoder/ln is not part of"),
        ({"decoder/embeddings/weight": np.ones(4, np.float16)}, "embeddings/weight with 2 dim"),
        ({"decoder/layer_0/attention/linear_1/weight": np.ones((9, 8), np.float16)}, "has 9 rows"),
    ],
)
def test_a_network_that_is_not_whispers_is_refused(
    small_ctranslate2: WriteSmall, variables: dict[str, np.ndarray], message: str
) -> None:
    with pytest.raises(WeightsError, match=message):
        ctranslate2.read(small_ctranslate2(variables=variables))


def test_every_truncation_is_a_weights_error(small_ctranslate2: WriteSmall) -> None:
    folder = small_ctranslate2()
    content = (folder / "model.bin").read_bytes()
    for size in {*range(64), *range(64, len(content), 397), len(content) - 1}:
        (folder / "model.bin").write_bytes(content[:size])
        with pytest.raises(WeightsError, match=r"model\.bin"):
            ctranslate2.read(folder)


def test_a_flipped_bit_is_read_or_refused_but_never_a_crash(small_ctranslate2: WriteSmall) -> None:
    folder = small_ctranslate2()
    content = (folder / "model.bin").read_bytes()
    generator = np.random.default_rng(7)
    refused = 0
    for position in generator.integers(0, len(content), 250):
        damaged = bytearray(content)
        damaged[position] ^= 1 << int(generator.integers(8))
        (folder / "model.bin").write_bytes(damaged)
        try:
            validate(ctranslate2.read(folder))
        except WeightsError:
            refused += 1
    assert refused > 20


def test_counts_of_four_thousand_million_allocate_nothing(small_ctranslate2: WriteSmall) -> None:
    folder = small_ctranslate2()
    content = (folder / "model.bin").read_bytes()
    first_variable = 4 + 2 + len("WhisperSpec") + 1 + 4 + 4
    shape = first_variable + 2 + len("encoder/position_encodings/encodings") + 1 + 1
    for position in (first_variable - 4, shape, shape + 4 + 4 + 1):
        damaged = bytearray(content)
        struct.pack_into("<I", damaged, position, 0xFFFFFFFF)
        (folder / "model.bin").write_bytes(damaged)
        with pytest.raises(WeightsError, match=r"offset \d+"):
            ctranslate2.read(folder)


def test_bytes_after_the_end_are_refused(small_ctranslate2: WriteSmall) -> None:
    folder = small_ctranslate2()
    with (folder / "model.bin").open("ab") as stream:
        stream.write(b"more")
    with pytest.raises(WeightsError, match="4 bytes follow the end"):
        ctranslate2.read(folder)


def test_another_kind_of_file_is_refused(small_ctranslate2: WriteSmall) -> None:
    folder = small_ctranslate2()
    (folder / "model.bin").write_bytes(b"PK\x03\x04 a zip file, say, of some length")
    with pytest.raises(WeightsError, match="binary version 67324752, this program reads 6"):
        ctranslate2.read(folder)
    (folder / "model.bin").write_bytes(b"")
    with pytest.raises(WeightsError, match="is empty"):
        ctranslate2.read(folder)


@pytest.mark.parametrize("name", ["model.bin", "config.json", "tokenizer.json", "vocabulary.json"])
def test_a_missing_file_is_named(small_ctranslate2: WriteSmall, name: str) -> None:
    folder = small_ctranslate2()
    (folder / name).unlink()
    with pytest.raises(WeightsMissingError, match=name.replace(".", r"\.")):
        ctranslate2.read(folder)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("config.json", "{", "config.json is not valid JSON"),
        ("config.json", "[]", "config.json holds a list"),
        ("config.json", '{"alignment_heads": [[1, "a"]]}', "alignment_heads is not a list of"),
        ("tokenizer.json", "{}", "no table of token to id"),
        ("tokenizer.json", "[" * 100_000, "tokenizer.json is not valid JSON"),
        ("vocabulary.json", '["a", "b"]', "lists 2 tokens, the network has 258"),
        ("vocabulary.json", "{}", "is not a list of tokens"),
    ],
)
def test_a_damaged_side_file_is_named(
    small_ctranslate2: WriteSmall, name: str, content: str, message: str
) -> None:
    folder = small_ctranslate2()
    (folder / name).write_text(content, encoding="utf-8")
    with pytest.raises(WeightsError, match=message):
        ctranslate2.read(folder)


def test_a_vocabulary_as_text_is_as_good(small_ctranslate2: WriteSmall) -> None:
    folder = small_ctranslate2()
    listed = json.loads((folder / "vocabulary.json").read_text(encoding="utf-8"))
    (folder / "vocabulary.json").unlink()
    (folder / "vocabulary.txt").write_text("\n".join(listed) + "\n", encoding="utf-8")
    assert len(ctranslate2.read(folder).vocabulary) == 256
