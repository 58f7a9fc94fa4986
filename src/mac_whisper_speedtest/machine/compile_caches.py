"""Whether a device's compiler had compiled before: a first-ever load may take minutes.

Core ML keeps what it compiled for the Neural Engine in ``~/Library/Caches/<program>/
com.apple.e5rt.e5bundlecache/<OS build>/``. Nobody says which network is in it, so that a bundle is
there proves only that the program has compiled something under this OS build. Metal's cache of
compiled kernels cannot be looked into at all.
"""

from __future__ import annotations

import functools
import platform
import subprocess
from dataclasses import dataclass
from pathlib import Path

from mac_whisper_speedtest.machine.reader import Unknown, attempt

NOTHING = ""
"""Where nothing is compiled for a device: the CPU."""
THERE, ABSENT = "there", "absent"

_BUNDLES = "com.apple.e5rt.e5bundlecache"
_COREML = {"coreml", "ane"}
_METAL = {"metal", "mps", "gpu"}


@dataclass(frozen=True, slots=True)
class Caches:
    """What was seen before a worker was started.

    Attributes:
        coreml: whether the program has Core ML bundles of this OS build.
    """

    coreml: bool | Unknown


def look(program: str, *, home: Path | None = None, build: str | None = None) -> Caches:
    """Look before a worker is started; elsewhere than on macOS there is nothing to see.

    Args:
        program: the name of the executable that loads.
        home: of the user; for tests.
        build: of macOS, such as ``25A354``; for tests.
    """
    if build is None:
        if platform.system() != "Darwin":
            return Caches(Unknown("this system has no Core ML"))
        found = attempt(_build)
        if isinstance(found, Unknown):
            return Caches(found)
        build = found
    folder = (home or Path.home()) / "Library" / "Caches" / program / _BUNDLES / build
    return Caches(attempt(lambda: folder.is_dir() and any(folder.iterdir())))


def state(device: str, seen: Caches) -> str:
    """What is known of a load on ``device``: `NOTHING`, `THERE`, `ABSENT`, or ``unknown: why``."""
    family = device.partition(":")[0].lower()
    if family in _COREML:
        if isinstance(seen.coreml, Unknown):
            return f"unknown: {seen.coreml.reason}"
        return THERE if seen.coreml else ABSENT
    if family in _METAL:
        return "unknown: Metal's compiled kernels cannot be looked for"
    return NOTHING


@functools.cache  # it takes a program to find out, and no run outlives it
def _build() -> str:
    done = subprocess.run(
        ["/usr/bin/sw_vers", "-buildVersion"],
        capture_output=True,
        text=True,
        check=True,
        timeout=5,
    )
    return done.stdout.strip()
