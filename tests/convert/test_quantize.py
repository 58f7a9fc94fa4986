from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest

from mac_whisper_speedtest.convert.quantize import BLOCK, QUANTIZATIONS, Quantization
from mac_whisper_speedtest.errors import WeightsError

F = np.float32


def awkward_blocks() -> np.ndarray:
    """Random blocks, and those at which a careless quantizer goes wrong."""
    generator = np.random.default_rng(7)
    blocks = generator.standard_normal((80, BLOCK)).astype(F)
    blocks[0] = 0.0
    blocks[1] = -0.0
    blocks[2], blocks[3] = [0.0, -0.0] * 16, [-0.0, 0.0] * 16
    blocks[4], blocks[5] = 1.0, -1.0
    blocks[6], blocks[7] = [1, -1] * 16, [-1, 1] * 16  # the first of two equal extremes counts
    blocks[8] = 0.0
    blocks[8, 3] = -6e-8  # the least float16
    blocks[9], blocks[10] = np.arange(32) - 16, np.arange(32) - 15.5
    blocks[11] = [65504, -65504] * 16
    blocks[12:40] = generator.integers(-254, 255, (28, BLOCK)) / 2  # halves, to be rounded
    blocks[12:40, 0] = 127
    return blocks


def scalar(name: str, block: np.ndarray) -> bytes:
    """One block, value by value, in float32: the plainest reading of ggml's definition."""
    values = [F(value) for value in block]
    levels = {"q4_0": 8, "q4_1": 15, "q5_0": 16, "q5_1": 31, "q8_0": 127}[name]
    lowest = None
    if name == "q8_0":
        scale = F(max(abs(value) for value in values) / F(127))
    elif name.endswith("_1"):
        lowest = highest = values[0]
        for value in values:
            lowest, highest = min(lowest, value), max(highest, value)  # the first of equals
        scale = F(F(highest - lowest) / F(levels))
    else:
        extreme = F(0)
        for value in values:
            if abs(value) > abs(extreme):
                extreme = value
        scale = F(extreme / F(-levels))
    inverse = F(F(1) / scale) if scale else F(0)
    head = np.float16(scale).tobytes()
    if name == "q8_0":
        scaled = [F(value * inverse) for value in values]
        rounded = [math.copysign(math.floor(abs(float(v)) + 0.5), v) for v in scaled]
        return head + np.array(rounded, np.int8).tobytes()
    if lowest is not None:
        head += np.float16(lowest).tobytes()
        counts = [int(F(F(F(value - lowest) * inverse) + F(0.5))) for value in values]
    else:
        counts = [int(F(F(value * inverse) + F(levels + 0.5))) for value in values]
        counts = [min(2 * levels - 1, count) for count in counts]
    if name.startswith("q5"):
        word = sum((count >> 4) << place for place, count in enumerate(counts))
        head += word.to_bytes(4, "little")
    return head + bytes((counts[j] & 15) | (counts[j + 16] & 15) << 4 for j in range(16))


@pytest.mark.parametrize("kind", QUANTIZATIONS.values(), ids=QUANTIZATIONS)
def test_every_block_is_that_of_a_plain_loop(kind: Quantization) -> None:
    blocks = awkward_blocks()
    stored = kind.quantize(blocks).reshape(len(blocks), -1)
    for number, block in enumerate(blocks):
        assert stored[number].tobytes() == scalar(kind.name, block), number


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        # 0 to 31 in steps of 1: the scale is exactly 1 for q5_1, 31/127 for q8_0.
        ("q5_1", "003c00000000ffff" + "".join(f"{n:x}{n:x}" for n in range(16))),
        ("q8_0", "0000" + bytes(int(n * 127 / 31 + 0.5) for n in range(32)).hex()),
    ],
)
def test_a_block_by_hand(name: str, expected: str) -> None:
    values = np.arange(32, dtype=F)
    if name == "q8_0":
        expected = np.float16(31 / 127).tobytes().hex() + expected[4:]
    assert QUANTIZATIONS[name].quantize(values).tobytes().hex() == expected


@pytest.mark.parametrize("kind", QUANTIZATIONS.values(), ids=QUANTIZATIONS)
def test_no_value_moves_further_than_the_bound(kind: Quantization) -> None:
    blocks = awkward_blocks()
    back = kind.dequantize(kind.quantize(blocks), blocks.shape)
    moved = np.abs(back.astype(np.float64) - blocks).max(axis=1)
    bounds = kind.bounds(blocks)
    assert (moved <= bounds).all()
    # ... and the bound is no idle one: some block comes near it.
    assert (moved / bounds).max() > 0.9


@pytest.mark.parametrize("kind", QUANTIZATIONS.values(), ids=QUANTIZATIONS)
def test_many_blocks_are_those_of_few(kind: Quantization) -> None:
    matrix = awkward_blocks().reshape(20, 4 * BLOCK)
    whole = kind.quantize(matrix)
    rows = [kind.quantize(row) for row in matrix]
    assert np.array_equal(whole, np.concatenate(rows))
    back = kind.dequantize(whole, matrix.shape)
    assert np.array_equal(
        back.view(np.uint32),
        np.stack(
            [kind.dequantize(row, (4 * BLOCK,)) for row in rows],
        ).view(np.uint32),
    )


def test_sizes_and_numbers_are_ggmls() -> None:
    sizes = {name: kind.size_bytes((2, 32)) // 2 for name, kind in QUANTIZATIONS.items()}
    assert sizes == {"q8_0": 34, "q5_1": 24, "q5_0": 22, "q4_1": 20, "q4_0": 18}
    numbers = {name: (kind.type_id, kind.file_type) for name, kind in QUANTIZATIONS.items()}
    assert numbers == {
        "q8_0": (8, 7),
        "q5_1": (7, 9),
        "q5_0": (6, 8),
        "q4_1": (3, 3),
        "q4_0": (2, 2),
    }


def test_rows_that_do_not_divide_into_blocks_are_refused() -> None:
    with pytest.raises(WeightsError, match="rows of 48 values cannot be stored as q8_0"):
        QUANTIZATIONS["q8_0"].quantize(np.zeros((2, 48), F))


def test_gguf_is_imported_only_to_quantize() -> None:
    code = "import sys, mac_whisper_speedtest.convert.conversion; print('gguf' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
