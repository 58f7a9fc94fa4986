"""Keeping the host out of the way: sleep, cores, niceness and the number of threads."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from fakes import machines as m
from mac_whisper_speedtest.machine import cgroup, describe, host
from mac_whisper_speedtest.machine.host import Placement, PlacementError

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="macOS has no affinity")


def script(folder: Path, body: str) -> str:
    path = folder / "caffeinate"
    path.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
    path.chmod(0o755)
    return str(path)


def test_a_mac_is_kept_awake_by_a_program_that_is_gone_afterwards(tmp_path: Path) -> None:
    record = tmp_path / "record"
    program = script(
        tmp_path, f"echo \"$@\" >'{record}.part'; mv '{record}.part' '{record}'; exec sleep 60"
    )
    own = psutil.Process()
    before = set(own.children())  # such as the browser of other tests
    with host.caffeinate(program, platform="darwin") as done:
        assert done == "caffeinate -ims"
        deadline = time.monotonic() + 10
        while not record.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert record.read_text(encoding="utf-8").strip() == f"-ims -w {os.getpid()}"
        children = set(own.children()) - before
    assert children
    assert not any(child.is_running() for child in children)


def test_it_is_gone_also_when_what_it_surrounds_fails(tmp_path: Path) -> None:
    program = script(tmp_path, "exec sleep 60")
    children: set[psutil.Process] = set()
    before = set(psutil.Process().children())

    def fail() -> None:
        with host.caffeinate(program, platform="darwin"):
            children.update(set(psutil.Process().children()) - before)
            raise RuntimeError("no luck")

    with pytest.raises(RuntimeError, match="no luck"):
        fail()
    assert children
    assert not any(child.is_running() for child in children)


def test_a_mac_without_the_program_is_measured_all_the_same() -> None:
    before = psutil.Process().children()
    with host.caffeinate("/no/such/program", platform="darwin") as done:
        assert done.startswith("the machine may sleep: caffeinate cannot be started: No such")
        assert psutil.Process().children() == before


def test_elsewhere_nothing_is_started() -> None:
    before = psutil.Process().children()
    with host.caffeinate(sys.executable, platform="linux") as done:
        assert done == ""
        assert psutil.Process().children() == before


@linux_only
def test_cores_that_are_asked_for_are_checked_first() -> None:
    own = sorted(os.sched_getaffinity(0))
    assert host.placement(cores=[own[0], own[0]]) == Placement((own[0],))
    assert host.placement() == Placement()
    with pytest.raises(PlacementError, match="4096"):
        host.placement(cores=[own[0], 4096])


def test_macos_has_no_affinity_and_says_so() -> None:
    with pytest.raises(PlacementError, match="no affinity") as caught:
        host.placement(cores=[0], platform="darwin")
    assert "--threads" in caught.value.hint


def test_a_priority_above_others_takes_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 501)
    with pytest.raises(PlacementError, match="root"):
        host.placement(nice=-5)
    assert host.placement(nice=5) == Placement(nice=5)


@linux_only
def test_a_worker_gets_the_cores_and_the_niceness() -> None:
    core = max(os.sched_getaffinity(0))
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        assert host.apply_placement(child.pid, host.placement(cores=[core], nice=3)) == []
        assert os.sched_getaffinity(child.pid) == {core}
        own = os.getpriority(os.PRIO_PROCESS, 0)
        assert os.getpriority(os.PRIO_PROCESS, child.pid) == min(19, own + 3)
    finally:
        child.kill()
        child.wait()
    failed = host.apply_placement(child.pid, Placement((core,), 3))
    assert [each.partition(" was not set")[0] for each in failed] == ["affinity", "niceness"]


@pytest.mark.parametrize(
    ("nice", "background", "macos", "words"),
    [
        (0, 0, True, []),
        (-5, 0, True, []),
        (10, 0, False, ["niceness 10"]),
        (0, 1, True, ["in the background"]),
        (0, 1, False, []),  # Linux has no such state
        (10, 1, True, ["niceness 10", "in the background"]),
    ],
)
def test_a_low_priority_is_a_concern(
    nice: int, background: int, macos: bool, words: list[str]
) -> None:
    def priority(which: int, who: int) -> int:
        assert who == 0
        return {os.PRIO_PROCESS: nice, 4: background}[which]

    found = host.slowdown_warnings(priority, macos=macos)
    assert len(found) == len(words)
    assert all(word in each for word, each in zip(words, found, strict=True))


def test_a_system_that_does_not_know_the_background_is_no_concern() -> None:
    def priority(which: int, who: int) -> int:
        if which == 4:
            raise OSError(22, "Invalid argument")
        return 0

    assert host.slowdown_warnings(priority, macos=True) == []


HYPERTHREADS = {0: {0, 2}, 1: {1, 3}, 2: {0, 2}, 3: {1, 3}}


@pytest.mark.parametrize(
    ("affinity", "siblings", "fast", "quota", "threads"),
    [
        ([0, 1, 2, 3], HYPERTHREADS, [], None, 2),
        ([0, 2], HYPERTHREADS, [], None, 1),  # two threads of one core
        ([1, 2], HYPERTHREADS, [], None, 2),
        ([0, 1, 2, 3], {}, [], None, 4),  # topology not known
        (range(12), {each: {each} for each in range(12)}, range(4), None, 4),
        ([8, 9], {}, range(4), None, 2),  # bound to the slow cores
        (range(8), {}, [], 2.5, 2),
        (range(8), {}, [], 0.5, 1),
        (range(2), {}, [], 16.0, 2),
    ],
)
def test_threads_are_physical_fast_cores_within_affinity_and_quota(
    affinity: list[int],
    siblings: dict[int, set[int]],
    fast: list[int],
    quota: float | None,
    threads: int,
) -> None:
    assert describe.usable_cores(affinity, siblings, fast=fast, quota=quota) == threads


def test_the_topology_is_read_from_the_kernels_files(tmp_path: Path) -> None:
    texts = {
        f"/sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list": text
        for core, text in {0: "0-1", 1: "0-1", 2: "2-3", 3: "2-3", 4: "4", 5: "5"}.items()
    }
    texts["/sys/devices/cpu_core/cpus"] = "0-3"
    reader = m.Recorded({}, platform="linux", root=m.files(tmp_path, texts))
    assert describe.linux_threads(reader, range(6)) == 2
    m.files(tmp_path, {"/proc/self/cgroup": "0::/", "/sys/fs/cgroup/cpu.max": "100000 100000"})
    assert cgroup.cpu_quota(reader) == 1.0
    assert describe.linux_threads(reader, range(6)) == 1


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("0", {0}),
        ("0-3,8", {0, 1, 2, 3, 8}),
        (" 2 , 4-5\n", {2, 4, 5}),
        ("", set()),
        ("none", set()),
        ("3-1", set()),
    ],
)
def test_lists_of_the_kernel_are_read(text: str, numbers: set[int]) -> None:
    assert describe.parse_cpu_list(text) == numbers


def test_this_machine_has_threads_to_give() -> None:
    assert 1 <= describe.default_threads() <= (os.cpu_count() or 1)
