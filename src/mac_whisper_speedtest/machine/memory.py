"""Memory of the worker's tree on Linux: what is resident, and the highest it has been."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

import psutil

from mac_whisper_speedtest.machine import tree
from mac_whisper_speedtest.machine.probe import Reading, Target, unmeasured
from mac_whisper_speedtest.machine.reader import Answer, Reader, Unknown, attempt

UNITS = {
    "rss_bytes": "bytes",
    "peak_rss_bytes": "bytes",
    "tree_peak_rss_bytes": "bytes",
    "cgroup_peak_bytes": "bytes",
}

_CGROUP = "/sys/fs/cgroup"


class LinuxMemory:
    """Resident memory of the tree now (``rss_bytes``), and its high-water marks.

    ``peak_rss_bytes`` is the worker's own ``VmHWM`` since it started (proc(5)).
    ``tree_peak_rss_bytes`` is the sum of all its processes' marks: they need not have been reached
    at the same time and may share pages, so it is an upper bound. ``cgroup_peak_bytes`` is the mark
    of the worker's whole control group, with this tool and the files that it has cached; it is
    given only if it rose during the span, because otherwise it tells of something else.
    """

    name = "memory"

    def __init__(self, reader: Reader | None = None) -> None:
        self._reader = reader or Reader()
        self._group_before: int | Unknown = Unknown("begin was not called")

    def begin(self, target: Target) -> None:
        """Remember the control group's mark."""
        self._group_before = self._group_peak(target)

    def end(self, target: Target) -> dict[str, Reading]:
        """Read the marks."""
        pid = target.pid
        if pid is None:
            return unmeasured(UNITS, "there is no worker to meter")
        found = attempt(lambda: self._tree(pid))
        figures = unmeasured(UNITS, found.reason) if isinstance(found, Unknown) else found
        figures["cgroup_peak_bytes"] = risen(self._group_before, self._group_peak(target))
        return figures

    def _tree(self, pid: int) -> dict[str, Reading]:
        texts = []
        for process in tree.members(pid):
            text = self._reader.read(f"/proc/{process.pid}/status")
            if isinstance(text, str):
                texts.append(text)
            elif process.pid == pid:
                raise psutil.NoSuchProcess(pid)
        return of_statuses(texts)

    def _group_peak(self, target: Target) -> int | Unknown:
        if target.pid is None:
            return Unknown("there is no worker to meter")
        own = group_of(self._reader.read(f"/proc/{target.pid}/cgroup"))
        if isinstance(own, Unknown):
            return own
        text: Answer = Unknown("")
        # A container may be shown its own group as the root.
        for folder in (own, PurePosixPath("/")):
            text = self._reader.read(f"{_CGROUP}{folder}/memory.peak".replace("//", "/"))
            if isinstance(text, str) and text.isdecimal():
                return int(text)
        return text if isinstance(text, Unknown) else Unknown(f"memory.peak says {text[:20]!r}")


def of_statuses(texts: list[str]) -> dict[str, Reading]:
    """Figures from the texts of /proc/PID/status, the worker's first."""
    rss = [_field(text, "VmRSS") for text in texts]
    peaks = [_field(text, "VmHWM") for text in texts]
    return {
        "rss_bytes": _sum(rss, "VmRSS"),
        "peak_rss_bytes": _sum(peaks[:1], "VmHWM"),
        "tree_peak_rss_bytes": _sum(peaks, "VmHWM", "upper bound" if len(peaks) > 1 else ""),
    }


def group_of(text: Answer) -> PurePosixPath | Unknown:
    """The path of a process's control group (version 2), from /proc/PID/cgroup."""
    if isinstance(text, Unknown):
        return text
    found = re.search(r"^0::(/.*)$", text, re.MULTILINE)
    return PurePosixPath(found[1]) if found else Unknown("it is in no control group of version 2")


def risen(before: int | Unknown, after: int | Unknown) -> Reading:
    """The mark of the control group, if the span has set it."""
    for each in (before, after):
        if isinstance(each, Unknown):
            return Reading(None, "bytes", each.reason)
    assert isinstance(before, int)
    assert isinstance(after, int)
    if after <= before:
        return Reading(None, "bytes", "the control group's peak is from before this span")
    return Reading(after, "bytes", quality="whole control group")


def _field(text: str, name: str) -> int | None:
    found = re.search(rf"^{name}:\s+(\d+) kB", text, re.MULTILINE)
    return int(found[1]) * 1024 if found else None


def _sum(values: list[int | None], name: str, quality: str = "") -> Reading:
    known = [value for value in values if value is not None]
    if not known or values[0] is None:
        return Reading(None, "bytes", f"/proc has no {name} of the worker")
    return Reading(sum(known), "bytes", quality=quality)
