"""A run on CUDA: a real worker asks a driver which GPU it is on, and that one alone is metered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest

from conftest import Call
from fakes.cuda_driver import DRIVER, V100, compiled, needs_compiler
from fakes.fake_nvml import FakeNvml, Handle, Memory
from mac_whisper_speedtest.machine import nvml
from mac_whisper_speedtest.machine.nvml import Nvml
from mac_whisper_speedtest.results import comparable
from mac_whisper_speedtest.results.schema import MachineInfo

pytestmark = needs_compiler


@dataclass
class TwoCards(FakeNvml):
    """The second is the worker's, and holds more at every look; the first is busy with others."""

    energy: list[int] = field(default_factory=lambda: [0, 0])
    used: list[int] = field(default_factory=lambda: [70 << 30, 1 << 20])
    processes: list[list[object]] = field(default_factory=lambda: [[], []])  # type: ignore[assignment]
    masks: list[int] = field(default_factory=lambda: [nvml.HW_THERMAL, 0])
    clocks: list[int] = field(default_factory=lambda: [300, 1380])

    def nvmlDeviceGetUUID(self, gpu: Handle) -> str:  # noqa: N802 - the library's
        return f"GPU-{V100.uuid}" if gpu == (1,) else "GPU-00000000-0000-0000-0000-000000000000"

    def nvmlDeviceGetName(self, gpu: Handle) -> str:  # noqa: N802
        return V100.name if gpu == (1,) else "Tesla P100-PCIE-16GB"

    def nvmlDeviceGetMemoryInfo(self, gpu: Handle) -> Memory:  # noqa: N802
        self.used[gpu[0]] += 1 << 20
        return Memory(self.used[gpu[0]], total=16 << 30)


def test_only_the_gpu_that_the_worker_is_on_is_recorded_and_metered(
    tmp_path: Path,
    tone: Path,
    fake: Callable[..., Path],
    speedtest: Call,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compiled(tmp_path / "libcuda.so.1", DRIVER, FAILS="0", UUID_NAME="cuDeviceGetUuid_v2")
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
    monkeypatch.setenv("SPEEDTEST_DATA_DIR", str(tmp_path / "data"))
    library = Nvml(TwoCards())
    monkeypatch.setattr(nvml, "shared", lambda: library)
    sound = fake("sound", adapter="pitfalls:Sound")
    done = speedtest(
        *["run", "-m", "tiny.en", "--audio", tone, "-b", sound, "--device", "cuda"],
        *["--precision", "float16", "--rounds", 2, "--passes", 1, "--json"],
    )
    assert done.code == 0, done.err
    machine, (cell,) = done.json["manifest"]["machine"], done.json["cells"]
    assert machine["gpus"] == ["Tesla P100-PCIE-16GB", V100.name]
    assert (machine["nvidia_driver"], machine["cuda"]) == ("570.86.15", "12.8")
    assert {load["gpu"]["name"] for load in cell["loads"]} == {V100.name}
    hardware = comparable.hardware_class(msgspec.convert(machine, MachineInfo))
    # Memory as the driver counts it, and what makes two cards of one name differ.
    assert hardware.endswith("Tesla P100-PCIE-16GB 16 GiB 300 W, Tesla V100-SXM2-16GB 16 GiB 300 W")
    page = tmp_path / "report.html"
    assert speedtest("report", "latest", "-o", page).code == 0
    text = page.read_text(encoding="utf-8")
    assert "cuda on Tesla V100-SXM2-16GB 16 GiB 300 W" in text
    assert "driver 570.86.15 (CUDA 12.8)" in text
    assert V100.uuid not in done.out
    for meter in cell["meters"]:
        peak = meter["readings"]["gpu_peak_bytes"]
        assert peak["quality"] == "device total"
        assert 0 < peak["value"] < 1 << 30, "of the other card it would be 70 GiB"
    last = done.json["rounds"][-1]["after"]["values"]
    assert (last["gpu_throttle"], last["gpu_clocks_mhz"]) == ("", "1380")
