"""The build of MLX that is installed on a Mac: one version has wheels for several macOS releases.

Imports only the standard library: the doctor runs this file in a backend's own interpreter.
"""

from __future__ import annotations

import re

NAME = "mlx-metal wheel"
"""The key of the tag among a backend's versions."""

INSTALL = "SYSTEM_VERSION_COMPAT=0 python -m pip install --force-reinstall --no-deps mlx-metal"
"""The command if MLX is installed beside the tool: pip chooses the best build for that release."""

_BUILDS = (14, 15, 26)
"""Releases of macOS for which mlx-metal has wheels. Only the wheel for 26 has the kernels for M5's
neural accelerators (its mlx.metallib has 7920 names with ``nax``; for 15 it has one)."""


def platform_tag() -> str:
    """The platform of the installed mlx-metal, such as ``macosx_26_0_arm64``; empty without it."""
    from importlib import metadata

    try:
        text = metadata.distribution("mlx-metal").read_text("WHEEL") or ""
    except metadata.PackageNotFoundError:
        return ""
    found = re.search(r"^Tag: \S*-(\w+)\s*$", text, re.MULTILINE)
    return found[1] if found else ""


def too_old(tag: str, macos: str) -> str:
    """Why an installed build is not the best for this release of macOS; empty if it is.

    Installers choose by the release that Python reports: some report 16.0 on macOS 26 (CPython
    issue 135675), and an environment from before an update of macOS keeps its build.

    Args:
        tag: see `platform_tag`.
        macos: release of the machine, such as ``26.2``.
    """
    built = re.match(r"macosx_(\d+)_", tag)
    release = re.match(r"\d+", macos)
    if not built or not release:
        return ""
    best = max((each for each in _BUILDS if each <= int(release[0])), default=0)
    if int(built[1]) >= best:
        return ""
    lost = ": without the neural accelerators of M5" if best >= 26 else ""
    return f"MLX's build is for macOS {built[1]}, but there is one for {best}{lost}"
