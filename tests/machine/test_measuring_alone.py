"""One measurement at a time on a machine: by any process, of any user, and nothing trusted."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from conftest import Finished, Tool, wait_until
from mac_whisper_speedtest import paths
from mac_whisper_speedtest.machine import host

HOLD = """
import sys
from mac_whisper_speedtest.machine import host
with host.measuring_alone(lambda line: print(line, flush=True)) as free:
    print("mine", free, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "machine.lock"
    monkeypatch.setenv("SPEEDTEST_MACHINE_LOCK", str(path))
    return path


def hold() -> subprocess.Popen[str]:
    """A process that takes the lock until its input ends."""
    return subprocess.Popen(
        [sys.executable, "-c", HOLD],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def stays(figure: Callable[[], int], seconds: float) -> bool:
    """Whether a figure is the same after so long."""
    before = figure()
    time.sleep(seconds)
    return figure() == before


def try_once() -> tuple[bool, list[str]]:
    lines: list[str] = []
    with host.measuring_alone(lines.append, wait=False) as free:
        return free, lines


def test_a_second_process_waits_without_waking_up_and_gets_its_turn(lock: Path) -> None:
    with hold() as holder:
        assert said(holder) == "mine True"
        with hold() as waiter:
            text = f"process {holder.pid} measures on this machine"
            assert said(waiter) == f"{text}; waiting for its end"
            assert try_once() == (False, [text])
            switches = psutil.Process(waiter.pid).num_ctx_switches
            wait_until(lambda: stays(lambda: switches().voluntary, 0.3))  # it is waiting now
            assert stays(lambda: switches().voluntary, 1.0)
            holder.communicate()
            assert said(waiter) == "mine True"
            assert lock.read_text() == f"{waiter.pid}\n"
            waiter.communicate()
    assert try_once() == (True, [])


def test_a_killed_process_holds_nothing(lock: Path) -> None:
    with hold() as first:
        assert said(first) == "mine True"
        first.kill()
        first.wait()
        assert try_once() == (True, [])


def test_who_waited_for_a_file_that_was_cleared_away_locks_the_new_one(lock: Path) -> None:
    with hold() as first:
        assert said(first) == "mine True"
        with hold() as second:
            assert "waiting" in said(second)
            lock.unlink()
            with hold() as third:
                assert said(third) == "mine True"
                first.communicate()
                assert "waiting" in said(second)
                third.communicate()
            assert said(second) == "mine True"
            second.communicate()


def test_ctrl_c_ends_a_wait(lock: Path) -> None:
    with hold() as first:
        assert said(first) == "mine True"
        with hold() as second:
            assert "waiting" in said(second)
            second.send_signal(signal.SIGINT)
            assert second.wait(30) != 0
        first.communicate()


def test_the_same_process_can_measure_again_and_its_children_inherit_nothing(lock: Path) -> None:
    with host.measuring_alone(print):
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    assert try_once() == (True, [])
    child.communicate(b"\n")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be several users")
def test_the_file_of_another_user_is_locked_and_not_written(lock: Path) -> None:
    lock.parent.chmod(0o1777)
    before = os.umask(0o077)
    try:
        with host.measuring_alone(print):
            assert stat.S_IMODE(lock.stat().st_mode) == 0o644
    finally:
        os.umask(before)
    lock.write_text("999999999\n")
    # Folders of pytest are private, and Python's may be: entered and loaded before.
    code = (
        f"import os; os.chdir({str(lock.parent)!r})\n"
        "from mac_whisper_speedtest.machine import host\n"
        "os.setuid(65534)\n"
        "with host.measuring_alone(print, wait=False) as free: print('mine', free)\n"
    )

    def as_nobody() -> str:
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "SPEEDTEST_MACHINE_LOCK": lock.name},
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        return done.stdout

    assert as_nobody() == "mine True\n"
    assert lock.read_text() == "999999999\n"
    with host.measuring_alone(print):
        assert as_nobody().endswith("of another user measures on this machine\nmine False\n")


def link(path: Path) -> None:
    (path.parent / "precious").write_text("mine")
    path.symlink_to(path.parent / "precious")


def no_folder(path: Path) -> None:
    path.parent.rename(path.parent.with_name("moved"))


@pytest.mark.parametrize(
    ("plant", "reason"),
    [
        (link, "Too many levels of symbolic links"),
        (os.mkfifo, "is no ordinary file"),
        (Path.mkdir, "Is a directory"),
        (no_folder, "No such file or directory"),
    ],
)
def test_what_is_no_file_of_ours_is_not_touched_and_no_measurement_fails_for_it(
    lock: Path, plant: Callable[[Path], None], reason: str
) -> None:
    plant(lock)
    found = try_once()
    assert found == (True, [f"other measurements are not held off: {lock}: {reason}"])
    if plant is link:
        assert (lock.parent / "precious").read_text() == "mine"


def test_without_a_variable_all_users_have_the_same_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SPEEDTEST_MACHINE_LOCK")
    monkeypatch.setenv("TMPDIR", "/somewhere/else")
    assert paths.machine_lock() == Path("/tmp/mac-whisper-speedtest.lock")


def test_a_run_waits_for_another_measurement_and_says_so(
    lock: Path, tool: Tool, fake: Callable[..., Path], tone: Path
) -> None:
    with hold() as holder:
        assert said(holder) == "mine True"
        with tool.start(
            *(
                "run",
                "-m",
                "tiny.en",
                "-b",
                fake("quick"),
                "--audio",
                tone,
                "--rounds",
                1,
                "--json-logs",
            )
        ) as run:
            assert run.stderr is not None
            waiting = f"process {holder.pid} measures on this machine; waiting for its end"
            assert any(waiting in line for line in run.stderr)
            holder.communicate()
            done = Finished(run.wait(60), "", "")
    assert done.returncode == 0
