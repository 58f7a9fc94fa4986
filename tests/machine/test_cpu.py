"""Processor time over a span: arithmetic on constructed counters, and a real process."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace

import psutil
import pytest

from fakes import machines as m
from mac_whisper_speedtest.machine import contention, cpu, macos
from mac_whisper_speedtest.machine.cpu import Cpu, CpuCounters, TreeTimes
from mac_whisper_speedtest.machine.probe import Target
from mac_whisper_speedtest.machine.reader import Answer, Unknown, UnknownFactError

# It ends by itself where the tests are killed.
SPIN = (
    "import sys, time\nend = time.monotonic() + 60\nprint('on', flush=True)\n"
    "while time.monotonic() < end: pass"
)
WAIT = "import time, sys\nprint('on', flush=True)\ntime.sleep(60)"


def started(code: str) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline().strip() == "on"
    return process


def ended(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


@pytest.fixture
def waiting() -> Iterator[int]:
    """A process that does nothing."""
    process = started(WAIT)
    yield process.pid
    ended(process)


@pytest.fixture
def spinning() -> Iterator[int]:
    """A process that takes all of a core."""
    process = started(SPIN)
    yield process.pid
    ended(process)


def test_outside_is_what_the_machine_did_without_the_worker_and_this_tool() -> None:
    before = CpuCounters(wall_s=10.0, machine_s=100.0, tree=TreeTimes({1: 5.0}), tool_s=1.0)
    after = CpuCounters(wall_s=12.0, machine_s=104.5, tree=TreeTimes({1: 7.0}, 1.0), tool_s=1.25)
    used = cpu.usage(before, after, 0.02, 2)
    assert used == cpu.CpuUsage(wall_s=2.0, cpu_s=3.0, outside_cpu_s=1.25, resolution_s=0.02)
    figures = cpu.readings(used)
    assert figures["cores_used"].value == 1.5
    assert figures["outside_share"].value == 0.625
    assert figures["outside_share"].quality == "±0.01 cores"


FAST, SLOW = 4, 4  # cores of an M1, and threads of its worker


@pytest.mark.parametrize(
    ("others", "tree_slow", "busy_slow", "disturbing", "disturbed"),
    [
        # Daemons on efficiency cores, which the worker has not; on fast ones they are too much.
        (0.9, 0.0, 0.9, 0.0, False),
        (0.9, 0.0, 0.0, 0.9, True),
        # One program on a fast core, daemons besides.
        (1.6, 0.0, 0.6, 1.0, True),
        # All efficiency cores full: half of them is tolerated.
        (4.0, 0.0, 4.0, 2.0, True),
        # A program that has driven a thread of the worker to an efficiency core.
        (1.0, 0.8, 1.0, 0.8, True),
        # Where macOS does not say where the worker ran, nothing is spared.
        (0.9, None, 0.9, 0.9, True),
    ],
)
def test_work_on_efficiency_cores_disturbs_only_where_there_is_much_of_it(
    others: float,
    tree_slow: float | None,
    busy_slow: float,
    disturbing: float,
    disturbed: bool,
) -> None:
    wall, tree = 10.0, 10.0 * FAST
    worker = TreeTimes({1: tree}, slow=None if tree_slow is None else tree_slow * wall)
    before = CpuCounters(wall_s=0.0, machine_s=0.0, tree=TreeTimes({1: 0.0}), tool_s=0.0)
    after = CpuCounters(wall, tree + others * wall, worker, 0.0, busy_slow * wall)
    used = cpu.usage(before, after, 0.04, FAST + SLOW, SLOW)
    figures = cpu.readings(used)
    assert figures["outside_cpu_s"].value == pytest.approx(others * wall)
    assert figures["disturbing_s"].value == pytest.approx(disturbing * wall)
    own = figures["efficiency_cpu_s"].value
    assert own == (None if tree_slow is None else pytest.approx(tree_slow * wall))
    found = contention.outside_work(figures)
    assert isinstance(found, contention.Outside)
    judged = contention.judge_contention(found, cores=FAST, threads=FAST)
    assert judged.disturbed is disturbed


@pytest.mark.skipif(sys.platform != "linux", reason="binds a process to a core")
def test_half_of_a_core_that_saves_energy_is_spared_in_earnest(waiting: int, spinning: int) -> None:
    core = max(os.sched_getaffinity(0))
    os.sched_setaffinity(spinning, {core})
    for _ in range(10):  # on a busy machine a reading may be torn, and is refused
        probe = Cpu(frozenset({core}))
        probe.begin(Target(waiting))
        time.sleep(0.5)
        figures = probe.end(Target(waiting))
        if figures["outside_cpu_s"].value is not None:
            break
    names = ("outside_cpu_s", "disturbing_s", "wall_s")
    outside, disturbing, wall = (figures[name].value or 0.0 for name in names)
    assert outside - disturbing == pytest.approx(0.5 * wall, abs=0.05)


def test_rounding_never_makes_outside_work_negative() -> None:
    before = CpuCounters(wall_s=0.0, machine_s=0.0, tree=TreeTimes({}), tool_s=0.0)
    after = CpuCounters(wall_s=1.0, machine_s=1.99, tree=TreeTimes({1: 2.0}), tool_s=0.0)
    assert cpu.usage(before, after, 0.02, 2).outside_cpu_s == 0.0


def test_a_span_of_a_few_ticks_gives_no_share_but_can_be_added_up() -> None:
    figures = cpu.readings(cpu.CpuUsage(0.03, 0.05, 0.0, resolution_s=0.024))
    assert figures["outside_share"].value is None
    assert "too short" in figures["outside_share"].reason
    assert figures["outside_cpu_s"].value == 0.0


def test_more_cores_make_the_counters_less_exact() -> None:
    assert cpu.resolution_s(1, 0.01) == pytest.approx(0.02)
    assert cpu.resolution_s(16, 0.01) == pytest.approx(0.05)


def test_a_worker_that_computes_is_seen_computing(spinning: int) -> None:
    probe = Cpu()
    probe.begin(Target(spinning))
    time.sleep(0.5)
    figures = probe.end(Target(spinning))
    cores = figures["cores_used"].value
    assert cores is not None
    assert 0.1 < cores < 1.1  # other jobs may take the rest


def test_a_process_outside_the_worker_is_seen_taking_a_core(waiting: int, spinning: int) -> None:
    probe = Cpu()
    before = psutil.Process(spinning).cpu_times().user
    probe.begin(Target(waiting))
    time.sleep(1.0)
    figures = probe.end(Target(waiting))
    taken = psutil.Process(spinning).cpu_times().user - before
    outside, own = figures["outside_cpu_s"].value, figures["cpu_s"].value
    assert outside is not None
    assert own is not None
    assert own < 0.05
    assert outside > taken - 0.1
    found = contention.outside_work(figures)
    assert isinstance(found, contention.Outside)
    assert contention.judge_contention(found, cores=2, threads=2).disturbed


def test_the_same_process_inside_the_workers_tree_is_not_outside() -> None:
    code = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {SPIN!r}])"
    process = started(code)
    try:
        inside = cpu.members(process.pid)
        assert len(inside) == 2
        probe = Cpu()
        probe.begin(Target(process.pid))
        time.sleep(0.5)
        used = probe.end(Target(process.pid))["cpu_s"].value
        assert used is not None
        assert used > 0.05
    finally:
        for each in reversed(inside):
            each.kill()
        process.communicate()


def test_the_time_of_children_that_have_ended_stays_with_the_worker() -> None:
    work = "import time\nend = time.process_time() + 0.2\nwhile time.process_time() < end: pass"
    code = (
        "import subprocess, sys, time\nprint('on', flush=True)\ntime.sleep(0.3)\n"
        f"subprocess.run([sys.executable, '-c', {work!r}])\nprint('done', flush=True)\n"
        "time.sleep(60)"
    )
    process = started(code)
    try:
        probe = Cpu()
        probe.begin(Target(process.pid))
        assert process.stdout is not None
        process.stdout.readline()
        used = probe.end(Target(process.pid))["cpu_s"].value
        assert used is not None
        assert used >= 0.18  # counted in ticks
    finally:
        ended(process)


def test_no_more_cores_are_ever_said_to_be_used_than_there_are() -> None:
    """As where a container's own counters stand beside those of its machine."""
    before = CpuCounters(wall_s=0.0, machine_s=0.0, tree=TreeTimes({}), tool_s=0.0)
    after = CpuCounters(wall_s=0.1, machine_s=0.502, tree=TreeTimes({}), tool_s=0.0)
    with pytest.raises(UnknownFactError, match=r"0\.50 s of other work in 0\.10 s on 2 cores"):
        cpu.usage(before, after, 0.024, 2)
    # Where the reading had to wait for a core, others worked meanwhile as well.
    waited = replace(after, reading_s=0.15)
    assert cpu.usage(before, waited, 0.024, 2).outside_cpu_s == pytest.approx(2 * 0.1)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_time_of_a_process_that_vanishes_is_not_taken_for_that_of_others() -> None:
    """A helper that worked before the span, and that nothing waits for when it ends in it."""
    work = "while time.process_time() < 0.5: pass"
    helper = f"import time\n{work}\nprint('on', flush=True)\ntime.sleep(60)"
    between = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {helper!r}])"
    worker = started(
        f"import subprocess, sys, time\np = subprocess.Popen([sys.executable, '-c', {between!r}])\n"
        "time.sleep(60)"
    )
    family = [psutil.Process(pid) for pid in cpu.pids(worker.pid)]
    probe = Cpu()
    probe.begin(Target(worker.pid))
    family[1].suspend()  # so that it does not wait for its child
    for each in family[1:]:
        each.kill()
    psutil.wait_procs(family[2:], timeout=10)
    figures = probe.end(Target(worker.pid))
    ended(worker)
    assert len(family) == 3
    # Sometimes its parent still waits for it while it is killed; then its time is counted there,
    # and not missing from the tree: what is missing would be taken for that of others.
    used = figures["cpu_s"]
    assert "ended meanwhile" in used.reason if used.value is None else used.value > -0.1


