"""The machine's state before and after a round, on machines that are here and that are not."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from fakes import machines as m
from fakes.fake_nvml import FakeNvml
from mac_whisper_speedtest.machine import conditions, nvml, power
from mac_whisper_speedtest.machine.conditions import Conditions, changed, read_conditions
from mac_whisper_speedtest.machine.nvml import Nvml
from mac_whisper_speedtest.machine.reader import Unknown

NO_GPU = Unknown("no NVIDIA driver is loaded")

LAPTOP = {
    "/proc/meminfo": "SwapTotal: 10000 kB\nSwapFree: 9000 kB\n",
    "/proc/pressure/memory": "some avg10=1.00 avg60=0.00 avg300=0.00 total=1\n",
    "/proc/cpuinfo": "cpu MHz\t\t: 2600.106\n",
    "/sys/class/thermal/thermal_zone0/type": "x86_pkg_temp",
    "/sys/class/thermal/thermal_zone0/temp": "96000",
    "/sys/class/thermal/thermal_zone0/trip_point_0_type": "passive",
    "/sys/class/thermal/thermal_zone0/trip_point_0_temp": "95000",
    "/sys/class/thermal/thermal_zone1/type": "iwlwifi",
    "/sys/class/thermal/thermal_zone1/temp": "41000",
    "/sys/class/power_supply/BAT0/type": "Battery",
    "/sys/class/power_supply/BAT0/status": "Discharging",
    "/sys/firmware/acpi/platform_profile": "low-power",
}

PRESSURE = f"{m.SYSCTL} -n kern.memorystatus_vm_pressure_level vm.swapusage"
MAC = {
    PRESSURE: "1\ntotal = 2048.00M  used = 12.00M  free = 2036.00M  (encrypted)",
    f"{m.PMSET} -g batt": "Now drawing from 'AC Power'\n -InternalBattery-0\t95%; charged;",
    f"{m.PMSET} -g": "Currently in use:\n lowpowermode         0\n",
}


def test_a_hot_laptop_on_battery_is_described(tmp_path: Path) -> None:
    found = read_conditions(
        m.Recorded({}, platform="linux", root=m.files(tmp_path, LAPTOP)), NO_GPU
    )
    assert found.swap_used_bytes == 1000 * 1024
    assert found.memory_stall_share == 0.01
    assert found.hottest_c == 96.0
    assert found.zones_reached == ("x86_pkg_temp",)
    assert found.power_source == "battery"
    assert found.power_mode == "low"
    assert found.cpu_mhz == 2600.106
    assert found.gpu_throttle is None
    assert found.unknown["gpu_throttle"] == "no NVIDIA driver is loaded"


def test_a_quiet_mac_is_described(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(power, "pressure_level", lambda: 0)
    reader = m.Recorded(MAC, platform="darwin")
    found = read_conditions(reader, NO_GPU)
    assert found.swap_used_bytes == 12 * 1024**2
    assert found.memory_pressure == "normal"
    assert found.thermal_pressure == "nominal"
    assert found.power_source == "mains"
    assert found.power_mode == "automatic"
    assert found.cpu_mhz is None
    assert "macOS reports clocks to root only" in found.unknown["cpu_mhz"]
    assert len(reader.asked) == 3


def test_every_value_that_is_missing_has_a_reason() -> None:
    for platform in ("linux", "darwin"):
        found = read_conditions(m.Recorded({}, platform=platform), NO_GPU)
        missing = {
            name
            for name in Conditions.__dataclass_fields__
            if name != "unknown" and getattr(found, name) is None
        }
        assert missing == set(found.unknown)
        assert all(found.unknown.values())


def test_a_throttled_gpu_is_described() -> None:
    gpus = Nvml(FakeNvml(masks=[nvml.SW_THERMAL], clocks=[1200]))
    found = read_conditions(m.Recorded({}, platform="linux"), gpus)
    assert found.gpu_throttle == ("thermal (driver)",)
    assert found.gpu_clocks_mhz == (1200,)


def test_a_driver_that_fails_costs_only_its_own_values() -> None:
    found = read_conditions(
        m.Recorded({}, platform="linux"), Nvml(FakeNvml(fails=("masks", "new masks")))
    )
    assert found.gpu_throttle is None
    assert "Not Supported" in found.unknown["gpu_throttle"]
    assert found.gpu_clocks_mhz == (1980,)


@pytest.mark.skipif(sys.platform != "linux", reason="macOS starts programs")
def test_looking_at_this_machine_is_quick() -> None:
    read_conditions()
    took = []
    for _ in range(5):
        began = time.perf_counter()
        read_conditions()
        took.append(time.perf_counter() - began)
    assert min(took) < 0.05


CALM = Conditions(
    load_average_1m=1.0,
    swap_used_bytes=0,
    memory_pressure="normal",
    memory_stall_share=0.0,
    thermal_pressure="nominal",
    zones_reached=(),
    gpu_throttle=(),
    cpu_limit_mhz=4000.0,
    power_source="mains",
    power_mode="automatic",
)


def test_nothing_changed_is_no_words() -> None:
    assert changed(CALM, CALM) == []
    assert changed(CALM, replace(CALM, load_average_1m=9.0, swap_used_bytes=50_000_000)) == []


@pytest.mark.parametrize(
    ("after", "words"),
    [
        (replace(CALM, power_source="battery"), "power: mains -> battery"),
        (replace(CALM, power_mode="low"), "power mode: automatic -> low"),
        (replace(CALM, power_mode="high"), "power mode: automatic -> high"),
        (replace(CALM, thermal_pressure="heavy"), "thermal pressure: nominal -> heavy"),
        (replace(CALM, memory_pressure="critical"), "memory pressure: normal -> critical"),
        (replace(CALM, memory_stall_share=0.2), "tasks waited for memory in 20 % of 10 s"),
        (replace(CALM, zones_reached=("cpu",)), "thermal limit reached: cpu"),
        (replace(CALM, gpu_throttle=("power cap",)), "GPU held back: power cap"),
        (replace(CALM, cpu_limit_mhz=2000.0), "clock limit: 4000 -> 2000 MHz"),
    ],
)
def test_each_change_is_named(after: Conditions, words: str) -> None:
    assert changed(CALM, after) == [words]


def test_swap_that_grows_is_named_where_no_level_of_pressure_judges() -> None:
    before, after = replace(CALM, memory_pressure=None), replace(CALM, swap_used_bytes=250_000_000)
    assert changed(before, replace(after, memory_pressure=None)) == ["swap grew by 250 MB"]
    assert changed(CALM, after) == []


def test_what_is_unknown_on_one_side_is_no_change() -> None:
    assert changed(Conditions(), replace(CALM, power_source="battery")) == []
    assert changed(CALM, Conditions()) == []


def test_a_state_that_was_there_before_is_not_named_again() -> None:
    hot = replace(CALM, zones_reached=("cpu",), gpu_throttle=("power cap",))
    assert changed(hot, hot) == []
    stalled = replace(CALM, memory_stall_share=0.3)
    assert changed(stalled, stalled) == []


@pytest.mark.skipif(sys.platform != "linux", reason="asks for the affinity")
def test_clocks_come_from_the_frequency_driver_where_there_is_one(tmp_path: Path) -> None:
    import os

    core = min(os.sched_getaffinity(0))
    folder = f"/sys/devices/system/cpu/cpu{core}/cpufreq"
    texts = {f"{folder}/scaling_cur_freq": "3200000", f"{folder}/scaling_max_freq": "4000000"}
    reader = m.Recorded({}, platform="linux", root=m.files(tmp_path, texts))
    assert conditions.read_clocks(reader) == conditions.Clocks(3200.0, 4000.0)


def test_a_mac_reads_what_a_linux_machine_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr("os.sched_getaffinity", raising=False)
    texts = {"/sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": "3200000"}
    reader = m.Recorded({}, platform="linux", root=m.files(tmp_path, texts))
    assert conditions.read_clocks(reader) == conditions.Clocks(3200.0, None)


def test_a_kernel_without_clocks_says_so() -> None:
    assert isinstance(conditions.cpuinfo_clocks("processor : 0\n"), Unknown)


def test_levels_of_heat_have_names() -> None:
    assert power.level_name(2) == "heavy"
    assert isinstance(power.level_name(9), Unknown)


def test_unconnected_sensors_are_left_out() -> None:
    zones = [power.Zone("a", -127.0), power.Zone("b", 50.0)]
    assert [zone.name for zone in power.connected(zones)] == ["b"]
    assert conditions.SWAP_GREW_BYTES == 100_000_000
