"""Everything that a worker started is killed and metered, and nothing that it did not start."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from fakes.fake_nvml import FakeNvml, Process
from mac_whisper_speedtest.machine import gpu, macos, nvml
from mac_whisper_speedtest.machine.reader import Unknown
from mac_whisper_speedtest.worker import process_tree

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="needs a child subreaper")

# A worker with a descendant that has left its session and group, lost its parent and its
# environment, and keeps the worker's stdout open. It names itself there.
ESCAPE = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        hidden = "import os, time; print(os.getpid(), flush=True); time.sleep(600)"
        os.execve(sys.executable, [sys.executable, "-c", hidden], {})
    os._exit(0)
os.wait()
ENDING
"""

# A program that has children of its own beside a worker: one from before, one that starts
# meanwhile, and one that a child of its own left behind.
HOST = """
import ctypes, json, os, subprocess, sys, time
from mac_whisper_speedtest import interrupts
from mac_whisper_speedtest.worker import process_tree
ours, escape = json.loads(sys.argv[1])
sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
before = subprocess.Popen(sleep)
if ours:
    interrupts.handle_for_good()
process_tree.adopt_orphans()
worker = subprocess.Popen(
    [sys.executable, "-c", escape], stdout=subprocess.PIPE, start_new_session=True, text=True
)
hidden = int(worker.stdout.readline())
others = [before.pid]
if not ours:
    others.append(subprocess.Popen(sleep, start_new_session=True).pid)
    left = f"import subprocess; print(subprocess.Popen({sleep!r}, stdout=-3).pid)"
    others.append(int(subprocess.check_output([sys.executable, "-c", left])))
process_tree.kill(worker.pid, "a mark that nothing has")
worker.wait()
rest = worker.stdout.read() if ours else ""
def state(pid):
    try:
        state = open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[0]
        return "zombie" if state == "Z" else "alive"
    except OSError:
        return "gone"
subreaper = ctypes.c_int()
ctypes.CDLL(None).prctl(37, ctypes.byref(subreaper), 0, 0, 0)
print(json.dumps([state(hidden), [state(each) for each in others], subreaper.value, rest]))
for each in {*others, hidden}:
    if state(each) == "alive":
        os.kill(each, 9)
"""


def host(*, ours: bool, ending: str) -> list[Any]:
    done = subprocess.run(
        [sys.executable, "-c", HOST, json.dumps([ours, ESCAPE.replace("ENDING", ending)])],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    found: list[Any] = json.loads(done.stdout)
    return found


@linux_only
@pytest.mark.parametrize("ending", ["time.sleep(600)", "os._exit(1)"])
def test_the_tool_kills_a_descendant_that_left_session_group_and_mark(ending: str) -> None:
    hidden, others, subreaper, rest = host(ours=True, ending=ending)
    assert hidden == "gone"  # not even a zombie
    assert others == ["alive"]
    assert subreaper == 1
    assert rest == ""  # its stdout was closed


@linux_only
def test_inside_another_program_none_of_its_children_is_touched() -> None:
    _, others, subreaper, _ = host(ours=False, ending="os._exit(1)")
    assert others == ["alive"] * 3
    assert subreaper == 0


HUNGRY = """
import os, sys, time
MB = 1 << 20
shared = bytearray(os.urandom(MB)) * 60
children = []
for _ in range(4):
    pid = os.fork()
    if pid == 0:
        own = bytearray(os.urandom(MB)) * int(sys.argv[1])
        print("ready", flush=True)
        time.sleep(600)
        os._exit(0)
time.sleep(600)
"""


@linux_only
@pytest.mark.parametrize(("own_mb", "fits"), [(1, True), (60, False)])
def test_memory_is_that_of_all_processes_and_shared_pages_count_once(
    own_mb: int, fits: bool
) -> None:
    """Five processes that share 60 MB; four of them have some more of their own."""
    limit = 200 << 20
    with subprocess.Popen(
        [sys.executable, "-c", HUNGRY, str(own_mb)], stdout=subprocess.PIPE, start_new_session=True
    ) as process:
        try:
            assert process.stdout is not None
            for _ in range(4):
                process.stdout.readline()
            resident = process_tree.memory_use(process.pid, 1 << 40)  # added up
            used = process_tree.memory_use(process.pid, limit)
        finally:
            process_tree.kill(process.pid, "a mark that nothing has")
    assert resident.size_bytes > limit
    assert resident.counted == "resident memory"
    assert (used.size_bytes <= limit) == fits
    assert used.size_bytes > (60 + 4 * own_mb) << 20
    assert used.counted == "memory (shared pages counted once)"


def test_on_a_mac_footprints_are_counted_and_resident_memory_where_there_is_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    metal = macos.Rusage(resident=42, footprint=642, footprint_peak=900)
    monkeypatch.setattr(macos, "HERE", True)
    monkeypatch.setattr(process_tree, "_trees", lambda *_pids: iter((1, 2)))
    monkeypatch.setattr(process_tree, "_resident", lambda _pid: 42)

    def rusage(pid: int) -> macos.Rusage:
        if pid == 2:
            raise OSError(3, "No such process")
        return metal

    monkeypatch.setattr(macos, "process_rusage", rusage)
    found = process_tree.memory_use(1, 1 << 40)
    assert found.size_bytes == 642 + 42
    assert found.counted == "memory (footprint, with Metal's)"


@pytest.mark.parametrize(
    ("host_pids", "held", "expected"),
    [
        (True, [Process(1, 500), Process(2, 200), Process(9, 7000)], 700),
        (True, [Process(9, 7000)], None),
        (True, [Process(1, None)], None),  # the driver does not show how much
        (False, [Process(1, 500)], None),  # in a container the numbers are of other processes
    ],
)
def test_memory_on_gpus_is_that_of_the_workers_processes(
    monkeypatch: pytest.MonkeyPatch, host_pids: bool, held: list[Process], expected: int | None
) -> None:
    monkeypatch.setattr(nvml, "shared", lambda: nvml.Nvml(FakeNvml(processes=[held])))
    monkeypatch.setattr(gpu, "sees_host_pids", lambda: host_pids)
    monkeypatch.setattr(process_tree, "_trees", lambda *_pids: iter((1, 2)))
    found = process_tree.gpu_memory_use(1)
    assert found == (process_tree.MemoryUse(expected, "GPU memory") if expected else None)


def test_without_a_driver_nothing_is_held_on_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nvml, "shared", lambda: Unknown("no NVIDIA driver is loaded"))
    assert process_tree.gpu_memory_use(1) is None
