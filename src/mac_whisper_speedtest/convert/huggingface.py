"""transformers' format: ``model.safetensors`` and the JSON files that a pipeline loads with it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mac_whisper_speedtest.convert import safetensors_file
from mac_whisper_speedtest.convert.checkpoint import (
    FFT_SIZE,
    SAMPLE_RATE_HZ,
    Checkpoint,
    Dims,
    Tensor,
    alignment_heads,
    dims_from,
    expected_shapes,
    token_ids,
)
from mac_whisper_speedtest.convert.codec import (
    FLOAT16,
    FormatCodec,
    dtype_of,
    plain_writer,
    stored_arrays,
)
from mac_whisper_speedtest.convert.cursor import (
    UNQUANTIZED_HINT,
    parse_json_object,
    read_side_file,
    refuse_quantized,
)
from mac_whisper_speedtest.convert.vocabulary import END_OF_TEXT, base_vocabulary
from mac_whisper_speedtest.errors import WeightsError, WeightsMissingError

# The JSON files next to the weights. Their keys are the fields of transformers' ``WhisperConfig``,
# ``GenerationConfig``, ``WhisperFeatureExtractor`` and ``WhisperTokenizer``, as in OpenAI's
# repositories on Hugging Face.


SIDE_FILES = (
    "config.json",
    "generation_config.json",
    "preprocessor_config.json",
    "tokenizer.json",
    "vocab.json",
    "merges.txt",
    "added_tokens.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
)
_CONFIG, _GENERATION, _TOKENIZER = "config.json", "generation_config.json", "tokenizer.json"
_START = "<|startoftranscript|>"
_TASKS = ("transcribe", "translate")
_LANGUAGE = re.compile(r"<\|[a-z]{2,3}\|>")
_LATEST_FIRST_TIME = 50
"""Largest first timestamp in steps of 20 ms (OpenAI's max_initial_timestamp, 1 s)."""

_HOP = 160  # samples between two columns of the spectrogram: 10 ms


def side_files(checkpoint: Checkpoint, precision: str) -> dict[str, bytes]:
    """Every file of a transformers folder except the weights, by name.

    Raises:
        WeightsError: there is no tokenizer.json, or it lacks one of Whisper's special tokens.
    """
    tokenizer = tokenizer_of(checkpoint, "a transformers folder")
    special = special_tokens(tokenizer)
    model = tokenizer["model"]
    added = {text: number for text, number in special.items() if text not in model["vocab"]}
    return {
        "config.json": _json(_config(checkpoint.dims, special, precision)),
        "generation_config.json": _json(_generation(checkpoint, special)),
        "preprocessor_config.json": _json(_preprocessor(checkpoint.dims)),
        _TOKENIZER: checkpoint.assets[_TOKENIZER],
        "vocab.json": json.dumps(model["vocab"], ensure_ascii=False).encode(),
        "merges.txt": _merges(model.get("merges")),
        "added_tokens.json": _json(added),
        "tokenizer_config.json": _json(_tokenizer_config(tokenizer, checkpoint.dims)),
        "special_tokens_map.json": _json({**_roles(), "additional_special_tokens": list(special)}),
    }


def _json(value: object) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()


def tokenizer_of(checkpoint: Checkpoint, target: str) -> dict[str, Any]:
    """The source's tokenizer.json, which ``target`` needs.

    Raises:
        WeightsError: the source has none, or it is damaged.
    """
    content = checkpoint.assets.get(_TOKENIZER)
    if content is None:
        raise WeightsError(
            f"{target} needs the tokenizer.json, which the source format does not carry",
            hint="convert from a format that has one, such as ctranslate2",
        )
    return parse_json_object(content, _TOKENIZER)


def special_tokens(tokenizer: Mapping[str, Any]) -> dict[str, int]:
    """The ids of the added tokens by text, in the order of ids."""
    model, listed = tokenizer.get("model"), tokenizer.get("added_tokens")
    if not isinstance(model, dict) or not isinstance(model.get("vocab"), dict):
        raise WeightsError("tokenizer.json has no table of token to id under model.vocab")
    found: dict[str, int] = {}
    for item in listed if isinstance(listed, list) else ():
        if not isinstance(item, dict) or type(item.get("id")) is not int:
            raise WeightsError(f"tokenizer.json: {item!r} is no added token")
        found[str(item.get("content"))] = item["id"]
    return dict(sorted(found.items(), key=lambda pair: pair[1]))


def token_id(special: Mapping[str, int], text: str) -> int:
    """The id of a special token. Raises WeightsError if there is no such token."""
    if text not in special:
        raise WeightsError(f"tokenizer.json has no token {text}")
    return special[text]


def _config(dims: Dims, special: Mapping[str, int], precision: str) -> dict[str, Any]:
    end = token_id(special, END_OF_TEXT)
    return {
        "activation_function": "gelu",
        "architectures": ["WhisperForConditionalGeneration"],
        "bos_token_id": end,
        "d_model": dims.n_audio_state,
        "decoder_attention_heads": dims.n_text_head,
        "decoder_ffn_dim": 4 * dims.n_text_state,
        "decoder_layers": dims.n_text_layer,
        "decoder_start_token_id": token_id(special, _START),
        "dtype": precision,
        "encoder_attention_heads": dims.n_audio_head,
        "encoder_ffn_dim": 4 * dims.n_audio_state,
        "encoder_layers": dims.n_audio_layer,
        "eos_token_id": end,
        "is_encoder_decoder": True,
        "max_source_positions": dims.n_audio_ctx,
        "max_target_positions": dims.n_text_ctx,
        "model_type": "whisper",
        "num_hidden_layers": dims.n_audio_layer,
        "num_mel_bins": dims.n_mels,
        "pad_token_id": end,
        "scale_embedding": False,
        "tie_word_embeddings": True,
        "use_cache": True,
        "vocab_size": dims.n_vocab,
    }


def _generation(checkpoint: Checkpoint, special: Mapping[str, int]) -> dict[str, Any]:
    """The decoding settings of transformers, without lists that the source does not know."""
    end, start = token_id(special, END_OF_TEXT), token_id(special, _START)
    found: dict[str, Any] = {
        "bos_token_id": end,
        "decoder_start_token_id": start,
        "eos_token_id": end,
        "is_multilingual": checkpoint.dims.is_multilingual,
        "max_initial_timestamp_index": _LATEST_FIRST_TIME,
        "max_length": checkpoint.dims.n_text_ctx,
        "no_timestamps_token_id": token_id(special, "<|notimestamps|>"),
        "pad_token_id": end,
        "prev_sot_token_id": token_id(special, "<|startofprev|>"),
        "return_timestamps": False,
    }
    known = {
        "alignment_heads": [list(pair) for pair in checkpoint.alignment_heads],
        "begin_suppress_tokens": list(checkpoint.suppressed_at_start),
        "suppress_tokens": list(checkpoint.suppressed),
    }
    found |= {name: listed for name, listed in known.items() if listed}
    if checkpoint.dims.is_multilingual:
        tasks = {task: token_id(special, f"<|{task}|>") for task in _TASKS}
        # The ids of languages are between the start and the tasks.
        found["lang_to_id"] = {
            text: number
            for text, number in special.items()
            if _LANGUAGE.fullmatch(text) and start < number < min(tasks.values())
        }
        found["task_to_id"] = tasks
    return dict(sorted(found.items()))


def _preprocessor(dims: Dims) -> dict[str, Any]:
    columns = 2 * dims.n_audio_ctx  # the second convolution halves their number
    return {
        "chunk_length": columns * _HOP // SAMPLE_RATE_HZ,
        "feature_extractor_type": "WhisperFeatureExtractor",
        "feature_size": dims.n_mels,
        "hop_length": _HOP,
        "n_fft": FFT_SIZE,
        "n_samples": columns * _HOP,
        "nb_max_frames": columns,
        "padding_side": "right",
        "padding_value": 0.0,
        "processor_class": "WhisperProcessor",
        "return_attention_mask": False,
        "sampling_rate": SAMPLE_RATE_HZ,
    }


def _roles() -> dict[str, str]:
    return dict.fromkeys(("bos_token", "eos_token", "pad_token", "unk_token"), END_OF_TEXT)


def _tokenizer_config(tokenizer: Mapping[str, Any], dims: Dims) -> dict[str, Any]:
    listed = tokenizer["added_tokens"]
    return {
        **_roles(),
        "add_bos_token": False,
        "add_prefix_space": False,
        "added_tokens_decoder": {
            str(item["id"]): {key: value for key, value in item.items() if key != "id"}
            for item in listed
        },
        "clean_up_tokenization_spaces": False,
        "errors": "replace",
        "model_max_length": dims.n_text_ctx,
        "processor_class": "WhisperProcessor",
        "tokenizer_class": "WhisperTokenizer",
    }


def _merges(merges: object) -> bytes:
    """``merges.txt``; newer tokenizer files list pairs, older ones texts with a space."""
    if not isinstance(merges, list):
        raise WeightsError("tokenizer.json has no list under model.merges")
    lines = [" ".join(pair) if isinstance(pair, list) else str(pair) for pair in merges]
    return "\n".join(["#version: 0.2", *lines, ""]).encode()


WEIGHTS_NAME = "model.safetensors"
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
# Parts of OpenAI's names and transformers' (modeling_whisper.py), in the order of replacement.
_NAME_PARTS = (
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
    """Transformers' name of an OpenAI tensor."""
    for ours, theirs in _NAME_PARTS:
        name = name.replace(ours, theirs)
    return f"model.{name}"


def write(checkpoint: Checkpoint, directory: Path, precision: str = FLOAT16) -> None:
    """Write all files that ``transformers.pipeline`` needs offline into an existing folder.

    The output projection equals the token embedding and is not stored, as in the published models.
    It needs a ``tokenizer.json`` among the assets; transformers computes in the stored precision.
    """
    dtype = dtype_of(precision)
    for name, content in side_files(checkpoint, precision).items():
        (directory / name).write_bytes(content)
    tensors = stored_arrays(checkpoint, dtype)
    arrays = {huggingface_name(name): array for name, array in tensors.items()}
    safetensors_file.write(directory / WEIGHTS_NAME, arrays, {"format": "pt"})


def read(directory: Path) -> Checkpoint:
    """The checkpoint in one safetensors file; not of bfloat16, which numpy does not have."""
    assets = {item.name: read_side_file(item) for item in files(directory)[1:]}
    config = parse_json_object(assets[_CONFIG], _CONFIG)
    refuse_quantized(config.get("quantization_config"), _CONFIG)
    dims = dims_from(config, _CONFIG, _CONFIG_KEYS)
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
    """The weights and existing side files; raises WeightsMissingError if a required one is not."""
    for name in (WEIGHTS_NAME, _CONFIG, _TOKENIZER):
        if not (directory / name).is_file():
            raise WeightsMissingError(f"there is no file {directory / name}")
    present = [directory / name for name in SIDE_FILES if (directory / name).is_file()]
    return (directory / WEIGHTS_NAME, *present)


def _tensors(path: Path, dims: Dims) -> dict[str, Tensor]:
    def check_kind(name: str, kind: str) -> None:
        if kind not in ("F16", "F32"):
            raise WeightsError(
                f"{path.name}: {name} is {kind}, expected F16 or F32", hint=UNQUANTIZED_HINT
            )

    arrays = safetensors_file.read(path, check_kind)
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
    """Whether a folder holds this format."""
    return (path / WEIGHTS_NAME).is_file() and (path / _CONFIG).is_file()


FORMAT = FormatCodec(
    name="huggingface",
    file_names=(WEIGHTS_NAME, *SIDE_FILES),
    looks_like=f"a folder with {WEIGHTS_NAME} and {_CONFIG}",
    detect=detect,
    files=files,
    read=read,
    writer=plain_writer(write),
    carries_vocabulary=True,
    carries_alignment_heads=True,
    carries_suppressed_tokens=True,
)
