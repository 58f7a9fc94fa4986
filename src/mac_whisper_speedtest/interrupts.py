"""Ctrl-C, SIGTERM and SIGHUP: one way to end, and stretches that an end must wait for."""

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
    """Finish the block whatever is pressed meanwhile, then raise KeyboardInterrupt.

    Args:
        then_drop: raise nothing afterwards, because the end is already under way.
    """
    pressed = threading.Event()
    with _handled(lambda _number, _frame: pressed.set()):
        yield
    if pressed.is_set() and not then_drop:
        raise KeyboardInterrupt


@contextlib.contextmanager
def _handled(handler: signal._HANDLER) -> Iterator[None]:
    """Only the main thread may set handlers; elsewhere nothing is changed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number in _ENDING_SIGNALS}
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)
