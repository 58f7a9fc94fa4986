from __future__ import annotations

import json
from typing import Any

import pytest

from mac_whisper_speedtest.convert.vocabulary import (
    base_vocabulary,
    byte_of_character,
    listed_tokens,
)
from mac_whisper_speedtest.errors import WeightsError


def tokenizer(vocab: dict[str, Any], end: object) -> bytes:
    added = [{"id": end, "content": "<|endoftext|>"}]
    return json.dumps({"added_tokens": added, "model": {"vocab": vocab}}).encode()


def test_every_byte_has_one_character() -> None:
    table = byte_of_character()
    assert sorted(table.values()) == list(range(256))
    assert (table["A"], table["Ġ"], table["Ċ"], table["é"]) == (0x41, 0x20, 0x0A, 0xE9)


def test_tokens_are_bytes_in_the_order_of_their_ids() -> None:
    content = tokenizer({"Ġthe": 1, "Ã©": 0, "<|endoftext|>": 2, "<|en|>": 3}, 2)
    assert base_vocabulary(content) == (b"\xc3\xa9", b" the")


@pytest.mark.parametrize("vocab", [{"a": 0, "": 1}, {"a": 0}])
def test_the_unused_id_below_the_end_is_an_empty_token(vocab: dict[str, Any]) -> None:
    assert base_vocabulary(tokenizer(vocab, 2)) == (b"a", b"")


@pytest.mark.parametrize(
    ("vocab", "end", "message"),
    [
        ({"a": 0, "b": 0, "c": 1}, 2, "gives id 0 to two tokens"),
        ({"a": 0, "b": 2, "c": 3}, 4, "no token with id 1"),
        ({"a": 0, "日": 1}, 2, "no byte-level character"),
        ({"a": 0}, 10**12, "has id 1000000000000 beside 1 tokens"),
        ({"a": 0}, 0, "has id 0"),
        ({"a": "0"}, 1, "no table of token to id"),
        ({"a": 0}, "1", r"no token <\|endoftext\|>"),
    ],
)
def test_a_tokenizer_that_does_not_fit_is_refused(
    vocab: dict[str, Any], end: object, message: str
) -> None:
    with pytest.raises(WeightsError, match=message):
        base_vocabulary(tokenizer(vocab, end))


def test_a_line_separator_inside_a_token_does_not_split_it() -> None:
    assert listed_tokens("a\n\x85\n\u2028\n".encode(), "vocabulary.txt") == ["a", "\x85", "\u2028"]


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(WeightsError, match=r"vocabulary\.txt cannot be read"):
        listed_tokens(b"\xff\xfe", "vocabulary.txt")
