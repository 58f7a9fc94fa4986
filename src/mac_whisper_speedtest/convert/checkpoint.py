"""The canonical Whisper checkpoint: the output of every reader and the input of every writer."""

from __future__ import annotations

import hashlib
import math
import mmap
from collections.abc import Mapping
from dataclasses import astuple, dataclass, field, fields
from functools import cache
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mac_whisper_speedtest.errors import WeightsError

Tensor: TypeAlias = NDArray[Any]

ENCODER_POSITIONS = "encoder.positional_embedding"
FIRST_MULTILINGUAL_VOCABULARY = 51865
"""English-only checkpoints have 51864 token ids, multilingual ones 51865 or 51866."""

# Far above any published Whisper (large: 32 layers, width 1280, 1500 positions, 51866 tokens), so
# that a damaged header cannot cause a huge allocation.
_MAX_SIZES = {
    "layer": 512,
    "head": 1024,
    "state": 1 << 16,
    "ctx": 1 << 14,
    "mels": 1024,
    "vocab": 1 << 20,
}
_DIGEST_CHUNK = 1 << 20  # values upcast to float32 at once: 4 MiB


@dataclass(frozen=True)
class Dims:
    """The ten sizes of a Whisper network, named as in OpenAI's checkpoints."""

    n_mels: int
    n_audio_ctx: int
    n_audio_state: int
    n_audio_head: int
    n_audio_layer: int
    n_vocab: int
    n_text_ctx: int
    n_text_state: int
    n_text_head: int
    n_text_layer: int

    @property
    def is_multilingual(self) -> bool:
        """Whether the network supports more languages than English."""
        return self.n_vocab >= FIRST_MULTILINGUAL_VOCABULARY


@dataclass(frozen=True)
class Checkpoint:
    """A network with everything needed to write it in another format.

    Attributes:
        dims: the sizes.
        tensors: OpenAI's names (``encoder.conv1.weight``, ``decoder.blocks.0.attn.query.weight``)
            to float16 or float32 arrays, at the source's precision. Arrays may be read-only views
            of a mapped file. Linear weights are [out, in], convolution weights [out, in, kernel],
            embeddings [rows, width].
        vocabulary: token id to bytes for the byte-pair tokens below ``<|endoftext|>``; empty if the
            source format carries none.
        alignment_heads: (decoder layer, head) pairs for word times; empty if unknown.
        suppressed: token ids that must never be produced; empty if unknown.
        suppressed_at_start: token ids that must not start a text; empty if unknown.
        assets: the source's side files by name (for example ``tokenizer.json``), unchanged, for
            targets that need more than the above.
    """

    dims: Dims
    tensors: Mapping[str, Tensor]
    vocabulary: tuple[bytes, ...] = ()
    alignment_heads: tuple[tuple[int, int], ...] = ()
    suppressed: tuple[int, ...] = ()
    suppressed_at_start: tuple[int, ...] = ()
    assets: Mapping[str, bytes] = field(default_factory=dict)


def give_back(array: Tensor) -> None:
    """Release the memory of an array in a mapped file after its use.

    Another use reads it from the file again.
    """
    base: object = array
    while isinstance(base, np.ndarray):
        base = base.base
    if isinstance(base, memoryview):
        base = base.obj
    if not isinstance(base, mmap.mmap) or not hasattr(mmap, "MADV_DONTNEED"):
        return
    begin = np.frombuffer(base, np.uint8, 1).ctypes.data
    low, high = np.lib.array_utils.byte_bounds(array)
    start = (low - begin) // mmap.PAGESIZE * mmap.PAGESIZE
    base.madvise(mmap.MADV_DONTNEED, start, high - begin - start)


