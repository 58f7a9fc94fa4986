"""The same text every time, on every device and in every precision, or not."""

from __future__ import annotations

from mac_whisper_speedtest.accuracy import text
from mac_whisper_speedtest.accuracy.text import Heard


def heard(
    text: str,
    *,
    cell: str = "a",
    device: str | None = "cpu",
    precision: str | None = "float32",
    utterance: str = "u1",
    number: int = 0,
    backend: str = "faster-whisper",
) -> Heard:
    return Heard(cell, backend, "tiny.en", device, precision, utterance, text, number)


def test_the_same_text_every_time_is_nothing_to_say() -> None:
    samples = [heard("Hello.", number=number) for number in (0, 0, 1)]

    (found,) = text.repeats(samples)

    assert (found.utterances, found.differing, found.most) == (1, 0, 1)


def test_a_text_that_changes_inside_a_process_is_told_from_one_that_changes_between() -> None:
    inside = [heard("Hello."), heard("Hallo.")]
    between = [heard("Hello."), heard("Hello."), heard("Hallo.", number=1)]

    (first,) = text.repeats(inside)
    (second,) = text.repeats(between)

    assert (first.differing, first.within_rounds) == (1, 1)
    assert (second.differing, second.within_rounds) == (1, 0)


def test_case_and_punctuation_are_told_from_words() -> None:
    samples = [
        heard("Hello, world."),
        heard("hello world", number=1),
        heard("yes", utterance="u2"),
        heard("no", utterance="u2", number=1),
    ]

    (found,) = text.repeats(samples)

    assert (found.utterances, found.differing, found.differing_words) == (2, 2, 1)


def test_spaces_are_no_difference() -> None:
    (found,) = text.repeats([heard(" Hello  world"), heard("Hello world ")])

    assert found.differing == 0


def test_a_cell_heard_once_cannot_disagree_with_itself() -> None:
    (found,) = text.repeats([heard("Hello.")])

    assert (found.utterances, found.differing, found.most) == (0, 0, 0)


def test_placements_of_one_backend_are_compared_text_by_text() -> None:
    samples = [
        heard("one", utterance="u1"),
        heard("two", utterance="u2"),
        heard("three", utterance="u3"),
        heard("one", utterance="u1", cell="b", precision="int8"),
        heard("to", utterance="u2", cell="b", precision="int8"),
        heard("alone", utterance="u4", cell="b", precision="int8"),
    ]

    (found,) = text.placements(samples)

    assert (found.first, found.second) == ("cpu float32", "cpu int8")
    assert (found.utterances, found.differing, found.differing_words) == (2, 1, 1)


def test_a_text_that_both_placements_gave_once_is_no_difference_between_them() -> None:
    samples = [
        heard("one"),
        heard("won", number=1),
        heard("one", cell="b", device="gpu"),
    ]

    (found,) = text.placements(samples)

    assert found.differing == 0


def test_other_backends_and_unknown_placements_are_kept_apart() -> None:
    other = [heard("one"), heard("two", backend="whisper.cpp", cell="b")]
    unknown = [heard("one"), heard("two", cell="b", device=None, precision=None)]

    assert text.placements(other) == []
    assert text.placements(unknown)[0].second == "device unknown precision unknown"
