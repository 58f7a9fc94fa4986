"""A data folder of each test's own."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty data folder and an empty cache, on this machine's own disk."""
    folder = tmp_path / "data"
    monkeypatch.setenv("SPEEDTEST_DATA_DIR", str(folder))
    monkeypatch.setenv("SPEEDTEST_CACHE_DIR", str(tmp_path / "cache"))
    return folder.resolve()
