"""What can be installed on which system: left out with the reason, and never an error."""

from __future__ import annotations

import platform
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from conftest import Call
from mac_whisper_speedtest.backends import recipe as recipes
from mac_whisper_speedtest.backends import registry
from mac_whisper_speedtest.backends.recipe import Recipe
from mac_whisper_speedtest.environments import installations, source_build, toolchain, uv
from mac_whisper_speedtest.errors import SpeedtestError
from mac_whisper_speedtest.worker import launch

SWIFT = ("whisperkit", "fluidaudio")
MLX = ("mlx-whisper", "whisper-mps", "lightning-whisper-mlx", "parakeet-mlx")
ANYWHERE = ("faster-whisper", "whisper.cpp", "openai-whisper", "insanely-fast-whisper")
KNOWN = {"apple-speech", "whisper.cpp-coreml", *SWIFT, *MLX, *ANYWHERE}
KNOWN |= {"moonshine-voice", "whisperx"}

FOR_MACS = dict.fromkeys(("apple-speech", "whisper.cpp-coreml", *SWIFT), "macOS only")
MACHINES: dict[tuple[str, str], dict[str, str]] = {
    ("darwin-arm64", "14.7.1"): {
        "apple-speech": "needs macOS 26",
        "moonshine-voice": "needs macOS 15",
    },
    ("darwin-arm64", "15.5"): {"apple-speech": "needs macOS 26"},
    ("darwin-arm64", "26.2"): {},
    ("darwin-x86_64", "14.7.1"): {
        **dict.fromkeys((*MLX, *ANYWHERE, "moonshine-voice"), "Apple silicon and Linux only"),
        **dict.fromkeys(FOR_MACS, "Apple silicon only"),
        "whisperx": "Apple silicon and Linux on x86-64 only",
    },
    ("linux-x86_64", "2.28"): {
        **FOR_MACS,
        **dict.fromkeys(MLX, "needs glibc 2.35"),
        "moonshine-voice": "needs glibc 2.34",
    },
    ("linux-x86_64", "2.35"): FOR_MACS,
    ("linux-x86_64", "2.39"): FOR_MACS,
    ("linux-aarch64", "2.39"): {
        **FOR_MACS,
        "whisperx": "Apple silicon and Linux on x86-64 only",
    },
    # musl, such as Alpine's
    ("linux-x86_64", "0"): {
        **dict.fromkeys((*ANYWHERE, "whisperx"), "needs glibc 2.28"),
        **dict.fromkeys(MLX, "needs glibc 2.35"),
        "moonshine-voice": "needs glibc 2.34",
        **FOR_MACS,
    },
    # A C library that Python cannot name is no reason to leave anything out.
    ("linux-x86_64", ""): FOR_MACS,
}
PYTHONS = ("3.11.9", "3.12.4", "3.13.1", "3.14.0")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Nothing is installed: the names of the recipes that would have been. All tools are there."""
    names: list[str] = []

    def install(recipe: recipes.AnyRecipe, *_: object, **__: object) -> SimpleNamespace:
        names.append(recipe.name)
        return SimpleNamespace(version=recipe.version)

    def no_other_python(*arguments: object, **_: object) -> str:
        assert arguments[:2] == ("python", "find")
        raise SpeedtestError("uv python failed: No interpreter found")

    monkeypatch.setattr(installations, "install", install)
    monkeypatch.setattr(toolchain, "check", lambda _recipe: None)
    monkeypatch.setattr(source_build, "compiler", lambda _recipe: "c++")
    monkeypatch.setattr(uv, "call", no_other_python)
    return names


def be(monkeypatch: pytest.MonkeyPatch, name: str, release: str, python: str) -> None:
    """Make the tool take this machine for another one."""
    monkeypatch.setattr(recipes, "this_platform", lambda: name)
    monkeypatch.setattr(recipes, "system_release", lambda: release)
    monkeypatch.setattr(platform, "python_version", lambda: python)


def left_out(err: str) -> dict[str, str]:
    return dict(re.findall(r"^(\S+): left out: (.*)$", err, re.MULTILINE))


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("machine", MACHINES, ids="-".join)
def test_all_leaves_out_what_cannot_work_with_the_reason_and_ends_well(
    asked: list[str],
    speedtest: Call,
    monkeypatch: pytest.MonkeyPatch,
    machine: tuple[str, str],
    python: str,
) -> None:
    expected = dict(MACHINES[machine])
    if python.startswith("3.14"):
        why = "needs Python >=3.11,<3.14; this is 3.14.0, and uv found no other that fits"
        expected.setdefault("whisperx", why)
    be(monkeypatch, *machine, python)
    code, _, err = speedtest("backends", "install", "--all")
    left = left_out(err)
    assert code == 0
    assert {name: why for name, why in left.items() if name in KNOWN} == expected
    assert set(asked) & KNOWN == KNOWN - set(expected)
    assert not set(asked) & set(left)
    assert len(asked) == len(set(asked))
    # Every other place that decides it agrees.
    for backend in registry.installed().values():
        if backend.recipe and backend.recipe.name in MACHINES[machine]:
            assert recipes.unsuited(backend.recipe) == MACHINES[machine][backend.recipe.name]
            assert "not for this machine: " in launch.not_installed(backend)


def test_one_that_should_work_and_fails_is_an_error_still(
    asked: list[str], speedtest: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(recipe: recipes.AnyRecipe, *_: object, **__: object) -> SimpleNamespace:
        if recipe.name == "whisper.cpp":
            raise SpeedtestError("uv pip failed: no such wheel")
        asked.append(recipe.name)
        return SimpleNamespace(version=recipe.version)

    monkeypatch.setattr(installations, "install", broken)
    be(monkeypatch, "darwin-arm64", "14.7.1", "3.12.4")
    code, _, err = speedtest("backends", "install", "--all")
    assert code == SpeedtestError("").exit_code
    assert "whisper.cpp: not installed: uv pip failed: no such wheel" in err
    assert "faster-whisper" in asked


def test_naming_one_that_cannot_work_is_refused_with_what_this_is(
    speedtest: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    be(monkeypatch, "darwin-arm64", "14.7.1", "3.12.4")
    code, _, err = speedtest("backends", "install", "moonshine-voice")
    assert code == 2
    assert "moonshine-voice: needs macOS 15 (this is darwin-arm64, macOS 14.7.1)" in err
    facts = speedtest("backends", "info", "moonshine-voice", "--json").json
    assert facts["works_on_this_platform"] is False
    assert facts["needs"] == ["macOS 15 or newer", "glibc 2.34 or newer"]


@pytest.mark.parametrize(("limit", "installed"), [("1GB", True), ("900MB", False)])
def test_the_size_that_counts_is_that_of_the_platform(
    asked: list[str],
    speedtest: Call,
    monkeypatch: pytest.MonkeyPatch,
    limit: str,
    installed: bool,
) -> None:
    """whisperx is 7 GB on Linux, with CUDA, and 0.9 GB on a Mac."""
    be(monkeypatch, "darwin-arm64", "15.5", "3.12.4")
    _, _, err = speedtest("backends", "install", "--all", "--max-size", limit)
    assert ("whisperx" in asked, "whisperx" in left_out(err)) == (installed, not installed)
    be(monkeypatch, "linux-x86_64", "2.39", "3.12.4")
    _, _, err = speedtest("backends", "install", "--all", "--max-size", limit)
    assert left_out(err)["whisperx"].startswith("7.0 GB is more than ")


ROSETTA = "this Python is for Intel Macs, under Rosetta: use one for Apple silicon"


@pytest.mark.parametrize(("translated", "why"), [("1", ROSETTA), ("0", "Apple silicon only")])
def test_an_intel_python_on_apple_silicon_is_told_apart_from_an_intel_mac(
    monkeypatch: pytest.MonkeyPatch, translated: str, why: str
) -> None:
    answers = {("/usr/sbin/sysctl", "-n", "sysctl.proc_translated"): translated}
    monkeypatch.setattr(recipes, "printed_by", lambda *command: answers[command])
    be(monkeypatch, "darwin-x86_64", "15.5", "3.12.4")
    assert recipes.unsuited(Recipe("t", "t", "1", platforms=("darwin-arm64",))) == why


@pytest.mark.parametrize(
    ("told", "release"), [("14.7.1", "14.7.1"), ("26.2", "26.2"), ("16.0", "26.2")]
)
def test_a_python_that_is_told_of_macos_16_asks_the_system(
    monkeypatch: pytest.MonkeyPatch, told: str, release: str
) -> None:
    answers = {("/usr/bin/sw_vers", "-productVersion"): "26.2"}
    monkeypatch.setattr(recipes, "printed_by", lambda *command: answers[command])
    monkeypatch.setattr(recipes, "this_platform", lambda: "darwin-arm64")
    monkeypatch.setattr(platform, "mac_ver", lambda: (told, ("", "", ""), "arm64"))
    assert recipes.system_release() == release
    assert recipes.this_system() == f"darwin-arm64, macOS {release}"


@pytest.mark.parametrize(
    ("library", "release"), [(("glibc", "2.31"), "2.31"), (("musl", "1.2.5"), "0"), (("", ""), "")]
)
def test_the_release_of_linux_is_that_of_its_c_library(
    monkeypatch: pytest.MonkeyPatch, library: tuple[str, str], release: str
) -> None:
    monkeypatch.setattr(recipes, "this_platform", lambda: "linux-x86_64")
    monkeypatch.setattr(platform, "libc_ver", lambda: library)
    assert recipes.system_release() == release


def test_a_program_that_is_not_there_has_printed_nothing(tmp_path: Path) -> None:
    assert recipes.printed_by(str(tmp_path / "sysctl"), "-n", "x") == ""
    assert recipes.printed_by("/bin/sh", "-c", "echo 1; exit 1") == ""
    assert recipes.printed_by("/bin/sh", "-c", "echo 1") == "1"
