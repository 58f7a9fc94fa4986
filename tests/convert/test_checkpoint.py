from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import pytest

from mac_whisper_speedtest.convert.checkpoint import Checkpoint, network_sha256, validate
from mac_whisper_speedtest.errors import WeightsError

LN = "decoder.ln.bias"


def changed(checkpoint: Checkpoint, name: str, array: np.ndarray) -> Checkpoint:
    return replace(checkpoint, tensors={**checkpoint.tensors, name: array})


def test_a_whole_network_is_valid(small: Checkpoint) -> None:
    validate(small)


def test_a_missing_tensor_is_named(small: Checkpoint) -> None:
    tensors = {name: array for name, array in small.tensors.items() if name != LN}
    with pytest.raises(WeightsError, match=r"tensor decoder\.ln\.bias is missing"):
        validate(replace(small, tensors=tensors))


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        (LN, np.ones(9, np.float16), r"decoder\.ln\.bias has shape \[9\], expected \[8\]"),
        (LN, np.ones(8, np.float64), r"decoder\.ln\.bias is float64"),
        (LN, np.array([0, 1, np.nan] + [0] * 5, np.float32), r"is nan at \[2\]"),
        (LN, np.array([np.inf] * 8, np.float16), r"is inf at \[0\]"),
        ("decoder.blocks.2.attn.out.bias", np.ones(8, np.float16), r"blocks\.2.* is not part"),
    ],
)
def test_a_wrong_tensor_is_named(
    small: Checkpoint, name: str, array: np.ndarray, message: str
) -> None:
    with pytest.raises(WeightsError, match=message):
        validate(changed(small, name, array))


def test_an_alignment_head_must_exist(small: Checkpoint) -> None:
    with pytest.raises(WeightsError, match=r"alignment head \[2, 0\] does not exist"):
        validate(replace(small, alignment_heads=((2, 0),)))


def test_there_are_no_more_tokens_than_ids(small: Checkpoint) -> None:
    with pytest.raises(WeightsError, match="300 tokens for 258 token ids"):
        validate(replace(small, vocabulary=(b"x",) * 300))


@pytest.mark.parametrize(
    ("size", "value", "message"),
    [
        ("n_mels", 0, "n_mels is 0"),
        ("n_text_layer", 2**31, "n_text_layer is 2147483648"),
        ("n_text_head", 3, "n_text_state 8 is not a multiple of 3"),
        ("n_text_state", 16, "cross-attention cannot work"),
    ],
)
def test_impossible_sizes_are_refused(
    small: Checkpoint, size: str, value: int, message: str
) -> None:
    with pytest.raises(WeightsError, match=message):
        validate(replace(small, dims=replace(small.dims, **{size: value})))


def test_the_digest_is_the_documented_one(small: Checkpoint) -> None:
    content = b"whisper-network 1\n80 10 8 2 1 258 6 8 2 2\n"
    for name in sorted(set(small.tensors) - {"encoder.positional_embedding"}):
        shape = "x".join(str(size) for size in small.tensors[name].shape)
        content += f"{name} float32 {shape}\n".encode()
        content += small.tensors[name].astype("<f4").tobytes()
    assert network_sha256(small) == hashlib.sha256(content).hexdigest()


def test_tiny_en_has_this_identity(tiny_en_checkpoint: Checkpoint) -> None:
    assert (
        network_sha256(tiny_en_checkpoint)
        == "9cf86fb5bd676ed546c0a8cbed35abeb40e9d050456df2f332519e97abb77c31"
    )


def test_the_digest_ignores_widening_and_recomputed_positions(small: Checkpoint) -> None:
    widened = {name: array.astype(np.float32) for name, array in small.tensors.items()}
    widened["encoder.positional_embedding"] = widened["encoder.positional_embedding"] + 0.0001
    assert network_sha256(replace(small, tensors=widened)) == network_sha256(small)


def test_the_digest_sees_one_bit_and_one_head(small: Checkpoint) -> None:
    bits = small.tensors[LN].view(np.uint16) ^ np.array([0] * 7 + [1], np.uint16)
    other = changed(small, LN, bits.view(np.float16))
    heads = replace(small, dims=replace(small.dims, n_text_head=4))
    assert len({network_sha256(item) for item in (small, other, heads)}) == 3
