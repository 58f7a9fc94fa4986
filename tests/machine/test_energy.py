"""Energy: the arithmetic, and the counters of machines that are not here as constructed."""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from fakes import machines as m
from fakes.fake_nvml import FakeNvml, worker_on
from mac_whisper_speedtest.machine import apple, energy
from mac_whisper_speedtest.machine.energy import (
    AppleEnergy,
    Count,
    Counts,
    Energy,
    NvmlEnergy,
    Rapl,
    Window,
)
from mac_whisper_speedtest.machine.nvml import Nvml
from mac_whisper_speedtest.machine.probe import MACHINE, Target
from mac_whisper_speedtest.machine.reader import Unknown, attempt

IDLE = Window(4.0, {"cpu": 20.0, "gpu": 20.0})  # 10 W


def test_joules_per_audio_hour_is_what_exceeds_idle() -> None:
    work = Window(10.0, {"cpu": 300.0, "gpu": 100.0})
    found = energy.energy_use([work], IDLE, audio_s=60.0)
    # 400 J - 10 W * 10 s = 300 J in a minute of audio.
    assert found.joules_per_audio_hour.value == pytest.approx(18_000)
    assert found.watts.value == pytest.approx(40.0)
    assert found.idle_watts.value == pytest.approx(10.0)
    assert found.joules_per_audio_hour.quality == ""
    assert found.domains == ("cpu", "gpu")


def test_windows_of_several_rounds_are_added() -> None:
    half = Window(5.0, {"cpu": 150.0, "gpu": 50.0})
    found = energy.energy_use([half, half], IDLE, audio_s=60.0)
    assert found.joules_per_audio_hour.value == pytest.approx(18_000)


def test_only_counters_that_were_read_every_time_are_added() -> None:
    work = Window(10.0, {"cpu": 300.0, "dram": 999.0})
    found = energy.energy_use([work], IDLE, audio_s=60.0)
    assert found.domains == ("cpu",)
    assert found.joules_per_audio_hour.value == pytest.approx(3600 * (300 - 50) / 60)


@pytest.mark.parametrize(
    ("windows", "idle", "audio_s", "reason"),
    [
        ([Window(0.5, {"cpu": 9.0})], IDLE, 60.0, "0.50 s are too short"),
        ([Window(2.0, {"cpu": 0.0, "gpu": 0.0})], IDLE, 60.0, "did not move"),
        ([Window(2.0, {})], IDLE, 60.0, "no counter gave two readings"),
        ([Window(2.0, {"npu": 9.0})], IDLE, 60.0, "in every window"),
        ([Window(2.0, {"cpu": 9.0})], Window(2.9, {"cpu": 1.0}), 60.0, "no idle power"),
        ([Window(2.0, {"cpu": 9.0})], Window(4.0, {"cpu": 0.0}), 60.0, "no idle power"),
        ([Window(2.0, {"cpu": 9.0})], Unknown("not metered"), 60.0, "not metered"),
        ([], IDLE, 60.0, "no audio"),
        ([Window(2.0, {"cpu": 9.0})], IDLE, 0.0, "no audio"),
    ],
)
def test_what_is_no_measurement_is_refused_with_a_reason(
    windows: list[Window], idle: Window | Unknown, audio_s: float, reason: str
) -> None:
    found = energy.energy_use(windows, idle, audio_s)
    for each in (found.joules_per_audio_hour, found.watts, found.idle_watts):
        assert each.value is None
        assert reason in each.reason


def test_work_that_costs_no_more_than_idling_has_no_figure() -> None:
    found = energy.energy_use([Window(10.0, {"cpu": 49.0, "gpu": 50.0})], IDLE, 60.0)
    assert found.joules_per_audio_hour.value is None
    assert "no more than" in found.joules_per_audio_hour.reason
    assert found.watts.value == pytest.approx(9.9)


def test_quality_says_short_windows_estimates_and_little_above_idle() -> None:
    work = Window(2.0, {"cpu": 10.5, "gpu": 10.5}, quality="estimate")
    found = energy.energy_use([work], IDLE, 60.0)
    assert found.joules_per_audio_hour.quality == "coarse, estimate, near idle"


def test_a_counter_that_wraps_is_followed_and_one_that_was_reset_is_left_out() -> None:
    before = {"package-0": Count(90.0, wraps_at=100.0), "gpu0": Count(50.0)}
    after = {"package-0": Count(15.0, wraps_at=100.0), "gpu0": Count(3.0)}
    assert energy.joules_between(before, after) == {"package-0": 25.0}


# RAPL


