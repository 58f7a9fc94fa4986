"""What a worker process is given, and what it must not be given."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from mac_whisper_speedtest.backends.backend import Backend
from mac_whisper_speedtest.errors import SpeedtestError
from mac_whisper_speedtest.worker import endings, environments, process_tree
from mac_whisper_speedtest.worker.endings import Status
from mac_whisper_speedtest.worker.launch import interpreter, launch
from mac_whisper_speedtest.worker.messages import Stage

PROGRAM = Backend(name="p", command=("engine",))


def test_a_worker_gets_no_token_and_is_told_to_stay_offline(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_" + "x" * 30)
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    started = launch(PROGRAM, scratch=tmp_path, threads=3)
    assert started is not None
    assert "HF_TOKEN" not in started.environment
    assert started.environment["HF_HUB_OFFLINE"] == "1"
    assert started.environment["OMP_NUM_THREADS"] == "3"
    assert started.environment["TMPDIR"] == str(tmp_path)
    assert started.cwd == tmp_path


def test_every_worker_has_a_mark_of_its_own_that_names_its_living_owner(tmp_path: Path) -> None:
    one = launch(PROGRAM, scratch=tmp_path, threads=1)
    two = launch(PROGRAM, scratch=tmp_path, threads=1)
    assert one is not None
    assert two is not None
    assert one.mark != two.mark
    pid, started, _ = one.mark.split(":")
    assert process_tree.owner_alive(int(pid), float(started))
    assert not process_tree.owner_alive(int(pid), float(started) - 100)


def test_a_backend_that_is_installed_nowhere_has_no_interpreter() -> None:
    assert interpreter(Backend(name="x", adapter="x:X", import_name="no_such_module")) is None


def test_a_backend_that_is_importable_here_runs_here() -> None:
    assert interpreter(Backend(name="x", adapter="x:X", import_name="json")) == sys.executable


def test_killing_takes_processes_that_left_the_session(tmp_path: Path) -> None:
    started = launch(PROGRAM, scratch=tmp_path, threads=1)
    assert started is not None
    code = (
        "import subprocess, sys, time\n"
        "child = [sys.executable, '-c', 'import time; time.sleep(600)']\n"
        "subprocess.Popen(child, start_new_session=True)\n"
        "print('up', flush=True)\n"
        "time.sleep(600)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code],
        env=dict(started.environment),
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        family = process_tree.marked(started.mark)
        assert len(family) == 2
        process_tree.kill(process.pid, started.mark)
    gone, alive = psutil.wait_procs(family, timeout=10)
    assert (len(gone), alive) == (2, [])


@pytest.mark.parametrize(
    ("returncode", "kills", "status", "error_class"),
    [
        (-11, 0, Status.CRASHED, "SIGSEGV"),
        (-9, 0, Status.CRASHED, "SIGKILL"),
        (-9, 1, Status.OUT_OF_MEMORY, "KernelOutOfMemory"),
        (-6, 1, Status.CRASHED, "SIGABRT"),
        (0, 0, Status.PROTOCOL_VIOLATION, "SilentExit"),
        (3, 0, Status.CRASHED, "Exit"),
    ],
)
def test_an_exit_is_classified_by_its_status_and_the_kernel_s_count(
    returncode: int, kills: int, status: Status, error_class: str
) -> None:
    ending = endings.of_exit(returncode, Stage.LOAD, oom_kills=kills)
    assert (ending.status, ending.error_class, ending.stage) == (status, error_class, "load")


@pytest.mark.parametrize("name", ["faster-whisper", "whisper.cpp", "mlx-whisper"])
def test_every_built_in_backend_ships_a_lock_in_which_every_package_is_hashed(name: str) -> None:
    lock = environments.lock_text(name)
    assert lock is not None
    packages = [line for line in lock.splitlines() if line and not line.startswith((" ", "#"))]
    assert packages
    assert all("==" in line and line.endswith("\\") for line in packages)
    assert lock.count("--hash=sha256:") >= len(packages)


def test_the_lock_of_mlx_whisper_leaves_torch_out() -> None:
    lock = environments.lock_text("mlx-whisper")
    assert lock is not None
    assert not any(line.startswith("torch") for line in lock.splitlines())


def test_a_failed_install_leaves_nothing_that_looks_like_an_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SPEEDTEST_CACHE_DIR", str(tmp_path))
    bad = "numpy==2.4.6 --hash=sha256:" + "0" * 64 + "\n"
    monkeypatch.setattr(environments, "lock_text", lambda _name: bad)
    monkeypatch.setenv("UV_OFFLINE", "1")
    with pytest.raises(SpeedtestError, match="uv pip failed"):
        environments.install("faster-whisper", announce=lambda _text: None)
    assert environments.python_of("faster-whisper") is None
    assert [path.suffix for path in (tmp_path / "envs").iterdir()] == [".lock"]


def test_uv_is_told_of_the_index_and_the_certificates_that_pip_is_configured_for() -> None:
    config = (
        ":env:.index-url='https://mine.example/simple'\n"
        "global.cert='/etc/ssl/mine.pem'\n"
        "global.index-url='https://other.example/simple'\n"
        "global.timeout='180'\n"
    )
    assert environments.index_settings(config) == {
        "UV_DEFAULT_INDEX": "https://mine.example/simple",
        "SSL_CERT_FILE": "/etc/ssl/mine.pem",
    }
    assert environments.index_settings("") == {}
