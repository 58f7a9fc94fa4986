"""What Macs say of themselves, in the formats of their programs."""

from __future__ import annotations

import plistlib

import msgspec
import psutil
import pytest

from fakes import machines as m
from mac_whisper_speedtest.machine import apple, describe
from mac_whisper_speedtest.machine.apple import CoreKind, MacGpu
from mac_whisper_speedtest.machine.reader import Answer, Unknown
from mac_whisper_speedtest.results import comparable
from mac_whisper_speedtest.results.schema.machine import MachineInfo

P, E = "Performance", "Efficiency"
HW = f"{m.SYSCTL} hw"


def mac(**answers: Answer) -> m.Recorded:
    """The Mac of `machines.M3_PRO`, with other answers: ``hw``, ``cpus``, ``gpu``, ``model``."""
    names = {
        "hw": HW,
        "cpus": m.CPUS,
        "gpu": m.IOREG,
        "model": f"{m.SYSCTL} -n hw.model",
        "version": "/usr/bin/sw_vers -productVersion",
        "build": "/usr/bin/sw_vers -buildVersion",
    }
    changed = {names[name]: answer for name, answer in answers.items()}
    return m.Recorded(m.M3_PRO | changed, platform="darwin")


@pytest.mark.parametrize(
    ("chip", "kinds", "threads"),
    [
        ("M1", [(P, 4), (E, 4)], 4),
        ("M2 Ultra", [(P, 16), (E, 8)], 16),
        ("M4 Pro", [(P, 10), (E, 4)], 10),
        ("M5", [("Super", 4), (E, 6)], 4),
        ("M5 Pro", [("Super", 5), (P, 10)], 15),
        ("M5 Max", [("Super", 6), (P, 12)], 18),
        ("another", [("Ultimate", 2), (P, 6), (E, 4)], 8),
    ],
)
def test_backends_get_a_thread_on_each_core_but_those_that_save_energy(
    chip: str, kinds: list[tuple[str, int]], threads: int
) -> None:
    reader = mac(hw=m.sysctl_hw(*kinds))
    assert describe.default_threads(reader) == threads
    found = describe.describe(reader)
    assert found.core_kinds == dict(kinds)
    assert list(found.core_kinds or {}) == [name for name, _ in kinds]


@pytest.mark.parametrize(
    "hw", [m.HW_VIRTUAL, m.HW_INTEL, "", Unknown("sysctl is not installed")], ids=str
)
def test_without_kinds_of_core_all_physical_cores_count(hw: Answer) -> None:
    reader = mac(hw=hw)
    assert describe.default_threads(reader) == psutil.cpu_count(logical=False)
    assert describe.describe(reader).core_kinds is None


def test_under_rosetta_the_cores_are_those_of_the_mac() -> None:
    reader = m.Recorded(m.ROSETTA, platform="darwin")
    assert describe.default_threads(reader) == 6


def test_a_level_without_a_name_is_one_all_the_same() -> None:
    hw = "\n".join(line for line in m.HW_M3_PRO.splitlines() if ".name: " not in line)
    assert apple.parse_core_kinds(hw) == (CoreKind("?", 6, fast=True), CoreKind("?", 6, fast=False))


def test_a_mac_is_described_with_what_distinguishes_it() -> None:
    found = describe.describe(mac())
    assert (found.os_version, found.os_build) == ("26.2", "25C56")
    assert (found.hardware_model, found.gpus, found.gpu_cores) == ("Mac15,7", ["Apple M3 Pro"], 18)
    assert not {"os_build", "hardware_model", "core_kinds", "gpus"} & found.unknown.keys()
    assert "C02SECRET01" not in repr(found)


def test_what_a_mac_does_not_say_has_a_reason() -> None:
    found = describe.describe(m.Recorded({}, platform="darwin"))
    missing = {"os_build", "hardware_model", "core_kinds", "gpus", "cpu"}
    assert missing <= found.unknown.keys()
    assert all(getattr(found, name) is None for name in missing)
    virtual = describe.describe(m.Recorded(m.MAC_VM, platform="darwin"))
    assert (virtual.gpus, virtual.gpu_cores) == (["Apple Paravirtual device"], None)


def hardware(**changed: object) -> str:
    machine = replaced(describe.describe(mac()), **changed)
    return comparable.hardware_class(machine)


def replaced(machine: MachineInfo, **changed: object) -> MachineInfo:
    return msgspec.structs.replace(machine, physical_cores=12, **changed)


