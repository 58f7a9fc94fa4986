"""Planted failures of memory, energy, the host and backends are read as FAIL at their lines."""

from __future__ import annotations

import pytest

from fakes.kits import states
from mac_whisper_speedtest.machine.reader import Unknown
from mac_whisper_speedtest.selfcheck.bench import Figures, failed, measurement
from mac_whisper_speedtest.selfcheck.kit import Measurement

GIB = 2.0**30


def memory(library: str, device: str, system: str, **rises: float) -> Measurement:
    figures: Figures = {"device": device, "system": system}
    for name, rise in rises.items():
        counted_from_zero = name == "allocator"
        values = {f"{name}_bytes": rise * GIB} if counted_from_zero else {
            f"before_{name}_bytes": 0.1 * GIB, f"after_{name}_bytes": (0.1 + rise) * GIB,
        }  # fmt: skip
        figures |= values
    return measurement("memory", figures, subject=library, gpu=library != "numpy")


@pytest.mark.parametrize(
    ("found", "state"),
    [
        (memory("numpy", "cpu", "linux", rss=1.0, guard=1.01), "ok"),
        (memory("numpy", "cpu", "linux", rss=1.0, guard=0.0), "fail"),
        (memory("numpy", "cpu", "macos", rss=1.0, footprint=1.0, guard=1.0), "ok"),
        # Metal's buffers are in no resident memory: a limit that looks there guards nothing.
        (memory("mlx", "gpu", "macos", rss=0.0, footprint=1.0, guard=0.0, allocator=1.0), "fail"),
        (memory("mlx", "gpu", "macos", rss=0.0, footprint=1.0, guard=1.0, allocator=1.0), "ok"),
        (memory("torch", "cuda", "linux", rss=0.1, guard=0.1, allocator=1.0, gpu_peak=1.05), "ok"),
        # Another program's three gibibytes taken for the worker's.
        (memory("torch", "cuda", "linux", guard=0.1, allocator=1.0, gpu_peak=4.0), "fail"),
        (memory("torch", "cuda", "linux", guard=0.1, allocator=1.0), "fail"),
        (memory("torch", "cpu", "linux", rss=1.0, guard=1.0), "unknown"),
    ],
)
def test_a_gibibyte(found: Measurement, state: str) -> None:
    assert list(states(found).values()) == [state]


def test_a_library_that_sees_no_gpu_fails_where_one_was_asked_for() -> None:
    found = memory("mlx", "cpu", "macos", footprint=1.0, guard=1.0, allocator=1.0)
    assert states(found) == {"memory: mlx": "unknown"}
    assert states(found, gpu=True) == {"memory: mlx": "fail"}
    assert states(failed("memory", "crashed with SIGABRT", subject="mlx")) == {
        "memory: mlx": "fail"
    }


QUIET: Figures = {"load_average": 0.3, "cores": 8}


@pytest.mark.parametrize(
    ("check", "figures", "state"),
    [
        ("energy", {"idle cpu": 0.4, "work cpu": 21.0, "idle dram": 0.1, "work dram": 0.1}, "ok"),
        ("energy", {"idle cpu": 0.4, "work cpu": 0.4}, "fail"),
        ("energy", {"idle cpu": 20.0, "work cpu": 20.1, "load_average": 9}, "unknown"),
        ("energy", {"idle gpu0": 20.0, "work gpu0": 60.0}, "unknown"),
        ("energy gpu", {"idle cpu": 1.0, "work cpu": 9.0, "idle gpu": 0.0, "work gpu": 7.0}, "ok"),
        ("energy gpu", {"idle gpu0": 70.0, "work gpu0": 71.0}, "fail"),
        # The worker named the second of two.
        ("energy gpu", {"idle gpu0": 70.0, "idle gpu1": 70.0, "work gpu1": 300.0}, "ok"),
        ("energy gpu", {"idle gpu0": 70.0, "work": Unknown("the driver hangs")}, "unknown"),
        ("energy gpu", {}, "unknown"),
    ],
)
def test_energy(check: str, figures: Figures, state: str) -> None:
    assert list(states(measurement(check, {**QUIET, **figures})).values()) == [state]


ASSERTIONS = """Assertion status system-wide:
   PreventUserIdleSystemSleep     1
Listed by owning process:
   pid 733(caffeinate): [0x00000a1b00018e2d] 00:00:00 PreventUserIdleSystemSleep named: "caffeinate"
\tDetails: caffeinate asserting on behalf of Process ID 730
"""


@pytest.mark.parametrize(
    ("check", "figures", "expected"),
    [
        ("durability", {"fsync_s": 0.001, "sync_s": 0.02, "full": 1}, ["ok"]),
        ("durability", {"fsync_s": 0.001, "sync_s": 0.9, "full": 1}, ["unknown"]),
        ("clock", {"step_s": 4.2e-8}, ["ok"]),
        ("clock", {"step_s": 0.01}, ["fail"]),
        ("cost", {"conditions": 0.06, "tree": 0.02, "kill": 0.1}, ["ok", "ok", "ok"]),
        ("cost", {"conditions": 0.06, "tree": 0.5, "kill": 0.1}, ["ok", "fail", "ok"]),
        ("cost", {"conditions": 9.0, "tree": 0.01, "kill": 0.1, "load_average": 80},
         ["unknown", "ok", "ok"]),
        ("awake", {"assertions": ASSERTIONS}, ["ok"]),
        ("awake", {"assertions": "   PreventUserIdleSystemSleep     0\n"}, ["fail"]),
    ],
)  # fmt: skip
def test_the_host(check: str, figures: Figures, expected: list[str]) -> None:
    assert list(states(measurement(check, {**QUIET, **figures})).values()) == expected


