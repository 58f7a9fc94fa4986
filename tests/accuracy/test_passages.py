"""Where two texts differ, and which of them is right."""

from __future__ import annotations

import pytest

from mac_whisper_speedtest.accuracy import gate
from mac_whisper_speedtest.accuracy.gate import Passage


def compare(reference: str | None, first: str, second: str) -> gate.Differences:
    return gate.compare(reference, first, second, language="de")


def test_each_place_says_what_both_wrote_and_who_is_right() -> None:
    found = compare(
        "a b c d e f g h i j",
        "a b c x e f g h i j",
        "a b c d e f g h z j k",
    )

    assert found.passages == (
        Passage("a b c", "d", "x", "d", "e f g", "second"),
        Passage("f g h", "i", "i", "z", "j", "first"),
        Passage("h i j", "", "", "k", "", "first"),
    )
    assert found.shared_errors == 0


def test_words_missing_and_added_show_as_nothing_on_the_other_side() -> None:
    (missing,) = compare("a b c", "a c", "a b c").passages
    (added,) = compare("a c", "a c", "a b c").passages

    assert (missing.reference, missing.first, missing.second) == ("b", "", "b")
    assert (added.reference, added.first, added.second) == ("c", "c", "b c")
    assert (missing.right, added.right) == ("second", "first")


def test_both_wrong_in_another_way_is_neither_right() -> None:
    (passage,) = compare("a b c", "a x c", "a y c").passages

    assert passage.right == "neither"


def test_what_both_got_wrong_alike_is_counted_and_not_shown() -> None:
    found = compare("a b c d e f", "a x c d y z", "a x c d y z")

    assert found.passages == ()
    assert found.shared_errors == 2


def test_the_same_words_set_against_other_words_of_the_reference_are_no_difference() -> None:
    found = compare("that that is", "that is", "that is")

    assert found.passages == ()


def test_without_a_reference_nobody_is_right() -> None:
    (passage,) = compare(None, "one two three", "one too three").passages

    assert passage == Passage("one", None, "two", "too", "three", None)
    assert compare("", "one", "one").shared_errors == 0


def test_other_punctuation_is_a_difference_in_form_only() -> None:
    found = compare("a b", "A, b.", "a b")

    assert (found.passages, found.only_form) == ((), True)
    assert not compare("a b", " a b", "a b ").only_form


def test_scripts_without_spaces_are_compared_character_by_character() -> None:
    found = gate.compare("今天天气很好", "今天天汽很好", "今天天气很好。", language="zh")

    assert found.passages == (Passage("今天天", "气", "汽", "气", "很好", "second"),)


@pytest.mark.parametrize("text", ["", "a", "a b c", "x y z"])
@pytest.mark.parametrize("reference", [None, "", "a b c"])
def test_a_text_does_not_differ_from_itself(reference: str | None, text: str) -> None:
    found = compare(reference, text, text)

    assert (found.passages, found.only_form) == ((), False)


def test_nothing_said_by_one_is_one_place_with_all_of_it() -> None:
    (passage,) = compare("a b c", "a b c", "").passages

    assert (passage.reference, passage.first, passage.second) == ("a b c", "a b c", "")
    assert passage.right == "first"
