"""Which Python an environment is made with: this one, or another one that is on this machine."""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mac_whisper_speedtest.backends.recipe import Recipe
from mac_whisper_speedtest.environments import uv
from mac_whisper_speedtest.errors import SpeedtestError, UsageError


@dataclass(frozen=True, slots=True)
class Python:
    """An interpreter: where it is, and its full version."""

    path: str
    version: str


def minor(version: str) -> str:
    """``3.11`` of ``3.11.7``."""
    return ".".join(version.split(".")[:2])


def own() -> str:
    """The major and minor version of this Python."""
    return minor(platform.python_version())


def own_fits(recipe: Recipe) -> bool:
    """Whether this Python is in the recipe's range."""
    from packaging.specifiers import SpecifierSet

    return SpecifierSet(recipe.python).contains(platform.python_version(), prereleases=True)


def choose(recipe: Recipe) -> Python:
    """This Python if it fits the recipe, else one that uv finds. Nothing is downloaded.

    Raises:
        UsageError: no Python on this machine fits.
    """
    if own_fits(recipe):
        return Python(sys.executable, platform.python_version())
    try:
        path = uv.call("python", "find", "--no-python-downloads", recipe.python).strip()
    except SpeedtestError as error:
        raise UsageError(
            f"{recipe.name} needs Python {recipe.python}; this is {platform.python_version()}, "
            "and uv found no other one that fits",
            hint="install such a Python, so that uv finds it: uv python list",
        ) from error
    return Python(path, _version_of(path))


def _version_of(path: str) -> str:
    code = "import platform; print(platform.python_version())"
    done = subprocess.run(
        [path, "-I", "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    if done.returncode != 0:
        raise UsageError(f"the Python that uv found does not start: {path}")
    return done.stdout.strip()


def cpu_torch_is_enough(python: Python, wheel_folders: Iterable[Path]) -> bool:
    """Whether torch's CPU build is at hand for ``python``, and there is no NVIDIA device to use.

    Only on Linux: elsewhere the package index's own build has no CUDA libraries.
    """
    if sys.platform != "linux" or _nvidia_driver():
        return False
    return any(
        _fits(wheel.name, python) for each in wheel_folders for wheel in each.glob("torch-*")
    )


def _nvidia_driver() -> bool:
    return Path("/proc/driver/nvidia").exists() or shutil.which("nvidia-smi") is not None


def _fits(wheel: str, python: Python) -> bool:
    """Whether that file is a CPU build of torch that installs into ``python``."""
    from packaging import tags
    from packaging.utils import InvalidWheelFilename, parse_wheel_filename

    try:
        name, version, _, works_with = parse_wheel_filename(wheel)
    except InvalidWheelFilename:
        return False
    if name != "torch" or version.local != "cpu":
        return False
    major, minor_ = minor(python.version).split(".")
    return not works_with.isdisjoint(tags.cpython_tags((int(major), int(minor_))))
