"""Chooses the build of an environment for this machine: of torch, and with or without cuBLAS 12.

The package index has one build of each release of torch, which on Linux is for one version of CUDA.
Its requirements come from NVIDIA's release notes (drivers) and from the wheels (kernels).
"""

from __future__ import annotations

import functools
import re
import subprocess
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from mac_whisper_speedtest.backends.recipe import Recipe
from mac_whisper_speedtest.errors import UsageError

CPU, INDEX, CUDA12 = "cpu", "index", "cuda12"

CUDA13_DRIVER, CUDA12_DRIVER = 580, 525
"""The oldest drivers on which programs for any CUDA 13, or any CUDA 12, run (minor version
compatibility, in the release notes of the CUDA Toolkit). WSL2 has the driver of Windows, whose
numbers are of the same series."""

Capability = tuple[int, int]
_CUDA13_OLDEST: Capability = (7, 5)
"""CUDA 13 compiles for Turing and newer; Volta and Pascal are left out."""
_CUDA12_OLDEST: Capability = (5, 0)
_CUDA12_NEWEST_MAJOR = 9
"""torch 2.7.1 has kernels for sm_50 to sm_90, as its library reports, but none for Blackwell."""

CUDA12_PYTHON = "<3.14"
"""torch 2.7.1 has wheels up to Python 3.13."""

_X86_LINUX = "linux-x86_64"
_QUERIES = ("driver_version,compute_cap", "driver_version")
"""Fields of nvidia-smi; drivers before 510 do not have ``compute_cap``."""
_ROW = re.compile(r"(\d+(?:\.\d+)+)(?:,\s*(?:(\d+)\.(\d+)|.*))?")
_PROC = Path("/proc/driver/nvidia/version")
_TIMEOUT_S = 10.0  # without persistence mode the driver first starts every GPU


@dataclass(frozen=True, slots=True)
class NvidiaDriver:
    """NVIDIA's driver, and the known compute capabilities of its GPUs."""

    version: str
    capabilities: tuple[Capability, ...] = ()

    @property
    def major(self) -> int:
        """The series, such as 570."""
        return int(self.version.partition(".")[0])


@dataclass(frozen=True, slots=True)
class Build:
    """A build, and the reason for the choice in words; empty if there was no choice."""

    name: str
    reason: str = ""


def choose(
    recipe: Recipe, requested: str, *, platform: str, driver: NvidiaDriver | None, cpu_wheel: bool
) -> Build:
    """The build of ``recipe`` to install.

    Args:
        recipe: what to install.
        requested: ``auto`` or the name of a build.
        platform: as in ``Recipe.platforms``.
        driver: of this machine; ``None`` without one.
        cpu_wheel: whether a CPU build of torch is available locally.

    Returns:
        With torch: ``cpu``, ``index`` (the package index's) or ``cuda12``. With CTranslate2:
        ``cuda12`` (with cuBLAS) or empty. Else empty.

    Raises:
        UsageError: there is no such build, or none of that name for this platform.
    """
    if requested not in {"auto", CPU, INDEX, CUDA12}:
        raise UsageError(f"--build is {requested!r}", hint="use auto, cpu, index or cuda12")
    if not (recipe.uses_torch or recipe.uses_cublas):
        return Build("")
    if requested == CUDA12 and platform != _X86_LINUX:
        raise UsageError(
            f"--build cuda12 is for Linux on x86-64; this is {platform}",
            hint=f"speedtest backends install {recipe.name}",
        )
    if recipe.uses_torch and not platform.startswith("linux"):
        return Build(INDEX)  # the only build
    if requested != "auto":
        return Build(requested if recipe.uses_torch or requested == CUDA12 else "")
    if recipe.uses_cublas:
        return _with_cublas(platform, driver)
    return _of_torch(platform, driver) if driver else Build(CPU if cpu_wheel else INDEX)


def _with_cublas(platform: str, driver: NvidiaDriver | None) -> Build:
    """CTranslate2 is built for CUDA 12, only on x86-64."""
    if driver is None or not platform.startswith("linux"):
        return Build("")
    if platform != _X86_LINUX:
        return Build("", f"CTranslate2 has no CUDA on {platform}: it computes on the CPU")
    if driver.major < CUDA12_DRIVER:
        return Build("", f"for the CPU: {_too_old(driver, CUDA12_DRIVER)}")
    return Build(CUDA12, f"with cuBLAS 12, because of NVIDIA's driver {driver.version}")


def _of_torch(platform: str, driver: NvidiaDriver) -> Build:
    oldest = min(driver.capabilities, default=_CUDA13_OLDEST)
    newest = max(driver.capabilities, default=_CUDA13_OLDEST)
    if driver.major >= CUDA13_DRIVER and oldest >= _CUDA13_OLDEST:
        return Build(INDEX)
    why = (
        _too_old(driver, CUDA13_DRIVER)
        if driver.major < CUDA13_DRIVER
        else f"CUDA 13 leaves out compute capability {_words(oldest)}"
    )
    instead = _without_cuda12(platform, driver, oldest, newest)
    if instead:
        return Build(INDEX, f"torch will compute on the CPU: {why}, and {instead}")
    return Build(CUDA12, f"torch 2.7.1 for CUDA 12.6: {why}")


def _without_cuda12(
    platform: str, driver: NvidiaDriver, oldest: Capability, newest: Capability
) -> str:
    """Why torch for CUDA 12 cannot run either; empty if it can."""
    if platform != _X86_LINUX:
        return f"the index has no CUDA 12 build for {platform}"
    if driver.major < CUDA12_DRIVER:
        return f"CUDA 12 needs {CUDA12_DRIVER}"
    if newest[0] > _CUDA12_NEWEST_MAJOR:
        return f"torch for CUDA 12.6 has no kernels for compute capability {_words(newest)}"
    if oldest < _CUDA12_OLDEST:
        return f"torch for CUDA 12.6 has none for compute capability {_words(oldest)}"
    return ""


def _too_old(driver: NvidiaDriver, needed: int) -> str:
    return f"NVIDIA's driver {driver.version} is older than {needed}"


def _words(capability: Capability) -> str:
    return "{}.{}".format(*capability)


@functools.cache
def nvidia_driver() -> NvidiaDriver | None:
    """The driver of this machine, by nvidia-smi (also in WSL2) or by the kernel."""
    for fields in _QUERIES:
        command = ["nvidia-smi", f"--query-gpu={fields}", "--format=csv,noheader"]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, check=True, timeout=_TIMEOUT_S
            )
        except (OSError, subprocess.SubprocessError):
            continue
        if found := parse_driver(done.stdout.splitlines()):
            return found
    try:
        return parse_proc(_PROC.read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return None


def parse_driver(lines: Collection[str]) -> NvidiaDriver | None:
    """The driver, from one line per GPU such as ``570.86.15, 9.0``; ``None`` if invalid."""
    rows = [row for each in lines if (row := _ROW.fullmatch(each.strip()))]
    if not rows:
        return None
    capabilities = tuple((int(row[2]), int(row[3])) for row in rows if row[2])
    return NvidiaDriver(rows[0][1], capabilities)


def parse_proc(text: str) -> NvidiaDriver | None:
    """The driver, from /proc/driver/nvidia/version: ``NVRM version: ... 570.86.15 ...``."""
    found = re.search(r"^NVRM version:.*?\s(\d{3}(?:\.\d+)+)\s", text, re.MULTILINE)
    return NvidiaDriver(found[1]) if found else None
