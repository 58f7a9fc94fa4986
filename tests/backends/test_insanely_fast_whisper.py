"""insanely-fast-whisper's pipeline on real weights and speech, in its own environment."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from backends.conftest import Samples, Session, installed_or_skip, speech
from conftest import Tool
from mac_whisper_speedtest.backends.contract import CONTRACTS, DecodeContract
from mac_whisper_speedtest.worker.endings import WorkerFailureError
from mac_whisper_speedtest.worker.messages import TranscribeResult

GREEDY = DecodeContract()


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    with Session("insanely-fast-whisper") as one:
        yield one


@pytest.fixture(scope="module")
def short() -> Samples:
    """12.3 s of speech, which five beams punctuate in another way than greedy search."""
    return speech("short")


@pytest.fixture(scope="module")
def greedy(session: Session, short: Samples) -> TranscribeResult:
    return session.decode(GREEDY, short)


def test_the_built_in_clip_is_measured_in_its_own_chunks(tool: Tool) -> None:
    installed_or_skip("insanely-fast-whisper")
    done = tool(
        *["run", "--model", "tiny.en", "-b", "insanely-fast-whisper", "--clip", "short"],
        *["--rounds", 1, "--runs", 1, "--max-time", 1, "--timeout", 250, "--json"],
        timeout=280,
    )
    assert done.returncode == 0, done.stderr
    cell = done.cell("insanely-fast-whisper")
    assert cell["status"] == "ok"
    assert cell["summary"]["wer"] <= 0.06
    contract = cell["contract"]
    assert {each["setting"] for each in contract["deviations"]} == {"window", "batch_size"}
    assert contract["effective"] == GREEDY.settings() | {"window": "chunked-30s", "batch_size": 24}
    assert {"beam_size", "temperatures", "timestamps"} <= set(contract["observed"])


def test_five_beams_find_another_text(
    session: Session, short: Samples, greedy: TranscribeResult
) -> None:
    beams = session.decode(CONTRACTS["beam5"], short)
    assert beams.text != greedy.text
    assert (greedy.effective["beam_size"], beams.effective["beam_size"]) == (1, 5)


def test_left_alone_it_searches_five_beams_and_predicts_times(
    session: Session, short: Samples
) -> None:
    heard = session.decode(CONTRACTS["as-shipped"], short[: 4 * 16000])
    assert heard.effective["beam_size"] == 5
    assert heard.effective["timestamps"] is True
    assert heard.effective["temperatures"] == [0.0]


def test_without_timestamps_the_text_is_one_segment(
    session: Session, short: Samples, greedy: TranscribeResult
) -> None:
    assert len(greedy.segments) > 1
    heard = session.decode(replace(GREEDY, timestamps=False), short)
    (only,) = heard.segments
    assert (only.start_s, only.end_s) == pytest.approx((0.0, 12.3))
    assert heard.effective["timestamps"] is False
    assert "<|" not in heard.text


def test_silence_is_decoded_like_everything_else(
    session: Session, short: Samples, greedy: TranscribeResult
) -> None:
    quiet = np.zeros(5 * 16000, np.float32)
    late = session.decode(GREEDY, np.concatenate([quiet, short]))
    assert late.segments[-1].end_s - greedy.segments[-1].end_s == pytest.approx(5.0, abs=0.6)


def test_above_temperature_zero_words_are_drawn(
    session: Session, short: Samples, greedy: TranscribeResult
) -> None:
    drawn = session.decode(replace(GREEDY, temperatures=[2.0]), short)
    assert drawn.text != greedy.text  # so hot that chance does not repeat it
    assert drawn.effective["temperatures"] == [2.0]
    assert "temperatures" in drawn.observed


def test_a_ladder_reaches_the_library_with_what_makes_it_climb(
    session: Session, short: Samples
) -> None:
    heard = session.decode(replace(GREEDY, temperatures=[0.0, 0.4]), short[: 4 * 16000])
    assert heard.effective["temperatures"] == [0.0, 0.4]
    assert "temperatures" in heard.observed


def test_an_english_model_is_not_asked_for_german(session: Session, short: Samples) -> None:
    with pytest.raises(WorkerFailureError, match="English-only"):
        session.decode(replace(GREEDY, language="de"), short[: 4 * 16000])
