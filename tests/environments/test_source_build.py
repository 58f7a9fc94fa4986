"""A library is built from its source: with the recipe's options, without secrets, or not at all."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from environments.test_environments import away_from_every_index, wheel
from mac_whisper_speedtest.backends import recipe as recipes
from mac_whisper_speedtest.backends.recipe import Recipe
from mac_whisper_speedtest.environments import environments, locks, source_build
from mac_whisper_speedtest.environments.environments import Environment
from mac_whisper_speedtest.errors import SpeedtestError, UsageError

BUILT = Recipe(
    name="built",
    distribution="tiny-lib",
    version="1.0",
    build={"TINY_COREML": "1", "TINY_RPATH": "@loader_path"},
    platforms=(sys.platform,),
)

# A build backend inside the source itself: it needs no packages, and keeps what it was built with.
BACKEND = """\
import os, shutil, time, zipfile
from importlib import metadata
from pathlib import Path

def build_wheel(folder, config_settings=None, metadata_directory=None):
    if os.environ.get("TINY_FAULT") == "fail":
        print("ld: error: no library found for -framework CoreML")
        raise SystemExit(1)
    if os.environ.get("TINY_FAULT") == "hang":
        Path(os.environ["TINY_PID"]).write_text(str(os.getpid()))
        time.sleep(600)
    info = "tiny_lib-1.0.dist-info"
    tools = {each.name: each.version for each in metadata.distributions()}
    seen = {**os.environ, **tools, "tool": shutil.which("build-tool") or ""}
    files = {
        "tiny_lib/__init__.py": f"__version__ = '1.0'\\nBUILT_WITH = {seen!r}\\n",
        f"{info}/METADATA": "Metadata-Version: 2.1\\nName: tiny-lib\\nVersion: 1.0\\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{name},,\\n" for name in files) + f"{info}/RECORD,,\\n"
    name = "tiny_lib-1.0-py3-none-any.whl"
    with zipfile.ZipFile(Path(folder) / name, "w") as archive:
        for each, text in files.items():
            archive.writestr(each, text)
    return name
"""
PROJECT = """\
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
[project]
name = "tiny-lib"
version = "1.0"
"""


NEEDS_A_TOOL = PROJECT.replace("requires = []", 'requires = ["tiny-tool"]')


def source(folder: Path, project: str = PROJECT) -> Path:
    """The source distribution of ``tiny-lib``."""
    path = folder / "tiny_lib-1.0.tar.gz"
    files = {
        "pyproject.toml": project,
        "backend.py": BACKEND,
        "PKG-INFO": "Metadata-Version: 2.1\nName: tiny-lib\nVersion: 1.0\n",
    }
    with tarfile.open(path, "w:gz") as archive:
        for name, text in files.items():
            entry = tarfile.TarInfo(f"tiny_lib-1.0/{name}")
            entry.size = len(text.encode())
            archive.addfile(entry, io.BytesIO(text.encode()))
    return path


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that has the library as source and as a wheel, and uv's only index."""
    found = away_from_every_index(tmp_path, monkeypatch)
    wheel(found, "1.0")
    return found


@pytest.fixture
def locked(folder: Path) -> str:
    """The lock names the source alone."""
    digest = hashlib.sha256(source(folder).read_bytes()).hexdigest()
    text = f"tiny-lib==1.0 \\\n    --hash=sha256:{digest}\n"
    locks.save(locks.Lock("built", "1.0", text))
    return text


def install(recipe: Recipe = BUILT) -> tuple[Environment, list[str]]:
    lines: list[str] = []
    return environments.install(recipe, notify=lines.append), lines


def built_with(made: Environment) -> dict[str, str]:
    code = "import json, tiny_lib; print(json.dumps(tiny_lib.BUILT_WITH))"
    done = subprocess.run(
        [made.interpreter, "-P", "-c", code], capture_output=True, text=True, check=True
    )
    found: dict[str, str] = json.loads(done.stdout)
    return found


@pytest.mark.usefixtures("locked")
def test_the_source_is_built_with_the_recipe_s_options_and_nothing_of_the_user_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools = tmp_path / "homebrew"
    tools.mkdir()
    (tools / "build-tool").write_text("#!/bin/sh\n")
    (tools / "build-tool").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    monkeypatch.setenv("HF_TOKEN", "hf_abcdefghijklmnop")
    monkeypatch.setenv("WHISPER_CUDA", "1")
    monkeypatch.setenv("HTTPS_PROXY", "http://me:secret@proxy:3128")

    made, lines = install()

    seen = built_with(made)
    assert {name: seen[name] for name in BUILT.build} == dict(BUILT.build)
    assert seen["PATH"].split(":")[0].endswith("/bin")
    assert seen["PATH"].split(":")[1:] == ["/usr/bin", "/bin", "/usr/sbin", "/sbin"]
    assert seen["tool"] == ""
    assert not {"HF_TOKEN", "WHISPER_CUDA", "HTTPS_PROXY"} & set(seen)
    assert not [name for name in seen if name.startswith("UV_")]
    assert not list(made.path.glob("lib/python*/site-packages/*.pth"))
    assert any("from source, which takes minutes" in line for line in lines)
    assert (made.path / "build.log").stat().st_size > 0
    assert made.compiler == source_build.compiler(BUILT)


