"""The MLX format, as mlx-whisper loads it: ``weights.safetensors`` and ``config.json``.

`to_mlx` and `from_mlx` define the arrays separately from the container, because
lightning-whisper-mlx loads the same arrays from a ``weights.npz``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from mac_whisper_speedtest.convert import safetensors_file
from mac_whisper_speedtest.convert.checkpoint import (
    ENCODER_POSITIONS,
    Checkpoint,
    Dims,
    Tensor,
    check_sinusoidal,
    dims_from,
    expected_shapes,
    sinusoids,
)
from mac_whisper_speedtest.convert.codec import (
    FLOAT16,
    FLOAT32,
    FormatCodec,
    StoredArray,
    dtype_of,
    plain_writer,
    stored_arrays,
)
from mac_whisper_speedtest.convert.cursor import (
    parse_json_object,
    read_side_file,
    refuse_quantized,
)
from mac_whisper_speedtest.errors import WeightsError

WEIGHTS_NAME = "weights.safetensors"
CONFIG_NAME = "config.json"
_HEADS = "alignment_heads"
# safetensors' and numpy's names for the types in these models.
_KINDS = {"F16": FLOAT16, "F32": FLOAT32, "I64": "int64", "I32": "int32", "U32": "uint32"}
_CONVOLUTIONS = ("encoder.conv1.weight", "encoder.conv2.weight")


def mlx_name(name: str) -> str:
    """MLX's name of an OpenAI tensor: the two linears of an MLP are attributes there."""
    return name.replace(".mlp.0.", ".mlp1.").replace(".mlp.2.", ".mlp2.")


def to_mlx(checkpoint: Checkpoint, precision: str) -> dict[str, StoredArray]:
    """A checkpoint's arrays as MLX stores them, each computed when it is written.

    Convolution weights become [out, kernel, in]; the encoder's positions are omitted, because MLX
    computes them; ``alignment_heads`` is an int64 array of [heads, 2], absent if unknown (then
    mlx-whisper uses the upper half of the decoder).

    Raises:
        UsageError: an unknown precision.
        WeightsError: the encoder's positions are not the sines MLX would compute.
    """
    dtype = dtype_of(precision)
    check_sinusoidal(checkpoint.tensors[ENCODER_POSITIONS])
    tensors = stored_arrays(checkpoint, dtype, dict.fromkeys(_CONVOLUTIONS, (0, 2, 1)))
    del tensors[ENCODER_POSITIONS]
    arrays = {mlx_name(name): array for name, array in tensors.items()}
    if checkpoint.alignment_heads:
        heads = np.array(checkpoint.alignment_heads, dtype="<i8")
        arrays[_HEADS] = StoredArray(_HEADS, heads.dtype, heads.shape, lambda: heads)
    return arrays


def from_mlx(arrays: Mapping[str, Tensor], dims: Dims) -> Checkpoint:
    """The checkpoint of MLX's arrays; the encoder's positions are computed in float32.

    Raises:
        WeightsError: an array is missing, unexpected, or has another shape or type.
    """
    rest = dict(arrays)
    heads = rest.pop(_HEADS, np.empty((0, 2), dtype="<i8"))
    if heads.ndim != 2 or heads.shape[1] != 2 or heads.dtype.kind not in "iu":
        raise WeightsError(f"{_HEADS} has shape {list(heads.shape)}, expected integers [heads, 2]")
    tensors: dict[str, Tensor] = {}
    for name, shape in expected_shapes(dims).items():
        if name == ENCODER_POSITIONS:
            continue
        if mlx_name(name) not in rest:
            raise WeightsError(f"the MLX weights have no array {mlx_name(name)}")
        array = rest.pop(mlx_name(name))
        stored = (shape[0], shape[2], shape[1]) if name in _CONVOLUTIONS else shape
        if array.shape != stored:
            raise WeightsError(
                f"{mlx_name(name)} has shape {list(array.shape)}, expected {list(stored)}"
            )
        tensors[name] = array.transpose(0, 2, 1) if name in _CONVOLUTIONS else array
    for name in sorted(rest):
        raise WeightsError(f"the MLX weights have an unexpected array {name}")
    # Last, because only now the width is known to match real arrays.
    tensors[ENCODER_POSITIONS] = sinusoids(dims.n_audio_ctx, dims.n_audio_state)
    return Checkpoint(dims, tensors, (), tuple((int(layer), int(head)) for layer, head in heads))


def write(checkpoint: Checkpoint, directory: Path, precision: str = FLOAT16) -> None:
    """Write the two files into an existing folder.

    mlx-whisper computes in the stored precision, so a float32 run needs float32 weights. The
    vocabulary is not stored: it ships its own.
    """
    arrays = to_mlx(checkpoint, precision)
    safetensors_file.write(directory / WEIGHTS_NAME, arrays, {"format": "mlx"})
    write_config(checkpoint.dims, directory)


def write_config(dims: Dims, directory: Path) -> None:
    """Write ``config.json``. Raises OSError if it cannot be written."""
    config = {**asdict(dims), "model_type": "whisper"}
    (directory / CONFIG_NAME).write_text(json.dumps(config, indent=4) + "\n", encoding="utf-8")


def read(directory: Path) -> Checkpoint:
    """The checkpoint of an unquantized MLX Whisper model stored as safetensors."""
    dims = read_config(directory / CONFIG_NAME)
    arrays = safetensors_file.read(
        directory / WEIGHTS_NAME,
        lambda name, kind: check_kind(name, _KINDS.get(kind, kind), WEIGHTS_NAME),
    )
    return from_mlx(arrays, dims)


def check_kind(name: str, kind: str, file: str) -> None:
    """Raise WeightsError for a type (numpy's name) that an unquantized model does not have."""
    allowed = ("int64", "int32", "uint32") if name == _HEADS else (FLOAT16, FLOAT32)
    if kind not in allowed:
        raise WeightsError(f"{file}: {name} is {kind}, expected {' or '.join(allowed)}")


def read_config(path: Path) -> Dims:
    """The sizes in ``config.json``.

    Raises:
        WeightsMissingError: it does not exist.
        WeightsError: it is damaged, or the weights are quantized.
    """
    config: dict[str, Any] = parse_json_object(read_side_file(path), path.name)
    refuse_quantized(config.get("quantization"), path.name)
    return dims_from(config, path.name)


def mlx_codec(
    name: str,
    weights_name: str,
    read: Callable[[Path], Checkpoint],
    write: Callable[[Checkpoint, Path, str], None],
) -> FormatCodec:
    """A format with MLX's arrays in the file ``weights_name``, beside ``config.json``."""

    def files(path: Path) -> tuple[Path, ...]:
        return path / weights_name, path / CONFIG_NAME

    return FormatCodec(
        name=name,
        file_names=(weights_name, CONFIG_NAME),
        looks_like=f"a folder with {weights_name} and {CONFIG_NAME}",
        detect=lambda path: all(file.is_file() for file in files(path)),
        files=files,
        read=read,
        writer=plain_writer(write),
        carries_vocabulary=False,
        carries_alignment_heads=True,
        recomputes=frozenset({ENCODER_POSITIONS}),
    )


FORMAT = mlx_codec("mlx", WEIGHTS_NAME, read, write)
