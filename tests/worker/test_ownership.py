"""Leftovers of killed tools are removed, and nothing that a living tool uses, wherever it runs."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

# A tool with a temporary folder and a worker, which it does not end when it is killed.
TOOL = """
import pathlib, subprocess, sys
from mac_whisper_speedtest.backends.backend import Backend
from mac_whisper_speedtest.worker import launch, ownership
with ownership.temporary_folder() as work:
    started = launch.launch(Backend(name="p", command=("engine",)), scratch=work, threads=1)
    sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
    worker = subprocess.Popen(sleep, env=dict(started.environment), start_new_session=True)
    print(work, flush=True)
    sys.stdin.read()
"""

CLEAN_UP = """
from mac_whisper_speedtest.worker import ownership
print(ownership.kill_orphans())
ownership.remove_leftover_folders()
"""

STEPPED_CLOCK = """
import psutil
booted = psutil.boot_time()
psutil._pslinux.boot_time = lambda: booted + 3600  # what a step of an hour does to it
"""

NAMESPACE = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc"]


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Callable[..., tuple[subprocess.Popen[str], Path, int]]]:
    """Starts `TOOL`; returns it, its folder, and its worker's process id as seen from here."""
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    tools = []

    def start(*prefix: str) -> tuple[subprocess.Popen[str], Path, int]:
        process = subprocess.Popen(
            [*prefix, sys.executable, "-c", TOOL],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        tools.append(process)
        assert process.stdout is not None
        folder = Path(process.stdout.readline().strip())
        family = psutil.Process(process.pid).children(recursive=True)
        return process, folder, family[-1].pid

    yield start
    for process in tools:
        with contextlib.suppress(psutil.NoSuchProcess):  # ends by itself meanwhile
            for each in psutil.Process(process.pid).children(recursive=True):
                with contextlib.suppress(psutil.NoSuchProcess):
                    each.kill()
        process.kill()
        process.communicate()


def clean_up(temporary: Path, *prefix: str, before: str = "") -> int:
    """Let another tool clean up; return how many processes it killed."""
    done = subprocess.run(
        [*prefix, sys.executable, "-c", before + CLEAN_UP],
        env={**os.environ, "TMPDIR": str(temporary)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return int(done.stdout)


def runs(pid: int) -> bool:
    return pid in psutil.pids() and bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)


needs_namespaces = pytest.mark.skipif(
    shutil.which("unshare") is None
    or subprocess.run([*NAMESPACE, "true"], capture_output=True, check=False).returncode != 0,
    reason="this user may not create namespaces",
)


def test_a_killed_tool_s_worker_and_folder_are_removed_by_the_next(
    begin: Callable[..., tuple[subprocess.Popen[str], Path, int]], tmp_path: Path
) -> None:
    tool, folder, worker = begin()
    assert clean_up(tmp_path) == 0
    assert runs(worker)
    assert folder.is_dir()
    orphan = psutil.Process(worker)
    os.kill(tool.pid, signal.SIGKILL)  # not yet waited for: it is a zombie now
    assert clean_up(tmp_path) == 1
    psutil.wait_procs([orphan], timeout=10)
    assert not runs(worker)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="macOS keeps the time of a process's start")
def test_a_step_of_the_clock_makes_no_living_tool_look_dead(
    begin: Callable[..., tuple[subprocess.Popen[str], Path, int]], tmp_path: Path
) -> None:
    _, folder, worker = begin()
    assert clean_up(tmp_path, before=STEPPED_CLOCK) == 0
    assert runs(worker)
    assert folder.is_dir()


@needs_namespaces
def test_containers_that_share_a_temporary_folder_leave_each_other_s_alone(
    begin: Callable[..., tuple[subprocess.Popen[str], Path, int]], tmp_path: Path
) -> None:
    _, outside, _ = begin()
    _, inside, worker = begin(*NAMESPACE)
    assert clean_up(tmp_path, *NAMESPACE) == 0
    assert clean_up(tmp_path) == 0
    assert outside.is_dir()
    assert inside.is_dir()
    assert runs(worker)


@needs_namespaces
def test_the_folder_of_a_container_that_is_gone_is_removed(
    begin: Callable[..., tuple[subprocess.Popen[str], Path, int]], tmp_path: Path
) -> None:
    tool, folder, worker = begin(*NAMESPACE)
    family = [psutil.Process(worker), *psutil.Process(tool.pid).children()]
    for each in family:
        each.kill()
    tool.wait()
    psutil.wait_procs(family, timeout=10)
    assert folder.is_dir()
    clean_up(tmp_path)
    assert not folder.exists()


def test_what_another_host_left_in_a_shared_folder_stays(tmp_path: Path) -> None:
    elsewhere = tmp_path / "speedtest-work-0f0f0f0f-0f0f-abcdefgh"
    elsewhere.mkdir()
    clean_up(tmp_path)
    assert elsewhere.is_dir()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_removes_a_folder_as_soon_as_there_is_one(
    number: signal.Signals, tmp_path: Path
) -> None:
    """Sent as soon as a folder can be seen, mostly before the caller has its name."""
    code = (
        "from mac_whisper_speedtest.worker import ownership\n"
        "import sys, time\n"
        "print(flush=True)\n"
        "try:\n"
        "    with ownership.temporary_folder():\n"
        "        time.sleep(60)\n"
        "except KeyboardInterrupt:\n"
        "    sys.exit(130)\n"
    )
    for _ in range(5):
        with subprocess.Popen(
            [sys.executable, "-c", code],
            env={**os.environ, "TMPDIR": str(tmp_path)},
            stdout=subprocess.PIPE,
        ) as process:
            assert process.stdout is not None
            process.stdout.readline()
            while process.poll() is None and not list(tmp_path.iterdir()):
                pass
            process.send_signal(number)
        assert process.returncode == 130
        assert list(tmp_path.iterdir()) == []
