"""The transformers form: ``model.safetensors`` and the JSON files that a pipeline loads with it."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from mac_whisper_speedtest.convert.checkpoint import (
    Checkpoint,
    Dims,
    Tensor,
    check_dims,
    expected_shapes,
)
from mac_whisper_speedtest.convert.cursor import parse_json_object, read_side_file
from mac_whisper_speedtest.convert.decoding import alignment_heads, token_ids
from mac_whisper_speedtest.convert.form import Form, Writer
from mac_whisper_speedtest.convert.huggingface_files import SIDE_FILES, side_files
from mac_whisper_speedtest.convert.precision import FLOAT16, FLOAT32, cast, dtype_of
from mac_whisper_speedtest.convert.vocabulary import base_vocabulary
from mac_whisper_speedtest.errors import WeightsError, WeightsMissingError

WEIGHTS_NAME = "model.safetensors"
_CONFIG, _GENERATION, _TOKENIZER = "config.json", "generation_config.json", "tokenizer.json"
_EMBEDDING = "model.decoder.embed_tokens.weight"
_TIED = "proj_out.weight"
_CONFIG_KEYS = {
    "n_mels": "num_mel_bins",
    "n_audio_ctx": "max_source_positions",
    "n_audio_state": "d_model",
    "n_audio_head": "encoder_attention_heads",
    "n_audio_layer": "encoder_layers",
    "n_vocab": "vocab_size",
    "n_text_ctx": "max_target_positions",
    "n_text_state": "d_model",
    "n_text_head": "decoder_attention_heads",
    "n_text_layer": "decoder_layers",
}
# OpenAI's words and transformers' (modeling_whisper.py), in the order in which they are replaced.
_WORDS = (
    ("positional_embedding", "embed_positions.weight"),
    ("token_embedding", "embed_tokens"),
    (".blocks.", ".layers."),
    (".cross_attn_ln.", ".encoder_attn_layer_norm."),
    (".attn_ln.", ".self_attn_layer_norm."),
    (".mlp_ln.", ".final_layer_norm."),
    (".cross_attn.", ".encoder_attn."),
    (".attn.", ".self_attn."),
    (".query.", ".q_proj."),
    (".key.", ".k_proj."),
    (".value.", ".v_proj."),
    (".out.", ".out_proj."),
    (".mlp.0.", ".fc1."),
    (".mlp.2.", ".fc2."),
    ("decoder.ln.", "decoder.layer_norm."),
    ("encoder.ln_post.", "encoder.layer_norm."),
)


def huggingface_name(name: str) -> str:
    """The name that transformers gives to an OpenAI tensor."""
    for ours, theirs in _WORDS:
        name = name.replace(ours, theirs)
    return f"model.{name}"


def write(checkpoint: Checkpoint, directory: Path, precision: str = FLOAT16) -> None:
    """Write all that ``transformers.pipeline`` loads without a network into an existing folder.

    The output projection is the token embedding and not stored, as in the published models.

    Args:
        checkpoint: a validated checkpoint with a ``tokenizer.json`` among its assets.
        directory: where to write.
        precision: ``float16`` or ``float32``; transformers computes in what it finds.

    Raises:
        UsageError: an unknown precision.
        WeightsError: there is no tokenizer.json, it lacks a token, or a value does not fit float16.
        OSError: a file cannot be written.
    """
    from safetensors.numpy import save_file

    dtype = dtype_of(precision)
    for name, content in side_files(checkpoint, precision).items():
        (directory / name).write_bytes(content)
    arrays = {  # row-major, because safetensors writes memory as it lies
        huggingface_name(name): np.ascontiguousarray(cast(name, array, dtype))
        for name, array in checkpoint.tensors.items()
    }
    save_file(arrays, directory / WEIGHTS_NAME, {"format": "pt"})


def read(directory: Path) -> Checkpoint:
    """Read an unquantised Whisper model of transformers, in one safetensors file.

    Raises:
        WeightsMissingError: the weights, config.json or tokenizer.json do not exist.
        WeightsError: a file is damaged, the weights are bfloat16 (which numpy does not have) or
            quantised, or they are not Whisper's.
    """
    assets = {item.name: read_side_file(item) for item in files(directory)[1:]}
    dims = _dims(parse_json_object(assets[_CONFIG], _CONFIG))
    generation = parse_json_object(assets.get(_GENERATION, b"{}"), _GENERATION)
    return Checkpoint(
        dims,
        _tensors(directory / WEIGHTS_NAME, dims),
        base_vocabulary(assets[_TOKENIZER]),
        alignment_heads(generation, _GENERATION),
        token_ids(generation, "suppress_tokens", _GENERATION),
        token_ids(generation, "begin_suppress_tokens", _GENERATION),
        {_TOKENIZER: assets[_TOKENIZER]},
    )


def files(directory: Path) -> tuple[Path, ...]:
    """The weights and the side files there are; raises WeightsMissingError for a needed one."""
    for name in (WEIGHTS_NAME, _CONFIG, _TOKENIZER):
        if not (directory / name).is_file():
            raise WeightsMissingError(f"there is no file {directory / name}")
    present = [directory / name for name in SIDE_FILES if (directory / name).is_file()]
    return (directory / WEIGHTS_NAME, *present)


def _dims(config: dict[str, Any]) -> Dims:
    if config.get("quantization_config") is not None:
        raise WeightsError(
            f"{_CONFIG}: these weights are quantised and the original values are gone",
            hint="convert from the float16 or float32 model",
        )
    for key in _CONFIG_KEYS.values():
        if type(config.get(key)) is not int:
            raise WeightsError(f"{_CONFIG}: {key} is {config.get(key)!r}, expected an integer")
    dims = Dims(**{item.name: config[_CONFIG_KEYS[item.name]] for item in fields(Dims)})
    check_dims(dims, _CONFIG)
    return dims


def _tensors(path: Path, dims: Dims) -> dict[str, Tensor]:
    from safetensors import SafetensorError, safe_open

    arrays: dict[str, Tensor] = {}
    try:
        with safe_open(path, framework="numpy") as stored:
            for name in stored.keys():  # noqa: SIM118 - safe_open is not a mapping
                kind = stored.get_slice(name).get_dtype()
                if kind not in ("F16", "F32"):
                    raise WeightsError(
                        f"{path.name}: {name} is {kind}, expected F16 or F32",
                        hint="convert from the float16 or float32 model",
                    )
                arrays[name] = stored.get_tensor(name)
    except (SafetensorError, OSError, TypeError, ValueError) as error:
        raise WeightsError(
            f"{path.name} cannot be read: {error}",
            hint="the file is damaged or incomplete; fetch or convert it again",
        ) from error
    projection = arrays.pop(_TIED, None)
    if projection is not None and not np.array_equal(projection, arrays.get(_EMBEDDING, 0)):
        raise WeightsError(f"{path.name}: the output projection is not the token embedding")
    tensors: dict[str, Tensor] = {}
    for name in expected_shapes(dims):
        theirs = huggingface_name(name)
        if theirs not in arrays:
            raise WeightsError(f"{path.name} has no tensor {theirs}")
        tensors[name] = arrays.pop(theirs)
    for name in sorted(arrays):
        raise WeightsError(f"{path.name}: tensor {name} is not part of a Whisper network")
    return tensors


def detect(path: Path) -> bool:
    """Whether a folder holds this form."""
    return (path / WEIGHTS_NAME).is_file() and (path / _CONFIG).is_file()


FORM = Form(
    name="huggingface",
    file_names=(WEIGHTS_NAME, *SIDE_FILES),
    looks_like=f"a folder with {WEIGHTS_NAME} and {_CONFIG}",
    detect=detect,
    files=files,
    read=read,
    writer=Writer(
        precisions=(FLOAT16, FLOAT32),
        write=write,
        stored_dtype=lambda _name, _shape, precision: dtype_of(precision),
    ),
    carries_vocabulary=True,
    carries_alignment_heads=True,
    carries_suppressed_tokens=True,
)
