from __future__ import annotations

import hashlib
import struct
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import numpy as np
import pytest

from mac_whisper_speedtest.convert import ggml
from mac_whisper_speedtest.convert.checkpoint import Checkpoint, network_sha256, validate
from mac_whisper_speedtest.convert.record import ConversionRecord
from mac_whisper_speedtest.errors import UsageError, WeightsError, WeightsMissingError

# What whisper.cpp's models/README.md gives for the tiny.en file that the project distributes.
UPSTREAM_SHA1 = "c78c86eb1a8faa21b369bcd33207cc90d64ae9df"


class Converted(Protocol):
    @property
    def folder(self) -> Path: ...
    @property
    def record(self) -> ConversionRecord: ...


def parse(path: Path) -> tuple[list[int], list[bytes], dict[str, np.ndarray]]:
    """A reader of its own, from the format's description: (header, tokens, tensors)."""
    content, at = path.read_bytes(), 0

    def integers(count: int) -> list[int]:
        nonlocal at
        at += 4 * count
        return list(struct.unpack_from(f"<{count}i", content, at - 4 * count))

    header = integers(12)
    rows, columns = integers(2)
    at += 4 * rows * columns
    tokens, tensors = [], {}
    for _ in range(integers(1)[0]):
        (length,) = integers(1)
        tokens.append(content[at : at + length])
        at += length
    while at < len(content):
        rank, length, kind = integers(3)
        shape = integers(rank)[::-1]
        name = content[at : at + length].decode()
        at += length
        count = int(np.prod(shape))
        tensors[name] = np.frombuffer(content, "<f2" if kind else "<f4", count, at).reshape(shape)
        at += tensors[name].nbytes
    return header, tokens, tensors


def test_tiny_en_is_the_very_file_that_whisper_cpp_distributes(tiny_en_ggml: Converted) -> None:
    content = (tiny_en_ggml.folder / "ggml-model.bin").read_bytes()
    assert len(content) == 77_704_715
    assert hashlib.sha1(content, usedforsecurity=False).hexdigest() == UPSTREAM_SHA1


def test_every_tensor_holds_the_sources_values_bit_for_bit(
    tiny_en_checkpoint: Checkpoint, tiny_en_ggml: Converted
) -> None:
    header, tokens, tensors = parse(tiny_en_ggml.folder / "ggml-model.bin")
    assert header == [0x67676D6C, 51864, 1500, 384, 6, 4, 448, 384, 6, 4, 80, 1]
    assert tokens == [*tiny_en_checkpoint.vocabulary, b"<|endoftext|>"]
    assert set(tensors) == set(tiny_en_checkpoint.tensors)
    for name, source in tiny_en_checkpoint.tensors.items():
        widened = source.ndim == 1 or name.endswith("positional_embedding")
        assert tensors[name].dtype == (np.float32 if widened else np.float16), name
        # float32 of a float16 value is exact, so its bytes say as much as the original's.
        assert tensors[name].tobytes() == source.astype(tensors[name].dtype).tobytes(), name


def test_our_reader_finds_the_same_network(
    tiny_en_checkpoint: Checkpoint, tiny_en_ggml: Converted
) -> None:
    found = ggml.read(tiny_en_ggml.folder)
    validate(found)
    assert network_sha256(found) == tiny_en_ggml.record.source_network_sha256
    assert found.vocabulary == tiny_en_checkpoint.vocabulary


def test_the_real_file_cut_anywhere_is_a_weights_error(
    tiny_en_ggml: Converted, tmp_path: Path
) -> None:
    cut = tmp_path / "cut.bin"
    cut.write_bytes((tiny_en_ggml.folder / "ggml-model.bin").read_bytes())
    sizes = np.random.default_rng(3).integers(1, cut.stat().st_size, 4)
    for size in sorted(sizes.tolist(), reverse=True):
        with cut.open("r+b") as stream:
            stream.truncate(size)
        with pytest.raises(WeightsError, match=r"cut\.bin, offset \d+"):
            ggml.read(cut)


def test_whisper_cpp_loads_the_file(tiny_en_ggml: Converted) -> None:
    pytest.importorskip("pywhispercpp")
    # In a process of its own: whisper.cpp ends the process over a file it does not like.
    program = (
        "import sys, _pywhispercpp as w\n"
        "given = w.whisper_context_default_params()\n"
        "context = w.whisper_init_from_file_with_params(sys.argv[1], given)\n"
        "print(w.whisper_n_vocab(context), w.whisper_n_text_ctx(context), "
        "w.whisper_is_multilingual(context), w.whisper_token_to_str(context, 50255))\n"
    )
    command = [sys.executable, "-c", program, str(tiny_en_ggml.folder / "ggml-model.bin")]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stderr[-2000:]
    assert ended.stdout.split() == ["51864", "448", "0", "gazed"]


