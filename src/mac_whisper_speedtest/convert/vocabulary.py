"""Token bytes from a byte-level tokenizer file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

from mac_whisper_speedtest import limits
from mac_whisper_speedtest.convert.cursor import parse_json_object
from mac_whisper_speedtest.errors import WeightsError

END_OF_TEXT = "<|endoftext|>"


@cache
def byte_of_character() -> Mapping[str, int]:
    """The byte that each character of byte-level BPE stands for.

    GPT-2's scheme: a byte that is a printable Latin-1 character stands for itself, and the 68
    others (control codes, space, no-break space, soft hyphen) have the code points from 256 up, in
    byte order.
    """
    itself = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    shifted = (byte for byte in range(256) if byte not in itself)
    return {
        **{chr(byte): byte for byte in itself},
        **{chr(256 + position): byte for position, byte in enumerate(shifted)},
    }


def base_vocabulary(tokenizer_json: bytes) -> tuple[bytes, ...]:
    """The bytes of every byte-pair token, by id, from a ``tokenizer.json``.

    Only ids below ``<|endoftext|>`` are byte-pair tokens; above it are languages, tasks and times.
    Multilingual Whisper has one unused id right below it, for which some files have an empty token
    and others none: both give ``b""``.

    Raises:
        WeightsError: the file is not such a tokenizer, or an id or a character does not fit.
    """
    content = parse_json_object(tokenizer_json, "tokenizer.json")
    model = content.get("model")
    vocab = model.get("vocab") if isinstance(model, dict) else None
    if not isinstance(vocab, dict) or not all(type(number) is int for number in vocab.values()):
        raise WeightsError("tokenizer.json has no table of token to id under model.vocab")
    end = _end_of_text(content, vocab)
    if not 0 < end <= len(vocab) + 1:  # also limits the list below
        raise WeightsError(f"tokenizer.json: {END_OF_TEXT} has id {end} beside {len(vocab)} tokens")
    tokens: list[bytes | None] = [None] * end
    for text, number in vocab.items():
        if not 0 <= number < end:
            continue
        if tokens[number] is not None:
            raise WeightsError(f"tokenizer.json gives id {number} to two tokens, one is {text!r}")
        tokens[number] = _bytes_of(text)
    if tokens[-1] is None:
        tokens[-1] = b""
    for number, token in enumerate(tokens):
        if token is None:
            raise WeightsError(f"tokenizer.json has no token with id {number}")
    return tuple(token for token in tokens if token is not None)


def _end_of_text(content: Mapping[str, Any], vocab: Mapping[str, int]) -> int:
    added = content.get("added_tokens")
    for item in added if isinstance(added, list) else ():
        if isinstance(item, dict) and item.get("content") == END_OF_TEXT:
            number = item.get("id")
            if type(number) is int:
                return number
    if END_OF_TEXT in vocab:
        return vocab[END_OF_TEXT]
    raise WeightsError(f"tokenizer.json has no token {END_OF_TEXT}")


def _bytes_of(text: str) -> bytes:
    table = byte_of_character()
    try:
        return bytes(table[character] for character in text)
    except KeyError as error:
        raise WeightsError(
            f"tokenizer.json: {error.args[0]!r} in token {text!r} is no byte-level character"
        ) from error


def listed_tokens(content: bytes, name: str) -> list[str]:
    """The tokens of a ``vocabulary.txt`` (one a line) or ``vocabulary.json`` (a list), in order.

    Raises:
        WeightsError: it is neither.
    """
    try:
        limits.check_depth(content)
        text = content.decode("utf-8")
        # split, not splitlines: some tokens are characters that Python treats as line ends.
        listed = json.loads(text) if name.endswith(".json") else text.split("\n")
    except ValueError as error:
        raise WeightsError(f"{name} cannot be read: {error}") from error
    if not isinstance(listed, list) or not all(isinstance(token, str) for token in listed):
        raise WeightsError(f"{name} is not a list of tokens")
    if not name.endswith(".json") and listed[-1] == "":
        listed.pop()
    return listed
