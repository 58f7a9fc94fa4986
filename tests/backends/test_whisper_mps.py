"""whisper-mps on OpenAI's checkpoint and real speech, in its own environment."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from backends.conftest import Session, installed_or_skip, speech
from conftest import Tool
from mac_whisper_speedtest.backends.contract import DecodeContract

GREEDY = DecodeContract()


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    with Session("whisper-mps") as one:
        yield one


@pytest.mark.timeout(900)
def test_the_built_in_clip_is_measured_under_the_whole_contract(tool: Tool) -> None:
    installed_or_skip("whisper-mps")
    done = tool(
        *["run", "--model", "tiny.en", "-b", "whisper-mps", "--clip", "short"],
        *["--rounds", 1, "--runs", 1, "--max-time", 1, "--json"],
        timeout=800,
    )
    assert done.returncode == 0, done.stderr
    cell = done.cell("whisper-mps")
    assert cell["status"] == "ok"
    assert cell["summary"]["wer"] <= 0.06
    assert cell["contract"]["deviations"] == []
    assert cell["contract"]["effective"] == GREEDY.settings()
    assert {"language", "task", "beam_size", "timestamps"} <= set(cell["contract"]["observed"])


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
    assert any("silent audio" in remark for remark in heard.remarks)
