"""What the frameworks' allocators say, from constructed frameworks and a real one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from mac_whisper_speedtest.backends import registry
from mac_whisper_speedtest.worker import child
from mac_whisper_speedtest.worker.launch import program

SOURCE = str(Path(child.__file__).parents[2])


def imported(monkeypatch: pytest.MonkeyPatch, name: str, **parts: Any) -> ModuleType:
    module = ModuleType(name)
    for key, value in parts.items():
        setattr(module, key, value)
    monkeypatch.setitem(sys.modules, name, module)
    return module


def fail(*_: Any) -> int:
    raise RuntimeError("no such device")


@pytest.fixture(autouse=True)
def nothing_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("mlx.core", "torch"):
        monkeypatch.delitem(sys.modules, name, raising=False)


def test_a_worker_without_frameworks_has_no_figures_and_imports_none() -> None:
    assert child.allocator_bytes() == {}
    assert "torch" not in sys.modules
    assert "mlx.core" not in sys.modules


def test_mlx_is_asked_by_its_present_names(monkeypatch: pytest.MonkeyPatch) -> None:
    imported(
        monkeypatch,
        "mlx.core",
        get_peak_memory=lambda: 300,
        get_active_memory=lambda: 200,
        get_cache_memory=lambda: 100,
    )
    found = child.allocator_bytes()
    assert found == {"mlx_peak_bytes": 300, "mlx_active_bytes": 200, "mlx_cache_bytes": 100}


def test_mlx_is_asked_by_its_former_names(monkeypatch: pytest.MonkeyPatch) -> None:
    imported(monkeypatch, "mlx.core", metal=SimpleNamespace(get_peak_memory=lambda: 300))
    assert child.allocator_bytes() == {"mlx_peak_bytes": 300}


def torch(*, cuda: bool = False, mps: bool = False) -> dict[str, Any]:
    return {
        "cuda": SimpleNamespace(
            is_initialized=lambda: cuda,
            device_count=lambda: 2,
            max_memory_allocated=lambda device: 100 + device,
            max_memory_reserved=lambda device: 1000 + device,
        ),
        "backends": SimpleNamespace(mps=SimpleNamespace(is_available=lambda: mps)),
        "mps": SimpleNamespace(
            driver_allocated_memory=lambda: 5000, current_allocated_memory=lambda: 700
        ),
    }


def test_torch_is_asked_about_all_its_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = torch(cuda=True)
    imported(monkeypatch, "torch", **parts)
    assert child.allocator_bytes() == {
        "torch_cuda_peak_bytes": 201,
        "torch_cuda_reserved_peak_bytes": 2001,
    }


def test_torch_on_metal_says_what_it_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    imported(monkeypatch, "torch", **torch(mps=True))
    assert child.allocator_bytes() == {
        "torch_mps_driver_bytes": 5000,
        "torch_mps_current_bytes": 700,
    }


def test_torch_on_the_cpu_is_not_asked_for_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = torch()
    parts["cuda"].max_memory_allocated = fail
    imported(monkeypatch, "torch", **parts)
    assert child.allocator_bytes() == {}


@pytest.mark.parametrize("part", ["cuda", "backends", "mps"])
def test_a_torch_without_a_part_costs_that_parts_figures(
    monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    parts = torch(cuda=True, mps=True)
    del parts[part]
    imported(monkeypatch, "torch", **parts)
    assert any(name.startswith("torch_") for name in child.allocator_bytes())


def test_a_framework_that_fails_costs_one_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    imported(
        monkeypatch,
        "mlx.core",
        get_peak_memory=fail,
        get_active_memory=lambda: 200,
        get_cache_memory=lambda: None,
    )
    assert child.allocator_bytes() == {"mlx_active_bytes": 200}


def test_the_real_mlx_reports_what_was_allocated() -> None:
    backend = registry.installed()["mlx-whisper"]
    python = program(backend)
    if python is None:
        pytest.skip("mlx-whisper is not installed: speedtest backends install mlx-whisper")
    code = (
        f"import sys; sys.path.insert(0, {SOURCE!r})\n"
        "from mac_whisper_speedtest.worker import child\n"
        "assert child.allocator_bytes() == {}\n"
        "import mlx.core as mx\n"
        "mx.set_default_device(mx.cpu)\n"
        "mx.eval(mx.ones((1000, 1000)) + 1)\n"
        "print(child.allocator_bytes()['mlx_peak_bytes'])\n"
    )
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert 4_000_000 <= int(done.stdout) < 100_000_000
