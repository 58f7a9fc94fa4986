"""insanely-fast-whisper: what is its own, beside what test_behavior.py asks of everyone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from backends.conftest import Session, speech
from mac_whisper_speedtest.backends.contract import DecodeContract
from mac_whisper_speedtest.worker.exit_status import WorkerFailureError

GREEDY = DecodeContract()


def test_a_ladder_climbs_and_no_english_model_is_asked_for_german() -> None:
    audio = speech("short", 0.0, 3.0)
    with Session("insanely-fast-whisper") as session:
        assert session.loaded.details["attention"] == "sdpa"
        heard = session.decode(replace(GREEDY, temperatures=[0.0, 0.4]), audio)
        assert heard.effective["temperatures"] == [0.0, 0.4]
        assert "temperatures" in heard.observed
        # A worker is ended by its first failure, so this comes last.
        with pytest.raises(WorkerFailureError, match="English-only"):
            session.decode(replace(GREEDY, language="de"), audio)
