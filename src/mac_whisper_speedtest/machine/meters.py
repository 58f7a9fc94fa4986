"""The probes around each worker's timed samples, and the energy of a cell from their readings."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

from mac_whisper_speedtest.machine import energy
from mac_whisper_speedtest.machine.energy import EnergyUse, Window
from mac_whisper_speedtest.machine.gpu import GpuMemory
from mac_whisper_speedtest.machine.memory import LinuxMemory, MacMemory, Swap
from mac_whisper_speedtest.machine.probe import Probe, Reading, Target
from mac_whisper_speedtest.machine.reader import Unknown
from mac_whisper_speedtest.results import schema as s

_ENERGY, _IDLE = "energy_", "idle_energy_"
_JOULES = "_j"


class _Idle:
    """The idle energy before any worker started: the same readings after every span."""

    name = "idle energy"

    def __init__(self, window: Window | Unknown) -> None:
        self._readings = _idle_readings(window)

    def begin(self, target: Target) -> None:
        """Nothing is read."""

    def end(self, target: Target) -> dict[str, Reading]:  # noqa: ARG002 - the whole machine's
        """The idle readings."""
        return self._readings


def available() -> tuple[Probe, ...]:
    """The probes for this machine. If it has energy counters, idle power is metered for 3 s first.

    Call it before any worker runs: the present state is the baseline.
    """
    counters = energy.available_counters()
    idle = _Idle(energy.meter_idle(counters))
    return (memory_probe(), Swap(), GpuMemory(), energy.Energy(counters), idle)


def memory_probe() -> Probe:
    """The probe of a worker's memory on this system."""
    return MacMemory() if sys.platform == "darwin" else LinuxMemory()


def _idle_readings(window: Window | Unknown) -> dict[str, Reading]:
    if isinstance(window, Unknown):
        return {f"{_IDLE}wall_s": Reading(None, "s", window.reason)}
    return {
        f"{_IDLE}wall_s": Reading(window.seconds, "s", quality=window.quality),
        **{
            f"{_IDLE}{domain}{_JOULES}": Reading(value, "J", quality=window.quality)
            for domain, value in window.joules.items()
        },
    }


def cell_energy(meters: Sequence[s.MeterResult]) -> EnergyUse | None:
    """The energy of a cell's audio, above idle; ``None`` if nothing was metered."""
    if not meters:
        return None
    windows, audio_s = [], 0.0
    reason = ""
    for meter in meters:
        window = _window(meter.readings, _ENERGY)
        if isinstance(window, Unknown):
            reason = window.reason
            continue
        windows.append(window)
        audio_s += meter.audio_s
    if not windows:
        return energy.no_energy(reason)
    return energy.energy_use(windows, _window(meters[0].readings, _IDLE), audio_s)


def _window(readings: Mapping[str, s.ReadingInfo], prefix: str) -> Window | Unknown:
    """The window that the readings of one prefix describe."""
    wall = readings.get(f"{prefix}wall_s")
    if wall is None or wall.value is None:
        return Unknown(wall.reason if wall else "energy was not metered")
    total = readings.get(f"{prefix}j")
    if total is not None and total.value is None:
        return Unknown(total.reason)
    domains = {
        name.removeprefix(prefix).removesuffix(_JOULES): each
        for name, each in readings.items()
        if name.startswith(prefix) and name.endswith(_JOULES) and name != f"{prefix}j"
    }
    found = {name: each.value for name, each in domains.items() if each.value is not None}
    quality = next((each.quality for each in domains.values()), wall.quality)
    return Window(wall.value, found, quality)
