"""The checks on the machine that the tests run on."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from mac_whisper_speedtest import paths
from mac_whisper_speedtest.backends import backend as backend_module
from mac_whisper_speedtest.backends import registry
from mac_whisper_speedtest.backends.backend import Backend
from mac_whisper_speedtest.doctor.lines import Readiness
from mac_whisper_speedtest.machine.reader import Answer, Reader, Unknown
from mac_whisper_speedtest.results import directory
from mac_whisper_speedtest.results.schema import GpuInfo, MachineInfo
from mac_whisper_speedtest.selfcheck import (
    backends,
    checks,
    endings,
    host,
    identity,
    memory,
    processor,
)
from mac_whisper_speedtest.selfcheck.backends import BackendTarget
from mac_whisper_speedtest.selfcheck.bench import Workbench, measurement
from mac_whisper_speedtest.selfcheck.checks import Check
from mac_whisper_speedtest.selfcheck.kit import Measurement


@pytest.fixture
def bench(tmp_path: Path) -> Workbench:
    return Workbench(tmp_path)


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Less work than the command does."""
    monkeypatch.setattr(processor, "WORK_S", 0.4)
    monkeypatch.setattr(processor, "REPEATS", 1)


def test_every_ending_is_recognized_and_nothing_is_left(bench: Workbench) -> None:
    found = endings.measure(bench)
    assert {each.subject for each in found} == set(endings.ENDINGS)
    gpu = found.pop()
    assert sys.platform == "darwin" or "only a Mac" in gpu.reason
    for each in found:
        assert [line.state for line in endings.judge(each)] == [Readiness.OK], each


def test_a_workers_time_is_counted_as_its_own(bench: Workbench) -> None:
    line, _ = processor.judge_worker(processor.measure_worker(bench))
    assert line.state is Readiness.OK, line


def test_a_gibibyte_of_numpy_shows(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "IMPORTERS", {})
    (found,) = memory.measure(bench)
    (line,) = memory.judge(found)
    assert line.state in {Readiness.OK, Readiness.UNKNOWN}, line
    assert found.reason or found.number("after_guard_bytes") > memory.SIZE


def test_the_host_is_measured(bench: Workbench) -> None:
    for found, judge in (
        (host.measure_durability(bench), host.judge_durability),
        (host.measure_clock(bench), host.judge_clock),
        (host.measure_cost(bench), host.judge_cost),
    ):
        assert found.values
        assert not [line for line in judge(found) if line.state is Readiness.FAIL]
    assert not list(paths.data_dir().glob(".selfcheck*"))


def test_a_backend_is_run_in_a_folder_of_its_own(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backends, "CALLS", 2)
    target = BackendTarget(registry.installed()["faster-whisper"], "cpu")
    before = directory.every()
    found = target.measure(bench)
    if found.reason:
        pytest.skip(found.reason)
    assert (found.text("device"), found.text("asked")) == ("cpu", "cpu")
    assert len(found.series("calls_s")) == len(found.series("calls_wall_s")) == 2
    assert bench.heard == {"faster-whisper": found.text("text")}
    lines = {line.topic: line for line in backends.judge(found)}
    assert lines["faster-whisper on cpu"].state is Readiness.OK
    assert not [line for line in lines.values() if line.state is Readiness.FAIL], lines
    assert directory.every() == before


def test_this_machine_is_described(bench: Workbench) -> None:
    found, gpu, *wheels = identity.measure(bench)
    assert [line.state for each in wheels for line in identity.judge_wheels(each)] == ["ok"] * len(
        wheels
    )
    assert found.number("logical_cores") >= 1
    assert gpu.gpu
    assert "kinds" in gpu.texts


def test_a_machine_with_gpus_is_described() -> None:
    card = GpuInfo(name="NVIDIA H200", memory_bytes=1 << 37, capability="9.0", power_limit_w=700.0)
    machine = MachineInfo(
        os="Linux",
        os_version="6.8.0-annas-box",
        architecture="x86_64",
        python="3.12.1",
        cpu=None,
        physical_cores=64,
        logical_cores=128,
        memory_bytes=1 << 40,
        gpus=["NVIDIA H200"],
        nvidia=[card],
        core_kinds={"Super": 6},
        load_average_1m=0.1,
        unknown={"cpu": "not named"},
    )
    found = measurement("identity", identity.described(machine))
    assert found.text("os_version") == "6.8.0"
    assert found.text("nvidia 0 capability") == "9.0"
    assert found.number("nvidia 0 power_limit_w") == 700
    assert found.number("core_kinds Super") == 6
    assert found.unknown == {"cpu": "not named"}


