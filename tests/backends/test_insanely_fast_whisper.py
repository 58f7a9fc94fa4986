"""insanely-fast-whisper: what is its own, beside what test_behavior.py asks of everyone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from backends.conftest import Session, speech
from mac_whisper_speedtest.backends.contract import CONTRACTS, DecodeContract
from mac_whisper_speedtest.backends.insanely_fast_whisper import (
    Batch,
    InsanelyFastWhisper,
    NetworkShape,
    batch_bytes,
    largest_batch,
)
from mac_whisper_speedtest.worker.exit_status import WorkerFailureError

GREEDY = DecodeContract()


def test_a_ladder_climbs_and_no_english_model_is_asked_for_german() -> None:
    audio = speech("short", 0.0, 3.0)
    with Session("insanely-fast-whisper") as session:
        assert session.loaded.details["attention"] == "sdpa"
        assert session.decode(GREEDY, audio).effective["batch_size"] == 24
        heard = session.decode(replace(GREEDY, temperatures=[0.0, 0.4]), audio)
        assert heard.effective["temperatures"] == [0.0, 0.4]
        assert "temperatures" in heard.observed
        # A worker is ended by its first failure, so this comes last.
        with pytest.raises(WorkerFailureError, match="English-only"):
            session.decode(replace(GREEDY, language="de"), audio)


LARGE_V3 = NetworkShape(3_087_000_000, 2, width=1280, heads=20, decoder_layers=32)
TURBO = NetworkShape(1_618_000_000, 2, width=1280, heads=20, decoder_layers=4)
TINY = NetworkShape(76_000_000, 2, width=384, heads=6, decoder_layers=4)
# Of Macs with 8, 16, 24 and 64 GB; as whisper.cpp and MLX print them.
SMALL, USUAL, LARGER, LARGE = 5_726_620_000, 11_453_250_000, 17_179_870_000, 51_539_610_000


@pytest.mark.parametrize(
    ("shape", "beams", "recommended", "batch"),
    [
        (LARGE_V3, 1, SMALL, 2),
        (LARGE_V3, 1, USUAL, 8),
        (LARGE_V3, 1, LARGER, 16),
        (LARGE_V3, 1, LARGE, 24),
        (LARGE_V3, 5, USUAL, 2),
        (LARGE_V3, 5, 2_000_000_000, 1),  # less than the weights
        (TURBO, 1, SMALL, 8),
        (TURBO, 1, USUAL, 24),
        (TINY, 1, SMALL, 24),
        (LARGE_V3, 5, None, 24),  # not a Mac's GPU
    ],
)
def test_a_mac_s_gpu_gets_as_many_chunks_at_once_as_its_memory_holds(
    shape: NetworkShape, beams: int, recommended: int | None, batch: int
) -> None:
    assert largest_batch(shape, beams, recommended) == batch
    if recommended is not None and batch > 1:
        assert batch_bytes(shape, batch, beams) < recommended


def test_a_smaller_batch_is_an_effective_setting_and_a_remark() -> None:
    adapter = InsanelyFastWhisper()
    adapter._shape, adapter._limit, adapter._multilingual = LARGE_V3, USUAL, False
    adapter._batches = [Batch({"beam_size": 1}, None, 0)]
    reduced = adapter.effective(GREEDY)
    assert reduced.values["batch_size"] == 8
    assert any("8 chunks at once, not 24" in each for each in reduced.remarks)
    # Five beams keep five times as much.
    assert adapter.effective(CONTRACTS["beam5"]).values["batch_size"] == 2
    adapter._limit = None
    plain = adapter.effective(GREEDY)
    assert plain.values["batch_size"] == 24
    assert not any("at once" in each for each in plain.remarks)
