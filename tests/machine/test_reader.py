"""Asking never raises and never waits for ever."""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from mac_whisper_speedtest.machine.reader import Reader, Unknown, attempt

# Sleeps with a child that holds the same stdout.
TWO_SLEEPERS = (
    "import subprocess, sys, time\n"
    "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
    "time.sleep(60)\n"
)


def python(code: str, *, timeout_s: float = 20.0) -> str | Unknown:
    return Reader().run([sys.executable, "-c", code], timeout_s=timeout_s)


def test_a_program_is_answered_by_what_it_prints() -> None:
    assert python("print(' yes '); import sys; sys.stderr.write('noise')") == "yes"


def test_a_program_has_no_input_and_a_plain_locale() -> None:
    code = "import os, sys; print(repr(sys.stdin.read()), os.environ['LC_ALL'])"
    assert python(code) == "'' C"


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import sys; sys.exit('no such thing')", "ended with status 1: no such thing"),
        ("import os; os.abort()", "ended with status -6"),
        ("print('only this'); raise SystemExit(3)", "ended with status 3: only this"),
    ],
)
def test_a_program_that_fails_gives_its_reason(code: str, reason: str) -> None:
    answer = python(code)
    assert isinstance(answer, Unknown)
    assert reason in answer.reason


def test_a_program_that_hangs_is_killed_with_all_that_it_started() -> None:
    before = set(psutil.Process().children(recursive=True))  # such as the browser of other tests
    began = time.monotonic()
    answer = python(TWO_SLEEPERS, timeout_s=1.0)
    assert time.monotonic() - began < 10
    assert isinstance(answer, Unknown)
    assert answer.reason.endswith("did not answer in 1 s")
    left = set(psutil.Process().children(recursive=True)) - before
    assert not [child for child in left if child.is_running()]


def test_stopping_ends_what_runs_and_lets_nothing_more_begin() -> None:
    reader = Reader()
    answers: list[str | Unknown] = []
    argv = [sys.executable, "-c", "import time; time.sleep(60)"]
    asking = threading.Thread(target=lambda: answers.append(reader.run(argv, timeout_s=60)))
    asking.start()
    while not reader._running:
        time.sleep(0.01)
    reader.stop()
    asking.join(10)
    assert isinstance(answers[0], Unknown)
    assert reader.run(argv) == Unknown("interrupted")


def test_a_program_that_is_not_there_is_a_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert Reader().run(["nvidia-smi"]) == Unknown("nvidia-smi is not installed")
    assert Reader().run(["/usr/no/such"]) == Unknown("such is not installed")
    broken = tmp_path / "broken"
    broken.write_text("#!/no/such/interpreter\n", encoding="utf-8")
    broken.chmod(0o755)
    answer = Reader().run(["broken"])
    assert isinstance(answer, Unknown)
    assert answer.reason.startswith("broken cannot be started")


def test_files_are_read_below_the_root(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc" / "loadavg").write_bytes(b" 0.5 \xff\n")
    reader = Reader(root=tmp_path)
    assert reader.read("/proc/loadavg") == "0.5 \ufffd"
    assert reader.read("/proc/none") == Unknown("/proc/none: No such file or directory")
    assert reader.read("/proc") == Unknown("/proc: Is a directory")
    assert reader.exists("/proc/loadavg")
    assert not reader.exists("/proc/none")
    assert reader.matching("/proc/*") == ["/proc/loadavg"]
    assert reader.matching("/sys/class/none/*") == []


def test_what_a_library_raises_is_a_reason() -> None:
    def broken() -> int:
        raise psutil.AccessDenied(1)

    assert attempt(lambda: 3) == 3
    answer = attempt(broken)
    assert isinstance(answer, Unknown)
    assert answer.reason.startswith("AccessDenied")
