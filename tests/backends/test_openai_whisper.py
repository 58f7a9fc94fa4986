"""openai-whisper: what is its own, beside what test_behavior.py asks of everyone."""

from __future__ import annotations

from dataclasses import replace

from backends.conftest import Session, speech
from mac_whisper_speedtest.backends.contract import DecodeContract


def test_an_english_model_does_not_claim_the_german_it_was_asked_for() -> None:
    asked = replace(
        DecodeContract(), language="de", temperatures=[1.0], best_of=2, timestamps=False
    )
    with Session("openai-whisper") as session:
        heard = session.decode(asked, speech("short", 0.0, 3.0))
    assert heard.effective["language"] == heard.language == "en"
    assert heard.effective["best_of"] == 2
    assert {"temperatures", "best_of"} <= set(heard.observed)
