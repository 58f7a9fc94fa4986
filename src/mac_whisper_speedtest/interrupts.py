"""Ctrl-C, SIGTERM and SIGHUP: handled alike, and delayed while a block must finish."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator

_ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextlib.contextmanager
def as_keyboard_interrupt() -> Iterator[None]:
    """Let SIGTERM and SIGHUP raise KeyboardInterrupt in the block, as Ctrl-C does."""

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    with _handled(interrupt):
        yield


@contextlib.contextmanager
def held_back(*, then_drop: bool = False) -> Iterator[None]:
    """Finish the block despite these signals, and raise KeyboardInterrupt after it.

    Args:
        then_drop: raise nothing, because the program is already ending.
    """
    received = threading.Event()
    with _handled(lambda _number, _frame: received.set()):
        yield
    if received.is_set() and not then_drop:
        raise KeyboardInterrupt


@contextlib.contextmanager
def _handled(handler: signal._HANDLER) -> Iterator[None]:
    """Install the handler in the block; only the main thread can, others run without it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number in _ENDING_SIGNALS}
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)
