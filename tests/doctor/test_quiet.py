"""Power, heat and other work: what makes numbers noisy, and what makes them wrong."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from fakes import machines as m
from mac_whisper_speedtest.doctor import load
from mac_whisper_speedtest.machine import power
from mac_whisper_speedtest.machine.energy import Count, Counts
from mac_whisper_speedtest.machine.power import Zone
from mac_whisper_speedtest.machine.reader import Answer, Unknown

NONE = Unknown("pmset is not installed")


@pytest.mark.parametrize(
    ("text", "state", "seen"),
    [
        (m.ON_MAINS, "ok", "AC Power, battery at 100 %"),
        (m.DESKTOP, "ok", "AC Power"),
        (m.ON_BATTERY, "warn", "Battery Power, battery at 63 %"),
        ("Now drawing from 'UPS Power'\n", "warn", "UPS Power"),
        ("", "unknown", "not known: pmset does not report it"),
        (NONE, "unknown", "not known: pmset is not installed"),
    ],
)
def test_a_mac_that_is_not_on_mains_is_warned_about(text: Answer, state: str, seen: str) -> None:
    line = load.judge_supply(power.macos_supply(text))
    assert line.state == state
    assert line.seen.startswith(seen)


MAINS, NO_MAINS = {"type": "Mains", "online": "1"}, {"type": "Mains", "online": "0"}
FULL = {"type": "Battery", "status": "Full", "capacity": "100"}
EMPTYING = {"type": "Battery", "status": "Discharging", "capacity": "63"}
MOUSE = {"type": "Battery", "scope": "Device", "status": "Discharging"}


@pytest.mark.parametrize(
    ("supplies", "known", "state"),
    [
        ({}, True, "ok"),
        ({"mouse": MOUSE}, True, "ok"),
        ({"AC": MAINS, "BAT0": FULL}, True, "ok"),
        ({"BAT0": FULL}, True, "ok"),
        ({"AC": NO_MAINS, "BAT0": EMPTYING}, True, "warn"),
        ({"AC": NO_MAINS, "BAT0": {"type": "Battery", "status": "Unknown"}}, True, "warn"),
        ({"BAT0": EMPTYING}, True, "warn"),
        ({"BAT0": {"type": "Battery", "status": "Unknown"}}, True, "unknown"),
        ({}, False, "unknown"),
    ],
)
def test_linux_on_its_battery_is_warned_about(
    supplies: Mapping[str, Mapping[str, str]], known: bool, state: str
) -> None:
    assert load.judge_supply(power.linux_supply(supplies, known=known)).state == state


@pytest.mark.parametrize(
    ("modes", "seen", "then"),
    [
        ("lowpowermode         0", "automatic", ""),
        ("lowpowermode         1", "low", "sudo pmset -a lowpowermode 0"),
        ("powermode            0", "automatic", ""),
        ("powermode            1", "low", "sudo pmset -a powermode 0"),
        ("powermode            2", "high", ""),
        ("lowpowermode         0\n highpowermode        0", "automatic", ""),
        ("lowpowermode         0\n highpowermode        1", "high", ""),
        ("lowpowermode 0\n powermode 1", "low", "sudo pmset -a powermode 0"),
        ("powermode 0\n lowpowermode 1", "low", "sudo pmset -a lowpowermode 0"),
    ],
)
def test_the_power_mode_is_a_word_whichever_setting_has_it(
    modes: str, seen: str, then: str
) -> None:
    line = load.judge_power_mode(power.macos_power_mode(m.SETTINGS.format(mode=modes)))
    assert (line.seen, line.next) == (seen, then)
    assert line.state == ("warn" if then else "ok")


def test_a_mac_without_power_modes_says_so() -> None:
    settings = m.SETTINGS.format(mode="displaysleep         10")
    assert load.judge_power_mode(power.macos_power_mode(settings)).state == "unknown"
    assert (
        load.judge_power_mode(power.macos_power_mode(NONE)).seen
        == "not known: pmset is not installed"
    )


MISSING = Unknown("zeus-apple-silicon is not installed: python -m pip install 'x[mac]'")


@pytest.mark.parametrize(
    ("counters", "state", "seen", "then"),
    [
        ({"apple": {"cpu": Count(1.0), "ane": Count(0.0)}}, "ok", "can be measured: cpu, ane", ""),
        ({"rapl": NONE, "nvml": {"gpu0": Count(1.0)}}, "ok", "can be measured: gpu0", ""),
        (
            {"apple": MISSING},
            "warn",
            "cannot be measured: zeus-apple-silicon is not installed",
            "python -m pip install 'x[mac]'",
        ),
        ({"rapl": NONE}, "ok", "cannot be measured: pmset is not installed", ""),
    ],
)
def test_whether_energy_can_be_measured_is_said_beforehand(
    counters: dict[str, Counts | Unknown], state: str, seen: str, then: str
) -> None:
    line = load.judge_energy(counters)
    assert (line.state, line.seen, line.next) == (state, seen, then)


def test_a_low_priority_is_warned_about() -> None:
    assert load.judge_priority([]).state == "ok"
    line = load.judge_priority(["it runs with niceness 5"])
    assert (line.state, line.seen) == ("warn", "it runs with niceness 5")


@pytest.mark.parametrize(
    ("profile", "state"),
    [("performance", "ok"), ("balanced", "ok"), ("low-power", "warn"), (NONE, "unknown")],
)
def test_the_platform_profile_of_linux_is_judged(profile: Answer, state: str) -> None:
    assert load.judge_power_mode(power.linux_power_mode(profile)).state == state


@pytest.mark.parametrize(
    ("governors", "driver", "state", "seen"),
    [
        (["performance"] * 8, "acpi-cpufreq", "ok", "performance (acpi-cpufreq)"),
        (["schedutil"] * 8, NONE, "ok", "schedutil"),
        (["powersave"] * 8, "acpi-cpufreq", "warn", "the lowest frequency"),
        (["powersave"] * 8, "intel_pstate", "warn", "clocks follow the load"),
        (["performance", "powersave"], NONE, "warn", "performance, powersave"),
        ([NONE], NONE, "unknown", "not known"),
        ([], NONE, "unknown", "not known"),
    ],
)
def test_a_governor_that_saves_power_is_warned_about(
    governors: list[Answer], driver: Answer, state: str, seen: str
) -> None:
    line = load.judge_governor(governors, driver)
    assert line.state == state
    assert seen in line.seen


@pytest.mark.parametrize(
    ("level", "therm", "state", "seen"),
    [
        (0, m.NO_WARNINGS, "ok", "nominal"),
        (0, NONE, "ok", "nominal"),
        (1, m.NO_WARNINGS, "warn", "moderate"),
        (2, m.NO_WARNINGS, "fail", "heavy"),
        (3, m.NO_WARNINGS, "fail", "trapping"),
        (4, m.NO_WARNINGS, "fail", "sleeping"),
        (0, m.INTEL_HOT, "warn", "limited to 62 % of its speed"),
        (NONE, m.INTEL_HOT, "warn", "limited to 62 % of its speed"),
        (0, "CPU_Speed_Limit = 100", "ok", "nominal"),
        # An empty report of pmset on Apple silicon proves nothing.
        (NONE, m.NO_WARNINGS, "unknown", "not known"),
        (77, m.NO_WARNINGS, "unknown", "not known: level 77"),
    ],
)
def test_the_heat_of_a_mac_fails_from_heavy_on(
    level: int | Unknown, therm: Answer, state: str, seen: str
) -> None:
    line = load.judge_macos_heat(level, therm)
    assert line.state == state
    assert seen in line.seen


TRIPS = (("passive", 95.0), ("critical", 105.0))


@pytest.mark.parametrize(
    ("zones", "state", "seen"),
    [
        ([Zone("cpu", 46.0, TRIPS), Zone("nvme", 39.0)], "ok", "hottest: cpu at 46 °C"),
        ([Zone("cpu", 96.0, TRIPS)], "warn", "cpu at 96 °C"),
        ([Zone("nvme", 39.0), Zone("cpu", 105.0, TRIPS)], "fail", "cpu at 105 °C"),
        ([Zone("cpu", 50.0, (("critical", -274.0),))], "ok", "cpu at 50 °C"),
        ([Zone("loose", -274.0)], "unknown", "not known"),
        ([], "unknown", "not known"),
    ],
)
def test_the_heat_of_linux_is_judged_by_its_trip_points(
    zones: list[Zone], state: str, seen: str
) -> None:
    line = load.judge_linux_heat(zones)
    assert line.state == state
    assert seen in line.seen


@pytest.mark.parametrize(
    ("busy", "average", "state"),
    [
        (0.03, 0.4, "ok"),
        (0.10, 4.0, "ok"),
        (0.11, 0.4, "warn"),
        (0.03, 4.1, "warn"),
        (NONE, 0.4, "ok"),
        (0.03, NONE, "ok"),
        (NONE, NONE, "unknown"),
    ],
)
def test_work_of_others_is_warned_about_now_and_over_the_last_minute(
    busy: float | Unknown, average: float | Unknown, state: str
) -> None:
    assert load.judge_load(load.Load(busy, average, 8, ())).state == state


def test_the_busiest_program_is_the_one_to_end() -> None:
    line = load.judge_load(load.Load(0.5, 4.2, 8, (("mds_stores", 2.04), ("backupd", 0.9))))
    assert line.seen == (
        "50 % of 8 cores busy; load average 4.2; "
        "busiest: mds_stores (2.0 cores), backupd (0.9 cores)"
    )
    assert line.next == "close mds_stores, then: speedtest doctor"


def test_only_names_of_programs_are_shown_and_only_three() -> None:
    used = [
        ("postgres: clara salaries", 0.5),
        ("/opt/x/Google Chrome Helper", 0.4),
        ("/opt/x/Google Chrome Helper", 0.4),
        ("ps", 0.9),
        ("ffmpeg", 0.2),
        ("idle", 0.01),
        ("rsync", 0.1),
    ]
    assert load.busiest(used) == (
        ("Google Chrome Helper", 0.8),
        ("postgres", 0.5),
        ("ffmpeg", 0.2),
    )
    assert load.busiest([("idle", 0.01)]) == ()


def test_lines_of_ps_are_percents_and_names() -> None:
    text = " 12.5 Google Chrome Helper (Renderer)\n  0,1 launchd\n%CPU COMM\n"
    assert load.parse_ps(text) == [("Google Chrome Helper (Renderer)", 0.125), ("launchd", 0.001)]
    assert load.parse_ps(NONE) == []


@pytest.mark.parametrize(
    ("text", "state"),
    [
        ("some avg10=0.12 avg60=3.00 avg300=9.00 total=5\n", "ok"),
        ("some avg10=23.01 avg60=3.00 avg300=9.00 total=5\n", "warn"),
        ("nonsense", "unknown"),
        (NONE, "unknown"),
    ],
)
def test_threads_that_wait_for_a_core_are_warned_about(text: Answer, state: str) -> None:
    assert load.judge_stalls(text).state == state
