"""What a worker's processes have used so far: the difference between slow and stuck."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import psutil

LOOK_EVERY_S = 0.25
WINDOW_S = 5.0
"""Progress is judged over this long before the deadline."""
BUSY_SHARE = 0.05
"""Working: more than this share of one core. A process that waits for an answer uses far less."""
BUSY_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Usage:
    """Of a process and all its descendants: processor seconds, and bytes read and written.

    ``io_bytes`` is ``None`` where the system does not tell (macOS).
    """

    cpu_s: float
    io_bytes: int | None


def usage_of(processes: list[psutil.Process]) -> Usage:
    """What they have used together.

    Raises:
        psutil.Error, OSError: one is just ending, or the system does not let us look.
    """
    cpu_s, io_bytes = 0.0, 0
    counts_io = hasattr(psutil.Process, "io_counters")
    for process in processes:
        times = process.cpu_times()
        cpu_s += times.user + times.system
        if counts_io:
            counters = process.io_counters()
            # Linux counts what came from its cache apart; both are progress.
            io_bytes += counters.read_bytes + counters.write_bytes
            io_bytes += getattr(counters, "read_chars", 0)
    return Usage(cpu_s, io_bytes if counts_io else None)


def descendants_cpu_s() -> float | None:
    """Processor seconds used so far by every living descendant of this process together."""
    try:
        return usage_of(psutil.Process().children(recursive=True)).cpu_s
    except (psutil.Error, OSError):
        return None


def made_progress(looks: list[tuple[float, Usage]]) -> bool:
    """Whether something was computed, read or written between the first look and the last.

    Args:
        looks: (seconds, usage) in order of time.
    """
    if len(looks) < 2:
        return False
    (began, before), (ended, after) = looks[0], looks[-1]
    if after.cpu_s - before.cpu_s > BUSY_SHARE * (ended - began):
        return True
    if before.io_bytes is None or after.io_bytes is None:
        return False
    return after.io_bytes - before.io_bytes > BUSY_BYTES


class Watch:
    """Looks at a process and its descendants every so often, in a thread of its own.

    Use as a context manager; the looks that were taken stay when the process is gone.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._looks: deque[tuple[float, Usage]] = deque(maxlen=int(WINDOW_S / LOOK_EVERY_S) + 1)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()

    def was_working(self, within_s: float = WINDOW_S) -> bool:
        """Whether it was working in the last seconds, no more than `WINDOW_S`, of its life."""
        looks = list(self._looks)
        return made_progress([look for look in looks if looks[-1][0] - look[0] <= within_s])

    def _look(self) -> None:
        while not self._over.wait(LOOK_EVERY_S):
            with contextlib.suppress(psutil.Error, OSError):
                root = psutil.Process(self._pid)
                usage = usage_of([root, *root.children(recursive=True)])
                self._looks.append((time.monotonic(), usage))
