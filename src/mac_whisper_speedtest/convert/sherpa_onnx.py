"""sherpa-onnx's format of Whisper: tokens, and two ONNX graphs of weights with OpenAI's names.

The library's own script exports the graphs with PyTorch. These are written operation by operation,
with the inputs, outputs and metadata of that script, so that neither PyTorch nor onnx is needed.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from mac_whisper_speedtest.convert import onnx_file
from mac_whisper_speedtest.convert.checkpoint import (
    ENCODER_POSITIONS,
    Checkpoint,
    Tensor,
    dims_from,
    expected_shapes,
)
from mac_whisper_speedtest.convert.codec import FLOAT16, FormatCodec, cast, dtype_of, plain_writer
from mac_whisper_speedtest.convert.cursor import read_side_file
from mac_whisper_speedtest.convert.huggingface import special_tokens, token_id, tokenizer_of
from mac_whisper_speedtest.errors import WeightsError, WeightsMissingError

ENCODER, DECODER, TOKENS = FILES = ("encoder.onnx", "decoder.onnx", "tokens.txt")
_CACHES = ("n_layer_self_k_cache", "n_layer_self_v_cache")
_CROSS = {"key": "n_layer_cross_k", "value": "n_layer_cross_v"}


class _Graph:
    """A graph that is written node by node; the values between nodes are named by numbers."""

    def __init__(self, checkpoint: Checkpoint, precision: str) -> None:
        self._source, self._precision = checkpoint.tensors, precision
        self.nodes: list[bytes] = []
        self.constants: dict[str, Tensor] = {}

    def __call__(self, operator: str, *inputs: str, output: str = "", **settings: Any) -> str:
        """Add a node, and return the name of its output."""
        output = output or f"v{len(self.nodes)}"
        self.nodes.append(onnx_file.node(operator, inputs, output, settings))
        return output

    def weight(self, name: str, *, transposed: bool = False) -> str:
        """A tensor of the network in float32; onnxruntime computes that once, when it loads."""
        dtype = dtype_of(self._precision)
        self.constants[name] = cast(name, self._source[name], dtype)
        value = name if dtype.itemsize == 4 else self("Cast", name, to=onnx_file.FLOAT)
        return self("Transpose", value, perm=[1, 0]) if transposed else value

    def constant(self, value: float | list[int]) -> str:
        """A number, or a list of integers."""
        kind = "<i8" if isinstance(value, list) else "<f4"
        name = f"constant {value}"
        self.constants[name] = np.array(value, dtype=kind)
        return name

    def linear(self, value: str, name: str) -> str:
        product = self("MatMul", value, self.weight(f"{name}.weight", transposed=True))
        bias = f"{name}.bias"
        return self("Add", product, self.weight(bias)) if bias in self._source else product

    def norm(self, value: str, name: str) -> str:
        scale, bias = self.weight(f"{name}.weight"), self.weight(f"{name}.bias")
        return self("LayerNormalization", value, scale, bias)

    def gelu(self, value: str) -> str:
        """Half of x (1 + erf(x / √2)), in the order that onnxruntime replaces by one operation."""
        error = self("Erf", self("Div", value, self.constant(2**0.5)))
        product = self("Mul", value, self("Add", error, self.constant(1.0)))
        return self("Mul", product, self.constant(0.5))

    def attention(self, query: str, key: str, value: str, heads: int, mask: str = "") -> str:
        """Scaled dot-product attention of [1, length, width]; ``query`` is scaled already."""
        parts = [
            self("Transpose", self("Reshape", each, self.constant([0, 0, heads, -1])), perm=order)
            for each, order in (
                (query, [0, 2, 1, 3]),
                (key, [0, 2, 3, 1]),
                (value, [0, 2, 1, 3]),
            )
        ]
        scores = self("MatMul", parts[0], parts[1])
        weights = self("Softmax", self("Add", scores, mask) if mask else scores, axis=-1)
        mixed = self("Transpose", self("MatMul", weights, parts[2]), perm=[0, 2, 1, 3])
        return self("Reshape", mixed, self.constant([0, 0, -1]))

    def query(self, value: str, name: str, width: int, heads: int) -> str:
        scale = self.constant((width // heads) ** -0.5)
        return self("Mul", self.linear(value, f"{name}.query"), scale)

    def mlp(self, value: str, block: str) -> str:
        hidden = self.gelu(self.linear(self.norm(value, f"{block}.mlp_ln"), f"{block}.mlp.0"))
        return self("Add", value, self.linear(hidden, f"{block}.mlp.2"))

    def rows(self, value: str, start: str, end: str, axis: int) -> str:
        return self("Slice", value, start, end, self.constant([axis]))

    def layer(self, value: str, number: int) -> str:
        """One layer of a tensor that is stacked over layers."""
        one = self.rows(value, self.constant([number]), self.constant([number + 1]), 0)
        return self("Squeeze", one, self.constant([0]))

    def length(self, value: str) -> str:
        return self("Gather", self("Shape", value), self.constant([1]))


# --- the network ---------------------------------------------------------------------------------


def write(checkpoint: Checkpoint, directory: Path, precision: str = FLOAT16) -> None:
    """Write the three files that sherpa-onnx loads into an existing folder.

    onnxruntime computes in float32 for any stored precision. Needs a ``tokenizer.json`` among the
    assets, for the vocabulary and the languages.
    """
    metadata = _metadata(checkpoint)
    _encoder(checkpoint, precision, metadata, directory / ENCODER)
    _decoder(checkpoint, precision, directory / DECODER)
    lines = (
        f"{base64.b64encode(token).decode()} {number}\n"
        for number, token in enumerate(checkpoint.vocabulary)
        if token
    )
    (directory / TOKENS).write_text("".join(lines), encoding="ascii")


def _metadata(checkpoint: Checkpoint) -> dict[str, Any]:
    dims = checkpoint.dims
    special = special_tokens(tokenizer_of(checkpoint, "sherpa-onnx"))

    def number_of(name: str) -> int:
        return token_id(special, f"<|{name}|>")

    start = number_of("startoftranscript")
    first, found = [start], {"model_type": "whisper", "version": 1, **asdict(dims)}
    if dims.is_multilingual:
        tasks = min(number_of("transcribe"), number_of("translate"))
        languages = {
            number: text[2:-2] for text, number in special.items() if start < number < tasks
        }
        first += [start + 1, number_of("transcribe")]  # the library puts in the language
        found["all_language_tokens"] = ",".join(map(str, languages))
        found["all_language_codes"] = ",".join(languages.values())
    return found | {
        "is_multilingual": int(dims.is_multilingual),
        "sot_sequence": ",".join(map(str, first)),
        "sot": start,
        "sot_index": 0,
        "eot": number_of("endoftext"),
        "blank_id": checkpoint.vocabulary.index(b" "),
        # Named <|nospeech|> in newer vocabularies.
        "no_speech": number_of("nospeech" if "<|nospeech|>" in special else "nocaptions"),
        "transcribe": number_of("transcribe"),
        "translate": number_of("translate"),
        "sot_prev": number_of("startofprev"),
        "sot_lm": number_of("startoflm"),
        "no_timestamps": number_of("notimestamps"),
    }


def _encoder(
    checkpoint: Checkpoint, precision: str, metadata: Mapping[str, Any], path: Path
) -> None:
    """From the spectrogram to the stacked input of the decoder's cross-attention."""
    dims, graph = checkpoint.dims, _Graph(checkpoint, precision)
    value = "mel"
    for number, step in ((1, 1), (2, 2)):
        weights = [graph.weight(f"encoder.conv{number}.{part}") for part in ("weight", "bias")]
        value = graph.gelu(graph("Conv", value, *weights, pads=[1, 1], strides=[step]))
    value = graph("Transpose", value, perm=[0, 2, 1])
    places = graph.rows(
        graph.weight(ENCODER_POSITIONS), graph.constant([0]), graph.length(value), 0
    )
    value = graph("Add", value, places)
    for number in range(dims.n_audio_layer):
        block = f"encoder.blocks.{number}"
        value = _self_attention(graph, value, block, dims.n_audio_state, dims.n_audio_head)
        value = graph.mlp(value, block)
    value = graph.norm(value, "encoder.ln_post")
    outputs = []
    for part, name in _CROSS.items():
        layers = [
            graph(
                "Unsqueeze",
                graph.linear(value, f"decoder.blocks.{number}.cross_attn.{part}"),
                graph.constant([0]),
            )
            for number in range(dims.n_text_layer)
        ]
        graph("Concat", *layers, output=name, axis=0)
        shape = (dims.n_text_layer, 1, "length", dims.n_text_state)
        outputs.append(onnx_file.value(name, onnx_file.FLOAT, *shape))
    onnx_file.write_model(
        path,
        graph.nodes,
        graph.constants,
        inputs=[onnx_file.value("mel", onnx_file.FLOAT, 1, dims.n_mels, "frames")],
        outputs=outputs,
        metadata=metadata,
    )


