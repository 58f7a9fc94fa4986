"""CTranslate2's format, read only: ``model.bin`` (binary version 6) and its side files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from mac_whisper_speedtest.convert.checkpoint import (
    ENCODER_POSITIONS,
    Checkpoint,
    Dims,
    Tensor,
    alignment_heads,
    check_dims,
    give_back,
    token_ids,
)
from mac_whisper_speedtest.convert.codec import FormatCodec
from mac_whisper_speedtest.convert.cursor import (
    UNQUANTIZED_HINT,
    Cursor,
    parse_json_object,
    read_side_file,
)
from mac_whisper_speedtest.convert.vocabulary import base_vocabulary, listed_tokens
from mac_whisper_speedtest.errors import WeightsError, WeightsMissingError

_BINARY_VERSION = 6
_SPEC = "WhisperSpec"
_BFLOAT16 = 5
# The type ids of ctranslate2::DataType. bfloat16 is read as raw 16 bits and widened.
_DTYPES = {0: "<f4", 1: "<i1", 2: "<i2", 3: "<i4", 4: "<f2", _BFLOAT16: "<u2"}
_NAMES = {0: "float32", 1: "int8", 2: "int16", 3: "int32", 4: "float16", _BFLOAT16: "bfloat16"}
_MAX_RANK = 3  # of the convolutions
_FLOATS = (0, 4, _BFLOAT16)
# The values of these switches in the network of OpenAI's code. GELU is 3.
_SWITCHES = {
    "decoder/activation": 3,
    "decoder/alibi": 0,
    "decoder/pre_norm": 1,
    "decoder/scale_embeddings": 0,
    "decoder/start_from_zero_embedding": 0,
}
_VOCABULARIES = ("vocabulary.json", "vocabulary.txt")


def read(path: Path) -> Checkpoint:
    """Read a CTranslate2 Whisper model.

    float16 and float32 tensors stay as stored, as views of the mapped file; bfloat16 tensors are
    widened to float32 when they are used, which changes no value.

    Raises:
        WeightsMissingError, WeightsError: as `FormatCodec.read`; also if the files contradict
            each other.
    """
    variables = _read_variables(path / "model.bin")
    dims = _dims(variables)
    check_dims(dims, "model.bin")
    tensors = _Widened(_canonical(variables, dims))
    assets = {item.name: read_side_file(item) for item in files(path)[1:]}
    vocabulary = base_vocabulary(assets["tokenizer.json"])
    _check_listed(assets, vocabulary, dims)
    config = parse_json_object(assets["config.json"], "config.json")
    return Checkpoint(
        dims,
        tensors,
        vocabulary,
        alignment_heads(config, "config.json"),
        token_ids(config, "suppress_ids", "config.json"),
        token_ids(config, "suppress_ids_begin", "config.json"),
        assets,
    )


def files(path: Path) -> tuple[Path, ...]:
    """The four files of such a folder; raises WeightsMissingError if one does not exist."""
    listed = [path / name for name in _VOCABULARIES if (path / name).is_file()]
    if not listed:
        raise WeightsMissingError(f"there is neither {' nor '.join(_VOCABULARIES)} in {path}")
    found = (path / "model.bin", path / "config.json", path / "tokenizer.json", listed[0])
    for item in found:
        if not item.is_file():
            raise WeightsMissingError(f"there is no file {item}")
    return found


def detect(path: Path) -> bool:
    """Whether a folder holds this format."""
    return (path / "model.bin").is_file() and (path / "config.json").is_file()


def _read_variables(path: Path) -> dict[str, Tensor]:
    """Every variable by name; scalars keep their type, quantized weights are rejected."""
    cursor = Cursor(path)
    version = cursor.integer("I", "the binary version")
    if version != _BINARY_VERSION:
        raise cursor.error(f"binary version {version}, this program reads {_BINARY_VERSION}", 0)
    spec = _string(cursor, "the model's kind")
    if spec != _SPEC:
        raise cursor.error(f"the model is a {spec!r}, expected {_SPEC!r}", 4)
    cursor.integer("I", "the revision")
    variables: dict[str, Tensor] = {}
    # Nothing is allocated from these counts: a wrong one ends at the end of the file.
    for _ in range(cursor.integer("I", "the number of variables")):
        start = cursor.offset
        name = _string(cursor, "a variable's name")
        if name in variables:
            raise cursor.error(f"variable {name} appears twice", start)
        variables[name] = _variable(cursor, name)
    for _ in range(cursor.integer("I", "the number of aliases")):
        start = cursor.offset
        alias, target = _string(cursor, "an alias"), _string(cursor, "an alias's target")
        if target not in variables or alias in variables:
            raise cursor.error(f"alias {alias} to {target} does not fit the variables", start)
        variables[alias] = variables[target]
    if cursor.remaining:
        raise cursor.error(f"{cursor.remaining} bytes follow the end of the model")
    return variables


def _string(cursor: Cursor, what: str) -> str:
    start = cursor.offset
    content = cursor.raw(cursor.integer("H", f"the length of {what}"), what)
    if not content.endswith(b"\0") or not content[:-1].isascii() or b"\0" in content[:-1]:
        raise cursor.error(f"{what} is not a terminated ASCII string", start)
    return content[:-1].decode("ascii")


def _variable(cursor: Cursor, name: str) -> Tensor:
    at = cursor.offset
    rank = cursor.integer("B", f"the rank of {name}")
    if rank > _MAX_RANK:
        raise cursor.error(f"{name} has {rank} dimensions", at)
    shape = tuple(cursor.integer("I", f"the shape of {name}") for _ in range(rank))
    at = cursor.offset
    kind = cursor.integer("B", f"the type of {name}")
    if kind not in _DTYPES:
        raise cursor.error(f"{name} has the unknown type {kind}", at)
    if rank and kind not in _FLOATS:
        raise WeightsError(
            f"{cursor.path.name}: {name} is {_NAMES[kind]}, so this model is quantized and its "
            "original values are gone",
            hint=UNQUANTIZED_HINT,
        )
    at = cursor.offset
    size = cursor.integer("I", f"the byte count of {name}")
    expected = np.dtype(_DTYPES[kind]).itemsize
    for length in shape:
        expected *= length
    if size != expected:
        raise cursor.error(f"{name} has {size} bytes, its shape needs {expected}", at)
    return cursor.array(_DTYPES[kind], shape, name)


class _Widened(Mapping[str, Tensor]):
    """Tensors by name; bfloat16 ones are widened to float32 at every access."""

    def __init__(self, stored: Mapping[str, Tensor]) -> None:
        self._stored = stored

    def __getitem__(self, name: str) -> Tensor:
        array = self._stored[name]
        if array.dtype != np.dtype(_DTYPES[_BFLOAT16]):
            return array
        # bfloat16 is the upper half of a float32, so widening is a shift and exact.
        wide = (array.astype(np.uint32) << 16).view(np.float32)
        give_back(array)
        return wide

    def __iter__(self) -> Iterator[str]:
        return iter(self._stored)

    def __len__(self) -> int:
        return len(self._stored)


def _scalar(variables: dict[str, Tensor], name: str) -> int:
    found = variables.get(name)
    if found is None or found.ndim or found.dtype.kind != "i":
        raise WeightsError(f"model.bin has no integer {name}")
    return int(found)


def _dims(variables: dict[str, Tensor]) -> Dims:
    def shape(name: str, rank: int) -> tuple[int, ...]:
        found = variables.get(name)
        if found is None or found.ndim != rank:
            raise WeightsError(f"model.bin has no variable {name} with {rank} dimensions")
        return found.shape

    def layers(side: str) -> int:
        count = 0
        while f"{side}/layer_{count}/self_attention/linear_0/weight" in variables:
            count += 1
        return count

    n_audio_ctx, n_audio_state = shape("encoder/position_encodings/encodings", 2)
    n_text_ctx, n_text_state = shape("decoder/position_encodings/encodings", 2)
    return Dims(
        n_mels=shape("encoder/conv1/weight", 3)[1],
        n_audio_ctx=n_audio_ctx,
        n_audio_state=n_audio_state,
        n_audio_head=_scalar(variables, "encoder/num_heads"),
        n_audio_layer=layers("encoder"),
        n_vocab=shape("decoder/embeddings/weight", 2)[0],
        n_text_ctx=n_text_ctx,
        n_text_state=n_text_state,
        n_text_head=_scalar(variables, "decoder/num_heads"),
        n_text_layer=layers("decoder"),
    )


def _canonical(variables: dict[str, Tensor], dims: Dims) -> dict[str, Tensor]:
    """Give every array its OpenAI name; split stacked projections."""
    for name, value in _SWITCHES.items():
        if name in variables and _scalar(variables, name) != value:
            raise WeightsError(f"model.bin: {name} is not {value}; this network is not Whisper's")
    rest = {name: array for name, array in variables.items() if array.ndim}
    output = rest.pop("decoder/projection/weight", None)
    if output is not None and output is not rest.get("decoder/embeddings/weight"):
        raise WeightsError("model.bin: the output projection is not the token embedding")

    def take(name: str, rows: int | None = None) -> Tensor:
        if name not in rest:
            raise WeightsError(f"model.bin has no variable {name}")
        array = rest.pop(name)
        if rows is not None and array.shape[0] != rows:
            raise WeightsError(f"model.bin: {name} has {array.shape[0]} rows, expected {rows}")
        return array

    tensors: dict[str, Tensor] = {}
    tensors[ENCODER_POSITIONS] = take("encoder/position_encodings/encodings")
    tensors["decoder.positional_embedding"] = take("decoder/position_encodings/encodings")
    tensors["decoder.token_embedding.weight"] = take("decoder/embeddings/weight")
    for name, source in _plain_names(dims):
        tensors[name] = take(source)
    width = dims.n_audio_state
    for name, source, parts in _stacked_names(dims):
        for kind in ("weight", "bias"):
            stacked = take(f"{source}/{kind}", width * len(parts))
            for row, part in enumerate(parts):
                rows = stacked[row * width : (row + 1) * width]
                if (part, kind) != ("key", "bias"):
                    tensors[f"{name}.{part}.{kind}"] = rows
                elif rows.view(f"<u{rows.itemsize}").any():
                    # Whisper's keys have no bias; CTranslate2 fills the stacked row with zeros.
                    raise WeightsError(f"model.bin: {source}/bias has a bias for the keys")
    for name in sorted(rest):
        raise WeightsError(f"model.bin: {name} is not part of a Whisper network")
    return tensors


def _plain_names(dims: Dims) -> Iterator[tuple[str, str]]:
    """(OpenAI name, CTranslate2 name) of every array that is stored unchanged."""
    for conv in ("conv1", "conv2"):
        for kind in ("weight", "bias"):
            yield f"encoder.{conv}.{kind}", f"encoder/{conv}/{kind}"
    norms = [("encoder.ln_post", "encoder/layer_norm"), ("decoder.ln", "decoder/layer_norm")]
    for side, layers in (("encoder", dims.n_audio_layer), ("decoder", dims.n_text_layer)):
        for layer in range(layers):
            name, source = f"{side}.blocks.{layer}", f"{side}/layer_{layer}"
            norms.append((f"{name}.attn_ln", f"{source}/self_attention/layer_norm"))
            norms.append((f"{name}.mlp_ln", f"{source}/ffn/layer_norm"))
            if side == "decoder":
                norms.append((f"{name}.cross_attn_ln", f"{source}/attention/layer_norm"))
            for kind in ("weight", "bias"):
                yield f"{name}.mlp.0.{kind}", f"{source}/ffn/linear_0/{kind}"
                yield f"{name}.mlp.2.{kind}", f"{source}/ffn/linear_1/{kind}"
    for name, source in norms:
        yield f"{name}.weight", f"{source}/gamma"
        yield f"{name}.bias", f"{source}/beta"


def _stacked_names(dims: Dims) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """(OpenAI prefix, CTranslate2 prefix, stacked projections) of every attention linear."""
    for side, layers in (("encoder", dims.n_audio_layer), ("decoder", dims.n_text_layer)):
        for layer in range(layers):
            name, source = f"{side}.blocks.{layer}", f"{side}/layer_{layer}"
            yield f"{name}.attn", f"{source}/self_attention/linear_0", ("query", "key", "value")
            yield f"{name}.attn", f"{source}/self_attention/linear_1", ("out",)
            if side == "decoder":
                yield f"{name}.cross_attn", f"{source}/attention/linear_0", ("query",)
                yield f"{name}.cross_attn", f"{source}/attention/linear_1", ("key", "value")
                yield f"{name}.cross_attn", f"{source}/attention/linear_2", ("out",)


def _check_listed(assets: dict[str, bytes], vocabulary: tuple[bytes, ...], dims: Dims) -> None:
    """Check the vocabulary file, which CTranslate2 itself decodes with, against the others."""
    name = next(item for item in _VOCABULARIES if item in assets)
    listed = listed_tokens(assets[name], name)
    if len(listed) != dims.n_vocab:
        raise WeightsError(f"{name} lists {len(listed)} tokens, the network has {dims.n_vocab}")
    if len(vocabulary) > dims.n_vocab:
        raise WeightsError(
            f"tokenizer.json has {len(vocabulary)} tokens, the network has {dims.n_vocab}"
        )


FORMAT = FormatCodec(
    name="ctranslate2",
    file_names=("model.bin", "config.json", "tokenizer.json", *_VOCABULARIES),
    looks_like="a folder with model.bin and config.json",
    detect=detect,
    files=files,
    read=read,
    writer=None,
    carries_vocabulary=True,
    carries_alignment_heads=True,
    carries_suppressed_tokens=True,
)
