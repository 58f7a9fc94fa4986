"""Which energy counters this machine has."""

from __future__ import annotations

from mac_whisper_speedtest.machine import apple_energy, gpu
from mac_whisper_speedtest.machine.apple_energy import AppleEnergy
from mac_whisper_speedtest.machine.energy import Counter
from mac_whisper_speedtest.machine.nvml_energy import NvmlEnergy
from mac_whisper_speedtest.machine.rapl import Rapl
from mac_whisper_speedtest.machine.reader import Reader


def counters(reader: Reader | None = None) -> list[Counter]:
    """Those that can exist on this system; each says itself why it cannot be read.

    Their domains do not overlap: a processor's package and its memory, discrete GPUs, Apple's chip.
    """
    reader = reader or Reader()
    if reader.macos:
        return [AppleEnergy(apple_energy.open_monitor())]
    return [Rapl(reader), NvmlEnergy(gpu.shared())]