def _self_attention(graph: _Graph, value: str, block: str, width: int, heads: int) -> str:
    normal = graph.norm(value, f"{block}.attn_ln")
    query = graph.query(normal, f"{block}.attn", width, heads)
    key, values = (graph.linear(normal, f"{block}.attn.{part}") for part in ("key", "value"))
    mixed = graph.attention(query, key, values, heads)
    return graph("Add", value, graph.linear(mixed, f"{block}.attn.out"))


def _decoder(checkpoint: Checkpoint, precision: str, path: Path) -> None:
    """From tokens, and the keys and values of those before ``offset``, to scores of the next."""
    dims, graph = checkpoint.dims, _Graph(checkpoint, precision)
    width, heads, most = dims.n_text_state, dims.n_text_head, dims.n_text_ctx
    end = graph("Add", "offset", graph.length("tokens"))
    nothing = graph.constant([0])
    table = graph.weight("decoder.token_embedding.weight")
    places = graph.rows(graph.weight("decoder.positional_embedding"), "offset", end, 0)
    value = graph("Add", graph("Gather", table, "tokens"), places)
    # A token sees itself and those before it: a place's number is not above its own.
    scalars = [graph("Squeeze", each) for each in (nothing, end, graph.constant([1]))]
    numbers = graph("Range", *scalars)
    own = graph("Unsqueeze", graph.rows(numbers, "offset", end, 0), graph.constant([1]))
    mask = graph(
        "Where", graph("Greater", numbers, own), graph.constant(-1e30), graph.constant(0.0)
    )
    kept: dict[str, list[str]] = {name: [] for name in _CACHES}
    for number in range(dims.n_text_layer):
        block = f"decoder.blocks.{number}"
        normal = graph.norm(value, f"{block}.attn_ln")
        seen = []
        for part, name in zip(("key", "value"), _CACHES, strict=True):
            cache = graph.layer(f"in_{name}", number)
            new = graph.linear(normal, f"{block}.attn.{part}")
            seen.append(graph("Concat", graph.rows(cache, nothing, "offset", 1), new, axis=1))
            rest = graph.rows(cache, end, graph.constant([most]), 1)
            whole = graph("Concat", seen[-1], rest, axis=1)
            kept[name].append(graph("Unsqueeze", whole, nothing))
        query = graph.query(normal, f"{block}.attn", width, heads)
        mixed = graph.attention(query, seen[0], seen[1], heads, mask)
        value = graph("Add", value, graph.linear(mixed, f"{block}.attn.out"))
        query = graph.query(
            graph.norm(value, f"{block}.cross_attn_ln"), f"{block}.cross_attn", width, heads
        )
        key, values = (graph.layer(name, number) for name in _CROSS.values())
        mixed = graph.attention(query, key, values, heads)
        value = graph("Add", value, graph.linear(mixed, f"{block}.cross_attn.out"))
        value = graph.mlp(value, block)
    value = graph.norm(value, "decoder.ln")
    graph("MatMul", value, graph("Transpose", table, perm=[1, 0]), output="logits")
    for name, parts in kept.items():
        graph("Concat", *parts, output=f"out_{name}", axis=0)
    cached = (dims.n_text_layer, 1, most, width)
    crossed = (dims.n_text_layer, 1, "length", width)
    inputs = [onnx_file.value("tokens", onnx_file.INTEGER, 1, "count")]
    inputs += [onnx_file.value(f"in_{name}", onnx_file.FLOAT, *cached) for name in _CACHES]
    inputs += [onnx_file.value(name, onnx_file.FLOAT, *crossed) for name in _CROSS.values()]
    inputs.append(onnx_file.value("offset", onnx_file.INTEGER, 1))
    outputs = [onnx_file.value("logits", onnx_file.FLOAT, 1, "count", dims.n_vocab)]
    outputs += [onnx_file.value(f"out_{name}", onnx_file.FLOAT, *cached) for name in _CACHES]
    onnx_file.write_model(
        path, graph.nodes, graph.constants, inputs=inputs, outputs=outputs, metadata={}
    )