def test_a_process_that_vanished_is_known_by_its_time_that_no_parent_has() -> None:
    def counters(tree: TreeTimes, wall_s: float) -> CpuCounters:
        return CpuCounters(wall_s=wall_s, machine_s=wall_s, tree=tree, tool_s=0.0)

    before = counters(TreeTimes({1: 0.0, 2: 0.5}), 0.0)
    with pytest.raises(UnknownFactError, match="a process of the worker ended meanwhile"):
        cpu.usage(before, counters(TreeTimes({1: 0.1}), 1.0), 0.02, 2)
    waited_for = counters(TreeTimes({1: 0.1}, ended=0.6), 1.0)
    assert cpu.usage(before, waited_for, 0.02, 2).cpu_s == pytest.approx(0.2)


def test_a_worker_that_is_gone_gives_reasons_and_no_figures() -> None:
    process = started(WAIT)
    probe = Cpu()
    probe.begin(Target(process.pid))
    ended(process)
    figures = probe.end(Target(process.pid))
    assert set(figures) == set(cpu.READINGS)
    assert all(each.value is None and each.reason for each in figures.values())


def test_without_a_worker_there_is_nothing_to_meter() -> None:
    probe = Cpu()
    probe.begin(Target(None))
    assert probe.end(Target(None))["cpu_s"].reason == "there is no worker to meter"
    fresh = Cpu().end(Target(1))["cpu_s"]
    assert fresh.reason == "begin was not called"