def check_dims(dims: Dims, where: str) -> None:
    """Reject sizes that no Whisper network has, before anything is allocated from them.

    Raises:
        WeightsError: a size is not positive, is absurdly large, or two sizes contradict each other.
    """
    for item in fields(dims):
        value = getattr(dims, item.name)
        most = _MAX_SIZES[item.name.rsplit("_", 1)[-1]]
        if not 1 <= value <= most:
            raise WeightsError(f"{where}: {item.name} is {value}, expected 1 to {most}")
    for side in ("audio", "text"):
        width, heads = getattr(dims, f"n_{side}_state"), getattr(dims, f"n_{side}_head")
        if width % heads:
            raise WeightsError(
                f"{where}: n_{side}_state {width} is not a multiple of {heads} heads"
            )
    if dims.n_audio_state != dims.n_text_state:
        raise WeightsError(
            f"{where}: n_audio_state {dims.n_audio_state} and n_text_state {dims.n_text_state} "
            "differ, so cross-attention cannot work"
        )


def dims_from(config: Mapping[str, Any], file: str, keys: Mapping[str, str] | None = None) -> Dims:
    """The sizes in a table of a file.

    Args:
        config: the table.
        file: for messages.
        keys: the table's key of each size, if it is not OpenAI's.

    Raises:
        WeightsError: a size is missing, is no integer, or no Whisper network has it.
    """
    sizes: dict[str, int] = {}
    for item in fields(Dims):
        key = keys[item.name] if keys else item.name
        value = config.get(key)
        if type(value) is not int:
            raise WeightsError(f"{file}: {key} is {value!r}, expected an integer")
        sizes[item.name] = value
    dims = Dims(**sizes)
    check_dims(dims, file)
    return dims


def expected_shapes(dims: Dims) -> dict[str, tuple[int, ...]]:
    """The shape of every tensor of such a network, in the order of OpenAI's checkpoints.

    The order is as in the published ``tiny.en.pt`` and in upstream's ggml files, so files written
    in this order are equal to upstream's.
    """
    width = dims.n_audio_state
    shapes: dict[str, tuple[int, ...]] = {
        "decoder.positional_embedding": (dims.n_text_ctx, width),
        ENCODER_POSITIONS: (dims.n_audio_ctx, width),
        "decoder.token_embedding.weight": (dims.n_vocab, width),
    }
    for layer in range(dims.n_text_layer):
        shapes.update(_block(f"decoder.blocks.{layer}", width, cross=True))
    shapes.update(_norm("decoder.ln", width))
    shapes["encoder.conv1.weight"] = (width, dims.n_mels, 3)
    shapes["encoder.conv1.bias"] = (width,)
    shapes["encoder.conv2.weight"] = (width, width, 3)
    shapes["encoder.conv2.bias"] = (width,)
    for layer in range(dims.n_audio_layer):
        shapes.update(_block(f"encoder.blocks.{layer}", width, cross=False))
    shapes.update(_norm("encoder.ln_post", width))
    return shapes


def _block(prefix: str, width: int, *, cross: bool) -> dict[str, tuple[int, ...]]:
    shapes = _norm(f"{prefix}.mlp_ln", width)
    for name, rows, columns in (("mlp.0", 4 * width, width), ("mlp.2", width, 4 * width)):
        shapes[f"{prefix}.{name}.weight"] = (rows, columns)
        shapes[f"{prefix}.{name}.bias"] = (rows,)
    for attention in ("attn", "cross_attn") if cross else ("attn",):
        shapes.update(_norm(f"{prefix}.{attention}_ln", width))
        for part in ("query", "key", "value", "out"):
            shapes[f"{prefix}.{attention}.{part}.weight"] = (width, width)
            if part != "key":  # Whisper's key projection has no bias
                shapes[f"{prefix}.{attention}.{part}.bias"] = (width,)
    return shapes


def _norm(prefix: str, width: int) -> dict[str, tuple[int, ...]]:
    return {f"{prefix}.weight": (width,), f"{prefix}.bias": (width,)}