NVIDIA_SMI = """\
==============NVSMI LOG==============
Driver Version                            : 580.82.07
CUDA Version                              : 13.0
GPU 00000000:0F:00.0
    Product Name                          : NVIDIA H200
    Serial Number                         : 1652823054321
    GPU UUID                              : GPU-8c5f2a77-31d0-1f6a-9b1e-0c4a1f2e3d4c
    GPU PDI                               : 0x5b3f0c9d2a817e46
    MIG Mode
        Current                           : Enabled
    Processes
        GPU instance ID                   : N/A
        Process ID                        : 4021
            Name                          : /home/anna/thesis/train.py
            Used GPU Memory               : 1024 MiB
"""


def test_what_names_a_card_or_its_users_stays_out(bench: Workbench) -> None:
    class Nvidia(Reader):
        def run(self, argv: Sequence[str], **_: object) -> Answer:
            return NVIDIA_SMI if argv[0] == "nvidia-smi" else Unknown("not here")

    bench.reader = Nvidia(platform="linux")
    identity.collect_raw(bench)
    text = bench.raw["nvidia-smi"]
    assert "580.82.07" in text
    assert "Enabled" in text
    for secret in ("1652823054321", "8c5f2a77", "0x5b3f0c9d2a817e46", "anna"):
        assert secret not in text


@pytest.fixture
def without_backends(monkeypatch: pytest.MonkeyPatch) -> None:
    """No backend is installed."""
    monkeypatch.setattr(backends, "targets", lambda **_: iter(()))


@pytest.mark.usefixtures("without_backends")
def test_an_interrupt_keeps_what_was_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_bench: Workbench) -> Measurement:
        raise KeyboardInterrupt

    later = Check("processor idle", "processor", "?", interrupted, processor.judge_idle)
    first, *_ = checks.CHECKS
    monkeypatch.setattr(checks, "CHECKS", (first, later))
    kit = checks.perform(lambda _: None)
    assert kit.interrupted
    assert [each.check for each in kit.measurements][:2] == ["identity", "identity gpu"]
    assert "processor idle" not in {each.check for each in kit.measurements}
    lines = {line.topic: line.seen for line in checks.judged(kit).lines}
    assert lines["processor idle"] == "interrupted"


def test_what_the_time_does_not_allow_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "LIMIT_S", -1.0)
    kit = checks.perform(lambda _: None)
    assert {line.state for line in checks.judged(kit).lines} == {Readiness.UNKNOWN}


@pytest.mark.usefixtures("without_backends")
def test_an_error_costs_its_check_only(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_bench: Workbench) -> Measurement:
        raise RuntimeError("no such counter")

    check = Check("processor idle", "processor", "?", broken, processor.judge_idle)
    monkeypatch.setattr(checks, "CHECKS", (check,))
    kit = checks.perform(lambda _: None)
    (line, *_) = checks.judged(kit).lines
    assert line.state is Readiness.FAIL
    assert line.seen == "an error of this program: RuntimeError: no such counter"


@pytest.mark.parametrize(
    ("macos", "gpus", "devices", "expected"),
    [
        (False, set(), ("cpu", "cuda", "mps"), ["cpu"]),
        (False, {"cuda"}, ("cpu", "cuda", "mps"), ["cpu", "cuda"]),
        (False, {"cuda"}, ("cpu",), ["cpu"]),
        (True, {"metal"}, ("cpu", "cuda", "mps"), ["cpu", "mps"]),
        (True, {"metal"}, ("cpu", "metal", "cuda"), ["cpu", "metal"]),
        (True, {"metal"}, ("ane", "gpu", "cpu"), ["cpu", "gpu", "ane"]),
        (True, {"metal"}, ("coreml",), ["coreml"]),
        (True, set(), (), ["auto"]),
    ],
)
def test_each_backend_runs_on_what_the_machine_has(
    monkeypatch: pytest.MonkeyPatch,
    macos: bool,
    gpus: set[str],
    devices: tuple[str, ...],
    expected: list[str],
) -> None:
    monkeypatch.setattr(backend_module, "is_macos", lambda: macos)
    only = Backend("a", adapter="a:A", devices=devices)
    monkeypatch.setattr(registry, "installed", lambda: {"a": only})
    found = list(backends.targets(macos=macos, gpus=frozenset(gpus)))
    assert [each.device for each in found] == expected
    assert [each.gpu for each in found] == [each not in {"cpu", "auto"} for each in expected]
