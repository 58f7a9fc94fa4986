"""What this machine is, as the tool and the system's own tools describe it."""

from __future__ import annotations

import os
import platform
import re
import shutil
from collections.abc import Iterator
from typing import Any

import msgspec

from mac_whisper_speedtest.doctor.accelerators import inspect_gpu
from mac_whisper_speedtest.doctor.lines import CheckupLine, Readiness, fail, ok, unknown
from mac_whisper_speedtest.machine import describe
from mac_whisper_speedtest.machine.reader import SYSCTL, Reader, Unknown
from mac_whisper_speedtest.results.schema import MachineInfo
from mac_whisper_speedtest.selfcheck.bench import (
    SEND,
    Figures,
    Workbench,
    measurement,
)
from mac_whisper_speedtest.selfcheck.kit import Measurement
from mac_whisper_speedtest.selfcheck.memory import interpreter_with

_PMSET = "/usr/bin/pmset"
_ON_MACOS = {
    "hw": [SYSCTL, "hw"],
    "sw_vers": ["/usr/bin/sw_vers"],
    "pmset": [_PMSET, "-g"],
    "pmset-batt": [_PMSET, "-g", "batt"],
    "pmset-therm": [_PMSET, "-g", "therm"],
    "swapusage": [SYSCTL, "vm.swapusage"],
    "ioreg-agx": ["/usr/sbin/ioreg", "-rc", "AGXAccelerator", "-d1", "-a"],
    "mount": ["/sbin/mount"],
}
_ON_LINUX = {
    "mount": ["mount"],
    "lscpu": ["lscpu"],
    "nvidia-smi": ["nvidia-smi", "-q"],
    "ldconfig": ["/sbin/ldconfig", "-p"],
}
_KEPT = {
    "mount": r"/dev/.*",
    "ldconfig": r".*(?:cublas|cudnn|libcuda).*",
    "nvidia-smi": r"(?!.*(?:UUID|PDI|[Ss]erial|Name\s+: /)).*",
}
"""Lines of a text that are kept: network volumes are named after people and their machines, and
NVIDIA's tool names the card and the programs that run on it."""
_KINDS = "core_kinds "
_WHEELS = {"mlx": ("mlx", "mlx-metal"), "torch": ("torch",)}
"""Library → the distributions whose wheel's tags are recorded: MLX has another build by macOS."""
_TAGS = """
import sys
from importlib import metadata
for name in sys.argv[1:]:
    try:
        found = metadata.distribution(name)
    except metadata.PackageNotFoundError:
        continue
    lines = (found.read_text("WHEEL") or "").splitlines()
    tags = [line.partition(" ")[2] for line in lines if line.startswith("Tag: ")]
    print(name, found.version, *tags)
"""
_NUMBER = re.compile(r"\d+(?:\.\d+)*")


def collect_raw(bench: Workbench) -> None:
    """Ask the system's tools; missing or silent tools are left out."""
    commands = _ON_MACOS if bench.reader.macos else _ON_LINUX
    for name, command in commands.items():
        text = bench.reader.run(command)
        if not isinstance(text, str):
            continue
        kept = _KEPT.get(name, ".*")
        if lines := [line for line in text.splitlines() if re.fullmatch(kept, line)]:
            bench.raw[name] = "\n".join(lines)


def measure(bench: Workbench) -> list[Measurement]:
    """Describe the machine, and its GPUs."""
    collect_raw(bench)
    figures = described(describe.describe())
    if bench.reader.macos:
        figures |= _mac(bench.reader)
    return [measurement("identity", figures), _gpu(bench), *_libraries(bench)]


def described(machine: MachineInfo) -> Figures:
    """What a run records of its machine, as figures and texts."""
    about = msgspec.to_builtins(machine)
    figures: Figures = {name: Unknown(why) for name, why in about.pop("unknown").items()}
    number = _NUMBER.match(about["os_version"])  # kernels are named after their owners
    return figures | dict(_flat("", {**about, "os_version": number[0] if number else ""}))


def _flat(name: str, value: Any) -> Iterator[tuple[str, float | str]]:
    """What is nested, by names of several words."""
    if isinstance(value, dict | list):
        for key, each in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _flat(f"{name} {key}".strip(), each)
    elif value is not None:
        yield name, value