@pytest.mark.usefixtures("locked")
def test_other_options_make_another_environment_and_are_built_again() -> None:
    first, _ = install()
    other = replace(BUILT, build={**BUILT.build, "TINY_COREML": "0"})
    assert environments.find(BUILT, "1.0") == first
    assert environments.find(other, "1.0") is None
    second, _ = install(other)
    assert second.path != first.path
    assert built_with(second)["TINY_COREML"] == "0"
    assert environments.find(BUILT, "1.0") == first
    # One whose wheel is installed has neither.
    assert environments.find(replace(BUILT, build={}), "1.0") is None


@pytest.mark.usefixtures("locked")
def test_another_compiler_makes_another_environment_and_the_old_one_stays_usable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first, _ = install()
    monkeypatch.setattr(source_build, "compiler", lambda _recipe: "Apple clang version 99")
    assert environments.find(BUILT, "1.0") == first
    second, _ = install()
    assert second.path != first.path
    assert second.compiler == "Apple clang version 99"
    assert environments.find(BUILT, "1.0") == second


def test_a_wheel_is_never_taken_for_the_source_even_if_its_hash_is_locked(folder: Path) -> None:
    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()]
    assert len(digests) == 1  # there is the wheel alone
    text = f"tiny-lib==1.0 \\\n    --hash=sha256:{digests[0]}\n"
    locks.save(locks.Lock("built", "1.0", text))
    with pytest.raises(SpeedtestError, match="built could not be built"):
        install()
    assert environments.of_recipe(BUILT) == []


def test_a_source_with_another_hash_is_refused(folder: Path, locked: str) -> None:
    locks.save(locks.Lock("built", "1.0", locked[:-10] + "0" * 9 + "\n"))
    with pytest.raises(SpeedtestError, match=r"could not be built: .*[Hh]ash mismatch"):
        install()


@pytest.mark.usefixtures("locked")
def test_a_build_that_fails_says_why_and_keeps_its_log() -> None:
    with pytest.raises(SpeedtestError) as caught:
        install(replace(BUILT, build={"TINY_FAULT": "fail"}))
    assert caught.value.message.startswith("built could not be built: ")
    assert "no library found for -framework CoreML" in caught.value.message
    (log,) = environments.root().glob("*.log")
    assert caught.value.hint.endswith(log.name)
    assert "framework CoreML" in log.read_text(encoding="utf-8")
    assert environments.of_recipe(BUILT) == []


@pytest.mark.usefixtures("locked")
def test_a_build_that_hangs_is_ended_with_all_its_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = functools.partial(source_build.install, timeout_s=5.0)
    monkeypatch.setattr(source_build, "install", quick)
    pid = tmp_path / "pid"
    began = time.monotonic()
    with pytest.raises(SpeedtestError, match="was not built within"):
        install(replace(BUILT, build={"TINY_FAULT": "hang", "TINY_PID": str(pid)}))
    assert time.monotonic() - began < 60
    with contextlib.suppress(psutil.NoSuchProcess):
        assert psutil.Process(int(pid.read_text())).status() == psutil.STATUS_ZOMBIE


def test_without_a_compiler_the_command_that_installs_one_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recipes, "this_platform", lambda: "darwin-arm64")
    tools = tmp_path / "xcode-select"
    tools.write_text("#!/bin/sh\necho 'xcode-select: error: no developer tools' >&2\nexit 2\n")
    tools.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match=r"built is built from source, and there is no C\+\+") as e:
        source_build.compiler(BUILT)
    assert e.value.hint == "xcode-select --install"


# What has no wheels is built, too, by uv: with the tools that the same lock has.


@pytest.mark.parametrize("version", ["1.0", "2.0"])
def test_a_release_without_wheels_is_built_with_the_tools_of_its_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    folder = away_from_every_index(tmp_path, monkeypatch)
    tools = {each: wheel(folder, each, name="tiny-tool") for each in ("1.0", "2.0", "3.0")}
    plain = locked_with_tool(folder, version, tools[version])
    assert built_with(environments.install(plain, notify=print))["tiny-tool"] == version


def locked_with_tool(folder: Path, version: str, tool: Path) -> Recipe:
    """A recipe whose release is a source that needs ``tiny-tool``, with its lock."""
    pins = {"tiny-lib==1.0": source(folder, NEEDS_A_TOOL), f"tiny-tool=={version}": tool}
    text = "".join(
        f"{pin} \\\n    --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}\n"
        for pin, path in pins.items()
    )
    locks.save(locks.Lock("plain", "1.0", text))
    return Recipe("plain", "tiny-lib", "1.0", platforms=(sys.platform,))
