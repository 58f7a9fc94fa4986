"""Planted failures are read as FAIL at their lines, and load and absence as NOT KNOWN."""

from __future__ import annotations

import pytest

from fakes.kits import states
from mac_whisper_speedtest.selfcheck.bench import Figures, measurement, not_measured

WORKER: Figures = {
    "burned_s": [2.0, 2.0, 2.0],
    "cpu_s": [2.01, 2.0, 1.99],
    "wall_s": [2.0, 2.1, 2.0],
    "outside_share": [0.05, 0.02, 0.07],
    "quiet_before": [0.02, 0.03],
    "quiet_after": [0.04, 0.02],
}


@pytest.mark.parametrize(
    ("changed", "own", "others"),
    [
        ({}, "ok", "ok"),
        # Apple's clock ticks 125 for every 3 nanoseconds: what a forgotten conversion looks like.
        ({"cpu_s": [0.048, 0.048, 0.048], "outside_share": [0.98, 1.0, 0.99]}, "fail", "fail"),
        ({"cpu_s": [2.01, 2.0, 2.2]}, "fail", "ok"),
        # Once is chance.
        ({"outside_share": [0.05, 1.4, 0.07]}, "ok", "ok"),
        # Somebody computes all the time.
        ({"outside_share": [1.0, 1.0, 0.9], "quiet_before": [0.9, 1.0]}, "ok", "unknown"),
        ({"outside_share": [1.0, 1.0, 0.9], "quiet_before": [0.9, 1.0], "quiet_after": [1.0]},
         "ok", "ok"),
    ],
)  # fmt: skip
def test_a_workers_time(changed: Figures, own: str, others: str) -> None:
    found = states(measurement("processor worker", {**WORKER, **changed}))
    assert found == {"a worker's work": own, "not that of others": others}


STRANGER: Figures = {
    "stranger_s": [2.0, 2.0],
    "outside_cpu_s": [2.05, 2.1],
    "wall_s": [2.1, 2.1],
    "cpu_resolution_s": [0.03, 0.03],
    "quiet_before": [0.02],
    "quiet_after": [0.03],
}


@pytest.mark.parametrize(
    ("changed", "state"),
    [
        ({}, "ok"),
        ({"outside_cpu_s": [0.0, 0.05]}, "fail"),
        ({"outside_cpu_s": [0.0, 0.05], "quiet_before": [1.9]}, "fail"),
        ({"outside_cpu_s": [4.0, 4.1]}, "fail"),
        ({"outside_cpu_s": [4.0, 4.1], "quiet_after": [0.9]}, "unknown"),
    ],
)
def test_another_programs_time(changed: Figures, state: str) -> None:
    found = states(measurement("processor stranger", {**STRANGER, **changed}))
    assert found == {"another program": state}


@pytest.mark.parametrize(
    ("shares", "load", "state"),
    [
        ([0.05] * 9 + [1.5], 0.1, "ok"),
        ([0.3] * 10, 0.2, "fail"),
        ([0.3] * 10, 6.0, "unknown"),
        ([1.0] * 10, 0.2, "unknown"),
    ],
)
def test_an_idle_machine(shares: list[float], load: float, state: str) -> None:
    figures: Figures = {
        "outside_share": shares,
        "limit_cores": 0.2,
        "load_average": load,
        "cores": 8,
    }
    assert states(measurement("processor idle", figures)) == {"an idle machine": state}


@pytest.mark.parametrize(
    ("how", "figures", "state"),
    [
        ("SIGSEGV", {"status": "crashed", "class": "SIGSEGV"}, "ok"),
        ("SIGSEGV", {"status": "protocol_violation", "class": "ProtocolViolation"}, "fail"),
        ("memory", {"status": "crashed", "class": "SIGKILL"}, "fail"),
        ("killed", {"left": 1}, "fail"),
        ("killed", {"marked": 1}, "fail"),
        ("killed", {"started": 0}, "fail"),
        ("killed", {}, "ok"),
    ],
)
def test_endings(how: str, figures: Figures, state: str) -> None:
    known: Figures = {"started": 2, "left": 0, "marked": 0}
    found = states(measurement("ending", {**known, **figures}, subject=how))
    assert found == {f"ending: {how}": state}


MAC: Figures = {
    "os": "Darwin",
    "mac_ver": "26.1",
    "product_version": "26.1",
    "architecture": "arm64",
    "translated": "0",
    "cpu": "Apple M5 Max",
    "hardware_model": "Mac17,6",
    "core_kinds Super": 6,
    "core_kinds Performance": 12,
    "physical_cores": 18,
    "logical_cores": 18,
    "memory_bytes": 64 * 2**30,
}


def test_a_mac_whose_python_gives_it_another_version() -> None:
    assert states(measurement("identity", MAC)) == {"chip": "ok", "version of macOS": "ok"}
    old = states(measurement("identity", {**MAC, "mac_ver": "16.0", "translated": "1"}))
    assert old == {"chip": "ok", "rosetta": "fail", "version of macOS": "fail"}


def test_a_gpu_that_cannot_be_used_fails_only_where_it_was_asked_for() -> None:
    found = measurement("identity gpu", {"lines": "none", "kinds": ""}, gpu=True)
    assert states(found) == {"gpu": "unknown"}
    assert states(found, gpu=True) == {"gpu": "fail"}
    assert states(not_measured("identity gpu", "why", gpu=True), gpu=True) == {
        "identity gpu": "fail"
    }
    used = measurement("identity gpu", {"lines": "NVIDIA H200", "kinds": "cuda"}, gpu=True)
    assert states(used, gpu=True) == {"gpu": "ok"}