def test_the_kernels_list_of_children_names_the_same_processes_as_psutil() -> None:
    code = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {SPIN!r}])"
    process = started(code)
    try:
        found = {each.pid for each in cpu.members(process.pid)}
        known = {each.pid for each in psutil.Process(process.pid).children(recursive=True)}
        assert found == known | {process.pid}
        assert len(found) == 2
    finally:
        for each in reversed(cpu.members(process.pid)):
            each.kill()
        process.communicate()


# macOS, whose library is played here.


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> dict[int, list[int]]:
    """Process id -> its children, as macOS's library lists them here."""
    listed: dict[int, list[int]] = {}
    monkeypatch.setattr(macos, "HERE", True)
    monkeypatch.setattr(os.path, "exists", lambda _path: False)
    monkeypatch.setattr(macos, "child_pids", lambda pid: listed.get(pid, []))
    return listed


def test_a_mac_lists_the_tree_from_parent_to_child(played: dict[int, list[int]]) -> None:
    own = os.getpid()
    played.update({os.getppid(): [own], own: [1001], 1001: [1002, 1003]})
    assert cpu.pids(own) == [own, 1001, 1002, 1003]


def test_a_mac_whose_list_lacks_the_worker_itself_reads_every_process(
    played: dict[int, list[int]], waiting: int
) -> None:
    assert played == {}
    assert waiting in cpu.pids(os.getpid())


