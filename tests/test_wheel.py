"""The wheel: it has every file of the package, and the sources of the bridges, once."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from mac_whisper_speedtest.backends.fluidaudio import RECIPE as FLUIDAUDIO
from mac_whisper_speedtest.backends.whisperkit import RECIPE as WHISPERKIT
from mac_whisper_speedtest.environments import bridges

ROOT = Path(__file__).resolve().parents[1]
IGNORED = {"__pycache__", ".build", ".swiftpm", "Package.resolved", "stubs"}
LOOK = """
from mac_whisper_speedtest.backends.fluidaudio import RECIPE as FLUIDAUDIO
from mac_whisper_speedtest.backends.whisperkit import RECIPE as WHISPERKIT
from mac_whisper_speedtest.environments import bridges
print(bridges.sources())
for recipe in (WHISPERKIT, FLUIDAUDIO):
    print(bridges.sources_sha256(recipe))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory"]
    subprocess.run([*command, str(folder)], cwd=ROOT, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


def files(folder: Path) -> set[str]:
    """The files of a folder of the checkout that are to ship, relative to it."""
    names = (each.relative_to(folder) for each in folder.rglob("*") if each.is_file())
    return {each.as_posix() for each in names if IGNORED.isdisjoint(each.parts)}


def test_it_has_every_file_of_the_package_and_the_sources_of_the_bridges(wheel: Path) -> None:
    name = "mac_whisper_speedtest"
    names = {each for each in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in each}
    package = {f"{name}/{each}" for each in files(ROOT / "src" / name)}
    swift = {f"{name}/bridges/swift/{each}" for each in files(ROOT / "bridges" / "swift")}
    assert names == package | swift
    assert f"{name}/bridges/swift/whisperkit/Package.swift" in names
    assert f"{name}/py.typed" in names


def test_an_installed_tool_builds_bridges_from_the_sources_in_it(
    wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    command = [sys.executable, "-P", "-c", LOOK]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    folder, *digests = done.stdout.splitlines()
    assert Path(folder) == tmp_path / "mac_whisper_speedtest" / "bridges" / "swift"
    assert bridges.sources() == ROOT / "bridges" / "swift"
    assert digests == [bridges.sources_sha256(each) for each in (WHISPERKIT, FLUIDAUDIO)]
    assert digests[0] != digests[1]
