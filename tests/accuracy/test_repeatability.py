"""Whether texts repeat: every time, on every device and in every precision."""

from __future__ import annotations

from mac_whisper_speedtest.accuracy import repeatability
from mac_whisper_speedtest.accuracy.repeatability import SampleText


def sample(
    text: str,
    *,
    cell: str = "a",
    device: str | None = "cpu",
    precision: str | None = "float32",
    utterance: str = "u1",
    number: int = 0,
    backend: str = "faster-whisper",
) -> SampleText:
    return SampleText(cell, backend, "tiny.en", device, precision, utterance, text, number)


def test_the_same_text_every_time_has_no_differences() -> None:
    samples = [sample("Hello.", number=number) for number in (0, 0, 1)]

    (found,) = repeatability.within_cells(samples)

    assert (found.utterances, found.differing, found.most) == (1, 0, 1)


def test_texts_that_change_inside_a_process_are_counted_apart_from_changes_between() -> None:
    inside = [sample("Hello."), sample("Hallo.")]
    between = [sample("Hello."), sample("Hello."), sample("Hallo.", number=1)]

    (first,) = repeatability.within_cells(inside)
    (second,) = repeatability.within_cells(between)

    assert (first.differing, first.within_rounds) == (1, 1)
    assert (second.differing, second.within_rounds) == (1, 0)


def test_case_and_punctuation_are_counted_apart_from_words() -> None:
    samples = [
        sample("Hello, world."),
        sample("hello world", number=1),
        sample("yes", utterance="u2"),
        sample("no", utterance="u2", number=1),
    ]

    (found,) = repeatability.within_cells(samples)

    assert (found.utterances, found.differing, found.differing_words) == (2, 2, 1)


def test_spaces_are_no_difference() -> None:
    (found,) = repeatability.within_cells([sample(" Hello  world"), sample("Hello world ")])

    assert found.differing == 0


def test_a_cell_with_one_sample_cannot_disagree_with_itself() -> None:
    (found,) = repeatability.within_cells([sample("Hello.")])

    assert (found.utterances, found.differing, found.most) == (0, 0, 0)


def test_placements_of_one_backend_are_compared_text_by_text() -> None:
    samples = [
        sample("one", utterance="u1"),
        sample("two", utterance="u2"),
        sample("three", utterance="u3"),
        sample("one", utterance="u1", cell="b", precision="int8"),
        sample("to", utterance="u2", cell="b", precision="int8"),
        sample("alone", utterance="u4", cell="b", precision="int8"),
    ]

    (found,) = repeatability.across_placements(samples)

    assert (found.first, found.second) == ("cpu float32", "cpu int8")
    assert (found.utterances, found.differing, found.differing_words) == (2, 1, 1)


def test_a_text_that_both_placements_gave_once_is_no_difference_between_them() -> None:
    samples = [
        sample("one"),
        sample("won", number=1),
        sample("one", cell="b", device="gpu"),
    ]

    (found,) = repeatability.across_placements(samples)

    assert found.differing == 0


def test_other_backends_and_unknown_placements_are_kept_apart() -> None:
    other = [sample("one"), sample("two", backend="whisper.cpp", cell="b")]
    unknown = [sample("one"), sample("two", cell="b", device=None, precision=None)]

    assert repeatability.across_placements(other) == []
    assert repeatability.across_placements(unknown)[0].second == "device unknown precision unknown"
