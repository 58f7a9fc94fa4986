"""Whole machines: the page for each, and that nothing breaks where nothing answers."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from pathlib import Path

import pytest

from fakes import machines as m
from mac_whisper_speedtest import privacy
from mac_whisper_speedtest.backends import registry
from mac_whisper_speedtest.backends.backend import Backend
from mac_whisper_speedtest.doctor import accelerators, checkup, load, packages, storage, system
from mac_whisper_speedtest.doctor.lines import Checkup, Readiness
from mac_whisper_speedtest.doctor.topics import Topic
from mac_whisper_speedtest.machine.reader import Answer, Reader, Unknown


@pytest.fixture(autouse=True)
def quiet_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """One backend, no other work, and a disk with room: what the test is not about."""
    one = Backend("one", import_name="no_such_module")
    monkeypatch.setattr(registry, "installed", lambda: {"one": one})
    monkeypatch.setattr(load, "_observe", lambda reader: load.Load(0.01, 0.2, 8, ()))
    monkeypatch.setattr(storage, "LITTLE_BYTES", 1)
    monkeypatch.setattr(storage, "TOO_LITTLE_BYTES", 1)
    monkeypatch.setenv("SPEEDTEST_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))


def looked_at(reader: Reader) -> dict[str, tuple[str, str]]:
    examined = checkup.examine(reader)
    topics = [line.topic for line in examined.lines]
    assert len(set(topics)) == len(topics)
    for line in examined.lines:
        known = (each for each in Topic if line.topic == each or line.topic.startswith(f"{each} "))
        assert next(known, None), line.topic
        assert bool(line.next) or line.state not in {Readiness.WARN, Readiness.FAIL}, line
        assert line.seen.startswith("not known: ") or line.state != Readiness.UNKNOWN, line
    return {line.topic: (line.state, line.seen) for line in examined.lines}


def mac(
    commands: dict[str, Answer], monkeypatch: pytest.MonkeyPatch, *, python: str, level: int = 0
) -> dict[str, tuple[str, str]]:
    monkeypatch.setattr(platform, "machine", lambda: python)
    monkeypatch.setattr(load, "pressure_level", lambda: level)
    return looked_at(m.Recorded(commands, platform="darwin"))


def states(lines: dict[str, tuple[str, str]], state: str) -> set[str]:
    return {topic for topic, (got, _) in lines.items() if got == state}


def test_a_macbook_on_mains_is_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = mac(m.M3_PRO, monkeypatch, python="arm64")
    assert states(lines, "fail") == set()
    assert states(lines, "unknown") - {"uv"} == {"hub"}
    assert lines["chip"][1] == "Apple M3 Pro (Mac15,7)"
    assert lines["cores"][1] == "12: 6 Performance + 6 Efficiency"
    assert lines["gpu"][1] == "Apple M3 Pro, 18 cores, Metal"
    assert lines["thermal state"] == ("ok", "nominal")
    assert lines["power source"][1] == "AC Power, battery at 100 %"
    text = " ".join(seen for _, seen in lines.values())
    assert "C02SECRET01" not in text
    assert "Clara" not in text


def test_a_macbook_on_battery_that_is_hot_is_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    commands = m.M3_PRO | {
        f"{m.PMSET} -g batt": m.ON_BATTERY,
        f"{m.PMSET} -g": m.SETTINGS.format(mode="powermode            1"),
        f"{m.SYSCTL} -n kern.memorystatus_vm_pressure_level": "2",
    }
    lines = mac(commands, monkeypatch, python="arm64", level=2)
    assert states(lines, "fail") == {"thermal state"}
    assert {"power source", "power mode", "swap"} <= states(lines, "warn")


def test_a_virtual_mac_is_warned_about_and_still_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = mac(m.MAC_VM, monkeypatch, python="arm64")
    assert states(lines, "fail") == set()
    assert lines["virtual machine"][0] == "warn"
    assert lines["gpu"][1] == "Apple Paravirtual device"
    assert lines["power mode"][0] == "unknown"
    assert lines["swift"][0] == "ok"


def test_an_intel_mac_is_not_fit_and_its_speed_limit_is_heard(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lines = mac(m.INTEL_MAC, monkeypatch, python="x86_64")
    assert lines["architecture"][0] == "fail"
    assert lines["cores"][1] == "8 physical, 16 logical"
    assert lines["thermal state"][0] == "warn"
    assert lines["gpu"][1] == "AMD Radeon Pro 5500M"


def test_a_python_under_rosetta_is_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = mac(m.ROSETTA, monkeypatch, python="x86_64")
    assert states(lines, "fail") == {"architecture"}


def test_a_linux_desktop_with_an_nvidia_gpu_is_fit(tmp_path: Path) -> None:
    root = m.files(tmp_path / "root", m.LINUX_DESKTOP)
    lines = looked_at(m.Recorded(m.LINUX_COMMANDS, platform="linux", root=root))
    assert states(lines, "fail") == set()
    assert lines["virtual machine"] == ("ok", "no")
    assert lines["chip"][1] == "AMD Ryzen 9 7950X 16-Core Processor"
    assert lines["power source"] == ("ok", "no battery in this machine")
    assert lines["cpu governor"] == ("ok", "performance (acpi-cpufreq)")
    assert lines["thermal state"] == ("ok", "hottest: x86_pkg_temp at 46 °C")
    assert lines["gpu"][1].startswith("NVIDIA GeForce RTX 4090, driver 570.86.15, 25.8 GB")
    assert lines["microphone"] == ("ok", "1 input")


def test_a_limited_container_is_warned_about(tmp_path: Path) -> None:
    limited = {
        "/.dockerenv": "",
        "/proc/self/cgroup": "0::/\n",
        "/sys/fs/cgroup/cpu.max": "50000 100000\n",
        "/sys/fs/cgroup/memory.max": "1073741824\n",
    }
    root = m.files(tmp_path / "root", m.LINUX_DESKTOP | limited)
    lines = looked_at(m.Recorded({}, platform="linux", root=root))
    assert lines["virtual machine"] == ("ok", "no, in a container")
    assert lines["cores"][0] == "warn"
    assert "allows the time of 0.5" in lines["cores"][1]
    assert lines["memory"][0] == "warn"


@pytest.mark.parametrize("platform_name", ["linux", "darwin"])
def test_where_nothing_answers_much_is_not_known_and_nothing_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, platform_name: str
) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(platform, "machine", lambda: "arm64")

    def silent() -> int:
        raise OSError("no such library")

    monkeypatch.setattr(load, "pressure_level", silent)
    (tmp_path / "empty").mkdir()
    nothing = m.Recorded({}, platform=platform_name, root=tmp_path / "empty")
    lines = looked_at(nothing)
    assert states(lines, "fail") == set()
    expected = {"virtual machine", "chip", "memory", "swap", "gpu", "power source"}
    assert expected | {"power mode", "thermal state", "microphone"} <= states(lines, "unknown")


def test_a_probe_that_breaks_costs_its_own_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_arguments: object) -> None:
        raise ZeroDivisionError("unheard-of hardware")

    for module, probe in (
        (load, "inspect_thermal"),
        (accelerators, "inspect_gpu"),
        (storage, "inspect_storage"),
        (load, "inspect_load"),
        (packages, "inspect_packages"),
    ):
        monkeypatch.setattr(module, probe, broken)
    lines = looked_at(m.Recorded({}, platform="linux"))
    broke = "not known: ZeroDivisionError: unheard-of hardware"
    for topic in ("thermal state", "gpu", "tool cache", "background load", "packages"):
        assert lines[topic] == ("unknown", broke)


def test_an_interrupt_ends_the_programs_that_were_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    stopped = []

    def interrupted(_reader: Reader) -> None:
        raise KeyboardInterrupt

    reader = m.Recorded({}, platform="linux")
    monkeypatch.setattr(reader, "stop", lambda: stopped.append(True))
    monkeypatch.setattr(system, "inspect_system", interrupted)
    with pytest.raises(KeyboardInterrupt):
        checkup.examine(reader)
    assert stopped == [True]


@pytest.fixture
def clara(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """The home folder of a user ``clara``, who has a token."""
    home = tmp_path / "people" / "clara"
    home.mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("LOGNAME", "clara")
    monkeypatch.setenv("HF_TOKEN", "opensesame-opensesame")
    monkeypatch.setenv("SPEEDTEST_CACHE_DIR", str(home / "cache"))
    privacy._names.cache_clear()
    yield home
    privacy._names.cache_clear()


def test_nothing_names_the_user_or_shows_a_secret(clara: Path) -> None:
    leak = f"failed in {clara}/x for clara with opensesame-opensesame"
    commands: dict[str, Answer] = {f"{m.PMSET} -g batt": Unknown(leak)}
    examined: Checkup = checkup.examine(m.Recorded(commands, platform="darwin"))
    text = " ".join(f"{line.topic} {line.seen} {line.next}" for line in examined.lines)
    assert "failed in ~/x for <user> with <token>" in text
    assert "~/cache: does not exist yet" in text
    for secret in (str(clara), "clara", "opensesame"):
        assert secret not in text
