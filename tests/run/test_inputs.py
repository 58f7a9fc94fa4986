"""Every backend gets the same audio, whatever another one does to it."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from conftest import FAKES, Finished, Tool, describe_fake, write_tone
from mac_whisper_speedtest.audio.recording import Recording, StoredSamples
from mac_whisper_speedtest.errors import StorageError
from mac_whisper_speedtest.run.inputs import LostFolderError, WorkerInputs

ENGINE = [sys.executable, str(FAKES / "broken_engine.py")]
VANDALS = ("truncates", "silences", "removes", "links")


def recordings() -> list[Recording]:
    return [
        Recording(name, np.full(1600, level, np.float32), None, None, "made here")
        for name, level in (("one", 0.1), ("two", 0.2))
    ]


def replace_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "inside").touch()


def replace_by_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def overwrite(path: Path) -> None:
    """Also puts the time of the last change back."""
    before = path.stat()
    path.chmod(0o600)
    path.write_bytes(bytes(before.st_size))
    path.chmod(before.st_mode)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize("damage", [overwrite, Path.unlink, replace_by_folder, replace_by_pipe])
def test_a_file_that_was_changed_is_written_again(
    damage: Callable[[Path], None], tmp_path: Path
) -> None:
    inputs = WorkerInputs(recordings(), tmp_path, {})
    path = Path(inputs.recordings[1].audio.path)
    before = path.read_bytes()
    assert path.stat().st_mode & 0o777 == 0o400
    damage(path)
    assert inputs.restore_changed() == ["two"]
    assert path.read_bytes() == before
    assert path.stat().st_mode & 0o777 == 0o400
    assert inputs.restore_changed() == []


def test_a_file_that_holds_the_same_again_is_no_change(tmp_path: Path) -> None:
    inputs = WorkerInputs(recordings(), tmp_path, {})
    path = Path(inputs.recordings[0].audio.path)
    path.chmod(0o644)
    path.write_bytes(path.read_bytes())
    assert inputs.restore_changed() == []
    assert path.stat().st_mode & 0o777 == 0o400


def test_a_folder_that_is_gone_is_an_error_that_says_so(tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    inputs = WorkerInputs(recordings(), work, {})
    shutil.rmtree(work)
    with pytest.raises(LostFolderError, match="was removed during the run"):
        inputs.restore_changed()


def test_an_original_that_has_changed_too_is_not_measured(tmp_path: Path) -> None:
    cached = tmp_path / "cached.f32"
    np.full(1600, 0.1, "<f4").tofile(cached)
    known = hashlib.sha256(cached.read_bytes()).hexdigest()
    recording = Recording("one", StoredSamples(cached, 1600), None, None, "here", known)
    work = tmp_path / "work"
    work.mkdir()
    inputs = WorkerInputs([recording], work, {})
    Path(inputs.recordings[0].audio.path).unlink()
    assert inputs.restore_changed() == ["one"]
    np.full(1600, 0.2, "<f4").tofile(cached)
    Path(inputs.recordings[0].audio.path).unlink()
    with pytest.raises(StorageError, match="has changed in the cache"):
        inputs.restore_changed()
    with pytest.raises(StorageError, match="has changed in the cache"):
        WorkerInputs([recording], work, {})
    cached.unlink()
    with pytest.raises(StorageError, match=r"cannot read .*cached\.f32"):
        WorkerInputs([recording], work, {})


@pytest.fixture(scope="module")
def vandalized(tmp_path_factory: pytest.TempPathFactory) -> tuple[Finished, str]:
    """A run of honest engines and of those that damage the audio, and the hash of that audio."""
    folder = tmp_path_factory.mktemp("vandals")
    backends: list[object] = []
    for name in ("first", *VANDALS, "last"):
        fault = f"{name} the audio" if name in VANDALS else "hears"
        backends += ["-b", describe_fake(folder, name, command=[*ENGINE, fault])]
    done = Tool(tmp_path_factory.mktemp("tmp"))(
        *["run", "-m", "tiny.en", "--audio", write_tone(folder / "tone.wav"), *backends],
        *["--rounds", 3, "--passes", 2, "--json"],
    )
    return done, done.run["manifest"]["clips"][0]["pcm_sha256"]


@pytest.mark.parametrize("vandal", VANDALS)
def test_a_worker_that_changes_the_audio_is_named(
    vandalized: tuple[Finished, str], vandal: str
) -> None:
    cell = vandalized[0].cell(vandal)
    assert cell["status"] == "protocol_violation"
    assert "changed tone.wav, which other backends may also read" in cell["endings"][0]["message"]


@pytest.mark.parametrize("witness", ["first", "last"])
def test_every_other_backend_hears_what_was_recorded(
    vandalized: tuple[Finished, str], witness: str
) -> None:
    cell = vandalized[0].cell(witness)
    assert cell["status"] == "ok"
    assert {each["text"] for each in cell["samples"]} == {vandalized[1]}
    assert cell["summary"]["timed_samples"] == 6


def test_weights_that_a_worker_changes_are_not_measured_with_any_more(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder, apart = (tmp_path_factory.mktemp(name) for name in ("shared", "apart"))
    backends = [
        *("-b", describe_fake(folder, "honest", command=[*ENGINE, "hears"])),
        *("-b", describe_fake(folder, "vandal", command=[*ENGINE, "spoils the weights"])),
        *("-b", describe_fake(apart, "elsewhere", command=[*ENGINE, "hears"])),
    ]
    done = Tool(tmp_path_factory.mktemp("tmp"))(
        *["run", "-m", "tiny.en", "--audio", write_tone(folder / "tone.wav"), *backends],
        *["--rounds", 3, "--passes", 2, "--json"],
    )
    vandal = done.cell("vandal")
    assert vandal["status"] == "protocol_violation"
    assert vandal["endings"][0]["message"].startswith("changed weights.bin, which other backends")
    honest = done.cell("honest")
    assert honest["status"] == "unavailable"
    assert (
        honest["endings"][-1]["message"] == "weights.bin of its weights was changed during the run"
    )
    assert done.cell("elsewhere")["status"] == "ok"
    assert done.cell("elsewhere")["summary"]["rounds_ok"] == 3
