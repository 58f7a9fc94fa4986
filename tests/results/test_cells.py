"""What a cell is called, and how its rank, status and figures are written."""

from __future__ import annotations

import pytest

from mac_whisper_speedtest.results import cells


@pytest.mark.parametrize(
    ("given", "plain"),
    [
        ("faster-whisper", "faster-whisper"),
        ("faster-whisper@1.2.1", "faster-whisper"),
        ("faster-whisper:int8", "faster-whisper:int8"),
        ("faster-whisper@1.2.1:int8", "faster-whisper:int8"),
    ],
)
def test_a_version_is_no_part_of_what_is_compared_and_a_precision_is(
    given: str, plain: str
) -> None:
    assert cells.without_version(given) == plain


@pytest.mark.parametrize(
    ("requested", "version", "precision", "name"),
    [
        ("faster-whisper", "1.2.1", "int8", "faster-whisper 1.2.1 int8"),
        ("faster-whisper@1.2.1", "1.2.1", "int8", "faster-whisper@1.2.1 int8"),
        ("faster-whisper:int8", "1.2.1", "int8", "faster-whisper:int8 1.2.1"),
        ("faster-whisper@1.1.1:int8", "1.1.1", "int8", "faster-whisper@1.1.1:int8"),
        ("faster-whisper:int8", "1.2.1", "float32", "faster-whisper:int8 1.2.1 float32"),
        ("faster-whisper@1.1.1", "1.2.1", None, "faster-whisper@1.1.1 1.2.1"),
        ("faster-whisper", None, None, "faster-whisper"),
    ],
)
def test_a_name_is_what_was_requested_and_what_was_found_that_this_does_not_state(
    requested: str, version: str | None, precision: str | None, name: str
) -> None:
    assert cells.backend_name(requested, version, precision) == name


def test_equal_names_take_as_many_words_more_as_tell_them_apart() -> None:
    variants = {
        "1": ("a", "a cpu", "a cpu 4"),
        "2": ("a", "a gpu", "a gpu 4"),
        "3": ("b", "b cpu", "b cpu 4"),
        "4": ("a", "a cpu", "a cpu 8"),
    }
    assert cells.distinct(variants) == {"1": "a cpu 4", "2": "a gpu", "3": "b", "4": "a cpu 8"}
    assert cells.distinct({}) == {}


@pytest.mark.parametrize(
    ("rank", "last", "group", "text"),
    [
        (1, 1, "A", "1"),
        (1, 3, "A", "1–3"),
        (2, None, None, "2"),
        (2, 2, "B", "B2"),
        (1, 2, "C", "C1–2"),
        (None, None, "A", "–"),
    ],
)
def test_a_rank_has_its_tie_and_the_letter_of_every_group_but_the_first(
    rank: int | None, last: int | None, group: str | None, text: str
) -> None:
    assert cells.rank_text(rank, last, group) == text


def test_an_error_rate_of_characters_says_so_and_an_unknown_one_is_a_dash() -> None:
    assert cells.error_rate_text(0.0526, "wer") == "5.3%"
    assert cells.error_rate_text(0.0526, "cer") == "5.3% CER"
    assert cells.error_rate_text(None, "cer") == "–"


def test_a_number_has_its_interval_where_both_ends_are_known() -> None:
    assert cells.interval_text(1.0, 0.9, 1.25, ".2f") == "1.00 (0.90–1.25)"
    assert cells.interval_text(1.0, None, 1.25, ".2f") == "1.00"
    assert cells.interval_text(None, 0.9, 1.25, ".2f") == "–"
