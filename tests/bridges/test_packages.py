"""Every Swift package: it builds without a warning in both language modes, and its tests pass.

The real frameworks exist on macOS only. Elsewhere the bridges are built against declarations, so
that a call which does not exist fails here.
"""

from __future__ import annotations

import pytest

from bridges.conftest import BUILD_S, PACKAGES, BuildPackage, SwiftPackages, unavailable

PACKAGE_NAMES = sorted(path.parent.name for path in PACKAGES.glob("*/Package.swift"))
"""Those in the tree; the stubs are one level further down."""

PROGRAMS = {
    "protocol": "speedtest-echo",
    # SwiftPM would take a folder ``fluidaudio`` for the package FluidAudio.
    "fluid-audio": "speedtest-fluidaudio",
}
"""Programs that are not called as their package."""

pytestmark = pytest.mark.timeout(2 * BUILD_S)


@pytest.mark.parametrize("mode", [5, 6])
@pytest.mark.parametrize("package", PACKAGE_NAMES)
def test_a_package_builds_without_a_warning(
    package: str, mode: int, build_package: BuildPackage
) -> None:
    program = PROGRAMS.get(package, f"speedtest-{package}")
    assert (build_package(package, mode) / program).is_file()


@pytest.mark.parametrize("package", PACKAGE_NAMES)
def test_a_package_s_own_tests_pass(package: str, swift_packages: SwiftPackages) -> None:
    if reason := unavailable(package):
        pytest.skip(reason)
    output = swift_packages.test(package)
    assert " passed after " in output, output  # what Swift Testing prints, if there was a test
    assert "Test run with 0 tests" not in output
