"""Memory on NVIDIA GPUs, from a constructed driver."""

from __future__ import annotations

import os
import time
from dataclasses import replace

import pytest

from fakes.fake_nvml import FakeNvml, Instance, Process, worker_on
from mac_whisper_speedtest.backends.cuda import UsedGpu
from mac_whisper_speedtest.machine import gpu, nvml, reader
from mac_whisper_speedtest.machine.gpu import GpuMemory, Peak
from mac_whisper_speedtest.machine.nvml import Gpu, Nvml
from mac_whisper_speedtest.machine.probe import Reading, Target
from mac_whisper_speedtest.machine.reader import Unknown, attempt
from mac_whisper_speedtest.results.schema import GpuInfo

OWN = os.getpid()
WORKER = Target(OWN, worker_on(0))


def metered(fake: FakeNvml, *, host_pids: bool = True) -> GpuMemory:
    return GpuMemory(Nvml(fake), host_pids=host_pids)


def peak_of(probe: GpuMemory, target: Target = WORKER) -> Reading:
    probe.begin(target)
    return probe.end(target)["gpu_peak_bytes"]


def test_the_highest_of_a_span_is_kept_although_it_was_freed_again() -> None:
    fake = FakeNvml(processes=[[Process(OWN, 100), Process(1, 7000)]])
    probe = metered(fake)
    probe.begin(WORKER)
    fake.processes = [[Process(OWN, 900), Process(1, 7000)]]
    time.sleep(8 * gpu.PERIOD_S)
    fake.processes = [[Process(OWN, 200), Process(1, 7000)]]
    found = probe.end(WORKER)
    assert found["gpu_peak_bytes"] == Reading(900, "bytes")
    polls = found["gpu_polls"].value
    assert polls is not None
    assert polls >= 3


def test_slow_looks_are_taken_more_rarely() -> None:
    assert gpu.period_s(0.0001, cores=8) == gpu.PERIOD_S
    assert gpu.period_s(0.001, cores=2) == pytest.approx(0.2)


def test_the_span_before_has_no_say_in_the_next() -> None:
    fake = FakeNvml(processes=[[Process(OWN, 900)]])
    probe = metered(fake)
    assert peak_of(probe).value == 900
    fake.processes = [[Process(OWN, 100)]]
    assert peak_of(probe).value == 100


def test_a_driver_that_hides_memory_by_process_gives_the_rise_of_the_device() -> None:
    fake = FakeNvml(used=[1000], processes=[[]])
    probe = metered(fake)
    fake.used, fake.processes = [1500], [[Process(OWN, None)]]
    assert peak_of(probe) == Reading(500, "bytes", quality="device total")


def test_the_rise_of_the_device_is_refused_where_others_use_it_too() -> None:
    fake = FakeNvml(used=[1000])
    probe = metered(fake)
    fake.used, fake.processes = [1500], [[Process(OWN, None), Process(1, None)]]
    found = peak_of(probe)
    assert found.value is None
    assert "others use the GPU too" in found.reason


@pytest.mark.parametrize(
    ("before", "during", "value"),
    [
        ([], [Process(70_001, 400)], 500),  # the worker, under its number on the host
        ([], [Process(OWN, 7000)], 500),  # another's number is that of the worker by coincidence
        ([], [], 500),  # WSL2 lists none
        ([Process(70_000, 100)], [Process(70_000, 100), Process(70_001, 400)], None),
        ([], [Process(70_001, 100), Process(70_002, 400)], None),
    ],
)
def test_in_a_container_no_process_is_recognized_by_its_number(
    before: list[Process], during: list[Process], value: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu, "_tree", lambda pid: frozenset({pid}))
    fake = FakeNvml(used=[1000], processes=[before])
    probe = metered(fake, host_pids=False)
    fake.used, fake.processes = [1500], [during]
    found = peak_of(probe)
    assert (found.value, found.quality) == (value, "device total" if value else "")


