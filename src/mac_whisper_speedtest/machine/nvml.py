"""NVIDIA's GPUs by NVML, opened once per process: each alone, and the one that a worker names."""

from __future__ import annotations

import functools
import importlib
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from mac_whisper_speedtest.backends.cuda import UsedGpu, version_words
from mac_whisper_speedtest.machine.reader import Unknown, attempt, within
from mac_whisper_speedtest.results.schema import GpuInfo

T = TypeVar("T")

HW_SLOWDOWN, SW_THERMAL, HW_THERMAL, POWER_BRAKE = 0x8, 0x20, 0x40, 0x80
"""Bits of the mask of reasons for low clocks (nvml.h, nvmlClocksEventReasons)."""
SW_POWER_CAP = 0x4

THROTTLE_WORDS = {
    SW_POWER_CAP: "power cap",
    HW_SLOWDOWN: "hardware slowdown",
    SW_THERMAL: "thermal (driver)",
    HW_THERMAL: "thermal (hardware)",
    POWER_BRAKE: "power brake",
}
"""The bits that mean throttling; an idle GPU and clocks chosen by the user do not."""

OPEN_TIMEOUT_S = 8.0
"""Without persistence mode the driver restarts every GPU first; a faulty driver never answers."""


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU, or a MIG instance, which is a part of one.

    Attributes:
        name: ``gpu0`` and so on in NVML's order (by PCI bus); of an instance ``gpu0mig1``.
        uuid: as NVML writes it: ``GPU-...`` or ``MIG-...``.
        pci: domain, bus and device; of the whole card.
        handle: NVML's own.
        card: the handle of the whole card, which has the clocks and the counter of energy.
    """

    name: str
    uuid: str
    pci: tuple[int, int, int] | None
    handle: Any
    card: Any

    @property
    def is_instance(self) -> bool:
        """Whether it is a MIG instance."""
        return self.handle is not self.card


class Nvml:
    """The GPUs of this machine, regardless of CUDA_VISIBLE_DEVICES.

    Every query raises what :func:`~mac_whisper_speedtest.machine.reader.attempt` turns into a
    reason, and concerns one GPU: a failure of another GPU does not matter.

    Attributes:
        gpus: what programs can compute on: cards, and in place of a card its MIG instances.
    """

    def __init__(self, library: Any) -> None:
        """Use ``library``, the module ``pynvml`` of nvidia-ml-py, after its ``nvmlInit``."""
        self._library = library
        self._in_use: dict[str, Gpu] = {}
        with _as_runtime_error(library):
            count = library.nvmlDeviceGetCount()
        self.gpus = tuple(gpu for index in range(count) for gpu in self._found(index))

    def _found(self, index: int) -> Iterator[Gpu]:
        library = self._library
        card = self._known(lambda: library.nvmlDeviceGetHandleByIndex(index))
        if card is None:
            return  # it fell off the bus
        address = self._known(lambda: library.nvmlDeviceGetPciInfo(card))
        pci = (address.domain, address.bus, address.device) if address else None
        instances = [
            handle
            for number in range(
                self._known(lambda: library.nvmlDeviceGetMaxMigDeviceCount(card)) or 0
            )
            if (
                handle := self._known(
                    partial(library.nvmlDeviceGetMigDeviceHandleByIndex, card, number)
                )
            )
            is not None
        ]
        for number, handle in enumerate(instances or [card]):
            name = f"gpu{index}mig{number}" if instances else f"gpu{index}"
            uuid = self._known(partial(library.nvmlDeviceGetUUID, handle)) or ""
            yield Gpu(name, uuid, pci, handle, card)

    def gpu_of(self, used: UsedGpu | None) -> Gpu | Unknown:
        """The GPU that a worker names as its own; it is `watched` from then on.

        By its UUID, or by its address if that is unknown and the card has no MIG instances.
        """
        if used is None:
            return Unknown("the worker names no NVIDIA GPU")
        found = [gpu for gpu in self.gpus if used.uuid and _digits(gpu.uuid) == used.uuid.lower()]
        if not found and (address := _PCI.fullmatch(used.pci)):
            pci = tuple(int(part, 16) for part in address.groups())
            found = [gpu for gpu in self.gpus if gpu.pci == pci and not gpu.is_instance]
        if not found:
            return Unknown("NVML has no GPU of the UUID that the worker names")
        self._in_use[found[0].name] = found[0]
        return found[0]

    def watched(self) -> tuple[Gpu, ...]:
        """The GPUs that workers of this process have named; all, until one has."""
        return tuple(self._in_use.values()) or self.gpus

    def energy_mj(self, gpu: Gpu) -> int:
        """Millijoules it has used since the driver was loaded (Volta and newer)."""
        if gpu.is_instance:
            raise RuntimeError("the counter of energy is of the whole card, not of a MIG instance")
        return int(self._ask("nvmlDeviceGetTotalEnergyConsumption", gpu.handle))

    def used_bytes(self, gpu: Gpu) -> int:
        """Memory in use on it, by all programs."""
        return int(self._ask("nvmlDeviceGetMemoryInfo", gpu.handle).used)

    def processes(self, gpu: Gpu) -> dict[int, int | None]:
        """Host process id → memory in bytes of the programs that compute on it.

        ``None`` is memory that the driver does not show.
        """
        running = self._ask("nvmlDeviceGetComputeRunningProcesses", gpu.handle)
        return {each.pid: each.usedGpuMemory for each in running}

    def sm_clocks_mhz(self) -> tuple[int, ...]:
        """The present clocks of the multiprocessors of the GPUs that are `watched`, in MHz."""
        kind = self._library.NVML_CLOCK_SM
        return tuple(
            self.each(lambda gpu: self._ask("nvmlDeviceGetClockInfo", gpu.card, kind)).values()
        )

    def throttled(self) -> tuple[str, ...]:
        """Why those that are `watched` are throttled, in words; with their names if several."""
        masks = self.each(self._throttle_mask)
        several = len({id(gpu.card) for gpu in self.gpus}) > 1
        return tuple(
            dict.fromkeys(
                f"{name} {word}" if several else word
                for name, mask in masks.items()
                for word in throttle_words(mask)
            )
        )

    def infos(self) -> list[GpuInfo]:
        """What is recorded of all of them."""
        return [self.info(gpu) for gpu in self.gpus]

    def info(self, gpu: Gpu) -> GpuInfo:
        """What is recorded of it."""
        query = self._known_answer
        total = query("nvmlDeviceGetMemoryInfo", gpu.handle)
        capability = query("nvmlDeviceGetCudaComputeCapability", gpu.card)
        limit_mw = query("nvmlDeviceGetEnforcedPowerLimit", gpu.card)
        return GpuInfo(
            name=query("nvmlDeviceGetName", gpu.handle) or "NVIDIA GPU",
            memory_bytes=int(total.total) if total else None,
            capability="{}.{}".format(*capability) if capability else None,
            power_limit_w=limit_mw / 1000 if limit_mw else None,
        )

    def versions(self) -> tuple[str | None, str | None]:
        """The versions of the driver, and of the newest CUDA that it supports."""
        cuda = self._known_answer("nvmlSystemGetCudaDriverVersion_v2")
        return (
            self._known_answer("nvmlSystemGetDriverVersion"),
            version_words(cuda) if cuda else None,
        )

    def _throttle_mask(self, gpu: Gpu) -> int:
        try:  # the name since driver 535; below, the older name
            return int(self._ask("nvmlDeviceGetCurrentClocksEventReasons", gpu.card))
        except (RuntimeError, AttributeError):
            return int(self._ask("nvmlDeviceGetCurrentClocksThrottleReasons", gpu.card))

    def each(self, query: Callable[[Gpu], T], gpus: Sequence[Gpu] | None = None) -> dict[str, T]:
        """The answers of these GPUs, or of those that are `watched`, by name.

        GPUs that do not answer are left out; raises only if none answers.
        """
        asked = self.watched() if gpus is None else gpus
        found = {gpu.name: attempt(partial(query, gpu)) for gpu in asked}
        known = {name: each for name, each in found.items() if not isinstance(each, Unknown)}
        if not known:
            raise RuntimeError(
                next(
                    (each.reason for each in found.values() if isinstance(each, Unknown)), "no GPU"
                )
            )
        return known

    def _ask(self, name: str, *arguments: Any) -> Any:
        with _as_runtime_error(self._library):
            return getattr(self._library, name)(*arguments)

    def _known_answer(self, name: str, *arguments: Any) -> Any:
        return self._known(lambda: self._ask(name, *arguments))

    def _known(self, query: Callable[[], Any]) -> Any:
        """What ``query`` returns, or ``None`` where NVML, or this GPU, does not support it."""
        try:
            return query()
        except (self._library.NVMLError, RuntimeError, AttributeError):
            return None


_PCI = re.compile(r"([0-9a-fA-F]{4,8}):([0-9a-fA-F]{2}):([0-9a-fA-F]{2})(?:\.[0-9a-fA-F])?")


def _digits(uuid: str) -> str:
    return uuid.partition("-")[2].lower()


def throttle_words(mask: int) -> tuple[str, ...]:
    """The reasons for throttling in a mask, in words."""
    return tuple(word for bit, word in THROTTLE_WORDS.items() if mask & bit)


def describe_used(used: UsedGpu | None) -> GpuInfo | None:
    """What is recorded of the GPU that a worker names: by NVML if it has it, else in its words."""
    if used is None:
        return None
    library = shared()
    found = library if isinstance(library, Unknown) else library.gpu_of(used)
    if isinstance(library, Nvml) and isinstance(found, Gpu):
        return library.info(found)
    return GpuInfo(
        name=used.name,
        memory_bytes=used.memory_bytes,
        capability=used.capability or None,
        power_limit_w=None,
    )


@functools.cache
def shared() -> Nvml | Unknown:
    """NVML, opened once for this process, or why it cannot be opened.

    The driver is not looked for in /proc, which does not show it in WSL2.
    """
    if sys.platform != "linux":
        return Unknown("NVIDIA GPUs are looked for on Linux only")
    try:
        library = importlib.import_module("pynvml")
    except ImportError:
        return Unknown("nvidia-ml-py is not installed: python -m pip install nvidia-ml-py")
    return within(OPEN_TIMEOUT_S, lambda: _opened(library))


def _opened(library: Any) -> Nvml | Unknown:
    try:
        library.nvmlInit()
    except library.NVMLError as error:
        return Unknown(f"no NVIDIA driver answers ({error})")
    return Nvml(library)


@contextmanager
def _as_runtime_error(library: Any) -> Iterator[None]:
    """Convert NVML's errors; their class exists only after the library is imported."""
    try:
        yield
    except library.NVMLError as error:
        raise RuntimeError(str(error)) from error
