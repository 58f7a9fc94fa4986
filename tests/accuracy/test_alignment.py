"""Two texts side by side, by hand."""

from __future__ import annotations

import itertools

import pytest

from mac_whisper_speedtest.accuracy import score
from mac_whisper_speedtest.accuracy.score import Chunk, Counts


def test_words_replaced_missing_and_added_are_told_apart() -> None:
    chunks = score.align(["the", "cat", "sat", "down"], ["the", "dog", "sat", "down", "again"])

    assert chunks == (
        Chunk("equal", ("the",), ("the",)),
        Chunk("substitute", ("cat",), ("dog",)),
        Chunk("equal", ("sat", "down"), ("sat", "down")),
        Chunk("insert", (), ("again",)),
    )
    assert score.count(chunks) == Counts(hits=3, substitutions=1, insertions=1)
    assert score.errors_at(chunks) == (0, 1, 0, 1)


def test_added_words_count_at_the_word_they_stand_in_front_of() -> None:
    chunks = score.align(["b", "c"], ["x", "y", "b", "c"])

    assert score.errors_at(chunks) == (2, 0)


def test_nothing_to_align_with_is_all_missing_or_all_added() -> None:
    assert score.align([], []) == ()
    assert score.align(["a", "b"], []) == (Chunk("delete", ("a", "b"), ()),)
    assert score.align([], ["a"]) == (Chunk("insert", (), ("a",)),)
    assert score.errors_at(score.align([], ["a"])) == ()


def test_a_unit_may_be_a_space() -> None:
    chunks = score.align(list("a b"), list("ab"))

    assert score.count(chunks) == Counts(hits=2, deletions=1)


@pytest.mark.parametrize(
    ("first", "second"),
    list(itertools.product(["", "a", "a b c a", "c c c", "a b b a c"], repeat=2)),
)
def test_an_alignment_has_both_texts_and_as_many_errors_as_positions(
    first: str, second: str
) -> None:
    chunks = score.align(first.split(), second.split())
    counts = score.count(chunks)

    assert [word for chunk in chunks for word in chunk.reference] == first.split()
    assert [word for chunk in chunks for word in chunk.hypothesis] == second.split()
    assert counts.hits + counts.substitutions + counts.deletions == len(first.split())
    if first:
        errors = counts.substitutions + counts.deletions + counts.insertions
        assert sum(score.errors_at(chunks)) == errors
