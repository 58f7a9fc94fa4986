"""Loads in which Core ML may compile for the Neural Engine: their deadline and its warnings.

A system process does a first compilation, in seconds to several minutes. If its client is killed
before the end, the cache can keep an incomplete graph, and every later load of that model aborts
until the cache's folder is removed. Such a load therefore gets more time, and the user is warned
before the deadline; a message after a kill names the folder.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mac_whisper_speedtest.backends.backend import Backend
from mac_whisper_speedtest.machine import caches
from mac_whisper_speedtest.machine.caches import Caches
from mac_whisper_speedtest.paths import with_tilde

LONGEST_S = 1800.0
"""The longest first load seen took 521 s; a hang in a virtual machine took 27 minutes."""
_FACTOR = 2.0

ANNOUNCEMENT = "compiling for the Neural Engine (first time): this may take minutes"


@dataclass(frozen=True, slots=True)
class Compilation:
    """What a load on a Core ML device may be doing.

    Attributes:
        folders: where Core ML may keep compiled models, as in `Caches`; not empty.
        first: there was no cache; ``False`` where that is unknown, too.
        cached: this program has compiled something under this system before.
    """

    folders: tuple[Path, ...]
    first: bool
    cached: bool

    def load_limit_s(self, load_s: float) -> float:
        """The deadline of a load that has ``load_s`` seconds without compilation."""
        return load_s if self.cached else max(load_s, min(load_s * _FACTOR, LONGEST_S))

    def last_warning(self, waited_s: float, limit_s: float) -> str:
        """A line for the user, before the worker is killed."""
        return (
            f"still compiling for the Neural Engine after {waited_s:.0f} s, it seems. If "
            f"it is stopped before it ends (at {limit_s:.0f} s by the deadline), Core ML's cache "
            f"in {self._named} may stay unusable"
        )

    @property
    def after_kill(self) -> str:
        """The consequence of a kill, and what to do."""
        return (
            f"Core ML may have been compiling: allow it more time (--timeout); if later loads of "
            f"this model abort, remove {self._named} and load again"
        )

    @property
    def _named(self) -> str:
        found = [folder for folder in self.folders if folder.is_dir()]
        # If none exists, the folders of the program's name and of all programs are likeliest.
        return " or ".join(map(with_tilde, found or (self.folders[0], self.folders[-1])))


def compilation_of(backend: Backend, device: str, seen: Caches) -> Compilation | None:
    """What a load may compile with Core ML; ``None`` if it does not use Core ML.

    Args:
        backend: the backend that loads.
        device: the requested device.
        seen: the caches before the worker started.
    """
    if not seen.folders or not caches.uses_core_ml(device, backend.devices):
        return None
    return Compilation(seen.folders, first=seen.coreml is False, cached=seen.coreml is True)