def test_only_the_worker_s_gpu_is_looked_at() -> None:
    both = [[Process(OWN, 10)], [Process(OWN, 20), Process(1, 3 << 30)]]
    fake = FakeNvml(energy=[0, 0], used=[0, 0], processes=both)
    assert peak_of(metered(fake), Target(OWN, worker_on(1))).value == 20
    hidden = FakeNvml(energy=[0, 0], used=[5, 5], processes=[[], []])
    probe = metered(hidden)
    hidden.used = [3 << 30, 9]
    assert peak_of(probe, Target(OWN, worker_on(1))).value == 4


def test_of_a_mig_instance_its_own_memory_is_read() -> None:
    instances = [Instance(used=100), Instance(used=7, processes=[Process(OWN, 5)])]
    fake = FakeNvml(used=[40 << 30], instances={0: instances})
    probe = metered(fake)
    assert peak_of(probe, Target(OWN, worker_on(0, 1))).value == 5
    instances[0].used = 350
    assert peak_of(probe, Target(OWN, worker_on(0, 0))).value == 250


def test_a_worker_that_is_not_on_the_gpu_has_no_figure() -> None:
    assert "no process of the worker" in peak_of(metered(FakeNvml(used=[1000]))).reason
    assert peak_of(metered(FakeNvml()), Target(OWN)).reason == ("the worker names no NVIDIA GPU")


def test_a_driver_that_fails_gives_a_reason() -> None:
    found = peak_of(metered(FakeNvml(fails=("used", "processes"))))
    assert found.value is None
    assert "Not Supported" in found.reason


def test_without_a_driver_there_is_a_reason_and_no_thread() -> None:
    found = peak_of(GpuMemory(Unknown("no driver")))
    assert (found.value, found.reason) == (None, "no driver")


def test_before_it_was_asked_there_is_nothing() -> None:
    assert gpu.readings(Peak(), 0)["gpu_peak_bytes"].reason == "NVML was never polled"
    assert metered(FakeNvml()).end(WORKER)["gpu_peak_bytes"].value is None


def test_process_ids_are_the_machine_s_outside_of_containers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for target, here in (("pid:[4026531836]", True), ("pid:[4026532448]", False)):
        monkeypatch.setattr(os, "readlink", lambda _path, target=target: target)
        assert gpu.sees_host_pids() is here


# --- NVML itself --------------------------------------------------------------------------------


def test_a_worker_s_gpu_is_found_by_its_uuid_whatever_it_may_see() -> None:
    library = Nvml(FakeNvml(energy=[0, 0, 0]))
    assert [each.name for each in library.gpus] == ["gpu0", "gpu1", "gpu2"]
    assert library.watched() == library.gpus, "until a worker names one"
    found = library.gpu_of(replace(worker_on(2), pci=""))
    assert isinstance(found, Gpu)
    assert found.name == "gpu2"
    assert library.watched() == (found,)


def test_a_gpu_is_found_by_its_address_where_its_uuid_is_not_known() -> None:
    library = Nvml(FakeNvml(energy=[0, 0]))
    for pci in ("0000:42:00.0", "00000000:42:00.0"):
        found = library.gpu_of(UsedGpu(pci=pci))
        assert isinstance(found, Gpu)
        assert found.name == "gpu1"
    assert isinstance(library.gpu_of(UsedGpu(pci="0000:43:00.0")), Unknown)
    assert isinstance(library.gpu_of(UsedGpu()), Unknown)
    divided = Nvml(FakeNvml(instances={0: [Instance()]}))
    assert isinstance(divided.gpu_of(UsedGpu(pci="0000:41:00.0")), Unknown), "only a part of it"


