"""Evicting files: verified, or with the reason why not."""

from __future__ import annotations

import mmap
import os
import sys
from pathlib import Path

import pytest

from mac_whisper_speedtest.machine import caches

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="macOS forgets for root alone")
SIZE = 3_000_001


def written(path: Path) -> Path:
    path.write_bytes(os.urandom(SIZE))
    path.read_bytes()
    return path


@linux_only
def test_a_file_that_was_just_written_is_forgotten(tmp_path: Path) -> None:
    path = written(tmp_path / "weights.bin")
    assert caches.resident_bytes(path) == SIZE
    found = caches.drop([path])
    if found.dropped is False and "stay" in found.reason:
        pytest.skip("the temporary folder is in memory")
    assert found.dropped is True
    assert found.bytes == SIZE
    assert caches.resident_bytes(path) == 0
    path.read_bytes()
    assert caches.resident_bytes(path) == SIZE


@linux_only
def test_a_folder_stands_for_all_below_it_and_links_for_what_they_lead_to(tmp_path: Path) -> None:
    blob = written(tmp_path / "blob")
    folder = tmp_path / "snapshot" / "deep"
    folder.mkdir(parents=True)
    (folder / "model.bin").symlink_to(blob)
    found = caches.drop([tmp_path / "snapshot"])
    assert found.bytes == SIZE


@linux_only
def test_a_file_that_is_in_use_is_not_said_to_be_forgotten(tmp_path: Path) -> None:
    path = written(tmp_path / "weights.bin")
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, prot=mmap.PROT_READ) as held:
        assert sum(held[:: mmap.PAGESIZE]) >= 0  # every page is touched
        found = caches.drop([path])
    assert found.dropped is False
    assert "in use" in found.reason
    assert caches.resident_bytes(path) > 0
    assert path.stat().st_size == SIZE


@linux_only
def test_looking_changes_nothing_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "weights.bin"
    path.write_bytes(b"weights" * 1000)
    caches.resident_bytes(path)
    assert path.read_bytes() == b"weights" * 1000


def test_an_empty_file_has_nothing_in_memory(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    assert caches.resident_bytes(tmp_path / "empty") == 0


def test_what_is_not_there_cannot_be_forgotten(tmp_path: Path) -> None:
    found = caches.drop([tmp_path / "nowhere"])
    assert found.dropped is False
    assert found.reason


def test_without_the_system_call_it_says_that_it_is_not_permitted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "posix_fadvise", raising=False)
    found = caches.drop([tmp_path])
    assert found.dropped is False
    assert found.reason.startswith("not permitted")