# --- reading back --------------------------------------------------------------------------------


def read(directory: Path) -> Checkpoint:
    """The checkpoint in two graphs that this module wrote, of which the weights have the names.

    Raises:
        WeightsMissingError: a file is missing.
        WeightsError: one is damaged, or an export of sherpa-onnx's script, whose names are numbers.
    """
    tensors, metadata = onnx_file.read_model(directory / ENCODER)
    tensors |= onnx_file.read_model(directory / DECODER)[0]
    known = {name: int(text) for name, text in metadata.items() if re.fullmatch(r"\d{1,9}", text)}
    dims = dims_from(known, ENCODER)
    if not 0 < (end := known.get("eot", 0)) < dims.n_vocab:
        raise WeightsError(f"{ENCODER}: eot is {end}, expected 1 to {dims.n_vocab - 1}")
    found = {}
    for name in expected_shapes(dims):
        if name not in tensors:
            raise WeightsError(f"{directory.name} has no tensor {name}")
        found[name] = tensors[name]
    return Checkpoint(dims, found, _vocabulary(read_side_file(directory / TOKENS), end))


def _vocabulary(content: bytes, size: int) -> tuple[bytes, ...]:
    """The tokens by number; one without a line is empty."""
    found: dict[int, bytes] = {}
    try:
        for line in content.decode("ascii").splitlines():
            text, number = line.split()
            found[int(number)] = base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error) as error:
        raise WeightsError(f"{TOKENS}: {error}") from error
    if not found.keys() <= set(range(size)):
        raise WeightsError(f"{TOKENS} has tokens that are not below {size}")
    return tuple(found.get(number, b"") for number in range(size))


def _files(directory: Path) -> tuple[Path, ...]:
    for name in FILES:
        if not (directory / name).is_file():
            raise WeightsMissingError(f"there is no file {directory / name}")
    return tuple(directory / name for name in FILES)


FORMAT = FormatCodec(
    name="sherpa-onnx",
    file_names=FILES,
    looks_like=f"a folder with {ENCODER} and {DECODER}",
    detect=lambda path: (path / ENCODER).is_file() and (path / DECODER).is_file(),
    files=_files,
    read=read,
    writer=plain_writer(write),
    carries_vocabulary=True,
    carries_alignment_heads=False,
)
