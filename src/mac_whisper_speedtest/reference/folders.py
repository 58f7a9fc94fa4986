"""The layout of a run's folder, of the data folder and of the cache; environment variables."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mac_whisper_speedtest import paths
from mac_whisper_speedtest.bundle import members
from mac_whisper_speedtest.reference.markdown import code, docstring, page, table
from mac_whisper_speedtest.results.directory import RunDirectory


def folders() -> str:
    """Files and folders that are written, and environment variables."""
    return page(
        "Reference: folders and variables",
        "## A run's folder",
        "`runs/000042` in the data folder: complete in itself, and safe to copy. "
        "[runs.md](../explanation/runs.md) explains it.",
        _listed(_run_files()),
        "## The data folder",
        "Not safe to delete. Without a variable it is `~/.local/share/mac-whisper-speedtest` on "
        "Linux, `~/Library/Application Support/mac-whisper-speedtest` on macOS.",
        _listed(paths.DATA),
        "## The cache",
        "Safe to delete: all of it is made again. Without a variable it is "
        "`~/.cache/mac-whisper-speedtest` on Linux, `~/Library/Caches/mac-whisper-speedtest` on "
        "macOS.",
        _listed(paths.CACHE),
        "## Environment variables",
        "Proxy variables (`HTTPS_PROXY` and so on) count for every download. What a worker gets is "
        "in [protocol.md](protocol.md#variables).",
        _listed(paths.VARIABLES),
    )


def _run_files() -> dict[str, str]:
    """The files of a run with the docstrings of the properties that name them."""
    run = RunDirectory(Path())
    found = {
        getattr(run, name).name: docstring(getattr(RunDirectory, name))
        for name in ("manifest_path", "journal_path", "sealed_path", "recording_path")
    }
    return {**found, members.ORIGIN: docstring(members.ImportOrigin)}


def _listed(found: Mapping[str, str]) -> str:
    return table(("name", "meaning"), ([code(name), text] for name, text in found.items()))
