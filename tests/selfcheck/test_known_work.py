"""Known work on GPUs, which this machine lacks: with stand-ins that have the libraries' names."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from mac_whisper_speedtest.backends.adapter import LoadParams, ModelParams
from mac_whisper_speedtest.backends.contract import DecodeContract
from mac_whisper_speedtest.doctor.lines import Readiness
from mac_whisper_speedtest.machine import energy
from mac_whisper_speedtest.machine.energy import Count, Counts
from mac_whisper_speedtest.machine.probe import MACHINE, Target
from mac_whisper_speedtest.selfcheck import power
from mac_whisper_speedtest.selfcheck.bench import Workbench
from mac_whisper_speedtest.selfcheck.known_work import KnownWork


class Matrix:
    """A tensor of a stand-in, on its device."""

    def __init__(self, values: Any) -> None:
        self.values = values

    def reshape(self, *shape: int) -> Matrix:
        return Matrix(self.values.reshape(*shape)[:4, :4])

    def __truediv__(self, number: float) -> Matrix:
        return Matrix(self.values / number)

    def __matmul__(self, other: Matrix) -> Matrix:
        return Matrix(self.values @ other.values)

    def __getitem__(self, at: Any) -> Any:
        return self.values[at]


def torch_with(device: str) -> SimpleNamespace:
    """A torch that sees one GPU."""
    used = []

    def ones(count: int, dtype: Any, device: str) -> Matrix:
        used.append(4 * count)
        asked.append(device)
        return Matrix(np.ones(count, dtype=dtype))

    asked: list[str] = []
    waits = SimpleNamespace(synchronize=lambda: None)
    return SimpleNamespace(
        float32=np.float32,
        ones=ones,
        asked=asked,
        cuda=SimpleNamespace(
            is_available=lambda: device == "cuda", memory_allocated=lambda: sum(used), **vars(waits)
        ),
        mps=SimpleNamespace(current_allocated_memory=lambda: sum(used), **vars(waits)),
        backends=SimpleNamespace(mps=SimpleNamespace(is_available=lambda: device == "mps")),
    )


def do(worker: KnownWork, work: str, **arguments: Any) -> tuple[str, Mapping[str, Any]]:
    """The device that loading names, and what the work says."""
    model = ModelParams(work, json.dumps(arguments), "none")
    loaded = worker.load(LoadParams(model))
    said = worker.transcribe(np.zeros(16, dtype=np.float32), DecodeContract())
    assert said.text is not None
    return loaded.device, json.loads(said.text)


@pytest.mark.parametrize("device", ["cuda", "mps"])
def test_torch_allocates_and_computes_on_the_gpu_that_it_sees(
    monkeypatch: pytest.MonkeyPatch, device: str
) -> None:
    torch = torch_with(device)
    monkeypatch.setitem(sys.modules, "torch", torch)
    worker = KnownWork()
    named, facts = do(worker, "hold", library="torch", size=1 << 20)
    assert (named, facts["device"]) == (device, device)
    assert facts["allocator_bytes"] == 1 << 20
    named, facts = do(worker, "multiply", library="torch", seconds=0.01)
    assert (named, facts["device"]) == (device, device)
    assert set(torch.asked) == {device}


class Chip:
    """A counter of energy: 2 W, and 20 W more while the work is done."""

    name, quality = "chip", "estimate"

    def __init__(self, rises: float) -> None:
        self._began, self._rises, self._reads = time.monotonic(), rises, 0

    def read(self, target: Target = MACHINE) -> Counts:
        """It is looked at once, then before and after the idle window, and again at work."""
        self._reads += 1
        passed_s = time.monotonic() - self._began
        more = self._rises if self._reads > 4 else 0.0
        return {"cpu": Count(2 * passed_s + more), "gpu": Count(0.1 * passed_s)}


@pytest.mark.parametrize(("rises", "state"), [(60.0, Readiness.OK), (0.0, Readiness.FAIL)])
def test_energy_rises_with_work_or_the_counter_is_wrong(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, rises: float, state: Readiness
) -> None:
    monkeypatch.setattr(energy, "available_counters", lambda: [Chip(rises)])
    monkeypatch.setattr(power, "WORK_S", 1.2)
    monkeypatch.setattr(power, "interpreter_with", lambda _library: "")
    monkeypatch.setattr(power, "load_figures", lambda: {"load_average": 0.1, "cores": 8.0})
    cores, gpu = power.measure(Workbench(tmp_path))
    assert [line.state for line in power.judge(cores)] == [state], cores
    assert gpu.gpu
    assert gpu.reason == "no installed library sees a GPU"
