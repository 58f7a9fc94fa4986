"""Recipes: how to create the environment of a Python backend, or build the program of a Swift one.

Data only. ``environments/`` acts on them, and handles the two kinds in ``installations``.
"""

from __future__ import annotations

import platform
import re
import subprocess
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cache

_CUDA_BYTES = {
    (True, "index"): 5_200_000_000,
    (True, "cuda12"): 4_000_000_000,
    (False, "cuda12"): 1_100_000_000,
}
"""Extra size of a build on Linux: (with torch, its name) → bytes."""

APPLE_SILICON = "darwin-arm64"
_LIBRARY = {True: "macOS", False: "glibc"}
"""The meaning of a release number, on a Mac (``True``) and on other systems."""
_NAMES = {APPLE_SILICON: "Apple silicon", "linux": "Linux", "linux-x86_64": "Linux on x86-64"}


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a backend's own environment is created: what to install, and for which Python.

    Attributes:
        name: of the environment; backends with the same library share one recipe.
        distribution: its version names the environment.
        version: the version that a lock ships for (``locks/<name>@<version>.txt``).
        requirements: other packages: PEP 508 lines, without versions that the lock has.
        undeclared: release → packages that the releases before it import but do not declare.
        overrides: requirements that replace the distributions' own, such as a pin without a wheel;
            ``package; python_version < "0"`` leaves a package out.
        python: the range of supported Pythons, as a PEP 440 specifier.
        platforms: where it works, as ``sys.platform`` or ``sys.platform-machine``: ``linux``,
            ``darwin-arm64``.
        macos: the oldest macOS that its packages have wheels for.
        glibc: the same for Linux's C library. ``benchmarks/locks.py`` checks these four against
            the locks.
        size_bytes: of all files of the environment; with the CPU build of torch if it is used.
        size_on: platform → the same, where it differs.
        build: CMake options for building the distribution from its source; empty if its wheel is
            installed. The build tools are among the requirements.
        source_only: whether its release has no wheels; uv then builds it with the lock's tools.
        uses_torch: whether torch is installed; ``environments/builds`` chooses its build on Linux.
        uses_cublas: whether it uses CTranslate2, which needs cuBLAS 12 on an NVIDIA GPU.
        notes: shown by ``speedtest backends info``.
    """

    name: str
    distribution: str
    version: str
    requirements: tuple[str, ...] = ()
    undeclared: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    overrides: tuple[str, ...] = ()
    python: str = ">=3.11"
    platforms: tuple[str, ...] = (APPLE_SILICON, "linux")
    macos: str = "14"
    glibc: str = "2.28"
    size_bytes: int = 0
    size_on: Mapping[str, int] = field(default_factory=dict)
    build: Mapping[str, str] = field(default_factory=dict)
    source_only: bool = False
    uses_torch: bool = False
    uses_cublas: bool = False
    notes: tuple[str, ...] = ()

    def bytes_here(self, build: str = "") -> int:
        """The size of the environment on this platform, in that build."""
        size = self.size_on.get(this_platform(), self.size_bytes)
        return size + (0 if is_macos() else _CUDA_BYTES.get((self.uses_torch, build), 0))


@dataclass(frozen=True, slots=True)
class SwiftRecipe:
    """How a bridge is built: a program in Swift that speaks the worker protocol.

    Its sources ship with the tool, and their manifests pin its packages: a release of the tool
    builds one version of each bridge.

    Attributes:
        name: of the bridge, with which it answers ``hello``; backends with the same program share
            one recipe.
        version: of the library that it measures.
        package: the folder of its package, in ``bridges/swift``.
        needs: the neighboring folders that its manifest refers to.
        product: the executable.
        swift: the oldest compiler that builds it.
        macos: the oldest macOS that it runs on.
        sdk: the oldest SDK of macOS with the functions that it calls; empty for any.
        revisions: package identity → the pinned commit.
        platforms: as for `Recipe`.
        size_bytes: of the built program.
        build_bytes: disk space for the build, downloads included.
        notes: shown by ``speedtest backends info``.
    """

    name: str
    version: str
    package: str
    product: str
    needs: tuple[str, ...] = ("protocol",)
    swift: str = "6.0"
    macos: str = "14"
    sdk: str = ""
    revisions: Mapping[str, str] = field(default_factory=dict)
    platforms: tuple[str, ...] = (APPLE_SILICON,)
    size_bytes: int = 0
    build_bytes: int = 0
    notes: tuple[str, ...] = ()


AnyRecipe = Recipe | SwiftRecipe


def this_platform() -> str:
    """This operating system and machine, such as ``darwin-arm64``."""
    return f"{sys.platform}-{platform.machine()}"


def is_macos() -> bool:
    """Whether this is a Mac, by `this_platform`."""
    return this_platform().startswith("darwin-")


def unsuited(recipe: AnyRecipe, here: str = "", release: str = "") -> str:
    """Why ``recipe`` does not work on a machine, in few words; empty if it may.

    Args:
        recipe: any.
        here: its platform; empty for this machine.
        release: of its macOS or glibc.
    """
    here, release = (here, release) if here else (this_platform(), system_release())
    mac = here.startswith("darwin-")
    if not {here, here.partition("-")[0]} & set(recipe.platforms):
        if here == "darwin-x86_64" and _is_translated():
            return "this Python is for Intel Macs, under Rosetta: use one for Apple silicon"
        return _only_where(recipe.platforms, mac=mac)
    least = recipe.macos if mac else getattr(recipe, "glibc", "")
    return f"needs {_LIBRARY[mac]} {least}" if release and older(release, least) else ""


def this_system() -> str:
    """This operating system, machine and release, such as ``darwin-arm64, macOS 15.5``."""
    release = system_release()
    return f"{this_platform()}, {_LIBRARY[is_macos()]} {release}" if release else this_platform()


def _only_where(platforms: Collection[str], *, mac: bool) -> str:
    if all(each.startswith("darwin") for each in platforms):
        return "Apple silicon only" if mac else "macOS only"
    return f"{' and '.join(_NAMES.get(each, each) for each in platforms)} only"


def system_release() -> str:
    """The release of macOS, or of glibc on Linux; empty if unknown, 0 for musl."""
    if not is_macos():
        library, release = platform.libc_ver()
        return "0" if library == "musl" else release * (library == "glibc")
    release = platform.mac_ver()[0]
    # Read by a Python that was built with an older SDK, on macOS 11 and 26 (cpython issue 135675).
    # There is no macOS 16.
    wrong = release.startswith(("10.16", "16."))
    return printed_by("/usr/bin/sw_vers", "-productVersion") if wrong else release


def _is_translated() -> bool:
    """Whether this is an Intel process on Apple silicon."""
    return printed_by("/usr/sbin/sysctl", "-n", "sysctl.proc_translated") == "1"


@cache
def printed_by(*command: str) -> str:
    """The output of a program of the system; empty if it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def older(version: str, least: str) -> bool:
    """Whether a version, as numbers with dots, is older; an unknown one counts as older."""

    def numbers(text: str) -> list[int]:
        found = re.match(r"\d+(\.\d+)*", text)
        return [int(each) for each in found[0].split(".")] if found else []

    return numbers(version) < numbers(least)
