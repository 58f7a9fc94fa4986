"""Who watches a run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.worker import protocol as m


@dataclass(frozen=True, slots=True)
class Screen:
    """What a person watching gets to hear; all of it may be nothing."""

    visit: Callable[[int, int, str], None] = lambda _round, _rounds, _cell: None
    status: Callable[[str], None] = lambda _text: None
    event: Callable[[s.Event], None] = lambda _event: None
    slow: Callable[[str, m.Stage, float, float], None] = lambda _cell, _stage, _waited, _limit: None
    log: Callable[[str, str], None] = lambda _level, _message: None
    announce: Callable[[str], None] = lambda _text: None
