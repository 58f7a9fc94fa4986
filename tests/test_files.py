"""Folders are complete or absent, whichever process is killed while one is created."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import Tool, wait_until
from mac_whisper_speedtest import files
from mac_whisper_speedtest.results.journal import Journal
from mac_whisper_speedtest.results.schema import WorkerStarted
from mac_whisper_speedtest.weights import locate

_FILLS_FOR_EVER = """
import pathlib, sys, time
from mac_whisper_speedtest import files
with files.staged_directory(pathlib.Path(sys.argv[1])) as staging:
    (staging / "half").write_text("half", encoding="utf-8")
    print("filling", flush=True)
    time.sleep(1000)
"""


def filling(target: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", _FILLS_FOR_EVER, str(target)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "filling\n"
    return process


class Drive:
    """What a Mac's fcntl and fsync are asked to do, by name; ``refuses``: as a network share."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, refuses: bool = False) -> None:
        self.asked: list[str] = []
        self._refuses = refuses
        monkeypatch.setattr(fcntl, "F_FULLFSYNC", 51, raising=False)
        monkeypatch.setattr(fcntl, "fcntl", self._fcntl)
        monkeypatch.setattr(os, "fsync", lambda handle: self._note("fsync", handle))

    def _fcntl(self, handle: int, command: int) -> int:
        assert command == 51
        if self._refuses:
            raise OSError(errno.ENOTSUP, "Operation not supported")
        self._note("full", handle)
        return 0

    def _note(self, what: str, handle: int) -> None:
        kind = "folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "file"
        self.asked.append(f"{what} {kind}")


def test_on_a_mac_a_write_empties_the_cache_of_the_drive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drive = Drive(monkeypatch)
    files.write_bytes(tmp_path / "file", b"data")
    assert drive.asked == ["full file", "full folder"]


def test_a_file_system_that_cannot_do_that_is_still_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drive = Drive(monkeypatch, refuses=True)
    files.write_bytes(tmp_path / "file", b"data")
    assert drive.asked == ["fsync file", "fsync folder"]


def test_many_files_of_a_folder_empty_the_cache_of_the_drive_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drive = Drive(monkeypatch)
    with files.staged_directory(tmp_path / "environment") as staging:
        for name in "abc":
            (staging / name).touch()
    # The second is of the folder around it, after the rename.
    assert drive.asked == [*["fsync file"] * 3, "full folder", "full folder"]


def test_every_line_of_a_journal_is_on_the_drive_before_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drive = Drive(monkeypatch)
    with Journal(tmp_path / "journal.jsonl") as journal:
        for number in range(2):
            journal.append(WorkerStarted(cell="a", round=number, attempt=0))
            assert drive.asked == ["full file"] * (number + 1)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def fill(target: Path) -> None:
    with files.staged_directory(target) as staging:
        (staging / "whole").write_text("whole", encoding="utf-8")


def test_what_a_killed_process_left_goes_when_the_folder_is_next_made(tmp_path: Path) -> None:
    with filling(tmp_path / "weights") as process:
        process.kill()
    assert [name.startswith(".weights.") for name in names(tmp_path)] == [True]
    fill(tmp_path / "weights")
    assert names(tmp_path) == ["weights"]
    assert names(tmp_path / "weights") == ["whole"]


def test_what_another_process_is_filling_stays(tmp_path: Path) -> None:
    with filling(tmp_path / "weights") as process:
        (theirs,) = names(tmp_path)
        fill(tmp_path / "weights")
        assert names(tmp_path) == [theirs, "weights"]
        assert names(tmp_path / theirs) == ["half"]
        process.kill()


def test_other_targets_leftovers_and_files_are_no_business_of_ours(tmp_path: Path) -> None:
    (tmp_path / ".other.abc").mkdir()
    (tmp_path / ".weights.txt").write_text("mine", encoding="utf-8")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / ".weights.link").symlink_to(elsewhere)
    fill(tmp_path / "weights")
    assert names(tmp_path) == [
        ".other.abc",
        ".weights.link",
        ".weights.txt",
        "elsewhere",
        "weights",
    ]


def test_an_error_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no"), files.staged_directory(tmp_path / "weights"):
        raise ValueError("no")
    assert names(tmp_path) == []


def test_a_conversion_killed_in_the_middle_is_made_by_the_next_call(
    tool: Tool, tmp_path: Path
) -> None:
    source = locate.official("tiny.en").path
    folder = tmp_path / "made"
    folder.mkdir()
    call = ("models", "convert", source, folder / "ggml", "--to", "ggml")
    process = tool.start(*call)
    wait_until(lambda: any(path.name.startswith(".ggml.") for path in folder.iterdir()))
    process.kill()
    process.communicate()
    assert "ggml" not in names(folder)
    done = tool(*call)
    assert done.returncode == 0, done.stderr
    assert names(folder) == ["ggml"]


_HOLDS_FOR_EVER = """
import os, pathlib, sys, time
from mac_whisper_speedtest import files
with files.locked(pathlib.Path(sys.argv[1])):
    assert files.claim_handle(os.open(sys.argv[2], os.O_RDWR))
    print("holding", flush=True)
    time.sleep(1000)
"""


def test_a_lock_is_waited_for_or_not_and_free_once_its_holder_is_killed(tmp_path: Path) -> None:
    lock, data = tmp_path / "new folder" / "x.lock", tmp_path / "data"
    data.touch()
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLDS_FOR_EVER, lock, data], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "holding\n"
    with data.open("rb") as stream:
        with files.locked(lock, wait=False) as held:
            assert not held
        assert not files.claim_handle(stream.fileno())
        assert not files.claim_handle(stream.fileno(), shared=True)
        # Who has to wait hears of it, and here that ends the waiting.
        with files.locked(lock, notify=process.kill) as held:
            assert held
        process.wait()
        assert files.claim_handle(stream.fileno(), wait=True)
        with data.open("rb") as other:
            assert not files.claim_handle(other.fileno(), shared=True)
            assert files.claim_handle(stream.fileno(), shared=True)
            assert files.claim_handle(other.fileno(), shared=True)
    process.stdout.close()


def test_a_lock_that_nobody_holds_is_not_announced(tmp_path: Path) -> None:
    for wait in (True, False):
        with files.locked(tmp_path / "x.lock", wait=wait, notify=pytest.fail) as held:
            assert held
    assert names(tmp_path) == ["x.lock"]


@pytest.mark.parametrize(("private", "modes"), [(True, (0o600, 0o700)), (False, (0o644, 0o755))])
def test_what_is_written_is_as_private_as_its_folder(
    private: bool, modes: tuple[int, int], tmp_path: Path
) -> None:
    folder = tmp_path / "above" / "folder"
    if private:
        files.private_folder(folder)
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    files.write_bytes(folder / "file", b"")
    fill(folder / "filled")
    written = (folder / "file", folder / "filled")
    assert tuple(stat.S_IMODE(path.stat().st_mode) for path in written) == modes


def test_a_folder_that_others_can_enter_is_made_private(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir(mode=0o777)
    files.private_folder(tmp_path / "folder")
    assert stat.S_IMODE((tmp_path / "folder").stat().st_mode) == 0o700


def test_a_file_of_another_user_is_not_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    assert files.is_own(tmp_path / "file")
    another = os.geteuid() + 1
    monkeypatch.setattr(os, "geteuid", lambda: another)
    assert not files.is_own(tmp_path / "file")
