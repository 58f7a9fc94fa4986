"""Audio files made on the spot, and the real built-in clip."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fakes import sound_files
from mac_whisper_speedtest import paths
from mac_whisper_speedtest.audio import builtin, cache
from mac_whisper_speedtest.audio.recording import Recording


@pytest.fixture(scope="session")
def encode() -> Callable[..., Path]:
    """``encode(path, channels, rate=..., codec=...)`` writes an audio file and returns its path."""
    return sound_files.encode


@pytest.fixture(scope="session")
def short_clip() -> Recording:
    """The real built-in clip, from the user's cache or fetched into it."""
    return builtin.load("short", notify=print)


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A cache of the test's own; where decoded samples lie in it."""
    monkeypatch.setenv("SPEEDTEST_CACHE_DIR", str(tmp_path / "cache"))
    folder = paths.cache_dir() / "pcm"
    yield folder
    if (handle := cache._lock_handles.pop(folder, None)) is not None:
        os.close(handle)
