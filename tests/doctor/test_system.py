"""Interpreter, system, chip, cores, memory and swap: how the answers of machines are judged."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fakes import machines as m
from mac_whisper_speedtest.doctor import load, system
from mac_whisper_speedtest.machine import memory
from mac_whisper_speedtest.machine.reader import Answer, Unknown

NONE = Unknown("sysctl is not installed")
GB = 10**9


def test_the_oldest_python_is_the_one_that_the_project_declares() -> None:
    project = Path(__file__).parents[2] / "pyproject.toml"
    declared = re.search(r'requires-python = ">=(\d+)\.(\d+)"', project.read_text(encoding="utf-8"))
    assert declared
    assert (int(declared[1]), int(declared[2])) == system.OLDEST_PYTHON


@pytest.mark.parametrize(
    ("version", "state"), [((3, 10, 14), "fail"), ((3, 11, 0), "ok"), ((3, 14, 2), "ok")]
)
def test_a_python_that_is_too_old_fails(version: tuple[int, int, int], state: str) -> None:
    line = system.judge_python(version, "CPython, arm64")
    assert line.state == state
    assert line.seen.startswith(".".join(map(str, version)))


@pytest.mark.parametrize(
    ("machine", "translated", "macos", "state", "seen"),
    [
        ("arm64", "0", True, "ok", "arm64, native"),
        ("arm64", NONE, True, "ok", "arm64, native"),
        ("x86_64", "1", True, "fail", "under Rosetta"),
        ("x86_64", "0", True, "fail", "an Intel Mac"),
        (
            "x86_64",
            Unknown("sysctl ended with status 1: sysctl: unknown oid 'sysctl.proc_translated'"),
            True,
            "fail",
            "an Intel Mac",
        ),
        ("x86_64", Unknown("sysctl did not answer in 5 s"), True, "unknown", "did not answer"),
        ("x86_64", NONE, False, "ok", "x86_64, native"),
        ("aarch64", NONE, False, "ok", "aarch64, native"),
    ],
)
def test_a_python_for_intel_macs_fails(
    machine: str, translated: Answer, macos: bool, state: str, seen: str
) -> None:
    line = system.judge_architecture(machine, translated, macos=macos)
    assert (line.state, bool(line.next)) == (state, state == "fail")
    assert seen in line.seen


@pytest.mark.parametrize(
    ("version", "build", "seen"),
    [
        ("26.2", "25C56", "macOS 26.2 (25C56)"),
        ("14.7.1", NONE, "macOS 14.7.1"),
        (NONE, "25C56", "not known: sysctl is not installed"),
    ],
)
def test_the_release_of_macos_is_named_with_its_build(
    version: Answer, build: Answer, seen: str
) -> None:
    assert system.macos_version(version, build).seen == seen


@pytest.mark.parametrize(("present", "state"), [("0", "ok"), ("1", "warn"), (NONE, "unknown")])
def test_a_virtual_mac_is_warned_about(present: Answer, state: str) -> None:
    assert system.macos_virtual(present).state == state


@pytest.mark.parametrize(
    ("cpuinfo", "vendor", "product", "kernel", "container", "state", "seen"),
    [
        (m.CPUINFO_METAL, "ASUS", "System Product Name", "6.8.0", False, "ok", "no"),
        (m.CPUINFO_METAL, "Amazon EC2", "c7i.metal-24xl", "6.8.0", False, "ok", "no"),
        (m.CPUINFO_VM, "QEMU", "Standard PC (Q35)", "6.8.0", False, "warn", "QEMU Standard PC"),
        (m.CPUINFO_VM, NONE, NONE, "6.8.0", True, "warn", "the flag hypervisor, in a container"),
        (m.CPUINFO_METAL, NONE, NONE, NONE, True, "ok", "no, in a container"),
        (
            m.CPUINFO_VM,
            NONE,
            NONE,
            "5.15.153.1-microsoft-standard-WSL2",
            False,
            "warn",
            "WSL",
        ),
        (m.CPUINFO_ARM, "Parallels", "Parallels ARM Virtual Machine", "6", False, "warn", "yes"),
        (m.CPUINFO_ARM, NONE, NONE, "6.8.0", False, "unknown", "not known"),
        (NONE, NONE, NONE, NONE, False, "unknown", "not known: sysctl is not installed"),
    ],
)
def test_a_virtual_linux_is_warned_about_and_a_container_is_only_named(
    cpuinfo: Answer,
    vendor: Answer,
    product: Answer,
    kernel: Answer,
    container: bool,
    state: str,
    seen: str,
) -> None:
    signs = system.LinuxSigns(cpuinfo, vendor, product, kernel, container)
    line = system.linux_virtual(signs)
    assert line.state == state
    assert seen in line.seen


@pytest.mark.parametrize(
    ("cgroup", "inside"),
    [
        ("0::/user.slice/session-2.scope", False),
        ("0::/", False),
        ("12:cpu:/docker/4f1c", True),
        ("0::/kubepods/burstable/pod1", True),
        (NONE, False),
    ],
)
def test_a_container_engines_control_group_is_known(cgroup: Answer, inside: bool) -> None:
    assert system.in_container_group(cgroup) is inside


@pytest.mark.parametrize(
    ("cpuinfo", "board", "seen"),
    [
        (m.CPUINFO_METAL, NONE, "AMD Ryzen 9 7950X 16-Core Processor"),
        (m.CPUINFO_ARM, "Raspberry Pi 5 Model B Rev 1.0\0", "Raspberry Pi 5 Model B Rev 1.0"),
        (m.CPUINFO_ARM, NONE, "not known: LookupError: /proc/cpuinfo names no model"),
        (NONE, NONE, "not known: sysctl is not installed"),
    ],
)
def test_the_chip_is_the_processors_name_or_the_boards(
    cpuinfo: Answer, board: Answer, seen: str
) -> None:
    assert system.linux_chip(cpuinfo, board).seen == seen


@pytest.mark.parametrize(
    ("hw", "seen"),
    [
        (m.HW_M3_PRO, "12: 6 Performance + 6 Efficiency"),
        (m.HW_M3_PRO.replace("Performance", "Super"), "12: 6 Super + 6 Efficiency"),
        (m.HW_VIRTUAL, "4 physical, 4 logical"),
        (m.HW_INTEL, "8 physical, 16 logical"),
        ("hw.ncpu: 4", "not known: sysctl does not report hw.physicalcpu"),
        (NONE, "not known: sysctl is not installed"),
    ],
)
def test_the_cores_of_a_mac_are_counted_by_kind(hw: Answer, seen: str) -> None:
    assert system.macos_cores(hw).seen == seen


@pytest.mark.parametrize(
    ("usable", "limit", "state"),
    [(16, None, "ok"), (16, 16.0, "ok"), (16, 1.5, "warn"), (NONE, None, "unknown")],
)
def test_a_limit_of_processor_time_is_warned_about(
    usable: int | Unknown, limit: float | None, state: str
) -> None:
    assert system.linux_cores(usable=usable, physical=16, limit=limit).state == state


@pytest.mark.parametrize(
    ("total", "available", "limit", "pressure", "state", "seen"),
    [
        (36 * GB, 20 * GB, None, "normal", "ok", "36.0 GB, 20.0 GB available"),
        (36 * GB, 20 * GB, None, NONE, "ok", "36.0 GB"),
        (8 * GB, 3 * GB, None, "warning", "warn", "memory pressure: warning"),
        (8 * GB, 3 * GB, None, "critical", "warn", "memory pressure: critical"),
        (8 * GB, 1 * GB, None, "normal", "warn", "too little"),
        (64 * GB, 50 * GB, 1.0 * GB, "", "warn", "the control group allows 1.0 GB"),
        (64 * GB, 50 * GB, 16.0 * GB, "", "ok", "the control group allows 16.0 GB"),
        (64 * GB, NONE, None, "", "ok", "64.0 GB"),
        (NONE, 1 * GB, None, "", "unknown", "not known: sysctl is not installed"),
        ("a lot", 1 * GB, None, "", "unknown", "not known"),
    ],
)
def test_memory_is_judged_by_what_can_be_had_now(
    total: int | str | Unknown,
    available: int | Unknown,
    limit: float | None,
    pressure: str | Unknown,
    state: str,
    seen: str,
) -> None:
    line = load.judge_memory(total=total, available=available, limit=limit, pressure=pressure)
    assert line.state == state
    assert seen in line.seen


@pytest.mark.parametrize(
    ("text", "level", "state", "seen"),
    [
        (m.SWAP.format(used="0.00M"), "1", "ok", "0 MB in use; memory pressure: normal"),
        (m.SWAP.format(used="5,50G"), "1", "ok", "5.9 GB in use; memory pressure: normal"),
        (m.SWAP.format(used="512.25M"), "2", "warn", "537 MB in use; memory pressure: warning"),
        (m.SWAP.format(used="512.25M"), "4", "warn", "537 MB in use; memory pressure: critical"),
        (m.SWAP.format(used="5.00G"), NONE, "unknown", "5.4 GB in use; memory pressure: sysctl"),
        (m.SWAP.format(used="much"), "1", "unknown", "not known: vm.swapusage does not report"),
        (NONE, "1", "unknown", "not known: sysctl is not installed"),
    ],
)
def test_the_swap_of_macos_is_judged_by_memory_pressure_and_not_by_an_amount(
    text: Answer, level: Answer, state: str, seen: str
) -> None:
    line = load.judge_swap(memory.macos_swap(text), memory.macos_pressure(level))
    assert line.state == state
    assert seen in line.seen


@pytest.mark.parametrize(
    ("text", "state"),
    [
        (m.MEMINFO.format(free=8388604), "ok"),
        (m.MEMINFO.format(free=1000000), "warn"),
        ("MemTotal:       65637372 kB\n", "unknown"),
        (NONE, "unknown"),
    ],
)
def test_the_swap_of_linux_is_warned_about_when_it_is_much(text: Answer, state: str) -> None:
    assert load.judge_swap(memory.linux_swap(text)).state == state
