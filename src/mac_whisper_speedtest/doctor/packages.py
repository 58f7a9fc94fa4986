"""Whether the installed packages meet the tool's requirements, and which microphones there are."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata

from packaging.requirements import InvalidRequirement, Requirement
from packaging.version import InvalidVersion, Version

from mac_whisper_speedtest.doctor.lines import CheckupLine, fail, ok, unknown, warn
from mac_whisper_speedtest.machine.reader import Answer, Reader, Unknown

DISTRIBUTION = "mac-whisper-speedtest"
IMPORT_NAME = "mac_whisper_speedtest"
_LONGEST_SCRIPT = 10_000
"""Bytes; a script that starts a package names it within a few hundred."""


@dataclass(frozen=True, slots=True)
class Installed:
    """A distribution: its version, and its requirements as PEP 508 lines."""

    version: str
    requires: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Conflict:
    """A requirement that is not met.

    Attributes:
        by: the distribution that declares it.
        requirement: without its environment marker.
        found: the installed version; empty for none.
    """

    by: str
    requirement: str
    found: str

    def __str__(self) -> str:
        has = f"has {self.found}" if self.found else "it is not installed"
        return f"{self.by} needs {self.requirement}, {has}"


Lookup = Callable[[str], Installed | None]


def inspect_command() -> CheckupLine:
    """Whether ``speedtest`` starts this tool: Ookla's and speedtest-cli's have the same name."""
    found = shutil.which("speedtest")
    if found is None:
        return ok("command", "no speedtest on PATH")
    try:
        with open(found, "rb") as stream:  # noqa: PTH123 - the first bytes alone
            ours = IMPORT_NAME.encode() in stream.read(_LONGEST_SCRIPT)
    except OSError as error:
        return unknown("command", f"{found}: {error.strerror}")
    if ours:
        return ok("command", f"speedtest is {found}")
    return warn(
        "command",
        f"speedtest on PATH is another program: {found}",
        f"{DISTRIBUTION} starts this tool",
    )


def inspect_packages() -> CheckupLine:
    """The line about packages."""
    return judge_packages(DISTRIBUTION, installed)


def installed(name: str) -> Installed | None:
    """The distribution of that name in the tool's environment, or ``None``."""
    try:
        found = metadata.distribution(name)
    except (metadata.PackageNotFoundError, ValueError):
        return None
    return Installed(found.version, tuple(found.requires or ()))


def judge_packages(root: str, lookup: Lookup) -> CheckupLine:
    """Whether all requirements are met; only an unmet one of ``root`` itself fails the check."""
    topic = "packages"
    own = lookup(root)
    if own is None:
        return unknown(topic, f"{root} is not installed as a package")
    found = list(conflicts(root, lookup))
    if not found:
        return ok(topic, f"{root} {own.version} and all its requirements are met")
    seen = "; ".join(map(str, found))
    then = _install(found)
    if any(conflict.by == root for conflict in found):
        return fail(topic, seen, then)
    return warn(topic, seen, then)


def conflicts(root: str, lookup: Lookup) -> Iterator[Conflict]:
    """Every requirement of ``root``, direct or indirect, that is not met."""
    waiting: list[tuple[str, frozenset[str]]] = [(root, frozenset())]
    visited = set()
    while waiting:
        name, extras = waiting.pop(0)
        normal = re.sub(r"[-_.]+", "-", name).lower()
        if (normal, extras) in visited:
            continue
        visited.add((normal, extras))
        here = lookup(name)
        for requirement in _needed(here.requires if here else (), extras):
            there = lookup(requirement.name)
            if there is None or not _meets(requirement, there.version):
                requested = Requirement(str(requirement))
                requested.marker = None
                yield Conflict(name, str(requested), there.version if there else "")
            if there is not None:
                waiting.append((requirement.name, frozenset(requirement.extras)))


def _needed(lines: Sequence[str], extras: frozenset[str]) -> Iterator[Requirement]:
    """The requirements for this machine and Python, with these extras."""
    for line in lines:
        try:
            requirement = Requirement(line)
        except InvalidRequirement:
            continue  # invalid metadata that pip accepted
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in extras | {""}):
            yield requirement


def _meets(requirement: Requirement, version: str) -> bool:
    try:
        return requirement.specifier.contains(Version(version), prereleases=True)
    except InvalidVersion:
        return True  # an in-house version that cannot be compared


def _install(found: Sequence[Conflict]) -> str:
    requirements = dict.fromkeys(conflict.requirement for conflict in found)
    return f"python -m pip install {' '.join(map(shlex.quote, requirements))}"


# Microphones. Only kinds and counts are shown: device names often contain their owner's name.


_TIMEOUT_S = 8.0  # system_profiler queries every Bluetooth device
_TOPIC = "microphone"
_KIND = "coreaudio_device_type_"


def inspect_microphone(reader: Reader) -> list[CheckupLine]:
    """The line about microphones. None is needed for measuring."""
    if reader.macos:
        listing = ["/usr/sbin/system_profiler", "SPAudioDataType", "-json"]
        return [macos_microphones(reader.run(listing, timeout_s=_TIMEOUT_S))]
    cards, devices = reader.read("/proc/asound/cards"), reader.read("/proc/asound/pcm")
    return [linux_microphones(cards, devices)]


def macos_microphones(listed: Answer) -> CheckupLine:
    """The input devices that system_profiler lists, by kind."""
    if isinstance(listed, Unknown):
        return unknown(_TOPIC, listed.reason)
    try:
        items = [item for part in json.loads(listed)["SPAudioDataType"] for item in part["_items"]]
        inputs = [item for item in items if item.get("coreaudio_device_input")]
        kinds = [
            str(item.get("coreaudio_device_transport", "?")).removeprefix(_KIND) for item in inputs
        ]
    except (ValueError, LookupError, TypeError, AttributeError):
        return unknown(_TOPIC, "system_profiler's list cannot be read")
    return _microphones(len(kinds), f" ({', '.join(kinds)})")


def linux_microphones(cards: Answer, devices: Answer) -> CheckupLine:
    """The capture devices that ALSA lists."""
    if isinstance(cards, Unknown):
        return unknown(_TOPIC, cards.reason)
    if isinstance(devices, Unknown):
        return unknown(_TOPIC, devices.reason)
    count = len(re.findall(r":\s*capture \d+", devices))
    return _microphones(0 if "no soundcards" in cards else count)


def _microphones(count: int, kinds: str = "") -> CheckupLine:
    if not count:
        return ok(_TOPIC, "none; only recording needs one")
    return ok(_TOPIC, f"{count} input{'s' * (count > 1)}{kinds}")
