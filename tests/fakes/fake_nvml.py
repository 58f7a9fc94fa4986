"""NVIDIA's library as far as it is asked: the names of pynvml 13, with a constructed machine."""

# ruff: noqa: N802 - they are the library's

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from mac_whisper_speedtest.backends.cuda import UsedGpu

Handle = tuple[int, ...]
"""The number of a card; of a MIG instance, that of its card and its own."""


class NVMLError(Exception):
    """As the library's."""


@dataclass
class Process:
    """A process on a GPU; the driver gives ``None`` for memory that it hides."""

    pid: int
    usedGpuMemory: int | None  # noqa: N815 - the library's name


@dataclass
class Memory:
    """Of a GPU."""

    used: int
    total: int = 80 << 30


@dataclass
class PciAddress:
    """The numbers in ``nvmlPciInfo_t``."""

    bus: int
    domain: int = 0
    device: int = 0


@dataclass
class Instance:
    """A MIG instance of a card."""

    used: int = 0
    processes: list[Process] = field(default_factory=list)


@dataclass
class FakeNvml:
    """Answers as scripted; every list has one entry per card.

    ``fails`` has what no card answers (``energy``), or one of them alone (``energy 1``).
    """

    energy: list[int] = field(default_factory=lambda: [0])
    used: list[int] = field(default_factory=lambda: [0])
    processes: list[list[Process]] = field(default_factory=lambda: [[]])
    masks: list[int] = field(default_factory=lambda: [0])
    clocks: list[int] = field(default_factory=lambda: [1980])
    instances: dict[int, list[Instance]] = field(default_factory=dict)
    fails: tuple[str, ...] = ()
    NVMLError: Any = NVMLError
    NVML_CLOCK_SM: int = 1

    def _answer(self, name: str, values: Sequence[Any], gpu: Handle) -> Any:
        if {name, f"{name} {gpu[0]}"} & set(self.fails):
            raise NVMLError(f"{name}: Not Supported")
        return values[gpu[0]]

    def _of(self, gpu: Handle, name: str, values: Sequence[Any]) -> Any:
        """The answer of a card, or of an instance."""
        if len(gpu) == 1:
            return self._answer(name, values, gpu)
        return getattr(self.instances[gpu[0]][gpu[1]], name)

    def _card(self, gpu: Handle) -> Handle:
        if len(gpu) > 1:
            raise NVMLError("Invalid Argument")
        return gpu

    def nvmlInit(self) -> None:
        """Nothing to do."""
        if "init" in self.fails:
            raise NVMLError("Driver Not Loaded")

    def nvmlSystemGetDriverVersion(self) -> str:
        return "570.86.15"

    def nvmlSystemGetCudaDriverVersion_v2(self) -> int:
        return 12080

    def nvmlDeviceGetCount(self) -> int:
        return len(self.energy)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> Handle:
        self._answer("handle", self.energy, (index,))
        return (index,)

    def nvmlDeviceGetMaxMigDeviceCount(self, gpu: Handle) -> int:
        if not self.instances:
            raise NVMLError("Not Supported")
        return 7 if self.instances.get(gpu[0]) else 0

    def nvmlDeviceGetMigDeviceHandleByIndex(self, gpu: Handle, index: int) -> Handle:
        if index >= len(self.instances[gpu[0]]):
            raise NVMLError("Not Found")
        return (*gpu, index)

    def nvmlDeviceGetUUID(self, gpu: Handle) -> str:
        return ("GPU-" if len(gpu) == 1 else "MIG-") + worker_on(*gpu).uuid

    def nvmlDeviceGetPciInfo(self, gpu: Handle) -> PciAddress:
        return PciAddress(bus=0x41 + gpu[0])

    def nvmlDeviceGetName(self, gpu: Handle) -> str:
        return "NVIDIA A100 80GB PCIe" + (" MIG 1g.10gb" if len(gpu) > 1 else "")

    def nvmlDeviceGetCudaComputeCapability(self, gpu: Handle) -> tuple[int, int]:
        self._card(gpu)
        return (8, 0)

    def nvmlDeviceGetEnforcedPowerLimit(self, gpu: Handle) -> int:
        return int(self._answer("power", [300_000] * len(self.energy), self._card(gpu)))

    def nvmlDeviceGetTotalEnergyConsumption(self, gpu: Handle) -> int:
        return int(self._answer("energy", self.energy, self._card(gpu)))

    def nvmlDeviceGetMemoryInfo(self, gpu: Handle) -> Memory:
        return Memory(self._of(gpu, "used", self.used))

    def nvmlDeviceGetComputeRunningProcesses(self, gpu: Handle) -> list[Process]:
        return list(self._of(gpu, "processes", self.processes))

    def nvmlDeviceGetClockInfo(self, gpu: Handle, kind: int) -> int:
        assert kind == self.NVML_CLOCK_SM
        return int(self._answer("clocks", self.clocks, self._card(gpu)))

    def nvmlDeviceGetCurrentClocksEventReasons(self, gpu: Handle) -> int:
        return int(self._answer("new masks", self.masks, self._card(gpu)))

    def nvmlDeviceGetCurrentClocksThrottleReasons(self, gpu: Handle) -> int:
        return int(self._answer("masks", self.masks, self._card(gpu)))


def worker_on(card: int = 0, instance: int | None = None) -> UsedGpu:
    """What a worker says that computes on this card, or on this MIG instance of it."""
    number = card if instance is None else 0x100 * (instance + 1) + card
    return UsedGpu(
        name="NVIDIA A100 80GB PCIe",
        uuid=f"{number:08x}-2c2d-2e2f-3031-32333435abcd",
        pci=f"0000:{0x41 + card:02x}:00.0",
    )
