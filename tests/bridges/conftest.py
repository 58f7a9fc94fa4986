"""The Swift packages, each built once per language mode, and a worker to talk to.

Builds are kept in the tests' cache, so that an unchanged package costs a second. Where there is no
Swift, everything that needs one is skipped.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mac_whisper_speedtest import files
from mac_whisper_speedtest.backends.backend import Backend
from mac_whisper_speedtest.worker.conformance.client import Client
from mac_whisper_speedtest.worker.launch import launch

ROOT = Path(__file__).parents[2]
PACKAGES = ROOT / "bridges" / "swift"
BUILD_S = 900
"""Seconds for one build: from nothing, on two slow cores that other tests also use."""
_PASSED = ("PATH", "LANG", "TMPDIR", "DEVELOPER_DIR", "SDKROOT", "LD_LIBRARY_PATH")
"""Of the environment. SwiftPM reads every manifest again when anything else changes."""

BuildPackage = Callable[..., Path]
"""A package's name, and optionally the language mode → the folder with its programs."""


class SwiftPackages:
    """Builds packages of ``bridges/swift`` against the stubs, warnings being errors.

    Each has a folder of its own per language mode. In a shared one SwiftPM removes the programs of
    the package before, and has taken the plan of that build for the next one.
    """

    def __init__(self, swift: str, cache: Path) -> None:
        self._swift = swift
        checkout = hashlib.sha256(str(PACKAGES).encode()).hexdigest()[:8]
        self._folder = cache / "swift-builds" / checkout

    @functools.cache  # noqa: B019 - one instance per session
    def build(self, package: str, mode: int = 5) -> Path:
        """The folder with the package's programs; in mode 5 its tests are built as well."""
        with self._locked(package, mode) as scratch:
            self._build(package, mode)
            # A link, which every build makes again: its target is always there.
            return (scratch / "debug").resolve(strict=True)

    def test(self, package: str) -> str:
        """Run the package's own tests; returns what they printed."""
        with self._locked(package, 5):
            self._build(package, 5)
            return self._call("test", package, 5, "--skip-build")

    def _build(self, package: str, mode: int) -> None:
        self._call("build", package, mode, *(["--build-tests"] if mode == 5 else []))

    @contextlib.contextmanager
    def _locked(self, package: str, mode: int) -> Iterator[Path]:
        """The folder of that build, for this process alone."""
        scratch = self._scratch(package, mode)
        with files.locked(scratch.with_name(f"{scratch.name}.lock")):
            yield scratch

    def _scratch(self, package: str, mode: int) -> Path:
        return self._folder / f"{package}-{mode}"

    def _call(self, command: str, package: str, mode: int, *options: str) -> str:
        environment = {name: os.environ[name] for name in _PASSED if name in os.environ}
        environment |= {"SPEEDTEST_STUBS": "1", "SPEEDTEST_SWIFT_MODE": str(mode)}
        environment["HOME"] = str(self._folder / "home")  # Swift's caches and settings go there
        words = [self._swift, command, "--package-path", str(PACKAGES / package)]
        words += ["--scratch-path", str(self._scratch(package, mode))]
        words += ["-Xswiftc", "-warnings-as-errors", *options]
        done = subprocess.run(
            words, env=environment, capture_output=True, text=True, check=False, timeout=BUILD_S
        )
        assert done.returncode == 0, f"{' '.join(words)}\n{done.stdout}\n{done.stderr}"
        return done.stdout


@functools.cache
def has_swift() -> bool:
    """Whether there is a compiler: on a Mac without one, a program of that name still exists."""
    found = shutil.which("swift")
    if found is None:
        return False
    asked = [found, "--version"]
    return subprocess.run(asked, capture_output=True, check=False, timeout=60).returncode == 0


def unavailable(package: str) -> str:
    """Why a package cannot be built here; empty if it can."""
    if not has_swift():
        return "no Swift on PATH: the bridges are not built"
    if sys.platform == "darwin" and package != "protocol":
        return "a Mac has the real frameworks: .github/workflows/bridges.yml builds with them"
    return ""


@pytest.fixture(scope="session")
def swift_packages(shared_cache: Path) -> SwiftPackages:
    """The builder; skips where there is no Swift."""
    swift = shutil.which("swift")
    if swift is None or not has_swift():
        pytest.skip(unavailable(""))
    return SwiftPackages(swift, shared_cache)


@pytest.fixture(scope="session")
def build_package(swift_packages: SwiftPackages) -> BuildPackage:
    """Build a package: ``build_package("whisperkit") / "speedtest-whisperkit"``."""

    def build(package: str, mode: int = 5) -> Path:
        if reason := unavailable(package):
            pytest.skip(reason)
        return swift_packages.build(package, mode)

    return build


@pytest.fixture(scope="session")
def echo(build_package: BuildPackage) -> Path:
    """The program ``speedtest-echo``."""
    return build_package("protocol") / "speedtest-echo"


@pytest.fixture
def start_worker(tmp_path: Path) -> Iterator[Callable[..., Client]]:
    """Start a program as the tool does: ``start_worker(echo, VARIABLE="value")``."""
    clients: list[Client] = []

    def start(program: Path, **environment: str) -> Client:
        backend = Backend(name=program.name, command=(str(program),), environment=environment)
        started = launch(backend, scratch=tmp_path, threads=1)
        assert started is not None
        clients.append(Client(started))
        return clients[-1]

    yield start
    for client in clients:
        client.kill()
