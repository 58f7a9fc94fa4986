"""Energy of NVIDIA GPUs, from the driver's own counter."""

from __future__ import annotations

from mac_whisper_speedtest.machine.gpu import Nvml
from mac_whisper_speedtest.machine.joules import Count, Counts
from mac_whisper_speedtest.machine.reader import Unknown


class NvmlEnergy:
    """``nvmlDeviceGetTotalEnergyConsumption``: millijoules since the driver was loaded.

    Volta and newer; needs no rights. The counter moves every 20 to 100 ms, and behind it the sensor
    of an A100 or H100 looks only a quarter of the time (arXiv 2312.02741): hence ``sampled``. All
    GPUs of the machine are counted, the idle ones too, which subtracting idle power takes out
    again. Instances of a MIG GPU have no counters of their own.
    """

    name = "nvml"
    quality = "sampled"

    def __init__(self, library: Nvml | Unknown) -> None:
        self._nvml = library

    def read(self) -> Counts | Unknown:
        """``gpu0``, ``gpu1`` and so on, in the order of the PCI bus."""
        if isinstance(self._nvml, Unknown):
            return self._nvml
        energies = self._nvml.energy_mj()
        return {f"gpu{index}": Count(each / 1e3) for index, each in enumerate(energies)}
