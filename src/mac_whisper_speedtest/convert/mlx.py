"""The MLX form, as mlx-whisper loads it: ``weights.safetensors`` and ``config.json``.

`to_mlx` and `from_mlx` hold the layout, apart from the container, because lightning-whisper-mlx
wants the same arrays in a ``weights.npz``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np

from mac_whisper_speedtest.convert.checkpoint import (
    ENCODER_POSITIONS,
    Checkpoint,
    Dims,
    Tensor,
    check_dims,
    check_sinusoidal,
    expected_shapes,
    sinusoids,
)
from mac_whisper_speedtest.convert.cursor import parse_json_object, read_side_file
from mac_whisper_speedtest.convert.form import FLOAT16, FLOAT32, FormatCodec, Writer, cast, dtype_of
from mac_whisper_speedtest.errors import WeightsError, WeightsMissingError

WEIGHTS_NAME = "weights.safetensors"
CONFIG_NAME = "config.json"
_HEADS = "alignment_heads"
# safetensors' names for the types that these models have, and numpy's.
_KINDS = {"F16": FLOAT16, "F32": FLOAT32, "I64": "int64", "I32": "int32", "U32": "uint32"}
_CONVOLUTIONS = ("encoder.conv1.weight", "encoder.conv2.weight")


def mlx_name(name: str) -> str:
    """The name MLX gives to an OpenAI tensor: the two linears of an MLP are attributes there."""
    return name.replace(".mlp.0.", ".mlp1.").replace(".mlp.2.", ".mlp2.")


def to_mlx(checkpoint: Checkpoint, precision: str) -> dict[str, Tensor]:
    """A checkpoint's arrays as MLX stores them.

    Convolution weights become [out, kernel, in]; the encoder's positions are left out, because MLX
    computes them; ``alignment_heads`` is an int64 array of [heads, 2], absent where unknown (then
    mlx-whisper takes the upper half of the decoder).

    Raises:
        UsageError: an unknown precision.
        WeightsError: the encoder's positions are not the sines MLX would compute, or a value does
            not fit float16.
    """
    dtype = dtype_of(precision)
    check_sinusoidal(checkpoint.tensors[ENCODER_POSITIONS])
    arrays = {}
    for name, array in checkpoint.tensors.items():
        if name == ENCODER_POSITIONS:
            continue
        laid_out = array.transpose(0, 2, 1) if name in _CONVOLUTIONS else array
        arrays[mlx_name(name)] = np.ascontiguousarray(cast(name, laid_out, dtype))
    if checkpoint.alignment_heads:
        arrays[_HEADS] = np.array(checkpoint.alignment_heads, dtype="<i8")
    return arrays


def from_mlx(arrays: Mapping[str, Tensor], dims: Dims) -> Checkpoint:
    """The checkpoint in MLX's arrays; the encoder's positions are computed in float32.

    Raises:
        WeightsError: an array is missing, unexpected, or has another shape or type.
    """
    left = dict(arrays)
    heads = left.pop(_HEADS, np.empty((0, 2), dtype="<i8"))
    if heads.ndim != 2 or heads.shape[1] != 2 or heads.dtype.kind not in "iu":
        raise WeightsError(f"{_HEADS} has shape {list(heads.shape)}, expected integers [heads, 2]")
    tensors: dict[str, Tensor] = {}
    for name, shape in expected_shapes(dims).items():
        if name == ENCODER_POSITIONS:
            continue
        if mlx_name(name) not in left:
            raise WeightsError(f"the MLX weights have no array {mlx_name(name)}")
        array = left.pop(mlx_name(name))
        stored = (shape[0], shape[2], shape[1]) if name in _CONVOLUTIONS else shape
        if array.shape != stored:
            raise WeightsError(
                f"{mlx_name(name)} has shape {list(array.shape)}, expected {list(stored)}"
            )
        tensors[name] = array.transpose(0, 2, 1) if name in _CONVOLUTIONS else array
    for name in sorted(left):
        raise WeightsError(f"the MLX weights have an unexpected array {name}")
    # Last, when the width is known to be that of real arrays and not a damaged number.
    tensors[ENCODER_POSITIONS] = sinusoids(dims.n_audio_ctx, dims.n_audio_state)
    return Checkpoint(dims, tensors, (), tuple((int(layer), int(head)) for layer, head in heads))


def write(checkpoint: Checkpoint, directory: Path, precision: str = FLOAT16) -> None:
    """Write the two files into an existing folder.

    mlx-whisper computes in the precision it finds, so a float32 run needs float32 weights.

    Args:
        checkpoint: a validated checkpoint. Its vocabulary has no place in this form: mlx-whisper
            brings its own.
        directory: where to write.
        precision: ``float16`` or ``float32``.

    Raises:
        UsageError: an unknown precision.
        WeightsError: see `to_mlx`.
        OSError: a file cannot be written.
    """
    from safetensors.numpy import save_file

    save_file(to_mlx(checkpoint, precision), directory / WEIGHTS_NAME, {"format": "mlx"})
    write_config(checkpoint.dims, directory)


def write_config(dims: Dims, directory: Path) -> None:
    """Write ``config.json``; raises OSError where that cannot be."""
    config = {**asdict(dims), "model_type": "whisper"}
    (directory / CONFIG_NAME).write_text(json.dumps(config, indent=4) + "\n", encoding="utf-8")


def read(directory: Path) -> Checkpoint:
    """Read an unquantized MLX Whisper model stored as safetensors.

    Raises:
        WeightsMissingError: one of the two files does not exist.
        WeightsError: a file is damaged, the weights are quantized, or they are not Whisper's.
    """
    from safetensors import SafetensorError, safe_open

    dims = read_config(directory / CONFIG_NAME)
    path = directory / WEIGHTS_NAME
    arrays: dict[str, Tensor] = {}
    try:
        with safe_open(path, framework="numpy") as stored:
            for name in stored.keys():  # noqa: SIM118 - safe_open is not a mapping
                kind = stored.get_slice(name).get_dtype()
                check_kind(name, _KINDS.get(kind, kind), path.name)
                arrays[name] = stored.get_tensor(name)
    except FileNotFoundError as error:
        raise WeightsMissingError(f"there is no file {path}") from error
    except (SafetensorError, OSError, TypeError, ValueError) as error:
        raise WeightsError(
            f"{path.name} cannot be read: {error}",
            hint="the file is damaged or incomplete; fetch or convert it again",
        ) from error
    return from_mlx(arrays, dims)


def check_kind(name: str, kind: str, file: str) -> None:
    """Refuse an array of a type (numpy's name for it) that an unquantized model does not have.

    Raises:
        WeightsError: it has such a type.
    """
    allowed = ("int64", "int32", "uint32") if name == _HEADS else (FLOAT16, FLOAT32)
    if kind not in allowed:
        raise WeightsError(f"{file}: {name} is {kind}, expected {' or '.join(allowed)}")


def read_config(path: Path) -> Dims:
    """The sizes in ``config.json``.

    Raises:
        WeightsMissingError: it does not exist.
        WeightsError: it is damaged, or says that the weights are quantized.
    """
    config: dict[str, Any] = parse_json_object(read_side_file(path), path.name)
    if config.get("quantization") is not None:
        raise WeightsError(
            f"{path.name}: these weights are quantized and the original values are gone",
            hint="convert from the float16 or float32 model",
        )
    names = [item.name for item in fields(Dims)]
    for name in names:
        if type(config.get(name)) is not int:
            raise WeightsError(f"{path.name}: {name} is {config.get(name)!r}, expected an integer")
    dims = Dims(**{name: config[name] for name in names})
    check_dims(dims, path.name)
    return dims


def form(
    name: str,
    weights_name: str,
    read_form: Callable[[Path], Checkpoint],
    write_form: Callable[[Checkpoint, Path, str], None],
) -> FormatCodec:
    """A form that holds MLX's arrays in the file ``weights_name``, beside ``config.json``."""

    def files(path: Path) -> tuple[Path, ...]:
        return path / weights_name, path / CONFIG_NAME

    return FormatCodec(
        name=name,
        file_names=(weights_name, CONFIG_NAME),
        looks_like=f"a folder with {weights_name} and {CONFIG_NAME}",
        detect=lambda path: all(file.is_file() for file in files(path)),
        files=files,
        read=read_form,
        writer=Writer(
            precisions=(FLOAT16, FLOAT32),
            write=write_form,
            stored_dtype=lambda _name, _shape, precision: dtype_of(precision),
        ),
        carries_vocabulary=False,
        carries_alignment_heads=True,
        recomputes=frozenset({ENCODER_POSITIONS}),
    )


FORM = form("mlx", WEIGHTS_NAME, read, write)