def validate(checkpoint: Checkpoint) -> None:
    """Check that a checkpoint is a complete, usable Whisper network.

    Raises:
        WeightsError: the sizes are impossible; a tensor is missing, unexpected, of another shape
            or type, or holds a value that is not finite; an alignment head or a suppressed token
            does not exist; there are more tokens than token ids. The message names the first
            problem.
    """
    dims, tensors = checkpoint.dims, checkpoint.tensors
    check_dims(dims, "checkpoint")
    shapes = expected_shapes(dims)
    for name, shape in shapes.items():
        if name not in tensors:
            raise WeightsError(f"tensor {name} is missing (expected shape {list(shape)})")
        array = tensors[name]
        if array.shape != shape:
            raise WeightsError(
                f"tensor {name} has shape {list(array.shape)}, expected {list(shape)}"
            )
        if array.dtype not in (np.dtype(np.float16), np.dtype(np.float32)):
            raise WeightsError(f"tensor {name} is {array.dtype}, expected float16 or float32")
        finite = np.isfinite(array)
        if not finite.all():
            where = [int(index) for index in np.argwhere(~finite)[0]]
            raise WeightsError(f"tensor {name} is {array[tuple(where)]} at {where}, not a number")
        give_back(array)
    for name in sorted(set(tensors) - set(shapes)):
        raise WeightsError(f"tensor {name} is not part of a Whisper network of these sizes")
    for layer, head in checkpoint.alignment_heads:
        if not (0 <= layer < dims.n_text_layer and 0 <= head < dims.n_text_head):
            raise WeightsError(
                f"alignment head {[layer, head]} does not exist: the decoder has "
                f"{dims.n_text_layer} layers of {dims.n_text_head} heads"
            )
    for token in (*checkpoint.suppressed, *checkpoint.suppressed_at_start):
        if not 0 <= token < dims.n_vocab:
            raise WeightsError(f"suppressed token {token} is none of {dims.n_vocab} token ids")
    if len(checkpoint.vocabulary) > dims.n_vocab:
        raise WeightsError(f"{len(checkpoint.vocabulary)} tokens for {dims.n_vocab} token ids")


def network_sha256(checkpoint: Checkpoint) -> str:
    """The identity of a network, equal for every format that stores it without loss.

    SHA-256 over, in this order and in ASCII unless stated otherwise:

    1. the line ``whisper-network 1``;
    2. one line of the ten sizes in the order of `Dims`, separated by single spaces;
    3. for every tensor except ``encoder.positional_embedding``, sorted by name: a line of the
       name, ``float32`` and the shape joined by ``x`` (``decoder.ln.bias float32 384``), followed
       by the values upcast to little-endian float32, row-major.

    Values are upcast because formats widen different tensors: ggml stores biases of a float16
    network as float32, which changes bytes but no value. The encoder's positions are omitted
    because they are a fixed table of sines, which MLX recomputes instead of storing. Vocabulary and
    alignment heads are not part of the network.

    Returns:
        64 hexadecimal digits.
    """
    digest = hashlib.sha256(b"whisper-network 1\n")
    digest.update((" ".join(map(str, astuple(checkpoint.dims))) + "\n").encode())
    for name in sorted(checkpoint.tensors):
        if name == ENCODER_POSITIONS:
            continue
        array = checkpoint.tensors[name]
        digest.update(f"{name} float32 {'x'.join(map(str, array.shape))}\n".encode())
        flat = array.reshape(-1)
        for start in range(0, flat.size, _DIGEST_CHUNK):
            piece = flat[start : start + _DIGEST_CHUNK]
            digest.update(np.ascontiguousarray(piece, dtype="<f4").data)
        give_back(array)
    return digest.hexdigest()


# Whisper's mel filter bank.


SAMPLE_RATE_HZ = 16_000
FFT_SIZE = 400
"""Samples in one 25 ms analysis window."""

# Slaney's mel scale (Auditory Toolbox, 1998): linear below 1 kHz, logarithmic above.
_HZ_PER_MEL = 200.0 / 3
_BREAK_HZ = 1000.0
_BREAK_MEL = _BREAK_HZ / _HZ_PER_MEL
_LOG_STEP = math.log(6.4) / 27.0  # 27 mels for each factor of 6.4 above the break


