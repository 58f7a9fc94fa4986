"""The folders of weights, environments and runs: their sizes, free disk space, and the hub."""

from __future__ import annotations

import os
import shutil
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from mac_whisper_speedtest import files, paths
from mac_whisper_speedtest.doctor.lines import CheckupLine, fail, ok, unknown, warn
from mac_whisper_speedtest.files import megabytes
from mac_whisper_speedtest.http_errors import PUBLIC_HUB, offline_variable
from mac_whisper_speedtest.machine.reader import Reader, Unknown, attempt, within
from mac_whisper_speedtest.paths import with_tilde
from mac_whisper_speedtest.version import __version__
from mac_whisper_speedtest.weights import hub_cache

COUNTING_S = 2.0
"""Time limit per folder. A cache of a hundred thousand files takes longer on a cold disk."""

TOO_LITTLE_BYTES = 2_000_000_000
"""Free space on a disk with a cache; converting the model medium writes 1.5 GB."""

LITTLE_BYTES = 10_000_000_000
"""Free space on any disk: an environment with torch and CUDA takes 7 GB, large-v3 takes 3 GB."""


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder in which the tool or a backend stores files.

    Attributes:
        topic: of its line.
        move: the environment variable that moves it.
        needed: whether runs are impossible if it is not writable.
        cache: whether it contains weights or environments.
    """

    topic: str
    path: Path
    move: str
    needed: bool = False
    cache: bool = True


@dataclass(frozen=True, slots=True)
class Size:
    """The size of a folder; not ``whole`` if the time limit ended the count."""

    bytes: int
    whole: bool


def folders(reader: Reader, uv: str | Unknown) -> list[Folder]:
    """The folders of this machine, existing or not; ``uv`` is the path of the program."""
    found = [
        Folder("tool cache", paths.cache_dir(), "SPEEDTEST_CACHE_DIR", needed=True),
        Folder("tool data", paths.data_dir(), "SPEEDTEST_DATA_DIR", needed=True, cache=False),
        Folder("hugging face cache", hub_cache.cache_dir(), "HF_HUB_CACHE"),
    ]
    uv_cache = reader.run([uv, "--no-config", "cache", "dir"]) if isinstance(uv, str) else uv
    if isinstance(uv_cache, str) and uv_cache:
        found.append(Folder("uv cache", Path(uv_cache), "UV_CACHE_DIR"))
    return found


def inspect_storage(folder: Folder) -> CheckupLine:
    """The line about one folder."""
    size = attempt(lambda: size_of(folder.path, COUNTING_S)) if folder.path.is_dir() else None
    return judge_storage(folder, size, why_not_writable(folder.path))


def judge_storage(folder: Folder, size: Size | Unknown | None, refusal: str) -> CheckupLine:
    """The size of a folder, and whether it is writable.

    Args:
        folder: the one that is judged.
        size: ``None`` if the folder does not exist yet.
        refusal: why it is not writable; empty if it is.
    """
    seen = with_tilde(folder.path)
    if isinstance(size, Size):
        seen += f": {'' if size.whole else 'more than '}{megabytes(size.bytes)}"
    elif size is None:
        seen += ": does not exist yet"
    else:
        seen += f": size not known ({size.reason})"
    if refusal:
        then = f"export {folder.move}=/a/writable/folder"
        return (fail if folder.needed else warn)(folder.topic, f"{seen}; {refusal}", then)
    return ok(folder.topic, seen)


def size_of(path: Path, limit_s: float) -> Size:
    """The bytes of all files below ``path``, each counted once, as far as ``limit_s`` allows."""
    deadline = time.monotonic() + limit_s
    total = 0
    linked: set[tuple[int, int]] = set()
    for status in files.statuses(path.resolve()):
        if time.monotonic() > deadline:
            return Size(total, whole=False)
        file = (status.st_dev, status.st_ino)
        if status.st_nlink == 1 or file not in linked:
            total += status.st_size
        if status.st_nlink > 1:
            linked.add(file)
    return Size(total, whole=True)


def why_not_writable(path: Path) -> str:
    """Why ``path`` is not writable; empty if it is. Writes nothing."""
    there = _nearest_existing(path)
    if not there.is_dir():
        return f"{'it' if there == path else with_tilde(there)} is not a folder"
    if not os.access(there, os.W_OK | os.X_OK):
        return "it is not writable" if there == path else f"{with_tilde(there)} is not writable"
    return ""


@dataclass(frozen=True, slots=True)
class Disk:
    """A file system: the folders on it, and its free and total bytes."""

    folders: tuple[Folder, ...]
    free: int
    total: int


def inspect_disks(found: Sequence[Folder]) -> list[CheckupLine]:
    """One line per file system with any of the folders."""
    groups: dict[int, list[Folder]] = {}
    for folder in found:
        device = attempt(partial(_device, folder.path))
        groups.setdefault(device if isinstance(device, int) else -1, []).append(folder)
    return [_disk_line(tuple(group), only=len(groups) == 1) for group in groups.values()]


def judge_disk(topic: str, disk: Disk) -> CheckupLine:
    """Whether there is space for a run, a conversion or an installation."""
    seen = f"{megabytes(disk.free)} of {megabytes(disk.total)} free"
    then = "speedtest backends remove --all, or speedtest models --help"
    if disk.free < TOO_LITTLE_BYTES and any(folder.cache for folder in disk.folders):
        return fail(topic, f"{seen}: too little for weights", then)
    if disk.free < LITTLE_BYTES:
        return warn(topic, f"{seen}: too little for large weights and environments", then)
    return ok(topic, seen)


def _disk_line(group: tuple[Folder, ...], *, only: bool) -> CheckupLine:
    topic = "disk" if only else f"disk of {', '.join(folder.topic for folder in group)}"
    usage = attempt(lambda: shutil.disk_usage(_nearest_existing(group[0].path)))
    if isinstance(usage, Unknown):
        return unknown(topic, usage.reason)
    return judge_disk(topic, Disk(group, free=usage.free, total=usage.total))


def _device(path: Path) -> int:
    return _nearest_existing(path).stat().st_dev


def _nearest_existing(path: Path) -> Path:
    """The path itself if it exists, else its nearest existing parent."""
    return next((each for each in (path, *path.parents) if os.path.lexists(each)), Path("/"))


# Whether the hub that hosts weights can be reached, only with ``--online``.


TIMEOUT_S = 5.0
"""For connecting and for each answer. A failing name lookup may take `_GRACE_S` longer."""

_GRACE_S = 1.0
_TOPIC = "hub"
_CHECK = "check HTTPS_PROXY and HF_ENDPOINT, then: speedtest doctor --online"


@dataclass(frozen=True, slots=True)
class HubReply:
    """The hub's reply.

    Attributes:
        status: of HTTP; 0 without a reply.
        error: why there was no reply.
    """

    status: int
    seconds: float
    error: str = ""


def hub_not_checked() -> CheckupLine:
    """The line without ``--online``."""
    return unknown(_TOPIC, "not checked", "speedtest doctor --online")


def inspect_network() -> CheckupLine:
    """Contact the hub once, through the user's proxy, without a token."""
    if variable := offline_variable():
        name = variable.partition("=")[0]
        return unknown(_TOPIC, f"{name} forbids the network", f"unset {name}")
    address, host = endpoint(os.environ.get("HF_ENDPOINT") or PUBLIC_HUB)
    if not address:
        return warn(_TOPIC, "HF_ENDPOINT is not an HTTP address", "unset HF_ENDPOINT")
    # A thread, because name lookups take no timeout.
    found = within(TIMEOUT_S + _GRACE_S, partial(_contact, address))
    if isinstance(found, Unknown):
        found = HubReply(0, TIMEOUT_S, found.reason)
    return judge_network(host, found)


