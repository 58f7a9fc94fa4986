"""Control groups: every limit above a process counts, in both versions of them."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from fakes import machines as m
from mac_whisper_speedtest.doctor import load
from mac_whisper_speedtest.machine import cgroup, describe


@pytest.mark.parametrize(
    ("text", "cpus"),
    [("max 100000", None), ("150000 100000", 1.5), ("", None), ("100000", None), ("1 0", None)],
)
def test_cpu_max_is_read_as_cores(text: str, cpus: float | None) -> None:
    assert cgroup.parse_cpu_max(text) == cpus


@pytest.mark.parametrize(
    ("text", "bytes_"), [("max", None), ("4294967296", 4294967296), ("", None), ("4G", None)]
)
def test_memory_max_is_read_as_bytes(text: str, bytes_: int | None) -> None:
    assert cgroup.parse_memory_max(text) == bytes_


def test_the_tightest_limit_above_a_process_holds(tmp_path: Path) -> None:
    m.files(
        tmp_path,
        {
            "/proc/self/cgroup": "0::/outer/inner\n",
            "/sys/fs/cgroup/outer/inner/cpu.max": "400000 100000\n",
            "/sys/fs/cgroup/outer/cpu.max": "200000 100000\n",
            "/sys/fs/cgroup/memory.max": "1000\n",
        },
    )
    reader = m.Recorded({}, platform="linux", root=tmp_path)
    assert cgroup.cpu_quota(reader) == 2.0
    assert cgroup.memory_limit(reader) == 1000
    assert cgroup.cpu_quota(m.Recorded({}, platform="linux")) is None


NESTED = {
    "/proc/self/cgroup": "0::/user.slice/job.scope\n",
    "/proc/meminfo": m.MEMINFO.format(free=8388604),
    "/sys/fs/cgroup/user.slice/memory.max": "3000000000\n",
    "/sys/fs/cgroup/user.slice/job.scope/memory.max": "max\n",
    "/sys/fs/cgroup/user.slice/job.scope/cpu.max": "250000 100000\n",
}
"""As on a machine itself: the root has no limits, only groups in it have."""


def test_run_and_doctor_find_the_same_limit_of_a_nested_group(tmp_path: Path) -> None:
    reader = m.Recorded({}, platform="linux", root=m.files(tmp_path, NESTED))
    assert describe.memory_limit(reader) == 2_700_000_000
    memory = next(each for each in load.inspect_memory(reader) if each.topic == "memory")
    assert "the control group allows 3.0 GB" in memory.seen


def test_threads_fit_the_quota_of_a_nested_group(tmp_path: Path) -> None:
    reader = m.Recorded({}, platform="linux", root=m.files(tmp_path, NESTED))
    assert describe.linux_threads(reader, range(8)) == 2


def test_without_groups_a_worker_may_take_nine_tenths_of_the_machine() -> None:
    reader = m.Recorded({}, platform="linux")
    assert describe.memory_limit(reader) == int(psutil.virtual_memory().total * 0.9)


@pytest.mark.parametrize("shown", ["/docker/abc", "/"])
def test_version_1_has_a_tree_for_each_controller(tmp_path: Path, shown: str) -> None:
    groups = f"4:memory:{shown}\n2:cpu,cpuacct:{shown}\n1:name=systemd:/\n0::/\n"
    texts = {
        "/proc/self/cgroup": groups,
        # Seen from within a container its own group is the root, whatever its path is outside.
        "/sys/fs/cgroup/memory/memory.limit_in_bytes": "2000000000\n",
        "/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "150000\n",
        "/sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
    }
    reader = m.Recorded({}, platform="linux", root=m.files(tmp_path, texts))
    assert cgroup.memory_limit(reader) == 2_000_000_000
    assert cgroup.cpu_quota(reader) == 1.5


def test_version_1_writes_no_limit_as_a_number(tmp_path: Path) -> None:
    texts = {
        "/proc/self/cgroup": "4:memory:/job\n2:cpu,cpuacct:/job\n",
        "/sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
        "/sys/fs/cgroup/cpu/job/cpu.cfs_quota_us": "-1\n",
        "/sys/fs/cgroup/cpu/job/cpu.cfs_period_us": "100000\n",
    }
    reader = m.Recorded({}, platform="linux", root=m.files(tmp_path, texts))
    assert cgroup.memory_limit(reader) is None
    assert cgroup.cpu_quota(reader) is None
    m.files(tmp_path, {"/sys/fs/cgroup/memory/job/memory.limit_in_bytes": "5000000\n"})
    assert cgroup.memory_limit(reader) == 5_000_000