def zones(texts: dict[str, dict[str, str]]) -> dict[str, str]:
    root = "/sys/class/powercap"
    return {
        f"{root}/{zone}/{name}": text for zone, all_ in texts.items() for name, text in all_.items()
    }


TWO_PACKAGES = {
    "intel-rapl:0": {"name": "package-0", "energy_uj": "5000000", "max_energy_range_uj": "9000000"},
    "intel-rapl:0:0": {"name": "core", "energy_uj": "4000000", "max_energy_range_uj": "9000000"},
    "intel-rapl:0:1": {"name": "dram", "energy_uj": "1000000", "max_energy_range_uj": "6000000"},
    "intel-rapl:1": {"name": "package-1", "energy_uj": "7000000", "max_energy_range_uj": "9000000"},
    "intel-rapl:1:0": {"name": "dram", "energy_uj": "2000000", "max_energy_range_uj": "6000000"},
    "intel-rapl:2": {"name": "psys", "energy_uj": "99000000", "max_energy_range_uj": "9000000"},
    "intel-rapl-mmio:0": {"name": "package-0", "energy_uj": "5000000"},
}


def test_packages_and_their_memory_are_counted_once_each(tmp_path: Path) -> None:
    root = m.files(tmp_path, zones(TWO_PACKAGES))
    found = Rapl(m.Recorded({}, platform="linux", root=root)).read()
    assert found == {
        "package-0": Count(5.0, 9.0),
        "package-0-dram": Count(1.0, 6.0),
        "package-1": Count(7.0, 9.0),
        "package-1-dram": Count(2.0, 6.0),
    }


def test_a_package_that_wraps_in_the_span_is_metered_all_the_same(tmp_path: Path) -> None:
    one = {"intel-rapl:0": TWO_PACKAGES["intel-rapl:0"]}
    reader = m.Recorded({}, platform="linux", root=m.files(tmp_path, zones(one)))
    ticks = iter([10.0, 12.0])
    probe = Energy([Rapl(reader)], clock=lambda: next(ticks))
    probe.begin(Target(None))
    m.files(tmp_path, zones({"intel-rapl:0": {"energy_uj": "500000"}}))
    found = probe.end(Target(None))
    assert found["energy_package-0_j"].value == pytest.approx(4.5)
    assert found["energy_j"].value == pytest.approx(4.5)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may read everything")
def test_files_that_only_root_may_read_are_a_reason(tmp_path: Path) -> None:
    root = m.files(tmp_path, zones({"intel-rapl:0": TWO_PACKAGES["intel-rapl:0"]}))
    (root / "sys/class/powercap/intel-rapl:0/energy_uj").chmod(0)
    found = Rapl(m.Recorded({}, platform="linux", root=root)).read()
    assert isinstance(found, Unknown)
    assert "root" in found.reason


def test_a_package_whose_energy_is_not_readable_is_a_reason(tmp_path: Path) -> None:
    texts = zones({"intel-rapl:0": {"name": "package-0"}})
    found = Rapl(m.Recorded({}, platform="linux", root=m.files(tmp_path, texts))).read()
    assert isinstance(found, Unknown)
    assert "only root can read it" in found.reason


def test_a_machine_without_rapl_says_so() -> None:
    found = Rapl(m.Recorded({}, platform="linux")).read()
    assert found == Unknown("there is no RAPL below /sys/class/powercap")


# NVML


def test_each_gpus_millijoules_become_joules() -> None:
    fake = FakeNvml(energy=[1_500, 2_000_000])
    assert NvmlEnergy(Nvml(fake)).read() == {"gpu0": Count(1.5), "gpu1": Count(2000.0)}


def test_around_a_worker_only_the_gpu_that_it_names_is_read() -> None:
    counter = NvmlEnergy(Nvml(FakeNvml(energy=[1_500, 2_000_000])))
    assert counter.read(Target(1, worker_on(1))) == {"gpu1": Count(2000.0)}
    found = attempt(lambda: counter.read(Target(1)))
    assert isinstance(found, Unknown)
    assert "names no NVIDIA GPU" in found.reason


def test_a_gpu_without_a_counter_takes_no_other_with_it() -> None:
    fake = FakeNvml(energy=[1_500, 2_000_000], fails=("energy 0",))
    assert NvmlEnergy(Nvml(fake)).read() == {"gpu1": Count(2000.0)}


def test_a_gpu_without_a_counter_costs_only_its_own_figure() -> None:
    fake = FakeNvml(fails=("energy",))
    ticks = iter([0.0, 2.0])
    probe = Energy([Scripted([10.0, 30.0]), NvmlEnergy(Nvml(fake))], clock=lambda: next(ticks))
    probe.begin(Target(None))
    found = probe.end(Target(None))
    assert found["energy_j"].value == 20.0
    alone = Energy([NvmlEnergy(Nvml(fake))])
    alone.begin(Target(None))
    reason = alone.end(Target(None))["energy_j"].reason
    assert "energy: Not Supported" in reason


