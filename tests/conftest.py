"""What every test may use: a home of its own, fakes as backends, and the tool as a process."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import signal
import subprocess
import sys
import time
import wave
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import psutil
import pytest

from mac_whisper_speedtest import cli, paths
from mac_whisper_speedtest.backends import registry
from mac_whisper_speedtest.backends.backend import Backend

pytest_plugins = ["browser"]

FAKES = Path(__file__).parent / "fakes"


@pytest.fixture(scope="session")
def shared_cache() -> Path:
    """The user's real cache of fetched clips, converted weights and environments: only added to."""
    return paths.cache_dir()


@pytest.fixture(autouse=True, scope="session")
def own_data_dir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Runs go into a folder that goes with the tests."""
    folder = tmp_path_factory.mktemp("data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPEEDTEST_DATA_DIR", str(folder))
        # Tests count rounds and samples, on machines that are busy with other tests.
        patch.setenv("SPEEDTEST_RETAKE", "0")
        # Processes of pytest-xdist do not wait for each other, nor for the user's own runs.
        patch.setenv("SPEEDTEST_MACHINE_LOCK", str(folder / "machine.lock"))
        yield folder


def built_in_backends() -> list[Backend]:
    """The backends that this project declares itself, in name order."""
    found = registry.installed().values()
    return [backend for backend in found if backend.source == "mac-whisper-speedtest"]


def write_tone(path: Path, seconds: float = 2.0) -> Path:
    """A 440 Hz tone as a 16 kHz wav file: sound enough for fakes."""
    time_s = np.arange(int(seconds * 16000)) / 16000
    samples = (np.sin(time_s * 2 * np.pi * 440) * 12000).astype("<i2")
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(16000)
        out.writeframes(samples.tobytes())
    return path


@pytest.fixture
def tone(tmp_path: Path) -> Path:
    """Two seconds of a tone as a wav file."""
    return write_tone(tmp_path / "tone.wav")


def describe_fake(
    folder: Path,
    name: str,
    *,
    fault: str = "",
    adapter: str = "faulty_adapter:Faulty",
    command: list[str] | None = None,
) -> Path:
    """Describe a fake backend in a TOML file in ``folder``."""
    (folder / "weights.bin").write_bytes(b"not really weights")
    how = (
        f"command = {json.dumps(command)}"
        if command
        else f'adapter = "{adapter}"\nsearch_path = [{json.dumps(str(FAKES))}]'
    )
    path = folder / f"{name}.toml"
    path.write_text(
        f'[backend]\nname = "{name}"\n{how}\nenvironment = {{ FAULT = "{fault}" }}\n'
        'variables = ["HUNGRY_FOR"]\n'
        'models = { "tiny.en" = "weights.bin" }\n',
        encoding="utf-8",
    )
    return path


@pytest.fixture
def fake(tmp_path: Path) -> Callable[..., Path]:
    """Describe a fake backend: ``fake("slow", fault="hang_in_load")``."""
    return functools.partial(describe_fake, tmp_path)


@dataclass(frozen=True)
class Finished:
    """A finished call of the tool."""

    returncode: int
    stdout: str
    stderr: str

    @property
    def run(self) -> dict[str, Any]:
        """What ``--json`` printed."""
        document: dict[str, Any] = json.loads(self.stdout)
        return document

    def cell(self, backend: str) -> dict[str, Any]:
        """The cell of one backend in what ``--json`` printed."""
        cell: dict[str, Any]
        (cell,) = [each for each in self.run["cells"] if each["backend"]["name"] == backend]
        return cell


class Answer(NamedTuple):
    """What a command line that was called in this process ended with and said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What ``--json`` printed."""
        return json.loads(self.out)


Call = Callable[..., Answer]
"""Words of a command line without ``speedtest`` → its answer."""


@pytest.fixture
def speedtest(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """The command line in this process: quick, and with this test's patches."""

    def call(*arguments: object) -> Answer:
        monkeypatch.setattr(sys, "argv", ["speedtest", *map(str, arguments)])
        capsys.readouterr()
        code = cli.main()
        said = capsys.readouterr()
        return Answer(int(code or 0), said.out, said.err)

    return call


class Tool:
    """The tool as a user's process, with a temporary folder that must be empty afterwards."""

    def __init__(self, temporary: Path) -> None:
        self.temporary = temporary

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "TMPDIR": str(self.temporary)}

    def start(self, *arguments: object) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "mac_whisper_speedtest", *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environment,
        )

    def __call__(self, *arguments: object, timeout: float = 120) -> Finished:
        with self.start(*arguments) as process:
            try:
                stdout, stderr = process.communicate(timeout=timeout)
            except BaseException:
                process.send_signal(signal.SIGTERM)
                raise
        return Finished(process.returncode, stdout, stderr)

    def leftovers(self) -> list[str]:
        """Temporary files and worker processes that are still there."""
        files = [str(path.relative_to(self.temporary)) for path in self.temporary.rglob("*")]
        return files + [f"process {process.pid}" for process in self.processes()]

    def processes(self) -> list[psutil.Process]:
        """Every living process that this tool started, however it was detached since."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                folder = Path(process.environ().get("TMPDIR", ""))
                if folder.is_relative_to(self.temporary):  # a worker has a folder in that one
                    found.append(process)
        return found


@pytest.fixture
def tool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tool]:
    """Run the tool; the test fails if it leaves a process or a temporary file behind."""
    called = Tool(tmp_path_factory.mktemp("tmp"))
    yield called
    assert called.leftovers() == []


def wait_until(condition: Callable[[], object], timeout_s: float = 30.0) -> None:
    """Wait for something another process does."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)
