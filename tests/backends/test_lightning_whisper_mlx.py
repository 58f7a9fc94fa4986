"""lightning-whisper-mlx on real weights and real speech, in its own environment."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from backends.conftest import Session, installed_or_skip, speech
from conftest import Tool
from mac_whisper_speedtest.backends.contract import DecodeContract

GREEDY = DecodeContract()
OWN_WAY = {"temperatures": [0.0, 1.0], "window": "fixed-30s", "batch_size": 12}


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    with Session("lightning-whisper-mlx") as one:
        yield one


@pytest.mark.timeout(900)
def test_the_built_in_clip_is_understood_and_what_it_does_its_own_way_is_told(tool: Tool) -> None:
    installed_or_skip("lightning-whisper-mlx")
    done = tool(
        *["run", "--model", "tiny.en", "-b", "lightning-whisper-mlx", "--clip", "short"],
        *["--rounds", 1, "--runs", 1, "--max-time", 1, "--json"],
        timeout=800,
    )
    assert done.returncode == 0, done.stderr
    cell = done.cell("lightning-whisper-mlx")
    assert cell["status"] == "ok"
    assert cell["summary"]["wer"] <= 0.06
    assert cell["contract"]["effective"] == GREEDY.settings() | OWN_WAY
    assert {each["setting"] for each in cell["contract"]["deviations"]} == set(OWN_WAY)


@pytest.mark.timeout(600)
def test_a_segment_is_a_window_and_an_english_model_stays_english(session: Session) -> None:
    asked = replace(GREEDY, timestamps=False, language="de")
    heard = session.decode(asked, speech("short", 0.0, 3.0))
    assert [(each.start_s, each.end_s) for each in heard.segments] == [(0.0, 3.0)]
    assert heard.segments[0].text == heard.text
    assert "best of times" in heard.text
    assert heard.effective["timestamps"] is False
    assert heard.effective["language"] == heard.language == "en"
    assert any("loses the words" in remark for remark in heard.remarks)
