"""WhisperX's transcription on real weights and speech, in its own environment."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from backends.conftest import Samples, Session, speech
from mac_whisper_speedtest.backends.contract import CONTRACTS, DecodeContract


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    with Session("whisperx") as one:
        yield one


@pytest.fixture(scope="module")
def short() -> Samples:
    """12.3 s of speech."""
    return speech("short")


def test_beams_arrive(session: Session, short: Samples) -> None:
    greedy = session.decode(DecodeContract(), short)
    beams = session.decode(CONTRACTS["beam5"], short)
    shipped = session.decode(CONTRACTS["as-shipped"], short)
    found = [each.effective["beam_size"] for each in (greedy, beams, shipped)]
    assert found == [1, 5, 5]


def test_silence_is_cut_off_before_decoding(session: Session, short: Samples) -> None:
    quiet = np.zeros(5 * 16000, np.float32)
    late = session.decode(DecodeContract(), np.concatenate([quiet, short]))
    assert 4.0 < late.segments[0].start_s < 7.0


def test_nothing_but_silence_is_no_text(session: Session) -> None:
    assert session.decode(DecodeContract(), np.zeros(2 * 16000, np.float32)).text == ""
