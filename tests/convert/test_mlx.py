from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from mac_whisper_speedtest.convert import mlx
from mac_whisper_speedtest.convert.checkpoint import Checkpoint, network_sha256, validate
from mac_whisper_speedtest.convert.record import ConversionRecord
from mac_whisper_speedtest.errors import WeightsError, WeightsMissingError

CONVOLUTIONS = ("encoder.conv1.weight", "encoder.conv2.weight")
# The fields of mlx_whisper.whisper.ModelDimensions 0.4.3, which is made from config.json as it is.
DIMENSIONS = (
    "n_mels n_audio_ctx n_audio_state n_audio_head n_audio_layer "
    "n_vocab n_text_ctx n_text_state n_text_head n_text_layer"
)


class Converted(Protocol):
    @property
    def folder(self) -> Path: ...
    @property
    def record(self) -> ConversionRecord: ...


def test_every_array_holds_the_sources_values_bit_for_bit(
    tiny_en_checkpoint: Checkpoint, tiny_en_mlx: Converted
) -> None:
    arrays = load_file(tiny_en_mlx.folder / "weights.safetensors")
    heads = arrays.pop("alignment_heads")
    assert heads.dtype == np.int64
    assert [tuple(pair) for pair in heads.tolist()] == list(tiny_en_checkpoint.alignment_heads)
    assert {array.dtype.name for array in arrays.values()} == {"float16"}
    for name, source in tiny_en_checkpoint.tensors.items():
        if name == "encoder.positional_embedding":
            continue
        found = arrays.pop(name.replace("mlp.0", "mlp1").replace("mlp.2", "mlp2"))
        if name in CONVOLUTIONS:
            assert found.shape == (384, 3, source.shape[1])
            found = np.swapaxes(found, 1, 2)
        assert found.tobytes() == source.tobytes(), name
    assert not arrays


def test_the_config_is_what_mlx_whisper_unpacks(tiny_en_mlx: Converted) -> None:
    config = json.loads((tiny_en_mlx.folder / "config.json").read_text(encoding="utf-8"))
    assert config.pop("model_type") == "whisper"
    assert list(config) == DIMENSIONS.split()
    assert list(config.values()) == [80, 1500, 384, 6, 4, 51864, 448, 384, 6, 4]


def test_our_reader_finds_the_same_network(
    tiny_en_checkpoint: Checkpoint, tiny_en_mlx: Converted
) -> None:
    found = mlx.read(tiny_en_mlx.folder)
    validate(found)
    assert network_sha256(found) == tiny_en_mlx.record.source_network_sha256
    assert found.alignment_heads == tiny_en_checkpoint.alignment_heads


def test_recomputed_positions_are_the_stored_ones_before_rounding(
    tiny_en_checkpoint: Checkpoint, tiny_en_mlx: Converted
) -> None:
    name = "encoder.positional_embedding"
    recomputed = mlx.read(tiny_en_mlx.folder).tensors[name]
    assert recomputed.dtype == np.float32
    stored = tiny_en_checkpoint.tensors[name].astype(np.float32)
    # Half a float16 step below 1 is 0.00024; OpenAI's float32 angles add up to 0.0001.
    assert float(np.abs(recomputed - stored).max()) < 0.0004


