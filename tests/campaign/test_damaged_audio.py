"""Seeded damage to files of every container: refused with its reason, or nearly all there."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from fakes import sound_files
from mac_whisper_speedtest.audio import builtin
from mac_whisper_speedtest.audio.decode import SAMPLE_RATE, blocks
from mac_whisper_speedtest.errors import AudioError


@pytest.fixture(scope="module")
def reading() -> npt.NDArray[Any]:
    return builtin.load("cities", notify=print).samples


def decoded(data: bytes) -> float:
    return sum(block.size for block in blocks(data)) / SAMPLE_RATE


@pytest.mark.parametrize("kind", sound_files.KINDS)
def test_a_damaged_file_is_refused_or_nearly_all_of_it_is_there(
    kind: str, seed: int, reading: npt.NDArray[Any], tmp_path: Path
) -> None:
    chance = random.Random(f"{seed} {kind}")
    seconds = chance.uniform(3, 10)
    begin = chance.randrange(reading.size - round(seconds * SAMPLE_RATE))
    samples = reading[begin : begin + round(seconds * SAMPLE_RATE)]
    whole = sound_files.sound_file(kind, np.ascontiguousarray(samples), tmp_path)
    intact_s = decoded(whole)
    assert intact_s == pytest.approx(seconds, abs=0.1)

    stated = kind in sound_files.STATED
    files = sound_files.damaged(whole, seed, until=1.0 if stated else 0.8)
    if not stated:
        del files["cut off"]
    if kind in {"mp2", "mp3 without a header"}:
        del files["cut out"]  # two halves of frames may make one that can be decoded
    for what, data in files.items():
        refusal = None
        try:
            heard_s = decoded(data)
        except AudioError as error:
            refusal = error
        if refusal is None:
            assert heard_s >= 0.98 * intact_s, what
        else:
            assert "Error number" not in refusal.message
            assert refusal.hint


@pytest.mark.parametrize("kind", sound_files.KINDS)
def test_a_file_with_other_bytes_is_read_or_refused_in_words(
    kind: str, seed: int, reading: npt.NDArray[Any], tmp_path: Path
) -> None:
    """No traceback, and no endless audio, whatever a header says."""
    chance = random.Random(f"{seed} {kind} bytes")
    data = bytearray(sound_files.sound_file(kind, reading[: 2 * SAMPLE_RATE], tmp_path))
    for _ in range(chance.choice((1, 3, 10))):
        reach = chance.choice((60, 400, len(data)))
        data[chance.randrange(min(reach, len(data)))] = chance.choice(
            (0, 255, chance.randrange(256))
        )
    if chance.random() < 0.2:
        del data[chance.randrange(1, len(data)) :]
    try:
        heard_s = decoded(bytes(data))
    except AudioError:
        return
    assert heard_s < 60
