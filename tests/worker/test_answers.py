"""What is let in of an answer can be written, read again and shared: later doors are no smaller."""

from __future__ import annotations

import dataclasses
import random
import sys
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from fakes.runs import FakeCell, stored
from mac_whisper_speedtest import limits
from mac_whisper_speedtest.backends.adapter import Segment
from mac_whisper_speedtest.backends.cuda import UsedGpu
from mac_whisper_speedtest.limits import LimitError
from mac_whisper_speedtest.printable import control_character
from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.results.plausible import EventChecker
from mac_whisper_speedtest.worker import answers
from mac_whisper_speedtest.worker import protocol as m

WALL_S, AUDIO_S = 2.0, 5000.0
NUMBERS = (
    0,
    0.0,
    -0.0,
    -1,
    1e-9,
    0.001,
    0.01,
    1.0,
    2.0,
    2.1,
    60.0,
    1e6,
    1e15,
    1e16,
    1 << 60,
    1 << 61,
)
TEXTS = ("", "a", "\x7f" * 300, "\x1b[31m", "\ud800", "\u202e", "é" * 300, "x" * 301, "x" * 5000)


def answer(chance: random.Random) -> m.TranscribeResult:
    """An answer with a few members that are odd."""
    odd: dict[str, Callable[[], Any]] = {
        "seconds": lambda: chance.choice(NUMBERS),
        "cpu_s": lambda: chance.choice(NUMBERS),
        "first_segment_s": lambda: chance.choice(NUMBERS),
        "tokens": lambda: int(chance.choice(NUMBERS)),
        "fallbacks": lambda: int(chance.choice(NUMBERS)),
        "peak_rss_bytes": lambda: int(chance.choice(NUMBERS)),
        "text": lambda: (
            chance.choice(("\x7f", "a", "\U0001f600")) * chance.choice((0, 10, 1 << 20))
        ),
        "segments": lambda: [
            Segment(float(chance.choice(NUMBERS)), 1.0, chance.choice(("\x7f", "x")) * length)
            for length in chance.choice(([], [1], [1 << 20], [1 << 20] * 3, [0] * 20_000))
        ],
        "language": lambda: chance.choice(TEXTS),
        "effective": lambda: {chance.choice(TEXTS): chance.choice(NUMBERS + TEXTS)},
        "observed": lambda: [chance.choice(TEXTS)] * chance.choice((0, 1, 100, 101)),
        "remarks": lambda: [chance.choice(TEXTS)] * chance.choice((0, 1, 100, 101)),
        "stages_s": lambda: {chance.choice(TEXTS): float(chance.choice(NUMBERS))},
        "allocator_bytes": lambda: {chance.choice(TEXTS): int(chance.choice(NUMBERS))},
    }
    honest = m.TranscribeResult(seconds=1.0, text="And so", segments=[Segment(0.0, 1.0, "And so")])
    names = chance.sample(sorted(odd), chance.choice((1, 1, 2, 3)))
    return dataclasses.replace(honest, **{name: odd[name]() for name in names})


def test_of_a_gpu_s_description_only_the_name_is_free_text() -> None:
    named = UsedGpu(
        name="NVIDIA\x1b[2J L4", uuid="28292A2B-2c2d-2e2f-3031-323334353637", cuda="13.0"
    )
    load = m.LoadReply(load_s=0.1, device="cuda", precision="float16", gpu=named)
    checked = answers.checked_load(load, WALL_S).gpu
    assert checked == dataclasses.replace(named, name="NVIDIA\ufffd[2J L4")
    for field, value in (("uuid", "GPU-0"), ("pci", "/dev"), ("capability", "9"), ("cuda", "x")):
        changed: dict[str, Any] = {field: value}
        odd = dataclasses.replace(load, gpu=dataclasses.replace(named, **changed))
        with pytest.raises(LimitError, match=rf"gpu\.{field} is"):
            answers.checked_load(odd, WALL_S)


def test_what_is_let_in_passes_every_later_check() -> None:
    run = stored(FakeCell("a"), rounds=1)
    (clip,) = run.manifest().clips
    long = msgspec.structs.replace(clip, seconds=AUDIO_S, samples=int(16000 * AUDIO_S))
    manifest = msgspec.structs.replace(run.manifest(), clips=[long])
    sample = next(event for event in run.journal().events if isinstance(event, s.Sample))
    checker, refused = EventChecker(manifest), list[str]()
    for seed in range(150):
        try:
            value = answers.checked_transcript(answer(random.Random(seed)), WALL_S, AUDIO_S)
        except LimitError as error:
            refused.append(str(error))
            continue
        members = {
            each.name: getattr(value, each.name)
            for each in dataclasses.fields(value)
            if each.name in s.Sample.__struct_fields__ and each.name != "segments"
        }
        segments = msgspec.convert(value.segments, list[s.SegmentInfo], from_attributes=True)
        written = msgspec.structs.replace(sample, **members, segments=segments)
        line = msgspec.json.encode(written)
        assert len(line) <= limits.LONGEST_LINE
        limits.check_depth(line)
        read = msgspec.json.decode(line, type=s.Event)
        checker.check(read)
        assert control_character(read.text) is None
    assert 30 < len(refused) < 120
    assert all(text.isprintable() and len(text) < 300 for text in refused)


def test_a_secret_at_the_edge_of_a_cut_is_not_left_in_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_API_KEY", "s3cret-value-that-is-long")
    for before in range(1970, 2001):
        text = f"{'x' * before} s3cret-value-that-is-long {'y' * 300_000}"
        assert "s3c" not in answers.cleaned_line(text)
    assert sys.getsizeof(answers.log_tail("z" * 10_000_000)) < 20_000
