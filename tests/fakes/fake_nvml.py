"""NVIDIA's library as far as it is asked: the names of pynvml 13, with a constructed machine."""

# ruff: noqa: N802 - they are the library's

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any


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


@dataclass
class FakeNvml:
    """Answers as scripted; every list has one entry per GPU."""

    energy: list[int] = field(default_factory=lambda: [0])
    used: list[int] = field(default_factory=lambda: [0])
    processes: list[list[Process]] = field(default_factory=lambda: [[]])
    masks: list[int] = field(default_factory=lambda: [0])
    clocks: list[int] = field(default_factory=lambda: [1980])
    fails: tuple[str, ...] = ()
    NVMLError: Any = NVMLError
    NVML_CLOCK_SM: int = 1

    def _answer(self, name: str, values: Iterable[Any], gpu: int) -> Any:
        if name in self.fails:
            raise NVMLError(f"{name}: Not Supported")
        return list(values)[gpu]

    def nvmlInit(self) -> None:
        """Nothing to do."""
        if "init" in self.fails:
            raise NVMLError("Driver Not Loaded")

    def nvmlDeviceGetCount(self) -> int:
        return len(self.energy)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        return index

    def nvmlDeviceGetTotalEnergyConsumption(self, gpu: int) -> int:
        return int(self._answer("energy", self.energy, gpu))

    def nvmlDeviceGetMemoryInfo(self, gpu: int) -> Memory:
        return Memory(self._answer("memory", self.used, gpu))

    def nvmlDeviceGetComputeRunningProcesses(self, gpu: int) -> list[Process]:
        return list(self._answer("processes", self.processes, gpu))

    def nvmlDeviceGetClockInfo(self, gpu: int, kind: int) -> int:
        assert kind == self.NVML_CLOCK_SM
        return int(self._answer("clocks", self.clocks, gpu))

    def nvmlDeviceGetCurrentClocksEventReasons(self, gpu: int) -> int:
        return int(self._answer("new masks", self.masks, gpu))

    def nvmlDeviceGetCurrentClocksThrottleReasons(self, gpu: int) -> int:
        return int(self._answer("masks", self.masks, gpu))
