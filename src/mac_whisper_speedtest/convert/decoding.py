"""What a model's JSON files say about decoding: alignment heads and tokens never produced."""

from __future__ import annotations

from typing import Any

from mac_whisper_speedtest.errors import WeightsError


def alignment_heads(config: dict[str, Any], name: str) -> tuple[tuple[int, int], ...]:
    """The (decoder layer, head) pairs under ``alignment_heads``; none where it is absent or null.

    Args:
        config: the file's object.
        name: the file, for the message.

    Raises:
        WeightsError: it is not a list of pairs of integers.
    """
    pairs = config.get("alignment_heads") or []
    good = isinstance(pairs, list) and all(
        isinstance(pair, list) and len(pair) == 2 and all(type(item) is int for item in pair)
        for pair in pairs
    )
    if not good:
        raise WeightsError(f"{name}: alignment_heads is not a list of [layer, head]")
    return tuple((pair[0], pair[1]) for pair in pairs)


def token_ids(config: dict[str, Any], key: str, name: str) -> tuple[int, ...]:
    """The list of token ids under ``key``; none where it is absent or null.

    Raises:
        WeightsError: it is not a list of integers.
    """
    listed = config.get(key) or []
    if not isinstance(listed, list) or not all(type(item) is int for item in listed):
        raise WeightsError(f"{name}: {key} is not a list of token ids")
    return tuple(listed)
