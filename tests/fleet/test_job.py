"""Jobs and answers: what defines them, and what is refused."""

from __future__ import annotations

import msgspec
import pytest

from mac_whisper_speedtest.errors import UsageError
from mac_whisper_speedtest.fleet import job
from mac_whisper_speedtest.fleet.job import Delivery, Ending, Job, NodeAnswer
from mac_whisper_speedtest.request import from_keywords

ASKED = from_keywords(
    models=["tiny.en"], backends=["faster-whisper"], contract="beam5", rounds=2, durations=[2, 5]
)


def some_job(**changes: object) -> Job:
    return msgspec.structs.replace(Job(request=job.keywords(ASKED), to="/shared"), **changes)


def test_a_request_arrives_on_a_node_as_it_was_typed() -> None:
    sent = job.encode(Delivery(job=some_job(), attempt=3))

    arrived = job.decode_delivery(sent)

    assert arrived.job.asked() == ASKED
    assert arrived.attempt == 3


def test_the_id_is_the_same_after_a_journey() -> None:
    sent = job.encode(Delivery(job=some_job(), attempt=1))

    assert job.decode_delivery(sent).job.id == some_job().id


@pytest.mark.parametrize(
    "change", [{"to": "/other"}, {"on": ("chip=M4",)}, {"repetition": 1}, {"campaign": "w48"}]
)
def test_what_defines_a_job_is_in_its_id(change: dict[str, object]) -> None:
    assert some_job(**change).id != some_job().id


def test_options_that_are_their_defaults_are_not_sent() -> None:
    plain = from_keywords(models=["tiny.en"], retries=0, contract="greedy")

    assert job.keywords(plain) == {"models": ("tiny.en",)}


@pytest.mark.parametrize(
    "option", [{"mic": True}, {"manifest": "a.jsonl"}, {"audio": "talk.mp3"}, {"resume": ""}]
)
def test_options_of_one_machine_are_refused(option: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="machine"):
        job.keywords(from_keywords(models=["tiny.en"], **option))


def test_an_option_of_another_version_is_refused_on_the_node() -> None:
    with pytest.raises(UsageError, match="warmth"):
        some_job(request={"models": ["tiny.en"], "warmth": 3}).asked()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        '{"job": {}, "attempt": 1}',
        '{"job": {"request": {}, "to": "/x", "format": 2}, "attempt": 1}',
        '{"job": {"request": {}, "to": "/x"}, "attempt": 0}',
        '{"job": {"request": {}, "to": "/x"}, "attempt": 1, "more": 1}',
        "[" * 10_000,
    ],
)
def test_other_deliveries_are_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - each has its own message
        job.decode_delivery(text)


def test_an_answer_has_no_room_for_a_measurement() -> None:
    answer = NodeAnswer(id="0" * 64, attempt=1, ending=Ending.DONE, bundle_sha256="1" * 64)
    assert job.decode_answer(job.encode(answer)) == answer

    with pytest.raises(ValueError, match="median"):
        job.decode_answer(job.encode(answer)[:-1] + ',"median_s":1.0}')


def test_a_job_for_each_constraint_repetition_by_repetition() -> None:
    found = job.jobs_of(
        ASKED, on=["os=macos, memory>=16G", "chip=~M4*"], repeat=2, campaign="w48", to="/shared"
    )

    pair, one = ("memory>=16G", "os=macos"), ("chip=~M4*",)
    assert [(each.repetition, each.on) for each in found] == [
        (0, pair), (0, one), (1, pair), (1, one),
    ]  # fmt: skip
    assert {each.campaign for each in found} == {"w48"}
    assert len({each.id for each in found}) == 4


def test_the_order_of_constraints_makes_no_other_job() -> None:
    (one,) = job.jobs_of(ASKED, on=["a=1,b=2", "b=2,a=1"], to="/shared")

    assert one.on == ("a=1", "b=2")


@pytest.mark.parametrize("text", ["", "a=1,", " , "])
def test_an_empty_constraint_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="empty"):
        job.jobs_of(ASKED, on=[text], to="/shared")