def endpoint(text: str) -> tuple[str, str]:
    """The address to contact and the host to show, both without credentials; empty if invalid."""
    try:
        parts = urllib.parse.urlsplit(text.strip())
        host = parts.hostname or ""
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "", ""
    if parts.scheme not in {"http", "https"} or not host:
        return "", ""
    named = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{named}{port}{parts.path or '/'}", f"{host}{port}"


def judge_network(host: str, reply: HubReply) -> CheckupLine:
    """Every reply means that the hub can be reached; 407 and server errors are warnings."""
    if not reply.status:
        return warn(_TOPIC, f"{host} cannot be reached: {reply.error}", _CHECK)
    seen = f"{host} answers {reply.status} in {reply.seconds * 1000:.0f} ms"
    if reply.status == 407:
        return warn(_TOPIC, f"{seen}: the proxy requires a login", _CHECK)
    if reply.status >= 500:
        return warn(_TOPIC, f"{seen}: the server has an error", "speedtest doctor --online, later")
    return ok(_TOPIC, seen)


def _contact(address: str) -> HubReply:
    request = urllib.request.Request(  # noqa: S310 - endpoint() lets only http and https through
        address, method="HEAD", headers={"User-Agent": f"mac-whisper-speedtest/{__version__}"}
    )
    began = time.monotonic()
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:  # noqa: S310
            return HubReply(response.status, time.monotonic() - began)
    except urllib.error.HTTPError as error:
        with error:
            return HubReply(error.code, time.monotonic() - began)
    except urllib.error.URLError as error:
        return HubReply(0, time.monotonic() - began, str(error.reason))
