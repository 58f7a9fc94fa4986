"""Which build suits a driver and its GPUs, from constructed machines."""

from __future__ import annotations

from pathlib import Path

import pytest

from mac_whisper_speedtest.backends.recipe import Recipe
from mac_whisper_speedtest.environments import builds
from mac_whisper_speedtest.environments.builds import NvidiaDriver
from mac_whisper_speedtest.errors import UsageError

TORCH = Recipe("torchy", "torchy", "1", uses_torch=True)
CT2 = Recipe("ct2", "ct2", "1", uses_cublas=True)
PLAIN = Recipe("plain", "plain", "1")
X86, ARM, MAC = "linux-x86_64", "linux-aarch64", "darwin-arm64"
P100, V100, T4, A100, H100, B200 = (6, 0), (7, 0), (7, 5), (8, 0), (9, 0), (10, 0)


def auto(recipe: Recipe, platform: str, version: str, *gpus: builds.Capability) -> builds.Build:
    driver = NvidiaDriver(version, gpus) if version else None
    return builds.choose(recipe, "auto", platform=platform, driver=driver, cpu_wheel=True)


@pytest.mark.parametrize(
    ("platform", "driver", "gpus", "name", "reason"),
    [
        (X86, "", (), "cpu", ""),
        (ARM, "", (), "cpu", ""),
        (MAC, "", (), "index", ""),
        (X86, "535.230.02", (A100,), "cuda12", "driver 535.230.02 is older than 580"),
        (X86, "550.54.14", (H100,), "cuda12", "torch 2.7.1 for CUDA 12.6"),
        (X86, "570.86.15", (T4,), "cuda12", "older than 580"),
        (X86, "572.16", (A100,), "cuda12", "older than 580"),  # WSL2: the driver of Windows
        (X86, "535.230.02", (), "cuda12", "older than 580"),  # nvidia-smi says no more
        (X86, "580.65.06", (T4,), "index", ""),
        (X86, "580.65.06", (B200,), "index", ""),
        (X86, "590.44.01", (H100, A100), "index", ""),
        (X86, "580.65.06", (P100,), "cuda12", "leaves out compute capability 6.0"),
        (X86, "580.65.06", (V100,), "cuda12", "leaves out compute capability 7.0"),
        (X86, "580.65.06", (H100, V100), "cuda12", "leaves out compute capability 7.0"),
        (X86, "570.86.15", (B200,), "index", "no kernels for compute capability 10.0"),
        (X86, "580.65.06", (V100, B200), "index", "no kernels for compute capability 10.0"),
        (X86, "580.65.06", ((3, 7),), "index", "none for compute capability 3.7"),
        (X86, "470.256.02", (A100,), "index", "CUDA 12 needs 525"),
        (ARM, "580.65.06", (H100,), "index", ""),
        (ARM, "550.54.14", (H100,), "index", "no CUDA 12 build for linux-aarch64"),
    ],
)
def test_torch_is_built_for_a_cuda_that_driver_and_gpus_run(
    platform: str, driver: str, gpus: tuple[builds.Capability, ...], name: str, reason: str
) -> None:
    found = auto(TORCH, platform, driver, *gpus)
    assert found.name == name
    assert reason in found.reason
    assert bool(found.reason) is bool(reason)


@pytest.mark.parametrize(
    ("platform", "driver", "name", "reason"),
    [
        (X86, "", "", ""),
        (X86, "535.230.02", "cuda12", "because of NVIDIA's driver 535.230.02"),
        (X86, "590.44.01", "cuda12", "cuBLAS 12"),  # CUDA 13 has no library of that name
        (X86, "470.256.02", "", "older than 525"),
        (ARM, "580.65.06", "", "no CUDA on linux-aarch64"),
        (MAC, "", "", ""),
    ],
)
def test_ctranslate2_gets_cublas_where_it_can_use_a_gpu(
    platform: str, driver: str, name: str, reason: str
) -> None:
    found = auto(CT2, platform, driver, A100)
    assert found.name == name
    assert reason in found.reason


def test_a_build_that_was_asked_for_is_taken() -> None:
    def asked(recipe: Recipe, name: str, platform: str = X86) -> str:
        return builds.choose(recipe, name, platform=platform, driver=None, cpu_wheel=False).name

    assert [asked(TORCH, name) for name in ("auto", "cpu", "index", "cuda12")] == [
        *("index", "cpu", "index", "cuda12")
    ]
    assert [asked(CT2, name) for name in ("cpu", "index", "cuda12")] == ["", "", "cuda12"]
    assert asked(PLAIN, "cuda12") == ""
    assert asked(TORCH, "cpu", MAC) == "index", "there is no other"
    for platform in (ARM, MAC):
        with pytest.raises(UsageError, match="for Linux on x86-64"):
            asked(TORCH, "cuda12", platform)
    with pytest.raises(UsageError, match="--build is 'rocm'"):
        asked(PLAIN, "rocm")


@pytest.mark.parametrize(
    ("lines", "driver"),
    [
        (["570.86.15, 9.0"], NvidiaDriver("570.86.15", (H100,))),
        (["535.230.02, 8.0", "535.230.02, 6.0"], NvidiaDriver("535.230.02", (A100, P100))),
        (["470.256.02"], NvidiaDriver("470.256.02")),
        (["580.65.06, [N/A]"], NvidiaDriver("580.65.06")),
        (["No devices were found"], None),
        (['Field "compute_cap" is not a valid field to query.'], None),
        ([], None),
    ],
)
def test_nvidia_smi_names_the_driver_and_what_the_gpus_can_do(
    lines: list[str], driver: NvidiaDriver | None
) -> None:
    assert builds.parse_driver(lines) == driver


@pytest.mark.parametrize(
    ("text", "version"),
    [
        (
            "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.230.02  Fri Dec 20 03:26:27 UTC\n",
            "535.230.02",
        ),
        (
            "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.65.06  Release Build\n",
            "580.65.06",
        ),
        ("GCC version:  gcc version 12.3.0\n", None),
    ],
)
def test_without_nvidia_smi_the_kernel_names_the_driver(text: str, version: str | None) -> None:
    found = builds.parse_proc(text)
    assert (found.version if found else None) == version


SMI = """#!/bin/sh
case "$1" in
  *compute_cap*) echo 'Field "compute_cap" is not a valid field to query.'; exit 2;;
  *) echo 470.256.02;;
esac
"""


def test_an_old_nvidia_smi_is_asked_for_what_it_knows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text(SMI)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(builds, "_PROC", tmp_path / "none")
    assert builds.nvidia_driver.__wrapped__() == NvidiaDriver("470.256.02")
    program.unlink()
    assert builds.nvidia_driver.__wrapped__() is None
