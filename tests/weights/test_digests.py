"""Hashes of files: right, remembered only while the file is the same, and reported as they grow."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import stat
from pathlib import Path

import pytest

from mac_whisper_speedtest.weights import hashes

DATA = bytes(range(256)) * 40_000  # 10 MB: several blocks
LONG_AGO = 1_600_000_000


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("SPEEDTEST_CACHE_DIR", str(folder))
    return folder


def settled(path: Path, data: bytes = DATA) -> Path:
    """A file that was written long ago."""
    path.write_bytes(data)
    os.utime(path, (LONG_AGO, LONG_AGO))
    return path


def sha256(path: Path) -> str | OSError:
    return hashes.sha256_files([path])[path]


@pytest.fixture
def read_files(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Which files are really read."""
    read: list[Path] = []
    original = hashes._hashed

    def spied(path: Path, progress: object) -> str | OSError:
        read.append(path)
        return original(path, progress)  # type: ignore[arg-type]

    monkeypatch.setattr(hashes, "_hashed", spied)
    return read


def test_a_hash_is_the_files_sha256(tmp_path: Path) -> None:
    path = settled(tmp_path / "file")
    assert sha256(path) == hashlib.sha256(DATA).hexdigest()


def test_a_second_look_reads_nothing(tmp_path: Path, read_files: list[Path]) -> None:
    path = settled(tmp_path / "file")
    first, second = sha256(path), sha256(path)
    assert first == second
    assert read_files == [path]


def test_a_fresh_look_reads_again(tmp_path: Path, read_files: list[Path]) -> None:
    path = settled(tmp_path / "file")
    sha256(path)
    hashes.sha256_files([path], fresh=True)
    assert read_files == [path, path]


@pytest.mark.parametrize("changed", ["mtime", "size", "inode", "path"])
def test_whatever_changes_about_a_file_makes_it_another(
    tmp_path: Path, read_files: list[Path], changed: str
) -> None:
    path = settled(tmp_path / "file")
    sha256(path)
    read_files.clear()
    if changed == "mtime":
        os.utime(path, (LONG_AGO + 1, LONG_AGO + 1))
    elif changed == "size":
        settled(path, DATA + b"x")
    elif changed == "inode":
        settled(tmp_path / "other").replace(path)
    else:
        path = path.rename(tmp_path / "renamed")
    sha256(path)
    assert read_files == [path]


def test_a_file_that_may_still_be_changing_is_not_remembered(
    tmp_path: Path, read_files: list[Path]
) -> None:
    path = tmp_path / "file"
    path.write_bytes(DATA)
    assert sha256(path) == sha256(path)
    assert read_files == [path, path]


def test_progress_adds_up_to_the_bytes_of_all_files(tmp_path: Path) -> None:
    files = [settled(tmp_path / f"file-{number}") for number in range(3)]
    counts: list[int] = []
    hashes.sha256_files([*files, files[0]], progress=counts.append)
    assert sum(counts) == 3 * len(DATA)
    counts.clear()
    hashes.sha256_files(files, progress=counts.append)  # remembered, and done all the same
    assert sum(counts) == 3 * len(DATA)


def test_a_file_that_is_gone_costs_only_itself(tmp_path: Path) -> None:
    here, gone = settled(tmp_path / "here"), tmp_path / "gone"
    found = hashes.sha256_files([gone, here])
    assert isinstance(found[gone], FileNotFoundError)
    assert found[here] == hashlib.sha256(DATA).hexdigest()


@pytest.mark.parametrize("damage", ["garbage", "a folder", "other tables"])
def test_a_damaged_memory_is_no_memory(tmp_path: Path, cache: Path, damage: str) -> None:
    path = settled(tmp_path / "file")
    cache.mkdir()
    database = cache / "found-out.sqlite"
    if damage == "garbage":
        database.write_bytes(b"not a database" * 100)
    elif damage == "a folder":
        database.mkdir()
    else:
        with sqlite3.connect(database) as connection:
            connection.execute("create table sha256 (other text)")
        connection.close()
    assert sha256(path) == sha256(path) == hashlib.sha256(DATA).hexdigest()


def test_what_is_remembered_is_private_and_another_user_s_is_not_believed(
    tmp_path: Path, cache: Path, read_files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = settled(tmp_path / "file")
    sha256(path)
    assert stat.S_IMODE((cache / "found-out.sqlite").stat().st_mode) == 0o600
    another = os.geteuid() + 1
    monkeypatch.setattr(os, "geteuid", lambda: another)
    sha256(path)
    assert read_files == [path, path]
