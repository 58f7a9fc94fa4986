"""The Python that the tool runs in, and whether the machine's processor runs it without help."""

from __future__ import annotations

import platform
import sys

from mac_whisper_speedtest.doctor.lines import Line, fail, ok, unknown
from mac_whisper_speedtest.machine.reader import Answer, Reader, Unknown

OLDEST_PYTHON = (3, 11)
"""As ``requires-python`` in pyproject.toml."""

_ARM64_PYTHON = "uv python install 3.12, and install the tool with that one"


def look(reader: Reader) -> list[Line]:
    """The lines about this interpreter."""
    # A translated process's children are translated too, so sysctl can answer for this one.
    translated = reader.run(["/usr/sbin/sysctl", "-n", "sysctl.proc_translated"])
    version = sys.version_info
    return [
        python(
            (version.major, version.minor, version.micro),
            f"{platform.python_implementation()}, {platform.machine()}",
        ),
        architecture(platform.machine(), translated, macos=reader.macos),
    ]


def python(version: tuple[int, int, int], kind: str) -> Line:
    """Whether Python is one that the tool supports."""
    seen = f"{'.'.join(map(str, version))} ({kind})"
    if version[:2] < OLDEST_PYTHON:
        oldest = ".".join(map(str, OLDEST_PYTHON))
        return fail("python", f"{seen}, older than {oldest}", f"uv python install {oldest}")
    return ok("python", seen)


def architecture(machine: str, translated: Answer, *, macos: bool) -> Line:
    """Whether this Python's instructions are the processor's own.

    Args:
        machine: what this Python was built for, such as ``arm64``.
        translated: what ``sysctl -n sysctl.proc_translated`` says: 1 under Rosetta, 0 without, and
            an error on an Intel Mac, which has no such name.
        macos: whether this is macOS.
    """
    topic = "architecture"
    if not macos or machine == "arm64":
        return ok(topic, f"{machine}, native")
    if translated == "1":
        return fail(
            topic,
            f"{machine} under Rosetta: slow, and without MLX and Metal",
            _ARM64_PYTHON,
        )
    if isinstance(translated, Unknown) and "unknown oid" not in translated.reason:
        return unknown(topic, f"{machine}; whether under Rosetta: {translated.reason}")
    return ok(topic, f"{machine}, native: an Intel Mac, on which MLX does not work")
