"""Memory on NVIDIA GPUs, from a constructed driver."""

from __future__ import annotations

import os
import time

import pytest

from fakes.fake_nvml import FakeNvml, Process
from mac_whisper_speedtest.machine import gpu, reader
from mac_whisper_speedtest.machine.gpu import GpuMemory, Nvml, Peak
from mac_whisper_speedtest.machine.probe import Target
from mac_whisper_speedtest.machine.reader import Unknown, attempt

OWN = os.getpid()


def test_the_highest_of_a_span_is_kept_although_it_was_freed_again() -> None:
    fake = FakeNvml(processes=[[Process(OWN, 100), Process(1, 7000)]])
    probe = GpuMemory(Nvml(fake))
    probe.begin(Target(OWN))
    fake.processes = [[Process(OWN, 900), Process(1, 7000)]]
    time.sleep(8 * gpu.PERIOD_S)
    fake.processes = [[Process(OWN, 200), Process(1, 7000)]]
    found = probe.end(Target(OWN))
    assert found["gpu_peak_bytes"].value == 900
    assert found["gpu_peak_bytes"].quality == ""
    polls = found["gpu_polls"].value
    assert polls is not None
    assert polls >= 3


def test_slow_looks_are_taken_more_rarely() -> None:
    assert gpu.period_s(0.0001, cores=8) == gpu.PERIOD_S
    assert gpu.period_s(0.001, cores=2) == pytest.approx(0.2)


def test_the_span_before_has_no_say_in_the_next() -> None:
    fake = FakeNvml(processes=[[Process(OWN, 900)]])
    probe = GpuMemory(Nvml(fake))
    probe.begin(Target(OWN))
    probe.end(Target(OWN))
    fake.processes = [[Process(OWN, 100)]]
    probe.begin(Target(OWN))
    assert probe.end(Target(OWN))["gpu_peak_bytes"].value == 100


def test_a_driver_that_hides_processes_gives_the_rise_of_the_device() -> None:
    fake = FakeNvml(used=[1000], processes=[[Process(OWN, None)]])
    probe = GpuMemory(Nvml(fake))
    fake.used = [1500]
    probe.begin(Target(OWN))
    found = probe.end(Target(OWN))["gpu_peak_bytes"]
    assert (found.value, found.quality) == (500, "device total")


def test_a_worker_that_is_not_on_the_gpu_has_no_figure() -> None:
    probe = GpuMemory(Nvml(FakeNvml(used=[1000])))
    probe.begin(Target(OWN))
    found = probe.end(Target(OWN))["gpu_peak_bytes"]
    assert found.value is None
    assert "no process of the worker" in found.reason


def test_memory_on_all_gpus_is_added() -> None:
    fake = FakeNvml(energy=[0, 0], processes=[[Process(5, 10)], [Process(5, 20), Process(6, 1)]])
    assert Nvml(fake).used_by({5}) == 30
    assert Nvml(fake).used_by({9}) is None


def test_a_driver_that_fails_gives_a_reason() -> None:
    probe = GpuMemory(Nvml(FakeNvml(fails=("memory", "processes"))))
    probe.begin(Target(OWN))
    found = probe.end(Target(OWN))["gpu_peak_bytes"]
    assert found.value is None
    assert "Not Supported" in found.reason


def test_without_a_driver_there_is_a_reason_and_no_thread() -> None:
    probe = GpuMemory(Unknown("no NVIDIA driver is loaded"))
    probe.begin(Target(OWN))
    assert probe.end(Target(OWN))["gpu_peak_bytes"].reason == "no NVIDIA driver is loaded"


def test_before_it_was_asked_there_is_nothing() -> None:
    assert gpu.readings(Peak(), 0)["gpu_peak_bytes"].reason == "NVML was never polled"
    probe = GpuMemory(Nvml(FakeNvml()))
    assert probe.end(Target(OWN))["gpu_peak_bytes"].value is None


def test_reasons_for_low_clocks_are_named_once_and_idle_is_none() -> None:
    assert gpu.throttled([gpu.HW_THERMAL | 0x1, gpu.HW_THERMAL]) == ("thermal (hardware)",)
    assert gpu.throttled([0x1, 0x2]) == ()
    assert gpu.throttled([]) == ()


def test_older_drivers_are_asked_by_the_older_name() -> None:
    assert Nvml(FakeNvml(masks=[0x4], fails=("new masks",))).throttle_masks() == [0x4]
    found = attempt(Nvml(FakeNvml(fails=("masks", "new masks"))).throttle_masks)
    assert isinstance(found, Unknown)


def test_a_driver_that_never_answers_is_not_waited_for() -> None:
    began = time.monotonic()
    found = reader.within(0.1, lambda: time.sleep(2.0))
    assert isinstance(found, Unknown)
    assert found.reason == "no answer in 0.1 s"
    assert time.monotonic() - began < 1.0


def test_a_driver_that_cannot_be_opened_gives_its_own_words() -> None:
    found = reader.within(5.0, lambda: gpu._opened(FakeNvml(fails=("init",))))
    assert found == Unknown("NVMLError: Driver Not Loaded")


@pytest.mark.skipif(not isinstance(gpu.shared(), Unknown), reason="there is one here")
def test_this_machine_says_why_it_has_no_nvml() -> None:
    found = gpu.shared()
    assert isinstance(found, Unknown)
    assert "NVIDIA" in found.reason or "nvidia" in found.reason


def test_the_names_that_are_asked_for_exist_in_the_real_library() -> None:
    library = pytest.importorskip("pynvml")
    names = [name for name in dir(FakeNvml) if name.startswith("nvml")]
    assert len(names) == 9
    assert all(hasattr(library, name) for name in [*names, "NVMLError", "NVML_CLOCK_SM"])