@pytest.mark.parametrize("precision", ["float16", "float32"])
def test_both_precisions_are_read_back_exactly(
    small: Checkpoint, tmp_path: Path, precision: str
) -> None:
    path = tmp_path / "small.bin"
    ggml.write(small, path, precision)
    for found in (ggml.read(path).tensors, _in_source_shape(parse(path)[2])):
        assert set(found) == set(small.tensors)
        for name, source in small.tensors.items():
            assert found[name].tobytes() == source.astype(found[name].dtype).tobytes(), name
    kinds = {array.dtype.name for array in ggml.read(path).tensors.values()}
    assert kinds == ({"float16", "float32"} if precision == "float16" else {"float32"})
    assert network_sha256(ggml.read(path)) == network_sha256(small)


def _in_source_shape(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    assert tensors["encoder.conv1.bias"].shape == (8, 1)
    return tensors


def test_a_multilingual_file_lists_no_end_of_text(small: Checkpoint, tmp_path: Path) -> None:
    path = tmp_path / "multilingual.bin"
    embedding = np.zeros((51865, 8), dtype=np.float16)
    tensors = {**small.tensors, "decoder.token_embedding.weight": embedding}
    multilingual = replace(small, dims=replace(small.dims, n_vocab=51865), tensors=tensors)
    ggml.write(multilingual, path)
    assert parse(path)[1] == list(small.vocabulary)
    assert ggml.read(path).vocabulary == small.vocabulary


def test_every_truncation_is_a_weights_error(small: Checkpoint, tmp_path: Path) -> None:
    path = tmp_path / "small.bin"
    ggml.write(small, path)
    content = path.read_bytes()
    tokens = 48 + 8 + 4 * 80 * 201
    for size in {*range(1, 64), *range(64, tokens, 9973), *range(tokens, len(content), 151)}:
        path.write_bytes(content[:size])
        with pytest.raises(WeightsError, match=r"small\.bin, offset \d+"):
            ggml.read(path)


def test_a_flipped_bit_is_read_or_refused_but_never_a_crash(
    small: Checkpoint, tmp_path: Path
) -> None:
    path = tmp_path / "small.bin"
    ggml.write(small, path)
    content = path.read_bytes()
    tokens = 48 + 8 + 4 * 80 * 201
    generator = np.random.default_rng(5)
    places = [*range(48), *generator.integers(tokens, len(content), 200).tolist()]
    refused_header = 0
    for place in places:
        damaged = bytearray(content)
        damaged[place] ^= 1 << int(generator.integers(8))
        path.write_bytes(damaged)
        try:
            validate(ggml.read(path))
        except WeightsError:
            refused_header += place < 48
    # Of the header only a head count that still divides the width goes unseen: no shape shows it.
    assert refused_header >= 44


def test_a_huge_count_allocates_nothing(small: Checkpoint, tmp_path: Path) -> None:
    path = tmp_path / "small.bin"
    ggml.write(small, path)
    content = path.read_bytes()
    tokens = 48 + 8 + 4 * 80 * 201
    for place in (4, 8, 20, 40, 48, tokens, tokens + 4):
        for value in (0x7FFFFFFF, -1, 0):
            damaged = bytearray(content)
            struct.pack_into("<i", damaged, place, value)
            path.write_bytes(damaged)
            if (place, value) == (tokens + 4, 0):
                continue  # an empty token is allowed; what follows is then misread
            with pytest.raises(WeightsError):
                ggml.read(path)


def test_other_mel_filters_are_refused(small: Checkpoint, tmp_path: Path) -> None:
    path = tmp_path / "small.bin"
    ggml.write(small, path)
    content = bytearray(path.read_bytes())
    struct.pack_into("<f", content, 56 + 4 * 50, 0.5)
    path.write_bytes(content)
    with pytest.raises(WeightsError, match="mel filters are not Whisper's"):
        ggml.read(path)


def test_a_quantized_file_is_refused(small: Checkpoint, tmp_path: Path) -> None:
    path = tmp_path / "small.bin"
    ggml.write(small, path)
    content = bytearray(path.read_bytes())
    struct.pack_into("<i", content, 44, 2009)  # q5_1, quantization version 2
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"type 2009 is q5_1.*the original values are gone"):
        ggml.read(path)


def test_a_file_without_its_last_tensor_is_refused(small: Checkpoint, tmp_path: Path) -> None:
    path = tmp_path / "small.bin"
    ggml.write(small, path)
    last = 3 * 4 + 4 + len("encoder.ln_post.bias") + 8 * 4
    path.write_bytes(path.read_bytes()[:-last])
    with pytest.raises(WeightsError, match=r"ends without tensor encoder\.ln_post\.bias"):
        ggml.read(path)


def test_a_checkpoint_without_a_vocabulary_is_refused(small: Checkpoint, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="needs the vocabulary"):
        ggml.write(replace(small, vocabulary=()), tmp_path / "small.bin")
    assert not (tmp_path / "small.bin").exists()


def test_an_unknown_precision_is_a_usage_error(small: Checkpoint, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="'int8' is not one of float16, float32"):
        ggml.write(small, tmp_path / "small.bin", "int8")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsMissingError, match=r"ggml-model\.bin"):
        ggml.read(tmp_path)
