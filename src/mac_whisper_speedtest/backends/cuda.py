"""NVIDIA's libraries in a worker: cuBLAS from a wheel, and the GPU that CUDA uses.

Standard library only. ``doctor`` runs this file by its path, in a backend's own interpreter.
"""

from __future__ import annotations

import ctypes
import importlib.util
import re
import uuid
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CUBLAS = "libcublas.so.12"
_WHEEL_PLACE = Path("cublas", "lib", CUBLAS)  # of nvidia-cublas-cu12, below the package nvidia
_DRIVER = "libcuda.so.1"

_ARCHITECTURE = re.compile(r"(sm|compute)_(\d+)(\d)([a-z]?)")

# CUdevice_attribute of cuda.h.
_CAPABILITY_MAJOR, _CAPABILITY_MINOR = 75, 76
_NAME_BYTES = 256


def preload_cublas() -> str:
    """Load cuBLAS 12, which CTranslate2 looks up by its bare name at the first product.

    A loaded library is found by its name on any search path (dlopen(3)). The library in
    the wheel nvidia-cublas-cu12 is tried first, then the system's. Loading needs no driver.

    Returns:
        Why it cannot be loaded; empty if it is loaded.
    """
    try:
        nvidia = importlib.util.find_spec("nvidia")
        folders = (nvidia.submodule_search_locations or ()) if nvidia else ()
        found = [path for each in folders if (path := Path(each, _WHEEL_PLACE)).exists()]
        ctypes.CDLL(str(found[0] if found else CUBLAS), mode=ctypes.RTLD_GLOBAL)
    except (OSError, ValueError) as error:  # ValueError: a module named nvidia without a spec
        return str(error)
    return ""


def unusable_by_torch(torch: Any) -> str:
    """Why this torch cannot compute on the first GPU that it sees; empty if it can.

    A build has kernels for some architectures only, and the first kernel fails on others.
    """
    if not torch.cuda.is_available():
        return ""
    capability = tuple(torch.cuda.get_device_capability())
    if has_kernels(torch.cuda.get_arch_list(), capability):
        return ""
    return f"torch {torch.__version__} has no kernels for compute capability " + "{}.{}".format(
        *capability
    )


def has_kernels(architectures: Collection[str], capability: tuple[int, ...]) -> bool:
    """Whether code for these architectures runs on a GPU of that compute capability.

    ``sm_86`` runs on 8.6 and later 8.x; ``sm_90a`` on 9.0 only; code for
    ``compute_90`` is translated on any later GPU (CUDA's Programming Guide, binary compatibility).
    """
    for name in architectures:
        found = _ARCHITECTURE.fullmatch(name)
        if found is None:
            return True  # an unknown kind
        kind, major, minor, only = found[1], int(found[2]), int(found[3]), found[4]
        if only:
            fits = capability == (major, minor)
        elif kind == "sm":
            fits = capability[0] == major and capability[1] >= minor
        else:
            fits = capability >= (major, minor)
        if fits:
            return True
    return False


def version_words(number: int) -> str:
    """A version of CUDA as in its libraries, such as ``13000``, as ``13.0``."""
    return f"{number // 1000}.{number % 1000 // 10}"


@dataclass(frozen=True, slots=True)
class UsedGpu:
    """The NVIDIA GPU that a worker computes on, as CUDA's driver describes it.

    Attributes:
        name: of the model.
        uuid: of the GPU, or of its MIG instance, in hexadecimal digits and hyphens.
        pci: its address, such as ``0000:65:00.0``.
        capability: its compute capability, such as ``9.0``.
        memory_bytes: its memory, or the MIG instance's.
        cuda: the version of CUDA that the driver supports, such as ``13.0``.
    """

    name: str = ""
    uuid: str = ""
    pci: str = ""
    capability: str = ""
    memory_bytes: int | None = None
    cuda: str = ""


def used_gpu(device: str, library: str = _DRIVER) -> UsedGpu | None:
    """The GPU behind a backend's ``device``: ``cuda`` is the first that CUDA shows, ``cuda:1`` ...

    The driver is queried, because not every library reports its GPU. The driver's numbers are this
    process's: they follow ``CUDA_VISIBLE_DEVICES``. Never raises.

    Returns:
        ``None`` for other devices, and where the driver does not answer.
    """
    family, _, number = device.partition(":")
    if family != "cuda" or not (number.isdecimal() or not number):
        return None
    try:
        return _described(ctypes.CDLL(library), int(number or 0))
    except (OSError, AttributeError):
        return None


def _described(driver: Any, ordinal: int) -> UsedGpu | None:
    gpu, count = ctypes.c_int(), ctypes.c_int()
    if driver.cuInit(0) or driver.cuDeviceGet(ctypes.byref(gpu), ordinal):
        return None

    def number(function: Any, *arguments: Any) -> int | None:
        return None if function(ctypes.byref(count), *arguments) else count.value

    def text(function: Any) -> str:
        buffer = ctypes.create_string_buffer(_NAME_BYTES)
        failed = function(buffer, _NAME_BYTES, gpu)
        return "" if failed else buffer.value.decode("utf-8", "replace")

    # Only the second version names a MIG instance; it came with CUDA 11.4.
    identify = getattr(driver, "cuDeviceGetUuid_v2", None) or driver.cuDeviceGetUuid
    identity = (ctypes.c_ubyte * 16)()
    unnamed = identify(ctypes.byref(identity), gpu)
    total = ctypes.c_size_t()
    unsized = driver.cuDeviceTotalMem_v2(ctypes.byref(total), gpu)
    major = number(driver.cuDeviceGetAttribute, _CAPABILITY_MAJOR, gpu)
    minor = number(driver.cuDeviceGetAttribute, _CAPABILITY_MINOR, gpu)
    version = number(driver.cuDriverGetVersion) or 0
    return UsedGpu(
        name=text(driver.cuDeviceGetName),
        uuid="" if unnamed else str(uuid.UUID(bytes=bytes(identity))),
        pci=text(driver.cuDeviceGetPCIBusId),
        capability="" if major is None or minor is None else f"{major}.{minor}",
        memory_bytes=None if unsized else total.value,
        cuda=version_words(version) if version else "",
    )
