"""sherpa-onnx in its own environment, on graphs that this tool wrote."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from backends.conftest import Session, speech
from mac_whisper_speedtest.backends.contract import CONTRACTS, DecodeContract
from mac_whisper_speedtest.worker.exit_status import WorkerFailureError

GREEDY = DecodeContract()


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    with Session("sherpa-onnx") as one:
        yield one


def test_with_times_it_has_segments_and_without_them_one(session: Session) -> None:
    timed = session.decode(GREEDY, speech("short"))
    assert len(timed.segments) > 1
    assert timed.segments[-1].end_s == pytest.approx(12.3, abs=1.0)
    plain = session.decode(replace(GREEDY, timestamps=False, language="de"), speech("short"))
    assert [(each.start_s, each.text) for each in plain.segments] == [(0.0, plain.text)]
    assert plain.effective["timestamps"] is False
    assert plain.effective["language"] == plain.language == "en"  # an English-only network
    for heard in (timed, plain):
        assert "age of foolishness" in heard.text


def test_left_alone_it_does_what_it_declares(session: Session) -> None:
    heard = session.decode(CONTRACTS["as-shipped"], speech("short", 0.0, 4.0))
    assert heard.effective == session.backend.decodes_with(CONTRACTS["as-shipped"])


def test_a_recording_of_which_it_would_leave_out_the_end_is_refused(session: Session) -> None:
    refusal = r"decodes only the first 29\.5 s, but this recording has 40"
    with pytest.raises(WorkerFailureError, match=refusal):
        session.decode(GREEDY, speech("cities", 0.0, 40.0))
