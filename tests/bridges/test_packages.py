"""Every Swift package: it builds without a warning in both language modes, and its tests pass.

The real frameworks exist on macOS only. Elsewhere the bridges are built against declarations, so
that a call which does not exist fails here.
"""

from __future__ import annotations

import os
import re
import subprocess

import pytest

from bridges.conftest import BUILD_S, PACKAGES, BuildPackage, SwiftPackages, unavailable
from mac_whisper_speedtest.backends.adapter import ModelParams
from mac_whisper_speedtest.backends.backend import Backend
from mac_whisper_speedtest.worker import conformance
from mac_whisper_speedtest.worker.conformance import CheckStatus

PACKAGE_NAMES = sorted(path.parent.name for path in PACKAGES.glob("*/Package.swift"))
"""Those in the tree; the stubs are one level further down."""

WITHOUT_A_MODEL = {
    *("hello", "unknown-method", "malformed-line", "framing", "wrong-state", "ids"),
    *("shutdown", "eof-idle", "leftovers", "stdout"),
}
"""Checks that a worker passes which cannot load."""

FORMATTER = "6.3.1"

pytestmark = pytest.mark.timeout(2 * BUILD_S)


def program_of(package: str) -> str:
    """The program that a manifest promises, under the name that it has for ever."""
    manifest = (PACKAGES / package / "Package.swift").read_text(encoding="utf-8")
    (name,) = re.findall(r'\.executable\(name: "(speedtest-[a-z-]+)"', manifest)
    return str(name)


@pytest.mark.parametrize("mode", [5, 6])
@pytest.mark.parametrize("package", PACKAGE_NAMES)
def test_a_package_builds_without_a_warning(
    package: str, mode: int, build_package: BuildPackage
) -> None:
    assert os.access(build_package(package, mode) / program_of(package), os.X_OK)


@pytest.mark.parametrize("package", PACKAGE_NAMES)
def test_a_package_s_own_tests_pass(package: str, swift_packages: SwiftPackages) -> None:
    if reason := unavailable(package):
        pytest.skip(reason)
    output = swift_packages.test(package)
    assert " passed after " in output, output  # what Swift Testing prints, if there was a test
    assert "Test run with 0 tests" not in output


def test_sources_are_formatted(swift_packages: SwiftPackages) -> None:
    words = ["swift", "format", "lint", "--strict", "--recursive", str(PACKAGES)]
    version = subprocess.run([*words[:2], "--version"], capture_output=True, text=True, check=False)
    if version.stdout.strip() != FORMATTER:
        pytest.skip(f"formatted with swift format {FORMATTER}; others may break lines elsewhere")
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"swift format --in-place --recursive {PACKAGES}\n{done.stderr}"


@pytest.mark.parametrize("package", [name for name in PACKAGE_NAMES if name != "protocol"])
def test_a_bridge_without_its_frameworks_is_a_good_worker_that_cannot_load(
    package: str, build_package: BuildPackage
) -> None:
    program = build_package(package) / program_of(package)
    subject = conformance.ConformanceSubject(
        backend=Backend(package, command=(str(program),)),
        model=ModelParams(name="tiny.en", path=str(program), format="own"),
        samples=conformance.speech_like(1.0),
        timeout_s=20,
        eof_idle_s=5,
        children_grace_s=0.3,
        eof_busy_s=5,
    )
    outcomes: dict[CheckStatus, set[str]] = {outcome: set() for outcome in CheckStatus}
    for finding in conformance.run(subject):
        outcomes[finding.outcome].add(finding.check)
    # Which of the two errors it gives, its own tests say.
    assert {"load"} <= outcomes[CheckStatus.FAILED] <= {"load", "missing-model"}
    assert outcomes[CheckStatus.DOUBTED] == set()
    assert outcomes[CheckStatus.PASSED] >= WITHOUT_A_MODEL
