"""The two folders of this program, each set by an environment variable or the user's default.

The cache (weights, clips, environments) is safe to delete; the data folder (runs) is not. One file
more is the machine's: the lock of whoever measures.
"""

from __future__ import annotations

import os
from pathlib import Path

_APP = "mac-whisper-speedtest"


def cache_dir() -> Path:
    """The cache root: ``SPEEDTEST_CACHE_DIR``, else the user's cache folder for this program."""
    override = os.environ.get("SPEEDTEST_CACHE_DIR")
    if override:
        return Path(override).expanduser().resolve()
    import platformdirs

    return Path(platformdirs.user_cache_dir(_APP, appauthor=False))


def data_dir() -> Path:
    """The data root: ``SPEEDTEST_DATA_DIR``, else the user's data folder for this program."""
    override = os.environ.get("SPEEDTEST_DATA_DIR")
    if override:
        return Path(override).expanduser().resolve()
    import platformdirs

    return Path(platformdirs.user_data_dir(_APP, appauthor=False))


def machine_lock() -> Path:
    """The file that whoever measures on this machine locks: ``SPEEDTEST_MACHINE_LOCK``, else one.

    All users of the machine have the same, so it is in ``/tmp`` and not in a user's own folder for
    temporary files.
    """
    return Path(os.environ.get("SPEEDTEST_MACHINE_LOCK") or f"/tmp/{_APP}.lock")  # noqa: S108


def with_tilde(path: Path) -> str:
    """A path for display, with the home folder as ``~``."""
    home = Path.home()
    return f"~/{path.relative_to(home)}" if path.is_relative_to(home) else str(path)
