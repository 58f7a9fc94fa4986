"""Labels of nodes, probed from real and constructed machines, and what jobs ask of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes import machines
from mac_whisper_speedtest.backends import registry
from mac_whisper_speedtest.errors import UsageError
from mac_whisper_speedtest.fleet import labels
from mac_whisper_speedtest.fleet.labels import Labels
from mac_whisper_speedtest.machine import reader
from mac_whisper_speedtest.weights import inventory
from mac_whisper_speedtest.worker import launch

GIB = 1 << 30
NO_DRIVER = "not known (NVIDIA GPUs are looked for on Linux only)"
MAC = Labels(
    known={
        "node": "studio",
        "chip": "M4 Max",
        "cores": 16,
        "memory": 64 * GIB,
        "os": "macos",
        "version": "15.5",
        "build": "24F74",
        "arch": "arm64",
        "gpu": ("Apple M4 Max",),
        "backends": ("mlx-whisper", "mlx-whisper@0.4.3"),
        "models": ("tiny.en", "small"),
        "power": "mains",
        "tool": "0.1.0",
        "python": "3.13.1",
    },
    unknown={"driver": "NVIDIA GPUs are looked for on Linux only"},
)


def test_this_machine_is_probed_and_names_nothing_of_its_owner(shared_cache: Path) -> None:
    found = labels.probe("node-1")
    assert found.known.keys() | found.unknown.keys() == labels.KEYS.keys()
    assert not found.known.keys() & found.unknown.keys()
    assert found.name == "node-1"
    assert found.known["power"] in {"mains", "battery"} or found.unknown["power"]
    here = {each.name for each in registry.installed().values() if launch.is_installed(each)}
    names = found.known["backends"]
    assert isinstance(names, tuple)
    assert {name for name in names if "@" not in name} == here
    assert found.known["models"] == tuple(
        dict.fromkeys(each.name for each in inventory.all_installed() if not each.copy.problems)
    )
    assert labels.decode(msgspec.json.decode(msgspec.json.encode(found))) == found
    assert str(Path.home()) not in str(found)


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        (machines.M3_PRO, {"chip": "M3 Pro", "os": "macos", "version": "26.2",
                           "build": "25C56", "power": "mains", "gpu": ("Apple M3 Pro",)}),
        (machines.M3_PRO | {f"{machines.PMSET} -g batt": "Now drawing from 'Battery Power'"},
         {"power": "battery"}),
        (machines.INTEL_MAC, {"chip": "Intel(R) Core(TM) i9-9880H CPU @ 2.30GHz"}),
    ],
)  # fmt: skip
def test_a_mac_is_probed_by_its_own_answers(
    answers: dict[str, Any], expected: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "Reader", lambda: machines.Recorded(answers, platform="darwin"))
    found = labels.probe("mini")
    assert expected.items() <= found.known.items()
    assert "driver" in found.unknown


@pytest.mark.parametrize(
    "text",
    [
        *("chip=~M[34]*", "CHIP=~m4*", "chip=m4 max", "chip!=M1", "gpu=~*M4*"),
        *("memory>=16G", "memory>=64G", "memory=64G", "memory<=64GB", "memory>32GiB"),
        *("memory!=32G", "memory>=65536M", "memory>=1.5G", "cores>=16", "cores<17", "cores=16"),
        *("os=macos>=15", "os=macos<16", "os=macos=15.5", "os=macos", "os!=linux"),
        *("version=15", "version<=15", "version>=15.5", "version!=14", "version<15.6"),
        *("backends=mlx-whisper", "backends=MLX-Whisper@0.4.3", "backends!=whisper.cpp"),
        *("models=small", "models=~tiny*", "models!=large-v3", "node=studio", "power=mains"),
        *("memory>=16G,os=macos>=15,power=mains", " memory >= 16G , chip =~ M4* ", "python>=3.11"),
    ],
)
def test_constraints_that_a_mac_meets(text: str) -> None:
    assert labels.unmet(MAC, labels.parse([text])) == []


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("memory>=96G", "memory: 64 GiB; the job asks for memory>=96G"),
        ("memory>64G", "memory: 64 GiB; the job asks for memory>64G"),
        ("memory<64G", "memory: 64 GiB; the job asks for memory<64G"),
        ("chip=~M[12]*", "chip: M4 Max; the job asks for chip=~M[12]*"),
        ("chip=M4", "chip: M4 Max; the job asks for chip=M4"),
        ("os=macos>=26", "version: 15.5; the job asks for version>=26"),
        ("os=macos>15", "version: 15.5; the job asks for version>15"),
        ("os=linux", "os: macos; the job asks for os=linux"),
        ("models=large-v3", "models: tiny.en, small; the job asks for models=large-v3"),
        ("models!=small", "models: tiny.en, small; the job asks for models!=small"),
        ("backends=mlx", "backends: mlx-whisper, mlx-whisper@0.4.3; the job asks for backends=mlx"),
        ("driver>=570", f"driver: {NO_DRIVER}; the job asks for driver>=570"),
        ("driver!=570", f"driver: {NO_DRIVER}; the job asks for driver!=570"),
    ],
)  # fmt: skip
def test_constraints_that_it_does_not_meet_are_named_with_what_it_has(text: str, why: str) -> None:
    assert labels.unmet(MAC, labels.parse([text])) == [why]


def test_a_linux_machine_of_nominal_16_gb_has_16g_as_a_mac_has_it() -> None:
    for seen in (16 * GIB, 16_372_000_000, int(15.4 * GIB)):
        box = Labels(known={"memory": seen})
        assert labels.unmet(box, labels.parse(["memory>=16G", "memory=16G", "memory<=16G"])) == []
        assert len(labels.unmet(box, labels.parse(["memory>16G", "memory<16G"]))) == 2
        assert len(labels.unmet(box, labels.parse(["memory>=18G", "memory<=12G"]))) == 2


def test_kernels_and_drivers_are_compared_by_their_parts() -> None:
    box = Labels(known={"version": "6.8.0-52-generic", "driver": "570.86.15"})
    assert labels.unmet(box, labels.parse(["version>=6.8", "driver>=570", "driver<570.100"])) == []
    assert len(labels.unmet(box, labels.parse(["version>=6.10", "driver>=1000"]))) == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("memory", "'memory' is not a constraint on a node"),
        ("", "'' is not a constraint on a node"),
        ("memory>=16G,", "'' is not a constraint on a node"),
        ("memory>=", "'memory>=' is not a constraint on a node"),
        ("memory=lots", "'memory=lots': 'lots' is not a size, such as 16G"),
        ("cores>=many", "'cores>=many': 'many' is not a whole number, such as 8"),
        ("version>=new", "'version>=new': 'new' is not a version, such as 15.5"),
        ("os=macos>=new", "'os=macos>=new': 'new' is not a version, such as 15.5"),
        ("chip>=M4", "'chip>=M4': chip is a name and has no order"),
        ("ram>=16G", "'ram>=16G': nodes have no label 'ram'"),
    ],
)
def test_what_is_no_constraint_is_refused_with_an_example(text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        labels.parse([text])
    assert caught.value.message == message
    assert caught.value.hint or "such as" in message


sizes = st.integers(1, 1 << 45)


@given(sizes, st.integers(1, 4096))
def test_of_any_size_exactly_one_of_less_equal_and_more_is_true(size: int, gib: int) -> None:
    box = Labels(known={"memory": size})
    met = [not labels.unmet(box, labels.parse([f"memory{each}{gib}G"])) for each in "<=>"]
    assert met.count(True) == 1
    for either, text in (((0, 1), "<="), ((1, 2), ">="), ((0, 2), "!=")):
        found = not labels.unmet(box, labels.parse([f"memory{text}{gib}G"]))
        assert found == any(met[each] for each in either)


@pytest.mark.parametrize(
    "document",
    [
        None, [], "labels", {"known": {"node": ["a", 1]}}, {"known": {"node": None}},
        {"known": {"node": "x" * 10_000}}, {"known": {f"k{n}": "v" for n in range(1000)}},
        {"known": {}, "unknown": {"chip": 3}},
    ],
)  # fmt: skip
def test_what_is_no_labels_is_refused(document: object) -> None:
    with pytest.raises(ValueError, match="no labels"):
        labels.decode(document)
