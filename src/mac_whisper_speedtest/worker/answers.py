"""A worker's answers, checked and cleaned once, where they come in.

Numbers that cannot be true and texts that identify something at absurd length violate the protocol
(:class:`~mac_whisper_speedtest.limits.LimitError`). Texts for people are freed from secrets, then
from control characters, and then cut. No other code needs to clean a worker's texts.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Mapping
from dataclasses import fields, replace

import msgspec

from mac_whisper_speedtest import limits
from mac_whisper_speedtest.backends.adapter import Segment
from mac_whisper_speedtest.backends.contract import SettingValue
from mac_whisper_speedtest.backends.cuda import UsedGpu
from mac_whisper_speedtest.limits import LONGEST_MESSAGE, LONGEST_NAME, LimitError
from mac_whisper_speedtest.printable import printable, printable_line, shown, without_control
from mac_whisper_speedtest.privacy import scrub
from mac_whisper_speedtest.worker import protocol as m
from mac_whisper_speedtest.worker.messages import ErrorObject

LEVELS = ("debug", "info", "warning", "error")
LOG_TAIL_CHARACTERS = 16 * 1024
_LONGEST_SAMPLE = limits.LONGEST_LINE - (64 << 10)
"""Bytes of a transcript as JSON, which must fit into one line of the journal."""
_GPU_FORMS = {
    "uuid": re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"),
    "pci": re.compile(r"[0-9a-fA-F]{4,8}:[0-9a-fA-F]{2}:[0-9a-fA-F]{2}(\.[0-9a-fA-F])?"),
    "capability": re.compile(r"[0-9]{1,3}\.[0-9]{1,2}"),
    "cuda": re.compile(r"[0-9]{1,3}\.[0-9]{1,2}"),
}
_CUT_OFF = "[earlier output left out]\n"
_SCRUBBED = 8
"""Texts are cut to this multiple of their limit before scrubbing, to bound its time. The rest of a
secret that the cut split is removed by the second cut."""


def checked_hello(answer: m.HelloResult, wall_s: float) -> m.HelloResult:
    """Check the identity of a worker.

    Args:
        answer: as decoded.
        wall_s: seconds from the call to the answer by this tool's clock.

    Raises:
        LimitError: names the field, for all functions here.
    """
    limits.check(answer)
    _check_few(answer)
    _check_seconds("import_s", answer.import_s, wall_s)
    return replace(
        answer,
        name=_name("name", answer.name, required=True),
        version=_name("version", answer.version, required=True),
        versions=_facts("versions", answer.versions),
    )


def checked_load(answer: m.LoadReply, wall_s: float) -> m.LoadReply:
    """Check the answer to load; arguments as for `checked_hello`."""
    limits.check(answer)
    _check_few(answer)
    _check_seconds("load_s", answer.load_s, wall_s)
    return replace(
        answer,
        device=_name("device", answer.device),
        precision=_name("precision", answer.precision),
        details=_facts("details", answer.details),
        gpu=None if answer.gpu is None else _checked_gpu(answer.gpu),
    )


def _checked_gpu(gpu: UsedGpu) -> UsedGpu:
    """Check the fields that identify a GPU: NVML is queried with them, and they are recorded."""
    for field, form in _GPU_FORMS.items():
        value = getattr(gpu, field)
        if value and not form.fullmatch(value):
            raise LimitError(f"gpu.{field}", f"is {shown(value)}")
    return replace(gpu, name=_name("gpu.name", gpu.name))


def checked_transcript(
    answer: m.TranscribeResult, wall_s: float, audio_s: float
) -> m.TranscribeResult:
    """Check a transcript; the first arguments as for `checked_hello`.

    Args:
        answer: as decoded.
        wall_s: as for `checked_hello`.
        audio_s: seconds of audio that was transcribed.
    """
    limits.check(answer)
    _check_few(answer)
    _check_seconds("seconds", answer.seconds, wall_s)
    if not answer.seconds or answer.seconds * limits.FASTEST_RTFX < audio_s:
        raise LimitError(
            "seconds",
            f"is {answer.seconds:g} for {audio_s:g} s of audio, which is impossible; stop the "
            "clock when the whole text is there",
        )
    _check_seconds("first_segment_s", answer.first_segment_s, answer.seconds)
    for stage, seconds in answer.stages_s.items():
        _check_seconds(f"stages_s[{shown(stage)}]", seconds, wall_s)
    _check_seconds("cpu_s", answer.cpu_s, wall_s, cores=os.cpu_count() or 1)
    most = limits.most_said(audio_s)
    said = sum(len(piece.text) for piece in answer.segments)
    _at_most("text", len(answer.text), most, "characters")
    _at_most("segments", len(answer.segments), most, "entries")
    _at_most("segments", said, most, "characters")
    _at_most("tokens", answer.tokens or 0, most)
    _at_most("fallbacks", answer.fallbacks or 0, most)
    for number, piece in enumerate(answer.segments):
        for name, at_s in (("start_s", piece.start_s), ("end_s", piece.end_s)):
            if not limits.FIRST_SEGMENT_S <= at_s <= audio_s + limits.LAST_WINDOW_S:
                raise LimitError(
                    f"segments[{number}].{name}", f"is {at_s:g} s in {audio_s:g} s of audio"
                )
    cleaned = replace(
        answer,
        text=without_control(answer.text),
        segments=[
            Segment(piece.start_s, piece.end_s, without_control(piece.text))
            for piece in answer.segments
        ],
        language=None if answer.language is None else _name("language", answer.language),
        effective={
            _name("effective", name): _setting(value) for name, value in answer.effective.items()
        },
        observed=[_name("observed", each) for each in answer.observed],
        remarks=[cleaned_line(each) for each in answer.remarks],
        stages_s={_name("stages_s", name): each for name, each in answer.stages_s.items()},
        allocator_bytes={
            _name("allocator_bytes", name): each for name, each in answer.allocator_bytes.items()
        },
    )
    # Cleaning can replace a one-byte character by a three-byte one.
    _at_most("", len(msgspec.json.encode(cleaned)), _LONGEST_SAMPLE, "bytes when it is cleaned")
    return cleaned


def checked_error(answer: ErrorObject) -> ErrorObject:
    """Clean an error; only its code can exceed a limit."""
    _at_most("code", abs(answer.code), 1 << 31)
    data = answer.data or m.ErrorData()
    return ErrorObject(
        code=answer.code,
        message=cleaned_line(answer.message.strip().partition("\n")[0]),
        data=m.ErrorData(cleaned_line(data.error_class)[:LONGEST_NAME], log_tail(data.traceback)),
    )


def cleaned_log(params: m.LogParams) -> m.LogParams:
    """A line for the log, of a known level."""
    return m.LogParams(
        params.level if params.level in LEVELS else "info", cleaned_line(params.message)
    )


def cleaned_line(text: str) -> str:
    """A text for people on one line, of at most 2000 characters."""
    line = _scrubbed_line(text)
    return line if len(line) <= LONGEST_MESSAGE else line[: LONGEST_MESSAGE - 1] + "…"


def log_tail(text: str) -> str:
    """The end of a log or a traceback, of at most 16 Ki characters."""
    longest = _SCRUBBED * LOG_TAIL_CHARACTERS
    if len(text) > longest:  # keep whole lines: half a secret would not be recognized
        text = text[-longest:].partition("\n")[2]
    text = printable(scrub(text))
    if len(text) <= LOG_TAIL_CHARACTERS:
        return text
    return _CUT_OFF + text[len(_CUT_OFF) - LOG_TAIL_CHARACTERS :]


def _check_seconds(name: str, value: float | None, wall_s: float, cores: int = 1) -> None:
    """Check a duration, which cannot exceed the time that passed during the call."""
    longest = wall_s * (1 + limits.CLOCK_TOLERANCE) + limits.CLOCK_TOLERANCE_S
    if value is not None and not 0 <= value <= cores * longest:
        on = f" on {cores} cores" if cores > 1 else ""
        raise LimitError(name, f"is {value:g} s, but only {wall_s:.3f} s passed{on}")


def _at_most(name: str, value: int, most: int, unit: str = "") -> None:
    if value > most:
        found = f"has {value} {unit}" if unit else f"is {shown(value)}"
        raise LimitError(name, f"{found}; at most {most}")


def _check_few(answer: m.HelloResult | m.LoadReply | m.TranscribeResult) -> None:
    """Check the number of entries in every field but the segments."""
    for each in fields(answer):
        value = getattr(answer, each.name)
        if isinstance(value, list | dict) and each.name != "segments":
            _at_most(each.name, len(value), limits.MOST_FACTS, "entries")


def _name(field: str, text: str, *, required: bool = False) -> str:
    """A clean identifier; never cut, because two could then become equal."""
    name = _scrubbed_line(text)
    _at_most(field, len(name), LONGEST_NAME, "characters")
    if required and not name:
        raise LimitError(field, "is empty")
    return name


def _scrubbed_line(text: str) -> str:
    if len(text) <= LONGEST_NAME:
        return _scrubbed_name(text)
    return printable_line(scrub(text[: _SCRUBBED * LONGEST_MESSAGE]))


@functools.lru_cache(maxsize=512)
def _scrubbed_name(text: str) -> str:
    """`_scrubbed_line` of a short text, cached: every answer repeats its settings."""
    return printable_line(scrub(text))


def _facts(field: str, values: Mapping[str, str]) -> dict[str, str]:
    return {_name(field, name): cleaned_line(text) for name, text in values.items()}


def _setting(value: SettingValue) -> SettingValue:
    return _name("effective", value) if isinstance(value, str) else value
