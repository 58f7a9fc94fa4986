"""Whether the machine paged to disk during a span."""

from __future__ import annotations

import os
import re

from mac_whisper_speedtest.machine.memory_state import swap_used
from mac_whisper_speedtest.machine.probe import Reading, Target, unmeasured
from mac_whisper_speedtest.machine.reader import Answer, Reader, Unknown

UNITS = {"swap_used_bytes": "bytes", "swap_grew_bytes": "bytes", "swapped_bytes": "bytes"}


class Swap:
    """Swap of the whole machine: what is in use, by how much it grew, what went in and out.

    ``swap_grew_bytes`` is negative where it shrank. ``swapped_bytes`` is only known on Linux: the
    counters of macOS include pages that come from files, such as weights.
    """

    name = "swap"

    def __init__(self, reader: Reader | None = None) -> None:
        self._reader = reader or Reader()
        self._used: int | Unknown = Unknown("begin was not called")
        self._moved: int | Unknown = self._used

    def begin(self, target: Target) -> None:  # noqa: ARG002 - the whole machine's
        """Remember what is in swap."""
        self._used, self._moved = swap_used(self._reader), self._pages()

    def end(self, target: Target) -> dict[str, Reading]:  # noqa: ARG002 - the whole machine's
        """Compare."""
        used = swap_used(self._reader)
        if isinstance(used, Unknown):
            return unmeasured(UNITS, used.reason)
        return {
            "swap_used_bytes": Reading(used, "bytes"),
            "swap_grew_bytes": _difference(self._used, used),
            "swapped_bytes": _difference(self._moved, self._pages()),
        }

    def _pages(self) -> int | Unknown:
        if self._reader.macos:
            return Unknown("macOS counts pages of files among those swapped in")
        return swapped(self._reader.read("/proc/vmstat"), os.sysconf("SC_PAGE_SIZE"))


def swapped(vmstat: Answer, page_bytes: int) -> int | Unknown:
    """Bytes that went to swap and came back since the machine started, from /proc/vmstat."""
    if isinstance(vmstat, Unknown):
        return vmstat
    pages = re.findall(r"^pswp(?:in|out) (\d+)$", vmstat, re.MULTILINE)
    if len(pages) != 2:
        return Unknown("/proc/vmstat does not count swapped pages")
    return sum(map(int, pages)) * page_bytes


def _difference(before: int | Unknown, after: int | Unknown) -> Reading:
    for each in (before, after):
        if isinstance(each, Unknown):
            return Reading(None, "bytes", each.reason)
    assert isinstance(before, int)
    assert isinstance(after, int)
    return Reading(after - before, "bytes")