# Apple


@dataclass
class Metrics:
    """AppleEnergyMetrics of a chip, in mJ."""

    cpu_total_mj: int | None = None
    efficiency_cores_mj: list[int] | None = None
    performance_cores_mj: list[int] | None = None
    efficiency_cluster_mj: list[int] | None = None
    performance_cluster_mj: list[int] | None = None
    dram_mj: int | None = None
    gpu_mj: int | None = None
    gpu_sram_mj: int | None = None
    ane_mj: int | None = None


@dataclass
class Monitor:
    """AppleEnergyMonitor with scripted readings."""

    readings: list[Metrics] = field(default_factory=list)

    def get_cumulative_energy(self) -> Metrics:
        return self.readings.pop(0)


def test_the_total_of_the_cpu_is_preferred_to_its_parts() -> None:
    chip = Metrics(
        cpu_total_mj=9000, performance_cluster_mj=[5000], efficiency_cluster_mj=[2000], ane_mj=0
    )
    assert apple.energy_mj(chip) == {"cpu": 9000, "ane": 0}


def test_clusters_stand_in_for_a_total_and_cores_never_do() -> None:
    chip = Metrics(
        performance_cluster_mj=[5000, 1000],
        efficiency_cluster_mj=[2000],
        performance_cores_mj=[99, 99],
    )
    assert apple.energy_mj(chip) == {"cpu": 8000}
    # Without a figure for the CPU the rest would pass for the whole chip.
    assert isinstance(apple.energy_mj(Metrics(performance_cores_mj=[99], gpu_mj=1)), Unknown)


def test_a_chip_without_gpu_sram_is_metered_without_it() -> None:
    chip = Metrics(cpu_total_mj=1000, gpu_mj=2000, ane_mj=3000, dram_mj=500)
    assert apple.energy_mj(chip) == {"cpu": 1000, "gpu": 2000, "ane": 3000, "dram": 500}


def test_a_span_on_apple_silicon_is_an_estimate() -> None:
    chip = [Metrics(cpu_total_mj=1000, ane_mj=0), Metrics(cpu_total_mj=9000, ane_mj=4000)]
    ticks = iter([0.0, 2.0])
    probe = Energy([AppleEnergy(Monitor(chip))], clock=lambda: next(ticks))
    probe.begin(Target(None))
    found = probe.end(Target(None))
    assert found["energy_ane_j"].value == 4.0
    assert (found["energy_j"].value, found["energy_j"].quality) == (12.0, "estimate")


def test_counters_that_stand_still_are_refused() -> None:
    still = Metrics(cpu_total_mj=0, gpu_mj=0)
    ticks = iter([0.0, 2.0])
    probe = Energy([AppleEnergy(Monitor([still, still]))], clock=lambda: next(ticks))
    probe.begin(Target(None))
    found = probe.end(Target(None))
    assert found["energy_j"].value is None
    assert "did not move" in found["energy_j"].reason
    assert isinstance(probe.window, Unknown)


@pytest.mark.parametrize(
    ("joules", "reason"),
    [
        ({"cpu": 0.0, "gpu": 3.0}, "the counter of cpu did not move"),
        ({"package-0": 0.0, "gpu0": 3.0}, "the counter of package-0 did not move"),
        ({"cpu": 2.0, "gpu": 0.0, "ane": 0.0}, ""),
        ({"package-0": 2.0, "package-0-dram": 0.0}, ""),
    ],
)
def test_a_processor_that_uses_no_energy_is_not_believed(
    joules: dict[str, float], reason: str
) -> None:
    assert energy.refusal_reason(Window(2.0, joules)).startswith(reason)
    assert bool(energy.refusal_reason(Window(2.0, joules))) is bool(reason)


LIBRARY = """
import os, pathlib, signal, time
class AppleEnergyMonitor:
    def __init__(self):
        with pathlib.Path({log!r}).open("a") as log:
            log.write(f"{{os.getpid()}}\\n")
        {constructor}
    def get_cumulative_energy(self):
        {reading}
        return type("AppleEnergyMetrics", (), {{"cpu_total_mj": 7000, "gpu_mj": None}})()
"""
DIE = "os.kill(os.getpid(), signal.SIGSEGV)"


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Path]]:
    """Install a stand-in for the library; returns the list of processes that opened it."""
    log = tmp_path / "opened"

    def install(constructor: str = "pass", reading: str = "pass") -> Path:
        text = LIBRARY.format(log=str(log), constructor=constructor, reading=reading)
        (tmp_path / "zeus_apple_silicon.py").write_text(text, encoding="utf-8")
        monkeypatch.syspath_prepend(tmp_path)
        path = [str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])]
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path))
        return log

    apple.open_energy_monitor.cache_clear()
    yield install
    apple.open_energy_monitor.cache_clear()
    sys.modules.pop("zeus_apple_silicon", None)


