"""lightning-whisper-mlx on real weights and real speech, in its own environment."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from backends.conftest import Session, speech
from mac_whisper_speedtest.backends.contract import CONTRACTS, DecodeContract

GREEDY = DecodeContract()


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    with Session("lightning-whisper-mlx") as one:
        yield one


@pytest.mark.timeout(600)
def test_a_segment_is_a_window_and_an_english_model_stays_english(session: Session) -> None:
    heard = session.decode(replace(GREEDY, language="de"), speech("short", 0.0, 3.0))
    assert [(each.start_s, each.end_s) for each in heard.segments] == [(0.0, 3.0)]
    assert heard.segments[0].text == heard.text
    assert "best of times" in heard.text
    assert heard.effective["timestamps"] is False
    assert heard.effective["language"] == heard.language == "en"
    assert any("loses words" in remark for remark in heard.remarks)


@pytest.mark.timeout(600)
def test_times_are_predicted_only_when_it_is_left_to_itself(session: Session) -> None:
    own = session.decode(CONTRACTS["as-shipped"], speech("short", 0.0, 3.0))
    assert own.effective["timestamps"] is True
    assert {"timestamps", "language"} <= set(own.observed)
