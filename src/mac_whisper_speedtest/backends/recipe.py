"""How a backend's own environment is made: what to install, and into which Python."""

from __future__ import annotations

import platform
import sys
from dataclasses import dataclass

# What torch's build from the package index brings along on Linux beyond the CPU build: the CUDA
# libraries, which are there whether the machine has such a device or not.
_CUDA_LIBRARIES_BYTES = 5_200_000_000


@dataclass(frozen=True, slots=True)
class Recipe:
    """The requirements of one backend's environment, and the version that ships locked.

    Attributes:
        name: of the environment; backends with the same library share one recipe.
        distribution: the distribution whose version names the environment.
        version: the version that a lock ships for (``locks/<name>@<version>.txt``).
        requirements: what else to install: PEP 508 lines, without versions where the lock decides.
        overrides: requirements that replace what the distributions ask for themselves, such as a
            pin that has no wheel; ``package; python_version < "0"`` leaves a package out.
        python: the range of Pythons it works in, as a PEP 440 specifier.
        platforms: where it can work, as ``sys.platform`` or ``sys.platform-machine`` words, such
            as ``linux`` or ``darwin-arm64``.
        size_bytes: of the environment once it is made, all of its files counted; with the CPU build
            of torch where that is used.
        uses_torch: whether torch is among them; on Linux a CPU build is preferred where the machine
            has no NVIDIA driver and pip is configured with a folder that holds one.
        notes: what a reader of ``speedtest backends info`` should know.
    """

    name: str
    distribution: str
    version: str
    requirements: tuple[str, ...] = ()
    overrides: tuple[str, ...] = ()
    python: str = ">=3.11"
    platforms: tuple[str, ...] = ("darwin-arm64", "linux")
    size_bytes: int = 0
    uses_torch: bool = False
    notes: tuple[str, ...] = ()

    def works_here(self) -> bool:
        """Whether this operating system and machine are among its platforms."""
        return not {sys.platform, this_platform()}.isdisjoint(self.platforms)

    def bytes_with(self, torch: str) -> int:
        """The size of the environment with that build of torch, ``cpu`` or ``index``."""
        cuda = self.uses_torch and torch == "index" and sys.platform == "linux"
        return self.size_bytes + (_CUDA_LIBRARIES_BYTES if cuda else 0)


def this_platform() -> str:
    """The word for this operating system and machine, such as ``darwin-arm64``."""
    return f"{sys.platform}-{platform.machine()}"
