"""One locked environment per backend, for backends that cannot live beside the tool.

``backends/locks/<name>.txt`` pins every package with its hashes; it is the whole list, so nothing
is resolved at install time. ``docs/backends.md`` says how a lock is made and what it leaves out.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from importlib import resources
from pathlib import Path

from mac_whisper_speedtest import paths
from mac_whisper_speedtest.durable import staged_directory
from mac_whisper_speedtest.errors import SpeedtestError, UsageError

_LAST_LINES = 3


def lock_text(name: str) -> str | None:
    """The lock that ships for backend ``name``, or ``None``."""
    lock = resources.files("mac_whisper_speedtest.backends").joinpath("locks", f"{name}.txt")
    return lock.read_text(encoding="utf-8") if lock.is_file() else None


def folder_of(name: str, lock: str) -> Path:
    """Where the environment of that lock and of this Python version lives."""
    digest = hashlib.sha256(lock.encode()).hexdigest()[:12]
    version = f"py{sys.version_info.major}{sys.version_info.minor}"
    return paths.cache_dir() / "envs" / f"{name}-{version}-{digest}"


def python_of(name: str) -> str | None:
    """The interpreter of the backend's environment, or ``None`` when that is not installed."""
    lock = lock_text(name)
    if lock is None:
        return None
    python = folder_of(name, lock) / "bin" / "python"
    return str(python) if python.exists() else None


def install(name: str, *, announce: Callable[[str], None]) -> Path:
    """Make the environment of backend ``name`` from its lock; do nothing when it is there.

    A killed install leaves nothing that looks like an environment: it is made in a staging folder
    and renamed when it is whole. Two installs at once do the work once.

    Raises:
        UsageError: no lock ships for that backend.
        SpeedtestError: the packages could not be had.
    """
    lock = lock_text(name)
    if lock is None:
        raise UsageError(
            f"no locked environment ships for {name!r}",
            hint="install its library beside the tool, or describe it in a .toml file",
        )
    target = folder_of(name, lock)
    import filelock

    target.parent.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(f"{target}.lock"):
        if target.exists():
            return target
        announce(f"installing {name} into an environment of its own")
        with staged_directory(target) as staging:
            requirements = staging / "requirements.txt"
            requirements.write_text(lock, encoding="utf-8")
            _uv("venv", "--relocatable", "--python", sys.executable, "--allow-existing", staging)
            # --no-deps: the lock is the whole list, and leaves out what is never imported.
            _uv(
                "pip",
                "install",
                "--python",
                staging / "bin" / "python",
                "--no-deps",
                "--require-hashes",
                "--requirement",
                requirements,
            )
    return target


def _uv(*arguments: str | Path) -> None:
    import uv

    result = subprocess.run(
        [uv.find_uv_bin(), "--no-config", "--quiet", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        env={**index_settings(_pip_config()), **os.environ},
    )
    if result.returncode != 0:
        last = " / ".join(result.stderr.strip().splitlines()[-_LAST_LINES:])
        raise SpeedtestError(
            f"uv {arguments[0]} failed: {last or f'status {result.returncode}'}",
            hint="check the connection to your package index, and the free disk space",
        )


def index_settings(pip_config: str) -> dict[str, str]:
    """What uv must be told to use the package index that pip is configured for.

    Args:
        pip_config: what ``pip config list`` prints: lines such as ``global.index-url='https://…'``;
            a line from the environment (``:env:``) comes first and wins.
    """
    names = {"index-url": "UV_DEFAULT_INDEX", "cert": "SSL_CERT_FILE"}
    settings: dict[str, str] = {}
    for line in pip_config.splitlines():
        key, found, value = line.partition("=")
        name = names.get(key.rpartition(".")[2])
        if found and name:
            settings.setdefault(name, value.strip().strip("'\""))
    return settings


def _pip_config() -> str:
    """What pip is configured with; nothing where this interpreter has no pip."""
    done = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    return done.stdout if done.returncode == 0 else ""
