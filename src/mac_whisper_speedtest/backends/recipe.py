"""Recipes: how the environment of a Python backend, or the program of a Swift one, is made.

Data only. ``environments/`` acts on them; what differs between the two kinds is decided there, in
``installations``.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

# On Linux, torch's build from the package index installs these CUDA libraries, with or without a
# CUDA device; the CPU build does not.
_CUDA_LIBRARIES_BYTES = 5_200_000_000

APPLE_SILICON = "darwin-arm64"


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a backend's own environment is created: what to install, and for which Python.

    Attributes:
        name: of the environment; backends with the same library share one recipe.
        distribution: the distribution whose version names the environment.
        version: the version that a lock ships for (``locks/<name>@<version>.txt``).
        requirements: what else to install: PEP 508 lines, without versions where the lock has them.
        overrides: requirements that replace those of the distributions, such as a pin that has no
            wheel; ``package; python_version < "0"`` leaves a package out.
        python: the range of Pythons it works in, as a PEP 440 specifier.
        platforms: where it works, as ``sys.platform`` or ``sys.platform-machine``: ``linux``,
            ``darwin-arm64``.
        size_bytes: of all files of the environment; with the CPU build of torch where that is used.
        build: options of CMake with which the distribution is built from its source; empty where
            its wheel is installed. What builds it is among the requirements.
        uses_torch: whether torch is installed; on Linux a CPU build is preferred where the machine
            has no NVIDIA driver and pip is configured with a folder that holds one.
        notes: shown by ``speedtest backends info``.
    """

    name: str
    distribution: str
    version: str
    requirements: tuple[str, ...] = ()
    overrides: tuple[str, ...] = ()
    python: str = ">=3.11"
    platforms: tuple[str, ...] = (APPLE_SILICON, "linux")
    size_bytes: int = 0
    build: Mapping[str, str] = field(default_factory=dict)
    uses_torch: bool = False
    notes: tuple[str, ...] = ()

    def works_here(self) -> bool:
        """Whether this operating system and machine are among its platforms."""
        return works_on(self.platforms)

    def bytes_with(self, torch: str) -> int:
        """The size of the environment with that build of torch, ``cpu`` or ``index``."""
        cuda = self.uses_torch and torch == "index" and sys.platform == "linux"
        return self.size_bytes + (_CUDA_LIBRARIES_BYTES if cuda else 0)


@dataclass(frozen=True, slots=True)
class SwiftRecipe:
    """How a bridge is built: a program in Swift that speaks the worker protocol.

    Its sources ship with the tool, and its packages are pinned in their manifests: a release of the
    tool builds one version of each bridge.

    Attributes:
        name: of the bridge, with which it answers ``hello``; backends with the same program share
            one recipe.
        version: of the library that it measures.
        package: the folder of its package, in ``bridges/swift``.
        needs: the folders beside it that its manifest refers to.
        product: the executable.
        swift: the oldest compiler that builds it.
        macos: the oldest macOS that it runs on.
        sdk: the oldest SDK of macOS that has what it calls; empty for any.
        revisions: the commits of the packages that it is pinned to, by package identity.
        platforms: as for `Recipe`.
        size_bytes: of the built program.
        build_bytes: what the build needs on the disk, downloads included.
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

    def works_here(self) -> bool:
        """Whether this operating system and machine are among its platforms."""
        return works_on(self.platforms)


AnyRecipe = Recipe | SwiftRecipe


def this_platform() -> str:
    """This operating system and machine, such as ``darwin-arm64``."""
    return f"{sys.platform}-{platform.machine()}"


def is_macos() -> bool:
    """Whether this is a Mac, by `this_platform`."""
    return this_platform().startswith("darwin-")


def works_on(platforms: Collection[str]) -> bool:
    """Whether this operating system and machine are among ``platforms``."""
    here = this_platform()
    return here in platforms or here.partition("-")[0] in platforms


def only_where(platforms: Collection[str]) -> str:
    """Where that works which does not work here, in few words: ``macOS only``."""
    if all(each.startswith("darwin") for each in platforms):
        return "Apple silicon only" if is_macos() else "macOS only"
    return f"{' and '.join(platforms)} only"
