"""Comparing what was written with what it was written from, value for value."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mac_whisper_speedtest.convert.checkpoint import Checkpoint, Tensor
from mac_whisper_speedtest.convert.form import Form
from mac_whisper_speedtest.convert.precision import FLOAT16, cast, dtype_of
from mac_whisper_speedtest.convert.quantize import BLOCK, Quantisation
from mac_whisper_speedtest.errors import WeightsError

_CHUNK = 1 << 20  # values compared at a time


@dataclass(frozen=True)
class Rounding:
    """What storing at a lower precision did.

    Attributes:
        values: how many values the form stores.
        changed: how many of them are not exactly the source's value.
    """

    values: int
    changed: int


def prove(source: Checkpoint, product: Checkpoint, form: Form, precision: str) -> Rounding:
    """Check that a product read back holds exactly the source, rounded as its form stores it.

    Every tensor's bytes are compared with the source's at the stored type, as are the sizes and,
    where the form carries them, the vocabulary, the alignment heads and the suppressed tokens.

    A tensor in blocks has to hold, bit for bit, what quantising the source's float16 values and
    turning them back gives; and because that would prove a wrong quantiser right, every value has
    to be as near to the source's as `Quantisation.bounds` says, which does not quantise.

    Raises:
        WeightsError: anything differs; the message names the first thing that does.
        ValueError: the form cannot be written, so there is nothing to prove.
    """
    if form.writer is None:
        raise ValueError(f"form {form.name} is not written")
    if product.dims != source.dims:
        raise WeightsError(f"the {form.name} weights read back with sizes {product.dims}")
    if set(product.tensors) != set(source.tensors):
        odd = min(set(product.tensors) ^ set(source.tensors))
        raise WeightsError(f"the {form.name} weights read back with other tensors, first {odd}")
    if form.carries_vocabulary and product.vocabulary != source.vocabulary:
        raise WeightsError(f"the {form.name} weights read back with another vocabulary")
    if form.carries_alignment_heads and product.alignment_heads != source.alignment_heads:
        raise WeightsError(f"the {form.name} weights read back with other alignment heads")
    suppressed = (source.suppressed, source.suppressed_at_start)
    if form.carries_suppressed_tokens and suppressed != (
        product.suppressed,
        product.suppressed_at_start,
    ):
        raise WeightsError(f"the {form.name} weights read back with other suppressed tokens")
    values = changed = 0
    for name in sorted(set(source.tensors) - form.recomputes):
        array = source.tensors[name]
        values += array.size
        blocks = form.writer.quantisation and form.writer.quantisation(name, array.shape, precision)
        if blocks:
            _check_blocks(name, array, product.tensors[name], form.name, blocks)
            changed += _count_changed(array, product.tensors[name])
            continue
        expected = cast(name, array, form.writer.stored_dtype(name, array.shape, precision))
        _check_equal_bits(name, expected, product.tensors[name], form.name)
        if expected.dtype.itemsize < array.dtype.itemsize:
            changed += _count_changed(array, expected)
    return Rounding(values, changed)


def _check_equal_bits(name: str, expected: Tensor, found: Tensor, form: str) -> None:
    if found.dtype != expected.dtype or found.shape != expected.shape:
        raise WeightsError(
            f"tensor {name} reads back from {form} as {found.dtype}{list(found.shape)}, "
            f"expected {expected.dtype}{list(expected.shape)}"
        )
    bits = np.dtype(f"<u{expected.dtype.itemsize}")  # as integers, so that 0.0 is not -0.0
    left, right = expected.reshape(-1).view(bits), found.reshape(-1).view(bits)
    if not np.array_equal(left, right):
        at = int(np.argmax(left != right))
        raise WeightsError(
            f"tensor {name} reads back from {form} differently at value {at}: "
            f"{found.reshape(-1)[at]} for {expected.reshape(-1)[at]}"
        )


def _check_blocks(name: str, array: Tensor, found: Tensor, form: str, kind: Quantisation) -> None:
    values = cast(name, array, dtype_of(FLOAT16)).astype(np.float32)
    _check_equal_bits(name, kind.dequantise(kind.quantise(values), values.shape), found, form)
    moved = np.abs(found - values).reshape(-1, BLOCK).max(axis=1)
    beyond = np.flatnonzero(moved > kind.bounds(values))
    if beyond.size:
        raise WeightsError(
            f"tensor {name} is quantised wrongly: a value of block {beyond[0]} moved by "
            f"{moved[beyond[0]]:.6g}, {kind.name} allows {kind.bounds(values)[beyond[0]]:.6g}"
        )


def _count_changed(original: Tensor, rounded: Tensor) -> int:
    before, after = original.reshape(-1), rounded.reshape(-1)
    return sum(
        int(np.count_nonzero(before[start : start + _CHUNK] != after[start : start + _CHUNK]))
        for start in range(0, before.size, _CHUNK)
    )