def test_a_card_that_is_divided_is_its_instances() -> None:
    library = Nvml(FakeNvml(energy=[9, 9], used=[0, 0], instances={1: [Instance(), Instance()]}))
    assert [each.name for each in library.gpus] == ["gpu0", "gpu1mig0", "gpu1mig1"]
    whole, part, _ = library.infos()
    assert whole == GpuInfo(
        name="NVIDIA A100 80GB PCIe", memory_bytes=80 << 30, capability="8.0", power_limit_w=300.0
    )
    assert part.name == "NVIDIA A100 80GB PCIe MIG 1g.10gb"
    assert library.versions() == ("570.86.15", "12.8")
    assert library.energy_mj(library.gpus[0]) == 9
    found = attempt(lambda: library.energy_mj(library.gpus[1]))
    assert isinstance(found, Unknown)
    assert "whole card" in found.reason


def test_a_gpu_that_fell_off_the_bus_takes_no_other_with_it() -> None:
    library = Nvml(FakeNvml(energy=[1, 2], fails=("handle 0",)))
    assert [each.name for each in library.gpus] == ["gpu1"]


def test_a_gpu_that_supports_less_costs_only_its_own_figures() -> None:
    fake = FakeNvml(
        energy=[0, 0],
        used=[0, 0],
        masks=[0x4, 0x20],
        clocks=[100, 1980],
        fails=("clocks 0", "power 0"),
    )
    library = Nvml(fake)
    assert library.sm_clocks_mhz() == (1980,)
    assert [each.power_limit_w for each in library.infos()] == [None, 300.0]
    assert library.throttled() == ("gpu0 power cap", "gpu1 thermal (driver)")
    library.gpu_of(worker_on(1))
    assert library.throttled() == ("gpu1 thermal (driver)",)


def test_reasons_for_low_clocks_are_named_once_and_idle_is_none() -> None:
    assert nvml.throttle_words(nvml.HW_THERMAL | 0x1) == ("thermal (hardware)",)
    assert nvml.throttle_words(0x1 | 0x2) == ()


def test_older_drivers_are_asked_by_the_older_name() -> None:
    assert Nvml(FakeNvml(masks=[0x4], fails=("new masks",))).throttled() == ("power cap",)
    found = attempt(Nvml(FakeNvml(fails=("masks", "new masks"))).throttled)
    assert isinstance(found, Unknown)


def test_what_a_worker_says_of_its_gpu_is_recorded_where_nvml_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    used = replace(worker_on(0), memory_bytes=1 << 30, capability="8.0")
    monkeypatch.setattr(nvml, "shared", lambda: Unknown("no driver"))
    assert nvml.describe_used(None) is None
    assert nvml.describe_used(used) == GpuInfo(
        name=used.name, memory_bytes=1 << 30, capability="8.0", power_limit_w=None
    )
    monkeypatch.setattr(nvml, "shared", lambda: Nvml(FakeNvml()))
    found = nvml.describe_used(used)
    assert found is not None
    assert found.memory_bytes == 80 << 30


def test_a_driver_that_never_answers_is_not_waited_for() -> None:
    began = time.monotonic()
    found = reader.within(0.1, lambda: time.sleep(2.0))
    assert isinstance(found, Unknown)
    assert found.reason == "no answer in 0.1 s"
    assert time.monotonic() - began < 1.0


def test_a_driver_that_cannot_be_opened_gives_its_own_words() -> None:
    found = reader.within(5.0, lambda: nvml._opened(FakeNvml(fails=("init",))))
    assert found == Unknown("no NVIDIA driver answers (Driver Not Loaded)")


@pytest.mark.skipif(not isinstance(nvml.shared(), Unknown), reason="there is one here")
def test_this_machine_says_why_it_has_no_nvml() -> None:
    found = nvml.shared()
    assert isinstance(found, Unknown)
    assert any(word in found.reason for word in ("NVML", "NVIDIA", "nvidia-ml-py"))


def test_the_names_that_are_asked_for_exist_in_the_real_library() -> None:
    library = pytest.importorskip("pynvml")
    names = [name for name in dir(FakeNvml) if name.startswith("nvml")]
    assert all(hasattr(library, name) for name in [*names, "NVMLError", "NVML_CLOCK_SM"])