def test_a_library_that_works_is_opened_here_after_a_trial(
    library: Callable[..., Path],
) -> None:
    log = library()
    assert AppleEnergy(apple.open_energy_monitor()).read() == {"cpu": Count(7.0)}
    assert AppleEnergy(apple.open_energy_monitor()).read() == {"cpu": Count(7.0)}
    trial, here = log.read_text(encoding="utf-8").split()  # once each
    assert int(here) == os.getpid() != int(trial)


@pytest.mark.parametrize("where", ["constructor", "reading"])
def test_a_library_that_dies_kills_a_child_alone(library: Callable[..., Path], where: str) -> None:
    log = library(**{where: DIE})
    found = AppleEnergy(apple.open_energy_monitor()).read()
    assert isinstance(found, Unknown)
    assert "does not work here: " in found.reason
    assert f"ended with status {-signal.SIGSEGV}" in found.reason
    assert isinstance(apple.open_energy_monitor(), Unknown)
    (died,) = log.read_text(encoding="utf-8").split()  # and it is not tried again
    assert int(died) != os.getpid()


def test_a_library_that_refuses_or_hangs_is_a_reason(
    library: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    library(constructor="raise RuntimeError('not Apple silicon')")
    assert "RuntimeError: not Apple silicon" in apple.open_energy_monitor().reason
    apple.open_energy_monitor.cache_clear()
    monkeypatch.setattr(apple, "_TRIAL_TIMEOUT_S", 0.2)
    library(constructor="time.sleep(60)")
    assert "did not answer in 0.2 s" in apple.open_energy_monitor().reason


@pytest.mark.skipif(
    importlib.util.find_spec("zeus_apple_silicon") is not None, reason="the library is here"
)
@pytest.mark.parametrize(
    ("version", "reason"), [((3, 13), "mac-whisper-speedtest[mac]"), ((3, 14), "no wheel for this")]
)
def test_where_the_library_is_missing_the_reason_says_what_to_install(
    library: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    version: tuple[int, int],
    reason: str,
) -> None:
    monkeypatch.setattr(sys, "version_info", version)
    assert reason in apple.open_energy_monitor().reason


# The probe


@dataclass
class Scripted:
    """A counter that returns these joules, one after the other."""

    values: list[float]
    name: str = "scripted"
    quality: str = ""

    def read(self, target: Target = MACHINE) -> Counts | Unknown:
        return {"all": Count(self.values.pop(0))}


def test_a_span_below_a_second_is_not_measured() -> None:
    ticks = iter([0.0, 0.9])
    probe = Energy([Scripted([0.0, 50.0])], clock=lambda: next(ticks))
    probe.begin(Target(None))
    found = probe.end(Target(None))
    assert found["energy_j"].value is None
    assert "too short" in found["energy_j"].reason
    assert found["energy_wall_s"].value == pytest.approx(0.9)


def test_a_probe_that_was_never_begun_gives_a_reason() -> None:
    found = Energy([Scripted([1.0])]).end(Target(None))
    assert "begin was not called" in found["energy_j"].reason


def test_idle_power_is_measured_over_three_seconds() -> None:
    slept: list[float] = []
    now = [0.0]

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    # The first reading only tells whether there is anything to read.
    counters = [Scripted([0.0, 100.0, 130.0])]
    found = energy.meter_idle(counters, sleep=sleep, clock=lambda: now[0])
    assert not isinstance(found, Unknown)
    assert found == Window(3.0, {"all": 30.0})
    assert slept == [3.0]
    assert energy.mean_watts(found) == {"all": 10.0}


def test_a_machine_without_counters_is_not_waited_for() -> None:
    slept: list[float] = []
    found = energy.meter_idle([Rapl(m.Recorded({}, platform="linux"))], sleep=slept.append)
    assert isinstance(found, Unknown)
    assert slept == []


def test_each_system_has_its_own_counters() -> None:
    names = [each.name for each in energy.available_counters(m.Recorded({}, platform="darwin"))]
    assert names == ["apple"]
    names = [each.name for each in energy.available_counters(m.Recorded({}, platform="linux"))]
    assert names == ["rapl", "nvml"]