def test_macs_with_other_gpus_cores_or_models_are_of_other_classes() -> None:
    usual = hardware()
    assert usual.startswith("macOS 26, Apple M3 Pro, 12 cores (6 Performance + 6 Efficiency), ")
    assert usual.endswith(" GiB, 18 GPU cores, Mac15,7")
    others = [
        hardware(gpu_cores=14),
        hardware(hardware_model="Mac15,6"),
        hardware(core_kinds={P: 5, E: 6}),
        hardware(os_version="15.5"),
    ]
    assert len({usual, *others}) == 5
    # An update of the system begins no new class; a run says under which build it was measured.
    assert hardware(os_version="26.3", os_build="25D125") == usual


def test_the_system_is_named_with_its_build() -> None:
    machine = replaced(describe.describe(mac(version="26.1", build="25B78")))
    assert comparable.system_of(machine) == "macOS 26.1 (25B78)"
    linux = MachineInfo(
        os="Linux",
        os_version="6.8.0",
        architecture="x86_64",
        python="3.12.3",
        cpu=None,
        physical_cores=None,
        logical_cores=2,
        memory_bytes=None,
        gpus=None,
        load_average_1m=None,
    )
    assert comparable.system_of(linux) == "Linux 6.8.0"


TWO_DIES = "EEPPPPPPPPEEPPPPPPPP"  # an M1 Ultra


@pytest.mark.parametrize(
    ("kinds", "clusters", "slow"),
    [
        ([(P, 4), (E, 4)], "EEEEPPPP", {0, 1, 2, 3}),
        ([(P, 16), (E, 4)], TWO_DIES, {0, 1, 10, 11}),
        ([("Super", 4), (E, 6)], "PPPPEEEEEE", {4, 5, 6, 7, 8, 9}),
    ],
)
def test_the_device_tree_says_which_cpus_save_energy(
    kinds: list[tuple[str, int]], clusters: str, slow: set[int]
) -> None:
    reader = mac(hw=m.sysctl_hw(*kinds), cpus=m.device_tree(clusters))
    found = apple.core_kinds(reader)
    assert isinstance(found, tuple)
    assert apple.efficiency_cpus(reader, found) == frozenset(slow)


def test_macs_without_such_cores_are_not_asked() -> None:
    reader = mac()
    kinds = (CoreKind("Super", 5, fast=True), CoreKind(P, 10, fast=True))
    assert apple.efficiency_cpus(reader, kinds) == frozenset()
    assert reader.asked == []


@pytest.mark.parametrize(
    ("listed", "reason"),
    [
        (m.device_tree("PPPPEEPPPPPP"), "2 efficiency cores, sysctl 6"),
        (m.device_tree(""), "names no cluster"),
        ("<plist", "names no cluster"),
        ("", "names no cluster"),
        (Unknown("ioreg did not answer in 5 s"), "did not answer"),
    ],
    ids=lambda each: str(each)[-30:],
)
def test_a_tree_that_says_something_else_is_not_believed(listed: Answer, reason: str) -> None:
    kinds = apple.parse_core_kinds(m.HW_M3_PRO)
    assert isinstance(kinds, tuple)
    found = apple.efficiency_cpus(mac(cpus=listed), kinds)
    assert isinstance(found, Unknown)
    assert reason in found.reason


def test_numbers_of_cpus_may_be_cells_of_the_tree() -> None:
    node = {"cluster-type": b"E\0", "logical-cpu-id": (7).to_bytes(4, "little")}
    assert apple.parse_clusters(plistlib.dumps([node]).decode()) == {7: "E"}


def test_the_gpu_of_a_mac_has_cores() -> None:
    assert apple.gpus(mac()) == [MacGpu("Apple M3 Pro", 18)]


GIB = 1 << 30


@pytest.mark.parametrize(
    ("answer", "memory_gib", "expected_gib"),
    [
        ("0", 16, 16 * 2 / 3),
        ("0", 36, 27),  # as llama.cpp reports it there
        ("0", 64, 48),
        ("57344", 64, 56),  # a user has raised it
        (Unknown("sysctl: unknown oid 'iogpu.wired_limit_mb'"), 32, None),  # Intel
    ],
)
def test_what_metal_may_have_of_the_memory_is_known(
    answer: Answer, memory_gib: int, expected_gib: float | None
) -> None:
    found = apple.working_set(answer, memory_gib * GIB)
    assert found == (None if expected_gib is None else int(expected_gib * GIB))


def test_a_worker_on_a_mac_may_take_nine_tenths_of_that() -> None:
    raised = mac()
    raised.commands = {**raised.commands, f"{m.SYSCTL} -n iogpu.wired_limit_mb": "2048"}
    assert describe.memory_limit(raised) == int(2 * GIB * 0.9)
