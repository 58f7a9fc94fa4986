"""Comparing what was written with what it was written from, value for value."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mac_whisper_speedtest.errors import WeightsError
from mac_whisper_speedtest.models.convert.checkpoint import Checkpoint, Tensor
from mac_whisper_speedtest.models.convert.form import Form
from mac_whisper_speedtest.models.convert.precision import cast

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
    where the form carries them, the vocabulary and the alignment heads.

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
    values = changed = 0
    for name in sorted(set(source.tensors) - form.recomputes):
        array = source.tensors[name]
        expected = cast(name, array, form.writer.stored_dtype(name, array.shape, precision))
        _check_equal_bits(name, expected, product.tensors[name], form.name)
        values += array.size
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


def _count_changed(original: Tensor, rounded: Tensor) -> int:
    before, after = original.reshape(-1), rounded.reshape(-1)
    return sum(
        int(np.count_nonzero(before[start : start + _CHUNK] != after[start : start + _CHUNK]))
        for start in range(0, before.size, _CHUNK)
    )
