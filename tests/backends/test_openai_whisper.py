"""openai-whisper on real weights and speech, in its own environment."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from backends.conftest import Samples, Session, installed_or_skip, speech
from conftest import Tool
from mac_whisper_speedtest.backends.contract import CONTRACTS, DecodeContract
from mac_whisper_speedtest.worker.messages import TranscribeResult

GREEDY = DecodeContract()


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    with Session("openai-whisper") as one:
        yield one


@pytest.fixture(scope="module")
def short() -> Samples:
    """12.3 s of speech, which five beams punctuate in another way than greedy search."""
    return speech("short")


@pytest.fixture(scope="module")
def greedy(session: Session, short: Samples) -> TranscribeResult:
    return session.decode(GREEDY, short)


def test_the_built_in_clip_is_measured_under_the_whole_contract(tool: Tool) -> None:
    installed_or_skip("openai-whisper")
    done = tool(
        *["run", "--model", "tiny.en", "-b", "openai-whisper", "--clip", "short"],
        *["--rounds", 1, "--runs", 1, "--max-time", 1, "--timeout", 250, "--json"],
        timeout=280,
    )
    assert done.returncode == 0, done.stderr
    cell = done.cell("openai-whisper")
    assert cell["status"] == "ok"
    assert cell["summary"]["wer"] <= 0.06
    assert cell["contract"]["deviations"] == []
    assert cell["contract"]["effective"] == GREEDY.settings()
    assert {"language", "task", "beam_size", "timestamps"} <= set(cell["contract"]["observed"])


def test_five_beams_find_another_text(
    session: Session, short: Samples, greedy: TranscribeResult
) -> None:
    beams = session.decode(CONTRACTS["beam5"], short)
    assert beams.text != greedy.text
    assert (greedy.effective["beam_size"], beams.effective["beam_size"]) == (1, 5)


def test_without_timestamps_a_window_is_one_segment(
    session: Session, short: Samples, greedy: TranscribeResult
) -> None:
    assert len(greedy.segments) > 1
    heard = session.decode(replace(GREEDY, timestamps=False), short)
    (only,) = heard.segments
    assert (only.start_s, only.end_s) == pytest.approx((0.0, 12.3))
    assert heard.effective["timestamps"] is False


def test_silence_is_decoded_like_everything_else(
    session: Session, short: Samples, greedy: TranscribeResult
) -> None:
    quiet = np.zeros(5 * 16000, np.float32)
    late = session.decode(GREEDY, np.concatenate([quiet, short]))
    assert late.segments[-1].end_s - greedy.segments[-1].end_s == pytest.approx(5.0, abs=0.6)


def test_above_temperature_zero_words_are_drawn(
    session: Session, short: Samples, greedy: TranscribeResult
) -> None:
    drawn = session.decode(replace(GREEDY, temperatures=[2.0], best_of=2), short)
    assert drawn.text != greedy.text  # so hot that chance does not repeat it
    assert drawn.effective["temperatures"] == [2.0]
    assert drawn.effective["best_of"] == 2
    assert {"temperatures", "best_of"} <= set(drawn.observed)


def test_an_english_model_does_not_claim_the_german_it_was_asked_for(
    session: Session, short: Samples
) -> None:
    heard = session.decode(replace(GREEDY, language="de"), short[: 4 * 16000])
    assert heard.effective["language"] == heard.language == "en"


def test_left_alone_it_has_a_ladder_and_conditions_on_previous_text(
    session: Session, short: Samples
) -> None:
    heard = session.decode(CONTRACTS["as-shipped"], short[: 4 * 16000])
    assert heard.effective["temperatures"] == [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    assert heard.effective["condition_on_previous_text"] is True
    assert heard.effective["beam_size"] == 1
