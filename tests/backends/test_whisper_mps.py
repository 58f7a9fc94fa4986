"""whisper-mps on OpenAI's checkpoint and real speech, in its own environment."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from backends.conftest import Session, speech
from mac_whisper_speedtest.backends.contract import DecodeContract

GREEDY = DecodeContract()


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    with Session("whisper-mps") as one:
        yield one


@pytest.mark.timeout(600)
def test_without_timestamps_a_window_is_one_segment_and_an_english_model_stays_english(
    session: Session,
) -> None:
    asked = replace(GREEDY, timestamps=False, language="de", best_of=2)
    heard = session.decode(asked, speech("short", 0.0, 3.0))
    (segment,) = heard.segments
    assert segment.start_s == 0.0
    assert segment.end_s == pytest.approx(3.0)
    assert heard.effective["timestamps"] is False
    assert heard.effective["language"] == heard.language == "en"
    assert heard.effective["best_of"] == 1
    assert any("as audio" in remark for remark in heard.remarks)
