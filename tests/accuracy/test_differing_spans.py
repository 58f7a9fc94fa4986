"""Where two texts differ, and which of them is right."""

from __future__ import annotations

import pytest

from mac_whisper_speedtest.accuracy import differing_spans
from mac_whisper_speedtest.accuracy.differing_spans import DifferingSpan


def compare(reference: str | None, first: str, second: str) -> differing_spans.TextComparison:
    return differing_spans.compare_texts(reference, first, second, language="de")


def test_each_span_has_both_texts_and_which_is_right() -> None:
    found = compare(
        "a b c d e f g h i j",
        "a b c x e f g h i j",
        "a b c d e f g h z j k",
    )

    assert found.spans == (
        DifferingSpan("a b c", "d", "x", "d", "e f g", "second"),
        DifferingSpan("f g h", "i", "i", "z", "j", "first"),
        DifferingSpan("h i j", "", "", "k", "", "first"),
    )
    assert found.shared_errors == 0


def test_words_missing_and_added_show_as_nothing_on_the_other_side() -> None:
    (missing,) = compare("a b c", "a c", "a b c").spans
    (added,) = compare("a c", "a c", "a b c").spans

    assert (missing.reference, missing.first, missing.second) == ("b", "", "b")
    assert (added.reference, added.first, added.second) == ("c", "c", "b c")
    assert (missing.right, added.right) == ("second", "first")


def test_both_wrong_in_another_way_is_neither_right() -> None:
    (passage,) = compare("a b c", "a x c", "a y c").spans

    assert passage.right == "neither"


def test_what_both_got_wrong_alike_is_counted_and_not_shown() -> None:
    found = compare("a b c d e f", "a x c d y z", "a x c d y z")

    assert found.spans == ()
    assert found.shared_errors == 2


def test_the_same_words_set_against_other_words_of_the_reference_are_no_difference() -> None:
    found = compare("that that is", "that is", "that is")

    assert found.spans == ()


def test_without_a_reference_nobody_is_right() -> None:
    (passage,) = compare(None, "one two three", "one too three").spans

    assert passage == DifferingSpan("one", None, "two", "too", "three", None)
    assert compare("", "one", "one").shared_errors == 0


def test_other_punctuation_is_a_difference_in_formatting_only() -> None:
    found = compare("a b", "A, b.", "a b")

    assert (found.spans, found.only_formatting) == ((), True)
    assert not compare("a b", " a b", "a b ").only_formatting


def test_scripts_without_spaces_are_compared_character_by_character() -> None:
    found = differing_spans.compare_texts(
        "今天天气很好", "今天天汽很好", "今天天气很好。", language="zh"
    )

    assert found.spans == (DifferingSpan("今天天", "气", "汽", "气", "很好", "second"),)


@pytest.mark.parametrize("text", ["", "a", "a b c", "x y z"])
@pytest.mark.parametrize("reference", [None, "", "a b c"])
def test_a_text_does_not_differ_from_itself(reference: str | None, text: str) -> None:
    found = compare(reference, text, text)

    assert (found.spans, found.only_formatting) == ((), False)


def test_an_empty_text_is_one_span_with_all_words() -> None:
    (passage,) = compare("a b c", "a b c", "").spans

    assert (passage.reference, passage.first, passage.second) == ("a b c", "a b c", "")
    assert passage.right == "first"
