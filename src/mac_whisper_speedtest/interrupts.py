"""Ctrl-C, SIGTERM and SIGHUP: handled alike, and delayed while a block must finish.

One handler stays in force, and blocks only say whether it may raise: handlers that are exchanged
while a second signal arrives could be left behind for good.
"""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator
from types import TracebackType

_AGAIN_AFTER_S = 0.01
_ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class _Interrupts:
    """Of the main thread, the only one that signals interrupt.

    Attributes:
        levels: how many blocks around the current line must finish; a `released` block begins
            another level, and the last one decides.
        received: whether a signal waits for the end of these blocks.
        raised: whether one interrupted code outside of a `released` block.
        for_good: whether this process runs only this tool.
    """

    def __init__(self) -> None:
        self.levels = [0]
        self.received = False
        self.raised = False
        self.for_good = False

    def on_signal(self, _number: int, _frame: object) -> None:
        self.received = True
        self.deliver()

    def deliver(self) -> None:
        """Raise KeyboardInterrupt if a signal waits and no block must finish."""
        if self.received and not self.levels[-1]:
            self.received = False
            if len(self.levels) > 1:
                self.levels.pop()  # What follows cleans up after the interrupted block.
            else:
                self.raised = True
            raise KeyboardInterrupt


_interrupts = _Interrupts()


def handle_for_good() -> None:
    """From now on SIGTERM and SIGHUP raise KeyboardInterrupt in the main thread, as Ctrl-C does.

    Python only reports an exception in a destructor or in a weak reference's callback, and so do
    some extension modules while they are imported; the program continues. A KeyboardInterrupt that
    hits one is not shown, and raised again a moment later, where it counts.
    """
    _interrupts.for_good = True
    _handle()
    signal.signal(signal.SIGALRM, _interrupts.on_signal)
    ignored, reported = sys.unraisablehook, sys.excepthook

    def unraisable(found: sys.UnraisableHookArgs) -> None:
        if not _raise_again(found.exc_type):
            ignored(found)

    def report(
        kind: type[BaseException], error: BaseException, traceback: TracebackType | None
    ) -> None:
        if not _raise_again(kind):
            reported(kind, error, traceback)

    sys.unraisablehook, sys.excepthook = unraisable, report


def _raise_again(kind: type[BaseException]) -> bool:
    if issubclass(kind, KeyboardInterrupt):
        signal.setitimer(signal.ITIMER_REAL, _AGAIN_AFTER_S)
        return True
    return False


def was_raised() -> bool:
    """Whether a signal interrupted the program, even if another exception replaced it."""
    return _interrupts.raised


def owns_process() -> bool:
    """Whether this process runs only this tool: not inside another Python program."""
    return _interrupts.for_good


def _handle() -> None:
    for number in _ENDING_SIGNALS:
        # `nohup` asks for a SIGHUP that is ignored.
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _interrupts.on_signal)


@contextlib.contextmanager
def as_keyboard_interrupt() -> Iterator[None]:
    """Let SIGTERM and SIGHUP raise KeyboardInterrupt in the block, as Ctrl-C does."""
    if not _interruptible() or signal.getsignal(signal.SIGINT) == _interrupts.on_signal:
        yield
        return
    before = {number: signal.getsignal(number) for number in _ENDING_SIGNALS}
    _handle()
    try:
        yield
    finally:
        _interrupts.levels[-1] += 1
        for number, previous in before.items():
            signal.signal(number, previous)
        _interrupts.levels[-1] -= 1
        _interrupts.deliver()


@contextlib.contextmanager
def held_back(*, then_drop: bool = False) -> Iterator[None]:
    """Finish the block despite these signals, and raise KeyboardInterrupt after it.

    Args:
        then_drop: raise nothing, because the program is already ending.
    """
    if not _interruptible():
        yield
        return
    with as_keyboard_interrupt():
        _interrupts.levels[-1] += 1
        try:
            yield
        finally:
            if then_drop and _interrupts.levels[-1] == 1:
                _interrupts.received = False
            _interrupts.levels[-1] -= 1
            _interrupts.deliver()


class released:  # noqa: N801 - used as the functions above are
    """Within `held_back`: let one signal interrupt the block, also one that came before it."""

    def __enter__(self) -> None:
        """Raise KeyboardInterrupt if a signal came before."""
        self._outer = len(_interrupts.levels)
        if _interruptible():
            _interrupts.levels.append(0)
            _interrupts.deliver()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Hold signals back again.

        Raises:
            KeyboardInterrupt: a signal interrupted the block, and some library made another
                exception of that.
        """
        if _interruptible():
            interrupted = len(_interrupts.levels) == self._outer
            del _interrupts.levels[self._outer :]
            if interrupted and isinstance(error, Exception):
                raise KeyboardInterrupt from error


def _interruptible() -> bool:
    return threading.current_thread() is threading.main_thread()
