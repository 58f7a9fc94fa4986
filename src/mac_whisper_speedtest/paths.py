"""The two folders of this program, each set by an environment variable or the user's default.

The cache (weights, clips, environments) is safe to delete; the data folder (runs) is not. One file
more is the machine's: the lock of the process that measures.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
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
    """The file that a measuring process locks: ``SPEEDTEST_MACHINE_LOCK``, else one.

    All users of the machine have the same, so it is in ``/tmp`` and not in a user's own folder for
    temporary files.
    """
    return Path(os.environ.get("SPEEDTEST_MACHINE_LOCK") or f"/tmp/{_APP}.lock")  # noqa: S108


def with_tilde(path: Path) -> str:
    """A path for display, with the home folder as ``~``."""
    home = Path.home()
    return f"~/{path.relative_to(home)}" if path.is_relative_to(home) else str(path)


DATA: Mapping[str, str] = {
    "runs": "a folder per run, named by its number in six digits",
    "index.sqlite": "summaries of all runs; it can be rebuilt",
    "noise": "what `speedtest noise` found on this machine",
    "fleet": "certificates, ledger and outbox of a fleet of machines",
    "locks": "locks that you made for other versions of backends",
}
CACHE: Mapping[str, str] = {
    "pcm": "decoded recordings: float32 samples, and their hash",
    "clips": "the recording behind the built-in clips",
    "datasets": "datasets that were downloaded",
    "weights": "converted, mirrored and assembled weights",
    "listings": "the hub's file listings of commits",
    "envs": "environments of backends",
    "bridges": "programs in Swift that were built here",
    "found-out.sqlite": "remembered hashes and loads",
    "downloads.json": "how fast earlier downloads were",
}
"""What is in the two folders, by name."""

VARIABLES: Mapping[str, str] = {
    "SPEEDTEST_DATA_DIR": "the data folder",
    "SPEEDTEST_CACHE_DIR": "the cache folder",
    "SPEEDTEST_MACHINE_LOCK": "the file that a measuring process on this machine locks",
    "SPEEDTEST_OFFLINE": "set to other than 0: no request to the hub",
    "SPEEDTEST_RETAKE": "0: as `--no-retake`",
    "HF_HUB_OFFLINE": "1: no request to the hub; `TRANSFORMERS_OFFLINE` likewise",
    "HF_ENDPOINT": "the hub, if it is not huggingface.co",
    "HF_TOKEN": "a token, which is sent to the hub alone; also that of `hf auth login`",
    "HF_HOME": "the folder of the Hugging Face cache, `hub` in it",
    "HF_HUB_CACHE": "the Hugging Face cache itself",
    "XDG_CACHE_HOME": "where libraries have their caches, in place of `~/.cache`",
    "XDG_CONFIG_HOME": "where pip's configuration is looked for",
    "XDG_CONFIG_DIRS": "likewise, of all users",
    "PIP_CONFIG_FILE": "pip's configuration; all `PIP_...` variables count for `backends install`",
    "UV_FIND_LINKS": "folders of wheels; all `UV_...` variables win over pip's configuration",
    "MOONSHINE_VOICE_CACHE": "moonshine-voice's folder",
    "CUDA_VISIBLE_DEVICES": "the GPUs that workers see; the selfcheck records it",
    "XPC_SERVICE_NAME": "set by launchd: this program runs as a service of macOS",
    "PYTHONUNBUFFERED": "set: every line is written at once",
}
"""Environment variables that this program reads; workers get some more (`worker.launch`)."""
