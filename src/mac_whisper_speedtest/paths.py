"""Where this program keeps what it fetches, makes and records.

Two roots, each moved by an environment variable: the cache (weights, clips, environments; safe to
delete) and the data folder (runs; not safe to delete).
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
