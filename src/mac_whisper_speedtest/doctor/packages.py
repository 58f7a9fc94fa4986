"""Whether what the tool declares to need is what is installed, all the way down."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata

from packaging.requirements import InvalidRequirement, Requirement
from packaging.version import InvalidVersion, Version

from mac_whisper_speedtest.doctor.lines import CheckupLine, fail, ok, unknown, warn
from mac_whisper_speedtest.machine.reader import Answer, Reader, Unknown

DISTRIBUTION = "mac-whisper-speedtest"


@dataclass(frozen=True, slots=True)
class Installed:
    """A distribution: its version, and its requirements as PEP 508 lines."""

    version: str
    requires: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Conflict:
    """A requirement that what is installed does not meet.

    Attributes:
        by: the distribution that asks.
        requirement: what it asks for, without the condition it asks on.
        found: the version that is there; empty for none.
    """

    by: str
    requirement: str
    found: str

    def __str__(self) -> str:
        """In one phrase."""
        has = f"has {self.found}" if self.found else "it is not installed"
        return f"{self.by} needs {self.requirement}, {has}"


Look = Callable[[str], Installed | None]


def inspect_packages() -> CheckupLine:
    """The line about packages."""
    return judge_microphone(DISTRIBUTION, installed)


def installed(name: str) -> Installed | None:
    """The distribution of that name beside the tool, or ``None``."""
    try:
        found = metadata.distribution(name)
    except (metadata.PackageNotFoundError, ValueError):
        return None
    return Installed(found.version, tuple(found.requires or ()))


def judge_microphone(root: str, lookup: Look) -> CheckupLine:
    """Whether ``root`` has what it needs. Its own needs are the tool's; the rest may do without."""
    topic = "packages"
    own = lookup(root)
    if own is None:
        return unknown(topic, f"{root} is not installed as a package")
    found = list(conflicts(root, lookup))
    if not found:
        return ok(topic, f"{root} {own.version} and all that it needs fit together")
    seen = "; ".join(map(str, found))
    then = _install(found)
    if any(conflict.by == root for conflict in found):
        return fail(topic, seen, then)
    return warn(topic, seen, then)


def conflicts(root: str, lookup: Look) -> Iterator[Conflict]:
    """Every requirement of ``root``, and of what it needs, that is not met."""
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
                wanted = Requirement(str(requirement))
                wanted.marker = None
                yield Conflict(name, str(wanted), there.version if there else "")
            if there is not None:
                waiting.append((requirement.name, frozenset(requirement.extras)))


def _needed(lines: Sequence[str], extras: frozenset[str]) -> Iterator[Requirement]:
    """The requirements that hold on this machine and Python, with these extras."""
    for line in lines:
        try:
            requirement = Requirement(line)
        except InvalidRequirement:
            continue  # metadata of somebody else's; pip has taken it
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in extras | {""}):
            yield requirement


def _meets(requirement: Requirement, version: str) -> bool:
    try:
        return requirement.specifier.contains(Version(version), prereleases=True)
    except InvalidVersion:
        return True  # an in-house version that cannot be compared


def _install(found: Sequence[Conflict]) -> str:
    wanted = dict.fromkeys(conflict.requirement for conflict in found)
    return f"python -m pip install {' '.join(map(shlex.quote, wanted))}"


# Whether there is something to record with. Nothing is recorded, and no device is named.
#
# People's headphones and telephones carry their owner's name, so only kinds and numbers are told.


_TIMEOUT_S = 8.0  # system_profiler asks every Bluetooth device
_TOPIC = "microphone"
_KIND = "coreaudio_device_type_"


def inspect_microphone(reader: Reader) -> list[CheckupLine]:
    """The line about microphones. None is needed for measuring."""
    if reader.macos:
        listing = ["/usr/sbin/system_profiler", "SPAudioDataType", "-json"]
        return [macos(reader.run(listing, timeout_s=_TIMEOUT_S))]
    return [linux(reader.read("/proc/asound/cards"), reader.read("/proc/asound/pcm"))]


def macos(listed: Answer) -> CheckupLine:
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
    if not kinds:
        return ok(_TOPIC, "none; only recording needs one")
    return ok(_TOPIC, f"{len(kinds)} input{'s' * (len(kinds) > 1)} ({', '.join(kinds)})")


def linux(cards: Answer, devices: Answer) -> CheckupLine:
    """The capture devices that ALSA lists."""
    if isinstance(cards, Unknown):
        return unknown(_TOPIC, cards.reason)
    if isinstance(devices, Unknown):
        return unknown(_TOPIC, devices.reason)
    count = len(re.findall(r":\s*capture \d+", devices))
    if "no soundcards" in cards or not count:
        return ok(_TOPIC, "none; only recording needs one")
    return ok(_TOPIC, f"{count} input{'s' * (count > 1)}")
