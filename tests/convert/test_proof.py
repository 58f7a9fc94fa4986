from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mac_whisper_speedtest.convert.checkpoint import Checkpoint
from mac_whisper_speedtest.convert.conversion import FORMATS, Rounding, prove
from mac_whisper_speedtest.errors import WeightsError

NAME = "decoder.token_embedding.weight"


def as_ggml(checkpoint: Checkpoint) -> Checkpoint:
    """What a faultless ggml reader gives back for a float16 file."""
    writer = FORMATS["ggml"].writer
    assert writer is not None
    stored = {
        name: array.astype(writer.stored_dtype(name, array.shape, "float16"))
        for name, array in checkpoint.tensors.items()
    }
    return replace(checkpoint, tensors=stored, alignment_heads=())


def test_an_exact_product_is_proved(small: Checkpoint) -> None:
    values = sum(array.size for array in small.tensors.values())
    assert prove(small, as_ggml(small), FORMATS["ggml"], "float16") == Rounding(values, 0)


def test_rounded_values_are_counted(small: Checkpoint) -> None:
    precise = small.tensors[NAME].astype(np.float32)
    precise[0, :3] = [0.1, 0.5, 1 / 3]
    source = replace(small, tensors={**small.tensors, NAME: precise})
    assert prove(source, as_ggml(source), FORMATS["ggml"], "float16").changed == 2


@pytest.mark.parametrize("value", [np.float16(-0.0), np.float16(6e-8)])
def test_one_different_bit_is_found(small: Checkpoint, value: np.float16) -> None:
    zero = small.tensors[NAME].copy()
    zero[5, 1] = 0.0
    source = replace(small, tensors={**small.tensors, NAME: zero})
    product = as_ggml(source)
    wrong = product.tensors[NAME].copy()
    wrong[5, 1] = value
    product = replace(product, tensors={**product.tensors, NAME: wrong})
    with pytest.raises(WeightsError, match=rf"{NAME} reads back from ggml differently at value 41"):
        prove(source, product, FORMATS["ggml"], "float16")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"vocabulary": (b"a",)}, "another vocabulary"),
        ({"tensors": {}}, "with other tensors, first decoder"),
        ({"dims": None}, "with sizes None"),
    ],
)
def test_everything_the_format_carries_is_compared(
    small: Checkpoint, change: dict[str, object], message: str
) -> None:
    product = replace(as_ggml(small), **change)  # type: ignore[arg-type]
    with pytest.raises(WeightsError, match=message):
        prove(small, product, FORMATS["ggml"], "float16")


def test_a_tensor_at_another_precision_is_refused(small: Checkpoint) -> None:
    with pytest.raises(WeightsError, match=r"reads back from ggml as float16.*expected float32"):
        prove(small, replace(small, alignment_heads=()), FORMATS["ggml"], "float32")
