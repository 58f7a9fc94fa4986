"""Data from outside is held to its limits, with the path of the field that breaks them."""

from __future__ import annotations

import json
import math
import random
import time
import tomllib
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest

from mac_whisper_speedtest import limits
from mac_whisper_speedtest.limits import LimitError, SizeLimits, check, check_depth


class Inner(msgspec.Struct):
    end_s: float = 0.0
    text: str = ""


@dataclass
class Outer:
    seconds: float = 1.0
    tokens: int | None = None
    segments: list[Inner] = field(default_factory=list)
    stages_s: dict[str, float] = field(default_factory=dict)
    peak_rss_bytes: int = 0
    seed: int = 0
    index: int = 0
    flag: bool = True


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (Outer(seconds=-1e-9), "seconds"),
        (Outer(seconds=math.nan), "seconds"),
        (Outer(seconds=math.inf), "seconds"),
        (Outer(seconds=1.7e308), "seconds"),
        (Outer(tokens=-1), "tokens"),
        (Outer(tokens=10**16), "tokens"),
        (Outer(tokens=10**400), "tokens"),
        (Outer(segments=[Inner(), Inner(end_s=-math.inf)]), "segments[1].end_s"),
        (Outer(segments=[Inner(text="a" * 20)]), "segments[0].text"),
        (Outer(segments=[Inner()] * 6), "segments"),
        (Outer(stages_s={"mel": 0.1, "index": -2.0}), "stages_s.index"),
        (Outer(stages_s={"\x1b[2J": math.nan}), "stages_s['\\x1b[2J']"),
        (Outer(stages_s={"k" * 20: 0.0}), "stages_s"),
        (Outer(peak_rss_bytes=1 << 61), "peak_rss_bytes"),
        (Outer(seed=1 << 65), "seed"),
        ({"outer": {"load_s": [1.0, -1.0]}}, "outer.load_s[1]"),
        ([Outer(), {"seconds": 1e9}], "[1].seconds"),
    ],
)  # fmt: skip
def test_a_value_out_of_its_limits_is_refused_with_its_path(value: object, path: str) -> None:
    with pytest.raises(LimitError) as refused:
        check(value, limits=SizeLimits(longest_text=19, most_items=5))
    assert refused.value.path == path
    assert "\x1b" not in str(refused.value)
    assert len(str(refused.value)) < 200


def test_what_is_within_the_limits_passes() -> None:
    check(
        Outer(
            seconds=limits.LONGEST_S,
            tokens=0,
            segments=[Inner(end_s=-3.0, text="a" * limits.LONGEST_TEXT)],
            stages_s={"mel": 0.0},
            peak_rss_bytes=limits.LARGEST_BYTES,
            seed=limits.LARGEST_SEED,
            index=-1,
        )
    )


def test_what_is_nested_too_deep_is_refused_however_deep() -> None:
    value: Any = 1
    for _ in range(5000):
        value = {"a": [value]}
    with pytest.raises(LimitError, match="nested deeper than 64"):
        check(value)


def nested(levels: int, kind: str = "[") -> bytes:
    opening, closing = {"[": ("[", "]"), "{": ('{"a":', "}")}[kind]
    return (opening * levels + "1" + closing * levels).encode()


@pytest.mark.parametrize("kind", ["[", "{"])
def test_depth_is_counted_exactly(kind: str) -> None:
    check_depth(nested(64, kind))
    with pytest.raises(LimitError, match="nested deeper than 64"):
        check_depth(nested(65, kind))
    with pytest.raises(LimitError):
        check_depth(nested(1_000_000, kind).decode())


def test_brackets_within_texts_do_not_count_whatever_is_escaped() -> None:
    for text in ["[" * 100, '"' + "{" * 100, "\\" + "[" * 100, '\\"\\\\"' + "[" * 100]:
        check_depth(json.dumps({text: text}))
        with pytest.raises(LimitError):
            check_depth(json.dumps(text).encode() + nested(65))
    check_depth(b"[]" * 1000)


@pytest.mark.parametrize(
    "text",
    [
        "'[[[[[\\'", '"[[[[\\"["', '"""[[["[[""[[\\"""[["""', "'''[[['[[''[['''",
        "1 # [[[[ ' \"\"\"",
        '"""[[[[[""""', "''", '""',
    ],
)  # fmt: skip
def test_brackets_within_texts_and_comments_of_toml_do_not_count(text: str) -> None:
    document = f"a = {text}\nb = [[1]]\n"
    tomllib.loads(document)
    check_depth(document, 2, toml=True)
    with pytest.raises(LimitError):
        check_depth(document, 1, toml=True)


def test_depth_agrees_with_a_decoder_on_random_documents() -> None:
    chance = random.Random(11)

    def made(levels: int) -> tuple[Any, int]:
        kind = chance.randrange(4) if levels else 0
        if kind == 0:
            return chance.choice([1, "[[", '{"', "\\", "]}\\", None, "é"]), 0
        inner = [made(levels - 1) for _ in range(chance.randrange(4))]
        depth = 1 + max((depth for _, depth in inner), default=0)
        if kind == 1:
            return [value for value, _ in inner], depth
        return {f'{number}[\\"': value for number, (value, _) in enumerate(inner)}, depth

    for _ in range(500):
        value, depth = made(6)
        data = json.dumps(value, ensure_ascii=chance.random() < 0.5)
        check_depth(data, depth)
        if depth:
            with pytest.raises(LimitError):
                check_depth(data, depth - 1)


@pytest.mark.parametrize("data", [b'"' * (8 << 20), b'"\\' * (4 << 20), b"[]" * (4 << 20)])
def test_a_whole_line_of_anything_costs_little(data: bytes) -> None:
    began = time.process_time()
    check_depth(b"[" * 60 + b"]" * 60 + b"[]" * 9 + data)
    assert time.process_time() - began < 5.0
