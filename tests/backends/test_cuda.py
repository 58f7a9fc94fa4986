"""cuBLAS out of a wheel and CUDA's driver, from libraries that a compiler makes of a few lines."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from fakes.cuda_driver import DRIVER, V100, compiled, needs_compiler
from mac_whisper_speedtest.backends import cuda, faster_whisper, torch_device
from mac_whisper_speedtest.backends.adapter import ModelUnusableError

pytestmark = needs_compiler


def test_the_gpu_is_described_by_cuda_s_driver(tmp_path: Path) -> None:
    driver = compiled(tmp_path / "libcuda.so.1", DRIVER, FAILS="0", UUID_NAME="cuDeviceGetUuid_v2")
    assert cuda.used_gpu("cuda", driver) == V100
    assert cuda.used_gpu("cuda:0", driver) == V100
    instance = cuda.used_gpu("cuda:1", driver)
    assert instance is not None
    assert (instance.name, instance.pci) == ("NVIDIA A100 MIG 1g.5gb", "")
    assert cuda.used_gpu("cuda:2", driver) is None, "it has two"


def test_a_driver_from_before_mig_is_asked_under_the_older_name(tmp_path: Path) -> None:
    driver = compiled(tmp_path / "libcuda.so.1", DRIVER, FAILS="0", UUID_NAME="cuDeviceGetUuid")
    assert cuda.used_gpu("cuda", driver) == V100


def test_what_is_no_gpu_of_cuda_s_is_not_described(tmp_path: Path) -> None:
    broken = compiled(tmp_path / "libcuda.so.1", DRIVER, FAILS="999", UUID_NAME="cuDeviceGetUuid")
    assert cuda.used_gpu("cuda", broken) is None
    assert cuda.used_gpu("cuda", str(tmp_path / "missing.so")) is None
    empty = compiled(tmp_path / "empty.so", "")
    assert cuda.used_gpu("cuda", empty) is None
    for device in ("cpu", "metal", "cuda:x", "cuda0"):
        assert cuda.used_gpu(device, broken) is None


PRELOADED = """
import ctypes, runpy
assert not runpy.run_path({module!r})["preload_cublas"]()
print(ctypes.CDLL("libcublas.so.12").cublasSgemm())  # as CTranslate2 looks it up
"""


def test_cublas_of_the_wheel_is_found_by_its_bare_name_once_it_is_loaded(tmp_path: Path) -> None:
    compiled(
        tmp_path / "nvidia" / "cublas" / "lib" / cuda.CUBLAS, "int cublasSgemm() { return 42; }"
    )
    done = subprocess.run(
        [sys.executable, "-c", PRELOADED.format(module=cuda.__file__)],
        env={"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.returncode) == ("42\n", 0), done.stderr


def ctranslate2(monkeypatch: pytest.MonkeyPatch, gpus: int, *types: str) -> None:
    fake = SimpleNamespace(
        get_cuda_device_count=lambda: gpus, get_supported_compute_types=lambda _device: set(types)
    )
    monkeypatch.setitem(sys.modules, "ctranslate2", fake)


@pytest.mark.parametrize(
    ("architectures", "capability", "runs"),
    [
        (["sm_75", "sm_80", "sm_90"], (7, 0), False),  # V100, torch 2.13
        (["sm_75", "sm_80", "sm_90"], (8, 9), True),  # L4
        (["sm_50", "sm_60", "sm_70"], (6, 1), True),  # GTX 1080, torch 2.7.1
        (["sm_90a"], (9, 0), True),
        (["sm_90a"], (10, 0), False),
        (["sm_75", "compute_90"], (12, 0), True),
        (["sm_75", "compute_90"], (8, 0), False),
        (["gfx942"], (9, 4), True),  # ROCm
        ([], (9, 0), False),
    ],
)
def test_a_build_runs_on_gpus_that_it_has_kernels_for(
    architectures: list[str], capability: tuple[int, int], runs: bool
) -> None:
    assert cuda.has_kernels(architectures, capability) is runs


def torch(capability: tuple[int, int]) -> SimpleNamespace:
    """torch 2.13 on a GPU of that compute capability."""
    return SimpleNamespace(
        __version__="2.13.0",
        cuda=SimpleNamespace(
            is_available=lambda: True,
            get_device_capability=lambda: capability,
            get_arch_list=lambda: ["sm_75", "sm_80", "sm_90", "sm_100", "sm_120"],
        ),
        backends=SimpleNamespace(mps=SimpleNamespace(is_available=lambda: False)),
    )


def test_torch_without_kernels_for_the_gpu_computes_on_the_cpu_and_refuses_cuda(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "torch", torch((8, 0)))
    assert torch_device.choose_device("auto") == torch_device.choose_device("cuda") == "cuda"
    monkeypatch.setitem(sys.modules, "torch", torch((7, 0)))
    assert torch_device.choose_device("auto") == "cpu"
    assert "7.0" in torch_device.facts("cpu")["cuda"]
    with pytest.raises(ModelUnusableError, match=r"only cpu: .* compute capability 7\.0"):
        torch_device.choose_device("cuda")


def test_without_cublas_auto_is_the_cpu_and_says_why_and_cuda_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ctranslate2(monkeypatch, 1)
    monkeypatch.setattr(cuda, "CUBLAS", "libcublas.so.1200")
    device, details = faster_whisper.ctranslate2_device("auto")
    assert device == "cpu"
    assert "libcublas.so.1200" in details["cuda"]
    with pytest.raises(ModelUnusableError, match=r"needs cuBLAS 12 .*libcublas\.so\.1200"):
        faster_whisper.ctranslate2_device("cuda")
    assert faster_whisper.ctranslate2_device("cpu") == ("cpu", {})


def test_without_a_gpu_cublas_is_not_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    ctranslate2(monkeypatch, 0)
    monkeypatch.setattr(cuda, "preload_cublas", lambda: pytest.fail("looked"))
    assert faster_whisper.ctranslate2_device("auto") == ("cpu", {})


@pytest.mark.parametrize(
    ("types", "precision"),
    [
        (("int8", "int8_float32", "float32"), "float32"),  # a GTX 1080
        (("float16", "int8_float16", "int8", "float32"), "float16"),  # an L4
    ],
)
def test_auto_computes_in_what_the_gpu_is_fast_at(
    monkeypatch: pytest.MonkeyPatch, types: tuple[str, ...], precision: str
) -> None:
    ctranslate2(monkeypatch, 1, *types)
    assert faster_whisper.native_precision("cuda") == precision
    assert faster_whisper.native_precision("cpu") == "float32"