CELL: Figures = {
    "status": "ok",
    "message": "",
    "asked": "cpu",
    "device": "cpu",
    "precision": "int8",
    "text": "The birch canoe slid on the smooth planks.",
    "reference": "The birch canoe slid on the smooth planks.",
    "warmups_s": [2.0],
    "calls_s": [1.02, 1.0, 1.01, 0.99, 1.0, 1.0],
    "calls_wall_s": [1.021, 1.001, 1.011, 0.991, 1.001, 1.001],
    "outside_s": [0.02, 0.0, 0.01, 0.0, 0.0, 0.01],
    "busy_after_s": 0.0,
}
SLOW_START = [3.0, 2.0, 1.5, 1.0, 1.0, 1.0, 1.0, 1.0]


@pytest.mark.parametrize(
    ("changed", "wrong"),
    [
        ({}, {}),
        ({"asked": "metal", "device": "metal", "cpu_text": CELL["text"]}, {}),
        ({"asked": "metal", "device": "cpu"}, {"device": "fail"}),
        ({"asked": "cpu", "device": "blas"}, {"device": "fail"}),
        ({"text": "Thank you for watching."}, {"text": "fail"}),
        ({"asked": "mps", "device": "mps", "text": "! ! ! !", "cpu_text": CELL["text"]},
         {"text": "fail"}),
        ({"busy_after_s": 0.5}, {"idle after": "fail"}),
        ({"busy_after_s": None}, {"idle after": "unknown"}),
        ({"calls_s": SLOW_START, "calls_wall_s": SLOW_START}, {"steady": "fail"}),
        ({"calls_s": SLOW_START, "calls_wall_s": SLOW_START, "outside_s": [1.0] * 8},
         {"steady": "unknown"}),
        ({"calls_s": [1.0], "calls_wall_s": [1.0]}, {"steady": "unknown"}),
        ({"calls_wall_s": [1.2, 1.2, 1.2, 1.2, 1.2, 1.2]}, {"overhead": "fail"}),
        ({"calls_wall_s": [1.2, 1.2, 1.2, 1.2, 1.2, 1.2], "outside_s": [0.9] * 6},
         {"overhead": "unknown"}),
    ],
)  # fmt: skip
def test_a_backend_on_a_device(changed: Figures, wrong: dict[str, str]) -> None:
    name = "whisper.cpp on it"
    found = states(measurement("backend", {**CELL, **changed}, subject=name))
    assert found.pop(name) == "ok"  # for what else is right
    assert found == {f"{name}: {aspect}": state for aspect, state in wrong.items()}


def metered(domain: str, idle_w: float, work_w: float) -> Figures:
    return {
        f"metered energy_{domain}_j": 12 * work_w,
        "metered energy_wall_s": 12.0,
        f"metered idle_energy_{domain}_j": 3 * idle_w,
        "metered idle_energy_wall_s": 3.0,
    }


@pytest.mark.parametrize(
    ("asked", "figures", "state"),
    [
        ("metal", metered("gpu", 0.05, 9.0), "ok"),
        # Reported as metal, and computed on the CPU.
        ("metal", metered("gpu", 0.05, 0.05), "fail"),
        ("metal", metered("cpu", 1.0, 9.0), "unknown"),
        ("ane", metered("ane", 0.0, 2.0), "ok"),
        ("cuda", {"metered gpu_peak_bytes": 3e8}, "ok"),
        ("cuda", metered("gpu0", 70.0, 71.0), "fail"),
        ("cuda", {**metered("gpu0", 70.0, 71.0), "load_average": 40}, "unknown"),
        ("cuda", {}, "unknown"),
    ],
)
def test_a_gpu_at_work(asked: str, figures: Figures, state: str) -> None:
    cell = {**CELL, **QUIET, "asked": asked, "device": asked, **figures}
    found = states(measurement("backend", cell, subject="a", gpu=True))
    assert found.pop("a") == "ok"
    assert found == ({} if state == "ok" else {"a: at work": state})


def test_a_backend_that_fails() -> None:
    name = "openai-whisper on mps"
    figures: Figures = {"status": "crashed", "message": "crashed with SIGSEGV during load"}
    assert states(measurement("backend", figures, subject=name)) == {name: "fail"}


@pytest.mark.parametrize(
    ("limit_s", "load", "state"), [(90, 0.5, "fail"), (31, 0.5, "unknown"), (90, 30, "unknown")]
)
def test_a_backend_without_an_answer(limit_s: float, load: float, state: str) -> None:
    figures: Figures = {"status": "timeout", "message": "no answer", "limit_s": limit_s}
    found = measurement("backend", {**QUIET, **figures, "load_average": load}, subject="a on cpu")
    assert states(found) == {"a on cpu": state}