def test_mlx_whisper_loads_the_folder(tiny_en_mlx: Converted) -> None:
    if find_spec("mlx") is None or find_spec("mlx_whisper") is None:
        pytest.skip("mlx-whisper is not installed")
    program = (
        "import sys, mlx.core as mx\n"
        "from mlx_whisper.load_models import load_model\n"
        "model = load_model(sys.argv[1], mx.float16)\n"
        "print(model.dims.n_vocab, model.encoder.conv1.weight.shape, model.alignment_heads.shape)\n"
    )
    command = [sys.executable, "-c", program, str(tiny_en_mlx.folder)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert ended.returncode == 0, ended.stderr[-2000:]
    assert ended.stdout.strip() == "51864 (384, 3, 80) (8, 2)"


@pytest.mark.parametrize("precision", ["float16", "float32"])
def test_both_precisions_are_read_back_exactly(
    small: Checkpoint, tmp_path: Path, precision: str
) -> None:
    mlx.write(small, tmp_path, precision)
    found = mlx.read(tmp_path)
    for name in set(small.tensors) - {"encoder.positional_embedding"}:
        assert found.tensors[name].dtype.name == precision
        assert np.array_equal(found.tensors[name], small.tensors[name].astype(precision))


@pytest.mark.parametrize("precision", ["float16", "float32"])
def test_the_file_has_the_bytes_that_the_library_writes(
    small: Checkpoint, tmp_path: Path, precision: str
) -> None:
    mlx.write(small, tmp_path, precision)
    arrays = load_file(tmp_path / "weights.safetensors")
    assert "alignment_heads" in arrays  # of another type, so it comes first
    save_file(arrays, tmp_path / "library.safetensors", {"format": "mlx"})
    written, expected = (tmp_path / f"{name}.safetensors" for name in ("weights", "library"))
    assert written.read_bytes() == expected.read_bytes()


def test_unknown_alignment_heads_are_left_to_mlx_whisper(small: Checkpoint, tmp_path: Path) -> None:
    mlx.write(replace(small, alignment_heads=()), tmp_path)
    assert "alignment_heads" not in load_file(tmp_path / "weights.safetensors")
    assert mlx.read(tmp_path).alignment_heads == ()


def test_positions_that_mlx_would_not_recompute_are_refused(
    small: Checkpoint, tmp_path: Path
) -> None:
    trained = small.tensors["encoder.positional_embedding"] + np.float16(0.01)
    tensors = {**small.tensors, "encoder.positional_embedding": trained}
    with pytest.raises(WeightsError, match="positions are not Whisper's table of sines"):
        mlx.write(replace(small, tensors=tensors), tmp_path)


def test_every_truncation_is_a_weights_error(small: Checkpoint, tmp_path: Path) -> None:
    mlx.write(small, tmp_path)
    path = tmp_path / "weights.safetensors"
    content = path.read_bytes()
    for size in {*range(0, 64, 3), *range(64, len(content), 997), len(content) - 1}:
        path.write_bytes(content[:size])
        with pytest.raises(WeightsError, match=r"weights\.safetensors cannot be read"):
            mlx.read(tmp_path)


def test_a_flipped_bit_is_read_or_refused_but_never_a_crash(
    small: Checkpoint, tmp_path: Path
) -> None:
    mlx.write(small, tmp_path)
    path = tmp_path / "weights.safetensors"
    content = path.read_bytes()
    header = 8 + int.from_bytes(content[:8], "little")
    generator = np.random.default_rng(11)
    refused = 0
    for place in [*range(8), *generator.integers(8, header, 200).tolist()]:
        damaged = bytearray(content)
        damaged[place] ^= 1 << int(generator.integers(8))
        path.write_bytes(damaged)
        try:
            validate(mlx.read(tmp_path))
        except WeightsError:
            refused += 1
    assert refused > 180


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"decoder.ln.bias": None}, r"no array decoder\.ln\.bias"),
        ({"extra": np.ones(2, np.float16)}, "unexpected array extra"),
        ({"encoder.conv1.weight": np.ones((8, 80, 3), np.float16)}, r"\[8, 80, 3\], expected"),
        (
            {"decoder.ln.bias": np.ones(8, np.int32)},
            r"decoder\.ln\.bias is int32, expected float16",
        ),
        ({"alignment_heads": np.ones(3, np.int64)}, "alignment_heads has shape"),
        (
            {"alignment_heads": np.ones((3, 2), np.float32)},
            "alignment_heads is float32, expected int64",
        ),
    ],
)
def test_other_arrays_than_whispers_are_refused(
    small: Checkpoint, tmp_path: Path, change: dict[str, np.ndarray | None], message: str
) -> None:
    mlx.write(small, tmp_path)
    path = tmp_path / "weights.safetensors"
    changed = {**load_file(path), **change}
    save_file({name: array for name, array in changed.items() if array is not None}, path)
    with pytest.raises(WeightsError, match=message):
        mlx.read(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"quantization": {"bits": 4, "group_size": 64}}, "these weights are quantized"),
        ({"n_mels": "80"}, "n_mels is '80', expected an integer"),
        ({"n_text_layer": 10**9}, "n_text_layer is 1000000000, expected 1 to 512"),
        ({"n_audio_ctx": 10**6}, "n_audio_ctx is 1000000, expected 1 to 16384"),
    ],
)
def test_another_config_is_refused(
    small: Checkpoint, tmp_path: Path, change: dict[str, object], message: str
) -> None:
    mlx.write(small, tmp_path)
    path = tmp_path / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**config, **change}), encoding="utf-8")
    with pytest.raises(WeightsError, match=message):
        mlx.read(tmp_path)


@pytest.mark.parametrize("name", ["weights.safetensors", "config.json"])
def test_a_missing_file_is_named(small: Checkpoint, tmp_path: Path, name: str) -> None:
    mlx.write(small, tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(WeightsMissingError, match=name.replace(".", r"\.")):
        mlx.read(tmp_path)