@cache
def filter_bank(n_mels: int) -> NDArray[np.float32]:
    """Triangular mel filters of equal area, from 0 to 8 kHz.

    The order of operations is librosa's (``librosa.filters.mel``, ``norm="slaney"``), because
    OpenAI made its table with it: triangles in float64 rounded to float32, then scaled in place.
    The result equals the published table bit for bit, including the negative zero at [0, 0].

    Args:
        n_mels: the number of filters; Whisper uses 80, and 128 from large-v3 on.

    Returns:
        Read-only weights of shape [n_mels, 201], one column for each FFT bin.
    """
    bins_hz = np.fft.rfftfreq(n=FFT_SIZE, d=1.0 / SAMPLE_RATE_HZ)
    edges_hz = _hz(np.linspace(0.0, _mel(SAMPLE_RATE_HZ / 2), n_mels + 2))
    widths_hz = np.diff(edges_hz)
    ramps_hz = np.subtract.outer(edges_hz, bins_hz)
    weights = np.zeros((n_mels, bins_hz.size), dtype=np.float32)
    for row in range(n_mels):
        rising = -ramps_hz[row] / widths_hz[row]
        falling = ramps_hz[row + 2] / widths_hz[row + 1]
        weights[row] = np.maximum(0, np.minimum(rising, falling))
    weights *= (2.0 / (edges_hz[2:] - edges_hz[:n_mels]))[:, None]
    weights.setflags(write=False)
    return weights


def _mel(hz: float) -> float:
    """The mel value of a frequency above the break."""
    return float(_BREAK_MEL + np.log(hz / _BREAK_HZ) / _LOG_STEP)


def _hz(mels: NDArray[np.float64]) -> NDArray[np.float64]:
    hz = _HZ_PER_MEL * mels
    above = mels >= _BREAK_MEL
    hz[above] = _BREAK_HZ * np.exp(_LOG_STEP * (mels[above] - _BREAK_MEL))
    return hz


# The encoder's positions, which some formats store and others recompute.


_LONGEST_WAVELENGTH = 10_000.0
# Half a step of bfloat16 just below 1 is 0.002, and sines of angles up to 1500 rad computed in
# float32 are wrong by up to 0.0001. A trained or reordered table differs by far more.
_TOLERANCE = 0.004


def sinusoids(length: int, width: int) -> NDArray[np.float32]:
    """The table of Whisper's audio encoder (Vaswani et al. 2017, sines first, then cosines).

    Returns:
        Values of shape [length, width]; the first half of a row is sines.

    Raises:
        WeightsError: ``width`` is odd or below 4, for which the table is not defined.
    """
    if width < 4 or width % 2:
        raise WeightsError(f"no sinusoidal positions of width {width}")
    half = width // 2
    rates = np.exp(-np.log(_LONGEST_WAVELENGTH) / (half - 1) * np.arange(half))
    angles = np.arange(length)[:, None] * rates[None, :]
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1).astype(np.float32)


def check_sinusoidal(table: Tensor) -> None:
    """Reject positions that are not Whisper's: a format that recomputes them would replace them.

    Raises:
        WeightsError: a value differs from the sines by more than rounding explains.
    """
    expected = sinusoids(*table.shape)
    difference = float(np.abs(table.astype(np.float32) - expected).max())
    if difference > _TOLERANCE:
        raise WeightsError(
            "the encoder's positions are not Whisper's table of sines "
            f"(up to {difference:.3g} away), and this format cannot store others",
            hint="convert to a format that stores them, such as ggml",
        )


# Decoding settings in a model's JSON files.


def alignment_heads(config: dict[str, Any], name: str) -> tuple[tuple[int, int], ...]:
    """The (decoder layer, head) pairs under ``alignment_heads``; none if it is absent or null.

    Raises:
        WeightsError: it is not a list of pairs of integers.
    """
    pairs = config.get("alignment_heads") or []
    good = isinstance(pairs, list) and all(
        isinstance(pair, list) and len(pair) == 2 and all(type(item) is int for item in pair)
        for pair in pairs
    )
    if not good:
        raise WeightsError(f"{name}: alignment_heads is not a list of [layer, head]")
    return tuple((pair[0], pair[1]) for pair in pairs)


def token_ids(config: dict[str, Any], key: str, name: str) -> tuple[int, ...]:
    """The list of token ids under ``key``; none if it is absent or null.

    Raises:
        WeightsError: it is not a list of integers.
    """
    listed = config.get(key) or []
    if not isinstance(listed, list) or not all(type(item) is int for item in listed):
        raise WeightsError(f"{name}: {key} is not a list of token ids")
    return tuple(listed)
