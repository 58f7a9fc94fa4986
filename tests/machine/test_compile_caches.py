"""Whether Core ML compiled before, on constructed homes."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest

from mac_whisper_speedtest.machine import caches
from mac_whisper_speedtest.machine.caches import Caches
from mac_whisper_speedtest.machine.reader import Unknown


def bundles(home: Path, program: str, build: str) -> Path:
    return home / "Library" / "Caches" / program / "com.apple.e5rt.e5bundlecache" / build


def test_a_bundle_of_this_program_and_build_is_a_cache(tmp_path: Path) -> None:
    bundle = bundles(tmp_path, "bridge", "25A354") / "A1"
    bundle.mkdir(parents=True)
    seen = caches.compile_caches("bridge", home=tmp_path, build="25A354")
    assert caches.cache_state("ane", seen) == caches.PRESENT
    assert caches.cache_state("coreml", seen) == caches.PRESENT


@pytest.mark.parametrize(("program", "build"), [("other", "25A354"), ("bridge", "25B1")])
def test_one_of_another_program_or_system_is_none(tmp_path: Path, program: str, build: str) -> None:
    (bundles(tmp_path, "bridge", "25A354") / "A1").mkdir(parents=True)
    seen = caches.compile_caches(program, home=tmp_path, build=build)
    assert caches.cache_state("ane", seen) == caches.ABSENT


def test_an_empty_folder_is_none(tmp_path: Path) -> None:
    own, shared = bundles(tmp_path, "bridge", "25A354"), bundles(tmp_path, "", "25A354")
    own.mkdir(parents=True)
    assert caches.compile_caches("bridge", home=tmp_path, build="25A354") == Caches(
        coreml=False, folders=(own, shared)
    )


def test_the_cache_that_all_programs_share_does_not_say_whose_bundles_it_has(
    tmp_path: Path,
) -> None:
    shared = bundles(tmp_path, "", "25A354")
    (shared / "A1").mkdir(parents=True)
    seen = caches.compile_caches("bridge", home=tmp_path, build="25A354")
    assert caches.cache_state("ane", seen) == (
        "unknown: only the cache that all programs share has bundles"
    )
    assert seen.folders == (bundles(tmp_path, "bridge", "25A354"), shared)
    (bundles(tmp_path, "bridge", "25A354") / "A1").mkdir(parents=True)
    seen = caches.compile_caches("bridge", home=tmp_path, build="25A354")
    assert caches.cache_state("ane", seen) == caches.PRESENT


@pytest.mark.parametrize("name", ["python3.11", "Python", "org.python.python"])
def test_a_python_that_is_a_framework_has_a_cache_under_another_name(
    tmp_path: Path, name: str
) -> None:
    (bundles(tmp_path, name, "25A354") / "A1").mkdir(parents=True)
    seen = caches.compile_caches("python3.11", home=tmp_path, build="25A354")
    assert caches.cache_state("coreml", seen) == caches.PRESENT
    newer = caches.compile_caches("python3.11", home=tmp_path, build="25B78")
    assert caches.cache_state("coreml", newer).startswith("unknown: a Python may have its cache")
    other = caches.compile_caches("speedtest-whisperkit", home=tmp_path, build="25A354")
    assert caches.cache_state("coreml", other) == caches.ABSENT


@pytest.mark.parametrize(
    ("device", "devices", "uses"),
    [
        ("ane", ("ane", "gpu", "cpu"), True),
        ("coreml", ("coreml",), True),
        ("gpu", ("ane", "gpu", "cpu"), False),
        ("cpu", ("ane", "gpu", "cpu"), False),
        ("auto", ("ane", "gpu", "cpu"), True),
        ("auto", ("coreml",), True),
        ("auto", ("cpu", "gpu", "metal", "coreml"), False),  # whisper.cpp, usually without it
        ("auto", (), False),
    ],
)
def test_which_loads_use_core_ml(device: str, devices: tuple[str, ...], uses: bool) -> None:
    assert caches.uses_core_ml(device, devices) is uses


def test_the_cpu_compiles_nothing_and_metal_cannot_be_known() -> None:
    seen = Caches(Unknown("not looked"))
    assert caches.cache_state("cpu", seen) == caches.NOTHING
    assert caches.cache_state("metal", seen).startswith("unknown: Metal")
    assert caches.cache_state("ane", seen) == "unknown: not looked"


@pytest.mark.skipif(platform.system() == "Darwin", reason="this is what other systems say")
def test_without_core_ml_there_is_nothing_to_see() -> None:
    seen = caches.compile_caches("bridge")
    assert (isinstance(seen.coreml, Unknown), seen.folders) == (True, ())
