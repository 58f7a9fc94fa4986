"""Weights of every format, damaged at seeded places: an error that can be read, or weights."""

from __future__ import annotations

import json
import random
import shutil
import tracemalloc
import unicodedata
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from convert.conftest import small, small_ctranslate2
from mac_whisper_speedtest.convert.checkpoint import Checkpoint, validate
from mac_whisper_speedtest.convert.conversion import FORMATS, detect_format
from mac_whisper_speedtest.errors import WeightsError

__all__ = ["small", "small_ctranslate2"]  # fixtures

DAMAGES_EACH = 12
MOST_BYTES = 64 << 20
"""What reading a network of a few kilobytes may allocate, whatever its header claims."""

EXTREMES = (b"\xff" * 4, b"\0" * 4, b"\xff\xff\xff\x7f", b"\0\0\0\x80", b"\1\0\0\0", b"\xff" * 8)


def flip(data: bytearray, draw: random.Random) -> None:
    for _ in range(draw.randint(1, 8)):
        data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)


def cut(data: bytearray, draw: random.Random) -> None:
    del data[draw.randrange(len(data)) :]


def take_out(data: bytearray, draw: random.Random) -> None:
    start = draw.randrange(len(data))
    del data[start : start + draw.randint(1, 64)]


def put_in(data: bytearray, draw: random.Random) -> None:
    at = draw.randrange(len(data))
    data[at:at] = draw.randbytes(draw.randint(1, 64))


def repeat(data: bytearray, draw: random.Random) -> None:
    start, at = draw.randrange(len(data)), draw.randrange(len(data))
    data[at:at] = data[start : start + draw.randint(1, 256)]


def exaggerate(data: bytearray, draw: random.Random) -> None:
    """A size, a count or an offset that cannot be: headers are at the beginning, or at the end."""
    near = draw.choice((draw.randrange(min(256, len(data))), -draw.randrange(1, 256)))
    number = draw.choice(EXTREMES)
    at = near % len(data)
    data[at : at + len(number)] = number


def nest(data: bytearray, draw: random.Random) -> None:
    depth = draw.choice((70, 1000, 100_000))
    at = draw.randrange(len(data))
    data[at:at] = draw.choice((b"[", b'{"a":')) * depth


DAMAGES = (flip, cut, take_out, put_in, repeat, exaggerate, nest)


@pytest.fixture
def whole(
    small: Checkpoint, small_ctranslate2: Callable[..., Path], tmp_path: Path
) -> dict[str, Path]:
    """A small network in every format, each in a folder of its own."""
    folders = {"ctranslate2": small_ctranslate2()}
    tokenizer = json.loads((folders["ctranslate2"] / "tokenizer.json").read_bytes())
    names = (
        *("<|startoftranscript|>", "<|notimestamps|>", "<|startofprev|>", "<|nocaptions|>"),
        *("<|transcribe|>", "<|translate|>", "<|startoflm|>"),
    )
    tokenizer["added_tokens"] += [
        {"id": number, "content": name} for number, name in enumerate(names, 257)
    ]
    tokenizer["model"]["merges"] = []
    checkpoint = replace(small, assets={"tokenizer.json": json.dumps(tokenizer).encode()})
    for name, codec in FORMATS.items():
        if codec.writer is not None:
            folders[name] = tmp_path / name
            folders[name].mkdir()
            codec.writer.write(checkpoint, folders[name], "float16")
    for name, folder in folders.items():
        validate(FORMATS[name].read(folder))
    return folders


def read(weights_format: str, folder: Path) -> tuple[str, int]:
    """The message of an error, if there is one, and the most bytes that were allocated."""
    message = ""
    tracemalloc.start()
    try:
        detect_format(folder)
        validate(FORMATS[weights_format].read(folder))
    except WeightsError as error:
        message = error.message
    finally:
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    return message, most


@pytest.mark.parametrize("weights_format", FORMATS)
def test_damaged_weights_are_refused_or_read_and_nothing_else(
    weights_format: str, whole: dict[str, Path], tmp_path: Path, seed: int
) -> None:
    draw = random.Random(f"{weights_format} {seed}")
    codec, folder = FORMATS[weights_format], tmp_path / "damaged"
    for number in range(DAMAGES_EACH):
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(whole[weights_format], folder)
        # The weights as often as all side files together.
        side = sorted(path for path in folder.iterdir() if path.name != codec.file_names[0])
        path = draw.choice([folder / codec.file_names[0], draw.choice(side or [*folder.iterdir()])])
        data, damage = bytearray(path.read_bytes()), draw.choice(DAMAGES)
        damage(data, draw)
        path.write_bytes(data)
        message, most = read(weights_format, folder)
        what = f"{damage.__name__} number {number} of {path.name}"
        acting = [each for each in message if unicodedata.category(each) in {"Cc", "Cs"}]
        assert set(acting) <= {"\n"}, (what, message)
        assert most < MOST_BYTES, (what, most)