def _mac(reader: Reader) -> Figures:
    return {
        "mac_ver": platform.mac_ver()[0],
        "product_version": reader.run(["/usr/bin/sw_vers", "-productVersion"]),
        "translated": reader.sysctl("sysctl.proc_translated"),
        "virtual": reader.sysctl("kern.hv_vmm_present"),
    }


def _gpu(bench: Workbench) -> Measurement:
    found = inspect_gpu(bench.reader)
    bench.gpus = found.kinds
    figures: Figures = {
        "lines": "; ".join(line.seen for line in found.lines),
        "kinds": ", ".join(sorted(found.kinds)),
        "visible": os.environ.get("CUDA_VISIBLE_DEVICES"),
        "nvidia_smi": float(shutil.which("nvidia-smi") is not None),
    }
    return measurement("identity gpu", figures, gpu=True)


def _libraries(bench: Workbench) -> list[Measurement]:
    """Which wheels of the libraries that use GPUs are installed."""
    found = []
    for library, names in _WHEELS.items():
        python = interpreter_with(library)
        if python:
            wheels = bench.reader.run([python, "-P", "-c", _TAGS, *names])
            figures: Figures = {"wheels": wheels, "macos": platform.mac_ver()[0]}
            found.append(measurement("identity wheels", figures, subject=library))
    return found


def judge_wheels(found: Measurement) -> list[CheckupLine]:
    """A wheel of MLX is not for an older macOS than this one: other programs are in it."""
    topic, wheels = f"wheels of {found.subject}", found.text("wheels")
    seen = "; ".join(wheels.splitlines())
    tags = [int(each) for each in re.findall(r"macosx_(\d+)_", wheels)]
    here = found.texts.get("macos", "").partition(".")[0]
    if found.subject == "mlx" and tags and here.isdecimal() and max(tags) < int(here):
        then = SEND
        return [unknown(topic, f"macOS {here}, but the wheel is for {max(tags)}: {seen}", then)]
    return [ok(topic, seen)] if seen else [unknown(topic, "none is installed")]


def judge(found: Measurement) -> list[CheckupLine]:
    """The chip and its cores are known; on a Mac the version is the system's own."""
    lines = [_chip(found)]
    if found.text("os") != "Darwin":
        return lines
    if found.text("translated") == "1":
        then = "install an arm64 Python: uv python install 3.12"
        lines.append(fail("rosetta", f"{found.text('architecture')} under Rosetta", then))
    says, real = found.text("mac_ver"), found.text("product_version")
    if says == real:
        return [*lines, ok("version of macOS", says)]
    seen = f"{says} to Python, {real} to sw_vers: wheels are chosen by the former"
    return [*lines, fail("version of macOS", seen, SEND)]


def _chip(found: Measurement) -> CheckupLine:
    topic = "chip"
    known = [found.texts[name] for name in ("hardware_model", "cpu") if name in found.texts]
    if "cpu" not in found.texts:
        return unknown(topic, found.unknown.get("cpu", "the system does not name it"))
    cores = f"{found.number('physical_cores'):g} cores, {found.number('logical_cores'):g} threads"
    kinds = {
        name.removeprefix(_KINDS): found.number(name)
        for name in found.values
        if name.startswith(_KINDS)
    }
    if kinds:
        cores = f"{', '.join(f'{count:g} {name}' for name, count in kinds.items())} cores"
        if sum(kinds.values()) != found.number("physical_cores"):
            whole = f"{cores}, but {found.number('physical_cores'):g} physical ones"
            return fail(topic, f"{', '.join(known)}: {whole}", SEND)
    memory = f"{found.number('memory_bytes') / 2**30:.0f} GiB"
    return ok(topic, f"{', '.join(known)}, {cores}, {memory}, {found.text('os')}")


def judge_gpu(found: Measurement) -> list[CheckupLine]:
    """There is a GPU that backends can compute on."""
    lines = found.text("lines").removeprefix("not known: ")
    if not found.texts.get("kinds"):
        return [CheckupLine("gpu", Readiness.UNKNOWN, f"not known: {lines}", "speedtest doctor")]
    visible = found.texts.get("visible")
    words = f"{lines}; CUDA_VISIBLE_DEVICES={visible}" if visible is not None else lines
    return [ok("gpu", words)]
