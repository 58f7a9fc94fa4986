"""Memory of the worker's tree on macOS: its footprint, and that of the Neural Engine."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import psutil

from mac_whisper_speedtest.machine import rusage_macos, tree
from mac_whisper_speedtest.machine.probe import Reading, Target, unmeasured
from mac_whisper_speedtest.machine.reader import Unknown, attempt
from mac_whisper_speedtest.machine.rusage_macos import Rusage

UNITS = {
    "rss_bytes": "bytes",
    "footprint_bytes": "bytes",
    "peak_footprint_bytes": "bytes",
    "neural_footprint_bytes": "bytes",
    "peak_neural_footprint_bytes": "bytes",
}


class MacMemory:
    """Footprints of all the tree's processes, and the highest of their lives.

    The footprint counts buffers of the GPU that the process has asked for, which resident memory
    misses, and leaves out weights that are mapped from a file and could be read again. The Neural
    Engine's memory is a ledger of its own. Peaks of several processes are added although they need
    not have been reached at the same time: then the sum is an upper bound.
    """

    name = "memory"

    def __init__(self, look: Callable[[int], Rusage] = rusage_macos.of_process) -> None:
        self._look = look

    def begin(self, target: Target) -> None:
        """Nothing: the marks are kept by the system."""

    def end(self, target: Target) -> dict[str, Reading]:
        """Read the marks."""
        pid = target.pid
        if pid is None:
            return unmeasured(UNITS, "there is no worker to meter")
        found = attempt(lambda: self._tree(pid))
        return unmeasured(UNITS, found.reason) if isinstance(found, Unknown) else figures(found)

    def _tree(self, pid: int) -> list[Rusage]:
        found = []
        for process in tree.members(pid):
            try:
                found.append(self._look(process.pid))
            except OSError:
                if process.pid == pid:
                    raise
            except psutil.Error:
                continue
        return found


def figures(processes: Sequence[Rusage]) -> dict[str, Reading]:
    """The sums over a tree's processes (one at least), by name."""
    bound = "upper bound" if len(processes) > 1 else ""
    return {
        "rss_bytes": Reading(sum(each.resident for each in processes), "bytes"),
        "footprint_bytes": Reading(sum(each.footprint for each in processes), "bytes"),
        "peak_footprint_bytes": Reading(
            sum(each.footprint_peak for each in processes), "bytes", quality=bound
        ),
        "neural_footprint_bytes": _neural([each.neural for each in processes], ""),
        "peak_neural_footprint_bytes": _neural([each.neural_peak for each in processes], bound),
    }


def _neural(values: Sequence[int | None], quality: str) -> Reading:
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return Reading(None, "bytes", "this release of macOS does not tell (it takes 13)")
    return Reading(sum(known), "bytes", quality=quality)