def test_a_mac_counts_children_that_have_ended(
    played: dict[int, list[int]], waiting: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rusage = macos.Rusage(1, 2, 3, ended_ticks=48_000_000, slow_ticks=24_000_000)
    monkeypatch.setattr(macos, "process_rusage", lambda _pid: rusage)
    monkeypatch.setattr(macos, "tick_s", lambda: 125 / 3 / 1e9)
    assert played == {}
    found = cpu.tree_times(waiting)
    assert found.ended == pytest.approx(2.0)
    assert found.slow == pytest.approx(1.0)


def test_where_macos_does_not_say_they_are_not_counted(
    played: dict[int, list[int]], waiting: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(_pid: int) -> macos.Rusage:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(macos, "process_rusage", refused)
    assert played == {}
    found = cpu.tree_times(waiting)
    assert (found.ended, found.slow) == (0.0, None)


@pytest.mark.parametrize(
    ("macos_here", "cores", "answers", "slow"),
    [
        (True, 12, m.M3_PRO, {0, 1, 2, 3, 4, 5}),
        (True, 4, m.M3_PRO, set()),  # the kernel counts fewer than the device tree has
        (True, 12, {**m.M3_PRO, m.CPUS: Unknown("ioreg did not answer in 5 s")}, set()),
        (True, 12, {}, set()),
        (True, 4, m.MAC_VM, set()),
        (False, 12, m.M3_PRO, set()),
    ],
)
def test_efficiency_cores_are_spared_only_where_they_are_known(
    monkeypatch: pytest.MonkeyPatch,
    macos_here: bool,
    cores: int,
    answers: dict[str, Answer],
    slow: set[int],
) -> None:
    monkeypatch.setattr(macos, "HERE", macos_here)
    monkeypatch.setattr(cpu, "Reader", lambda: m.Recorded(answers, platform="darwin"))
    cpu._efficiency_cpus.cache_clear()
    assert cpu._efficiency_cpus(cores) == frozenset(slow)
    cpu._efficiency_cpus.cache_clear()


def test_the_busy_time_of_some_cores_is_part_of_that_of_all() -> None:
    count = psutil.cpu_count() or 1
    machine_s, slow_s = cpu.machine_busy_s(frozenset(range(count)))
    assert machine_s == slow_s > 0
    assert machine_s == pytest.approx(cpu.machine_busy_s()[0], abs=1.0 + 0.02 * count)
    assert 0 < cpu.machine_busy_s(frozenset({0}))[1] < machine_s or count == 1
