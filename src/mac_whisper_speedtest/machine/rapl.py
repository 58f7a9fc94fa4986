"""Energy of Intel's and AMD's processors on Linux, from the powercap files."""

from __future__ import annotations

import re

from mac_whisper_speedtest.machine.joules import Count, Counts
from mac_whisper_speedtest.machine.reader import Reader, Unknown

_ROOT = "/sys/class/powercap"
_MICRO = 1e-6


class Rapl:
    """RAPL: microjoules of every package, and of its memory where it is metered.

    A package's core and uncore zones are part of it, ``psys`` contains it, and ``intel-rapl-mmio``
    repeats it: none of these is added. AMD's processors appear under the same names. Since
    CVE-2020-8694 the files can only be read by root unless the administrator allows more.
    """

    name = "rapl"
    quality = ""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def read(self) -> Counts | Unknown:
        """``package-0``, ``package-0-dram`` and so on."""
        if self._reader.macos:
            return Unknown("RAPL's files are Linux's")
        found: dict[str, Count] = {}
        failed: Unknown | None = None
        for zone in self._reader.matching(f"{_ROOT}/intel-rapl:*"):
            domain = self._domain(zone)
            if not domain:
                continue
            count = self._count(zone)
            if isinstance(count, Unknown):
                failed = count
            else:
                found[domain] = count
        return found or failed or Unknown(f"there is no RAPL below {_ROOT}")

    def _domain(self, zone: str) -> str:
        """What a zone is called here; empty where it is contained in another."""
        name = self._reader.read(f"{zone}/name")
        if not isinstance(name, str):
            return ""
        if name.startswith("package"):
            return name
        if name == "dram":
            package = self._reader.read(f"{zone.rpartition(':')[0]}/name")
            if isinstance(package, str):
                return f"{package}-dram"
            # Without its package's name the zone's number still tells two apart.
            return f"dram-{zone.rpartition('/')[2].partition(':')[2]}"
        return ""

    def _count(self, zone: str) -> Count | Unknown:
        energy = self._reader.read(f"{zone}/energy_uj")
        if isinstance(energy, Unknown):
            return Unknown(f"{energy.reason} (it takes root unless the administrator allows more)")
        if not re.fullmatch(r"\d+", energy):
            return Unknown(f"{zone}/energy_uj says {energy[:20]!r}")
        most = self._reader.read(f"{zone}/max_energy_range_uj")
        range_uj = int(most) if isinstance(most, str) and most.isdecimal() else 0
        return Count(int(energy) * _MICRO, range_uj * _MICRO or None)
