"""Programs beside the tool: uv, which makes environments, and Swift, which builds bridges."""

from __future__ import annotations

from mac_whisper_speedtest.doctor.lines import Line, State, ok, unknown, warn
from mac_whisper_speedtest.machine.reader import Answer, Reader, Unknown, attempt

_SWIFT_TIMEOUT_S = 8.0  # its first call after an update of macOS is slow


def find_uv() -> str | Unknown:
    """Where the uv package keeps its program.

    Not to be called in two threads at once: some releases of Python 3.11 give the second
    one half of what ``sysconfig`` knows (CPython issue 92452).
    """
    return attempt(_find_uv)


def look(reader: Reader, found: str | Unknown) -> list[Line]:
    """The lines about programs; ``found`` is what :func:`find_uv` says."""
    said = reader.run([found, "--version"]) if isinstance(found, str) else found
    lines = [uv(found, said)]
    if not reader.macos:
        return [*lines, ok("swift", "not needed here: Swift backends are for macOS")]
    developer = reader.run(["/usr/bin/xcode-select", "-p"])
    # Without developer tools, /usr/bin/swift opens a window that offers to install them.
    compiler: Answer = developer
    if isinstance(developer, str):
        compiler = reader.run(["swift", "--version"], timeout_s=_SWIFT_TIMEOUT_S)
    return [*lines, swift(developer, compiler)]


def uv(found: str | Unknown, version: Answer) -> Line:
    """Whether environments for backends can be made.

    Args:
        found: where the uv package keeps its program.
        version: what that says of itself.
    """
    if isinstance(found, Unknown):
        return warn(
            "uv",
            f"not installed: no environments for backends can be made ({found.reason})",
            "python -m pip install uv",
        )
    if isinstance(version, Unknown):
        return unknown("uv", version.reason, "python -m pip install --force-reinstall uv")
    return ok("uv", " ".join(version.split()[:2]).removeprefix("uv "))


def swift(developer: Answer, version: Answer) -> Line:
    """Whether Swift backends can be built on this Mac; nothing else needs it."""
    if isinstance(developer, Unknown):
        seen = f"no developer tools ({developer.reason}); only Swift backends need them"
        return Line("swift", State.OK, seen, "xcode-select --install")
    if isinstance(version, Unknown):
        return unknown("swift", version.reason, "xcode-select -p")
    first = next((line for line in version.splitlines() if "Swift version" in line), version)
    return ok("swift", f"{first.strip()} ({developer})")


def _find_uv() -> str:
    import uv as package

    return package.find_uv_bin()
